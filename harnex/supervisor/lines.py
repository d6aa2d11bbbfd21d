"""Lines out of a stream that comes in pieces.

Each byte is looked at once, and no overlong line is kept.
"""

from __future__ import annotations


class Lines:
    """Cuts a stream into lines of at most `most` bytes.

    `skipped` counts the longer lines, which are left out whole.
    """

    def __init__(self, most: int) -> None:
        self.skipped = 0
        self._most = most
        self._parts: list[bytes] = []  # parts of the line that has not ended yet
        self._size = 0

    def cut(self, data: bytes, last: bool = False) -> list[bytes]:
        """Return the lines that are complete now, without their newlines.

        `last`: nothing follows, so the rest is a line, too.
        """
        first, *others = data.split(b"\n")
        if first:
            self._add(first)
        lines: list[bytes] = []
        if others:
            self._end(lines)
            *whole, rest = others
            for line in whole:
                self._add(line)
                self._end(lines)
            if rest:
                self._add(rest)
        if last and self._size:
            self._end(lines)
        return lines

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._most:
            self._parts.append(part)
        else:
            self._parts.clear()

    def _end(self, lines: list[bytes]) -> None:
        if self._size <= self._most:
            lines.append(b"".join(self._parts))
        else:
            self.skipped += 1
        self._parts.clear()
        self._size = 0

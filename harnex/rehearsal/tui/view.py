"""Painting: lines that scroll away above, and a live part below that is painted over and over."""

from __future__ import annotations

import os
import unicodedata
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

RULE = "─"


@dataclass(frozen=True)
class Line:
    """One line of text and its SGR parameters ("1;31")."""

    text: str
    sgr: str = ""


@dataclass(frozen=True)
class Frame:
    """The live part. `cursor` is (line, column) within it, from 0; None hides the cursor."""

    lines: Sequence[Line]
    cursor: tuple[int, int] | None = None


def width(text: str) -> int:
    """The columns that the text takes.

    Counted as terminals do: wide East Asian and emoji two, marks none.
    """
    if text.isascii():
        return len(text)
    total = 0
    for c in text:
        if unicodedata.combining(c) or c in "\u200d\ufe0f":
            continue
        total += 2 if unicodedata.east_asian_width(c) in "WF" else 1
    return total


def fit(text: str, columns: int) -> str:
    """The text, cut to at most `columns` columns, without control characters."""
    text = "".join(c if c >= " " and not "\x7f" <= c <= "\x9f" else " " for c in text)
    if width(text) <= columns:
        return text
    out, used = [], 0
    for c in text:
        used += width(c)
        if used > columns - 1:
            break
        out.append(c)
    return "".join(out) + "…"


def wrap(text: str, columns: int) -> list[str]:
    """The text in lines of at most `columns` columns, broken at spaces where possible."""
    out: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}" if line else word
            if width(joined) <= columns:
                line = joined
                continue
            if line:
                out.append(line)
            while width(word) > columns:
                cut = 1
                while cut < len(word) and width(word[: cut + 1]) <= columns:
                    cut += 1
                out.append(word[:cut])
                word = word[cut:]
            line = word
        out.append(line)
    return out


@dataclass
class View:
    """The terminal. All output goes through it."""

    fd: int
    alternate: bool = False
    columns: int = 80
    rows: int = 24
    history: deque[Line] = field(default_factory=lambda: deque(maxlen=2000))
    pending: list[Line] = field(default_factory=list)
    _above: int = 0  # lines of the live part that are above the cursor

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self.fd, data) :]

    def measure(self) -> None:
        try:
            size = os.get_terminal_size(self.fd)
        except OSError:
            return
        self.columns, self.rows = max(20, size.columns), max(8, size.lines)

    def print(self, text: str, sgr: str = "", indent: str = "", first: str | None = None) -> None:
        """Add lines above the live part; they are painted with the next frame."""
        for i, line in enumerate(wrap(text, self.columns - 1 - len(indent))):
            self.pending.append(Line((first if first is not None and i == 0 else indent) + line, sgr))

    def clear(self) -> None:
        """Paint everything afresh with the next frame (a new size, Ctrl-L)."""
        self.write("\x1b[2J\x1b[H")
        self._above = 0
        again = [self.history.pop() for _ in range(min(len(self.history), self.rows))]
        self.pending = [*reversed(again), *self.pending]

    def paint(self, frame: Frame) -> None:
        out = ["\x1b[?2026h\x1b[?25l\r"]
        if self._above:
            out.append(f"\x1b[{self._above}A")
        out.append("\x1b[J")
        for line in self.pending:
            out.append(self._styled(line) + "\r\n")
        self.history.extend(self.pending)
        self.pending = []
        lines = list(frame.lines)[-(self.rows - 1) :]
        dropped = len(frame.lines) - len(lines)
        out.append("\r\n".join(self._styled(line) for line in lines))
        row = len(lines) - 1
        if frame.cursor is not None:
            row, column = max(0, frame.cursor[0] - dropped), min(frame.cursor[1], self.columns - 1)
            up = len(lines) - 1 - row
            out.append((f"\x1b[{up}A" if up else "") + f"\x1b[{column + 1}G\x1b[?25h")
        self._above = row
        out.append("\x1b[?2026l")
        self.write("".join(out))

    def _styled(self, line: Line) -> str:
        text = fit(line.text, self.columns - 1)
        return f"\x1b[{line.sgr}m{text}\x1b[0m" if line.sgr else text

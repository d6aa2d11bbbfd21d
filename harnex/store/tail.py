"""Follows files that others append to: whole lines only, through truncation and replacement.

Light: `events --follow` is on the hot path.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1 << 20


class LineTail:
    """Reads the lines that were completed in a file since the last call.

    An unterminated last line waits until its newline comes. A file that was replaced or truncated
    is read from its start. `offset` (bytes) is where the next line begins.
    """

    def __init__(self, path: str, offset: int = 0, max_line: int = 64 << 20) -> None:
        self.path = path
        self.offset = offset
        self.skipped = 0  # bytes of lines longer than max_line
        # "removed", "replaced" or "truncated" once the file is not the one read before.
        self.damage = ""
        self._max_line = max_line
        # The position up to which the line at `offset` has no end: the line is not read again
        # before it has one.
        self._searched = 0
        self._inode: tuple[int, int] | None = None

    def to_end(self) -> None:
        """Skip what is in the file already."""
        try:
            info = os.stat(self.path)
        except OSError:
            return
        self._inode = (info.st_dev, info.st_ino)
        self.offset = info.st_size

    def lines(self) -> Iterator[bytes]:
        """Whole new lines without their newline; none if the file is missing.

        Lazy: `offset` moves as lines are consumed.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        except OSError as e:
            if self._inode is not None and isinstance(e, FileNotFoundError | NotADirectoryError):
                self.damage = "removed"
            return
        try:
            info = os.fstat(fd)
            if self._inode is not None and (info.st_dev, info.st_ino) != self._inode:
                self.damage = "replaced"
            elif info.st_size < self.offset:
                self.damage = "truncated"
            inode = (info.st_dev, info.st_ino)
            if (self._inode is not None and inode != self._inode) or info.st_size < self.offset:
                self.offset = self._searched = 0
            self._inode = inode
            if info.st_size == self.offset or not self._has_end(fd):
                return
            rest: list[bytes] = []
            at = self.offset
            while True:
                data = os.pread(fd, CHUNK, at)
                if not data:
                    return
                at += len(data)
                rest.append(data)
                if b"\n" not in data:
                    self._searched = at
                    if at - self.offset > self._max_line:
                        self.skipped += at - self.offset
                        rest.clear()
                        self.offset = at
                    continue
                parts = b"".join(rest).split(b"\n")
                rest = [parts.pop()]
                for line in parts:
                    self.offset += len(line) + 1
                    yield line
                self._searched = at
        except OSError:
            return
        finally:
            os.close(fd)

    def _has_end(self, fd: int) -> bool:
        """Whether the newline of a long, unfinished line has come."""
        if self._searched <= self.offset or self._searched - self.offset > self._max_line - CHUNK:
            return True
        while data := os.pread(fd, CHUNK, self._searched):
            if b"\n" in data:
                return True
            self._searched += len(data)
        return False

    def size_changed(self) -> bool:
        """A cheap look (one stat) whether `lines` may have something."""
        try:
            info = os.stat(self.path)
        except OSError:
            return False
        return info.st_size != self.offset or (info.st_dev, info.st_ino) != self._inode


class DocumentTail:
    """Reads a small file that is rewritten.

    `changed` returns the text if it changed, "" if the file went away, None otherwise.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._mark: tuple[int, int, int] | None = None

    def changed(self) -> str | None:
        """The text if it changed since the last call, "" if the file went away, None otherwise."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            gone = self._mark is not None
            self._mark = None
            return "" if gone else None
        try:
            info = os.fstat(fd)
            mark = (info.st_ino, info.st_size, info.st_mtime_ns)
            if mark == self._mark:
                return None
            data = os.pread(fd, 1 << 20, 0)
            self._mark = mark
            return data.decode("utf-8", "replace") or None
        except OSError:
            return None
        finally:
            os.close(fd)

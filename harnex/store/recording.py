"""The session recording: asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/), written
and read.

`session.cast` is the newest part. A full part becomes `session.cast.1` (the oldest part has the
highest number). Each part is a complete cast that starts with a full frame. Each line is one write
on an O_APPEND descriptor: a crash can tear only the last line, and readers leave a torn line out.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os

from harnex.redaction.redactor import Redactor
from harnex.terminal.frames import FrameEncoder
from harnex.terminal.screen import Screen
from harnex.visible import visible

MAX_BYTES = 16 * 1024 * 1024
KEEP = 4
CONTINUED = "harnex: goes on in the next part"


class Recording:
    """Writes the recording of one session.

    Times are seconds since the start, given by the caller; they never fall. The caller decides how
    often to write. `raw`: the child's bytes are recorded instead of frames.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: int,
        rows: int,
        title: str = "",
        *,
        raw: bool = False,
        max_bytes: int = MAX_BYTES,
        keep: int = KEEP,
        timestamp: int | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.raw = raw
        self.skipped = 0  # bytes of the child that no frame shows
        self.redactor = redactor or Redactor()
        self._size = (columns, rows)
        self._title, self._timestamp = title, timestamp
        self._max_bytes, self._keep = max_bytes, keep
        self._encoder = FrameEncoder()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._last = 0.0
        self._fd = -1
        self._open()

    @property
    def behind(self) -> bool:
        """Whether the last frame left out lines that had scrolled off; the next frame has them."""
        return self._encoder.behind

    def frame(self, now: float, screen: Screen, most: int | None = None) -> bool:
        """Write what changed since the last frame; return whether anything changed.

        At most `most` scrolled lines are written at a time.
        """
        if self._written > self._max_bytes:
            self._rotate()
        size = self._encoder.resize(screen)
        if size:
            self._size = (screen.columns, screen.rows)
            self._event(now, "r", size)
        data = self._encoder.frame(screen, self.redactor, most)
        if not data:
            return False
        self._event(now, "o", data)
        return True

    def output(self, now: float, data: bytes) -> None:
        """Write the child's bytes as they are (`--record raw`).

        A character that the read cut in two waits for its rest.
        """
        if self._written > self._max_bytes:
            self._rotate()
        text = self._decoder.decode(data)
        if text:
            self._event(now, "o", text)

    def resized(self, now: float, columns: int, rows: int) -> None:
        """Write a new size of the terminal, for raw recordings; frames notice it by themselves."""
        self._size = (columns, rows)
        self._event(now, "r", f"{columns}x{rows}")

    def note_skipped(self, now: float, count: int) -> None:
        """Mark and count a flood of `count` bytes that was dropped before it reached the screen."""
        self.skipped += count
        self._event(now, "m", f"harnex: skipped {count} bytes")

    def close(self) -> None:
        """Write the rest of a raw recording, and close the file."""
        if self._fd >= 0:
            rest = self._decoder.decode(b"", True)
            if rest and self.raw:
                self._event(self._last, "o", rest)
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self.path) or ".", mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.path).st_size:
                self._shift()  # left by a supervisor that was restarted: its part stays as it is
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._written = 0
        header: dict[str, object] = {"version": 2, "width": self._size[0], "height": self._size[1]}
        if self._timestamp is not None:
            header["timestamp"] = self._timestamp
        if self._title:
            header["title"] = self.redactor.text(self._title)
        header["env"] = {"TERM": "xterm-256color"}
        self._line(header)

    def renew(self) -> None:
        """Begin a new file if somebody removed the current one.

        The content of the removed file is lost.
        """
        if self._fd < 0 or os.path.lexists(self.path):
            return
        with contextlib.suppress(OSError):  # a full disk: the next call tries again
            old = self._fd
            self._open()
            os.close(old)
            self._encoder.forget()

    def _rotate(self) -> None:
        self._event(self._last, "m", CONTINUED)
        os.close(self._fd)
        self._fd = -1
        self._encoder.forget()
        self._open()

    def _shift(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.path}.{self._keep}")
        for number in range(self._keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        if self._keep > 0:
            os.replace(self.path, f"{self.path}.1")
        else:
            os.unlink(self.path)

    def _event(self, now: float, kind: str, data: str) -> None:
        self._last = max(self._last, now)
        self._line([round(self._last, 3), kind, data])

    def _line(self, row: object) -> None:
        # `visible` writes control characters as JSON escapes: a player reads the same characters,
        # and a terminal that shows the file obeys none of them.
        line = (visible(json.dumps(row, ensure_ascii=False)) + "\n").encode()
        view = memoryview(line)
        while view:
            view = view[os.write(self._fd, view) :]
        self._written += len(line)


def parts(path: str | os.PathLike[str]) -> list[str]:
    """The files of one recording that exist, oldest first."""
    path = os.fspath(path)
    directory, name = os.path.split(path)
    try:
        others = os.listdir(directory or ".")
    except OSError:
        return []
    numbers = [int(o[len(name) + 1 :]) for o in others if o.startswith(name + ".") and o[len(name) + 1 :].isdecimal()]
    found = [f"{path}.{number}" for number in sorted(numbers, reverse=True)]
    return [*found, path] if name in others else found

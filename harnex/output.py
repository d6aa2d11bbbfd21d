"""The one way to a person's terminal: `sys.stdout` and `sys.stderr`, which `install` makes safe.

Anything that harnex prints may quote an agent, a repository or another program. On a terminal each
control character in such text is shown (`visible`), never obeyed, whichever function prints it. A
pipe or a file gets the bytes as they are. What harnex itself wants the terminal to obey (colours,
wiping a line) goes through `draw`. Light: on the hot path.
"""

from __future__ import annotations

import io
import sys

from harnex.visible import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

WIPE = "\r\x1b[K"  # wipes the cursor's line
CLEAR = "\x1b[H\x1b[2J"
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
# Characters left out of a drawn screen: C1, and characters that turn the direction of the text
# around them. They have no width of their own.
_LEFT_OUT = dict.fromkeys((*range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))


class Terminal(io.TextIOWrapper):
    """A terminal as a stream that shows control characters.

    Bytes written into `buffer` are shown in the same way.
    """

    obeys = False
    _bytes: _Bytes | None = None

    def write(self, text: str, /) -> int:
        super().write(text if self.obeys else visible(text))
        return len(text)

    def draw(self, text: str) -> None:
        """Write text that the terminal shall obey."""
        super().write(text.translate(_LEFT_OUT))

    @property
    def buffer(self) -> io.BufferedIOBase:  # type: ignore[override]
        if self._bytes is None:
            self._bytes = _Bytes(self)
        return self._bytes


class _Bytes(io.BufferedIOBase):
    """The binary stream behind a `Terminal`, for programs that write bytes into a text stream."""

    def __init__(self, terminal: Terminal) -> None:
        import codecs

        self._terminal = terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        self._terminal.write(self._decoder.decode(bytes(data)))
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._terminal.flush()


def install() -> None:
    """Make `stdout` and `stderr` show control characters, if they are terminals.

    Call once, at the start of a command.
    """
    for name in ("stdout", "stderr"):
        stream: TextIO = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, Terminal) and stream.isatty():
            encoding, through = stream.encoding, stream.write_through
            shown = Terminal(stream.detach(), encoding, "backslashreplace", line_buffering=True, write_through=through)
            setattr(sys, name, shown)
            setattr(sys, f"__{name}__", shown)  # the old stream can't be used any more


def draw(stream: TextIO, text: str) -> None:
    """Write what the terminal shall obey: harnex's own sequences, or a screen that it draws."""
    if isinstance(stream, Terminal):
        stream.draw(text)
    else:
        stream.write(text)


def obey() -> None:
    """`--raw`: from now on standard output gets printed text as it is, also on a terminal."""
    if isinstance(sys.stdout, Terminal):
        sys.stdout.obeys = True

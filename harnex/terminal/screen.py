"""What is on the terminal: the interface of an emulator, its styles, and the factory.

Importing this module is cheap. `make_screen` imports pyte (30 ms), so readers of logs and states never pay for it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from harnex.model.facts import ScreenView


class Style(NamedTuple):
    """How a cell looks. A colour is "" (the terminal's own), "0" to "255" (palette) or "#rrggbb"."""

    fg: str = ""
    bg: str = ""
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    blink: bool = False
    inverse: bool = False
    strike: bool = False


PLAIN = Style()


class Run(NamedTuple):
    """Neighbouring cells of one style. `wide` has what stands in each cell, if that is not one character each:
    a grapheme of several characters, or "" for the second cell of a wide one."""

    text: str
    style: Style
    column: int
    cells: int
    wide: tuple[str, ...] = ()

    def graphemes(self) -> list[tuple[str, int]]:
        """Each grapheme with the cells it takes."""
        cells = self.wide or tuple(self.text)
        return [
            (cell, 2 if at + 1 < len(cells) and cells[at + 1] == "" else 1) for at, cell in enumerate(cells) if cell
        ]


Runs = tuple[Run, ...]


class Screen(Protocol):
    """A terminal of `columns` x `rows`. `feed` never raises, whatever the bytes; positions are (row, column) from 0."""

    @property
    def columns(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def cursor(self) -> tuple[int, int]: ...
    @property
    def cursor_hidden(self) -> bool: ...
    @property
    def alternate(self) -> bool: ...
    @property
    def title(self) -> str: ...
    @property
    def dropped(self) -> int:
        """Lines that scrolled off and were dropped because nobody asked for them in time."""

    def feed(self, data: bytes) -> None:
        """Draw this, however long it takes."""

    def push(self, data: bytes) -> None:
        """Take this; `advance` draws it."""

    def advance(self, work: int) -> int:
        """Draw what was pushed, for so many units of work (each about a microsecond), and say how many it were.
        The screen is good to look at in between, too: it is then what it was somewhere in the middle."""

    @property
    def behind(self) -> bool:
        """Whether something that was pushed is not drawn yet."""

    def give_up(self, keep: int) -> int:
        """Forget what was pushed and not drawn, but for its last `keep` bytes, which come on a fresh screen; how many
        bytes that is."""

    def resize(self, columns: int, rows: int) -> None: ...
    def reset(self) -> None: ...
    def view(self) -> ScreenView: ...
    def runs(self, row: int) -> Runs:
        """One row for drawing; plain blanks at its end are left out."""

    def scrolled(self) -> list[str]:
        """The lines that scrolled off the main screen since the last call of this or of `scrolled_runs`."""

    def scrolled_runs(self, most: int | None = None) -> list[Runs]:
        """The same lines with their styles, the first `most` of them; asking for one takes them from the other."""

    def scrolled_next(self, count: int) -> list[Runs]:
        """The first of the lines that would be taken next; they stay."""


def end_of(output: bytes, most: int) -> int:
    """Where the last `most` bytes of `output` begin. If a line begins in their first half, or else a sequence, they
    begin there, so that no sequence is cut in two; at least half of `most` is kept."""
    begin = max(0, len(output) - most)
    if not begin:
        return 0
    half = begin + most // 2
    line = output.find(b"\n", begin, half) + 1
    return line or max(begin, output.find(b"\x1b", begin, half))


def make_screen(columns: int, rows: int) -> Screen:
    from harnex.terminal.emulator import Emulator

    return Emulator(columns, rows)


def runs_text(runs: Runs) -> str:
    """The plain text of a row, with the gaps between its runs, right-trimmed."""
    out: list[str] = []
    column = 0
    for run in runs:
        if run.column > column:
            out.append(" " * (run.column - column))
        out.append(run.text)
        column = run.column + run.cells
    return "".join(out).rstrip(" ")

"""How cells look: styles, and runs of cells of one style.

Shared by the emulator, drawings and recordings.
"""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """How a cell looks.

    A colour is "" (the terminal's own), "0" to "255" (palette) or "#rrggbb".
    """

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
    """Neighbouring cells of one style, from `column` (from 0).

    `wide` is empty if each cell holds one character. Otherwise it holds the content of each cell: a
    grapheme of several characters, or "" for the second cell of a wide grapheme.
    """

    text: str
    style: Style
    column: int
    cells: int
    wide: tuple[str, ...] = ()

    def graphemes(self) -> list[tuple[str, int]]:
        """(grapheme, number of cells) for each grapheme."""
        cells = self.wide or tuple(self.text)
        return [
            (cell, 2 if at + 1 < len(cells) and cells[at + 1] == "" else 1) for at, cell in enumerate(cells) if cell
        ]


Runs = tuple[Run, ...]


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

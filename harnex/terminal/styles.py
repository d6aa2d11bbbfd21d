"""How cells look: styles, and the runs of cells that have one. What the emulator, drawings and recordings share."""

from __future__ import annotations

from typing import NamedTuple


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

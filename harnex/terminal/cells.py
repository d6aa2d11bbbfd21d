"""Rows of cells with their styles, and the parser of SGR: the storage of the emulator, without
pyte.
"""

from __future__ import annotations

from itertools import groupby

from harnex.terminal.styles import PLAIN, Run, Runs, Style


class Row:
    """One row of cells.

    A wide character is followed by an empty string for the second cell that it covers.

    The emulator interns styles, so `is` tells them apart. `text` and `runs` are cached until the
    row changes, which makes a view of an unchanged row free. `blank` is the style of a row that was
    erased and not changed since: erasing such a row again is free, too, however often a program
    clears its screen.
    """

    __slots__ = ("_runs", "_text", "blank", "cells", "styles", "wrapped")

    def __init__(self, columns: int, style: Style = PLAIN) -> None:
        self.cells = [" "] * columns
        self.styles = [style] * columns
        self.wrapped = False  # the text goes on in the next row
        self.blank: Style | None = style
        self._text: str | None = None
        self._runs: Runs | None = None

    def put(self, column: int, cells: str | list[str], style: Style) -> None:
        """Overwrite as many cells as `cells` has.

        A remaining half of a wide character becomes a blank.
        """
        end = column + len(cells)
        self.split(column)
        self.split(end)
        self.cells[column:end] = cells
        self.styles[column:end] = [style] * len(cells)
        self._text = self._runs = self.blank = None

    def erase(self, style: Style) -> bool:
        """Make the whole row blank. Returns False if the row was blank in this style already."""
        self.wrapped = False
        if self.blank is style:
            return False
        columns = len(self.cells)
        self.cells = [" "] * columns
        self.styles = [style] * columns
        self._text = self._runs = None
        self.blank = style
        return True

    def split(self, column: int) -> None:
        """Make sure that no wide character lies across the left edge of `column`."""
        cells = self.cells
        if 0 < column < len(cells) and cells[column] == "":
            cells[column - 1] = cells[column] = " "
            self.touched()

    def insert(self, column: int, count: int, style: Style) -> None:
        """Insert `count` blank cells at `column`; the cells at the end fall off."""
        self.split(column)
        self.split(len(self.cells) - count)
        width = len(self.cells)
        self.cells[column:] = ([" "] * count + self.cells[column:])[: width - column]
        self.styles[column:] = ([style] * count + self.styles[column:])[: width - column]
        self.touched()

    def delete(self, column: int, count: int, style: Style) -> None:
        """Delete `count` cells at `column`; blank cells come in at the end."""
        self.split(column)
        self.split(column + count)
        count = min(count, len(self.cells) - column)
        del self.cells[column : column + count], self.styles[column : column + count]
        self.cells += [" "] * count
        self.styles += [style] * count
        self.touched()

    def fit(self, columns: int) -> None:
        """Cut or extend the row to `columns` cells."""
        have = len(self.cells)
        if columns < have:
            self.split(columns)
            del self.cells[columns:], self.styles[columns:]
        else:
            self.cells += [" "] * (columns - have)
            self.styles += [PLAIN] * (columns - have)
        self.touched()

    def touched(self) -> None:
        """Drop the cached views after a change."""
        self._text = self._runs = self.blank = None

    def text(self) -> str:
        """The plain text of the row, right-trimmed."""
        if self._text is None:
            self._text = "".join(self.cells).rstrip(" ")
        return self._text

    def runs(self) -> Runs:
        """Runs of neighbouring cells of one style; plain blanks at the end are left out."""
        if self._runs is None:
            out: list[Run] = []
            cells = self.cells
            start = 0
            for style, group in groupby(self.styles):
                end = start + len(list(group))
                text = "".join(cells[start:end])
                # Equal lengths may hide a wide character beside a combining one, but then the
                # second cell of the wide one is empty.
                plain = text.isascii() or (len(text) == end - start and "" not in cells[start:end])
                out.append(Run(text, style, start, end - start, () if plain else tuple(cells[start:end])))
                start = end
            if out and out[-1].style is PLAIN:
                text = out[-1].text
                kept = text.rstrip(" ")
                last = out.pop()
                if kept:
                    blank = len(text) - len(kept)
                    out.append(Run(kept, PLAIN, last.column, last.cells - blank, last.wide[: last.cells - blank]))
            self._runs = tuple(out)
        return self._runs


_FLAGS = {1: ("bold", True), 2: ("faint", True), 3: ("italic", True), 4: ("underline", True), 5: ("blink", True),
          6: ("blink", True), 7: ("inverse", True), 9: ("strike", True), 21: ("underline", True),
          23: ("italic", False), 24: ("underline", False), 25: ("blink", False), 27: ("inverse", False),
          29: ("strike", False)}  # fmt: skip


def apply_sgr(style: Style, params: str) -> Style:
    """The style after `CSI params m`.

    Both forms of colours are read: `38;2;r;g;b` and `38:2::r:g:b`. Unknown codes are ignored.
    """
    values: dict[str, object] = style._asdict()
    parts = params.split(";")
    at = 0
    while at < len(parts):
        part = parts[at]
        at += 1
        sub = part.split(":")
        code = _number(sub[0])
        if code == 0:
            values = PLAIN._asdict()
        elif code == 22:
            values["bold"] = values["faint"] = False
        elif code == 4 and len(sub) > 1:
            values["underline"] = sub[1] != "0"
        elif code in _FLAGS:
            name, on = _FLAGS[code]
            values[name] = on
        elif code in (38, 48, 58):
            if len(sub) == 1:
                used = {5: 2, 2: 4}.get(_number(parts[at]) if at < len(parts) else 0, 0)
                sub, at = [part, *parts[at : at + used]], at + used
            colour = _colour(sub[1:])
            if colour and code != 58:  # 58 colours the underline
                values["fg" if code == 38 else "bg"] = colour
        elif 30 <= code <= 37 or 90 <= code <= 97:
            values["fg"] = str(code - 30 if code < 40 else code - 82)
        elif 40 <= code <= 47 or 100 <= code <= 107:
            values["bg"] = str(code - 40 if code < 50 else code - 92)
        elif code in (39, 49):
            values["fg" if code == 39 else "bg"] = ""
    return Style(**values)  # type: ignore[arg-type]


def _colour(sub: list[str]) -> str:
    numbers = [_number(s) for s in sub]
    if len(numbers) >= 2 and numbers[0] == 5:
        return str(numbers[1]) if numbers[1] < 256 else ""
    if len(numbers) >= 4 and numbers[0] == 2:
        # `38:2:colourspace:r:g:b` has one number more than `38:2:r:g:b` and `38;2;r;g;b`.
        red, green, blue = numbers[2:5] if len(numbers) >= 5 else numbers[1:4]
        return f"#{min(red, 255):02x}{min(green, 255):02x}{min(blue, 255):02x}"
    return ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0

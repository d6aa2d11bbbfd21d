"""Tables for people: aligned columns that fit the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from harnex.paths import printable


@dataclass(frozen=True)
class Column:
    """A column. On a narrow terminal, columns with a high `keep` stay longest, and
    `elastic` ones may be cut."""

    title: str
    right: bool = False
    keep: int = 5
    elastic: bool = False


def width_of(text: str) -> int:
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def terminal_width() -> int | None:
    """Return the terminal's width in columns. None if there is no terminal: then nothing is cut."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdecimal():
        return None
    return max(20, shutil.get_terminal_size().columns)


def lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None, rule_before: int = -1
) -> list[str]:
    """Return the table's lines. Columns without any content are left out.

    A rule is drawn before row `rule_before`.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    shown = [i for i, c in enumerate(columns) if any(row[i] for row in rows) or c.keep >= 9]
    widths = {i: max(width_of(columns[i].title), *(width_of(row[i]) for row in rows), 0) for i in shown}
    whole = dict(widths)

    def total() -> int:
        return sum(widths[i] for i in shown) + 2 * (len(shown) - 1)

    while width is not None and total() > width:
        wide = [i for i in shown if columns[i].elastic and widths[i] > 12]
        if wide:
            most = max(wide, key=lambda i: widths[i])
            widths[most] = max(12, widths[most] - (total() - width))
            continue
        least = min(shown, key=lambda i: (columns[i].keep, i))
        if len(shown) == 1:
            break
        shown.remove(least)
    if width is not None:
        for i in shown:  # a column that was left out may have made room for text that was cut
            widths[i] = min(whole[i], widths[i] + max(0, width - total()))

    def line(cells: Sequence[str]) -> str:
        parts = []
        for i in shown:
            cell = _cut(cells[i], widths[i])
            pad = " " * (widths[i] - width_of(cell))
            parts.append(pad + cell if columns[i].right else cell + pad)
        return "  ".join(parts).rstrip()

    out = [line([c.title for c in columns])]
    for n, row in enumerate(rows):
        if n == rule_before:
            out.append("─" * min(total(), width or total()))
        out.append(line(row))
    return out


def _cut(text: str, width: int) -> str:
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - 1:
        text = text[:-1]
    return text + "…"

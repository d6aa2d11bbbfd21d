"""commands/_table.py: tables fit the terminal."""

from __future__ import annotations


def test_tables_fit_the_terminal() -> None:
    from harnex.commands import _table
    from harnex.commands._table import Column

    columns = (Column("NAME", elastic=True, keep=9), Column("A", True, 1), Column("TOTAL", True, 8))
    rows = [["日本語の長い名前" * 3, "1,234", "99"], ["short", "", "7"]]
    for width in (None, 80, 40, 20):
        out = _table.lines(columns, rows, width)
        assert all(width is None or _table.width_of(line) <= width for line in out)
        assert "99" in out[1]
    assert "A" in _table.lines(columns, rows, 80)[0]

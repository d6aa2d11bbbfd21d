"""Lines out of a stream, however it is cut, and however long they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.supervisor.lines import Lines

MOST = 6


@given(st.lists(st.text(alphabet="ab\n", max_size=12), max_size=20))
def test_the_lines_are_those_of_the_whole_stream(pieces: list[str]) -> None:
    lines, got = Lines(MOST), []
    for piece in pieces:
        got += lines.cut(piece.encode())
    got += lines.cut(b"", last=True)
    stream = "".join(pieces).encode()
    every = stream.split(b"\n")
    if not every[-1]:
        every.pop()
    assert got == [line for line in every if len(line) <= MOST]
    assert lines.skipped == sum(len(line) > MOST for line in every)


@pytest.mark.parametrize("pieces", [1, 100])
def test_a_line_that_is_too_long_is_not_kept_while_it_comes(pieces: int) -> None:
    lines = Lines(1000)
    for _ in range(pieces):
        assert lines.cut(b"x" * 100_000) == []
    assert lines._parts == []
    assert lines.cut(b"\nshort\n") == [b"short"]
    assert lines.skipped == 1

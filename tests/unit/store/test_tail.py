"""store/tail.py: whole lines once, truncation, replacement."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.store.tail import DocumentTail, LineTail


@given(st.lists(st.text(alphabet="ab\n", max_size=12), max_size=20))
def test_a_tail_gives_every_whole_line_once_however_it_was_written(pieces: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "f")
        tail, got = LineTail(path), []
        for piece in pieces:
            with open(path, "a") as f:
                f.write(piece)
            got += list(tail.lines())
        assert got == [line.encode() for line in "".join(pieces).split("\n")[:-1]]


def test_a_tail_reads_a_line_that_grows_for_long_twice_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from its beginning each time that a piece of it is added."""
    read = 0
    pread = os.pread

    def counted(fd: int, size: int, at: int) -> bytes:
        nonlocal read
        data = pread(fd, size, at)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    path = tmp_path / "f"
    tail = LineTail(str(path))
    for _ in range(200):
        with open(path, "ab") as f:
            f.write(b"x" * 10_000)
        assert list(tail.lines()) == []
    with open(path, "ab") as f:
        f.write(b"\nshort\n")
    assert list(tail.lines()) == [b"x" * 2_000_000, b"short"]
    assert read <= 2 * path.stat().st_size + 200 * 10_000


def test_a_tail_notices_truncation_and_replacement(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("one\ntwo\n")
    tail = LineTail(str(path))
    assert list(tail.lines()) == [b"one", b"two"]
    assert not tail.size_changed()
    path.write_text("new\n")
    assert list(tail.lines()) == [b"new"]
    (tmp_path / "g").write_text("other file\n")
    os.replace(tmp_path / "g", path)
    assert list(tail.lines()) == [b"other file"]


def test_a_document_tail_tells_changes_and_the_end(tmp_path: Path) -> None:
    path = tmp_path / "d"
    tail = DocumentTail(str(path))
    assert tail.changed() is None
    path.write_text("{}")
    assert tail.changed() == "{}"
    assert tail.changed() is None
    path.unlink()
    assert tail.changed() == ""
    assert tail.changed() is None

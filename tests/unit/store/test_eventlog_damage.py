"""An event log that another program removes, replaces or changes while it is written to, and who follows it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harnex.model.events import Diagnostic
from harnex.store.eventlog import EventLog
from harnex.store.tail import LineTail


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    made = EventLog(str(tmp_path / "events.jsonl"), "x", "r")
    for n in range(3):
        made.append(Diagnostic(what=f"event {n}"))
    return made


def seqs(log: EventLog) -> list[int]:
    return [json.loads(line)["seq"] for line in Path(log.path).read_text().splitlines()]


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("other\n")
    os.replace(other, path)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("harm", [Path.unlink, replaced, lambda path: path.rename(path.with_name("old")), linked])
def test_what_was_removed_or_replaced_is_whole_again(log: EventLog, harm: Callable[[Path], None]) -> None:
    assert log.damage() == ""
    harm(Path(log.path))
    assert log.damage() in ("removed", "replaced")
    log.restore()
    assert log.damage() == ""
    log.append(Diagnostic(what="after"))
    assert seqs(log) == [1, 2, 3, 4]
    assert not Path(log.path).is_symlink()
    assert list(Path(log.path).parent.glob("*.tmp")) == []


def test_what_was_cut_off_goes_on_behind_the_last_whole_line(log: EventLog) -> None:
    os.truncate(log.path, os.stat(log.path).st_size - 7)
    assert log.damage() == "truncated"
    log.accept()
    log.append(Diagnostic(what="after"))
    assert (seqs(log), log.damage()) == ([1, 2, 4], "")


def test_what_others_wrote_does_not_run_into_an_event(log: EventLog) -> None:
    with open(log.path, "a") as f:
        f.write("something")
    assert log.damage() == "written to"
    log.accept()
    log.append(Diagnostic(what="after"))
    assert Path(log.path).read_text().splitlines()[3:][0] == "something"
    assert json.loads(Path(log.path).read_text().splitlines()[4])["seq"] == 4


@pytest.mark.parametrize(
    ("harm", "damage"),
    [(Path.unlink, "removed"), (replaced, "replaced"), (lambda path: os.truncate(path, 0), "truncated")],
)
def test_who_follows_it_knows(log: EventLog, harm: Callable[[Path], None], damage: str) -> None:
    tail = LineTail(log.path)
    assert len(list(tail.lines())) == 3
    log.append(Diagnostic(what="more"))
    assert (len(list(tail.lines())), tail.damage) == (1, "")
    harm(Path(log.path))
    list(tail.lines())
    assert tail.damage == damage


def test_a_file_that_is_not_there_yet_is_not_damaged(tmp_path: Path) -> None:
    tail = LineTail(str(tmp_path / "later"))
    assert (list(tail.lines()), tail.damage) == ([], "")
    (tmp_path / "later").write_text("one\n")
    assert (list(tail.lines()), tail.damage) == ([b"one"], "")

"""Codex's own files, as they lie beside each other: copies in forks, threads over several captures, what is not told."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from harnex.adapters._log import seconds
from harnex.commands._records import Files
from harnex.store import logs
from harnex.store.prices import Prices
from tests.unit.test_usage import count, use, write


def uuid7(minute: int) -> str:
    """The id of what was made then."""
    digits = f"{round(1000 * (seconds('2026-11-21T12:00:00Z') or 0)) + 60_000 * minute:012x}"
    return f"{digits[:8]}-{digits[8:]}-7962-8efe-52d44533db7d"


PARENT, CHILD, OTHER = uuid7(0), uuid7(10), uuid7(20)


def at(second: float, minute: int = 0) -> str:
    return f"2026-11-21T12:{minute:02}:{second:06.3f}Z"


def row(stamp: str, kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": stamp, "type": kind, "payload": payload}


def event(stamp: str, name: str, **payload: Any) -> dict[str, Any]:
    return row(stamp, "event_msg", type=name, **payload)


def head(thread: str, stamp: str, **more: Any) -> dict[str, Any]:
    return row(stamp, "session_meta", id=thread, timestamp=stamp, cwd="/w", cli_version="0.95.0", **more)


def counts(stamps: list[str], *calls: int, before: int = 0) -> list[dict[str, Any]]:
    """Counts of calls of so many tokens, with their running total."""
    totals = [before + n for n in itertools.accumulate(calls)]
    return [row(stamp, "event_msg", **count(use(t), use(n))) for stamp, t, n in zip(stamps, totals, calls, strict=True)]


def family(folder: Path, pace: float, parent: str = PARENT, child: str = CHILD, named: str | None = None) -> list[Path]:
    """A thread of three calls, and its fork, which copied the first two at this pace and has two of its own."""
    whole = [head(parent, at(0)), *counts([at(1), at(2), at(3)], 5, 7, 9)]
    copied = counts([at(pace, 10), at(2 * pace, 10)], 5, 7)
    own = counts([at(40, 10), at(50, 10)], 20, 30, before=12)
    fork = [head(child, at(0, 10), forked_from_id=named or parent), head(parent, at(0, 10)), *copied, *own]
    return [write(folder / "parent.jsonl", *whole), write(folder / "child.jsonl", *fork)]


def told(paths: list[Path], full: bool = True) -> tuple[list[tuple[str, int | None]], list[str]]:
    """The calls of these files (thread, input), and what was said of the files."""
    files = Files("codex", [str(p) for p in paths])
    found = [(r["session"], r["input_tokens"]) for r in files.records(full)]
    return found, [word for report in files.reports for word in report.words()]


# ---- copies in forks ----


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["parent first", "child first"])
@pytest.mark.parametrize("pace", [0.001, 0.9, 3], ids=["fast", "slow", "very slow"])
@pytest.mark.parametrize("ids", [(PARENT, CHILD), ("parent-1", "child-1")], ids=["uuid", "anonymised"])
def test_what_a_fork_copied_is_counted_once(
    tmp_path: Path, full: bool, order: tuple[int, int], pace: float, ids: tuple[str, str]
) -> None:
    files = family(tmp_path, pace, *ids)
    found, words = told([files[n] for n in order], full)
    assert sorted(found) == sorted([(ids[0], 50), (ids[0], 70), (ids[0], 90), (ids[1], 200), (ids[1], 300)])
    assert words == []


def test_forks_of_a_fork_and_of_an_earlier_message(tmp_path: Path) -> None:
    files = family(tmp_path, 0.9)
    copied = counts([at(n, 20) for n in (1, 2, 3)], 5, 7, 20)
    own = counts([at(30, 20)], 50, before=32)
    grandchild = [head(OTHER, at(0, 20), forked_from_id=CHILD), head(CHILD, at(0, 20)), *copied, *own]
    files.append(write(tmp_path / "grandchild.jsonl", *grandchild))
    beginning = [head("third", at(0, 30), forked_from_id=PARENT), head(PARENT, at(0, 30)), *counts([at(9, 30)], 6)]
    files.append(write(tmp_path / "edited.jsonl", *beginning))  # its first message was edited: nothing is copied
    for order in itertools.permutations(files):
        found, words = told(list(order))
        assert sorted(n for _, n in found) == [50, 60, 70, 90, 200, 300, 500]
        assert words == []


def test_own_calls_in_the_first_second_are_no_copies(tmp_path: Path) -> None:
    parent = write(tmp_path / "p.jsonl", head(PARENT, at(0)), *counts([at(1)], 5))
    rows = [head(CHILD, at(0, 10), forked_from_id=PARENT), head(PARENT, at(0, 10))]
    rows += counts([at(0.01, 10)], 5) + counts([at(0.2, 10)], 8, before=5)
    assert sorted(told([parent, write(tmp_path / "c.jsonl", *rows)])[0]) == [(PARENT, 50), (CHILD, 80)]


def test_without_its_parent_a_copy_is_in_doubt_and_siblings_count_it_once(tmp_path: Path) -> None:
    _, fast = family(tmp_path / "a", 0.001)
    found, (word,) = told([fast])
    assert [n for _, n in found] == [200, 300]
    assert word.startswith(f"4 token counts may be copied from {PARENT}, whose file is not among these: 2 of them")
    _, slow = family(tmp_path / "b", 2)
    _, again = family(tmp_path / "c", 2, child="01a1")
    for order in ([slow, again], [again, slow]):
        found, words = told(order)
        assert sorted(n for _, n in found) == [50, 70, 200, 300]  # all that is known to be different
        assert words[0].startswith("4 token counts may be copied")


def test_a_parent_that_no_id_names_is_known_by_its_numbers_and_that_is_said(tmp_path: Path) -> None:
    files = family(tmp_path, 0.9, named="a-thread-without-a-file")
    text = files[1].read_text().replace(f'"id":"{PARENT}"', '"id":"another-name"')
    files[1].write_text(text)
    strange = write(tmp_path / "strange.jsonl", head(OTHER, at(0)), *counts([at(1)], 6))
    found, words = told([strange, *files])
    assert sorted(n for _, n in found) == [50, 60, 70, 90, 200, 300]
    assert words == [
        "its first 2 token counts are those of parent.jsonl, which its ids do not name: taken for a copy of them"
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_sums_leave_copies_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    monkeypatch.setattr("harnex.commands._records.FORK_FROM", 0)
    monkeypatch.setattr("harnex.store.forks.cores", lambda: processes)
    family(tmp_path, 0.9)
    files = Files("codex", logs.find([str(tmp_path)], "codex").files)
    total = files.sums("session", Prices(), None, None).total.fields()
    assert (total["calls"], total["input_tokens"]) == (5, 50 + 70 + 90 + 200 + 300)

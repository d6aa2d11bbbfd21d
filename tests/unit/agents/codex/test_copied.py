"""codex/copied.py: rows that a fork copied from its parent are counted once."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from harnex.usage import logs
from harnex.usage.prices import Prices
from harnex.usage.sources import Files
from tests.unit.agents._rows import count, use, write
from tests.unit.agents.codex._threads import CHILD, OTHER, PARENT, at, counts, head, row, told


def family(folder: Path, pace: float, parent: str = PARENT, child: str = CHILD, named: str | None = None) -> list[Path]:
    """A thread of three calls, and its fork, which copied the first two at this pace and has two of its own."""
    whole = [head(parent, at(0)), *counts([at(1), at(2), at(3)], 5, 7, 9)]
    copied = counts([at(pace, 10), at(2 * pace, 10)], 5, 7)
    own = counts([at(40, 10), at(50, 10)], 20, 30, before=12)
    fork = [head(child, at(0, 10), forked_from_id=named or parent), head(parent, at(0, 10)), *copied, *own]
    return [write(folder / "parent.jsonl", *whole), write(folder / "child.jsonl", *fork)]


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


def test_a_sub_agent_that_repeats_its_parents_numbers_holds_a_copy_and_that_is_said(tmp_path: Path) -> None:
    source = {"subagent": {"thread_spawn": {"parent_thread_id": PARENT}}}
    parent = write(tmp_path / "p.jsonl", head(PARENT, at(0)), *counts([at(1), at(2), at(3)], 5, 7, 9))
    rows = [head(CHILD, at(0, 10), source=source), *counts([at(2, 10), at(4, 10), at(30, 10)], 5, 7, 4)]
    child = write(tmp_path / "c.jsonl", *rows)
    own = [head(OTHER, at(0, 20), source=source), *counts([at(2, 20), at(4, 20)], 5, 6)]
    other = write(tmp_path / "o.jsonl", *own)
    for order in itertools.permutations([parent, child, other]):
        found, words = told(list(order))
        assert sorted(n for _, n in found if n is not None) == [40, 50, 50, 60, 70, 90]
        assert words == ["its first 2 token counts are those of its parent: taken for a copy of them"]


def test_a_fork_that_tells_totals_alone_begins_at_its_parents(tmp_path: Path) -> None:
    parent = write(tmp_path / "p.jsonl", head(PARENT, at(0)), *counts([at(1), at(2), at(3)], 5, 7, 9))
    totals = [row(at(n, 10), "event_msg", **count(use(t))) for n, t in ((30, 14), (40, 20))]  # forked behind the second
    child = write(tmp_path / "c.jsonl", head(CHILD, at(0, 10), forked_from_id=PARENT), *totals)
    for order in ([parent, child], [child, parent]):
        found, words = told(order)
        assert sorted(n for _, n in found if n is not None) == [20, 50, 60, 70, 90]
        assert words == []
    assert "may be copied" in told([child])[1][0]


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
    monkeypatch.setattr("harnex.usage.sources.FORK_FROM", 0)
    monkeypatch.setattr("harnex.usage.forks.cores", lambda: processes)
    family(tmp_path, 0.9)
    files = Files("codex", logs.find([str(tmp_path)], "codex").files)
    total = files.sums("session", Prices(), None, None).total.fields()
    assert (total["calls"], total["input_tokens"]) == (5, 50 + 70 + 90 + 200 + 300)

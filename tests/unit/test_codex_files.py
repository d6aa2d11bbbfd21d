"""Codex's own files, as they lie beside each other: copies in forks, threads over several captures, what is not told."""

from __future__ import annotations

import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.codex.calls import UNTOLD
from harnex.agents.codex.rollout import Rollout
from harnex.agents.codex.stream import CodexStream
from harnex.model.facts import ModelCall, Remark
from harnex.times import seconds
from harnex.usage import logs
from harnex.usage.prices import Prices
from harnex.usage.sources import Files
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


# ---- captured streams ----


def spent(n: int, new: bool = True) -> dict[str, int]:
    """A total of n hundred tokens given, as the stream tells it."""
    told = {"input_tokens": 100 * n, "cached_input_tokens": 80 * n, "output_tokens": 10 * n}
    return {**told, "reasoning_output_tokens": n} if new else told


def run(thread: str, *totals: int, new: bool = True) -> list[dict[str, Any]]:
    """What the processes of one thread print, one after the other."""
    rows: list[dict[str, Any]] = []
    for n in totals:
        rows += [{"type": "thread.started", "thread_id": thread}, {"type": "turn.started"}]
        rows.append({"type": "turn.completed", "usage": spent(n, new)})
    return rows


def calls_of(paths: list[Path]) -> tuple[list[tuple[int, bool]], list[str]]:
    """The input of each call and whether it is partial; what was said."""
    files = Files("codex", [str(p) for p in paths])
    found = list(files.records(full=True))
    assert {r["source"] for r in found} <= {"cumulative"}
    assert len({r["call_id"] for r in found}) == len(found)
    words = [word for report in files.reports for word in report.words()]
    return sorted((r["input_tokens"], r["partial"]) for r in found), words


def test_totals_of_one_thread_are_one_series_over_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.jsonl", *run("t", total)) for n, total in enumerate((4, 7, 12))]
    paths.append(write(tmp_path / "again.jsonl", *run("t", 7)))
    for order in itertools.permutations(paths):
        found, words = calls_of(list(order))
        assert found == [(300, False), (400, True), (500, False)]
        assert len(words) == 1
        assert words[0].startswith("the first total of thread t holds all")


def test_a_total_alone_may_hold_what_earlier_runs_used(tmp_path: Path) -> None:
    found, (word,) = calls_of([write(tmp_path / "2.jsonl", *run("t", 7))])
    assert found == [(700, True)]
    assert "what earlier runs used" in word


@pytest.mark.parametrize("totals", [(4, 7, 12), (12, 4, 7)], ids=["in order", "in another order"])
def test_totals_of_several_threads_in_one_file(tmp_path: Path, totals: tuple[int, ...]) -> None:
    rows = [*run("a", totals[0]), *run("b", 1), *run("a", totals[1]), *run("b", 3), *run("a", totals[2])]
    found, words = calls_of([write(tmp_path / "x.jsonl", *rows)])
    assert found == [(100, True), (200, False), (300, False), (400, True), (500, False)]
    assert len(words[0].split("; ")) == 2


def test_two_processes_that_print_into_one_file(tmp_path: Path) -> None:
    begun, ended = run("a", 4)[:2] + run("b", 6)[:2], run("b", 6)[2:] + run("a", 4)[2:]
    found, _ = calls_of([write(tmp_path / "x.jsonl", *begun, *ended)])
    assert found == [(400, True), (600, True)]


def test_streams_without_a_beginning_are_threads_of_their_own(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.jsonl", *run("t", n)[1:]) for n in (4, 6)]
    assert calls_of(files)[0] == [(400, True), (600, True)]


def test_standard_input_is_one_of_the_files(tmp_path: Path) -> None:
    later = write(tmp_path / "2.jsonl", *run("t", 7))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = "".join(json.dumps(row) + "\n" for row in run("t", 4))
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    found, words = calls_of([Path(p) for p in logs.find([str(later), str(pipe)], "codex").files])
    writer.join()
    assert found == [(300, False), (400, True)]
    assert len(words) == 1


def test_totals_up_to_0_77_are_of_each_run(tmp_path: Path) -> None:
    """What cannot be one running total is none; what can be either is said."""
    found, words = calls_of([write(tmp_path / "falls.jsonl", *run("t", 7, 4, new=False))])
    assert found == [(400, False), (700, False)]
    assert "each is taken for that of one run" in words[0]
    odd = [write(tmp_path / "a.jsonl", *run("t", 4, new=False)), write(tmp_path / "b.jsonl", *run("t", 6, new=False))]
    text = odd[1].read_text().replace('"cached_input_tokens":480', '"cached_input_tokens":100')
    odd[1].write_text(text)  # more was given, and less of it was cached
    assert calls_of(odd)[0] == [(400, False), (600, False)]
    words_each = [{"type": "item.completed", "item": {"type": "agent_message"}}]
    small = [*run("t", 40, new=False), *run("t", 41, new=False)]  # the second answer was given more than one token anew
    found, words = calls_of([write(tmp_path / "s.jsonl", *small[:2], *words_each, *small[2:5], *words_each, small[5])])
    assert found == [(4000, False), (4100, False)]
    assert "each is taken for that of one run" in words[0]
    either = [write(tmp_path / f"{n}.jsonl", *run("t", n, new=False)) for n in (4, 6)]
    found, words = calls_of(either)
    assert found == [(200, False), (400, True)]
    assert any("up to 0.77" in word for word in words)


def test_a_turn_without_usage_is_a_call_of_which_nothing_is_known(tmp_path: Path) -> None:
    """The provider sent none: Codex prints zeros."""
    files = Files("codex", [str(write(tmp_path / "x.jsonl", *run("t", 0)))])
    assert [(r["total_tokens"], r["partial"]) for r in files.records(full=True)] == [(None, False)]
    assert [word for report in files.reports for word in report.words()] == [UNTOLD]


def test_a_turn_that_adds_nothing_to_the_total_had_no_usage(tmp_path: Path) -> None:
    def turn_of(total: int, words: str) -> list[dict[str, Any]]:
        begun, started, ended = run("t", total)
        return [begun, started, {"type": "item.completed", "item": {"type": "agent_message", "text": words}}, ended]

    turns = (turn_of(4, "one"), turn_of(4, "two"), turn_of(4, "one"), turn_of(6, "one"))
    paths = [write(tmp_path / f"{n}.jsonl", *rows) for n, rows in enumerate(turns)]
    for order in itertools.permutations(paths):
        files = Files("codex", [str(p) for p in order])
        found = [(r["input_tokens"], r["partial"]) for r in files.records(full=True)]
        assert sorted(found, key=str) == [(200, False), (400, True), (None, False)]
        assert UNTOLD in [part for report in files.reports for word in report.words() for part in word.split("; ")]


def test_what_a_rollout_tells_call_by_call_no_total_tells_again(tmp_path: Path) -> None:
    own = counts([at(1), at(2)], 10, 20)  # 100 and 300 tokens given
    stream = run(PARENT, 0)[:2] + [{"type": "turn.completed", "usage": use(30)}]
    later = run(PARENT, 0)[:2] + [{"type": "turn.completed", "usage": use(50)}]
    files = [write(tmp_path / "rollout-x.jsonl", head(PARENT, at(0)), *own), write(tmp_path / "a.jsonl", *stream)]
    files.append(write(tmp_path / "b.jsonl", *later))
    for order in itertools.permutations(files):
        found, words = told(list(order))
        assert sorted(n for _, n in found if n is not None) == [100, 200, 200]
        assert not any("first total" in word for word in words)


# ---- answers that were cut off ----

ASSISTANT = {"type": "message", "role": "assistant", "content": []}
CALL, OUTPUT = ({"type": name, "call_id": "c"} for name in ("function_call", "function_call_output"))


def script(version: str, *rows: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    meta = row(at(0), "session_meta", id=PARENT, cwd="/w", cli_version=version)
    return [meta, *(row(at(1 + n), kind, **payload) for n, (kind, payload) in enumerate(rows))]


def say(name: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "event_msg", {"type": name, **more}


def item(payload: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return "response_item", {**payload, **more}


START, STOP = say("task_started", turn_id="t"), say("turn_aborted", reason="interrupted")
DONE, EMPTY = say("task_complete", last_agent_message="x"), ("event_msg", count(None))
ONE, TWO = ("event_msg", count(use(1), use(1))), ("event_msg", count(use(3), use(2)))
FAILED = say("task_complete", last_agent_message=None, error={"message": "stream disconnected"})
LIMIT = ("event_msg", {**count(use(1), use(1)), "rate_limits": {"primary": {"used_percent": 100.0}}})
RECORD = ("token_usage_record", {"thread_id": PARENT, "usage": use(1), "thread_token_usage": use(1)})
WHOLE = [item(ASSISTANT), ONE]  # an answer with its count
INTERRUPTED = {
    "in its words, 0.104": ("0.104.0", [START, EMPTY, *WHOLE, DONE, START, ONE, STOP, START, item(ASSISTANT), TWO, DONE]),
    "in its words, 0.169": ("0.169.0", [START, *WHOLE, DONE, START, ONE, STOP, START, item(ASSISTANT), TWO, DONE]),
    "before its usage, 0.104": ("0.104.0", [START, *WHOLE, DONE, START, ONE, item(ASSISTANT), STOP, START, item(ASSISTANT), TWO, DONE]),
    "before its usage, 0.169": ("0.169.0", [START, item(ASSISTANT), EMPTY, STOP, START, *WHOLE, DONE, START, item(ASSISTANT), TWO, DONE]),
    "behind a tool, 0.128": ("0.128.0", [START, item(CALL), ONE, item(OUTPUT), ONE, STOP, START, item(ASSISTANT), TWO, DONE]),
    "no end of the turn is told, 0.80": ("0.80.0", [say("user_message"), *WHOLE, say("user_message"), ONE, STOP, say("user_message"), item(ASSISTANT), TWO]),
    "dropped and asked again, 0.104": ("0.104.0", [START, EMPTY, *WHOLE, DONE, START, ONE, ONE, item(ASSISTANT), TWO, DONE]),
    "dropped and asked again, 0.169": ("0.169.0", [START, *WHOLE, DONE, START, ONE, item(ASSISTANT), TWO, DONE]),
    "dropped behind its words, 0.169": ("0.169.0", [START, *WHOLE, DONE, START, item(ASSISTANT), ONE, item(ASSISTANT), TWO, DONE]),
    "dropped, and the turn failed, 0.169": ("0.169.0", [START, *WHOLE, DONE, START, ONE, FAILED, START, item(ASSISTANT), TWO, DONE]),
    "before its usage, 0.77": ("0.77.0", [say("user_message"), EMPTY, *WHOLE, say("user_message"), ONE, item(ASSISTANT), STOP, say("user_message"), ONE, item(ASSISTANT), TWO]),
    "before its usage, 0.58": ("0.58.0", [say("user_message"), EMPTY, *WHOLE[::-1], say("user_message"), ONE, STOP, say("user_message"), ONE, TWO, item(ASSISTANT)]),
    "dropped behind a tool, 0.58": ("0.58.0", [say("user_message"), EMPTY, ONE, item(CALL), item(OUTPUT), ONE, ONE, TWO, item(ASSISTANT)]),
    "killed": ("0.169.0", [START, *WHOLE, DONE, START, item(ASSISTANT), TWO, DONE, START, item(ASSISTANT)]),
    "killed and resumed": ("0.169.0", [START, *WHOLE, DONE, START, item(ASSISTANT), START, item(ASSISTANT), TWO, DONE]),
}  # fmt: skip
NOT_CUT = {
    "its tool was interrupted, 0.104": ("0.104.0", [START, item(CALL), ONE, item(OUTPUT, output="aborted by user after 2.5s"), STOP, START, item(ASSISTANT), TWO, DONE]),
    "one of its tools was interrupted, 0.169": ("0.169.0", [START, item(CALL), item(CALL, call_id="d"), RECORD, item(OUTPUT, output="Wall time: 0.5 seconds\naborted by user"), item(OUTPUT, call_id="d"), ONE, STOP, START, item(ASSISTANT), TWO, DONE]),
    "its tool was killed, 0.145": ("0.145.0", [START, item(CALL), STOP, START, item(ASSISTANT), TWO, DONE]),
    "a record is told once more, 0.169": ("0.169.0", [START, item(CALL), RECORD, item(OUTPUT), ONE, item(ASSISTANT), TWO, DONE]),
    "the limit is reached": ("0.169.0", [START, *WHOLE, DONE, START, LIMIT, FAILED, START, item(ASSISTANT), TWO, DONE]),
    "before anything was asked": ("0.104.0", [START, *WHOLE, DONE, START, DONE, START, item(ASSISTANT), TWO, DONE]),
}  # fmt: skip


def everywhere(tmp_path: Path, rows: list[dict[str, Any]]) -> list[list[tuple[int | None, bool]]]:
    """The calls' tokens and whether they are partial: live, of the file read thoroughly and quickly."""
    live = Rollout("rollout")
    facts = [f for r in rows for f in live.row(r)] + list(live.gone())
    assert [f.text for f in facts if isinstance(f, Remark)] == []
    found = [[(f.total_tokens, f.partial) for f in facts if isinstance(f, ModelCall)]]
    path = write(tmp_path / "rollout-x.jsonl", *rows)
    for full in (True, False):
        files = Files("codex", [str(path)])
        found.append([(r["total_tokens"], r["partial"]) for r in files.records(full)])
        assert [word for report in files.reports for word in report.words()] == []
    return found


@pytest.mark.parametrize("how", INTERRUPTED)
def test_an_answer_that_was_cut_off_is_a_call_without_numbers(tmp_path: Path, how: str) -> None:
    for found in everywhere(tmp_path, script(INTERRUPTED[how][0], *INTERRUPTED[how][1])):
        assert sorted(found, key=str) == [(11, False), (22, False), (None, True)]


@pytest.mark.parametrize("how", NOT_CUT)
def test_what_was_answered_is_not_cut_off(tmp_path: Path, how: str) -> None:
    for found in everywhere(tmp_path, script(NOT_CUT[how][0], *NOT_CUT[how][1])):
        assert found == [(11, False), (22, False)]


def test_an_answer_without_usage_is_told_from_one_that_was_dropped(tmp_path: Path) -> None:
    """Up to 0.58 both are two counts without numbers; between them the one has words."""
    rows = script("0.58.0", say("user_message"), EMPTY, say("agent_message", message="x"), EMPTY, item(ASSISTANT))
    rows += script(
        "0.58.0", say("user_message"), EMPTY, EMPTY, say("agent_message", message="x"), ONE, item(ASSISTANT)
    )[1:]
    path = write(tmp_path / "x.jsonl", *rows)
    for full in (True, False):
        found = [(r["total_tokens"], r["partial"]) for r in Files("codex", [str(path)]).records(full)]
        assert found == [(None, False), (None, True), (11, False)]


@pytest.mark.parametrize("version", ["0.104.0", "0.169.0"])
def test_a_dropped_response_behind_an_answer_without_usage(tmp_path: Path, version: str) -> None:
    ended = [item(CALL), EMPTY, item(OUTPUT), EMPTY] if version == "0.104.0" else [item(CALL), item(OUTPUT), EMPTY]
    begun = [EMPTY] if version == "0.104.0" else []
    rows = script(version, START, *begun, *ended, EMPTY, *WHOLE, DONE)
    path = write(tmp_path / "x.jsonl", *rows)
    for full in (True, False):
        found = [(r["total_tokens"], r["partial"]) for r in Files("codex", [str(path)]).records(full)]
        assert sorted(found, key=str) == [(11, False), (None, False), (None, True)]


@pytest.mark.parametrize("name", ["words", "tool"])
def test_a_headless_run_that_is_stopped_tells_the_open_call_once(name: str) -> None:
    live = CodexStream((0, 169))
    list(live.spawned(7, {"HOME": "/h"}, "/w"))
    list(live.row("stream", {"type": "thread.started", "thread_id": PARENT}))
    list(live.row("stream", {"type": "turn.started"}))
    aborted = [item(CALL), ONE, item(OUTPUT, output="aborted by user")]
    rows = script("0.104.0", START, *([item(CALL), ONE, item(OUTPUT), ONE] if name == "words" else aborted), STOP)
    facts = [f for r in rows for f in live.row(PARENT, r)] + list(live.ended())
    partial = [f.partial for f in facts if isinstance(f, ModelCall)]
    assert partial == ([False, True] if name == "words" else [False])


# ---- what old versions wrote, and what is not whole ----

OLD = [
    {"id": PARENT, "timestamp": at(0), "instructions": None},
    {"record_type": "state"},
    {"type": "message", "id": None, "role": "user", "content": []},
    {"type": "message", "id": "m", "role": "assistant", "content": []},
    {"type": "function_call", "id": "f", "name": "shell", "arguments": "{}", "call_id": "c"},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"type": "function_call", "id": None, "name": "shell", "arguments": "{}", "call_id": "d"},
]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 3], ids=["whole", "no head", "from an answer on"])
def test_a_rollout_without_token_counts_says_what_is_not_counted(tmp_path: Path, full: bool, cut: int) -> None:
    words = "2 tool calls and 1 message of the model, and no token counts (old versions wrote none): not counted"
    assert told([write(tmp_path / "0.23.jsonl", *OLD[cut:])], full) == ([], [words])
    rows = script("0.30.0", *(item(r) for r in OLD[2:]))
    assert told([write(tmp_path / "0.30.jsonl", *rows)], full) == ([], [words])


def test_old_streams_tell_each_answer(tmp_path: Path) -> None:
    """As 0.23 and 0.36 print them."""
    settings = {"workdir": "/w", "model": "gpt-5", "provider": "openai"}
    for name, numbers in (
        (
            "0.23",
            [{"type": "token_count", **use(1)}, {"type": "token_count", **use(2)}, {"type": "token_count", **use(2)}],
        ),
        ("0.36", [count(use(1), use(1)), count(use(3), use(2)), count(use(5), use(2))]),
    ):
        rows = [settings, {"prompt": "go"}, *({"id": "0", "msg": m} for m in ({"type": "task_started"}, *numbers))]
        files = Files("codex", [str(write(tmp_path / f"{name}.jsonl", *rows))])
        found = [(r["total_tokens"], r["model"], r["turn"], r["partial"]) for r in files.records(full=True)]
        assert found == [(11, "gpt-5", 1, False), (22, "gpt-5", 1, False), (22, "gpt-5", 1, False)]
        assert files.problems() == []


def test_rollouts_without_a_head_are_apart_and_what_came_before_is_said(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.jsonl", *counts([at(1), at(2)], 5, 7, before=9)) for n in "ab"]
    found, words = told(paths)
    assert [n for _, n in found] == [50, 70, 50, 70]
    assert words == ["the thread had used 99 tokens before the first call that is in this file: not counted"] * 2


def test_records_name_the_thread_where_no_head_does(tmp_path: Path) -> None:
    def record(thread: str, n: int, **more: Any) -> dict[str, Any]:
        return row(at(n), "token_usage_record", thread_id=thread, usage=use(n), thread_token_usage=use(n), **more)

    path = write(tmp_path / "x.jsonl", record(PARENT, 1), record(OTHER, 2, response_id="r"))
    found, words = told([path])
    assert found == [(PARENT, 10)]
    assert words == [f"a call of thread {OTHER}, whose file is not among these, is not counted"]
    other = write(tmp_path / "y.jsonl", head(OTHER, at(0)), record(OTHER, 2, response_id="r"))
    assert told([path, other]) == ([(PARENT, 10), (OTHER, 20)], [])


# ---- sub-agents ----

SPAWN = json.dumps({"agent_id": CHILD, "nickname": "Ada"})


def collab(status: str, *threads: str) -> dict[str, Any]:
    found = {"id": "i", "type": "collab_tool_call", "tool": "spawn_agent", "receiver_thread_ids": threads}
    return {"type": f"item.{status}", "item": found}


def test_a_stream_says_whose_calls_it_does_not_hold(tmp_path: Path) -> None:
    begun, started, ended = run(PARENT, 4)
    rows = [begun, started, collab("started"), collab("completed", CHILD), collab("completed", CHILD, OTHER), ended]
    stream = write(tmp_path / "x.jsonl", *rows)
    assert "calls of 2 sub-agents are not in this stream: their rollouts tell them" in told([stream])[1][0]
    helper = write(tmp_path / "c.jsonl", head(CHILD, at(0)), *counts([at(1)], 6))
    found, words = told([stream, helper])
    assert found == [(PARENT, 400), (CHILD, 60)]
    assert "calls of 1 sub-agent are not in this stream" in words[0]


@pytest.mark.parametrize("full", [True, False])
def test_a_rollout_says_whose_calls_are_in_other_files(tmp_path: Path, full: bool) -> None:
    rows = script("0.145.0", START, item(CALL), item(OUTPUT, output=SPAWN), ONE, DONE)
    parent = write(tmp_path / "p.jsonl", *rows)
    words = ["calls of 1 sub-agent are in rollouts that are not among these files"]
    assert told([parent], full) == ([(PARENT, 10)], words)
    helper = write(tmp_path / "c.jsonl", head(CHILD, at(0)), *counts([at(1)], 6))
    assert told([parent, helper], full) == ([(PARENT, 10), (CHILD, 60)], [])


@pytest.mark.parametrize("found", [True, False])
def test_sub_agents_whose_files_are_never_found_are_said(found: bool) -> None:
    live = CodexStream((0, 169))
    list(live.spawned(7, {"HOME": "/h"}, "/w"))
    begun, started, ended = run(PARENT, 4)
    facts = [f for r in (begun, started, collab("completed", CHILD), ended) for f in live.row("stream", r)]
    for r in [head(CHILD, at(0)), *counts([at(1)], 6)] if found else []:
        facts += live.row(CHILD, r)
    facts += live.ended()
    words = [f.text for f in facts if isinstance(f, Remark)]
    assert words == ([] if found else ["calls of 1 sub-agent are not counted: their rollouts were not found"])
    assert sum(isinstance(f, ModelCall) for f in facts) == 1 + found

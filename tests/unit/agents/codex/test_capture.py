"""codex/capture.py: captured `codex exec --json`. Totals of one thread are one series over files."""

from __future__ import annotations

import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.codex.calls import UNTOLD
from harnex.usage import logs
from harnex.usage.sources import Files
from tests.unit.agents._rows import read, use, write
from tests.unit.agents.codex._threads import CHILD, OTHER, PARENT, at, collab, counts, head, run, told

# ---- captured streams ----


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


# ---- sub-agents ----


def test_a_stream_says_whose_calls_it_does_not_hold(tmp_path: Path) -> None:
    begun, started, ended = run(PARENT, 4)
    rows = [begun, started, collab("started"), collab("completed", CHILD), collab("completed", CHILD, OTHER), ended]
    stream = write(tmp_path / "x.jsonl", *rows)
    assert "calls of 2 sub-agents are not in this stream: their rollouts tell them" in told([stream])[1][0]
    helper = write(tmp_path / "c.jsonl", head(CHILD, at(0)), *counts([at(1)], 6))
    found, words = told([stream, helper])
    assert found == [(PARENT, 400), (CHILD, 60)]
    assert "calls of 1 sub-agent are not in this stream" in words[0]


# ---- the CLIs' own files ----


def test_captured_exec_json_gives_a_call_a_turn(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"type": "thread.started", "thread_id": "t"}]
    for total in (use(2), use(5)):
        given = {k: v for k, v in total.items() if k != "total_tokens"}
        rows += [{"type": "turn.started"}, {"type": "turn.completed", "usage": given}]
    found, _ = read(write(tmp_path / "exec.jsonl", *rows), "codex")
    assert [(f.call.total_tokens, f.call.source, f.turn) for f in found] == [
        (22, "cumulative", 1),
        (33, "cumulative", 2),
    ]

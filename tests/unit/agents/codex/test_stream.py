"""codex/stream.py: calls out of what `codex exec --json` prints, and the totals of more than one process."""

from __future__ import annotations

from typing import Any

import pytest

from harnex.agents.catalogue import headless_for
from harnex.agents.codex.stream import CodexStream
from harnex.model.facts import Fact, FindFile, ModelCall, Remark
from tests.unit.agents._exec import calls_of
from tests.unit.agents.codex._threads import (
    CALL,
    CHILD,
    ONE,
    OUTPUT,
    PARENT,
    START,
    STOP,
    at,
    collab,
    counts,
    head,
    item,
    run,
    script,
)

# ---- answers that were cut off ----


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


# ---- sub-agents ----


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


# ---- Codex: totals of more than one process ----


OLD = "019000e0-0000-7000-8000-000000000001"  # a thread of 2024


def turn(thread: str, **usage: int) -> list[dict[str, Any]]:
    return [
        {"type": "thread.started", "thread_id": thread},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"id": "item_0", "type": "agent_message", "text": "Well."}},
        {"type": "turn.completed", "usage": usage},
    ]


def codex(version: tuple[int, ...] = (0, 169, 0)) -> Any:
    reader = headless_for("codex").reader(version)
    reader.began = 1750000000.0
    list(reader.spawned(1, {"HOME": "/h"}, "/w"))
    return reader


def play(reader: Any, rows: list[dict[str, Any]]) -> list[Fact]:
    facts = [fact for row in rows for fact in reader.row("stream", row)]
    return [*facts, *reader.ended()]


def test_a_second_process_adds_to_the_threads_total() -> None:
    reader = codex()
    (first,) = calls_of(play(reader, turn("t-1", input_tokens=100, cached_input_tokens=60, output_tokens=10)))
    list(reader.spawned(2, {"HOME": "/h"}, "/w"))
    (second,) = calls_of(play(reader, turn("t-1", input_tokens=250, cached_input_tokens=160, output_tokens=15)))
    assert (first.input_tokens, first.output_tokens, first.partial) == (100, 10, False)
    assert (second.input_tokens, second.cache_read_tokens, second.output_tokens) == (150, 100, 5)
    assert (second.source, second.total_tokens, second.partial) == ("cumulative", 155, False)
    assert first.call_id != second.call_id


def test_a_total_that_falls_is_a_new_base_and_one_that_repeats_is_no_call() -> None:
    reader = codex()
    play(reader, turn("t-1", input_tokens=100, output_tokens=10))
    list(reader.spawned(2, {"HOME": "/h"}, "/w"))
    (call,) = calls_of(play(reader, turn("t-1", input_tokens=40, output_tokens=4)))
    assert (call.input_tokens, call.output_tokens) == (40, 4)
    list(reader.spawned(3, {"HOME": "/h"}, "/w"))
    assert calls_of(play(reader, turn("t-1", input_tokens=40, output_tokens=4))) == []


def test_totals_up_to_0_77_are_of_the_process() -> None:
    reader = codex((0, 77, 0))
    play(reader, turn("t-1", input_tokens=100, output_tokens=10))
    list(reader.spawned(2, {"HOME": "/h"}, "/w"))
    (call,) = calls_of(play(reader, turn("t-1", input_tokens=150, output_tokens=20)))
    assert (call.input_tokens, call.output_tokens) == (150, 20)


def test_what_an_older_conversation_used_is_not_counted() -> None:
    before = {"input_tokens": 1000, "cached_input_tokens": 900, "output_tokens": 50}
    rollout = [
        {"timestamp": "2024-06-10T00:00:00Z", "type": "session_meta", "payload": {"id": OLD}},
        {
            "timestamp": "2024-06-10T00:00:09Z",
            "type": "event_msg",
            "payload": {"type": "token_count", "info": {"total_token_usage": before, "last_token_usage": before}},
        },
    ]
    rows = turn(OLD, input_tokens=1200, cached_input_tokens=950, output_tokens=60)
    reader = codex()
    facts = list(reader.row("stream", rows[0]))
    assert any(isinstance(f, FindFile) and f.source == OLD for f in facts)
    for row in rollout:
        assert calls_of(list(reader.row(OLD, row))) == []
    (call,) = calls_of(play(reader, rows[1:]))
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens, call.partial) == (200, 50, 10, False)
    # Not known what it used before: said to be so.
    (call,) = calls_of(play(codex(), rows))
    assert (call.input_tokens, call.partial) == (1200, True)

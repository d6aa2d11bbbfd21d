"""codex/rollout.py: turns, sub-agents and calls out of a thread's file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.codex import screen as screens
from harnex.agents.codex.adapter import ADAPTER, CodexReader
from harnex.agents.codex.calls import UNTOLD as UNTOLD_BY_CODEX
from harnex.agents.codex.rollout import Rollout
from harnex.agents.codex.stream import CodexStream
from harnex.model.facts import (
    AgentSession,
    Fact,
    FindFile,
    ModelCall,
    Observation,
    Remark,
    ScreenView,
    State,
    SubAgent,
    Submitted,
    ToolUse,
    TurnEnded,
)
from tests.unit.agents._rows import ORDERS, THREAD, count, event, head, item, read, use, write
from tests.unit.agents.codex._bench import (
    ASKED,
    SAID,
    VERSIONS,
    counted,
    ends,
    feed,
    old_rows,
    rows,
    states,
    version_of,
)

# ---- rows ----


@pytest.mark.parametrize("version", VERSIONS)
def test_every_call_once_with_the_billed_numbers(version: str) -> None:
    """Against the endpoint's log. A response that was cut (`drop`) never told its usage: nobody can record it. The first
    one is interrupted, then six are dropped: told, without numbers."""
    told = [f for f in feed(ADAPTER.reader(None), "rollout", rows(version, "rollout")) if isinstance(f, ModelCall)]
    cut = [c.partial for c in told if c.total_tokens is None]
    assert cut == [True] * 7
    assert told[0].partial
    calls = [c for c in told if not c.partial]
    billed = [row for row in rows(version, "billed") if row["step"] != "drop"]
    got = [
        (c.input_tokens, c.cache_read_tokens, c.output_tokens, c.reasoning_tokens, c.total_tokens, c.model)
        for c in calls
    ]
    want = [
        (
            u["input_tokens"],
            u["input_tokens_details"]["cached_tokens"],
            u["output_tokens"],
            u["output_tokens_details"]["reasoning_tokens"],
            u["total_tokens"],
            "gpt-5",
        )
        for u in (row["usage"] for row in billed)
    ]
    assert got == want
    assert len({c.call_id for c in calls}) == len(calls)
    if version == "0.169.0":
        assert [c.call_id for c in calls] == [row["id"] for row in billed]


@pytest.mark.parametrize("version", VERSIONS)
def test_turns_of_the_rollout(version: str) -> None:
    facts = feed(ADAPTER.reader(version_of(version)), "rollout", rows(version, "rollout"))
    assert len([f for f in facts if isinstance(f, AgentSession)]) == 1
    texts = [f.text for f in facts if isinstance(f, Submitted)]
    assert texts[0] == 'go SCRIPT:[["hang", 6]]'
    assert "a queued message" in texts
    ends = [f for f in facts if isinstance(f, TurnEnded)]
    assert [e.outcome for e in ends][:4] == ["interrupted", "completed", "completed", "completed"]
    assert ends[3].last_message == "The tool is done."
    assert len({e.turn_key for e in ends}) == len(ends)
    assert "" not in {e.turn_key for e in ends}
    if version_of(version) >= (0, 145):
        assert [e.reason for e in ends if e.outcome == "failed"] == ["rate_limit", "auth", "network", "context"]
    tools = [f for f in facts if isinstance(f, ToolUse)]
    assert [t.status for t in tools[:4]] == ["started", "completed", "started", "failed"]
    assert tools[0].input_preview == "sleep 4; echo tool done"
    assert tools[1].tool == tools[0].tool
    assert tools[1].duration_s == pytest.approx(4.07, abs=0.1)


def test_history_of_a_resumed_thread_is_not_told() -> None:
    old = rows("0.145.0", "rollout")
    reader = ADAPTER.reader((0, 145))
    reader.rollout.began = 1795240282.0  # 05:51:22: in the middle of the recording
    facts = feed(reader, "rollout", old)
    assert len([f for f in facts if isinstance(f, AgentSession)]) == 1
    assert not any(isinstance(f, Submitted) and "hang" in f.text for f in facts)
    calls = [f for f in facts if isinstance(f, ModelCall)]
    everything = [f for f in feed(ADAPTER.reader(None), "rollout", old) if isinstance(f, ModelCall)]
    assert 0 < len(calls) < len(everything)
    assert calls == everything[-len(calls) :]  # with the ids and numbers that they always have


def test_the_parents_rows_in_a_fork_are_not_told() -> None:
    """Up to 0.145 a fork copies its parent's rows under new stamps; turn ids keep the time of their making."""
    parent = rows("0.145.0", "rollout")
    head = {"type": "session_meta", "timestamp": "2026-11-21T07:00:00.000Z", "payload": {"id": "fork", "source": "cli"}}
    copied = [{**row, "timestamp": "2026-11-21T07:00:00.001Z"} for row in parent]
    reader = ADAPTER.reader((0, 145))
    reader.rollout.began = 1795244400.0  # 07:00
    facts = feed(reader, "rollout", [head, *copied])
    assert facts == [AgentSession("fork")]
    turn = {"type": "task_started", "turn_id": "01a1fce8-0000-7000-8000-000000000000"}
    facts = feed(reader, "rollout", [{"type": "event_msg", "timestamp": "2026-11-21T07:01:00.000Z", "payload": turn}])
    assert states(facts) == [("busy", "")]


@pytest.mark.parametrize("version", ["0.145.0", "0.169.0"])
def test_sub_agents(version: str) -> None:
    reader = ADAPTER.reader(version_of(version))
    facts = feed(reader, "rollout", rows(version, "sub_parent"))
    asked = [f for f in facts if isinstance(f, FindFile)]
    assert len(asked) == 1
    child = rows(version, "sub_child")
    assert asked[0].held == f"rollout-*{child[0]['payload']['id']}.jsonl"
    facts = feed(reader, asked[0].source, child)
    assert {type(f) for f in facts} == {ModelCall, SubAgent}  # no state, no turn, no session of its own
    name = child[0]["payload"]["source"]["subagent"]["thread_spawn"]["agent_nickname"]
    assert [f.agent for f in facts if isinstance(f, ModelCall)] == [name]
    assert [f for f in facts if isinstance(f, SubAgent)] == [SubAgent(name, "started"), SubAgent(name, "ended")]


def test_a_sub_agents_file_found_first_is_not_taken_for_the_main_one() -> None:
    reader = ADAPTER.reader((0, 169))
    child, parent = rows("0.169.0", "sub_child"), rows("0.169.0", "sub_parent")
    facts = feed(reader, "rollout", child)
    assert not any(isinstance(f, AgentSession | TurnEnded | Observation) for f in facts)
    [find] = [f for f in facts if isinstance(f, FindFile)]
    assert find.held == f"rollout-*{parent[0]['payload']['id']}.jsonl"
    facts = feed(reader, find.source, parent)
    assert AgentSession(parent[0]["payload"]["id"]) in facts
    assert {f.source for f in facts if isinstance(f, Observation)} == {"rollout"}


# ---- what other versions showed ----


CALL = {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}


def test_a_tool_that_is_written_late_is_no_end() -> None:
    """0.58 writes a tool's call beside its output: until then the rows look like an answer's."""
    reader = ADAPTER.reader((0, 58))
    rows = old_rows(ASKED, {"type": "agent_message", "message": "I run it."}, counted(1))
    assert ends(feed(reader, "rollout", rows)) == []
    more = old_rows(SAID, CALL, OUTPUT, {"type": "agent_message", "message": "Done."}, counted(2))[1:]
    assert ends(feed(reader, "rollout", more)) == []
    told = {"type": "agent-turn-complete", "thread-id": "t1", "turn-id": "1", "last-assistant-message": "Done."}
    assert ends(reader.row("notify", told)) == [("completed", "Done.")]


def test_a_thread_that_counts_otherwise_is_told_once() -> None:
    """What the CLI says that it used against what was counted: both numbers, one diagnostic."""
    reader = ADAPTER.reader((0, 169))
    good = rows("0.169.0", "rollout")
    feed(reader, "rollout", good)
    assert [f for f in reader.ended() if isinstance(f, Remark)] == []
    bad = json.loads(json.dumps(good))
    last = [r for r in bad if r["type"] == "token_usage_record"][-1]["payload"]
    last["thread_token_usage"]["output_tokens"] += 1000
    reader = ADAPTER.reader((0, 169))
    feed(reader, "rollout", bad)
    (remark,) = [f for f in reader.ended() if isinstance(f, Remark)]
    assert f"output_tokens {last['thread_token_usage']['output_tokens']:,}" in remark.text


PLAN = (
    "  Implement this plan?",
    "",
    "› 1. Yes, implement this plan          Switch to Default and start coding",
    "  2. Yes, clear context and implement  Fresh thread with this plan",
    "  3. No, stay in Plan mode             Continue planning with the model",
    "",
    "  enter select · esc back",
)


def test_a_plan_is_the_last_word_of_its_turn_and_asks() -> None:
    """0.104 to 0.169 end such a turn without a message, and ask a moment after it."""
    reading = screens.read(ScreenView(PLAN, cursor_hidden=True))
    assert (reading.dialog, len(reading.options)) == ("plan", 3)
    reader = CodexReader((0, 163, 0))
    rows = (
        {"type": "task_started", "turn_id": "t1"},
        {"type": "item_completed", "item": {"type": "UserMessage", "content": [{"text": "plan it"}]}},
        {"type": "item_completed", "item": {"type": "Plan", "text": "# Plan"}},
        {"type": "task_complete", "turn_id": "t1", "last_agent_message": None},
    )
    facts = [f for row in rows for f in reader.row("rollout", {"type": "event_msg", "payload": row})]
    assert [(f.outcome, f.last_message) for f in facts if isinstance(f, TurnEnded)] == [("completed", "# Plan")]
    (said,) = [f for f in facts if isinstance(f, Observation) and f.state is State.PROMPT]
    assert said.settle_s > 0
    (idle,) = reader.osc(7501, "state=idle:app=codex")
    assert isinstance(idle, Observation)
    assert idle.settle_s > 0


def test_an_end_that_stayed_unclear_is_told_when_the_next_turn_begins() -> None:
    reader = CodexReader((0, 145, 0))
    rows = (
        {"type": "task_started", "turn_id": "t1"},
        {"type": "task_complete", "turn_id": "t1", "last_agent_message": None},
        {"type": "task_started", "turn_id": "t2"},
    )
    facts = [f for row in rows for f in reader.row("rollout", {"type": "event_msg", "payload": row})]
    assert [f.turn_key for f in facts if isinstance(f, TurnEnded)] == ["t1"]


# ---- Codex ----


@pytest.mark.parametrize("version", ["0.104.0", "0.145.0"])
def test_an_answer_without_usage_is_a_call_of_which_nothing_is_known(version: str) -> None:
    nothing = {"type": "token_count", "info": None}
    late = version == "0.145.0"  # writes the count behind the tools

    def tool(n: int, seconds: float) -> list[dict[str, Any]]:
        output = item("function_call_output", seconds + 0.2, call_id=f"c{n}")
        counted = event(nothing, seconds + 0.3)
        asked = [] if late else [event(nothing, seconds + 0.4)]  # the next request repeats it
        return [
            item("function_call", seconds, call_id=f"c{n}"),
            *([output, counted] if late else [counted, output]),
            *asked,
        ]

    rows = [
        head(version), event({"type": "task_started"}, 1), *([] if late else [event(nothing, 1.5)]), *tool(1, 2), *tool(2, 4),
        item("message", 6, role="assistant"), event(nothing, 6.3), event({"type": "task_complete"}, 6.4),
    ]  # fmt: skip
    rollout = Rollout("rollout")
    found = [fact for row in rows for fact in rollout.row(row)] + list(rollout.gone())
    assert [(f.output_tokens, f.input_tokens, f.partial) for f in found if isinstance(f, ModelCall)] == [
        (None, None, False)
    ] * 3
    assert [f.text for f in found if isinstance(f, Remark)] == [UNTOLD_BY_CODEX] * 3


def test_a_count_that_repeats_is_no_answer_without_usage() -> None:
    """An answer whose tools were killed is counted with the next one (0.145)."""
    rows = [
        head("0.145.0"), event({"type": "task_started"}, 1), item("message", 2, role="assistant"),
        event(count(use(1), use(1)), 2.1), item("function_call", 3, call_id="c1"), event(count(use(1), use(1)), 4),
    ]  # fmt: skip
    rollout = Rollout("rollout")
    assert len([f for row in rows for f in rollout.row(row) if isinstance(f, ModelCall)]) == 1


# ---- when a limit ends ----


@pytest.mark.parametrize(
    ("message", "at"),
    [
        ("You've hit your usage limit. Try again in 1 hour 30 minutes.", "2026-11-21T13:29:59.000Z"),
        ("You've hit your usage limit. Try again at Nov 25th, 2026 3:45 PM.", "2026-11-25T15:45:00.000Z"),
        ("You’ve hit your usage limit. … or try again at 11:59 AM.", "2026-11-21T11:59:00.000Z"),
        ("You’ve hit your usage limit. … or try again at 11:58 AM.", "2026-11-22T11:58:00.000Z"),
        ("You've hit your usage limit. Try again at 3 PM.", "2026-11-21T15:00:00.000Z"),
        ("Rate limit reached … Please try again in 20s.", "2026-11-21T12:00:19.000Z"),
        ("You've hit your usage limit. Try again at 3:75 PM.", None),
        ("You've hit your usage limit. Try again later.", None),
        ("something else. Try again in 20s.", None),  # no limit: the time is not that of a reset
    ],
)
def test_when_a_limit_ends_by_its_words(message: str, at: str | None) -> None:
    rollout = Rollout("rollout", last_at=datetime(2026, 11, 21, 11, 59, 59, 250000, UTC).timestamp(), zone=UTC)
    assert rollout.failed(message).retry_at == at


SPENT = {"message": "You've hit your usage limit. Try again at 6:30 PM.", "codex_error_info": "usage_limit_exceeded"}
KOLKATA = timezone(timedelta(hours=5.5))  # 6:30 PM is 13:00 UTC


def resets(facts: Iterable[Fact]) -> list[str | None]:
    return [f.retry_at for f in facts if isinstance(f, TurnEnded)]


def test_a_limit_ends_by_the_clock_of_the_agent() -> None:
    rows = [
        head("0.169.0"),
        event({"type": "task_started", "turn_id": "t"}, 1),
        event({"type": "task_complete", "turn_id": "t", "last_agent_message": None, "error": SPENT}, 2),
    ]
    reader = CodexReader((0, 169, 0))
    reader.zone = KOLKATA
    list(reader.spawned(1, {}, "/w"))
    assert resets(feed(reader, "rollout", rows)) == ["2026-11-21T13:00:00.000Z"]
    stream = CodexStream((0, 169, 0))
    stream.zone = KOLKATA
    list(stream.spawned(1, {"HOME": "/h"}, "/w"))
    list(stream.row("stream", {"type": "thread.started", "thread_id": THREAD}))
    for row in rows[:2]:
        list(stream.row(THREAD, row))
    failed = {"type": "turn.failed", "error": {"message": SPENT["message"]}}
    assert resets(stream.row("stream", failed)) == ["2026-11-21T13:00:00.000Z"]


# ---- durations ----


@pytest.mark.parametrize("version", ORDERS)
def test_how_long_a_call_of_codex_took(tmp_path: Path, version: str) -> None:
    rows = [head(version), *ORDERS[version]]
    live = Rollout("rollout", late_items=version == "0.58.0")
    told = [f for row in rows for f in live.row(row) if isinstance(f, ModelCall)]
    assert [c.duration_s for c in told] == [pytest.approx(3, abs=0.001), pytest.approx(2, abs=0.001)]
    logged, _ = read(write(tmp_path / f"rollout-{THREAD}.jsonl", *rows), "codex", full=True)
    assert [x.call.duration_s for x in logged] == [c.duration_s for c in told]

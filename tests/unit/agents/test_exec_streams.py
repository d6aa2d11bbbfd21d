"""The headless readers on what the real CLIs printed and recorded, held against the endpoint's bill.

The stream and the CLI's own records reach harnex by different ways, in any order: every order must come out the same.
"""

from __future__ import annotations

import json
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.catalogue import headless_for
from harnex.agents.claude.calls import UNTOLD
from harnex.agents.common.ledger import Ledger, difference
from harnex.model.facts import (
    AgentSession,
    Fact,
    FinalAnswer,
    FindFile,
    ModelCall,
    Observation,
    Remark,
    Rest,
    State,
    Submitted,
    TodoList,
    ToolUse,
    TurnEnded,
)

CORPUS = Path(__file__).parents[2] / "corpus"
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
ALL = sorted(CORPUS.glob("*/*/exec-*"))
JOBS = [path for path in ALL if path.name == "exec-job"]
KILLED = [path for path in ALL if path.name == "exec-killed"]
Row = tuple[str, dict[str, Any]]


def named(path: Path) -> str:
    return f"{path.parent.parent.name}-{path.parent.name}-{path.name[5:]}"


def rows_of(path: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / name).read_text().splitlines()]


@lru_cache(maxsize=8)
def case(path: Path) -> tuple[str, tuple[int, ...], list[Row], list[Row], list[dict[str, Any]]]:
    about = json.loads((path / "about.json").read_text())
    stream: list[Row] = [("stream", row) for row in rows_of(path, "stream.jsonl")]
    records: list[Row] = [(row["source"], row["row"]) for row in rows_of(path, "records.jsonl")]
    version = tuple(map(int, about["version"].split(".")))
    return about["cli"], version, stream, records, rows_of(path, "billed.jsonl")


def read(path: Path, order: str, seed: int = 0) -> list[Fact]:
    """All facts of a run whose rows are read in this order."""
    cli, version, stream, records, _ = case(path)
    reader: Any = headless_for(cli).reader(version)
    env = {"HOME": "/home", "HARNEX_CLAUDE_HOOKS": "/run/hooks.jsonl"}
    facts = list(reader.spawned(1, env, "/work"))
    if order == "stream first":
        rows = stream + records
    elif order == "no records":
        rows = stream
    else:
        dice, rows, left, right = random.Random(seed), [], list(stream), list(records)
        head = 2 if cli == "codex" else 0  # a rollout is followed when its thread is known
        rows += left[:head]
        del left[:head]
        while left or right:
            side = left if not right or (left and dice.random() < len(left) / (len(left) + len(right))) else right
            rows.append(side.pop(0))
    for source, row in rows:
        facts += reader.row(source, row)
    facts += reader.ended()
    assert list(reader.ended()) == []
    return facts


def calls_of(facts: list[Fact]) -> list[ModelCall]:
    return [fact for fact in facts if isinstance(fact, ModelCall)]


def check_calls(path: Path, calls: list[ModelCall]) -> list[ModelCall]:
    """Every finished call of the bill once, with its numbers; returns those that are beside it."""
    *_, billed = case(path)
    left = [row for row in billed if row["finished"] and row["kind"] != "side"]
    beside = []
    for call in calls:
        same = [row for row in left if row["id"] == call.call_id] or [
            row for row in left if all(getattr(call, n) in (None, row[n]) for n in TOKENS) and "resp_" in row["id"]
        ]
        if call.partial or not same:
            beside.append(call)
            continue
        left.remove(same[0])
        assert [getattr(call, n) for n in TOKENS[:2]] == [same[0][n] for n in TOKENS[:2]]
        assert call.output_tokens == same[0]["output_tokens"]
        for name in ("cache_write_tokens", "reasoning_tokens"):
            assert getattr(call, name) in (None, same[0][name]), name
    assert left == []
    assert len({call.call_id for call in calls}) == len(calls)
    return beside


@pytest.mark.parametrize("order", ["stream first", *(f"mixed {n}" for n in range(6))])
@pytest.mark.parametrize("path", JOBS, ids=named)
def test_calls_are_the_bill_whatever_comes_first(path: Path, order: str) -> None:
    facts = read(path, order, seed=hash(order) % 1000 if order == "stream first" else int(order.split()[-1]))
    assert [call for call in check_calls(path, calls_of(facts)) if call.agent == "main"] == []
    remarks = [fact.text for fact in facts if isinstance(fact, Remark)]
    # 1.0 and 2.0 sum side calls, and leave out what they asked without streaming: that is said, once.
    old = path.parent.name.startswith(("1.", "2.0"))
    assert len(remarks) == (1 if old else 0), remarks
    if old:
        assert "haiku" in remarks[0] and "against" in remarks[0]


@pytest.mark.parametrize("path", JOBS, ids=named)
def test_a_job_is_one_turn_with_its_tools_its_list_and_its_answer(path: Path) -> None:
    facts = read(path, "stream first")
    assert len([f for f in facts if isinstance(f, Submitted)]) == 1
    ends = [f for f in facts if isinstance(f, TurnEnded)]
    # Told that its sub-agent is done, Codex may ask the model once more than the script has answers.
    (answer,) = [f.text for f in facts if isinstance(f, FinalAnswer)]
    assert answer in ("The file is made.", "All done. The task is complete.")
    assert [(f.outcome, f.last_message) for f in ends] == [("completed", answer)]
    assert len({f.session_id for f in facts if isinstance(f, AgentSession)}) == 1
    assert [f.state for f in facts if isinstance(f, Observation)] == [State.STARTING, State.BUSY]
    tools = [f for f in facts if isinstance(f, ToolUse)]
    shell = [f for f in tools if f.tool in ("Bash", "shell")]
    started = [f for f in shell if f.status == "started"]
    assert any("echo made" in f.input_preview for f in started)
    assert {f.call_id for f in started} == {f.call_id for f in shell if f.status != "started"}
    assert [
        f.status for f in shell if f.call_id == next(s.call_id for s in started if "exit 3" in s.input_preview)
    ] == [
        "started",
        "failed",
    ]
    lists = [f for f in facts if isinstance(f, TodoList)]
    if path.parent.name not in ("0.169.0", "2.1.329"):  # these offer the model no such tool
        assert [text for text, _ in lists[-1].items] == ["first", "second"]


@pytest.mark.parametrize("path", [p for p in JOBS if "2.1" in p.parent.name], ids=named)
def test_attempts_are_counted_where_they_are_told(path: Path) -> None:
    calls = [call for call in calls_of(read(path, "stream first")) if call.agent == "main"]
    assert [call.attempts for call in calls] == [None, 3, None, None]


@pytest.mark.parametrize("order", ["stream first", "mixed 1", "mixed 2", "no records"])
@pytest.mark.parametrize("path", KILLED, ids=named)
def test_a_call_that_was_cut_off_is_partial_and_the_others_exact(path: Path, order: str) -> None:
    if order == "no records" and path.parent.parent.name == "codex":
        pytest.skip("Codex's stream has no numbers before the end of the turn")
    facts = read(path, order, seed=7)
    beside = [call for call in check_calls(path, calls_of(facts)) if call.agent == "main"]
    *_, billed = case(path)
    open_call = next(row for row in billed if not row["finished"])
    assert [(call.partial, call.output_tokens) for call in beside] == [(True, None)]
    if path.parent.parent.name == "claude":
        assert (beside[0].call_id, beside[0].input_tokens) == (open_call["id"], open_call["input_tokens"])
    assert [f for f in facts if isinstance(f, TurnEnded | FinalAnswer | Remark)] == []


@pytest.mark.parametrize("path", [p for p in JOBS if p.parent.parent.name == "codex"], ids=named)
def test_without_a_rollout_the_total_is_one_call(path: Path) -> None:
    *_, billed = case(path)
    main = [row for row in billed if row["kind"] == "main"]
    calls = calls_of(read(path, "no records"))
    assert [(call.source, call.partial) for call in calls] == [("cumulative", False)]
    for name in TOKENS:
        assert getattr(calls[0], name) in (None, sum(row[name] for row in main))
    assert calls[0].output_tokens == sum(row["output_tokens"] for row in main)


@pytest.mark.parametrize(
    ("name", "reason"), [("exec-refused", "auth"), ("exec-torn", "network")], ids=["refused", "torn"]
)
def test_an_error_is_a_failed_turn_with_its_reason(name: str, reason: str) -> None:
    paths = [path for path in ALL if path.name == name]
    assert paths
    for path in paths:
        facts = read(path, "stream first")
        ends = [(f.outcome, f.reason) for f in facts if isinstance(f, TurnEnded)]
        assert ends == [("failed", reason)], path
        assert [f for f in facts if isinstance(f, FinalAnswer)] == []
        assert check_calls(path, [c for c in calls_of(facts) if not c.partial and c.agent == "main"]) == []


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


def test_a_difference_to_codexs_total_is_one_remark_with_both_numbers() -> None:
    path = next(p for p in JOBS if p.parent.name == "0.145.0")
    _, version, stream, records, _ = case(path)
    reader: Any = headless_for("codex").reader(version)
    list(reader.spawned(1, {"HOME": "/home"}, "/work"))
    lost = [r for r in records if r[1].get("type") == "event_msg" and r[1]["payload"].get("type") == "token_count"][-1]
    facts: list[Fact] = []
    for source, row in [*stream, *(r for r in records if r is not lost)]:
        facts += reader.row(source, row)
    facts += reader.ended()
    (remark,) = [f.text for f in facts if isinstance(f, Remark)]
    total = next(row["usage"] for _, row in stream if row["type"] == "turn.completed")
    assert str(total["output_tokens"]) in remark and "against" in remark


# ---- Claude Code ----


def play_claude(*rows: dict[str, Any], version: tuple[int, ...] = (2, 1, 329)) -> list[Fact]:
    """All facts of a run without partial messages and without a transcript."""
    reader = headless_for("claude").reader(version)
    list(reader.spawned(1, {"HOME": "/h"}, "/w"))
    return [*(fact for row in rows for fact in reader.row("stream", row)), *reader.ended()]


def message(n: int, stop: str | None = None, out: int = 1) -> dict[str, Any]:
    usage = {"input_tokens": 10 * n, "output_tokens": out}
    own = {"id": f"m{n}", "model": "x", "content": [], "stop_reason": stop, "usage": usage}
    return {"type": "assistant", "message": own}


def result(**usage: int) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "result": "ok", "usage": usage}


def test_a_total_tells_the_one_call_that_has_no_number() -> None:
    (call,) = calls_of(play_claude(message(1), result(input_tokens=10, output_tokens=9)))
    assert (call.output_tokens, call.total_tokens, call.source, call.partial) == (9, 19, "cumulative", False)


def test_of_several_calls_without_a_number_a_total_tells_the_sum_alone() -> None:
    facts = play_claude(message(1), message(2), result(input_tokens=30, output_tokens=9))
    assert [(c.call_id, c.output_tokens, c.partial) for c in calls_of(facts)] == [
        ("m1", None, False),
        ("m2", None, False),
    ]
    (rest,) = [f for f in facts if isinstance(f, Rest)]
    assert (rest.call_ids, rest.output_tokens, rest.total_tokens) == (("m1", "m2"), 9, 39)
    assert facts.index(rest) > max(facts.index(c) for c in calls_of(facts))


@pytest.mark.parametrize("given", [31, 29, 0], ids=["another call is in it", "one is not", "nothing"])
def test_a_total_of_other_calls_proves_nothing(given: int) -> None:
    facts = play_claude(message(1), message(2), result(input_tokens=given, output_tokens=9))
    assert [c.output_tokens for c in calls_of(facts)] == [None, None]
    assert not any(isinstance(f, Rest) for f in facts)


def test_a_total_that_holds_an_answer_that_was_cut_off_proves_nothing() -> None:
    """2.1.329 adds up what the start of such an answer said."""
    start = {"type": "message_start", "message": message(2)["message"]}
    facts = play_claude(message(1), {"type": "stream_event", "event": start}, result(input_tokens=30, output_tokens=9))
    assert [(c.call_id, c.output_tokens) for c in calls_of(facts)] == [("m1", None), ("m2", None)]
    assert not any(isinstance(f, Rest) for f in facts)


def test_an_answer_that_ended_without_a_usage_has_none() -> None:
    """Neither by its row in the transcript, which has the placeholder, nor by a total, which is made of those."""
    reader = headless_for("claude").reader((2, 1, 329))
    list(reader.spawned(1, {"HOME": "/h"}, "/w"))
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": message(1)["message"]},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    facts = [fact for event in told for fact in reader.row("stream", {"type": "stream_event", "event": event})]
    facts += reader.row("transcript", {**message(1, "end_turn"), "uuid": "u"})
    facts += [*reader.row("stream", result(input_tokens=10, output_tokens=1)), *reader.ended()]
    assert [(c.call_id, c.output_tokens, c.stop_reason) for c in calls_of(facts)] == [("m1", None, "end_turn")]
    assert not any(isinstance(f, Rest) for f in facts)
    assert [f.text for f in facts if isinstance(f, Remark)] == [UNTOLD]


def test_an_answer_that_was_cut_is_no_answer() -> None:
    """2.0 and before take the piece that came for the whole, and say success."""
    reader = headless_for("claude").reader((2, 0, 77))
    list(reader.spawned(1, {"HOME": "/h"}, "/w"))
    start = {"type": "message_start", "message": {"id": "m1", "model": "x", "usage": {"input_tokens": 5}}}
    rows: list[dict[str, Any]] = [
        {"type": "stream_event", "event": start},
        {"type": "result", "subtype": "success", "is_error": False, "result": "half of"},
    ]
    facts = [fact for row in rows for fact in reader.row("stream", row)]
    assert [(f.outcome, f.reason) for f in facts if isinstance(f, TurnEnded)] == [("failed", "network")]
    assert [f for f in facts if isinstance(f, FinalAnswer)] == []


def test_pieces_of_blocks_are_not_kept() -> None:
    reader = headless_for("claude").reader((2, 1, 329))
    assert not reader.keeps({"type": "stream_event", "event": {"type": "content_block_delta"}})
    assert reader.keeps({"type": "stream_event", "event": {"type": "message_delta"}})
    assert reader.keeps({"type": "assistant"})


def test_a_call_is_told_once_by_whoever_has_its_end() -> None:
    ledger = Ledger()
    begun = ModelCall("a", input_tokens=5, partial=True, text_preview="words", source="stream")
    assert list(ledger.take(begun)) == []
    (told,) = ledger.take(ModelCall("a", input_tokens=5, output_tokens=2))
    assert (told.output_tokens, told.text_preview, told.partial) == (2, "words", False)
    assert list(ledger.take(ModelCall("a", input_tokens=5, output_tokens=3))) == []
    ledger.start()
    assert list(ledger.take(ModelCall("a", input_tokens=5, output_tokens=3))) == []
    assert ledger.sums() == {}
    assert list(ledger.close(cut=False)) == []


def test_a_difference_names_only_what_both_know() -> None:
    assert difference({"input_tokens": 3, "output_tokens": 4}, {"input_tokens": 3}) == ""
    assert difference({"input_tokens": 3}, {"input_tokens": 5, "output_tokens": 1}) == "input 3 against 5"

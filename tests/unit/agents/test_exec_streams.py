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
from harnex.model.facts import (
    AgentSession,
    Fact,
    FinalAnswer,
    ModelCall,
    Observation,
    Remark,
    State,
    Submitted,
    TodoList,
    ToolUse,
    TurnEnded,
)
from tests.unit.agents._exec import calls_of

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

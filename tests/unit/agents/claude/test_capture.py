"""claude/capture.py: captured output of `claude -p`. A number that is told is right, and what is unknown is null."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harnex.usage.sums import Sums
from tests.unit.agents._rows import read, spoke, write
from tests.unit.agents.claude._tokens import EARLY, files, init, result, row

# ---- what was captured of `claude -p` ----


def model_usage(calls: int, out: int, model: str = "m") -> dict[str, Any]:
    return {model: {"inputTokens": 3 * calls, "cacheReadInputTokens": 4 * calls, "outputTokens": out}}


def piece(event: dict[str, Any]) -> dict[str, Any]:
    return {"type": "stream_event", "session_id": "s", "event": event}


def captured(tmp_path: Path, *rows: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
    """Records without the rests, what they all sum up to, and the words on the file."""
    found, source = files(write(tmp_path / "capture.jsonl", *rows))
    sums = Sums()
    for record in found:
        sums.add(record)
    only = [r for r in found if "call_ids" not in r]
    return only, sums.fields(), [p["difference"] for p in source.problems()]


def test_of_one_call_the_result_tells_the_output(tmp_path: Path) -> None:
    found, sums, words = captured(tmp_path, init(), row("a", **EARLY), row("b", out=9), result(2, 59))
    assert [(r["call_id"], r["output_tokens"], r["source"]) for r in found] == [
        ("a", 50, "cumulative"),
        ("b", 9, "stream"),
    ]
    assert (sums["output_tokens"], sums["unknown"], words) == (59, {}, [])


@pytest.mark.parametrize("version", ["1.0.128", "2.0.77", "2.1.329"])
def test_of_several_calls_the_result_tells_the_sum(tmp_path: Path, version: str) -> None:
    found, sums, words = captured(tmp_path, init(version), row("a", **EARLY), row("b", **EARLY), result(2, 543))
    assert [(r["call_id"], r["output_tokens"], r["partial"]) for r in found] == [("a", None, False), ("b", None, False)]
    assert (sums["calls"], sums["output_tokens"], sums["total_tokens"], sums["unknown"]) == (2, 543, 557, {})
    assert words == []


def test_the_end_of_a_message_tells_its_output(tmp_path: Path) -> None:
    """Several `message_delta`: sums, fields left out, and the last one with the stop reason counts."""

    def delta(stop: str | None, **used: int) -> dict[str, Any]:
        return piece({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": used})

    start = piece({"type": "message_start", "message": row("a", **EARLY)["message"]})
    rows = (init(), start, row("a", **EARLY), delta(None, output_tokens=20), delta("end_turn", output_tokens=40))
    found, sums, _words = captured(tmp_path, *rows, result(1, 40))
    assert [(r["input_tokens"], r["output_tokens"], r["stop_reason"]) for r in found] == [(7, 40, "end_turn")]
    # The stream breaks before the last one: what was told so far is no end.
    found, _, _ = captured(tmp_path, *rows[:-1])
    assert [(r["output_tokens"], r["partial"]) for r in found] == [(None, True)]
    # Nor is an end without a usage, and the total is of the placeholder.
    silent = piece({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    found, sums, _ = captured(tmp_path, *rows[:3], silent, result(1, 3))
    assert [(r["output_tokens"], r["partial"]) for r in found] == [(None, False)]
    assert sums["output_tokens"] is None


def test_a_total_that_contradicts_the_rows_is_a_problem_with_both_numbers(tmp_path: Path) -> None:
    found, sums, words = captured(tmp_path, init("2.1.7"), row("a", out=5), result(1, 25))
    assert [(r["output_tokens"], r["source"]) for r in found] == [(25, "cumulative")]
    assert words == ["its total contradicts its rows in turn 1: output_tokens 25 (the calls: 5)"]
    found, sums, words = captured(tmp_path, init("2.1.7"), row("a", out=5), row("b", out=5), result(2, 90))
    assert [r["output_tokens"] for r in found] == [None, None]
    assert (sums["output_tokens"], len(words)) == (90, 1)
    # A total that says less: the rows have a stop reason, and stay.
    found, sums, words = captured(tmp_path, init("2.1.7"), row("a", out=50), result(1, 25))
    assert ([r["output_tokens"] for r in found], len(words)) == ([50], 1)


def test_sub_agents_are_in_the_totals_by_model(tmp_path: Path) -> None:
    task = result(1, 9, modelUsage=model_usage(3, 59))
    rows = (init(), row("a", out=9), row("x", "t1", **EARLY), row("y", "t1", **EARLY), task)
    found, sums, words = captured(tmp_path, *rows)
    assert [r["output_tokens"] for r in found] == [9, None, None]
    assert (sums["output_tokens"], sums["unknown"], words) == (59, {}, [])
    # A call of a sub-agent that the stream does not tell (its last one, up to 2.1.197).
    found, sums, words = captured(tmp_path, *rows[:3], task)
    assert [r["output_tokens"] for r in found] == [9, None]
    assert len(words) == 1 and "input 14 against 21" in words[0]


def test_a_result_alone_is_what_is_known(tmp_path: Path) -> None:
    """`claude -p --output-format json`, one line or many, one run or several; and with `--verbose` a list of all rows."""
    one = result(3, 400, num_turns=3, modelUsage=model_usage(3, 400))
    for text in (json.dumps(one), json.dumps(one, indent=2), json.dumps(one, indent=2) + "\n", json.dumps([one])):
        path = tmp_path / "out.json"
        path.write_text(text)
        found, source = files(path)
        assert [(r["call_id"], r["model"], r["input_tokens"], r["output_tokens"]) for r in found] == [
            ("s-total-1", "m", 21, 400)
        ]
        assert [r["source"] for r in found] == ["cumulative"]
        assert [p["difference"] for p in source.problems()] == [
            "it tells totals only: all calls of 3 turns are one here"
        ]
    other = {**one, "session_id": "other"}
    path.write_text(json.dumps(one, indent=1) + "\n" + json.dumps(other, indent=1) + "\n")
    assert [r["session"] for r in files(path)[0]] == ["s", "other"]
    path.write_text(json.dumps([init(), row("a", **EARLY), row("b", out=9), result(2, 59)], indent=1))
    found, source = files(path)
    assert ([r["output_tokens"] for r in found], source.problems()) == ([50, 9], [])
    path.write_text(json.dumps([init(), row("a", out=9), result(1, 9)])[:-40])  # cut off
    found, source = files(path)
    assert ([r["output_tokens"] for r in found], source.reports[0].torn) == ([9], True)


def test_a_result_by_model_is_a_call_a_model(tmp_path: Path) -> None:
    both = {**model_usage(1, 9), **model_usage(2, 4, "small")}
    found, sums, _ = captured(tmp_path, result(1, 9, num_turns=1, modelUsage=both))
    assert [(r["model"], r["output_tokens"]) for r in found] == [("m", 9), ("small", 4)]
    assert sums["output_tokens"] == 13


@pytest.mark.parametrize("how", [{"is_error": True}, {"subtype": "error_during_execution"}])
def test_a_result_of_a_failure_may_hold_a_placeholder(tmp_path: Path, how: dict[str, Any]) -> None:
    found, _, _ = captured(tmp_path, result(2, 3, num_turns=1, **how))
    assert [(r["input_tokens"], r["output_tokens"], r["partial"]) for r in found] == [(14, None, True)]
    assert captured(tmp_path, result(0, 0, **how))[0] == []


def test_sessions_in_one_file_are_apart(tmp_path: Path) -> None:
    second = {**row("c", **EARLY), "session_id": "t"}
    rows = (init(), row("a", **EARLY), result(1, 50), second, result(1, 70, "t"))
    found, _sums, words = captured(tmp_path, *rows)
    assert [(r["session"], r["output_tokens"]) for r in found] == [("s", 50), ("t", 70)]
    assert words == []


# ---- streams that were captured ----


def test_a_streamed_answer_that_was_cut_off_is_no_whole_one(tmp_path: Path) -> None:
    init = {"type": "system", "subtype": "init", "session_id": "s", "claude_code_version": "2.0.30"}
    row = spoke("a", "half", stop=None)
    start = {"type": "stream_event", "session_id": "s", "event": {"type": "message_start", "message": row["message"]}}
    stream = {"type": "assistant", "session_id": "s", "message": row["message"]}
    end = {"type": "result", "session_id": "s", "usage": {"output_tokens": 0}}
    calls, _ = read(write(tmp_path / "x.jsonl", init, start, stream, end), "claude")
    assert [(x.call.partial, x.call.output_tokens, x.call.total_tokens) for x in calls] == [(True, None, None)]
    calls, _ = read(write(tmp_path / "y.jsonl", init, stream, end), "claude")  # without the pieces: rows are final
    assert [x.call.partial for x in calls] == [False]

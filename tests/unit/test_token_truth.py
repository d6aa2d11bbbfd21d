"""What is known of a call's tokens, and what is not: a number that is told is right, and what is unknown is null.

Rows are shaped as Claude Code wrote them to the rehearsal endpoint, and as public transcripts and captures have them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.claude.calls import UNRECORDED, UNTOLD, uncounted
from harnex.agents.claude.reader import ClaudeReader
from harnex.agents.claude.totals import Seen, last_totals
from harnex.agents.codex.calls import UNTOLD as UNTOLD_BY_CODEX
from harnex.agents.codex.rollout import Rollout
from harnex.agents.paseo.transcripts import ClaudeRecord
from harnex.model.facts import Fact, Follow, ModelCall, Remark, Rest
from harnex.supervisor.totals import Totals
from harnex.times import seconds
from harnex.usage import logs
from harnex.usage import sums as usage
from harnex.usage.prices import Prices
from harnex.usage.sources import Files, cost
from harnex.usage.sums import Sums
from tests.unit.test_usage import count, said, use, user, write
from tests.unit.test_usage_more import at, event, head, item, reader, spoke

EARLY = {"stop": None, "out": 3}  # a row that was written before the final usage had come
TOOL = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}


def facts(live: ClaudeReader, *rows: dict[str, Any]) -> list[Fact]:
    return [fact for row in rows for fact in live.row("transcript", row)]


def calls(found: list[Fact]) -> list[tuple[str, int | None, bool]]:
    return [(f.call_id, f.output_tokens, f.partial) for f in found if isinstance(f, ModelCall)]


def files(path: Path, full: bool = True) -> tuple[list[dict[str, Any]], Files]:
    source = Files("claude", [str(path)])
    return list(source.records(full)), source


# ---- no stop reason: no output ----


@pytest.mark.parametrize("version", ["1.0.51", "1.0.128", "2.0.77", "2.1.30", "2.1.80", "2.1.329", ""])
@pytest.mark.parametrize("full", [True, False])
def test_without_a_stop_reason_the_output_is_unknown_in_every_version(tmp_path: Path, version: str, full: bool) -> None:
    rows = (
        user("go"),
        said("a", version=version, **EARLY),
        spoke("a", TOOL, version=version, **EARLY),
        user([{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]),
        said("b", out=12, version=version),
    )
    found, source = files(write(tmp_path / "s.jsonl", *rows), full)
    assert [(r["call_id"], r["input_tokens"], r["output_tokens"], r["total_tokens"], r["partial"]) for r in found] == [
        ("a", 7, None, None, False),
        ("b", 7, 12, 19, False),
    ]
    assert source.problems() == []
    live = ClaudeReader(tuple(map(int, version.split("."))) if version else None)
    told = [*facts(live, *rows), *live.ended()]
    assert calls(told) == [("a", None, False), ("b", 12, False)]
    assert [f.text for f in told if isinstance(f, Remark)] == [UNTOLD]


def test_a_later_row_with_a_stop_reason_tells_it(tmp_path: Path) -> None:
    rows = (said("a", **EARLY), spoke("a", TOOL, stop="tool_use", out=40), said("b", **EARLY), said("b", out=9))
    assert [r["output_tokens"] for r in files(write(tmp_path / "s.jsonl", *rows))[0]] == [40, 9]
    # 2.0 writes rows of a call behind the result of its first tool, and those may be older than the usage.
    rows = (spoke("a", TOOL, stop="tool_use", out=40), said("a", **EARLY))
    assert [r["output_tokens"] for r in files(write(tmp_path / "t.jsonl", *rows))[0]] == [40]


def test_a_placeholder_with_a_stop_reason_is_one_all_the_same(tmp_path: Path) -> None:
    """A gateway that sends the stop reason without a usage: 3 tokens for 50 words."""
    long = spoke("a", "word " * 50, out=3)
    short = spoke("b", "Done.", out=1)
    silent = spoke("c", "Done.", out=0)
    found, _ = files(write(tmp_path / "s.jsonl", long, short, silent))
    assert [r["output_tokens"] for r in found] == [None, 1, None]


def test_an_input_of_nothing_is_unknown(tmp_path: Path) -> None:
    """Some gateways tell the input at the end only: rows that were written before have zeros."""
    row = said("a", **EARLY)
    row["message"]["usage"] = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
    bare = said("b")
    del bare["message"]["usage"]
    found, _ = files(write(tmp_path / "s.jsonl", row, bare))
    assert [(r["call_id"], [r[n] for n in usage.TOKENS]) for r in found] == [("a", [None] * 6), ("b", [None] * 6)]


def test_reasoning_of_nothing_is_unknown_for_who_thought(tmp_path: Path) -> None:
    """2.1.329 writes a 0 where the provider tells no details."""
    rows = []
    for call_id, kind in (("a", "thinking"), ("b", "text")):
        row = said(call_id)
        row["message"]["content"].insert(0, {"type": kind, kind: "hm"})
        row["message"]["usage"]["output_tokens_details"] = {"thinking_tokens": 0}
        rows.append(row)
    assert [r["reasoning_tokens"] for r in files(write(tmp_path / "s.jsonl", *rows))[0]] == [None, 0]


def test_the_last_row_may_come_behind_the_hook_of_the_stop() -> None:
    """2.1.80: Stop is heard before the last row is written; the call is told with that one's numbers."""
    live = reader((2, 1, 80))
    stop = {"hook_event_name": "Stop", "session_id": "s", "last_assistant_message": "words"}
    summary = {"type": "system", "subtype": "stop_hook_summary"}
    thought = said("a", **EARLY)
    assert calls([*facts(live, user("go"), thought), *live.row("hooks", stop)]) == []
    assert calls(facts(live, said("a", out=50), summary)) == [("a", 50, False)]
    # Where the final numbers never come, the row of the end gives it out.
    assert calls([*facts(live, said("b", **EARLY)), *live.row("hooks", stop)]) == []
    assert calls(facts(live, summary)) == [("b", None, False)]
    assert calls(list(live.ended())) == []


def test_who_was_done_was_not_cut_off() -> None:
    live = reader((2, 0, 77))
    side = {"isSidechain": True, "agentId": "a1", "sessionId": "s"}
    hook = {"agent_id": "a1", "agent_type": "Explore", "transcript_path": "/h/s.jsonl", "session_id": "s"}
    list(live.row("hooks", {"hook_event_name": "SubagentStart", **hook}))
    facts(live, said("x", **EARLY, **side), said("y", **EARLY))
    list(live.row("hooks", {"hook_event_name": "SubagentStop", **hook}))
    assert calls(list(live.ended())) == [("x", None, False), ("y", None, True)]


def test_a_call_of_which_only_its_tools_were_heard_is_missing_and_that_is_said() -> None:
    """2.1.329, killed before it wrote the call down: the hooks of its tools are all that is left of it."""
    live = reader((2, 1, 329))
    hook = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "session_id": "s"}
    facts(live, user("go"), said("a", "tool_use", "tool_use"))
    list(live.row("hooks", {**hook, "tool_use_id": "t-a"}))  # its row was first
    list(live.row("hooks", {**hook, "tool_use_id": "t2"}))
    list(live.row("hooks", {**hook, "tool_use_id": "t3", "agent_id": "a1"}))  # a sub-agent's: its file may not be read
    remarks = [f.text for f in live.ended() if isinstance(f, Remark)]
    assert len(remarks) == 1 and "written down 1 tool call that it made" in remarks[0]
    live = reader((2, 1, 329))
    list(live.row("hooks", {**hook, "tool_use_id": "t-a"}))
    facts(live, user("go"), said("a", "tool_use", "tool_use"))
    assert [f for f in live.ended() if isinstance(f, Remark)] == []


# ---- totals of the program's own ----


def config(session: str, **models: int) -> dict[str, Any]:
    """`.claude.json` as it is when a session has ended: two calls of an input of 3 and 4 cached."""
    totals = {m: {"inputTokens": 6, "cacheReadInputTokens": 8, "outputTokens": out} for m, out in models.items()}
    projects = {"/w": {"lastSessionId": session, "lastModelUsage": totals}, "/other": {"lastSessionId": "t"}}
    return {"projects": projects, "numStartups": 4}


def ended_with(document: dict[str, Any] | None, *rows: dict[str, Any]) -> list[Fact]:
    live = reader((2, 0, 77))
    facts(live, *rows)
    followed = list(live.row("hooks", {"hook_event_name": "SessionEnd", "session_id": "s"}))
    assert Follow("config", "/h/.claude.json", "document") in followed
    list(live.document("config", document))
    return list(live.ended())


def test_the_totals_of_the_last_session_tell_what_the_calls_used_together() -> None:
    rows = (said("a", **EARLY), said("b", out=9))
    (rest,) = [f for f in ended_with(config("s", m=50), *rows) if isinstance(f, Rest)]
    assert (rest.call_ids, rest.output_tokens, rest.total_tokens, rest.model) == (("a",), 41, 48, "m")


@pytest.mark.parametrize(
    "document",
    [
        config("another", m=50),
        config("s", other=50),
        {"projects": "x"},
        None,
        {"projects": {"/w": {"lastSessionId": "s"}}},
    ],
    ids=["another session", "another model", "garbage", "gone", "2.0.30"],
)
def test_other_totals_prove_nothing(document: dict[str, Any] | None) -> None:
    found = ended_with(document, said("a", **EARLY), said("b", out=9))
    assert not any(isinstance(f, Rest) for f in found)
    assert [f.text for f in found if isinstance(f, Remark)] == []
    assert last_totals(document, "") == {}


def test_totals_with_an_answer_that_was_interrupted_prove_nothing() -> None:
    interrupt = user([{"type": "text", "text": "[Request interrupted by user]"}])
    assert not any(
        isinstance(f, Rest) for f in ended_with(config("s", m=50), said("b", **EARLY), said("a", **EARLY), interrupt)
    )


def test_what_is_proven_is_in_the_sums_and_in_no_call() -> None:
    totals = Totals()
    for call_id, out in (("a", None), ("b", None), ("c", 5)):
        whole = None if out is None else 10 + out
        totals.add(ModelCall(call_id, "m", input_tokens=10, output_tokens=out, total_tokens=whole), 1)
    before = totals.of_turn(1) or {}
    assert (before["output_tokens"], before["total_tokens"], before["unknown"]) == (
        5,
        35,  # all input, and the output that is known
        {"output_tokens": 2, "total_tokens": 2},
    )
    assert (totals.tokens, totals.unknown) == (35, 2)
    told = totals.rest(Rest(("a", "b"), "m", "main", 30, None, 50))
    assert (told.type, told.turn, told.call_ids) == ("usage_rest", 1, ("a", "b"))
    after = totals.of_turn(1) or {}
    assert (after["calls"], after["output_tokens"], after["total_tokens"], after["unknown"]) == (3, 35, 65, {})
    assert (totals.tokens, totals.unknown) == (65, 0)


def test_calls_whose_tokens_are_unknown_are_counted() -> None:
    sums = Sums()
    for call_id in "ab":
        sums.take({"call_id": call_id, "input_tokens": 10})
    assert sums.used()["total_tokens"] is None
    assert usage.unknown_calls(sums.used()) == 2
    sums.take({"call_ids": "garbage", "output_tokens": True, "input_tokens": "x"})
    assert sums.used()["calls"] == 3


def test_seen_calls_of_which_one_has_no_usage_at_all_are_in_no_total() -> None:
    seen = Seen()
    seen.add(ModelCall("a", "m", input_tokens=5, stop_reason="end_turn"))
    assert list(seen.rests({"m": {"input_tokens": 5, "output_tokens": 1}})) == []


# ---- what was captured of `claude -p` ----


def init(version: str = "2.0.77", **more: Any) -> dict[str, Any]:
    return {"type": "system", "subtype": "init", "session_id": "s", "cwd": "/w", "claude_code_version": version, **more}


def row(call_id: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    message = said(call_id, **more)["message"]
    return {"type": "assistant", "session_id": "s", "parent_tool_use_id": parent, "message": message}


def result(calls: int = 1, out: int = 50, session: str = "s", **more: Any) -> dict[str, Any]:
    used = {"input_tokens": 3 * calls, "cache_read_input_tokens": 4 * calls, "output_tokens": out}
    return {"type": "result", "subtype": "success", "session_id": session, "result": "Done.", "usage": used, **more}


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


# ---- rows without ids ----


def nameless(uuid: str | None, parent: str | None = None, **more: Any) -> dict[str, Any]:
    row = said("x", **more)
    del row["message"]["id"]
    return {**row, "uuid": uuid, "parentUuid": parent}


@pytest.mark.parametrize("full", [True, False])
def test_rows_without_a_message_id_are_counted_by_request_or_by_themselves(tmp_path: Path, full: bool) -> None:
    rows = (
        user("go", uuid="1"),
        nameless("2", "1", requestId="req_1", **EARLY),
        nameless("3", "2", requestId="req_1", out=40, stop="tool_use"),
        user([{"type": "tool_result", "tool_use_id": "t1", "content": "x"}], uuid="4"),
        nameless("5", "4", **EARLY),
        nameless("6", "5", out=12),  # the next block of the same answer
        user("again", uuid="7"),
        nameless("8", "7", out=12),
    )
    found, source = files(write(tmp_path / "s.jsonl", *rows), full)
    assert [(r["call_id"], r["output_tokens"]) for r in found] == [("req_1", 40), ("5", 12), ("8", 12)]
    assert source.problems() == []
    live = reader()
    assert calls([*facts(live, *rows), *live.ended()]) == [("req_1", 40, False), ("5", 12, False), ("8", 12, False)]


def test_rows_that_no_id_tells_apart_are_said_to_be_left_out(tmp_path: Path) -> None:
    rows = (nameless(None), nameless(None), said("a"))
    found, source = files(write(tmp_path / "s.jsonl", *rows))
    assert [r["call_id"] for r in found] == ["a"]
    assert [p["difference"] for p in source.problems()] == [uncounted(2)]
    assert "2 records with usage are not counted" in uncounted(2)
    live = reader()
    facts(live, *rows)
    assert [f.text for f in live.ended() if isinstance(f, Remark)] == [uncounted(2)]


# ---- sums and costs of what is known together ----


def test_what_calls_used_together_costs_what_they_cost(tmp_path: Path) -> None:
    pytest.importorskip("genai_prices")
    prices = Prices()
    rows = [init(), *(row(call_id, **EARLY) for call_id in "ab"), result(2, 543)]
    for one in rows[1:3]:
        one["message"]["model"] = "claude-sonnet-4-5"
    found, _ = files(write(tmp_path / "s.jsonl", *rows))
    sums = Sums()
    for record in found:
        record["cost_usd"] = cost(record, prices)
        sums.add(record)
    each = {**found[0], "output_tokens": 1}
    one_more = (prices.cost({**each, "output_tokens": 1001}) or 0) - (prices.cost(each) or 0)
    want = 2 * ((prices.cost(each) or 0) - one_more / 1000) + 543 * one_more / 1000
    assert sums.fields()["cost_usd"] == pytest.approx(want, abs=1e-6)
    assert sums.fields()["unknown"] == {}
    assert [r["cost_usd"] is None for r in found] == [True, True, False]
    big = [{**found[0], "input_tokens": 300_000}]  # its output is dearer than that of the others
    assert prices.cost_of_rest(10, big) is None


@pytest.mark.parametrize("by", ["session", "model", "day", "agent", "repo"])
def test_sums_by_whatever_hold_what_is_proven(tmp_path: Path, by: str) -> None:
    path = write(tmp_path / "s.jsonl", init(), row("a", **EARLY), row("b", **EARLY), result(2, 543))
    groups = Files("claude", [str(path)]).sums(by, Prices(), None, None)
    assert [g["output_tokens"] for g in groups.rows()] == [543]
    assert groups.total.fields()["calls"] == 2


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


def test_lines_are_told_from_values(tmp_path: Path) -> None:
    """A transcript whose first line is torn is read line by line."""
    path = write(tmp_path / "s.jsonl", '{"type":"assistant","torn', said("a"))
    found, source = files(path)
    assert [r["call_id"] for r in found] == ["a"]
    assert source.reports[0].skipped == 1
    report = logs.Report("x")
    path.write_text("")
    assert (list(logs.every_row(str(path), report)), report.words()) == ([], [])


# ---- Paseo: what its Claude Code wrote ----


def paseo_record(began: str = "2026-11-21T12:00:00.000Z") -> ClaudeRecord:
    return ClaudeRecord(seconds(began) or 0.0)


def request(name: str, second: float) -> dict[str, Any]:
    return {"type": "api-request", "id": name, "sessionId": "s", "timestamp": at(second)}


def told(found: list[Fact]) -> list[tuple[str, str | int | None]]:
    kinds = {ModelCall: "call", Remark: "words"}
    return [
        (kinds[type(f)], getattr(f, "call_id", None) or getattr(f, "text", None)) for f in found if type(f) in kinds
    ]


def rows_of(record: ClaudeRecord, *rows: dict[str, Any]) -> list[Fact]:
    return [fact for row in rows for fact in record.row("record", row)]


def test_a_call_without_a_record_is_told_under_paseo_as_without_it() -> None:
    prompt = user("go", uuid="u1", timestamp=at(1))
    died = paseo_record()
    rows_of(died, prompt, request("r1", 2))
    assert told(list(died.cut(died=True))) == [("call", "open-r1")]
    assert told(list(died.ended())) == []
    stopped = paseo_record()
    rows_of(stopped, prompt)
    assert told(list(stopped.cut(died=False))) == [("words", UNRECORDED)]
    assert told(list(stopped.ended())) == []
    ended = paseo_record()
    rows_of(ended, prompt, said("a", timestamp=at(2), **EARLY))
    assert [(c.call_id, c.partial) for c in ended.ended() if isinstance(c, ModelCall)] == [("a", True)]


def test_what_was_before_the_run_is_not_told_by_it() -> None:
    record = paseo_record(at(30))
    rows_of(record, user("go", uuid="u1", timestamp=at(1)), request("r1", 2))
    assert told(list(record.cut(died=True))) == []
    found = rows_of(
        record,
        user("again", uuid="u2", timestamp=at(40)),
        request("r2", 41),
        said("a", timestamp=at(42), requestRef="r2"),
    )
    assert [f.attempts for f in found if isinstance(f, ModelCall)] == [1]
    assert [f for f in found if isinstance(f, Remark)] == []


def test_a_remark_of_the_reader_reaches_the_run() -> None:
    record = paseo_record()
    cut = user([{"type": "text", "text": "[Request interrupted by user]"}], uuid="u2", timestamp=at(3))
    assert told(rows_of(record, user("go", uuid="u1", timestamp=at(1)), cut)) == [("words", UNRECORDED)]
    assert told([*rows_of(record, said("a", timestamp=at(5), **EARLY)), *record.over()]) == [
        ("call", "a"),
        ("words", UNTOLD),
    ]


# ---- interrupted before the first token ----


def test_a_request_without_an_answer_is_said_and_is_no_attempt_of_the_next_call() -> None:
    """2.1.329 leaves no row of such an interruption, and may write the next prompt behind its request."""
    live = reader()
    rows = (
        user("one", uuid="u1", timestamp=at(1)),
        request("r1", 2),
        request("r2", 12.1),
        user("two", uuid="u2", timestamp=at(12)),
        said("a", timestamp=at(13), requestRef="r2"),
    )
    found = facts(live, *rows)
    assert told(found) == [("words", UNRECORDED), ("call", "a")]
    assert [f.attempts for f in found if isinstance(f, ModelCall)] == [1]
    again = (request("r3", 20), request("r4", 25), said("b", timestamp=at(26), requestRef="r4"))
    found = facts(live, user("three", uuid="u3", timestamp=at(19)), *again)
    assert [f.attempts for f in found if isinstance(f, ModelCall)] == [2]

"""How the scripted endpoint's answers come: late usage, pieces, pings, numbers left out, attempts that break."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.rehearsal.endpoint import anthropic, openai
from harnex.rehearsal.endpoint.pace import PIECES, UNSAID, Drawn, Pace, parse_pace, words
from harnex.rehearsal.endpoint.script import Player, ScriptError, Step, parse, parse_defaults
from harnex.rehearsal.endpoint.wire import Cut, Event, Made, Part, Pause, ToolCall, usage_of
from tests.unit.rehearsal.endpoint._bench import Endpoint, anthropic_answer
from tests.unit.rehearsal.endpoint._bench import endpoint as endpoint  # the fixture

pytestmark = pytest.mark.timeout(20)


def parts(wire: Any, step: dict[str, Any], pace: Pace = UNSAID, tools: bool = False) -> list[Part]:
    only = parse([step]).calls[0]
    made = Made([ToolCall("Bash", {"command": "echo hi"})] if tools else [])
    return list(
        wire.stream(only, made, "msg_000001aaaabbbbcccc", "m", usage_of(1, only), Drawn(only.pace.over(pace), "7:1"))
    )


def events(found: list[Part], kind: str) -> list[dict[str, Any]]:
    return [p.data for p in found if isinstance(p, Event) and p.data["type"] == kind]


# ---- scripts ----


@pytest.mark.parametrize(
    ("script", "words_of_error"),
    [
        ({"calls": [{"text": "x", "usage_delay": -1}]}, "calls[0].usage_delay: -1 is not a number of seconds from 0"),
        ({"calls": [{"text": "x", "usage_delay": [1, 0]}]}, "calls[0].usage_delay: [1, 0] is not"),
        ({"calls": [{"text": "x", "first_byte": [1]}]}, "calls[0].first_byte: [1] is not"),
        ({"calls": [{"text": "x", "chunk": "big"}]}, "calls[0].chunk: 'big' is not a number of characters"),
        ({"calls": [{"text": "x", "ping": True}]}, "calls[0].ping: True is not"),
        ({"calls": [{"text": "x", "usage_sent": "never"}]}, "not one of full, output_only, late, start_only, none"),
        ({"calls": [{"text": "x", "usage_steps": 0}]}, "calls[0].usage_steps: 0 is not a whole number from 1"),
        ({"calls": [{"text": "x", "broken": -1}]}, "calls[0].broken: -1 is not a whole number from 0"),
        ({"calls": [{"error": 500, "broken": 1}]}, "error can't be in one step with broken"),
        ({"calls": [{"text": "x", "in_stream": "y"}]}, "calls[0].in_stream: only allowed together with error"),
        ({"usage_delay": [0, None]}, "usage_delay: [0, None] is not"),
        ({"seed": "x"}, "seed: 'x' is not a whole number"),
    ],
)
def test_a_bad_pace_says_what_is_wrong(script: Any, words_of_error: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(script)
    assert words_of_error in str(caught.value)


def test_a_step_comes_before_the_script_and_that_before_the_defaults() -> None:
    script = parse({"calls": [{"text": "x", "usage_delay": 3}, "y"], "usage_delay": [1, 2], "chunk": 5, "seed": 9})
    defaults, seed = parse_defaults({"usage_delay": 0, "chunk": 1, "ping": 4, "seed": 8})
    first, second = (step.pace.over(script.pace).over(defaults) for step in script.calls)
    assert (first.usage_delay, first.chunk, first.ping) == ((3, 3), (5, 5), (4, 4))
    assert second.usage_delay == (1, 2)
    assert (script.seed, seed) == (9, 8)
    with pytest.raises(ScriptError, match="unknown key 'calls'"):
        parse_defaults({"calls": []})


def test_the_same_seed_and_call_are_the_same_numbers() -> None:
    pace = parse_pace({"usage_delay": [0, 1], "first_byte": [0, 1]}, "")
    drawn = [(d.usage_delay, d.first_byte) for d in (Drawn(pace, s) for s in ("1:1", "1:1", "1:2", "2:1"))]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
    assert all(0 <= n <= 1 for pair in drawn for n in pair)


# ---- pieces ----


@given(st.text(max_size=300), st.integers(0, 30), st.integers(0, 30), st.floats(0, 1))
def test_pieces_are_the_text(text: str, low: int, more: int, pause: float) -> None:
    for pace in (UNSAID, Pace(chunk=(float(low), float(low + more)))):
        pieces = Drawn(pace, "1").pieces(text, (1, 8), pause)
        assert "".join(pieces) == text
        assert "" not in pieces
    if low + more:
        assert all(len(p) <= max(1, low + more) for p in pieces)
    else:
        assert len(pieces) <= 1


def test_a_long_text_is_not_cut_into_too_many_pieces() -> None:
    assert len(Drawn(UNSAID, "1").pieces("x" * 500_000, (1, 8))) <= PIECES
    assert Drawn(UNSAID, "1").pieces("one  two\nthree", (1, 8), 0.1) == words("one  two\nthree")


# ---- Anthropic ----


def test_the_final_usage_follows_a_pause_behind_the_last_block() -> None:
    found = parts(anthropic, {"text": "one two", "usage_delay": 0.7}, tools=True)
    kinds = [p.data["type"] if isinstance(p, Event) else p for p in found]
    assert kinds[-4:] == ["content_block_stop", Pause(0.7), "message_delta", "message_stop"]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds.count("ping") == 1
    pieces = [e["delta"]["partial_json"] for e in events(found, "content_block_delta") if "partial_json" in e["delta"]]
    assert pieces[0] == "" and json.loads("".join(pieces)) == {"command": "echo hi"}


@pytest.mark.parametrize("tools", [False, True])
def test_what_the_start_says_is_never_what_is_billed(tools: bool) -> None:
    for number in range(1, 60):
        step = Step(text="" if tools else "x")
        made, bill = Made([ToolCall("Bash", {})] if tools else []), usage_of(number, step)
        stream = anthropic.stream(step, made, "msg_000001aaaabbbbcccc", "m", bill, Drawn(UNSAID, f"1:{number}"))
        start = next(e for e in stream if isinstance(e, Event)).data["message"]["usage"]
        assert start["output_tokens"] != bill.output
        assert start["output_tokens"] in (range(20, 33) if tools else range(1, 6))
        assert "output_tokens_details" not in start


def test_a_long_silence_has_pings_in_it_and_a_hang_has_none() -> None:
    found = parts(anthropic, {"text": "x", "usage_delay": 0.7, "ping": 0.3})
    assert len(events(found, "ping")) == 3
    assert [round(p.seconds, 3) for p in found if isinstance(p, Pause)] == [0.3, 0.3, 0.1]
    assert len(events(parts(anthropic, {"text": "x", "usage_delay": 0.7, "ping": 0}), "ping")) == 1
    assert parts(anthropic, {"hang": 60, "ping": 1}) == [Pause(60), Cut()]


def test_usage_may_come_in_steps_each_more() -> None:
    deltas = events(parts(anthropic, {"text": "x", "usage_steps": 3, "usage": {"output_tokens": 30}}), "message_delta")
    assert [d["usage"]["output_tokens"] for d in deltas] == [10, 20, 30]
    assert [d["delta"]["stop_reason"] for d in deltas] == [None, None, "end_turn"]


@pytest.mark.parametrize(
    ("sent", "start", "end"),
    [
        ("full", {"input_tokens", "output_tokens"}, {"input_tokens", "output_tokens"}),
        ("output_only", {"input_tokens", "output_tokens"}, {"output_tokens"}),
        ("late", set(), {"input_tokens", "output_tokens"}),
        ("start_only", {"input_tokens", "output_tokens"}, set()),
        ("none", set(), set()),
    ],
)
def test_usage_may_be_left_out(sent: str, start: set[str], end: set[str]) -> None:
    found = parts(anthropic, {"text": "x", "usage_sent": sent})
    told = events(found, "message_start")[0]["message"]["usage"]
    assert {n for n in ("input_tokens", "output_tokens") if told.get(n)} == start
    told = events(found, "message_delta")[0].get("usage") or {}
    assert {n for n in ("input_tokens", "output_tokens") if told.get(n)} == end


# ---- OpenAI ----


def test_openai_tells_its_usage_at_the_end_after_a_pause() -> None:
    found = parts(openai, {"text": "one two three four", "usage_delay": 0.7}, tools=True)
    assert isinstance(found[-2], Pause) and found[-2].seconds == 0.7
    assert events(found, "response.created")[0]["response"]["usage"] is None
    assert events(found, "response.completed")[0]["response"]["usage"]["output_tokens"] > 0
    told = [p.data["sequence_number"] for p in found if isinstance(p, Event)]
    assert told == list(range(len(told)))
    arguments = "".join(e["delta"] for e in events(found, "response.function_call_arguments.delta"))
    assert json.loads(arguments) == {"command": "echo hi"}
    assert len(events(found, "response.output_text.delta")) > 1
    for sent, want in (("none", None), ("start_only", None)):
        assert (
            events(parts(openai, {"text": "x", "usage_sent": sent}), "response.completed")[0]["response"]["usage"]
            is want
        )
    told = events(parts(openai, {"text": "x", "usage_sent": "output_only"}), "response.completed")[0]["response"][
        "usage"
    ]
    assert set(told) == {"input_tokens", "output_tokens", "total_tokens"}


# ---- attempts that break ----


def test_attempts_break_in_the_middle_and_then_the_answer_comes() -> None:
    player = Player(parse([{"text": "one two three four", "tools": [{"bash": "x"}], "broken": 2}, "next"]))
    taken = [player.take() for _ in range(4)]
    assert [(step.drop, step.text, len(step.tools), index) for step, index in taken] == [
        ("one two ", "", 0, 0),
        ("one two ", "", 0, 0),
        (None, "one two three four", 1, 0),
        (None, "next", 0, 1),
    ]


def test_each_attempt_has_its_own_id_and_is_billed(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint({"text": "one two three four", "broken": 1, "chunk": 4})
    with pytest.raises((ConnectionError, OSError, AssertionError, ValueError)):
        raise_if_broken(server.claude()[1])
    assert anthropic_answer(server.claude()[1])["content"][0]["text"] == "one two three four"
    cut, whole = server.rows(count=2)
    assert cut["id"] != whole["id"]
    assert (cut["finished"], cut["output_tokens"], whole["finished"]) == (False, 2, True)


def raise_if_broken(found: list[dict[str, Any]]) -> None:
    if found[-1]["type"] != "message_stop":
        raise ConnectionError(found[-1]["type"])


@pytest.mark.parametrize("api", ["claude", "codex"])
def test_an_error_may_come_inside_of_a_stream(endpoint: Callable[..., Endpoint], api: str) -> None:
    server = endpoint({"error": "overloaded", "in_stream": "some words that"}, "then")
    status, found, _ = getattr(server, api)()
    assert status == 200
    (row,) = server.rows(count=1)
    assert (row["error"], row["finished"]) == ("overloaded", False)
    if api == "claude":
        assert found[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        assert row["output_tokens"] > 0
    else:
        assert found[-1]["response"]["error"]["code"] == "server_is_overloaded"
        assert row["usage"] is None
    assert getattr(server, api)()[0] == 200


# ---- the program ----


def test_the_bill_is_written_when_the_usage_has_come(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint({"text": "x", "usage_delay": 0.4, "first_byte": 0.2})
    started = time.monotonic()
    server.claude()
    assert time.monotonic() - started >= 0.6
    assert server.claude(stream=False)[1]["usage"]["output_tokens"] == server.rows(count=2)[1]["output_tokens"]

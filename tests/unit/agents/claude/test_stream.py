"""claude/stream.py: calls out of what `claude -p` prints, and what its total proves of them."""

from __future__ import annotations

from typing import Any

import pytest

from harnex.agents.catalogue import headless_for
from harnex.agents.claude.calls import UNTOLD
from harnex.model.facts import Fact, FinalAnswer, Remark, Rest, TurnEnded
from tests.unit.agents._exec import calls_of


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

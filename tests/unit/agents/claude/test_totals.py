"""claude/totals.py: Claude Code's own totals, held against the calls that were seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harnex.agents.claude.totals import Seen, last_totals
from harnex.model.facts import Fact, Follow, ModelCall, Remark, Rest
from tests.unit.agents._rows import said, user
from tests.unit.agents.claude._bench import reader
from tests.unit.agents.claude._tokens import EARLY, facts

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


def test_seen_calls_of_which_one_has_no_usage_at_all_are_in_no_total() -> None:
    seen = Seen()
    seen.add(ModelCall("a", "m", input_tokens=5, stop_reason="end_turn"))
    assert list(seen.rests({"m": {"input_tokens": 5, "output_tokens": 1}})) == []


# ---- Claude Code, live ----


@pytest.mark.parametrize("counts_it", [True, False], ids=["2.1.329", "2.1.250"])
def test_own_totals_may_leave_out_what_was_interrupted(counts_it: bool) -> None:
    whole, cut, compaction = (ModelCall("a", "m", input_tokens=n, output_tokens=n) for n in (100, 20, 7))
    seen = Seen()
    seen.add(whole)
    seen.add(replace(cut, call_id="b", output_tokens=None, partial=True))

    def total(more: int) -> dict[str, dict[str, int]]:
        return {"m": {"input_tokens": 100 + 20 * counts_it + more, "output_tokens": 100 + more}}

    assert list(seen.differences(total(0))) == []
    words = "input 120 against 127" if counts_it else "input 100 against 107, output 100 against 107"
    assert list(seen.differences(total(compaction.input_tokens or 0))) == [f"m: {words}"]

"""watch/budget.py: what a run may use, and when it is spent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harnex.model import events
from harnex.model.facts import State
from harnex.watch import actions as w
from harnex.watch.budget import GRACE_S, Bill, Used
from tests.unit.watch._bench import Session

# ---- clocks ----


def test_a_call_that_was_cut_off_answers_no_message() -> None:
    """An interrupted call is told as `partial`: what it was to answer is said again all the same."""
    s = Session()
    s.opens()
    s.step(60)
    s.watch.call(Bill(None, None, "m", cut=True), None, s.now)
    s.closes("interrupted")
    (say,) = s.of(w.Say)
    assert say.again == "m-1"


# ---- budgets ----


def test_a_budget_is_not_spent_by_the_last_call() -> None:
    s = Session(max_calls=1, auto_stop=True)
    s.opens()
    s.watch.call(Bill(10, None, "m"), True, s.now)
    s.step(5.0)  # the end is recorded late
    s.closes()
    assert s.of(w.Stop)[0].exit_code == 0


@pytest.mark.parametrize("sign", ["stop_reason", "tool", "time"])
def test_a_budget_ends_a_turn_that_goes_on(sign: str) -> None:
    s = Session(max_tokens=100)
    s.opens()
    s.watch.call(Bill(100, None, "m"), sign != "stop_reason", s.now)
    s.step()
    if sign == "tool":
        s.tool("started")
    elif sign == "time":
        s.step(GRACE_S - 0.1)
        assert s.of(w.Stop) == []
        s.step(0.1)
    assert s.of(w.Stop)[0].exit_code == 5 and s.told(events.Budget)[0].kind == "tokens"


@pytest.mark.parametrize("tool", [True, False])
def test_a_call_without_a_stop_reason_is_judged_by_the_tool_it_asked_for(tool: bool) -> None:
    """Codex names none, and records the tool before the call."""
    s = Session(max_tokens=200, auto_stop=True)
    s.opens()
    s.tool("started")
    s.watch.call(Bill(100, None, "m"), None, s.now)
    s.tool("completed")
    if tool:
        s.tool("started", call_id="c2")
    s.watch.call(Bill(100, None, "m"), None, s.now)
    s.step()
    assert [a.exit_code for a in s.of(w.Stop)] == ([5] if tool else [])
    if not tool:
        s.step(2.0)
        s.closes()
        assert s.of(w.Stop)[0].exit_code == 0


@pytest.mark.parametrize("limit", [{"max_calls": 2}, {"max_tokens": 200}, {"max_cost": 2.0}], ids=str)
def test_a_budget_that_was_exceeded_is_no_success_though_the_turn_is_over(limit: dict[str, Any]) -> None:
    """On a busy machine the calls of a turn are read together with its end."""
    s = Session(**limit, auto_stop=True)
    s.opens()
    for n in range(3):
        s.watch.call(Bill(100, 1.0, "m"), n == 2, s.now)
    s.closes()
    assert [a.exit_code for a in s.of(w.Stop)] == [5]
    (told,) = s.told(events.Budget)
    assert told.used > told.limit


def test_no_message_is_sent_on_a_spent_budget() -> None:
    s = Session(max_turns=1, verify="make test")
    s.opens()
    s.closes()
    s.watch.checked(False, 1, 0.1, "")
    s.step()
    assert s.of(w.Say) == [] and s.of(w.Stop)[0].exit_code == 5
    t = Session(max_turns=1)
    t.opens()
    t.closes()
    t.opens()
    assert t.of(w.Stop)[0].exit_code == 5


def test_a_limit_that_cannot_be_kept_is_told() -> None:
    s = Session(max_cost=1.0)
    s.opens()
    s.watch.call(Bill(10, None, "unheard-of"), False, s.now)
    s.step()
    assert s.of(w.Stop)[0].exit_code == 4 and "unheard-of" in s.told(events.Escalated)[0].message


def test_a_call_of_unknown_size_can_be_part_of_no_budget_of_tokens() -> None:
    """Claude Code before 2.1: the provider tells the usage after the CLI has written its record."""
    for kind, code in (("max_tokens", 4), ("max_cost", 4), ("max_calls", None)):
        s = Session(**{kind: 1000})
        s.opens()
        s.watch.call(Bill(None, None, "m", least=700), False, s.now)
        s.step()
        assert [a.exit_code for a in s.of(w.Stop)] == ([code] if code else [])
        if code:
            (told,) = s.told(events.Escalated)
            assert (told.reason, told.stopped) == ("budget", True)
            assert "700 tokens" in told.message and f"--{kind.replace('_', '-')}" in told.message


def test_a_call_that_was_cut_off_counts_by_what_is_known_of_it() -> None:
    """A nudge, a crash or an interrupt cuts one off: that must not end the night."""
    s = Session(max_tokens=1000)
    s.opens()
    s.watch.call(Bill(400, None, "m", least=400), False, s.now)
    s.watch.call(Bill(None, 0.0, "m", least=500, cut=True), False, s.now)
    s.step()
    assert s.of(w.Stop) == []
    s.watch.call(Bill(200, None, "m", least=200), False, s.now)
    s.step()
    (told,) = s.told(events.Budget)
    assert (told.used, told.limit, told.cut, told.runs) == (1100, 1000, 1, 1) and s.of(w.Stop)[0].exit_code == 5


def test_a_budget_of_mostly_unknown_calls_is_none() -> None:
    s = Session(max_tokens=1000)
    s.opens()
    s.watch.call(Bill(10, None, "m", least=10), False, s.now)
    for _ in range(3):
        s.step()
        assert s.of(w.Stop) == []
        s.watch.call(Bill(None, 0.0, cut=True), False, s.now)
    s.step()
    assert s.of(w.Stop)[0].exit_code == 4 and "3 of 4 calls" in s.told(events.Escalated)[0].message


@pytest.mark.parametrize("limit", ["max_tokens", "max_calls", "max_cost"])
def test_calls_that_are_not_counted_end_a_run_that_limits_them(limit: str) -> None:
    s = Session(**{limit: 10_000})
    s.opens()
    s.sight = replace(s.sight, gap="no transcript is written")
    s.step()
    assert s.of(w.Stop)[0].exit_code == 4
    (told,) = s.told(events.Escalated)
    assert "no transcript is written" in told.message and f"--{limit.replace('_', '-')}" in told.message
    t = Session()
    t.opens()
    t.sight = replace(t.sight, gap="no transcript is written")
    t.step()
    assert t.of(w.Stop) == [], "who limits nothing is told by a diagnostic"


@pytest.mark.parametrize(("gap", "code"), [("nothing was recorded", 4), ("", 0)])
def test_a_task_is_complete_only_when_its_calls_are_known(gap: str, code: int) -> None:
    s = Session(max_calls=100, auto_stop=True)
    s.opens()
    s.sight = replace(s.sight, settling=True)
    assert s.closes() == [] and s.of(w.Stop) == []
    s.sight = replace(s.sight, settling=False, gap=gap)
    s.step(1.0)
    assert s.of(w.Stop)[0].exit_code == code


def test_turns_that_cannot_be_seen_cannot_be_limited() -> None:
    for limit in ({"max_turns": 3}, {"turn_timeout": 60.0}):
        s = Session(care=False, **limit)
        s.sight = replace(s.sight, state=State.UNKNOWN, unseen="nothing tells of its turns")
        s.step()
        assert s.of(w.Stop)[0].exit_code == 4


def chain(*bills: Bill, turns: int = 0, runs: int = 1, unknown: str = "", **policy: Any) -> Session:
    """Return a run that continues earlier runs. `bills` are the calls that those made."""
    s = Session(**policy)
    s.watch.budget.begin(Used(bills, turns, runs, unknown), 0, s.now)
    return s


def test_one_budget_holds_over_a_chain_of_runs() -> None:
    s = chain(Bill(1000, None, "m"), Bill(1500, None, "m"), turns=1, max_tokens=3000)
    s.sight = replace(s.sight, pending=1)
    assert s.step() == []
    s.sight = replace(s.sight, pending=0)
    s.opens()
    s.watch.call(Bill(600, None, "m"), False, s.now)
    s.step()
    (told,) = s.told(events.Budget)
    assert (told.kind, told.used, told.limit, told.runs) == ("tokens", 3100, 3000, 2)
    assert s.of(w.Stop)[0].exit_code == 5 and "over 2 runs" in s.of(w.Stop)[0].message


@pytest.mark.parametrize(
    ("bills", "turns", "policy"),
    [
        ((Bill(3000, None, "m"),), 0, {"max_tokens": 3000}),
        ((Bill(5, 0.6, "m"), Bill(5, 0.6, "m")), 0, {"max_cost": 1.0}),
        ((Bill(5, None, "m"), Bill(5, None, "m")), 0, {"max_calls": 2}),
        ((), 2, {"max_turns": 2}),
    ],
)
def test_a_run_that_goes_on_with_a_spent_budget_sends_nothing(bills: Any, turns: int, policy: dict[str, Any]) -> None:
    s = chain(*bills, turns=turns, **policy)
    s.step()
    assert s.of(w.Stop) == [], "it rests where the run before had rested"
    s.sight = replace(s.sight, pending=1)
    s.step()
    assert s.of(w.Stop)[0].exit_code == 5


def test_turns_are_counted_over_a_chain() -> None:
    s = chain(turns=1, max_turns=2)
    s.opens()
    s.closes()
    assert s.of(w.Stop) == []
    s.sight = replace(s.sight, pending=1)
    s.step()
    assert s.told(events.Budget)[0].used == 2 and s.of(w.Stop)[0].exit_code == 5


def test_a_chain_of_which_a_part_is_lost_is_no_base_for_a_budget() -> None:
    s = chain(unknown="the record of run X is gone", max_calls=5)
    s.step()
    assert s.of(w.Stop)[0].exit_code == 4 and "run X" in s.told(events.Escalated)[0].message
    t = chain(unknown="the record of run X is gone")
    t.step()
    assert t.of(w.Stop) == []


def test_a_watch_that_is_put_on_later_ends_nothing_by_itself() -> None:
    s = Session(max_tokens=100)
    s.watch.budget.begin(Used((Bill(500, None, "m"),)), 1, s.now)
    s.sight = replace(s.sight, turn=1, state=State.BUSY)
    s.step()
    assert s.of(w.Stop) == []
    s.watch.call(Bill(5, None, "m"), False, s.now)
    s.step()
    assert s.told(events.Budget)[0].used == 505

"""watch/stalls.py: when an agent stands still, and what excuses its silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harnex.model import events
from harnex.watch import actions as w
from harnex.watch.budget import Bill
from tests.unit.watch._bench import Session


def test_a_turn_without_progress_is_cut_nudged_and_then_given_up() -> None:
    s = Session()
    s.opens()
    assert s.step(59) == []
    assert s.watch.wake_at() == pytest.approx(s.now + 1)
    s.step(1)
    assert [e.kind for e in s.told(events.Stall)] == ["no_output"] and len(s.of(w.Interrupt)) == 1
    assert s.of(w.Say) == [], "it is said when the turn is over"
    s.closes("interrupted")
    (say,) = s.of(w.Say)
    assert (say.reason, say.interrupted, say.again) == ("no_output", True, "m-1")
    s.opens()
    s.step(61)
    (stop,) = s.of(w.Stop)
    assert (stop.reason, stop.exit_code) == ("failure", 4)
    assert s.told(events.Escalated)[0].stopped and len(s.of(w.Say)) == 1


def test_what_only_moves_is_no_progress_and_says_so() -> None:
    s = Session()
    s.opens()
    for _ in range(60):
        s.watch.moved(s.now)
        s.step(1)
    (stall,) = s.told(events.Stall)
    assert stall.kind == "no_progress" and stall.evidence["silent_s"] <= 1 and stall.evidence["no_progress_s"] == 60


@pytest.mark.parametrize("sign", ["news", "call", "tool"])
def test_progress_starts_the_clock_again(sign: str) -> None:
    s = Session()
    s.opens()
    s.step(50)
    if sign == "news":
        s.watch.went_on("something new", s.now)
    elif sign == "call":
        s.watch.call(Bill(10, None, "m"), False, s.now)
    else:
        s.tool("started")
        s.tool("completed")
    s.step(50)
    assert s.told(events.Stall) == []
    s.step(10)
    assert len(s.told(events.Stall)) == 1


@pytest.mark.parametrize("why", ["tool", "retry"])
def test_a_running_tool_and_the_clis_own_retries_excuse_silence_but_not_for_ever(why: str) -> None:
    s = Session(patience=600.0)
    s.opens()
    if why == "tool":
        s.tool("started")
    else:
        s.sight = replace(s.sight, retrying="Reconnecting... 2/5")
    s.step(599)
    assert s.told(events.Stall) == []
    s.step(1)
    (stall,) = s.told(events.Stall)
    assert stall.evidence["tools"] if why == "tool" else stall.evidence["retrying"]


def test_the_last_retry_says_nothing_and_has_its_time() -> None:
    """Claude Code takes the line away while it tries: that is no standstill since the first failure."""
    s = Session(patience=600.0)
    s.opens()
    s.step(5)
    s.sight = replace(s.sight, retrying="Retrying in 30s · attempt 9/10")
    s.step(90)
    s.sight = replace(s.sight, retrying="")
    s.step()
    s.step(59)
    assert s.told(events.Stall) == []
    s.step(1)
    assert len(s.told(events.Stall)) == 1


def test_retries_that_come_and_go_are_no_excuse_for_ever() -> None:
    s = Session(patience=300.0)
    s.opens()
    for said in ["Retrying in 10s", ""] * 6:
        s.sight = replace(s.sight, retrying=said)
        s.step(24)
    assert s.told(events.Stall) == []
    s.step(13)
    assert len(s.told(events.Stall)) == 1


def test_a_tool_that_ended_excuses_nothing() -> None:
    s = Session()
    s.opens()
    s.tool("started")
    s.tool("completed")
    s.step(60)
    assert len(s.told(events.Stall)) == 1


def test_a_person_who_types_is_left_alone_but_a_look_resets_nothing() -> None:
    s = Session()
    s.opens()
    s.step(59)
    s.sight = replace(s.sight, person=s.now)
    s.step(30)
    assert s.told(events.Stall) == []
    s.step(30)
    assert len(s.told(events.Stall)) == 1


def test_a_turn_that_takes_too_long_ends_it() -> None:
    s = Session(turn_timeout=100.0, stall_after=None)
    s.opens()
    s.tool("started")
    s.step(100)
    assert (s.of(w.Stop)[0].reason, s.of(w.Stop)[0].exit_code) == ("timeout", 124)

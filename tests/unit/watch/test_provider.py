"""watch/provider.py: refusals that pass, limits, and what only people mend."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harnex.model import events
from harnex.times import iso_second as iso
from harnex.watch import actions as w
from tests.unit.watch._bench import WALL, Session


def test_a_limit_is_waited_for_by_the_wall_clock() -> None:
    s = Session()
    s.opens()
    reset = WALL + 7200 - WALL % 60
    s.closes("failed", "usage_limit", iso(reset))
    (wait,) = s.told(events.LimitWait)
    assert (wait.source, wait.until) == ("agent", iso(reset + 60))
    assert s.watch.until == reset + 60 and s.watch.wake_at() == pytest.approx(s.now + 60)
    s.step(3600)
    assert s.of(w.Say) == []
    s.sight = replace(s.sight, wall=reset + 61)
    s.step(1)
    assert [a.reason for a in s.of(w.Say)] == ["usage_limit"] and s.watch.until is None


def test_a_cli_that_goes_on_by_itself_is_not_told_to() -> None:
    """Claude Code 2.1.329 continues at the reset."""
    s = Session()
    s.opens()
    s.closes("failed", "usage_limit", iso(WALL + 600))
    s.step(500)
    s.opens()
    s.step(59)
    assert s.of(w.Say) == [] and s.watch.phase == "watching"


def test_a_limit_that_is_still_there_is_asked_ever_more_seldom() -> None:
    s = Session(limit_slack=1.0)
    pauses = []
    for _ in range(6):
        s.opens()
        s.closes("failed", "usage_limit", iso(s.sight.wall))
        pauses.append(s.told(events.LimitWait)[-1].wait_s)
        s.step(1000)
    assert pauses == sorted(pauses) and pauses[-1] == 900


def test_a_reset_after_the_deadline_is_not_waited_for() -> None:
    s = Session(deadline=WALL + 600)
    s.opens()
    s.closes("failed", "usage_limit", iso(WALL + 7200))
    assert s.of(w.Stop)[0].exit_code == 124 and "after the deadline" in s.of(w.Stop)[0].message


def test_errors_that_pass_are_tried_again_ever_later_and_not_for_ever() -> None:
    s = Session(max_retries=3, retry_after=10.0)
    for _ in range(3):
        s.opens()
        s.closes("failed", "overloaded")
        s.step(100)
    assert [e.wait_s for e in s.told(events.LimitWait)] == [10.0, 20.0, 40.0] and len(s.of(w.Say)) == 3
    s.opens()
    s.closes("failed", "overloaded")
    assert (s.of(w.Stop)[0].reason, s.of(w.Stop)[0].exit_code) == ("failure", 1)


@pytest.mark.parametrize("reason", ["auth", "credit", "context", "refused"])
def test_what_only_a_person_mends_stops_at_once(reason: str) -> None:
    s = Session()
    s.opens()
    s.closes("failed", reason)
    assert s.told(events.Escalated)[0].reason == reason and s.of(w.Stop)[0].exit_code == 4
    assert [n.kind for n in s.of(w.Notify)] == ["person"]

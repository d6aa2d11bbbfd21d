"""The watch machine: what it does about standstills, refusals, crashes, checks and limits, and that it is bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harnex.model import events
from harnex.model.facts import State
from harnex.times import iso_second as iso
from harnex.watch import actions as w
from harnex.watch.budget import Bill
from tests.unit.watch._bench import WALL, Session

# ---- clocks ----


def test_the_deadline_counts_by_the_wall_and_a_clock_that_jumps_is_seen_within_a_minute() -> None:
    s = Session(deadline=WALL + 3600)
    s.opens()
    s.tool("started")
    assert s.watch.wake_at() == pytest.approx(s.now + 60)
    s.sight = replace(s.sight, wall=WALL + 3600)  # the machine slept
    s.step()
    assert s.of(w.Stop)[0].exit_code == 124


# ---- how turns end ----


def test_a_good_end_is_done_and_stops_only_if_asked() -> None:
    s = Session()
    s.opens()
    s.closes()
    assert [e.phase for e in s.told(events.Watch)] == ["done"] and s.of(w.Stop) == []
    s.step(10000)
    assert s.told(events.Stall) == [], "who is done may be idle"
    t = Session(auto_stop=True)
    t.opens()
    t.closes()
    assert (t.of(w.Stop)[0].reason, t.of(w.Stop)[0].exit_code) == ("success", 0)


def test_messages_that_wait_come_before_the_end() -> None:
    s = Session(auto_stop=True)
    s.opens()
    s.sight = replace(s.sight, pending=1)
    s.closes()
    assert s.of(w.Stop) == []
    s.sight = replace(s.sight, pending=0)
    s.opens()
    s.closes()
    assert len(s.of(w.Stop)) == 1 and len(s.told(events.Watch)) == 1


def test_without_care_only_what_was_asked_for_is_done() -> None:
    s = Session(care=False, auto_stop=True)
    s.opens()
    s.step(10000)
    assert s.did == []
    s.closes("failed", "overloaded")
    assert s.of(w.Stop)[0].exit_code == 1
    assert not Session(care=False).watch.gone(1, None, True, 0.0)


# ---- dialogs, loops, crashes ----


def test_who_only_wants_to_be_told_is_told() -> None:
    """`--notify-cmd` without a watch: nothing is done, and nothing is kept from people."""
    s = Session(care=False, notify_cmd="tell")
    s.opens()
    s.sight = replace(s.sight, state=State.BLOCKED, dialog="permission", options=("Yes", "No"))
    s.step()
    s.step(2)
    assert [n.kind for n in s.of(w.Notify)] == ["person"] and s.told(events.Escalated) == []
    s.sight = replace(s.sight, state=State.BUSY, dialog="")
    s.step()
    s.closes("failed", "usage_limit", iso(WALL + 600))
    s.opens()
    s.closes("failed", "auth")
    s.opens()
    s.closes()
    assert [n.kind for n in s.of(w.Notify)] == ["person", "limit", "person", "done"]
    assert s.of(w.Stop) == s.of(w.Say) == s.of(w.Answer) == []


def test_a_loop_is_told_once_then_stopped() -> None:
    s = Session()
    s.opens()
    for n in range(5):
        s.tool("started", call_id=f"a{n}")
        s.tool("completed", call_id=f"a{n}")
    assert s.told(events.Stall)[0].kind == "loop"
    s.closes("interrupted")
    assert s.of(w.Say)[0].reason == "loop"
    s.opens()
    for n in range(5):
        s.tool("started", call_id=f"b{n}")
    assert s.of(w.Stop)[0].exit_code == 4


# ---- it is bounded, whatever happens ----


EVENT = st.sampled_from(
    [
        "wait",
        "long",
        "open",
        "done",
        "fail",
        "limit",
        "cut",
        "tool",
        "tool_end",
        "call",
        "block",
        "unblock",
        "crash",
        "ready",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENT, max_size=60), st.integers(0, 2), st.booleans())
def test_it_never_nudges_more_than_allowed_and_never_spins(steps: list[str], most: int, auto_stop: bool) -> None:
    s = Session(max_resumes=most, auto_stop=auto_stop, max_retries=2, verify="x", verify_max=1)
    since_good = 0
    for n, step in enumerate(steps):
        before = len(s.did)
        down = s.watch.phase == "down"
        if step in ("wait", "long"):
            s.step(1.0 if step == "wait" else 500.0)
        elif step == "open" and s.sight.turn is None and not down:
            s.opens()
        elif step in ("done", "fail", "limit", "cut") and s.sight.turn is not None:
            outcome, reason = {
                "done": ("completed", ""),
                "fail": ("failed", "overloaded"),
                "limit": ("failed", "usage_limit"),
                "cut": ("interrupted", ""),
            }[step]
            s.closes(outcome, reason)
            if step == "done":
                since_good = len(s.did)
        elif step in ("tool", "tool_end"):
            s.tool("started" if step == "tool" else "completed", given=str(n), call_id=f"t{n}")
        elif step == "call":
            s.watch.call(Bill(5, None, "m"), False, s.now)
            s.step()
        elif step == "block" and not down:
            s.sight = replace(s.sight, state=State.BLOCKED, dialog="question")
            s.step()
        elif step == "unblock" and s.sight.state is State.BLOCKED:
            s.sight = replace(s.sight, state=State.BUSY if s.sight.turn else State.PROMPT, dialog="")
            s.step()
        elif step == "crash" and s.watch.gone(None, 9, s.sight.turn is not None, s.now):
            s.sight = replace(s.sight, state=State.STARTING, turn=None)
            s.step()
        elif step == "ready":
            s.sight = replace(s.sight, state=State.PROMPT if s.sight.turn is None else State.BUSY, dialog="")
            s.step()
        for action in s.did[before:]:
            if isinstance(action, w.Check):
                s.watch.checked(False, 1, 0.1, "out")
            if isinstance(action, w.Revive):
                s.watch.restarted(False, s.now)
                s.sight = replace(s.sight, state=State.PROMPT, turn=None)
        s.step()
        wake = s.watch.wake_at()
        assert wake is None or wake > s.now
        stalls = [
            a for a in s.did[since_good:] if isinstance(a, w.Say) and a.reason in ("no_output", "no_progress", "idle")
        ]
        assert len(stalls) <= most
        assert len(s.of(w.Revive)) <= most
    assert len(s.of(w.Stop)) <= 1
    if s.watch.phase == "over":
        assert s.watch.wake_at() is None and s.step(1000) == []


@given(st.floats(0.5, 1000), st.integers(1, 50))
def test_asked_again_at_the_same_moment_it_does_nothing_again(after: float, times: int) -> None:
    s = Session(stall_after=after)
    s.opens()
    s.step(after + 0.001)
    did = len(s.did)
    for _ in range(times):
        assert s.step() == []
    assert len(s.did) == did

"""Exactly one start and one end per turn (machines/turns.py)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harnex.machines.turns import LATE_S, ROWS_S, SETTLE_S, UNRECORDED_S, UNSEEN_S, Closed, Opened, Turns
from harnex.model.facts import State, Submitted, TurnEnded

DONE = TurnEnded("rollout", "completed", last_message="hi", turn_key="t1")


def ready() -> Turns:
    turns = Turns()
    assert turns.state(State.PROMPT, 0.0) == []
    return turns


def test_submitted_busy_prompt_end() -> None:
    t = ready()
    t.claim("m1")
    assert t.submitted(Submitted("hooks", "go"), 1.0) == [Opened(1, "m1")]
    assert t.state(State.BUSY, 1.1) == []
    assert t.ended(DONE, 2.0) == []  # still busy on the screen: not over yet
    assert t.state(State.PROMPT, 2.1) == [Closed(1, "m1", 1.1, DONE)]


def test_busy_first_and_the_record_of_the_prompt_later() -> None:
    t = ready()
    t.claim("m1")
    assert t.state(State.BUSY, 1.0) == [Opened(1, "m1")]
    assert t.submitted(Submitted("hooks", "go"), 1.1) == []
    assert t.done == 0


def test_the_state_from_before_the_turn_does_not_end_it() -> None:
    t = ready()
    t.submitted(Submitted("hooks", "go"), 1.0)
    assert t.state(State.PROMPT, 1.1) == []
    assert t.tick(1.0 + UNSEEN_S - 0.1) == []
    assert len(t.tick(1.1 + UNSEEN_S)) == 1


def test_the_last_rows_of_the_transcript_still_belong_to_the_turn_that_a_hook_ended() -> None:
    t = ready()
    t.submitted(Submitted("hooks", "go"), 1.0)
    t.state(State.BUSY, 1.1)
    t.ended(TurnEnded("hooks", "completed"), 2.0)
    assert t.state(State.PROMPT, 2.05) == []
    assert t.wake_at() == 2.0 + ROWS_S
    assert len(t.tick(2.0 + ROWS_S)) == 1


def test_an_end_that_nobody_records_is_read_from_the_screen_after_a_moment() -> None:
    t = ready()
    t.state(State.BUSY, 1.0)
    assert t.state(State.PROMPT, 2.0) == []
    assert t.wake_at() == 2.0 + SETTLE_S
    screen = TurnEnded("screen", "interrupted")
    assert t.tick(2.0 + SETTLE_S, screen) == [Closed(1, None, 1.6, screen)]


def test_a_late_second_word_on_the_same_turn_opens_nothing() -> None:
    t = ready()
    t.submitted(Submitted("hooks", "go"), 1.0)
    t.state(State.BUSY, 1.1)
    t.ended(DONE, 2.0)
    t.state(State.PROMPT, 2.1)
    assert t.ended(TurnEnded("notify", "completed", turn_key="t1"), 2.2) == []
    assert t.ended(TurnEnded("notify", "completed", turn_key="t1"), 60.0) == []
    assert t.done == 1


def test_a_failure_outweighs_completed_and_keeps_the_message() -> None:
    t = ready()
    t.submitted(Submitted("hooks", "go"), 1.0)
    t.state(State.BUSY, 1.1)
    t.ended(DONE, 2.0)
    t.ended(TurnEnded("transcript", "failed", reason="auth"), 2.0)
    closed = t.state(State.PROMPT, 2.1)[0]
    assert isinstance(closed, Closed)
    assert (closed.end.outcome, closed.end.reason, closed.end.last_message) == ("failed", "auth", "hi")


def test_an_end_with_work_pending_ends_nothing() -> None:
    t = ready()
    t.submitted(Submitted("hooks", "go"), 1.0)
    t.state(State.BUSY, 1.1)
    assert t.ended(TurnEnded("hooks", "completed", pending=True), 2.0) == []
    assert t.open is not None
    assert t.open.ended is None


def test_the_agent_goes_straight_on_to_a_queued_prompt() -> None:
    t = ready()
    t.submitted(Submitted("rollout", "one"), 1.0)
    t.state(State.BUSY, 1.0)
    t.ended(DONE, 2.0)
    changes = t.submitted(Submitted("rollout", "two"), 2.01)
    assert [type(c) for c in changes] == [Closed, Opened]
    assert t.open is not None
    assert t.open.number == 2


def test_a_prompt_injected_into_a_running_turn_is_not_another_turn() -> None:
    t = ready()
    t.submitted(Submitted("hooks", "one"), 1.0)
    t.state(State.BUSY, 1.0)
    assert t.submitted(Submitted("hooks", "two"), 1.5) == []


def test_work_before_the_first_prompt_is_no_turn() -> None:
    t = Turns()
    assert t.state(State.BUSY, 1.0) == []
    assert t.open is None


def test_the_process_ends_in_the_middle() -> None:
    t = ready()
    t.state(State.BUSY, 1.0)
    closed = t.process_ended(3.0, TurnEnded("process", "failed", reason="other"))[0]
    assert isinstance(closed, Closed)
    assert (closed.turn, closed.end.source) == (1, "process")
    assert t.process_ended(3.0, TurnEnded("process", "failed")) == []


EVENTS = st.one_of(
    st.just(("submit", None)),
    st.sampled_from([("state", s) for s in (State.PROMPT, State.BUSY, State.BLOCKED, State.UNKNOWN)]),
    st.sampled_from([("end", o) for o in ("completed", "failed", "interrupted")]),
    st.just(("tick", None)),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0.0, 4.0)), max_size=60))
def test_starts_and_ends_alternate_whatever_comes(steps: list[tuple[tuple[str, object], float]]) -> None:
    t, now, seen = Turns(), 0.0, []
    for (kind, value), pause in steps:
        now += pause
        if kind == "submit":
            seen += t.submitted(Submitted("x", "go"), now)
        elif kind == "state":
            seen += t.state(State(str(value)), now)
        elif kind == "end":
            seen += t.ended(TurnEnded("x", value), now)  # type: ignore[arg-type]
        else:
            seen += t.tick(now)
    seen += t.process_ended(now, TurnEnded("process", "failed"))
    assert [type(c) for c in seen] == [Opened, Closed] * (len(seen) // 2)
    assert [c.turn for c in seen] == [n // 2 + 1 for n in range(len(seen))]


def test_a_local_command_that_spins_for_a_moment_is_no_turn() -> None:
    t = ready()
    assert t.state(State.BUSY, 1.0, recorded=True) == []
    assert t.wake_at() == 1.0 + UNRECORDED_S
    assert t.tick(1.9) == []
    assert t.state(State.PROMPT, 2.0, recorded=True) == []
    assert t.tick(9.0) == []
    assert (t.done, t.open, t.wake_at()) == (0, None, None)


def test_work_without_a_record_is_a_turn_when_it_goes_on() -> None:
    t = ready()
    t.state(State.BUSY, 1.0, recorded=True)
    assert t.tick(1.0 + UNRECORDED_S) == [Opened(1, None)]
    assert t.state(State.PROMPT, 5.0, recorded=True) == []
    (closed,) = t.tick(5.0 + SETTLE_S)
    assert isinstance(closed, Closed)
    assert closed.duration_s == 4.0 + SETTLE_S


def test_work_that_is_recorded_a_moment_later_is_a_turn_from_its_beginning() -> None:
    t = ready()
    t.state(State.BUSY, 1.0, recorded=True)
    assert t.submitted(Submitted("hooks", "go"), 1.4) == [Opened(1, None)]
    t.ended(DONE, 2.0)
    assert t.state(State.PROMPT, 2.0, recorded=True) == [Closed(1, None, 1.0, DONE)]


def test_work_after_a_message_of_ours_is_a_turn_at_once() -> None:
    t = ready()
    t.claim("m1")
    assert t.state(State.BUSY, 1.0, recorded=True) == [Opened(1, "m1")]


def test_an_exit_that_spins_leaves_no_turn() -> None:
    t = ready()
    t.state(State.BUSY, 1.0, recorded=True)
    assert t.process_ended(1.5, TurnEnded("process", "failed")) == []
    assert t.tick(9.0) == []


def test_a_record_that_is_read_late_opens_no_second_turn() -> None:
    t = ready()
    t.state(State.BUSY, 1.0)
    t.state(State.PROMPT, 1.2)
    assert len(t.tick(1.2 + SETTLE_S)) == 1
    assert t.submitted(Submitted("hooks", "go"), 1.3 + SETTLE_S) == []
    assert (t.open, t.done) == (None, 1)
    assert len(t.submitted(Submitted("hooks", "the next"), 1.5 + SETTLE_S)) == 1  # only one record was late


def test_a_late_record_is_a_turn_of_its_own_when_a_message_was_sent() -> None:
    t = ready()
    t.state(State.BUSY, 1.0)
    t.state(State.PROMPT, 1.2)
    t.tick(1.2 + SETTLE_S)
    t.claim("m2")
    assert t.submitted(Submitted("hooks", "go"), 1.3 + SETTLE_S) == [Opened(2, "m2")]


def test_a_record_long_after_a_turn_without_one_is_a_new_turn() -> None:
    t = ready()
    t.state(State.BUSY, 1.0)
    t.state(State.PROMPT, 1.2)
    t.tick(1.2 + SETTLE_S)
    assert len(t.submitted(Submitted("hooks", "go"), 1.2 + SETTLE_S + LATE_S)) == 1


def test_a_message_that_failed_takes_back_its_own_claim_only() -> None:
    turns = Turns()
    turns.claim("first")
    turns.unclaim("second")  # it expired in the queue
    assert turns.claimed
    turns.unclaim("first")
    assert not turns.claimed

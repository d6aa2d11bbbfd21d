"""Whether the model calls are being counted (machines/measure.py): what was seen of the work against what was heard of calls."""

from __future__ import annotations

import pytest

from harnex.machines.measure import EARLY_S, LATE_S, LOCAL_S, OWED, SILENT_S, Measure
from harnex.machines.turns import Closed
from harnex.model.facts import Outcome, TurnEnded


def closed(outcome: Outcome = "completed", said: str = "", took: float = 5.0, message: str | None = None) -> Closed:
    return Closed(1, message, took, TurnEnded("test", outcome, said))


def test_a_turn_whose_calls_are_counted_has_no_gap() -> None:
    m = Measure()
    m.opened(True, 10.0)
    m.heard(10.1)
    assert m.step(True, 10.0 + 2 * SILENT_S) == "" and m.wake_at() is None
    m.called()
    m.closed(closed(said="Done."), 100.0)
    assert not m.settling and m.step(False, 200.0) == "" and m.gap == ""


def test_a_long_turn_without_a_row_is_a_gap_before_it_ends() -> None:
    m = Measure()
    m.opened(True, 10.0)
    assert m.wake_at() == 10.0 + SILENT_S
    assert m.step(True, 9.9 + SILENT_S) == ""
    assert m.step(False, 10.0 + SILENT_S) == "", "a dialog holds it: nothing may have been asked"
    assert m.step(True, 10.0 + SILENT_S) == "silent"
    assert m.step(True, 11.0 + SILENT_S) == "" and m.gap == "silent", "told once"
    m.called()  # the record was found after all, and is read from its beginning
    assert m.gap == ""


def test_a_long_command_of_the_cli_itself_is_no_gap() -> None:
    """`/compact` has its row when it is over."""
    m = Measure()
    m.opened(False, 10.0)
    assert m.step(True, 10.0 + 10 * SILENT_S) == ""
    m.heard(400.0)
    m.closed(closed(took=390.0), 400.0)
    assert not m.settling


@pytest.mark.parametrize("heard", [9.0 - EARLY_S, 10.0 - EARLY_S])
def test_only_a_row_of_this_turn_counts(heard: float) -> None:
    """Screens and files are read at different times: a row may come a moment before the work is seen."""
    m = Measure()
    m.heard(heard)
    m.opened(True, 10.0)
    found = m.step(True, 10.0 + SILENT_S)
    assert found == ("" if heard >= 10.0 - EARLY_S else "silent")


@pytest.mark.parametrize(
    ("ours", "heard", "said", "tools", "gap"),
    [
        (True, False, "", 0, "silent"),  # nothing is recorded at all
        (True, False, "Done.", 2, "silent"),  # hooks tell of the turn, no transcript is kept
        (True, True, "Done.", 0, "unread"),  # a transcript that harnex can't read
        (False, True, "", 1, "unread"),
        (False, False, "", 0, "silent"),  # a person typed it
        (True, True, "", 0, ""),  # a hook refused the prompt, or a command of the CLI itself
    ],
)
def test_a_turn_that_ended_well_without_a_call(ours: bool, heard: bool, said: str, tools: int, gap: str) -> None:
    m = Measure()
    m.opened(ours, 10.0)
    if heard:
        m.heard(10.2)
    for _ in range(tools):
        m.tool_ended(12.0)
    m.closed(closed(said=said), 15.0)
    assert m.settling is bool(gap)
    assert m.step(False, 14.9 + LATE_S) == "", "its last call may still come"
    assert m.wake_at() == (15.0 + LATE_S if gap else None)
    assert m.step(False, 15.0 + LATE_S) == gap
    assert not m.settling and m.wake_at() is None


def test_a_late_call_closes_the_question() -> None:
    m = Measure()
    m.opened(True, 10.0)
    m.heard(10.0)
    m.closed(closed(said="Done."), 15.0)
    m.called()
    assert not m.settling and m.step(False, 99.0) == ""


@pytest.mark.parametrize("outcome", ["failed", "interrupted"])
def test_a_turn_that_failed_or_was_interrupted_needs_no_call(outcome: Outcome) -> None:
    m = Measure()
    m.opened(True, 10.0)
    m.closed(closed(outcome), 15.0)
    assert not m.settling and m.step(False, 99.0) == ""


def test_what_is_over_at_once_and_nobody_asked_for_may_be_a_local_command() -> None:
    m = Measure()
    m.opened(False, 10.0)
    m.closed(closed(took=LOCAL_S / 2), 10.4)
    assert not m.settling
    m.opened(False, 20.0)
    m.closed(closed(took=LOCAL_S, message="m-1"), 21.0)
    assert m.settling


def test_turns_that_follow_at_once_are_not_excused_for_ever() -> None:
    m = Measure()
    for n in range(OWED):
        assert m.gap == ""
        m.opened(True, 10.0 + n)
        m.step(True, 10.5 + n)
        m.closed(closed(), 10.9 + n)
    m.opened(True, 10.0 + OWED)
    assert m.step(True, 10.1 + OWED) == "silent"


def test_tools_that_end_without_a_call_are_a_gap_in_a_turn_that_goes_on() -> None:
    m = Measure()
    m.opened(True, 10.0)
    m.heard(10.0)
    m.tool_ended(20.0)
    m.tool_ended(21.0)
    assert m.wake_at() == 20.0 + SILENT_S
    assert m.step(True, 20.0 + SILENT_S) == "unread"

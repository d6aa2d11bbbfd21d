"""What a person left open over the prompt (machines/leaving.py): closed step by step, or left to them."""

from __future__ import annotations

from dataclasses import replace

from harnex.machines.inbox import PERSON_S
from harnex.machines.leaving import LOOKER_S, PASS_S, PRESSES_MAX, STEP_S, Leaving, Surroundings
from harnex.model.facts import OpenView

ALONE = Surroundings(pending=False, attached=False, person_typed=0.0)
SEARCH = OpenView("the history search", b"<esc>")
SHELL = OpenView("shell mode", b"<back>")
DRAFT = OpenView("shell mode", b"<clear>", holds_text=True)


def test_a_view_is_left_once_nobody_types() -> None:
    machine = Leaving()
    machine.see(SEARCH, 1.0)
    assert machine.will_leave(ALONE)
    assert machine.wake_at(ALONE) == PERSON_S
    assert machine.step(ALONE, PERSON_S - 0.1) == b""
    assert machine.step(ALONE, PERSON_S) == b"<esc>"
    assert machine.step(ALONE, PERSON_S + 0.1) == b""  # it has a moment to show
    machine.see(None, PERSON_S + 0.2)
    assert machine.left() == "the history search"
    assert machine.left() == ""
    assert machine.wake_at(ALONE) is None


def test_somebody_who_looks_has_longer_unless_a_message_waits() -> None:
    machine = Leaving()
    machine.see(SEARCH, 1.0)
    looking = replace(ALONE, attached=True)
    assert machine.wake_at(looking) == LOOKER_S
    assert machine.wake_at(replace(looking, pending=True)) == PERSON_S


def test_a_draft_is_thrown_away_only_for_a_message() -> None:
    machine = Leaving()
    machine.see(DRAFT, 0.0)
    assert not machine.will_leave(ALONE)
    assert machine.step(ALONE, 1e6) == b""
    waiting = replace(ALONE, pending=True)
    assert machine.step(waiting, 10.0) == b"<clear>"
    machine.see(SHELL, 10.3)  # the text is gone, the mode is not: the next step follows at once
    assert machine.step(waiting, 10.3) == b"<back>"
    machine.see(None, 10.5)
    assert machine.left() == "shell mode"


def test_a_person_who_types_again_is_not_disturbed() -> None:
    machine = Leaving()
    machine.see(DRAFT, 0.0)
    waiting = replace(ALONE, pending=True)
    assert machine.step(waiting, 10.0) == b"<clear>"
    machine.see(SHELL, 10.3)
    typing = replace(waiting, person_typed=10.2)
    assert machine.step(typing, 10.3) == b""
    assert machine.wake_at(typing) == 10.2 + PERSON_S


def test_what_does_not_go_is_left_to_a_person() -> None:
    machine = Leaving()
    machine.see(SEARCH, 0.0)
    now, presses = PERSON_S, 0
    while not machine.gave_up:
        presses += machine.step(ALONE, now) != b""
        now += STEP_S
        assert now < 100
    assert presses == PRESSES_MAX
    assert not machine.will_leave(ALONE)
    assert machine.wake_at(ALONE) is None
    machine.see(None, now)
    machine.see(SEARCH, now)  # opened anew
    assert machine.will_leave(ALONE)


def test_a_view_whose_keys_are_not_known_is_never_left() -> None:
    machine = Leaving()
    machine.see(OpenView("the suspended agent"), 0.0)
    assert machine.step(replace(ALONE, pending=True), 1e6) == b""
    machine.see(None, 1e6)
    assert machine.left() == ""  # a person did it


def test_what_goes_by_itself_needs_nobody_for_a_moment() -> None:
    """Claude Code's farewell at Ctrl-Z stands there until its process, which was told to continue, draws again."""
    machine = Leaving()
    assert not machine.passes(0.0)
    machine.see(OpenView("the suspended agent", passes=True), 5.0)
    assert machine.passes(5.0 + PASS_S - 0.1) and not machine.passes(5.0 + PASS_S)
    assert machine.step(replace(ALONE, pending=True), 1e3) == b""

"""When `wait` and `send --wait-for-idle` may return, and with which exit code. Pure.

A wait never returns because of an earlier turn: while a message is queued, typed or being answered,
the session is neither at its prompt nor done.
"""

from __future__ import annotations

from dataclasses import dataclass

from harnex import errors
from harnex.machines.turns import Closed
from harnex.model.facts import State
from harnex.model.records import LastOutcome

UNTIL = ("prompt", "busy", "blocked", "task_complete", "exited")


@dataclass(frozen=True, slots=True)
class Standing:
    """The session as a waiting caller sees it."""

    state: State
    dialog: str
    pending: int  # messages not yet accepted, failed or expired
    open_turn: bool
    last: Closed | None
    one_turn: bool = False  # a headless run: the end of the turn is the end of the run
    outcome: int | None = None  # the exit code of a watched session that has ended
    view: str = ""  # a view that a person left open over the prompt, and that harnex does not leave
    needs_person: bool = False  # a dialog is up, and nobody is answering it

    @property
    def settled(self) -> bool:
        """Whether the agent is at its prompt, with no message pending and no turn open."""
        return self.state is State.PROMPT and not self.pending and not self.open_turn


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a wait. `exit_code` as in errors.py."""

    exit_code: int
    error: str = ""
    hint: str = ""


def outcome_of(closed: Closed) -> Answer:
    """The result of a wait for a turn that closed this way."""
    end = closed.end
    if end.outcome == "completed":
        return Answer(errors.DONE)
    if end.outcome == "interrupted":
        return Answer(errors.FAILED, f"turn {closed.turn} was interrupted")
    detail = f": {end.detail}" if end.detail else ""
    return Answer(errors.FAILED, f"turn {closed.turn} failed ({end.reason or 'other'}){detail}")


def answer(until: str, standing: Standing) -> Answer | None:
    """The result of a wait for `until` (one of UNTIL); None while the wait goes on."""
    state = standing.state
    if state is State.EXITED:
        if until == "exited":
            return Answer(errors.DONE)
        if until == "task_complete" and standing.outcome is not None:
            ended = "" if standing.outcome == errors.DONE else "the watch ended the session: the task is not done"
            return Answer(standing.outcome, ended, "see: harnex history" if ended else "")
        if until == "task_complete" and standing.one_turn and standing.last is not None:
            return outcome_of(standing.last)
        return Answer(errors.FAILED, f"the session ended before it was {until}", "see: harnex history")
    if until == "exited":
        return None
    if until == "blocked" and state is State.BLOCKED:
        return Answer(errors.DONE)
    if until == "busy" and (state is State.BUSY or standing.open_turn):
        return Answer(errors.DONE)
    if state is State.BLOCKED:
        what = f"{standing.view} was left open" if standing.view else f"a {standing.dialog} dialog waits for a person"
        return Answer(errors.PERSON_NEEDED, what, "look: harnex pane; take over: harnex attach")
    if until == "prompt" and standing.settled:
        return Answer(errors.DONE)
    if until == "task_complete" and standing.settled and standing.last is not None:
        return outcome_of(standing.last)
    return None


def describe(closed: Closed | None) -> LastOutcome | None:
    """`last_outcome` in the registry and in replies; None if no turn has closed.

    The shape is `{turn, outcome, reason, retry_at, message}`.
    """
    if closed is None:
        return None
    end = closed.end
    return {
        "turn": closed.turn,
        "outcome": end.outcome,
        "reason": end.reason or None,
        "retry_at": end.retry_at,
        "message": (end.detail or end.last_message)[:500],
    }

"""The state of a session: what the sources come to (activity.py), and everything that overrides it.

Pure. The overrides, the strongest last:

1. The agent took a prompt and does not show so yet: the screen shows the moment before, and the
   state is busy.
2. A signal stopped the agent's process: the last screen says nothing about the present.
3. The session ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harnex.machines.activity import Verdict
from harnex.machines.changes import Changes
from harnex.machines.ending import End
from harnex.machines.turns import Turn, Turns
from harnex.model.facts import State


def status(fused: Verdict, turn: Turn | None, stopped: str, ending: str) -> Verdict:
    """The state, from the fusion and what overrides it.

    `turn` is the open turn; `stopped` says why the agent's process stands still, "" if the process
    runs; `ending` says why the session ends, "" if the session does not end.
    """
    verdict, wake = fused, fused.wake_at
    if verdict.state is State.PROMPT and turn is not None and not turn.worked and turn.ended is None:
        verdict = Verdict(State.BUSY, "turn", "a prompt was taken", wake_at=wake)
    if stopped:
        verdict = Verdict(State.UNKNOWN, "process", stopped, wake_at=wake)
    if ending:
        verdict = Verdict(State.STOPPING, "harnex", ending, wake_at=wake)
    return verdict


def waited_for(verdict: Verdict, end: End, unsettled: bool) -> State:
    """The state for those who wait for a state.

    `unsettled`: harnex is about to change the state by itself. Once the session starts ending,
    waiters never see `prompt`.
    """
    if end.under_way:
        return State.EXITED if end.done else State.STOPPING
    return State.STARTING if unsettled else verdict.state


@dataclass
class Status:
    """The state that was last reported, and since when (`since`, ISO 8601)."""

    since: str
    verdict: Verdict = field(default_factory=lambda: Verdict(State.STARTING))
    changes: Changes = field(default_factory=Changes)

    def show(self, verdict: Verdict, at: str) -> Verdict | None:
        """Take a new verdict at the time `at` (ISO 8601).

        Returns the old verdict, or None if nothing changed that is reported.
        """
        old, self.verdict = self.verdict, verdict
        if verdict.same_as(old):
            return None
        if verdict.state is not old.state or verdict.dialog != old.dialog or verdict.asks_else(old.asks):
            self.since = at
        return old


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a session now: its state, its turns, its end.

    Shared by the parts that need to know.
    """

    status: Status
    turns: Turns
    end: End

    @property
    def turn_number(self) -> int | None:
        """The number of the open turn, or of the last turn; None before the first."""
        return self.turns.open.number if self.turns.open is not None else self.turns.done or None

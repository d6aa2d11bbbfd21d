"""Waiting for what the agent left running when its turn ended well. Pure.

A task is judged (done-when, verify, the end) only when nothing of the agent runs any more, or when it was waited for as long
as `background_wait` allows. Each piece of work has its own time, which runs only while the watch waits, so that a server
costs one wait and not one after each turn. When work ends, the agent may go on by itself: Claude Code tells it, and a turn
begins. Else the agent is told by a message, because it ended its turn before it could see the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harnex import times
from harnex.machines.background import Work, named
from harnex.model import events
from harnex.watch.actions import Say
from harnex.watch.policy import Policy

WAKE_S = 10.0  # for an agent that its CLI has told of an end to begin a turn (Claude Code: 0.1 s at most)
SAYS = 20  # how often an agent is told: one that starts something in each turn would go on for ever
PHASE = "background"


@dataclass(frozen=True, slots=True)
class _Ended:
    work: Work
    told: bool
    at: float


@dataclass(slots=True)
class Waits:
    """What is waited for now, how long each work was waited for, and what ended meanwhile."""

    policy: Policy
    said: int = 0
    due: float | None = None  # monotonic: when something is given up, or the agent has had its time to wake
    until: float | None = None  # epoch seconds: when the last of it is given up
    _waited: dict[str, float] = field(default_factory=dict)
    _given_up: set[str] = field(default_factory=set)
    _ended: list[_Ended] = field(default_factory=list)
    _since: float | None = None  # of the last look at what is waited for

    def turn_opened(self) -> None:
        """The agent works: nothing is waited for, and what ended is its own affair."""
        self._ended.clear()
        self._since = self.due = self.until = None

    def ended(self, work: Work, told: bool, now: float) -> None:
        """Work ended. It is news for the agent only if it was waited for."""
        if self._since is not None and work.work_id in self._waited and work.work_id not in self._given_up:
            self._ended.append(_Ended(work, told, now))

    def holds(self, running: Sequence[Work], unsure: bool, wall: float, now: float) -> tuple[bool, list[events.Event]]:
        """Whether the end of a turn is not judged yet, and what to tell about that."""
        limit = self.policy.background_wait
        if self._since is not None:
            self._pass(now)
        told: list[events.Event] = []
        left = [w for w in running if limit > 0 and w.work_id not in self._given_up]
        new = [w for w in left if w.work_id not in self._waited]
        self._waited.update((w.work_id, 0.0) for w in new)
        over = [w for w in left if self._waited[w.work_id] >= limit]
        left = [w for w in left if w not in over]
        if over:
            self._given_up.update(w.work_id for w in over)
            told.append(
                _event(f"still running after {times.duration(limit)}, and not waited for any longer: {named(over)}")
            )
        if new:
            told.append(_event(f"waiting for background work, {times.duration(limit)} at most: {named(new)}"))
        limits = [limit - self._waited[w.work_id] for w in left]
        wakes = [e.at + WAKE_S - now for e in self._ended if e.told and now < e.at + WAKE_S]
        self.due = now + min([*limits, *wakes], default=0.0) if limits or wakes else None
        self.until = wall + max(limits) if limits else None
        hold = bool(left or wakes or (unsure and limit > 0))
        self._since = now if hold else None
        return hold, told

    def news(self, now: float) -> Say | None:
        """What the agent must be told of what ended, if it did not go on by itself."""
        ended = [e for e in self._ended if not e.told or now >= e.at + WAKE_S]
        if not ended or self.said >= SAYS:
            return None
        self.turn_opened()
        self.said += 1
        what = named([e.work for e in ended])
        text = f"Your background work has ended: {what}. Look at its result, and go on with the task until it is done."
        return Say("background", text, self.said, SAYS)

    def _pass(self, now: float) -> None:
        """The time since the last look was waited for everything that is waited for."""
        assert self._since is not None
        for key in self._waited:
            if key not in self._given_up:
                self._waited[key] += now - self._since
        self._since = now


def _event(message: str) -> events.Event:
    return events.Watch(phase=PHASE, message=message)

"""Waits for what the agent left running when its turn ended well. Pure.

A task is judged (done-when, verify, the end) only when nothing of the agent runs any more, or when
the watch has waited as long as `background_wait` allows. Each piece of work has its own time, which
runs only while the watch waits, so a server costs one wait and not one after each turn. When work
ends, the agent may go on by itself: Claude Code reports the end to the agent, and a turn begins.
Otherwise a message tells the agent, because the agent ended its turn before it could see the
result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harnex import times
from harnex.machines.background import Work, named
from harnex.model import events
from harnex.watch.actions import Say
from harnex.watch.policy import Policy

# Seconds for the agent to begin a turn after its CLI reported an end (Claude Code: 0.1 s at most).
WAKE_S = 10.0
# How often the agent gets such a message: an agent that starts something in each turn would go on
# for ever.
SAYS = 20
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
    # Monotonic seconds: when a wait is given up, or when the agent has had its time to wake.
    due: float | None = None
    until: float | None = None  # epoch seconds: when the last wait is given up
    _waited: dict[str, float] = field(default_factory=dict)
    _given_up: set[str] = field(default_factory=set)
    _ended: list[_Ended] = field(default_factory=list)
    _since: float | None = None  # when the waits were last looked at

    def turn_opened(self) -> None:
        """Note that the agent works: nothing is waited for, and it sees for itself what ended."""
        self._ended.clear()
        self._since = self.due = self.until = None

    def ended(self, work: Work, told: bool, now: float) -> None:
        """Note that work ended.

        The end is news for the agent only if the watch waited for that work.
        """
        if self._since is not None and work.work_id in self._waited and work.work_id not in self._given_up:
            self._ended.append(_Ended(work, told, now))

    def holds(self, running: Sequence[Work], unsure: bool, wall: float, now: float) -> tuple[bool, list[events.Event]]:
        """Whether the end of a turn is not judged yet, and the events to write about that."""
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
        """The message about what ended, if the agent did not go on by itself; None otherwise."""
        ended = [e for e in self._ended if not e.told or now >= e.at + WAKE_S]
        if not ended or self.said >= SAYS:
            return None
        self.turn_opened()
        self.said += 1
        what = named([e.work for e in ended])
        text = f"Your background work has ended: {what}. Look at its result, and go on with the task until it is done."
        return Say("background", text, self.said, SAYS)

    def _pass(self, now: float) -> None:
        """Add the time since the last look to everything that is waited for."""
        assert self._since is not None
        for key in self._waited:
            if key not in self._given_up:
                self._waited[key] += now - self._since
        self._since = now


def _event(message: str) -> events.Event:
    return events.Watch(phase=PHASE, message=message)

"""Whether the session's model calls are counted.

Feeds `machines/measure.py`, and reports once what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

from harnex.machines.measure import Measure
from harnex.machines.status import Status
from harnex.machines.turns import Closed, Opened
from harnex.model.facts import State, ToolUse
from harnex.supervisor.agent import Agent

UNREAD = "the agent's records of the last turn hold no model call that harnex can read"
MEANS = "its model calls and tokens are not counted, and no budget of them can be kept"
UNSEEN = "this program gives no sign of its turns, so that they can't be counted or timed"


class Measured:
    """The measuring of one session. A headless run needs none: its stream reports its calls."""

    def __init__(
        self, headless: bool, agent: Callable[[], Agent], status: Status, diagnose: Callable[[str], None]
    ) -> None:
        self._headless = headless
        self._agent, self._status, self._diagnose = agent, status, diagnose
        self._measure = Measure()
        self._reader: object = None
        self._rows = 0
        self._told: set[str] = set()
        self.gap = ""  # what is missing, in words

    @property
    def _on(self) -> bool:
        return not self._headless and self._agent().reader.counts

    @property
    def settling(self) -> bool:
        """Whether calls of a turn that has ended may still come."""
        return self._on and self._measure.settling

    @property
    def unseen(self) -> str:
        """Why turns can't be counted, in words; "" if they can."""
        return UNSEEN if self._measure.unseen else ""

    def turn(self, change: Opened | Closed, now: float) -> None:
        self._look(now)
        if isinstance(change, Opened):
            self._measure.opened(change.message_id is not None, now)
        else:
            self._measure.closed(change, now)

    def called(self) -> None:
        self._measure.called()
        self.gap = ""

    def tool(self, use: ToolUse, now: float) -> None:
        if use.status != "started":
            self._measure.tool_ended(now)

    def typed(self) -> None:
        """A message was typed, and this agent shows no more than that."""
        if self._agent().reader.may_type_unknown and self._status.verdict.state is State.UNKNOWN:
            self._measure.untold()

    def _look(self, now: float) -> None:
        """Check whether rows were read since the last look."""
        reader = self._agent().reader
        if reader is not self._reader:
            self._reader, self._rows = reader, 0
        rows = reader.recorded()
        if rows != self._rows:
            self._rows = rows
            self._measure.heard(now)

    def step(self, now: float) -> None:
        reader = self._agent().reader
        if not self._on:
            return
        self._look(now)
        gap = self._measure.step(self._status.verdict.state is State.BUSY, now)
        if gap:
            why = (
                UNREAD if gap == "unread" else reader.unrecorded() or "no record of the agent's conversation was found"
            )
            self.gap = f"{why}: {MEANS}"
            if gap not in self._told:
                self._told.add(gap)
                self._diagnose(self.gap)

    def wake_at(self, now: float) -> float | None:
        wake = self._measure.wake_at() if self._on else None
        # What is overdue waits until the agent works again.
        return wake if wake is not None and wake > now else None

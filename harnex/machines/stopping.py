"""The ladder that ends an agent: interrupt, native exit, TERM, KILL.

Each step has a bounded grace in seconds. Pure.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from harnex.agents.contract import StopStep
from harnex.model.facts import State

TERM_GRACE_S = 4.0
KILL_GRACE_S = 2.0
ROUGH = (
    StopStep("TERM", signal=int(signal.SIGTERM), grace_s=TERM_GRACE_S),
    StopStep("KILL", signal=int(signal.SIGKILL), grace_s=KILL_GRACE_S),
)


@dataclass(slots=True)
class Ladder:
    """The steps that end one agent.

    Ask `next_step` whenever the state changed or `wake_at` has come.
    """

    steps: list[StopStep]
    current: StopStep | None = None
    until: float = 0.0

    @classmethod
    def of(cls, polite: Sequence[StopStep], force: bool) -> Ladder:
        """The ladder from an agent's polite steps; with `force`, only KILL."""
        return cls([ROUGH[1]] if force else [*polite, *ROUGH])

    def next_step(self, state: State, turn_open: bool, now: float) -> StopStep | None:
        """The step to take now; None to keep waiting, or when no step is left."""
        working = turn_open or state in (State.BUSY, State.BLOCKED)
        if self.current is not None:
            reached = self.current.until == "prompt" and not working
            if not reached and now < self.until:
                return None
        while self.steps:
            step = self.steps.pop(0)
            if step.until == "prompt" and not working:
                continue
            self.current, self.until = step, now + step.grace_s
            return step
        self.current = None
        return None

    def give_up(self, now: float) -> None:
        """Make the next step due: the current step can't be done."""
        self.until = now

    def wake_at(self) -> float | None:
        """When the grace of the current step ends (monotonic seconds); None if no step runs."""
        return self.until if self.current is not None else None

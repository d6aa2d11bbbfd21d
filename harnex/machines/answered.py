"""When a headless agent's result is its last, and how long the agent's process may live after that.

Pure.

    working -- a result --> settling -- nothing follows --> told -- the process lives on --> ending
    settling, told -- the agent goes on --> working

The phase stays `settling` while the agent has work in the background: Claude Code 2.1.329 waits for
that work, goes on when it ends, and gives another result. Both CLIs have been seen to live on after
their result for ever (claude-code #25629, #39700).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harnex.model.facts import TurnEnded

SETTLE_S = 0.5  # The result stands after this many seconds without another record.
# Seconds for the process to exit by itself (Claude Code 2.1.197 ends its shells first: 5 s).
GRACE_S = 10.0


@dataclass(slots=True)
class Answered:
    """The result of one process, or none yet."""

    phase: Literal["working", "settling", "told", "ending"] = "working"
    result: TurnEnded | None = None
    _due: float | None = None

    @property
    def told(self) -> bool:
        """Whether the result is final, whatever becomes of the process."""
        return self.phase in ("told", "ending")

    def take(self, result: TurnEnded, now: float) -> None:
        """Take a result that the agent gave."""
        self.phase, self.result, self._due = "settling", result, now + SETTLE_S

    def row(self, now: float) -> None:
        """Note that the agent wrote a record: a settling result settles anew."""
        if self.phase == "settling":
            self._due = now + SETTLE_S

    def went_on(self) -> None:
        """Note that the agent works again: another result will come."""
        self.phase, self.result, self._due = "working", None, None

    def hurry(self, now: float) -> None:
        """Wait for nothing any longer: a caller wants the end."""
        if self._due is not None:
            self._due = now

    def step(self, held: bool, now: float) -> Literal["tell", "end"] | None:
        """What is due: `tell` the answer, or `end` the process; None if nothing is due.

        `held`: the agent has work in the background.
        """
        if self._due is None or now < self._due or (held and self.phase == "settling"):
            return None
        if self.phase == "settling":
            self.phase, self._due = "told", now + GRACE_S
            return "tell"
        self.phase, self._due = "ending", None
        return "end"

    def wake_at(self) -> float | None:
        """When `step` has something to do (monotonic seconds); None if time alone does nothing."""
        return self._due

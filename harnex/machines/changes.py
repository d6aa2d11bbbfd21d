"""How often the state may change: ten changes at once, and then ten a second, so at most twenty in any second. Pure.

A program that declares another state all the time (72,369 `state` events in 16 s, of OSC 7501) would fill the log
and the disk. While no change is due, what the sources say is heard and nothing is decided: the last word counts, a
tenth of a second later at most.
"""

from __future__ import annotations

BURST = 10  # changes at once: no session that was recorded (315) has more than 5 in any second
EVERY_S = 0.1  # and then one in so long


class Changes:
    """Counts the changes of one session's state. Ask `hold` before each decision; `count` each change."""

    def __init__(self) -> None:
        self.held = False  # a decision waits: the state is in doubt
        self._calm_at = -1e9  # when as many changes as BURST are free again, if none comes
        self._storm = False

    @property
    def _free_at(self) -> float:
        return self._calm_at - (BURST - 1) * EVERY_S - 1e-6  # floats

    def hold(self, now: float) -> bool:
        """Whether no change is due now, so that nothing is to be decided before `wake_at`."""
        self.held = now < self._free_at
        return self.held

    def count(self, now: float) -> bool:
        """The state changed. True: it changes too often from now on (once in a storm)."""
        if now >= self._calm_at:
            self._storm = False
        self._calm_at = max(self._calm_at, now) + EVERY_S
        begins = not self._storm and now < self._free_at
        self._storm = self._storm or begins
        return begins

    def wake_at(self) -> float | None:
        """When the decision that waits is due."""
        return self._free_at if self.held else None

"""Limits how often the state may change: ten changes at once, then ten a second, at most twenty in
any second.

Pure. A program that declares another state all the time (72,369 `state` events in 16 s, by OSC
7501) would fill the log and the disk. While no change is due, the sources are heard and nothing is
decided. The last report counts, at most a tenth of a second later.
"""

from __future__ import annotations

# Changes that are allowed at once: no recorded session (315) has more than 5 in any second.
BURST = 10
EVERY_S = 0.1  # after that, one change in this many seconds


class Changes:
    """Counts the changes of one session's state.

    Ask `hold` before each decision; `count` each change.
    """

    def __init__(self) -> None:
        self.held = False  # a decision waits, and the state is in doubt
        self._calm_at = -1e9  # when BURST changes are free again, if no change comes
        self._storm = False

    @property
    def _free_at(self) -> float:
        return self._calm_at - (BURST - 1) * EVERY_S - 1e-6  # tolerance for floats

    def hold(self, now: float) -> bool:
        """Whether no change is due now. If so, decide nothing before `wake_at`."""
        self.held = now < self._free_at
        return self.held

    def count(self, now: float) -> bool:
        """Note that the state changed.

        Returns True once in a storm: when changes start to come too often.
        """
        if now >= self._calm_at:
            self._storm = False
        self._calm_at = max(self._calm_at, now) + EVERY_S
        begins = not self._storm and now < self._free_at
        self._storm = self._storm or begins
        return begins

    def wake_at(self) -> float | None:
        """When the waiting decision is due (monotonic seconds); None if no decision waits."""
        return self._free_at if self.held else None

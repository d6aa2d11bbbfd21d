"""The end of a headless run.

The result is reported at once, the process gets a grace period, and work that it
left running is waited for.
"""

from __future__ import annotations

from collections.abc import Callable

from harnex import clock
from harnex.machines.answered import GRACE_S, Answered
from harnex.machines.background import Work
from harnex.machines.stopping import Ladder
from harnex.model.facts import State, TurnEnded
from harnex.supervisor.agent import Agent
from harnex.supervisor.background import BackgroundWork
from harnex.supervisor.journal import Journal
from harnex.watch.background import Waits


class Conclusion:
    """The end of one headless session.

    A further process of the session (`--schema`: asked again) begins anew.
    """

    def __init__(
        self,
        waits: Waits,
        journal: Journal,
        agent: Callable[[], Agent],
        background: BackgroundWork,
        tell: Callable[[float], None],
    ) -> None:
        """`waits` says how long to wait for work that was left running.

        `tell(now)` reports the answer.
        """
        self._waits, self._journal, self._agent, self._background = waits, journal, agent, background
        self._tell = tell
        self._answered = Answered()
        self._ladder: Ladder | None = None
        self._released = False  # whether nobody waits any longer for work that was left running
        # Whether the process is gone, and the work that it left was looked at.
        self._left = False
        self._next_look = 0.0

    # ---- what the stream tells ----

    def result(self, end: TurnEnded, now: float) -> None:
        """The stream gave a result."""
        self._answered.take(end, now)

    def row(self, now: float) -> None:
        """The stream gave a row of any kind."""
        self._answered.row(now)

    def went_on(self) -> None:
        """Another turn began after the result."""
        if self._answered.result is not None:
            self._answered.went_on()
            self._waits.turn_opened()
            self._ladder = None

    def again(self) -> None:
        """A new process asks once more."""
        self._answered, self._ladder = Answered(), None

    @property
    def given(self) -> bool:
        """Whether there is a result and no turn runs."""
        return self._answered.result is not None

    @property
    def stands(self) -> bool:
        """Whether the result stands, whatever happens to the process."""
        return self._answered.told

    @property
    def ended(self) -> bool:
        """Whether harnex ended the process."""
        return self._ladder is not None

    # ---- the process lives ----

    def step(self, now: float) -> None:
        """Do what is due. Call only while the process lives and the session is not ending."""
        action = self._answered.step(self._held(now), now)
        if action == "tell":
            self._tell(now)
        elif action == "end":
            self._journal.diagnose(f"the agent gave its result and did not exit within {GRACE_S:g} s: it is ended")
            self._climb(force=False)
        if self._ladder is not None:
            step = self._ladder.next_step(State.BUSY, False, now)
            if step is not None and step.signal:
                self._agent().child.kill(step.signal)

    def wake_at(self) -> float | None:
        times = [self._answered.wake_at(), self._ladder.wake_at() if self._ladder is not None else None]
        times += [self._waits.due if self._answered.phase == "settling" else None]
        times += [self._next_look if self._left and not self._released else None]
        return min((t for t in times if t is not None), default=None)

    def _held(self, now: float) -> bool:
        """Whether the agent may go on by itself, because recorded background work will wake it."""
        if self._answered.phase != "settling":
            return False
        return self._wait([w for w in self._background.running if w.recorded], now)

    def _wait(self, running: list[Work], now: float) -> bool:
        held, told = self._waits.holds(running, False, clock.wall(), now)
        for event in told:
            self._journal.emit(event)
        return held

    def _climb(self, force: bool) -> None:
        self._ladder = Ladder.of(self._agent().stop_steps(State.BUSY), force)

    def stop(self, force: bool, ending: bool, now: float) -> bool:
        """A client ends the session. Returns True if the result stands: then only the
        process is ended, at once.

        `ending`: the session is ending already.
        """
        if self._left:
            self._released = True
            return True
        if self._answered.phase == "settling" and not self._held(now):
            self._answered.hurry(now)
            if not ending:
                self.step(now)
        if not self._answered.told:
            return False
        if self._ladder is None or force:
            self._answered.phase = "ending"
            self._climb(force)
        return True

    # ---- the process is gone ----

    def leaves(self, now: float) -> bool:
        """After the process ended well by itself: whether work that it left
        running is still waited for."""
        if self._released:
            return False
        if now < self._next_look:
            return True
        if not self._left:
            self._left = True
            self._background.outlives(now)
        self._next_look = self._background.look(now)
        self._released = not self._wait(self._background.running, now)
        return not self._released

"""Reports the state of a session whenever it changes: to the event log, to the turns, and
to the typing of messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harnex import clock, process
from harnex.machines.activity import Verdict
from harnex.machines.status import Situation, status
from harnex.machines.turns import Closed, Opened
from harnex.model import events
from harnex.model.facts import State, TurnEnded
from harnex.supervisor import offspring
from harnex.supervisor.agent import Agent
from harnex.supervisor.journal import Journal


class Deciding:
    """Asks the machines for the state, and reads the screen for them."""

    def __init__(
        self,
        agent: Callable[[], Agent],
        situation: Situation,
        journal: Journal,
        apply: Callable[[Iterable[Opened | Closed], float], None],
        works: Callable[[], None],
    ) -> None:
        """`apply` gets the turns that the state opens and closes.

        `works` is called when the agent starts to work.
        """
        self._agent, self._journal, self._apply, self._works = agent, journal, apply, works
        self._status, self._turns, self._end = situation.status, situation.turns, situation.end
        self._is_stopped = False  # the agent's process is suspended by a signal
        self._child_changed = False  # whether a signal reported a change of a child
        self._lines: tuple[str, ...] = ()  # the screen's lines when it was last read
        # An offset in the output: everything before it must be drawn first.
        self._prompt_after: int | None = None

    def note_child(self) -> None:
        """A child was stopped, continued or ended.

        Only noted here: signal handlers call this method.
        """
        self._child_changed = True

    def look_at_child(self) -> None:
        """After a signal about a child: check whether the agent's process is stopped."""
        if not self._child_changed:
            return
        self._child_changed = False
        offspring.reap()
        pid = self._agent().child.pid
        stopped = process.is_stopped(pid)
        if stopped and not self._is_stopped:
            self._journal.diagnose(f"the agent's process {pid} was stopped by a signal: no message is typed")
        self._is_stopped = stopped

    def read_screen(self, now: float) -> None:
        """Let the reader see the screen as it was last settled."""
        agent = self._agent()
        view = agent.terminal.view
        if view.lines != self._lines:
            self._lines = view.lines
            agent.activity.changed(now)
        agent.learn(agent.reader.screen(view), now)

    def how_it_ended(self) -> TurnEnded | None:
        """Return how the last turn ended according to the screen.

        Asked only if no better source said so.
        """
        turn, agent = self._turns.open, self._agent()
        if turn is None or turn.ended is not None or agent.terminal.screen is None:
            return None
        return agent.reader.outcome(agent.terminal.view)

    def step(self, now: float) -> None:
        """Report the state, if it is time.

        May be called again by what it calls: the second call finds nothing new.
        """
        ending = self._end.under_way
        if self._status.changes.hold(now) and not ending:
            return  # a storm of changes: only the last state counts
        agent = self._agent()
        fused = agent.activity.decide(now)
        if fused.state is State.PROMPT is not self._status.verdict.state and not ending:
            if agent.terminal.settle(now, early=True):
                # Read what was painted before the prompt was declared: it may be a dialog.
                self.read_screen(now)
                fused = agent.activity.decide(now)
            if self._is_half_drawn():
                return
        else:
            self._prompt_after = None
        self._apply(self._turns.state(fused.beneath, now, agent.reader.records_prompts()), now)
        still = f"its process is stopped by a signal (kill -CONT {agent.child.pid})" if self._is_stopped else ""
        ends = (self._end.reason or "ending") if self._end.under_way else ""
        verdict = status(fused, self._turns.open, still, ends)
        old = self._status.show(verdict, clock.stamp())
        if old is not None:
            self._tell(verdict, old, now)

    def _tell(self, verdict: Verdict, old: Verdict, now: float) -> None:
        if self._status.changes.count(now):
            self._journal.diagnose(f"the state changes very often (by {verdict.source}): only the last word is told")
        self._journal.emit(
            events.StateChanged(
                state=verdict.state.value,
                previous=old.state.value,
                source=verdict.source,
                reason=verdict.reason,
                dialog=verdict.dialog or None,
            )
        )
        if verdict.state is State.BLOCKED:
            self._journal.emit(events.Blocked(dialog=verdict.dialog, options=verdict.options))
        elif verdict.state is State.BUSY:
            self._works()
        self._journal.changed()

    def _is_half_drawn(self) -> bool:
        """Whether the screen lacks output that came before a prompt was first declared:
        much was painted at once."""
        terminal = self._agent().terminal
        if self._prompt_after is None:
            self._prompt_after = terminal.taken
        return terminal.drawing and terminal.shown < self._prompt_after

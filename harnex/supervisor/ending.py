"""How an agent is ended, and how the rest of what it wrote is read. The order of an end is in session.py.

Every run gets its `exited` event and its history row, whichever way it ends, and no process stays. The order is fixed:
the ladder (if it was asked for), the child's end, the rest of its output and of its evidence, the sweep, `usage`, the
history row, `exited`, the registry entry, the waiters' replies.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from harnex import errors
from harnex.machines.status import Situation
from harnex.machines.stopping import Ladder
from harnex.model.facts import Over
from harnex.supervisor.agent import Agent

DRAIN_S = 0.5  # for the rest of the output, when something else holds the terminal open
DRAW_S = 5.0  # for the rest of it on the screen, which a flood may fill with what is slow to draw
ROWS_S = 30.0  # for the rest of the evidence, when something else goes on to write it
SIGNALLED = "the supervisor was told to end by a signal"

# Reasons that have no words of their own.
WORDS = {"timeout": "its time is up (--timeout)", "disconnected": "the agent closed its terminal"}

EXIT_CODE_OF = {
    "success": errors.DONE,
    "stopped": errors.DONE,
    "timeout": errors.TIMEOUT,
    "budget": errors.BUDGET,
}


class Stopping:
    """Ends the agent by the ladder of its adapter. It may be asked to at any time; `climb` does what is due."""

    def __init__(self, situation: Situation, agent: Callable[[], Agent], fail: Callable[[str, bool], None]) -> None:
        """`fail(why, keep)` fails the messages that wait; `keep`: a run that goes on with this one may say them."""
        self._situation, self._end, self._agent, self._fail = situation, situation.end, agent, fail
        self.killed = ""  # why the agent is dead, which is not the child

    def stop(self, reason: str, force: bool = False, exit_code: int | None = None, message: str = "") -> None:
        """Begin to end the session; a second, forced, call goes straight to KILL.

        `exit_code` is its outcome where the reason does not say it all; `message` are words about it.
        """
        end = self._end
        if end.gone_at is not None:
            return
        if end.reason is None:
            end.reason, end.exit_code, end.words = reason, exit_code, message
            words = (
                "the session was stopped"
                if reason == "stopped"
                else f"the session ends: {message or WORDS.get(reason, reason)}"
            )
            self._fail(words, message == SIGNALLED)
        elif not force:
            return
        polite = self._agent().stop_steps(self._situation.status.verdict.state)
        end.ladder = Ladder.of(polite, force)

    def over(self, fact: Over) -> None:
        """The reader says that nothing is left to supervise: what is in the terminal is ended."""
        end = self._end
        if end.gone_at is not None:
            return
        agent = self._agent()
        agent.helpers.close()
        if end.reason is None and fact.reason == "killed":
            self.killed = fact.message  # as if what is in the terminal had died, too
            agent.child.kill(signal.SIGKILL)
            return
        if end.reason is None:
            end.reason, end.words = fact.reason, fact.message
            self._fail(fact.message or "the session ended", False)
        end.ladder = Ladder.of((), False)

    def undone(self, now: float) -> None:
        """The reader could not do what a step asked of it."""
        if self._end.ladder is not None:
            self._end.ladder.give_up(now)

    def climb(self, now: float) -> None:
        """Take the step that is due, if one is."""
        ladder, agent = self._end.ladder, self._agent()
        if ladder is None:
            return
        # What the sources say, not what is told: that is `stopping` by now.
        raw = agent.activity.decide(now).state
        step = ladder.next_step(raw, self._situation.turns.open is not None, now)
        if step is None:
            return
        if step.when and not any(step.when in line for line in agent.terminal.view.lines):
            ladder.give_up(now)
            return
        if step.signal:
            agent.child.kill(step.signal)
        if step.until == "prompt" and not step.keys:
            agent.interrupt(now)
        elif step.ask:
            agent.learn(agent.reader.ask(step.ask) or (), now)
        elif step.keys:
            agent.type(step.keys)


class Rest:
    """What a process that is gone still has to say, read a part in each pass of the loop."""

    def __init__(
        self, agent: Callable[[], Agent], is_behind: Callable[[], bool], read: Callable[[float], bool]
    ) -> None:
        """`read(now)` takes what the child wrote, False if there was nothing; `is_behind`: what was read waits its turn."""
        self._agent, self._is_behind, self._read = agent, is_behind, read
        self.goes_on = False  # there was more than a pass of the loop had time for

    def is_read(self, since: float, now: float) -> bool:
        """Read on; True when nothing more comes of a process that is gone `since` then.

        What others write who hold its terminal or its files open may never end: not waited for.
        """
        agent = self._agent()
        late = now >= since + DRAIN_S and not agent.child.at_eof
        self.goes_on = (self._is_behind() or not late) and self._read(now)
        if self._is_behind() or (self.goes_on if agent.child.at_eof else not late):
            return False
        if agent.terminal.drawing and now < since + DRAW_S:
            self.goes_on = True
            return False
        facts = agent.evidence.poll(now, force=True)
        agent.learn(facts, now)
        self.goes_on = (bool(facts) or agent.evidence.backlog) and now < since + ROWS_S  # a record may name a file
        return not self.goes_on


def last_words(lines: tuple[str, ...], most: int = 6) -> str:
    """The last lines that a program left on its screen: for a failed start, its real error."""
    said = [line.strip() for line in lines if line.strip()]
    return "\n".join(said[-most:])[:1000]

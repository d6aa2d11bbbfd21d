"""How an agent is ended, and how the rest of its output is read.
session.py has the order of an end.

Every run gets its `exited` event and its history record, whichever way it ends, and no
process stays. The order is fixed: the ladder (if requested), the child's end, the rest of
its output and evidence, the sweep, `usage`, the history record, `exited`, the registry
entry, the waiters' replies.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from harnex import errors
from harnex.machines.status import Situation
from harnex.machines.stopping import Ladder
from harnex.model.facts import Over
from harnex.supervisor.agent import Agent

# Seconds for the rest of the output, if another process holds the terminal open.
DRAIN_S = 0.5
# Seconds to draw the rest of the output, which may be a flood that is slow to draw.
DRAW_S = 5.0
# Seconds for the rest of the evidence, if another process goes on writing it.
ROWS_S = 30.0
SIGNALLED = "the supervisor was told to end by a signal"

# Words for reasons that come without any.
WORDS = {"timeout": "its time is up (--timeout)", "disconnected": "the agent closed its terminal"}

EXIT_CODE_OF = {
    "success": errors.DONE,
    "stopped": errors.DONE,
    "timeout": errors.TIMEOUT,
    "budget": errors.BUDGET,
}


class Stopping:
    """Ends the agent by the ladder of its adapter.

    `stop` may be called at any time; `climb` does what is due.
    """

    def __init__(self, situation: Situation, agent: Callable[[], Agent], fail: Callable[[str, bool], None]) -> None:
        """`fail(why, keep)` fails the waiting messages.

        `keep`: a run that resumes this one may say them.
        """
        self._situation, self._end, self._agent, self._fail = situation, situation.end, agent, fail
        self.killed = ""  # why the agent is dead although its child is not

    def stop(self, reason: str, force: bool = False, exit_code: int | None = None, message: str = "") -> None:
        """Start to end the session. A second, forced call goes straight to KILL.

        `exit_code` is the outcome if the reason does not say it all; `message` says more in words.
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
        """The reader says that nothing is left to supervise: end what runs in the terminal."""
        end = self._end
        if end.gone_at is not None:
            return
        agent = self._agent()
        agent.helpers.close()
        if end.reason is None and fact.reason == "killed":
            self.killed = fact.message  # as if the process in the terminal had died, too
            agent.child.kill(signal.SIGKILL)
            return
        if end.reason is None:
            end.reason, end.words = fact.reason, fact.message
            self._fail(fact.message or "the session ended", False)
        end.ladder = Ladder.of((), False)

    def undone(self, now: float) -> None:
        """The reader could not do what a step requested."""
        if self._end.ladder is not None:
            self._end.ladder.give_up(now)

    def climb(self, now: float) -> None:
        """Take the step that is due, if any."""
        ladder, agent = self._end.ladder, self._agent()
        if ladder is None:
            return
        # Ask the sources, because the reported state is `stopping` by now.
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
    """Reads what a process that is gone still left to read, a part in each pass of the loop."""

    def __init__(
        self, agent: Callable[[], Agent], is_behind: Callable[[], bool], read: Callable[[float], bool]
    ) -> None:
        """`read(now)` takes what the child wrote; False if there was nothing.

        `is_behind`: output that was read still waits.
        """
        self._agent, self._is_behind, self._read = agent, is_behind, read
        self.goes_on = False  # whether there was more than one pass of the loop had time for

    def is_read(self, since: float, now: float) -> bool:
        """Read on. Returns True when nothing more comes from the process,
        which is gone since `since`.

        Other processes that hold its terminal or its files open may write for
        ever: they are not waited for.
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
        # A record may name a further file.
        self.goes_on = (bool(facts) or agent.evidence.backlog) and now < since + ROWS_S
        return not self.goes_on


def last_words(lines: tuple[str, ...], most: int = 6) -> str:
    """Return the last lines that a program left on its screen: for a
    failed start, its real error."""
    said = [line.strip() for line in lines if line.strip()]
    return "\n".join(said[-most:])[:1000]

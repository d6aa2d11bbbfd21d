"""One generation of a session's agent: a process, and everything that dies with it.

A session has one generation after the other: a new process resumes the conversation of one that
crashed (the watch), or asks once more for a headless answer. What outlives a process belongs to the
session: its log, terminal and messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harnex import clock
from harnex.agents.contract import Adapter, Reader, StopStep, Typing, Version
from harnex.errors import HarnexError
from harnex.machines.activity import Activity
from harnex.model.facts import Fact, State
from harnex.supervisor.child import Child
from harnex.supervisor.evidence import Evidence
from harnex.supervisor.feed import Terminal
from harnex.supervisor.helpers import Helpers

if TYPE_CHECKING:
    from harnex.supervisor.pipes import PipeChild

# After keys were sent, changes on the screen are their echo for this long.
ECHO_S = 0.6
# After a change of size, the agent repaints its screen for this long.
REDRAW_S = 2.0


@dataclass(kw_only=True)
class Agent:
    """A process, the parts that read it, and what can be done to it."""

    adapter: Adapter
    version: Version | None
    reader: Reader
    child: Child | PipeChild
    terminal: Terminal  # belongs to the session: it outlives the process
    activity: Activity
    evidence: Evidence
    helpers: Helpers
    session_id: str | None  # the CLI's own id of the conversation
    # Hands facts of the reader to the machines that need them.
    learn: Callable[[Iterable[Fact], float], None]
    diagnose: Callable[[str], None]

    def type(self, data: bytes) -> str:
        """Send bytes to the agent's terminal, all or none.

        Returns "", or why they were not sent.
        """
        problem = ""
        self.terminal.disturb(ECHO_S)
        try:
            self.child.write(data)
        except HarnexError as e:
            problem = e.message
            self.diagnose(problem)
        self.evidence.stir(clock.monotonic())
        return problem

    def typing(self, text: str) -> Typing:
        """Return how a message is typed to this version."""
        return self.adapter.typing(text, self.version)

    def stop_steps(self, state: State) -> tuple[StopStep, ...]:
        """Return the polite steps of the ladder that ends the agent."""
        return tuple(self.adapter.stop_steps(state, self.version))

    def interrupt(self, now: float) -> None:
        """Interrupt the running turn in the agent's own way: by keys, or by a command."""
        facts = self.reader.ask("interrupt")
        if facts is not None:
            self.learn(facts, now)
        else:
            self.type(self.adapter.interrupt(self.terminal.view, self.version))

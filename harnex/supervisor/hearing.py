"""What the agent prints on its terminal: answered, read for facts, shown to who looks on."""

from __future__ import annotations

from collections.abc import Callable

from harnex.supervisor.agent import REDRAW_S, Agent
from harnex.supervisor.journal import Journal
from harnex.supervisor.loop import Loop
from harnex.supervisor.viewers import Viewers
from harnex.terminal.scanner import Scanned

ANSWERS_MAX = 64 << 10  # Bytes that may wait for a child that does not read before queries go unanswered.


class Hearing:
    """Reads an agent on a terminal. Each call does a bounded amount of work; `is_behind` asks for another one."""

    def __init__(
        self,
        agent: Callable[[], Agent],
        loop: Loop,
        journal: Journal,
        viewers: Viewers,
        flooded: Callable[[float], None],
    ) -> None:
        """`flooded(now)` is called for output that comes faster than it can be shown."""
        self._agent, self._loop, self._journal, self._viewers = agent, loop, journal, viewers
        self._flooded = flooded

    @property
    def is_behind(self) -> bool:
        """Whether output that was read waits for its turn: the child is not read before."""
        return self._agent().terminal.unread

    def read(self, now: float) -> bool:
        """Take what the child wrote, or more of what was read before; False if there was nothing."""
        agent = self._agent()
        terminal = agent.terminal
        if terminal.unread:
            self.go_on(now)
            return True
        data = agent.child.read()
        if agent.child.at_eof:
            self._loop.remove(agent.child.fd)
        if not data:
            return False
        agent.activity.output(now)
        agent.evidence.stir(now)
        self._journal.agent_wrote(now)
        if terminal.resync_at is not None:
            self._flooded(now)
        self._heed(terminal.output(data, now), now)
        return True

    def go_on(self, now: float) -> None:
        """Take more of what was read before, if anything waits."""
        terminal = self._agent().terminal
        if terminal.unread:
            self._heed(terminal.output(b"", now), now)

    def want_write(self) -> None:
        """Wait until the child takes more, if anything waits for it."""
        child = self._agent().child
        self._loop.want_write(child.fd, child.waiting > 0)

    def resync(self, now: float) -> None:
        """After a flood: a change of size makes the agent redraw its screen."""
        agent = self._agent()
        if agent.terminal.resync_due(now):
            columns, rows = agent.terminal.size
            agent.terminal.disturb(REDRAW_S)
            agent.child.resize(max(2, columns - 1), rows)
            agent.child.resize(columns, rows)

    def _heed(self, scanned: Scanned, now: float) -> None:
        """Answer the queries in the output, learn what it declares, and show the rest."""
        agent = self._agent()
        if scanned.replies and agent.child.waiting > ANSWERS_MAX:
            self._journal.diagnose("the agent asks its terminal, and does not read the answers: they are left out")
        else:
            agent.child.write(scanned.replies)
        for code, body in scanned.oscs:
            agent.learn(agent.reader.osc(code, body), now)
        self._viewers.show(scanned.clean)

"""What the agent prints on its terminal: answered, read for facts, and shown to the viewers."""

from __future__ import annotations

from collections.abc import Callable

from harnex.supervisor.agent import REDRAW_S, Agent
from harnex.supervisor.journal import Journal
from harnex.supervisor.loop import Loop
from harnex.supervisor.viewers import Viewers
from harnex.terminal.scanner import Scanned

# If more bytes wait for a child that does not read, its queries go unanswered.
ANSWERS_MAX = 64 << 10


class Hearing:
    """Reads an agent on a terminal.

    Each call does a bounded amount of work; `is_behind` asks for another call.
    """

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
        """Whether output that was read waits for its turn. The child is not read until then."""
        return self._agent().terminal.unread

    def read(self, now: float) -> bool:
        """Take what the child wrote, or more of what was read before.

        Returns False if there was nothing.
        """
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
        """Take more of the output that was read before, if any waits."""
        terminal = self._agent().terminal
        if terminal.unread:
            self._heed(terminal.output(b"", now), now)

    def want_write(self) -> None:
        """Wait until the child takes more, if anything waits for it."""
        child = self._agent().child
        self._loop.want_write(child.fd, child.waiting > 0)

    def resync(self, now: float) -> None:
        """After a flood: make the agent redraw its screen by a change of size."""
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

"""How a Paseo agent's turn is stopped, and how harnex leaves the agent and the daemon. Pure.

Measured: one `paseo stop` leaves Claude Code (2.1.197 on) `running` for ever, because a late message opens a turn that
never ends; a second one clears it. Its exit code proves nothing. `agent reload`, which would clear it too, may lose the
conversation (Codex 0.169), so it is no rung.
"""

from __future__ import annotations

from collections.abc import Iterator

from harnex.agents.paseo.cli import Cli, Reply, shown_host
from harnex.agents.paseo.start import Start
from harnex.model.facts import Fact, Over, Remark, RunCommand

# A moment: for the turn that a late message opens after a stop (it came within 10 ms), and for a record that lags.
SETTLE = RunCommand("settle", ("true",), 10.0, 1.2)
STOP, ARCHIVE = "stop", "archive"


class Stopping:
    """The ladder that ends a turn: `stop`, `stop` again, and for an agent of ours `archive --force`, each looked at
    after a moment. `climbing`: it is under way; `asked`: the end of the present turn was asked for by us."""

    def __init__(self) -> None:
        self._rungs: list[str] = []
        self.climbing = self.asked = False

    def begin(self, ours: bool) -> None:
        """Begin, unless it is under way."""
        if not self.climbing:
            self._rungs = [STOP, STOP, ARCHIVE if ours else STOP]
            self.climbing = True

    def rung(self, cli: Cli, agent: str) -> RunCommand | None:
        """The next one; None: there is none left."""
        if not self._rungs:
            self.climbing = False
            return None
        rung = self._rungs.pop(0)
        return cli.call(rung, rung, "--force", agent) if rung == ARCHIVE else cli.call(rung, rung, agent)

    def over(self) -> None:
        self._rungs, self.climbing = [], False

    def another_turn(self) -> None:
        self.over()
        self.asked = False


class Leaving:
    """The end of the session: our agent's process is let go (it holds 100 MB and more), then our daemon; what was there
    before us stays as it is."""

    def __init__(self, start: Start, cli: Cli) -> None:
        self._start, self._cli = start, cli

    def begin(self, lost: str) -> Iterator[Fact]:
        """`lost`: why the daemon does not answer, if it doesn't."""
        plan, agent = self._start.plan, self._start.agent
        if plan.private:
            if lost:
                yield Over()  # the sweep ends it
            else:
                yield self._cli.stop_daemon(plan.home)
        elif plan.adopt or not (agent or self._start.asked_to_run):
            yield Over()
        elif lost:
            yield Remark(f"the agent {agent or 'that was just made'} is still on {shown_host(plan.host)}: {lost}")
            yield Over()
        elif agent:
            yield self._archive(agent)
        elif not self._start.running:
            yield self._cli.find(plan.label)
        # else: `run` is under way, and its reply says which agent it made

    def _archive(self, agent: str) -> RunCommand:
        return self._cli.call("leave-agent", "archive", "--force", agent)

    def command(self, name: str, reply: Reply) -> Iterator[Fact]:
        """What came of a command, now that only leaving counts."""
        if name == "run" and not self._start.agent:
            made = reply.get("agentId")
            yield self._archive(made) if isinstance(made, str) else self._cli.find(self._start.plan.label)
        elif name == "find":
            rows = reply.data if isinstance(reply.data, list) else []
            found = [str(r["id"]) for r in rows if isinstance(r, dict) and r.get("id")]
            yield self._archive(found[0]) if found else Over()
        elif name in ("leave-agent", "daemon-stop"):
            if not reply.ok:
                yield Remark(f"paseo {name}: {reply.words}")
            yield Over()

"""Makes the agent's processes: the first one of a session, and those that take the place of one that crashed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from harnex import clock, paths
from harnex.agents.catalogue import adapter_for, headless_for
from harnex.agents.contract import Reader
from harnex.launch.spec import SESSION_ID, Spec
from harnex.machines.activity import Activity
from harnex.model.facts import Fact, Follow
from harnex.supervisor import boot
from harnex.supervisor.agent import Agent
from harnex.supervisor.child import Child
from harnex.supervisor.evidence import Evidence, FollowedFiles, descendants
from harnex.supervisor.feed import Terminal
from harnex.supervisor.helpers import Helpers
from harnex.supervisor.journal import Journal
from harnex.zones import zone_of

if TYPE_CHECKING:
    from harnex.supervisor.pipes import PipeChild

Learn = Callable[[Iterable[Fact], float], None]
LATE_S = 1.0  # for the rest of the evidence of a process that another one follows


class Generations:
    """One session's. `learn` takes what a process's reader says."""

    def __init__(self, spec: Spec, terminal: Terminal, journal: Journal, learn: Learn) -> None:
        self._spec, self._terminal, self._journal, self._learn = spec, terminal, journal, learn
        self.version = tuple(spec.version) if spec.version else None
        self.adapter = headless_for(spec.adapter) if spec.headless else adapter_for(spec.adapter)
        self._followed = FollowedFiles(paths.run_dir(spec.state, spec.run_id))

    def first(self, env: Mapping[str, str]) -> Agent:
        """Start the agent. Raises HarnexError with the real cause if it can't be started."""
        spec = self._spec
        reader = self.adapter.reader(self.version)
        reader.began, reader.zone = clock.wall(), zone_of(env)
        child: Child | PipeChild
        if spec.headless:
            from harnex.supervisor.pipes import PipeChild  # only here: a session on a terminal needs none of it

            child = PipeChild(tuple(spec.argv), env, spec.cwd, spec.stdin)
        else:
            child = Child(tuple(spec.argv), env, spec.cwd, spec.columns, spec.rows)
        return self._made(reader, child, env, spec.agent_session_id)

    def next(self, old: Agent, has_turns: bool, now: float) -> tuple[Agent, list[Fact], bool]:
        """Start the agent again, in the place of `old`, whose process is gone.

        The new generation, what is to be followed of it, and whether it goes on with the conversation of the old one:
        it does if that had turns and the CLI can. Raises HarnexError if it can't be started; `old` stands then.
        """
        spec, name = self._spec, old.session_id or ""
        reader = self.adapter.reader(self.version)
        resumed = bool(name and (reader.keeps_agent or (spec.resume_argv and has_turns)))
        reader.resumes = name if resumed else ""
        argv = spec.argv
        if resumed and spec.resume_argv:
            argv = [word.replace(SESSION_ID, name) for word in spec.resume_argv]
        for late in old.evidence.rest(now, LATE_S):
            self._learn(late, now)
        env = boot.child_env(spec)
        reader.began, reader.zone = clock.wall(), zone_of(env)
        child = Child(tuple(argv), env, spec.cwd, *self._terminal.size)
        old.child.close()
        old.helpers.close()
        self._followed.process(child.pid, reader.began)
        agent = self._made(reader, child, env, old.session_id)
        learned = reader.spawned(child.pid, env, spec.cwd)
        # What the old process wrote was read: a file that goes on is read from here.
        return agent, [_from_end(fact) for fact in learned], resumed

    def fresh_activity(self, now: float) -> Activity:
        """A fresh `Activity`: nothing was observed yet."""
        return Activity(self.adapter.sources, self.version, now)

    def _made(self, reader: Reader, child: Child | PipeChild, env: Mapping[str, str], session_id: str | None) -> Agent:
        now = clock.monotonic()
        agent = Agent(
            adapter=self.adapter,
            version=self.version,
            reader=reader,
            child=child,
            terminal=self._terminal,
            activity=self.fresh_activity(now),
            evidence=Evidence(reader, lambda: descendants(agent.child.pid), now, self._followed.add),
            helpers=Helpers(env, self._spec.cwd),
            session_id=session_id,
            learn=self._learn,
            diagnose=self._journal.diagnose,
        )
        return agent


def _from_end(fact: Fact) -> Fact:
    if isinstance(fact, Follow) and fact.kind == "rows":
        return dataclasses.replace(fact, from_end=True)
    return fact

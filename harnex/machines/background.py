"""What the agent left running: shells, sub-agents, monitors, timers, detached processes. Pure.

Two sources, in this order:

1. What the CLI records (`facts.Background`): the work's own name, its command, its end.
2. The process table (`look`), while no turn runs: the processes of the agent's tools, which each CLI marks in their
   environment. It shows what no record names (`nohup … &`, `setsid`), and the end of what is recorded without one.

`take` and `look` return what began and what ended. Times are epoch seconds (`wall`), waiting is in monotonic ones (`now`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harnex import times
from harnex.model.facts import Background
from harnex.model.records import BackgroundWork

# Processes of an interrupted or killed tool need a moment to end: what lives on after that was left running.
PROOF_S = 1.0
# The processes of recorded work are gone before the CLI records the end (Claude Code 2.0.77 to 2.1.329: 0.3 s at most).
GONE_S = 2.0
UNSEEN_S = (
    10.0  # where that is not enough: no process was ever seen, or the CLI does record ends, and this one is missing
)
WITH_PROCESS = ("shell", "monitor", "task")  # kinds of recorded work that may have processes
COMMAND_MAX = 200  # characters
SHOWN = 3  # pieces of work that a sentence names
# How CLIs wrap a command: `/bin/bash -lc make test`; Claude Code: `bash -c -l source SNAPSHOT && … eval 'make test' < /dev/null`.
_SHELL = re.compile(r"^(?:\S*/)?(?:ba|da|z|k)?sh (?:-\w+ )*-\w*c (?:-l )?")
_EVAL = re.compile(r"\beval (['\"]?)(.+?)\1 (?:\\?<|&&)", re.DOTALL)
PAST = 20  # ended work that is remembered


@dataclass(frozen=True, slots=True)
class Process:
    """A living process of one of the agent's tools. `agent` is whose tool, `since` epoch seconds; `detached`: it does
    not descend from the agent's process any more."""

    pid: int
    started: str
    parent: int
    command: str
    agent: str
    since: float
    detached: bool = False

    @property
    def key(self) -> tuple[int, str]:
        return self.pid, self.started


Table = dict[tuple[int, str], Process]  # by their keys


@dataclass(slots=True)
class Work:
    """One piece of work that runs in the background."""

    work_id: str
    kind: str
    command: str
    by: str
    since: float
    recorded: bool = True
    sure: bool = False  # the CLI records its end
    processes: set[tuple[int, str]] = field(default_factory=set)
    gone_at: float | None = None  # when its processes were first missed

    @property
    def words(self) -> str:
        """For a person: what it is."""
        named = {"agent": "sub-agent", "timer": "timer", "monitor": "monitor"}.get(self.kind, "")
        said = f"`{self.command}`" if self.command else self.work_id
        return f"{named} {said}".strip()

    @property
    def grace_s(self) -> float:
        """How long its processes may be missing before it has ended."""
        return GONE_S if self.processes and not self.sure else UNSEEN_S

    def shown(self) -> BackgroundWork:
        """For `status`, `exited` and the history."""
        return {"kind": self.kind, "command": self.command, "since": times.iso(self.since), "by": self.by}


@dataclass(frozen=True, slots=True)
class Change:
    """Work began or ended. `how` as in the event; `told`: the CLI tells the agent of this end by itself."""

    status: Literal["started", "ended"]
    work: Work
    how: str = ""
    told: bool = False


@dataclass(slots=True)
class Backgrounds:
    """All background work of one session."""

    running: dict[str, Work] = field(default_factory=dict)
    _past: list[Work] = field(default_factory=list)
    _perhaps: dict[tuple[int, str], float] = field(default_factory=dict)  # processes of nobody: first seen

    @property
    def unsure(self) -> bool:
        """Whether processes were seen that may still turn out to be left running."""
        return bool(self._perhaps)

    def take(self, fact: Background, wall: float) -> list[Change]:
        """Take the CLI's own word."""
        work = self.running.get(fact.work_id)
        if fact.status == "ended":
            if work is None:
                return []
            return [self._end(work, fact.how, fact.told)]
        if work is not None:
            work.command = work.command or fact.command[:COMMAND_MAX]
            return []
        work = Work(fact.work_id, fact.kind, fact.command[:COMMAND_MAX], fact.agent, wall, sure=fact.sure)
        self.running[work.work_id] = work
        return [Change("started", work)]

    def turn_opened(self) -> None:
        """A turn runs: the processes of its tools say nothing about the background."""
        self._perhaps.clear()
        for work in self.running.values():
            work.gone_at = None

    def look(self, processes: Iterable[Process], now: float) -> list[Change]:
        """Compare with the process table, at rest."""
        table, free = self._claimed(processes)
        # Sub-agents at work have tools of their own: then nothing is new.
        at_work = any(work.kind == "agent" for work in self.running.values())
        changes = [] if at_work else self._left(free, table, now)
        return [*changes, *self._gone(table, now)]

    def look_last(self, processes: Iterable[Process], now: float, in_turn: bool) -> list[Change]:
        """The last look, before everything is ended. In the middle of a turn only detached processes count as left
        running: the others are of the tool at work."""
        table, free = self._claimed(p for p in processes if p.detached or not in_turn)
        self._perhaps = {p.key: now - PROOF_S for p in free}
        return self._left(free, table, now)

    def orphaned(self, processes: Iterable[Process], now: float) -> list[Change]:
        """The CLI is gone, and its tools' processes were left alone: what has none was ended with it."""
        table, free = self._claimed(processes)
        self._perhaps = {p.key: now - PROOF_S for p in free}
        ended = [w for w in self.running.values() if not w.processes & table.keys()]
        return [*(self._end(work, "killed") for work in ended), *self._left(free, table, now)]

    def wake_at(self) -> float | None:
        """When to look again because time alone decides; None: not for that."""
        times = [at + PROOF_S for at in self._perhaps.values()]
        times += [w.gone_at + w.grace_s for w in self.running.values() if w.gone_at is not None]
        return min(times, default=None)

    def all_gone(self) -> list[Change]:
        """The agent's process ended, and everything that it left running was ended with it."""
        self._perhaps.clear()
        return [self._end(work, "killed") for work in list(self.running.values())]

    def _end(self, work: Work, how: str, told: bool = False) -> Change:
        del self.running[work.work_id]
        self._past = [*self._past[-PAST:], work]
        return Change("ended", work, how, told)

    # ---- the process table ----

    def _claimed(self, processes: Iterable[Process]) -> tuple[Table, list[Process]]:
        """The table by key, and the processes that are of no known work."""
        table = {p.key: p for p in processes}
        pids = {p.pid for p in table.values()}
        free = self._claim([p for p in table.values() if p.parent not in pids], table)
        for work in self.running.values():
            self._spread(work, table)
        return table, free

    def _claim(self, roots: list[Process], table: Table) -> list[Process]:
        """Give processes to the work that they are of; the rest."""
        free = [p for p in roots if not any(p.key in w.processes for w in self.running.values())]
        lone = [w for w in self.running.values() if w.kind in WITH_PROCESS and not w.processes & table.keys()]
        # By its words first; then any child of that agent's, since a program may change its own command line.
        for same in (_same_words, _same_agent):
            for work in list(lone):
                found = next((p for p in free if same(work, p)), None)
                if found is not None:
                    work.processes.add(found.key)
                    work.since = min(work.since, found.since)  # Codex records a command when it has run for a while
                    free.remove(found)
                    lone.remove(work)
        return free

    def _left(self, free: list[Process], table: Table, now: float) -> list[Change]:
        """Processes that no work accounts for: they count once they have lived on for a moment."""
        self._perhaps = {p.key: self._perhaps.get(p.key, now) for p in free}
        changes = []
        for process in free:
            if now < self._perhaps[process.key] + PROOF_S:
                continue
            del self._perhaps[process.key]
            # Claude Code 2.0.77 calls a shell killed that outlives it: then this is that command.
            old = next((w.command for w in reversed(self._past) if w.recorded and _same_words(w, process)), "")
            work = Work(
                f"pid-{process.pid}", "process", old or _plain(process.command), process.agent, process.since,
                recorded=False, processes={process.key},
            )  # fmt: skip
            self._spread(work, table)
            self.running[work.work_id] = work
            changes.append(Change("started", work))
        return changes

    @staticmethod
    def _spread(work: Work, table: Table) -> None:
        """What a process of this work started is of this work: it may outlive its parent."""
        todo = {key[0] for key in work.processes & table.keys()}
        while todo:
            children = {p.key for p in table.values() if p.parent in todo} - work.processes
            work.processes |= children
            todo = {key[0] for key in children}

    def _gone(self, table: Table, now: float) -> list[Change]:
        """Work whose processes are no more. The CLI's own word on the end of what it recorded is waited for."""
        changes = []
        for work in list(self.running.values()):
            # Work that no process was ever seen of is believed to run as long as its CLI would record the end.
            watched = bool(work.processes) or (work.kind == "shell" and not work.sure)
            if not watched or work.kind == "agent" or work.processes & table.keys():
                work.gone_at = None
                continue
            work.gone_at = now if work.gone_at is None else work.gone_at
            if not work.recorded or now >= work.gone_at + work.grace_s:
                changes.append(self._end(work, "gone"))
        return changes


def named(works: Sequence[Work]) -> str:
    """A few of them, in words."""
    words = [f"{w.words} (by {w.by})" if w.by != "main" else w.words for w in works[:SHOWN]]
    more = len(works) - SHOWN
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _same_words(work: Work, process: Process) -> bool:
    """CLIs wrap and quote a command, and a shell may become its last command: the letters tell."""
    asked, runs = (_letters(text) for text in (work.command, process.command))
    return bool(asked and runs) and (asked in runs or (len(runs) >= 4 and runs in asked))


def _plain(command: str) -> str:
    """A command line without what CLIs wrap around it."""
    inner = _EVAL.search(command)
    return (inner[2] if inner is not None else _SHELL.sub("", command, count=1))[:COMMAND_MAX]


def _same_agent(work: Work, process: Process) -> bool:
    return work.by == process.agent and not process.detached


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum())

"""What the agent left running: shells, sub-agents, monitors, timers, detached processes. Pure.

There are two sources, in this order:

1. The CLI's records (`facts.Background`): the name of the work, its command, its end.
2. The process table (`look`), while no turn runs: the processes of the agent's tools, which each
   CLI marks in their environment. The table shows work that no record names (`nohup … &`,
   `setsid`), and the end of work whose end no record names.

`take` and `look` return what began and what ended. Times of work are epoch seconds (`wall`); waits
are monotonic seconds (`now`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harnex import times
from harnex.model.facts import Background
from harnex.model.records import BackgroundWork

# Seconds that the processes of an interrupted or killed tool need to end. What lives on after that
# was left running.
PROOF_S = 1.0
# Seconds from the end of recorded work's processes to the CLI's record of the end (Claude Code
# 2.0.77 to 2.1.329: 0.3 s at most).
GONE_S = 2.0
# Seconds to wait instead where GONE_S is not enough: no process was ever seen, or the CLI does
# record ends and this record is missing.
UNSEEN_S = 10.0
WITH_PROCESS = ("shell", "monitor", "task")  # kinds of recorded work that may have processes
COMMAND_MAX = 200  # characters
SHOWN = 3  # pieces of work that a sentence names
# How CLIs wrap a command: `/bin/bash -lc make test`. Claude Code wraps it twice:
# `bash -c -l source SNAPSHOT && … eval 'make test' < /dev/null`.
_SHELL = re.compile(r"^(?:\S*/)?(?:ba|da|z|k)?sh (?:-\w+ )*-\w*c (?:-l )?")
_EVAL = re.compile(r"\beval (['\"]?)(.+?)\1 (?:\\?<|&&)", re.DOTALL)
PAST = 20  # pieces of ended work that are remembered


@dataclass(frozen=True, slots=True)
class Process:
    """A living process of one of the agent's tools.

    `agent` names the agent that the tool belongs to, `since` is epoch seconds. `detached`: the
    process no longer descends from the agent's process.
    """

    pid: int
    started: str
    parent: int
    command: str
    agent: str
    since: float
    detached: bool = False

    @property
    def key(self) -> tuple[int, str]:
        """(pid, start): names the process even if the pid is used again."""
        return self.pid, self.started


Table = dict[tuple[int, str], Process]  # processes by key


@dataclass(slots=True)
class Work:
    """One piece of work that runs in the background.

    `since` is epoch seconds; `by` names the agent that started it.
    """

    work_id: str
    kind: str
    command: str
    by: str
    since: float
    recorded: bool = True
    sure: bool = False  # the CLI records the end of this work
    processes: set[tuple[int, str]] = field(default_factory=set)
    gone_at: float | None = None  # when the processes were first missing

    @property
    def words(self) -> str:
        """What the work is, for a person."""
        named = {"agent": "sub-agent", "timer": "timer", "monitor": "monitor"}.get(self.kind, "")
        said = f"`{self.command}`" if self.command else self.work_id
        return f"{named} {said}".strip()

    @property
    def grace_s(self) -> float:
        """Seconds that the processes may be missing before the work counts as ended."""
        return GONE_S if self.processes and not self.sure else UNSEEN_S

    def shown(self) -> BackgroundWork:
        """The form for `status`, `exited` and the history."""
        return {"kind": self.kind, "command": self.command, "since": times.iso(self.since), "by": self.by}


@dataclass(frozen=True, slots=True)
class Change:
    """A piece of work began or ended.

    `how` as in the event; `told`: the CLI itself tells the agent of the end.
    """

    status: Literal["started", "ended"]
    work: Work
    how: str = ""
    told: bool = False


@dataclass(slots=True)
class Backgrounds:
    """All background work of one session."""

    running: dict[str, Work] = field(default_factory=dict)
    _past: list[Work] = field(default_factory=list)
    # Processes that belong to no known work, and when they were first seen.
    _perhaps: dict[tuple[int, str], float] = field(default_factory=dict)

    @property
    def unsure(self) -> bool:
        """Whether processes were seen that may still turn out to be left running."""
        return bool(self._perhaps)

    def take(self, fact: Background, wall: float) -> list[Change]:
        """Take a record of the CLI."""
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
        """Note that a turn runs: the processes of its tools say nothing about the background."""
        self._perhaps.clear()
        for work in self.running.values():
            work.gone_at = None

    def look(self, processes: Iterable[Process], now: float) -> list[Change]:
        """Compare with the process table while the agent rests."""
        table, free = self._claimed(processes)
        # While sub-agents work, new processes may be those of their tools: nothing counts as new.
        at_work = any(work.kind == "agent" for work in self.running.values())
        changes = [] if at_work else self._left(free, table, now)
        return [*changes, *self._gone(table, now)]

    def look_last(self, processes: Iterable[Process], now: float, in_turn: bool) -> list[Change]:
        """Compare with the process table for the last time, before everything is ended.

        In the middle of a turn only detached processes count as left running: the others belong to
        the running tool.
        """
        table, free = self._claimed(p for p in processes if p.detached or not in_turn)
        self._perhaps = {p.key: now - PROOF_S for p in free}
        return self._left(free, table, now)

    def orphaned(self, processes: Iterable[Process], now: float) -> list[Change]:
        """Compare after the CLI is gone and the processes of its tools were left alone.

        Work without a living process was ended together with the CLI.
        """
        table, free = self._claimed(processes)
        self._perhaps = {p.key: now - PROOF_S for p in free}
        ended = [w for w in self.running.values() if not w.processes & table.keys()]
        return [*(self._end(work, "killed") for work in ended), *self._left(free, table, now)]

    def wake_at(self) -> float | None:
        """When to look again because time alone decides something; None if it decides nothing."""
        times = [at + PROOF_S for at in self._perhaps.values()]
        times += [w.gone_at + w.grace_s for w in self.running.values() if w.gone_at is not None]
        return min(times, default=None)

    def all_gone(self) -> list[Change]:
        """End all work: the agent's process ended, and everything that it left running ended with
        it.
        """
        self._perhaps.clear()
        return [self._end(work, "killed") for work in list(self.running.values())]

    def _end(self, work: Work, how: str, told: bool = False) -> Change:
        del self.running[work.work_id]
        self._past = [*self._past[-PAST:], work]
        return Change("ended", work, how, told)

    # ---- the process table ----

    def _claimed(self, processes: Iterable[Process]) -> tuple[Table, list[Process]]:
        """The process table by key, and the processes that belong to no known work."""
        table = {p.key: p for p in processes}
        pids = {p.pid for p in table.values()}
        free = self._claim([p for p in table.values() if p.parent not in pids], table)
        for work in self.running.values():
            self._spread(work, table)
        return table, free

    def _claim(self, roots: list[Process], table: Table) -> list[Process]:
        """Assign processes to the work that they belong to, and return the rest."""
        free = [p for p in roots if not any(p.key in w.processes for w in self.running.values())]
        lone = [w for w in self.running.values() if w.kind in WITH_PROCESS and not w.processes & table.keys()]
        # Match by the words of the command first. Then any child of the same agent fits, since a
        # program may change its own command line.
        for same in (_same_words, _same_agent):
            for work in list(lone):
                found = next((p for p in free if same(work, p)), None)
                if found is not None:
                    work.processes.add(found.key)
                    # Codex records a command only after the command has run for a while.
                    work.since = min(work.since, found.since)
                    free.remove(found)
                    lone.remove(work)
        return free

    def _left(self, free: list[Process], table: Table, now: float) -> list[Change]:
        """Processes that no work accounts for. They count once they have lived on for PROOF_S."""
        self._perhaps = {p.key: self._perhaps.get(p.key, now) for p in free}
        changes = []
        for process in free:
            if now < self._perhaps[process.key] + PROOF_S:
                continue
            del self._perhaps[process.key]
            # Claude Code 2.0.77 reports a shell as killed although the shell lives on: this process
            # is then that command.
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
        """Add the descendants of the work's processes to the work.

        A descendant may outlive its parent.
        """
        todo = {key[0] for key in work.processes & table.keys()}
        while todo:
            children = {p.key for p in table.values() if p.parent in todo} - work.processes
            work.processes |= children
            todo = {key[0] for key in children}

    def _gone(self, table: Table, now: float) -> list[Change]:
        """Work whose processes are gone.

        For recorded work, wait first for the CLI's own report of the end.
        """
        changes = []
        for work in list(self.running.values()):
            # Work of which no process was ever seen is believed to run, as long as the CLI would
            # record its end.
            watched = bool(work.processes) or (work.kind == "shell" and not work.sure)
            if not watched or work.kind == "agent" or work.processes & table.keys():
                work.gone_at = None
                continue
            work.gone_at = now if work.gone_at is None else work.gone_at
            if not work.recorded or now >= work.gone_at + work.grace_s:
                changes.append(self._end(work, "gone"))
        return changes


def named(works: Sequence[Work]) -> str:
    """The first few pieces of work, in words."""
    words = [f"{w.words} (by {w.by})" if w.by != "main" else w.words for w in works[:SHOWN]]
    more = len(works) - SHOWN
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _same_words(work: Work, process: Process) -> bool:
    """Whether a process runs the command of this work.

    Only letters and digits are compared: CLIs wrap and quote a command, and a shell may become its
    last command.
    """
    asked, runs = (_letters(text) for text in (work.command, process.command))
    return bool(asked and runs) and (asked in runs or (len(runs) >= 4 and runs in asked))


def _plain(command: str) -> str:
    """A command line without what CLIs wrap around the command."""
    inner = _EVAL.search(command)
    return (inner[2] if inner is not None else _SHELL.sub("", command, count=1))[:COMMAND_MAX]


def _same_agent(work: Work, process: Process) -> bool:
    return work.by == process.agent and not process.detached


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum())

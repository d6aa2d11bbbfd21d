"""Nothing is left behind: at the end of a run every process that came from its agent is ended.

Such a process is found in two ways. By its marker: `HARNEX_RUN_ID` in its environment, which
children inherit. And by descent: it is a descendant of the supervisor (offspring.py) or of a
marked process. That finds processes that have wiped their environment, as daemons do (nginx,
redis, `env -i`). Tools run in sessions of their own, so killing the agent's process group would
miss both kinds (field notes).

Not ended are:

- commands that the supervisor itself runs, unless they carry the marker (checks do, notifications
  do not);
- processes that carry `environment.APART`, and their descendants (other sessions that the agent
  started);
- what the person asked to keep.
"""

from __future__ import annotations

import fnmatch
import os
import signal
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass

from harnex import process
from harnex.launch.environment import APART
from harnex.supervisor import offspring

TERM_GRACE_S = 1.0  # how long processes have between TERM and KILL
CHASE_S = 0.05  # how long the loop stands still for a chase
NAMED = 5  # how many processes a sentence names
COMMAND_MAX = 120  # characters of a command line in a sentence


@dataclass(frozen=True, slots=True)
class Found:
    """A living process of the run.

    `started` tells the process from a later one with the same pid. `marked`: it carries the marker.
    """

    pid: int
    started: str
    command: str
    marked: bool

    @property
    def words(self) -> str:
        """What the process is, for a person."""
        text = self.command if len(self.command) <= COMMAND_MAX else self.command[: COMMAND_MAX - 1] + "…"
        return f"`{text}` (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Look:
    """The processes of a run at one moment: those to be ended, and those that may live on."""

    doomed: list[Found]
    kept: list[Found]


def look(run_id: str, keep: Collection[str] = (), root: int | None = None) -> Look:
    """Read the process table.

    `root`: the process whose descendants all belong to this run; with None only marked
    processes count. `keep`: shell patterns of the names or command lines of processes that may
    live on with their descendants.
    """
    if sys.platform != "linux":
        return Look(_by_psutil(run_id, keep), [])
    table = offspring.table()
    parents = {pid: parent for pid, (parent, _) in table.items()}
    environments = {pid: _words(f"/proc/{pid}/environ") for pid in parents if pid != os.getpid()}
    marker = _marker(run_id)
    marked = {pid for pid, words in environments.items() if marker in words}
    others = {pid for pid, words in environments.items() if _is_apart(words)}
    roots = marked if root is None else marked | {root}
    below = _below(parents, roots, others - marked | offspring.own() | {os.getpid()})
    found = []
    for pid in sorted(marked | below):
        command, started = _command(pid), table[pid][1]
        # What was read is of this very process.
        if started is not None and process.start_time(pid) == started:
            found.append(Found(pid, started, command, pid in marked))
    asked = {f.pid for f in found if keep and may_live(f.command, keep, _name(f.pid).decode("utf-8", "replace"))}
    kept = asked | _below(parents, asked, ())
    return Look([f for f in found if f.pid not in kept], [f for f in found if f.pid in kept])


def _below(parents: dict[int, int], roots: Collection[int], without: Collection[int]) -> set[int]:
    """Return the descendants of `roots`, without the processes in
    `without` and their descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        new = [pid for pid in children.get(todo.pop(), ()) if pid not in without and pid not in found]
        found.update(new)
        todo += new
    return found


def _marker(run_id: str) -> bytes:
    return b"HARNEX_RUN_ID=" + os.fsencode(run_id)


def _is_apart(environment: list[bytes]) -> bool:
    apart = os.fsencode(APART) + b"="
    return any(word.startswith(apart) for word in environment)


def _words(path: str) -> list[bytes]:
    """Return the zero-terminated words of a file in /proc.

    [] if the file can't be read (the process ended, or is another user's).
    """
    try:
        with open(path, "rb") as f:
            return f.read().split(b"\0")
    except OSError:
        return []


def _command(pid: int) -> str:
    """Return the command line, or the name in brackets if there is none."""
    text = b" ".join(_words(f"/proc/{pid}/cmdline")).strip() or b"[" + _name(pid) + b"]"
    return text.decode("utf-8", "replace")


def _name(pid: int) -> bytes:
    return b"".join(_words(f"/proc/{pid}/comm")).strip()


def may_live(command: str, keep: Collection[str], name: str = "") -> bool:
    """Whether the person asked to keep a process with this command line, and perhaps this name."""
    names = (name, os.path.basename(command.partition(" ")[0]), command)
    return any(fnmatch.fnmatchcase(text, pattern) for text in names for pattern in keep)


def _by_psutil(run_id: str, keep: Collection[str]) -> list[Found]:
    """Return the marked processes on a system without /proc."""
    import psutil

    found = []
    for pid in psutil.pids():
        # Read this first: what is read next is then of this very process, or nothing is ended.
        started = process.start_time(pid)
        try:
            other = psutil.Process(pid)
            if pid == os.getpid() or started is None or other.environ().get("HARNEX_RUN_ID") != run_id:
                continue
            words = " ".join(other.cmdline())
            if not may_live(words, keep, other.name()):
                found.append(Found(pid, started, words, True))
        except (psutil.Error, OSError):
            continue
    return found


class Sweep:
    """Ends the processes of a run, repeatedly, since they may start others while they end.

    Never waits.
    """

    def __init__(self, run_id: str, now: float, keep: Collection[str] = ()) -> None:
        self._run_id, self._keep = run_id, keep
        self._kill_at = now + TERM_GRACE_S
        self._told: set[int] = set()
        self._seen: dict[int, Found] = {}
        self._beyond: dict[int, Found] = {}  # processes that we may not signal: another user's
        self.kept: list[Found] = []

    @property
    def ended(self) -> set[int]:
        """The pids that were ended, or are being ended."""
        return self._seen.keys() - self._beyond.keys()

    def step(self, now: float) -> bool:
        """Do one pass. Returns True when nothing is left that can be ended."""
        before = offspring.reap()
        if now >= self._kill_at:
            self._chase()
        left = self._pass(now)
        # A process that was forked while the table was read may be missing from the table. So the
        # table counts as empty only if it is empty twice, and no orphan ended meanwhile, as orphans
        # do in the middle of a double fork.
        return not left and not self._pass(now) and offspring.reap() == before

    def _chase(self) -> None:
        """End orphans that fork and exit faster than the whole table can be read."""
        until, looked = time.monotonic() + CHASE_S, set[int]()
        while time.monotonic() < until:
            new = [pid for pid in offspring.orphans() if pid not in looked]
            if not new:
                return
            looked.update(new)
            for pid in new:
                started, words = process.start_time(pid), _words(f"/proc/{pid}/environ")
                command, name = _command(pid), _name(pid).decode("utf-8", "replace")
                if started is not None and not _is_apart(words) and not may_live(command, self._keep, name):
                    found = Found(pid, started, command, _marker(self._run_id) in words)
                    self._seen[pid] = found
                    _signal(found, signal.SIGKILL)

    def _pass(self, now: float) -> list[Found]:
        seen = look(self._run_id, self._keep, offspring.root())
        self.kept = seen.kept
        left = []
        for found in seen.doomed:
            self._seen[found.pid] = found
            if now >= self._kill_at:
                done = _signal(found, signal.SIGKILL)
            elif found.pid not in self._told:
                self._told.add(found.pid)
                done = _signal(found, signal.SIGTERM)
            else:
                done = found.pid not in self._beyond
            if done:
                left.append(found)
            else:
                self._beyond[found.pid] = found
        return left

    def remarks(self) -> list[str]:
        """Return what a person should know about the sweep, in sentences."""
        unmarked = [f for f in self._seen.values() if not f.marked and f.pid not in self._beyond]
        lives = [f for f in self._seen.values() if process.alive(f.pid, f.started)]
        said = []
        if unmarked:
            said.append(f"{_count(unmarked)} ended that had wiped the session's marker (daemons): {_named(unmarked)}")
        if lives:
            said.append(f"{_count(lives)} could not be ended: {_named(lives)}; look, then end them by hand")
        if self.kept:
            said.append(f"{_count(self.kept)} kept, as asked (--keep): {_named(self.kept)}")
        return said


def _signal(found: Found, signum: int) -> bool:
    """Signal a process. Returns False only if it lives and may not be signalled."""
    return process.send_signal(found.pid, signum, found.started) or not process.alive(found.pid, found.started)


def _count(found: Collection[Found]) -> str:
    return f"{len(found)} process{' was' if len(found) == 1 else 'es were'}"


def _named(found: list[Found]) -> str:
    more = len(found) - NAMED
    return ", ".join(f.words for f in found[:NAMED]) + (f" and {more} more" if more > 0 else "")


def end_first(pid: int, started: str) -> bool:
    """End an agent whose supervisor is gone, before its tools. Returns False if the agent was gone.

    The agent would take the end of its tools for a result and go on with it (Claude Code 2.1.329
    recorded "Exit code 137").
    """
    if not process.send_signal(pid, signal.SIGTERM, started):
        return False
    until = time.monotonic() + TERM_GRACE_S
    while process.alive(pid, started) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(pid, signal.SIGKILL, started)
    return True


def sweep_now(run_id: str, keep: Collection[str] = (), timeout_s: float = 5.0) -> set[int]:
    """Sweep until nothing is left, for a run whose supervisor is gone or ends at once.

    Returns the pids that were ended. Gives up after `timeout_s` seconds.
    """
    begun = time.monotonic()
    sweep = Sweep(run_id, begun, keep)
    while not sweep.step(time.monotonic()) and time.monotonic() < begun + timeout_s:
        time.sleep(0.05)
    return sweep.ended

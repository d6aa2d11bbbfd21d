"""Whose rows a Codex rollout holds: the thread's own, or those of another thread that were copied into its head. Pure.

A file begins with a copy where a conversation was forked: `codex fork`, an earlier message that was edited (Esc Esc), a
sub-agent that was given its parent's history. What was measured (0.47, 0.58, 0.80, 0.92, 0.98, 0.104, 0.128, 0.145, 0.153,
0.169) and what public reports show:

- The head is the thread's own `session_meta`; up to 0.145, and for sub-agents in all versions, that of the parent (and
  those of its parents) follows. `forked_from_id` names the parent from 0.88 on. A sub-agent with a history of its own names
  its parent in `source` only, and nothing is copied.
- The rows are stamped anew, most within some milliseconds; big histories take seconds. Some writers keep the old stamps.
- Token counts are copied up to 0.145. From 0.146 on sub-agents' copies hold none, and `codex fork` copies nothing.
- From 0.101 on turns have ids, UUIDv7, which carry the time of their making: a turn that is older than the thread is not its
  own, also the parent's turn that still runs. Older files and some desktop versions have none, or UUIDv4 with `started_at`.
- From 0.146 on rows are numbered (`ordinal`), and a sub-agent's head says where its own begin
  (`subagent_history_start_ordinal`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from harnex import times
from harnex.agents.codex.totals import numbers

COPY_S = 1.0  # where nothing else tells, a copy is what was written so soon after the thread was made
DRIFT_S = 86400.0  # ids that were made so long before or after their rows were replaced, and tell no time
Whose = Literal["own", "copied", "perhaps own", "perhaps copied"]


def made_at(uuid7: str) -> float | None:
    """When a UUIDv7 was made (its first 48 bits are milliseconds)."""
    digits = uuid7.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        return None
    try:
        return int(digits[:12], 16) / 1000
    except ValueError:
        return None


def parent_of_agent(meta: dict[str, Any]) -> str:
    """The parent that a sub-agent's head names in `source`; "" if it is no sub-agent, or names none."""
    origin = meta.get("source")
    sub = origin.get("subagent") if isinstance(origin, dict) else None
    spawn = sub.get("thread_spawn") if isinstance(sub, dict) else None
    parent = spawn.get("parent_thread_id") if isinstance(spawn, dict) else None
    return str(parent or "")


def spawned(meta: dict[str, Any]) -> bool:
    """Whether it is the head of a sub-agent."""
    origin = meta.get("source")
    return isinstance(origin, dict) and "subagent" in origin


@dataclass(slots=True)
class Copied:
    """Give it each head (`meta`) and each beginning of a turn (`turn`), in the order of the file; ask `whose` a row is."""

    thread: str = ""
    made: float | None = None  # epoch seconds
    parents: list[str] = field(default_factory=list)  # nearest first
    forked: bool = False  # the head of the file may be a copy
    spawned: bool = False  # a sub-agent
    _start: int | None = None  # the number of its first own row
    _turn: Whose = "perhaps own"
    _turn_id: object = None
    _timed: bool = False  # ids are of the time at which they were made

    def meta(self, meta: dict[str, Any], stamp: object) -> bool:
        """A `session_meta` row: whether it is the file's own head."""
        thread = str(meta.get("id") or meta.get("session_id") or "")
        if self.thread:
            if thread and thread != self.thread:
                self._parent(thread)
                self._parent(str(meta.get("forked_from_id") or ""))
                self.forked, self._turn = True, "perhaps own"
            return False
        self.thread = thread
        by_id, near = made_at(thread), times.seconds(meta.get("timestamp")) or times.seconds(stamp)
        self._timed = by_id is not None and (near is None or abs(by_id - near) < DRIFT_S)
        self.made = by_id if self._timed else near
        self.forked = bool(meta.get("forked_from_id"))
        self._parent(str(meta.get("forked_from_id") or ""))
        parent = parent_of_agent(meta) or str(meta.get("parent_thread_id") or "")
        self.spawned = bool(parent)
        self._parent(parent)
        start = meta.get("subagent_history_start_ordinal")
        self._start = start if isinstance(start, int) else None
        return True

    def _parent(self, thread: str) -> None:
        if thread and thread != self.thread and thread not in self.parents:
            self.parents.append(thread)

    def turn(self, turn_id: object, started: object = None) -> None:
        """A turn begins here (`task_started`, `turn_context`)."""
        if not (self.forked or self.spawned) or not turn_id:
            return
        again, self._turn_id = turn_id == self._turn_id, turn_id
        at = made_at(str(turn_id)) if self._timed else None
        if at is not None and self.made is not None:
            self._turn = "copied" if at < self.made else "own"
        elif isinstance(started, int) and self.made is not None and started != int(self.made):
            self._turn = "copied" if started < self.made else "own"  # whole seconds: the thread's own may be either
        elif not again and self._turn == "copied":
            self._turn = "perhaps own"

    def whose(self, ordinal: object, stamp: object) -> Whose:
        """Of a row at this place. Without `perhaps` it is proven."""
        if not (self.forked or self.spawned):
            return "own"
        if self._start is not None and isinstance(ordinal, int):
            return "copied" if ordinal < self._start else "own"
        if self._turn in ("own", "copied"):
            return self._turn
        at = times.seconds(stamp)
        if at is None or self.made is None:
            return "perhaps own"
        if at < self.made:
            return "copied"  # the stamps were kept
        if at - self.made < COPY_S:
            return "perhaps copied" if self.forked else "perhaps own"
        return "perhaps own" if self.forked else "own"


@dataclass(slots=True)
class Counted:
    """The token counts of a file, those that repeat the last one left out: what a copy shares with its original."""

    count: int = 0
    last: tuple[object, object] | None = None  # the total and the usage of the newest

    def take(self, p: dict[str, Any]) -> bool:
        """A `token_count` row: whether it is a new one."""
        info = p.get("info")
        if not isinstance(info, dict):
            return False
        pair = (numbers(info.get("total_token_usage")), numbers(info.get("last_token_usage")))
        if pair in (self.last, (None, None)):
            return False
        self.last = pair
        self.count += 1
        return True

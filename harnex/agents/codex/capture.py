"""What was captured of `codex exec --json`: a total behind each turn, and nothing of single calls.

Measured on 0.45, 0.77, 0.80, 0.104, 0.128 and 0.169:

- Each process prints `thread.started` with the thread's id, also when it resumes a thread, and one `turn.completed`.
- `usage` is of the process up to 0.77, and over the whole life of the thread from 0.80 on. Up to 0.104 the rows do not show
  which; from 0.128 on `usage` has `reasoning_output_tokens`.
- No row tells whether the thread was resumed: the first total that is here may hold what earlier processes used.

So a thread's totals in all files are one series, in the order of their size, wherever they stand. A turn used what its total
is more than the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from zlib import crc32

from harnex.agents.codex.calls import UNTOLD, calls_of_agents
from harnex.agents.codex.totals import Counts, falls, less, numbers
from harnex.agents.common.logfile import Logged, Place
from harnex.model.facts import ModelCall

KEYS = ("input_tokens", "cached_input_tokens", "output_tokens")
Key = tuple[int, ...]

FIRST = (
    "the first total of thread {} holds all that the thread had used: if this is not its first run, what earlier runs used, too "
    "(its rollout tells them apart)"
)
OF_RUNS = (
    "the totals of thread {} are not one running total: each is taken for that of one run, as Codex up to 0.77 counts"
)
EITHER = (
    "the totals of thread {} are taken for one running total; if Codex up to 0.77 printed them, each is of its own run, and they "
    "are to be added"
)


@dataclass(frozen=True, slots=True)
class End:
    """The end of a turn: its thread, the total that was told, how many items its rows show, each of one answer or tool, and a
    sum over what was said (of two turns with one total the second had no usage, or it is the same turn once more)."""

    thread: str
    total: Counts
    items: int
    said: int


class Turns:
    """Which thread's turn ends, row by row. Rows of several processes may stand in turns in one file."""

    def __init__(self, name: str) -> None:
        self.thread = name  # where no row names it (the beginning was cut off), the file does
        self._open: list[str] = []  # threads that began and whose turn did not end yet
        self._items = self._said = 0

    def ended(self, row: dict[str, Any]) -> End | None:
        """If the row is the end of a turn that tells its usage."""
        kind = row.get("type")
        if kind == "turn.started":
            self._items = self._said = 0
        elif kind == "item.completed" and isinstance(row.get("item"), dict):
            self._items += 1
            self._said = crc32(str(row["item"].get("text")).encode("utf-8", "replace"), self._said)
        if kind == "thread.started":
            self.thread = str(row.get("thread_id") or "")
            self._open.append(self.thread)
        elif kind in ("turn.completed", "turn.failed"):
            thread = self._open.pop() if self._open else self.thread
            usage = numbers(row.get("usage"))
            if usage is not None:
                return End(thread, usage, self._items, self._said)
        return None


@dataclass(slots=True)
class Series:
    """All totals of one thread that are known. `told`: those that its rollout tells call by call."""

    files: list[list[Counts]] = field(default_factory=list)  # of each file, in its order
    told: set[Key] = field(default_factory=set)
    items: dict[Key, int] = field(default_factory=dict)  # of the turns that ended with these totals
    said: dict[Key, int] = field(default_factory=dict)  # by the turn that is taken for the one with the usage

    def add(self, ends: list[End]) -> None:
        """What a stream tells of it."""
        if (totals := [end.total for end in ends]) not in self.files:
            self.files.append(totals)
        for end in ends:
            key = key_of(end.total)
            self.items[key] = end.items
            self.said[key] = min(end.said, self.said.get(key, end.said))

    def points(self) -> list[Counts]:
        """Each total once, by its size."""
        found = {key_of(total): total for totals in self.files for total in totals}
        return sorted(found.values(), key=lambda t: (t.get("output_tokens", 0), t.get("input_tokens", 0)))

    @property
    def explicit(self) -> bool:
        """Whether a version wrote them that is known to count over the whole thread."""
        return any("reasoning_output_tokens" in total for totals in self.files for total in totals)

    def runs(self, points: list[Counts]) -> bool:
        """Whether they can be one running total."""
        if not self.explicit and any(falls(a, b) for totals in self.files for a, b in pairwise(totals)):
            return False
        return all(_grows(a, b) and (self.explicit or self._enough(a, b)) for a, b in pairwise(points))

    def _enough(self, before: Counts, after: Counts) -> bool:
        """Whether the next turn can have been given so little: it is given the conversation, so at least about what each
        answer of the turn before was given. An answer has one item or more."""
        answers = self.items.get(key_of(before), 0)
        grown = after.get("input_tokens", 0) - before.get("input_tokens", 0)
        return not answers or 2 * answers * grown >= before.get("input_tokens", 0)


def key_of(total: Counts) -> Key:
    return tuple(total.get(key, 0) for key in KEYS)


def _grows(before: Counts, after: Counts) -> bool:
    """Whether one total can have become the other by calls."""
    given, cached, put = (a - b for a, b in zip(key_of(after), key_of(before), strict=True))
    return given > 0 and put > 0 and 0 <= cached <= given


def ends_of(rows: Iterable[dict[str, Any]], name: str) -> dict[str, list[End]]:
    """The ends of turns in a captured stream that have numbers, by thread. `name` is the file's."""
    turns, found = Turns(name), dict[str, list[End]]()
    for row in rows:
        if (end := turns.ended(row)) is not None and any(end.total.values()):
            found.setdefault(end.thread, []).append(end)
    return found


class Capture:
    """One captured stream. Its calls are told when it is over: a later row may hold an earlier total."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._turns = Turns(place.name)
        self._ends: list[tuple[End, int]] = []  # and the turn of the file
        self._turn = 0
        self._agents: set[str] = set()  # sub-agents' threads
        self._open = 0  # turns that began and did not tell what they used: they failed, or were cut off
        self.words: list[str] = []

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        kind = row.get("type")
        if kind == "turn.started":
            self._turn += 1
            self._open += 1
        elif kind == "turn.completed" and isinstance(row.get("usage"), dict):
            self._open -= 1
        if (end := self._turns.ended(row)) is not None:
            self._ends.append((end, self._turn))
        item = row.get("item")
        if isinstance(item, dict) and item.get("type") == "collab_tool_call":
            self._agents.update(str(thread) for thread in item.get("receiver_thread_ids") or ())
        yield from ()

    def end(self) -> Iterator[Logged]:
        for end, turn in self._ends:
            if not any(end.total.values()):
                self._say(UNTOLD, end.thread)
                yield Logged(_call(f"{end.thread}-none-{turn}", {}, False), "", end.thread, "", turn or None)
        for thread in dict.fromkeys(end.thread for end, _ in self._ends):
            yield from self._thread(thread)
        if missing := self._agents - set(self._place.threads):
            self.words.append(f"{calls_of_agents(len(missing))} are not in this stream: their rollouts tell them")
        if self._open > 0:
            self.words.append(
                f"{self._open} of {self._turn} turns did not end well: this stream does not tell what they used, their rollout does"
            )

    def _thread(self, thread: str) -> Iterator[Logged]:
        series = self._place.series.setdefault(thread, Series())
        mine = [(end, turn) for end, turn in self._ends if end.thread == thread and any(end.total.values())]
        series.add([end for end, _ in mine])
        points = series.points()
        keys = [key_of(total) for total in points]
        running = series.runs(points)
        for end, turn in mine:
            key = key_of(end.total)
            if key in series.told:
                continue
            n = keys.index(key)
            if end.said != series.said[key]:
                self._say(UNTOLD, thread)
                yield Logged(_call(f"{thread}-{n + 1}-{end.said:x}", {}, False), "", thread, "", turn or None)
                continue
            first = running and n == 0
            used = less(end.total, points[n - 1]) if running and n else dict(end.total)
            if first:
                self._say(FIRST, thread)
            elif not series.explicit or not running:
                self._say(EITHER if running else OF_RUNS, thread)
            yield Logged(_call(f"{thread}-{n + 1}", used, first), "", thread, "", turn or None)

    def _say(self, words: str, thread: str) -> None:
        if (text := words.format(thread)) not in self.words:
            self.words.append(text)


def _call(call_id: str, used: Counts, partial: bool) -> ModelCall:
    given, put = used.get("input_tokens"), used.get("output_tokens")
    return ModelCall(
        call_id,
        input_tokens=given,
        cache_read_tokens=used.get("cached_input_tokens"),
        cache_write_tokens=used.get("cache_write_input_tokens"),
        output_tokens=put,
        reasoning_tokens=used.get("reasoning_output_tokens"),
        total_tokens=used.get("total_tokens", given + put if given is not None and put is not None else None),
        source="cumulative",
        partial=partial,
    )

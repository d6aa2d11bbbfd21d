"""What Codex's files have in common: a fork begins with a copy of its parent's token counts.

Ids of turns and stamps tell most copies from own rows (`agents.codex.copied`). Where they don't (versions without ids,
copies that took seconds, ids that were replaced), the counts are compared: no thread repeats another one's numbers, in
their order, from the first one on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

from harnex.agents.codex.capture import Series, ends_of, key_of
from harnex.agents.codex.copied import Copied, Counted
from harnex.agents.codex.log import HEAD
from harnex.agents.codex.totals import Counts, falls, numbers
from harnex.agents.common.logfile import Log, Place
from harnex.agents.roles import Files

HEADS = 16  # rows at a file's beginning in which its parents are named
SURE = 2  # counts that two conversations do not have in common by chance
Count = tuple[object, object]


class _Counts(Log):
    """Token counts alone."""

    wanted = frozenset((b"event_msg", b"token_count", b"token_usage_record"))

    def __init__(self, head: Any) -> None:
        self.head = head
        self.begun = True


@dataclass(slots=True)
class _File:
    path: str
    copied: Copied
    captured: bool = False  # it is what `codex exec --json` printed
    first: list[Count] | None = None  # its first count, once that was read


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition(".jsonl")[0]


@dataclass(slots=True)
class Kin:
    """The files of one command, in the order in which they are read. `places` says for each what the others know of it."""

    paths: Sequence[str]
    _files: Files
    _threads: dict[str, list[_File]] = field(default_factory=dict)
    _heads: list[_File] = field(default_factory=list)
    _series: dict[str, Series] = field(default_factory=dict)  # of the threads of which a stream was captured

    def places(self) -> list[Place]:
        for path in self.paths:
            head = self._head(path)
            self._heads.append(head)
            if head.copied.thread:
                self._threads.setdefault(head.copied.thread, []).append(head)
            elif head.captured:
                for thread, ends in ends_of(self._files.every_row(path), _name(path)).items():
                    self._series.setdefault(thread, Series()).add(ends)
        for thread, series in self._series.items():
            for head in self._threads.get(thread, ()):
                totals = list(self._totals(head.path))
                series.files.append(totals)
                series.told.update(map(key_of, totals))
        return [self._place(n, head) for n, head in enumerate(self._heads)]

    def _place(self, n: int, head: _File) -> Place:
        place = Place(_name(head.path), threads=self._threads.keys(), series=self._series)
        if not (head.copied.forked or head.copied.spawned):
            return place
        parents = [f for thread in head.copied.parents for f in self._threads.get(thread, ())]
        parents = [f for f in parents if head.copied.thread not in f.copied.parents]
        if not head.copied.forked:  # a sub-agent with a conversation of its own, unless its numbers say otherwise
            shared = max((self._shared(head.path, f.path) for f in parents), default=0)
            if shared >= SURE:
                place.shared = shared
                place.doubt = f"its first {shared} token counts are those of its parent: taken for a copy of them"
            return place
        if parents:
            place.shared = max(self._shared(head.path, f.path) for f in parents)
        mine = next(self._counts(head.path), None)
        if mine is None or place.shared:
            return place
        if parents:
            place.base = self._base(mine, parents)
            return place
        ids = set(head.copied.parents)
        for other in self._heads[:n]:
            if ids & set(other.copied.parents) and (found := self._shared(head.path, other.path)):
                place.shared = max(place.shared or 0, found)
        return place if place.shared is not None else self._by_numbers(n, place, mine)

    def _by_numbers(self, n: int, place: Place, mine: Count) -> Place:
        """The parent's id is no file's: the one that begins with the same numbers, if there is one."""
        head = self._heads[n]
        for m, other in enumerate(self._heads):
            if m == n or (m > n and other.copied.forked):
                continue
            if other.first is None:
                other.first = list(islice(self._counts(other.path), 1))
            if other.first == [mine] and (found := self._shared(head.path, other.path)) > (place.shared or 0):
                place.shared = found
                name = other.path.rpartition("/")[2]
                place.doubt = (
                    f"its first {found} token counts are those of {name}, which its ids do not "
                    f"name: taken for a copy of them"
                )
        return place

    def _head(self, path: str) -> _File:
        head = _File(path, Copied())
        for n, row in enumerate(self._files.head_rows(path)):
            payload = row.get("payload")
            head.captured = n == 0 and payload is None and isinstance(row.get("type"), str)
            if row.get("type") != "session_meta" or not isinstance(payload, dict) or n >= HEADS:
                break
            head.copied.meta(payload, row.get("timestamp"))
        return head

    def _counts(self, path: str) -> Iterator[Count]:
        """The token counts of a file, lazily, up to where it has better records."""
        counted = Counted()
        for row in self._files.chosen_rows(path, _Counts(HEAD)):
            payload = row.get("payload")
            if row.get("type") == "token_usage_record":
                return
            if isinstance(payload, dict) and payload.get("type") == "token_count" and counted.take(payload):
                assert counted.last is not None
                yield counted.last

    def _totals(self, path: str) -> Iterator[Counts]:
        """The running totals that a rollout tells, lazily."""
        for row in self._files.chosen_rows(path, _Counts(HEAD)):
            payload = row.get("payload")
            if isinstance(payload, dict):
                info = payload.get("info")
                found = payload.get("thread_token_usage") or (isinstance(info, dict) and info.get("total_token_usage"))
                if (total := numbers(found)) is not None:
                    yield total

    def _base(self, first: Count, parents: list[_File]) -> Counts | None:
        """Where a fork's first count is a total alone: the greatest of its parents' totals that it can have grown from."""
        total, last = first
        if not isinstance(total, dict) or last is not None:
            return None
        below = [before for parent in parents for before in self._totals(parent.path) if not falls(before, total)]
        return max(below, key=lambda before: before.get("total_tokens", 0), default=None)

    def _shared(self, one: str, other: str) -> int:
        """How many counts two files have in common, from their first on."""
        shared = 0
        for a, b in zip_longest(self._counts(one), self._counts(other)):
            if a != b:
                break
            shared += 1
        return shared

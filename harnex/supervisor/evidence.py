"""The agent's own evidence: the files that its reader names, read as they grow.

Polled, and only when something may have happened: often while the agent writes or was just written
to, seldom else. An idle agent costs two `stat`s a second, and no inotify instance (there are 128).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from typing import cast

from harnex import clock, jsonl, times
from harnex.agents.contract import Reader
from harnex.model.facts import Fact, FindFile, Follow, Remark
from harnex.model.records import FollowedFile
from harnex.paths import FOLLOWED
from harnex.store.tail import DocumentTail, LineTail

BRISK_S = 0.04
BRISK_FOR_S = 3.0  # after the last output, input or row
IDLE_S = 1.0
REST_S = 5.0  # at a prompt at which nothing moved for REST_AFTER_S: whatever an agent does, its terminal tells first
REST_AFTER_S = 30.0
FIND_EVERY_S = 0.5
FIND_FOR_S, SELDOM_S = 30.0, 10.0  # a file that did not come for so long is looked for less often
SINCE_BYTES = 1 << 20  # the end of a file, read for its rows since a time
ROWS_A_POLL, BYTES_A_POLL = 200, 512 << 10  # long files are read in slices, so that nobody is kept waiting


class Evidence:
    """Follows files for one reader. `poll` gives the facts that are new; `wake_at` says when to poll next."""

    def __init__(
        self,
        reader: Reader,
        pids: Callable[[], Iterable[int]],
        now: float,
        followed: Callable[[str, str, str, int], None] = lambda *_: None,
    ) -> None:
        """`followed(source, path, kind, offset)` is told of each file once, when it is first followed."""
        self._reader = reader
        self._followed = followed
        self._pids = pids
        self._rows: dict[str, tuple[str, LineTail]] = {}  # real path -> source, tail
        self._documents: dict[str, tuple[str, DocumentTail]] = {}
        self._finds: dict[FindFile, tuple[float, float]] = {}  # since when it is looked for, when it was last
        self._now = now
        self._brisk_until = now + 10.0  # a start is always watched closely
        self._next = now
        self._next_find = now
        self.backlog = False  # there was more than the last poll took

    def stir(self, now: float) -> None:
        """Something happened: look closely for a while."""
        self._brisk_until = max(self._brisk_until, now + BRISK_FOR_S)
        self._next = min(self._next, now + BRISK_S)

    def take(self, fact: Follow | FindFile) -> None:
        """Start to follow a file, or to look for one. Asking twice changes nothing, by whatever path."""
        if isinstance(fact, FindFile):
            self._finds.setdefault(fact, (self._now, -1e9))
        elif fact.kind == "document":
            if fact.path not in self._documents:
                self._documents[fact.path] = (fact.source, DocumentTail(fact.path))
                self._followed(fact.source, fact.path, fact.kind, 0)
        elif (key := os.path.realpath(fact.path)) not in self._rows:
            tail = LineTail(fact.path)
            if fact.from_end:
                tail.to_end()
            self._follow_rows(key, fact.source, tail)

    def _follow_rows(self, key: str, source: str, tail: LineTail) -> None:
        self._rows[key] = (source, tail)
        self._followed(source, tail.path, "rows", tail.offset)

    def wake_at(self) -> float | None:
        return self._next if self._rows or self._documents or self._finds else None

    def poll(self, now: float, force: bool = False, resting: bool = False) -> list[Fact]:
        """Facts from what changed since the last poll. `resting`: no turn runs, and no message waits."""
        if now < self._next and not force:
            return []
        self._now = now
        facts: list[Fact] = []
        named = any(f.paths for f in self._finds)  # cheap to look for, and not always a sign of the agent's own doing
        if self._finds and (force or (now >= self._next_find and (named or now < self._brisk_until))):
            self._next_find = now + FIND_EVERY_S
            facts += self._find(now, force)
        self.backlog = False
        for path, (source, document) in list(self._documents.items()):
            text = document.changed()
            if text is not None:
                row = jsonl.loads_dict(text) if text else None
                if text and row is None:
                    continue  # torn: it is read again when it is whole
                facts += self._reader.document(source, row)
                del path
        rows, size = 0, 0
        for source, tail in list(self._rows.values()):
            if self.backlog:
                break
            if not tail.size_changed():
                continue
            for line in tail.lines():
                rows, size = rows + 1, size + len(line)
                row = jsonl.loads_dict(line)
                if row is not None:
                    facts += self._reader.row(source, row)
                elif line.strip():
                    facts.append(Remark(f"a line of {source} is not JSON ({len(line)} bytes)"))
                if rows >= ROWS_A_POLL or size >= BYTES_A_POLL:
                    self.backlog = True
                    break
        if facts:
            self._brisk_until = max(self._brisk_until, now + BRISK_FOR_S)
        rests = resting and now >= self._brisk_until + REST_AFTER_S
        pause = BRISK_S if now < self._brisk_until else REST_S if rests else IDLE_S
        self._next = now if self.backlog else now + pause
        return facts

    def rest(self, now: float, seconds: float) -> Iterator[list[Fact]]:
        """What is there now, in parts, for so long at most. Take each before the next: a row may name a further file."""
        until = clock.monotonic() + seconds
        while (facts := self.poll(now, force=True)) or self.backlog:
            yield facts
            if clock.monotonic() >= until:
                return

    def _find(self, now: float, force: bool) -> list[Fact]:
        """Which of the wanted files are there, or are held open by the agent's processes? (/proc; elsewhere psutil)"""
        facts: list[Fact] = []
        open_ones = [f for f in self._finds if f.held]
        for path in open_files(self._pids()) if open_ones else ():
            for wanted in open_ones:
                if wanted in self._finds and fnmatch(os.path.basename(path), wanted.held):
                    facts += self._take_found(wanted, path)
        for wanted, (since, last) in list(self._finds.items()):
            old = not wanted.every and now >= since + FIND_FOR_S
            if not wanted.paths or (old and now < last + SELDOM_S and not force):
                continue
            self._finds[wanted] = (since, now)
            import glob  # only here: most sessions look for no name

            paths = (path for pattern in self._expanded(wanted.paths) for path in glob.iglob(pattern))
            if wanted.every:
                for path in paths:
                    if os.path.realpath(path) not in self._rows and self._is_new(path):
                        facts += self._take_found(wanted, path)
            elif path := next(paths, ""):
                facts += self._take_found(wanted, path)
        return facts

    def _take_found(self, wanted: FindFile, path: str) -> Iterable[Fact]:
        if not wanted.every:
            del self._finds[wanted]
        key = os.path.realpath(path)
        if wanted.since and wanted.kind == "rows" and key not in self._rows:
            self._follow_rows(key, wanted.source, LineTail(path, offset_since(path, wanted.since)))
        else:
            self.take(Follow(wanted.source, path, wanted.kind))
        return self._reader.found(wanted.source, path)

    def _expanded(self, patterns: Iterable[str]) -> Iterator[str]:
        """The patterns, with the variables that they begin with as the agent's processes have them."""
        from glob import escape

        seen: dict[str, dict[str, None]] = {}
        for pattern in patterns:
            if not pattern.startswith("$"):
                yield pattern
                continue
            name, _, rest = pattern[1:].partition("/")
            if name not in seen:
                seen[name] = dict.fromkeys(variables(self._pids(), name))
            yield from (f"{escape(value.rstrip('/'))}/{rest}" for value in seen[name])

    def _is_new(self, path: str) -> bool:
        try:
            return os.stat(path).st_mtime >= self._reader.began - 1.0  # file systems cut times off
        except OSError:
            return False


def variables(pids: Iterable[int], name: str) -> Iterator[str]:
    """What a variable is in the environments of these processes, where it is an absolute path."""
    head = f"{name}=".encode()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                found = [entry[len(head) :] for entry in f.read().split(b"\0") if entry.startswith(head)]
        except OSError:
            continue
        yield from (os.fsdecode(value) for value in found if value.startswith(b"/"))


def offset_since(path: str, since: float) -> int:
    """Where the rows begin that are dated (`timestamp`) `since` then: behind the last one that is older. 0 if none is."""
    rest = b""  # the end of a line of which the beginning was not read yet
    with contextlib.suppress(OSError), open(path, "rb") as f:
        end = f.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - SINCE_BYTES)
            f.seek(begin)
            data = f.read(end - begin) + rest
            head = data.find(b"\n") + 1 if begin else 0
            if begin and not head:
                rest, end = data, begin
                continue
            at = begin + len(data)
            for line in reversed(data[head:].splitlines(keepends=True)):
                dated = _dated(line)
                if dated is not None and dated < since:
                    return at
                at -= len(line)
            rest, end = data[:head], begin
    return 0


def _dated(line: bytes) -> float | None:
    row = jsonl.loads_dict(line) or {}
    return times.seconds(row.get("timestamp"))


def open_files(pids: Iterable[int]) -> Iterable[str]:
    """Paths of the regular files that these processes hold open."""
    for pid in pids:
        directory = f"/proc/{pid}/fd"
        try:
            names = os.listdir(directory)
        except OSError:
            names = []
        for name in names:
            try:
                path = os.readlink(f"{directory}/{name}")
            except OSError:
                continue
            if path.startswith("/") and not path.startswith(("/dev/", "/proc/")):
                yield path


def descendants(pid: int) -> list[int]:
    """`pid` and its descendants, from /proc (0.3 ms; psutil takes ten times that)."""
    found, todo = [], [pid]
    while todo:
        current = todo.pop()
        found.append(current)
        try:
            tasks = os.listdir(f"/proc/{current}/task")
        except OSError:
            continue
        for task in tasks:
            try:
                with open(f"/proc/{current}/task/{task}/children") as f:
                    todo += [int(word) for word in f.read().split()]
            except (OSError, ValueError):
                continue
    return found


class FollowedFiles:
    """`evidence/followed.jsonl` of a run: which files its supervisor read, so that the rest can be read after it died.

    A row of kind `process` stands before the files of each process of the agent but the first (generations.py).
    """

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, "evidence", FOLLOWED)

    def add(self, source: str, path: str, kind: str, offset: int) -> None:
        """Note one; `offset` is where its reading began. A full disk costs only what could be read after a crash."""
        self._note({"source": source, "path": path, "kind": kind, "offset": offset})

    def process(self, pid: int, began: float) -> None:
        """Another process goes on with the conversation; `began`: epoch seconds, just before its start."""
        self._note({"source": "", "path": "", "kind": "process", "offset": 0, "pid": pid, "began": began})

    def _note(self, row: FollowedFile) -> None:
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as f:
                f.write(jsonl.dumps(row).encode("utf-8", "surrogatepass") + b"\n")

    def rows(self) -> list[FollowedFile]:
        """What was noted, in its order."""
        try:
            with open(self.path, "rb") as f:
                found = [jsonl.loads_dict(line) for line in f]
        except OSError:
            return []
        return [
            cast(FollowedFile, r)
            for r in found
            if r and isinstance(r.get("path"), str) and isinstance(r.get("offset"), int)
        ]

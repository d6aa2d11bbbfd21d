"""The agent's own evidence: the files that its reader names, read as they grow.

The files are polled, and only if something may have happened: often while the agent writes or
shortly after keys were sent to it, seldom otherwise. An idle agent costs two `stat`s a second, and
no inotify instance (a user has 128).
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

BRISK_S = 0.04  # the poll interval while something happens
BRISK_FOR_S = 3.0  # seconds after the last output, input or row
IDLE_S = 1.0  # the poll interval otherwise
# The interval at a prompt where nothing moved for REST_AFTER_S: any activity
# shows on the terminal first.
REST_S = 5.0
REST_AFTER_S = 30.0
FIND_EVERY_S = 0.5  # how often files are searched for
# A file that did not appear within FIND_FOR_S is searched for only every SELDOM_S.
FIND_FOR_S, SELDOM_S = 30.0, 10.0
# How much of a file's end is read at a time, in search of the rows since a time.
SINCE_BYTES = 1 << 20
# Long files are read in slices of this size, so that nothing else has to wait.
ROWS_A_POLL, BYTES_A_POLL = 200, 512 << 10


class Evidence:
    """Follows files for one reader.

    `poll` returns the new facts; `wake_at` says when to poll next.
    """

    def __init__(
        self,
        reader: Reader,
        pids: Callable[[], Iterable[int]],
        now: float,
        followed: Callable[[str, str, str, int], None] = lambda *_: None,
    ) -> None:
        """`followed(source, path, kind, offset)` is called for each file once,
        when it is first followed."""
        self._reader = reader
        self._followed = followed
        self._pids = pids
        self._rows: dict[str, tuple[str, LineTail]] = {}  # real path -> source, tail
        self._documents: dict[str, tuple[str, DocumentTail]] = {}
        # Since when the file is searched for, and when it was last.
        self._finds: dict[FindFile, tuple[float, float]] = {}
        self._now = now
        self._brisk_until = now + 10.0  # the start is always watched closely
        self._next = now
        self._next_find = now
        self.backlog = False  # whether there was more than the last poll took

    def stir(self, now: float) -> None:
        """Something happened: poll often for a while."""
        self._brisk_until = max(self._brisk_until, now + BRISK_FOR_S)
        self._next = min(self._next, now + BRISK_S)

    def take(self, fact: Follow | FindFile) -> None:
        """Start to follow or search for a file.

        Asking twice changes nothing, even by another path.
        """
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
        """Return the facts from what changed since the last poll.

        `resting`: no turn runs, and no message waits.
        """
        if now < self._next and not force:
            return []
        self._now = now
        facts: list[Fact] = []
        # A search by path is cheap, and the file need not be the agent's own doing.
        named = any(f.paths for f in self._finds)
        if self._finds and (force or (now >= self._next_find and (named or now < self._brisk_until))):
            self._next_find = now + FIND_EVERY_S
            facts += self._find(now, force)
        self.backlog = False
        for path, (source, document) in list(self._documents.items()):
            text = document.changed()
            if text is not None:
                row = jsonl.loads_dict(text) if text else None
                if text and row is None:
                    continue  # a torn document is read again when it is whole
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
        """Yield, in parts, the facts that can be read now, for `seconds` at most. Lazy.

        Take each part before the next one: a row may name a further file.
        """
        until = clock.monotonic() + seconds
        while (facts := self.poll(now, force=True)) or self.backlog:
            yield facts
            if clock.monotonic() >= until:
                return

    def _find(self, now: float, force: bool) -> list[Fact]:
        """Look for the wanted files, by path or among the open files of the agent's
        processes (/proc, else psutil)."""
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
            import glob  # imported only here: most sessions search for no file by path

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
        """Yield the patterns, with their leading variables as the agent's processes have them."""
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
            return os.stat(path).st_mtime >= self._reader.began - 1.0  # file systems truncate times
        except OSError:
            return False


def variables(pids: Iterable[int], name: str) -> Iterator[str]:
    """Yield the values of a variable in these processes' environments,
    if they are absolute paths."""
    head = f"{name}=".encode()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                found = [entry[len(head) :] for entry in f.read().split(b"\0") if entry.startswith(head)]
        except OSError:
            continue
        yield from (os.fsdecode(value) for value in found if value.startswith(b"/"))


def offset_since(path: str, since: float) -> int:
    """Return the offset of the rows that are dated (`timestamp`) since then.

    That is the offset after the last older row, or 0 if there is none.
    """
    rest = b""  # the end of a line whose beginning was not read yet
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
    """Yield the paths of the regular files that these processes hold open."""
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
    """Return `pid` and its descendants, from /proc (0.3 ms; psutil takes ten times that)."""
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
    """`evidence/followed.jsonl` of a run: which files its supervisor read.

    With it the rest of the files can be read after the supervisor's death. A row of kind `process`
    stands before the files of each process of the agent but the first (generations.py).
    """

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, "evidence", FOLLOWED)

    def add(self, source: str, path: str, kind: str, offset: int) -> None:
        """Note a file; `offset` is where its reading began.

        If the disk is full, only what could be read after a crash is lost.
        """
        self._note({"source": source, "path": path, "kind": kind, "offset": offset})

    def process(self, pid: int, began: float) -> None:
        """Note that a new process continues the conversation.

        `began`: epoch seconds, just before its start.
        """
        self._note({"source": "", "path": "", "kind": "process", "offset": 0, "pid": pid, "began": began})

    def _note(self, row: FollowedFile) -> None:
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as f:
                f.write(jsonl.dumps(row).encode("utf-8", "surrogatepass") + b"\n")

    def rows(self) -> list[FollowedFile]:
        """Return what was noted, in order."""
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

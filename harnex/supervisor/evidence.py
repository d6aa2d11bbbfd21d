"""The agent's own evidence: the files that its reader names, read as they grow.

Polled, and only when something may have happened: often while the agent writes or was just written
to, seldom else. An idle agent costs two `stat`s a second, and no inotify instance (there are 128).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from typing import Any

from harnex import jsonl
from harnex.adapters._base import Reader
from harnex.model import Fact, FindFile, Follow, Remark
from harnex.store.tail import DocumentTail, LineTail

BRISK_S = 0.04
BRISK_FOR_S = 3.0  # after the last output, input or row
IDLE_S = 1.0
REST_S = 5.0  # at a prompt at which nothing moved for REST_AFTER_S: whatever an agent does, its terminal tells first
REST_AFTER_S = 30.0
FIND_EVERY_S = 0.5
FOLLOWED = "followed.jsonl"  # in the run's evidence: which files were read, so that they can be read again
ROWS_A_POLL = 2000  # a long transcript is read in slices, so that the terminal is not kept waiting


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
        self._rows: dict[str, tuple[str, LineTail]] = {}  # path -> source, tail
        self._documents: dict[str, tuple[str, DocumentTail]] = {}
        self._finds: list[FindFile] = []
        self._brisk_until = now + 10.0  # a start is always watched closely
        self._next = now
        self._next_find = now
        self._backlog = False

    def stir(self, now: float) -> None:
        """Something happened: look closely for a while."""
        self._brisk_until = max(self._brisk_until, now + BRISK_FOR_S)
        self._next = min(self._next, now + BRISK_S)

    def take(self, fact: Follow | FindFile) -> None:
        """Start to follow a file, or to look for one. Asking twice changes nothing."""
        if isinstance(fact, FindFile):
            if fact not in self._finds:
                self._finds.append(fact)
        elif fact.kind == "document":
            if fact.path not in self._documents:
                self._documents[fact.path] = (fact.source, DocumentTail(fact.path))
                self._followed(fact.source, fact.path, fact.kind, 0)
        elif fact.path not in self._rows:
            tail = LineTail(fact.path)
            if fact.from_end:
                tail.to_end()
            self._rows[fact.path] = (fact.source, tail)
            self._followed(fact.source, fact.path, fact.kind, tail.offset)

    def wake_at(self) -> float | None:
        return self._next if self._rows or self._documents or self._finds else None

    def poll(self, now: float, force: bool = False, resting: bool = False) -> list[Fact]:
        """Facts from what changed since the last poll. `resting`: no turn runs, and no message waits."""
        if now < self._next and not force:
            return []
        facts: list[Fact] = []
        named = any(f.paths for f in self._finds)  # cheap to look for, and not always a sign of the agent's own doing
        if self._finds and (force or (now >= self._next_find and (named or now < self._brisk_until))):
            self._next_find = now + FIND_EVERY_S
            self._find()
        self._backlog = False
        for path, (source, document) in list(self._documents.items()):
            text = document.changed()
            if text is not None:
                row = jsonl.loads_dict(text) if text else None
                if text and row is None:
                    continue  # torn: it is read again when it is whole
                facts += self._reader.document(source, row)
                del path
        for source, tail in list(self._rows.values()):
            if not tail.size_changed():
                continue
            for n, line in enumerate(tail.lines()):
                row = jsonl.loads_dict(line)
                if row is None:
                    if line.strip():
                        facts.append(Remark(f"a line of {source} is not JSON ({len(line)} bytes)"))
                    continue
                facts += self._reader.row(source, row)
                if n >= ROWS_A_POLL:
                    self._backlog = True
                    break
        if facts:
            self._brisk_until = max(self._brisk_until, now + BRISK_FOR_S)
        rests = resting and now >= self._brisk_until + REST_AFTER_S
        pause = BRISK_S if now < self._brisk_until else REST_S if rests else IDLE_S
        self._next = now if self._backlog else now + pause
        return facts

    def _find(self) -> None:
        """Which of the wanted files are there, or are held open by the agent's processes? (/proc; elsewhere psutil)"""
        open_ones = [f for f in self._finds if f.held]
        for path in open_files(self._pids()) if open_ones else ():
            for found in open_ones:
                if found in self._finds and fnmatch(os.path.basename(path), found.held):
                    self._finds.remove(found)
                    self.take(Follow(found.source, path, found.kind))
        for wanted in list(self._finds):
            if not wanted.paths:
                continue
            import glob  # only here: most sessions look for no name

            if wanted.every:
                for path in (path for pattern in wanted.paths for path in glob.iglob(pattern)):
                    if path not in self._rows and self._is_new(path):
                        self.take(Follow(wanted.source, path, wanted.kind))
                continue
            path = next((path for pattern in wanted.paths for path in glob.iglob(pattern)), "")
            if path:
                self._finds.remove(wanted)
                self.take(Follow(wanted.source, path, wanted.kind))

    def _is_new(self, path: str) -> bool:
        try:
            return os.stat(path).st_mtime >= self._reader.began - 1.0  # file systems cut times off
        except OSError:
            return False


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

    A row of kind `process` stands before the files of each process of the agent but the first (respawn.py).
    """

    def __init__(self, run_dir: str) -> None:
        self.path = os.path.join(run_dir, "evidence", "followed.jsonl")

    def add(self, source: str, path: str, kind: str, offset: int) -> None:
        """Note one; `offset` is where its reading began. A full disk costs only what could be read after a crash."""
        self._note({"source": source, "path": path, "kind": kind, "offset": offset})

    def process(self, pid: int, began: float) -> None:
        """Another process goes on with the conversation; `began`: epoch seconds, just before its start."""
        self._note({"source": "", "path": "", "kind": "process", "offset": 0, "pid": pid, "began": began})

    def _note(self, row: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as f:
                f.write(jsonl.dumps(row).encode("utf-8", "surrogatepass") + b"\n")

    def rows(self) -> list[dict[str, Any]]:
        """What was noted, in its order."""
        try:
            with open(self.path, "rb") as f:
                found = [jsonl.loads_dict(line) for line in f]
        except OSError:
            return []
        return [r for r in found if r and isinstance(r.get("path"), str) and isinstance(r.get("offset"), int)]

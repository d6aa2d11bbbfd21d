"""What git knows of a run's repository, at its start and at its end. The loop never waits for
git, and its time is limited.

Each command of git is a polled child. What can't be known in time or at all (no
repository, no commit, a broken one) is None. `harnex/git.py` says how git is called so
that nothing of the repository is run.

Filters of the repository (`filter.NAME`, such as git-lfs) are never run, so the content of a file
with a filter can't be compared. Such a file counts as changed if its size or its times differ from
those of the index, and its lines are not counted.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from harnex import git, paths
from harnex.errors import HarnexError
from harnex.supervisor.processes import Polled

START_S = 20.0  # how long the look at the start may take
END_S = 8.0  # how long the look at the end may take
POLL_S = 0.02
OUTPUT_MAX = 16 << 20  # bytes of a command's output; a command with more counts as failed


@dataclass(frozen=True)
class Call:
    """One command of git. `names` go to its standard input, each followed by a zero byte."""

    argv: list[str]
    env: dict[str, str]
    names: frozenset[str] = frozenset()


QUIET = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty")
Step = Generator[Call, "str | None", None]


@dataclass
class Facts:
    """The result of one look. `commits` to `loc_removed` are the changes from the commit at the
    start to the current one.

    `dirty_*` is what is not committed: files (untracked ones too), and lines of tracked files.
    `rewritten`: the commit at the start is not an ancestor of the current one (amended, rebased,
    another branch); None if there is nothing to compare.
    """

    sha: str | None = None
    branch: str | None = None  # None if detached
    commits: int | None = None
    files_changed: int | None = None
    loc_added: int | None = None
    loc_removed: int | None = None
    dirty: bool | None = None
    dirty_files: int | None = None
    dirty_added: int | None = None
    dirty_removed: int | None = None
    rewritten: bool | None = None

    def dump(self) -> dict[str, Any]:
        return asdict(self)


class GitLook:
    """A look at a work tree. Call `step` until it returns True. Then `facts` is None (not a
    repository) or the result.

    `since`: the commit at the start ("" if there was none), None for the look at the start itself.
    `state`: the state directory, in which the look needs a little room.
    """

    def __init__(self, repo: str, since: str | None, state: str, now: float, timeout: float) -> None:
        self.facts: Facts | None = None
        self.timed_out = False
        self._repo, self._state, self._deadline = repo, state, now + timeout
        self._apart: git.Apart | None = None
        self._found = Facts()
        self._is_repo = False
        self._steps = self._look(since)
        self._process: Polled | None = None
        self._output = b""
        self.done = not os.path.exists(os.path.join(repo, ".git"))
        if not self.done:
            self._next(None, first=True)

    def wake_at(self, now: float) -> float | None:
        return None if self.done else now + POLL_S

    def step(self, now: float) -> bool:
        """Go on. Returns True when the look is finished."""
        while not self.done and self._process is not None:
            process = self._process
            assert process.stdout is not None
            with contextlib.suppress(BlockingIOError, OSError):
                while data := os.read(process.stdout.fileno(), 65536):
                    self._output += data[: OUTPUT_MAX - len(self._output)]
            code = process.code()
            if code is None:
                if now >= self._deadline:
                    self.timed_out = True
                    self._end()
                return self.done
            with contextlib.suppress(BlockingIOError, OSError):
                while data := os.read(process.stdout.fileno(), 65536):
                    self._output += data[: OUTPUT_MAX - len(self._output)]
            process.stdout.close()
            self._process = None
            whole = code == 0 and len(self._output) < OUTPUT_MAX
            self._next(git.text(self._output) if whole else None)
        return self.done

    def _next(self, output: str | None, first: bool = False) -> None:
        try:
            call = next(self._steps) if first else self._steps.send(output)
            self._output = b""
            given = self._input(call.names)
            try:
                self._process = Polled(call.argv, (given, subprocess.PIPE, subprocess.DEVNULL), call.env)
            finally:
                if not isinstance(given, int):
                    given.close()
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)
        except (StopIteration, OSError):
            self._end()

    def _input(self, names: frozenset[str]) -> int | IO[bytes]:
        if not names or self._apart is None:
            return subprocess.DEVNULL
        path = os.path.join(self._apart.directory, "names")
        with open(path, "wb") as f:
            f.write(b"".join(os.fsencode(name) + b"\0" for name in names))
        return open(path, "rb")

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
        if self._apart is not None:
            self._apart.close()
        self.done = True
        self.facts = self._found if self._is_repo else None

    def close(self) -> None:
        """Stop the look, and keep what is known so far."""
        if not self.done:
            self._end()

    def _look(self, since: str | None) -> Step:
        found, env = self._found, git.environment()
        if not git.is_top((yield Call(git.command(self._repo, *git.TOP), env))):
            return
        self._is_repo = True
        branch = yield Call(git.command(self._repo, "symbolic-ref", "--short", "-q", "HEAD"), env)
        found.branch = git.readable(branch or "").strip() or None
        found.sha = ((yield Call(git.command(self._repo, *git.COMMIT), env)) or "").strip() or None
        settings = yield Call(git.command(self._repo, *git.settings_words()), env)
        self._apart = apart = git.Apart(self._repo, found.sha, settings or "", scratch(self._state))
        if since is not None:
            yield from self._between(apart, since)
        yield from self._uncommitted(apart)

    def _between(self, apart: git.Apart, since: str) -> Step:
        found, sha = self._found, self._found.sha
        if sha is None or since == sha:
            found.commits = found.files_changed = found.loc_added = found.loc_removed = 0
            found.rewritten = None if sha is None else False
            return
        if since and (yield self._call(apart, "cat-file", "-e", since + "^{commit}")) is None:
            # The commit is gone: collected, or another clone replaced the repository.
            found.rewritten = True
            return
        base = since
        if since:
            found.rewritten = (yield self._call(apart, "merge-base", "--is-ancestor", since, sha)) is None
        else:
            base = ((yield self._call(apart, "hash-object", "-t", "tree", "/dev/null")) or "").strip()
        listed = yield self._call(apart, "rev-list", "--count", sha, *((f"^{since}",) if since else ()))
        found.commits = int(listed) if listed and listed.strip().isdigit() else None
        if base:
            found.files_changed, found.loc_added, found.loc_removed = short(
                (yield self._call(apart, "diff", "--shortstat", *QUIET, base, sha, "--"))
            )

    def _uncommitted(self, apart: git.Apart) -> Step:
        found, lines = self._found, None
        if found.sha is not None:
            lines = numbers((yield self._call(apart, "diff", "--numstat", "-z", *QUIET, found.sha, "--")))
        told = yield self._call(
            apart, "status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=dirty"
        )
        changed = None if told is None else list(entries(told))
        hidden: frozenset[str] = frozenset()  # files behind a filter, which may be changed or not
        names = {path for path, _, _ in lines or ()} | {path for way, path in changed or () if way != "??"}
        if names and apart.filters:
            told = yield self._call(apart, "check-attr", "-z", "--stdin", "filter", names=frozenset(names))
            hidden = frozenset(path for path, value in attributes(told or "") if value in apart.filters)
        if lines is not None:
            found.dirty_added = sum(added for path, added, _ in lines if path not in hidden)
            found.dirty_removed = sum(removed for path, _, removed in lines if path not in hidden)
        if changed is not None:
            if any(way == " M" and path in hidden for way, path in changed):
                words = ("diff-files", "-z", "--name-only", "--ignore-submodules=dirty")
                told = yield Call(apart.command(*words), apart.env(by_times=True))
                touched = set((told or "").split("\0"))
                changed = [(way, path) for way, path in changed if not (way == " M" and path in hidden - touched)]
            found.dirty_files = len(changed)
            found.dirty = found.dirty_files > 0

    def _call(self, apart: git.Apart, *words: str, names: frozenset[str] = frozenset()) -> Call:
        return Call(apart.command(*words), apart.env(), names)


def scratch(state: str) -> str:
    """Return a directory for a temporary git directory of ours. Raises OSError."""
    try:
        return paths.subdir(state, "tmp")
    except HarnexError as e:
        raise OSError(e.message) from None


def short(text: str | None) -> tuple[int | None, int | None, int | None]:
    """Parse ` 3 files changed, 10 insertions(+), 2 deletions(-)` into (files, added, removed).

    No output means three zeros.
    """
    if text is None:
        return None, None, None
    found = [re.search(rf"(\d+) {word}", text) for word in ("file", "insertion", "deletion")]
    files, added, removed = (int(match[1]) if match else 0 for match in found)
    return files, added, removed


def entries(told: str) -> Iterator[tuple[str, str]]:
    """Yield the entries of `status --porcelain -z`: two letters and the path.

    The old name of a rename is skipped.
    """
    fields = iter(told.split("\0"))
    for field in fields:
        if len(field) > 3:
            yield field[:2], field[3:]
            if field[0] in "RC":
                next(fields, None)


def numbers(told: str | None) -> list[tuple[str, int, int]] | None:
    """Parse `diff --numstat -z` into (path, lines added, lines removed); 0 for binary files.

    A rename has both names after its numbers.
    """
    if told is None:
        return None
    found, fields = [], iter(told.split("\0"))
    for field in fields:
        added, _, rest = field.partition("\t")
        removed, tab, path = rest.partition("\t")
        if tab and not path:
            next(fields, None)
            path = next(fields, "")
        if tab:
            found.append((path, int(added) if added.isdigit() else 0, int(removed) if removed.isdigit() else 0))
    return found


def attributes(told: str) -> Iterator[tuple[str, str]]:
    """Return pairs of path and value from `check-attr -z`. Lazy."""
    fields = told.split("\0")
    return zip(fields[::3], fields[2::3], strict=False)


def look_now(repo: str, since: str | None, state: str, timeout: float) -> Facts | None:
    """Look and wait for the result: for use after a crash, when there is no loop."""
    look = GitLook(repo, since, state, time.monotonic(), timeout)
    while not look.step(time.monotonic()):
        time.sleep(POLL_S)
    return look.facts

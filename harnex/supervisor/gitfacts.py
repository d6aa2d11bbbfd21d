"""What git knows of a run's repository, at its start and at its end: never waited for by the loop, bounded in time.

Each command is a child that is polled. What can't be known in time, or at all (no repository, no commit, a broken
one), is None. Commands take no locks, fetch nothing, and run no program that the repository's configuration names
as a monitor, a hook or a diff tool.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

START_S = 20.0
END_S = 8.0
POLL_S = 0.02
OUTPUT_MAX = 1 << 20

Step = Generator[tuple[str, ...], "str | None", None]


@dataclass
class Facts:
    """One look. `commits` to `loc_removed` are those between the commit at the start and this one.

    `dirty_*` is what is not committed: files (untracked ones too), and lines of tracked files. `rewritten`: the commit
    of the start is not among this one's ancestors (amended, rebased, another branch); None where it makes no sense.
    """

    sha: str | None = None
    branch: str | None = None  # None: detached
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
    """A look at a work tree. `step` until it says True; then `facts` is None (not a repository) or what was found.

    `since`: the commit at the start ("" if there was none then), None for the look at the start itself.
    """

    def __init__(self, repo: str, since: str | None, now: float, timeout: float) -> None:
        self.facts: Facts | None = None
        self.timed_out = False
        self._repo, self._deadline = repo, now + timeout
        self._found = Facts()
        self._is_repo = False
        self._steps = self._look(since)
        self._process: subprocess.Popen[bytes] | None = None
        self._output = b""
        self.done = not os.path.exists(os.path.join(repo, ".git"))
        if not self.done:
            self._next(None, first=True)

    def wake_at(self, now: float) -> float | None:
        return None if self.done else now + POLL_S

    def step(self, now: float) -> bool:
        """Go on; True when it is over."""
        while not self.done and self._process is not None:
            process = self._process
            assert process.stdout is not None
            with contextlib.suppress(BlockingIOError, OSError):
                while data := os.read(process.stdout.fileno(), 65536):
                    self._output += data[: OUTPUT_MAX - len(self._output)]
            if process.poll() is None:
                if now >= self._deadline:
                    self.timed_out = True
                    self._end()
                return self.done
            with contextlib.suppress(BlockingIOError, OSError):
                while data := os.read(process.stdout.fileno(), 65536):
                    self._output += data[: OUTPUT_MAX - len(self._output)]
            process.stdout.close()
            self._process = None
            self._next(self._output.decode("utf-8", "replace") if process.returncode == 0 else None)
        return self.done

    def _next(self, output: str | None, first: bool = False) -> None:
        try:
            words = next(self._steps) if first else self._steps.send(output)
            self._output = b""
            self._process = subprocess.Popen(
                ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C", self._repo, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
                start_new_session=True,
            )
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)
        except (StopIteration, OSError):
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
        self.done = True
        self.facts = self._found if self._is_repo else None

    def close(self) -> None:
        """Let it go, as far as it is."""
        if not self.done:
            self._end()

    def _look(self, since: str | None) -> Step:
        found = self._found
        top = yield ("rev-parse", "--is-inside-work-tree")
        if top is None or top.strip() != "true":
            return
        self._is_repo = True
        found.branch = ((yield ("symbolic-ref", "--short", "-q", "HEAD")) or "").strip() or None
        found.sha = ((yield ("rev-parse", "--verify", "-q", "HEAD^{commit}")) or "").strip() or None
        if since is not None:
            yield from self._between(since)
        if found.sha is not None:
            _, found.dirty_added, found.dirty_removed = short(
                (yield ("diff", "--shortstat", "--no-ext-diff", "--no-textconv", "HEAD", "--"))
            )
        changed = yield ("status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=dirty")
        if changed is not None:
            found.dirty_files = count_status(changed)
            found.dirty = found.dirty_files > 0

    def _between(self, since: str) -> Step:
        found = self._found
        if found.sha is None:
            found.commits = found.files_changed = found.loc_added = found.loc_removed = 0
            return
        if since == found.sha:
            found.commits = found.files_changed = found.loc_added = found.loc_removed = 0
            found.rewritten = False
            return
        if since and (yield ("cat-file", "-e", since + "^{commit}")) is None:
            found.rewritten = True  # it is gone: collected, or another clone took the place
            return
        base = since
        if since:
            found.rewritten = (yield ("merge-base", "--is-ancestor", since, "HEAD")) is None
        else:
            base = ((yield ("hash-object", "-t", "tree", "/dev/null")) or "").strip()
        listed = yield ("rev-list", "--count", "HEAD", *((f"^{since}",) if since else ()))
        found.commits = int(listed) if listed and listed.strip().isdigit() else None
        if base:
            found.files_changed, found.loc_added, found.loc_removed = short(
                (yield ("diff", "--shortstat", "--no-ext-diff", "--no-textconv", base, "HEAD", "--"))
            )


def environment() -> dict[str, str]:
    """Ours without what a git hook or another repository left in it; nothing is asked, locked or fetched."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return env | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}


def short(text: str | None) -> tuple[int | None, int | None, int | None]:
    """` 3 files changed, 10 insertions(+), 2 deletions(-)`: files, added, removed; nothing printed is three zeros."""
    if text is None:
        return None, None, None
    found = [re.search(rf"(\d+) {word}", text) for word in ("file", "insertion", "deletion")]
    files, added, removed = (int(match[1]) if match else 0 for match in found)
    return files, added, removed


def count_status(text: str) -> int:
    """Entries of `status --porcelain -z`; a rename has its old name after it."""
    fields = text.split("\0")
    count, at = 0, 0
    while at < len(fields):
        if len(fields[at]) > 2:
            count += 1
            at += 1 if fields[at][0] in "RC" else 0
        at += 1
    return count


def look_now(repo: str, since: str | None, timeout: float) -> Facts | None:
    """The same, waited for: after a crash, when there is no loop."""
    look = GitLook(repo, since, time.monotonic(), timeout)
    while not look.step(time.monotonic()):
        time.sleep(POLL_S)
    return look.facts

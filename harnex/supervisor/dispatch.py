"""What stays of a run: the dispatch record with its git part, the summary file,
and no secret in any file.

`Records` does the work that takes time (git, redacting secrets in files) in slices, as the loop
gives it time. `dispatch` makes the record of a run however it ended, also for runs that never began
and runs whose supervisor is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any, Literal, cast

from harnex import jsonl, paths
from harnex.launch import lease
from harnex.launch.spec import Spec
from harnex.model import events
from harnex.model.records import GitPart, Tokens
from harnex.redaction.files import Scrub
from harnex.redaction.redactor import MARK, Clean, Redactor
from harnex.store import durable, history, named
from harnex.supervisor.journal import Journal
from harnex.supervisor.repository import END_S, START_S, Facts, GitLook
from harnex.visible import visible

SLICE_S = 0.03  # seconds of redacting in one pass of the loop
SCRUB_S = 30.0  # seconds to redact the remaining files at the end
# Seconds for redaction and for git, after a bug or a crash.
LAST_S = 3.0
SUMMARY_S = 2.0  # seconds for a FIFO that nobody reads, or reads too slowly
COUNTED = ("nudge", "restart")
CHANGED: tuple[Literal["commits", "files_changed", "loc_added", "loc_removed"], ...] = (
    "commits",
    "files_changed",
    "loc_added",
    "loc_removed",
)
GIT_KEYS = ("commits", "files_changed", "loc_added", "loc_removed", "dirty", "dirty_files", "rewritten")


class Records:
    """The records beside a session.

    Call `step` while it lives, and `close` at its end until it returns True.
    """

    def __init__(self, spec: Spec, journal: Journal, redactor: Redactor, now: float) -> None:
        self._spec, self._journal = spec, journal
        self.run_dir = paths.run_dir(spec.state, spec.run_id)
        self._scrub = Scrub(self.run_dir, redactor)
        self._look: GitLook | None = GitLook(spec.repo, None, spec.state, now, START_S)
        self.start: Facts | None = None
        self.end: Facts | None = None
        self._ending: GitLook | None = None
        self._closing: float | None = None
        self._clean = self._closed = False

    def step(self, now: float) -> None:
        if self._look is not None and self._look.step(now):
            self.start = self._told(self._look, "start")
            self._look = None
        if self._closing is None:
            self._scrub.step(now)

    def wake_at(self, now: float) -> float | None:
        return self._look.wake_at(now) if self._look is not None else None

    def _told(self, look: GitLook, phase: str) -> Facts | None:
        if look.timed_out:
            self._journal.diagnose(f"git did not answer in time ({phase}): what it knows is incomplete")
        if look.facts is not None:
            self._journal.emit(events.Git(phase=phase, **look.facts.dump()))
        return look.facts

    def close(self, now: float) -> bool:
        """The processes of the run are gone: remove the lease, look at git, redact secrets.

        Returns True when all is done.
        """
        if self._closed:
            return True
        if self._closing is None:
            self._closing = now
            self._end_lease()
            if self._look is not None:
                self._look.close()  # the run was too short for git: keep what is known so far
                self.step(now)
            since = None if self.start is None else self.start.sha or ""
            self._ending = GitLook(self._spec.repo, since, self._spec.state, now, END_S)
        if self._ending is not None and self._ending.step(now):
            self.end = self._told(self._ending, "end")
            self._ending = None
        if not self._clean:
            self._clean = self._scrub.finish(SLICE_S)
            if not self._clean and now > self._closing + SCRUB_S:
                self._clean = True
                self._journal.diagnose("not all files of the run could be looked through for secrets in time")
            elif self._clean and self._scrub.failed:
                self._journal.diagnose(f"{self._scrub.failed} files could not be looked through for secrets")
        self._closed = self._clean and self._ending is None
        return self._closed

    def close_now(self) -> None:
        """After a bug: close in little time, without the loop."""
        if self._closed:
            return
        self._closed = True
        self._end_lease()
        for look in (self._look, self._ending):
            if look is not None:
                look.close()
        self._scrub.finish(LAST_S)

    def _end_lease(self) -> None:
        spec = self._spec
        if spec.lease is not None and not lease.remove(self.run_dir, spec.lease["logs"]):
            self._journal.diagnose(f"could not remove all of the private home {lease.home_of(self.run_dir)}")

    @property
    def git(self) -> GitPart | None:
        """The git part of the record."""
        return git_part(*(None if facts is None else facts.dump() for facts in (self.start, self.end)))

    def leave(self, row: Clean) -> None:
        """Write what concerns the whole run: the count in the manifest, the
        summary file and its event."""
        spec = self._spec
        count_in_manifest(self.run_dir, row["redacted"])
        if spec.summary_out is None:
            return
        problem = write_summary(spec.summary_out, row)
        if problem:
            self._journal.diagnose(problem)
        self._journal.emit(events.Summary(exit=row["exit"], path=None if problem else spec.summary_out))


def git_part(start: Mapping[str, Any] | None, end: Mapping[str, Any] | None) -> GitPart | None:
    """Return the git part of a record, from the two looks; None if there is no repository."""
    if start is None and end is None:
        return None
    last = end if end is not None else {}
    part = {
        "start_sha": (start or {}).get("sha"),
        "end_sha": last.get("sha"),
        "branch": last.get("branch") if end is not None else (start or {}).get("branch"),
        **{key: last.get(key) for key in GIT_KEYS},
    }
    return cast(GitPart, part)


def dispatch(
    about: dict[str, Any],
    *,
    git: GitPart | None = None,
    usage: Tokens | None = None,
    counts: Mapping[str, int] | None = None,
    **how_it_ended: Any,
) -> dict[str, Any]:
    """Return the record of a run: what was asked for, what was predicted (`--meta`), what it took.

    Unknown is None.
    """
    row = history.row(about, git=git, usage=usage, **how_it_ended)
    meta = row.get("meta")
    row["predicted"] = meta.get("predicted") if isinstance(meta, dict) else None
    row["actual"] = {
        "calls": row["calls"],
        "tokens": usage,
        "turns": row["turns"],
        "duration_s": row["duration_s"],
        **{key: git[key] if git else None for key in CHANGED},
        "exit": row["exit"],
        "reason": row["reason"],
        **{f"{word}s": (counts or {}).get(word, 0) for word in COUNTED},
    }
    return row


def write_summary(path: str, row: Clean) -> str:
    """Write the record to the file that `launch/resolved.summary_path` found.
    Returns the problem, or "".

    A link at that path was made since the run began, perhaps by the agent.
    Such a link is not followed.
    """
    if MARK in path:
        return f"could not write the summary {path}: its path held a secret, which was not kept"
    try:
        named.put(path, jsonl.dumps(row).encode() + b"\n", True, SUMMARY_S)
    except OSError as e:
        return f"could not write the summary {path}: {e.strerror}"
    return ""


def count_in_manifest(run_dir: str, count: int) -> None:
    """Write into the manifest how many secrets were redacted in the run's files.

    A missing manifest stays missing.
    """
    path = os.path.join(run_dir, "manifest.json")
    with contextlib.suppress(OSError, ValueError, TypeError):
        with open(path, encoding="utf-8") as f:
            manifest = json.load(f)
        manifest["redacted"] = count
        text = visible(json.dumps(manifest, indent=1, ensure_ascii=False)) + "\n"
        durable.replace(path, text.encode(), through=False)

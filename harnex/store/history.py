"""`history.jsonl`: one row per finished run, the dispatch record."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Any

from harnex import jsonl, paths
from harnex.errors import HarnexError
from harnex.redaction.redactor import Clean
from harnex.store import durable
from harnex.store.registry import is_named

# What a row takes over from the run's registry entry.
FROM_RECORD = (
    "id", "run_id", "cli", "cli_version", "mode", "repo", "cwd", "description", "started_at", "last_outcome", "calls",
    "tokens", "tokens_unknown", "meta", "permissions", "agent_session_id", "spawner", "resumes",
)  # fmt: skip


def row(record: dict[str, Any], **how_it_ended: Any) -> dict[str, Any]:
    """The dispatch record of a run: who it was, from its registry entry, and how it ended. Unknown is None."""
    return {
        **{key: record.get(key) for key in FROM_RECORD},
        **dict.fromkeys(("ended_at", "duration_s", "exit", "code", "signal", "reason")),
        "message": "",
        "turns": 0,
        "usage": None,
        "git": None,
        "predicted": None,
        "actual": None,
        "swept": 0,
        "killed": [],
        "skipped_bytes": 0,
        "redacted": 0,
        **how_it_ended,
    }


def append(state: str, entry: Clean) -> None:
    """Add one row whole, after mending a torn last line; a power cut does not take it. Raises OSError."""
    fd = os.open(paths.history_file(state), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # what a full disk makes us take back must be ours
        data = jsonl.dumps(entry).encode() + b"\n"
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            data = b"\n" + data
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            durable.sync(fd)  # what can find the run again goes away next
        except OSError:
            os.ftruncate(fd, size)  # it is tried again, and must be there once
            raise
    finally:
        os.close(fd)


def rows(state: str) -> Iterator[dict[str, Any]]:
    """All rows, oldest first; lines that are not rows are left out."""
    try:
        with open(paths.history_file(state), "rb") as f:
            for line in f:
                entry = jsonl.loads_dict(line)
                if entry is not None and is_row(entry):
                    yield entry
    except FileNotFoundError:
        return
    except OSError as e:
        raise HarnexError(f"can't read {paths.history_file(state)}: {e.strerror}", "see: harnex doctor") from None


def is_row(entry: dict[str, Any]) -> bool:
    """Whether it has what readers count on; anything else in the file is garbage."""
    texts = all(isinstance(entry.get(key), str) for key in ("id", "run_id"))
    return texts and all(isinstance(entry.get(key), int | float | None) for key in ("duration_s", "tokens"))


def newest(state: str, session_id: str, repo: str | None = None) -> dict[str, Any] | None:
    """The newest finished run of an id (or of a run_id)."""
    found = None
    for entry in rows(state):
        if is_named(entry, session_id) and (repo is None or entry.get("repo") == repo):
            found = entry
    return found

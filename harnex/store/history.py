"""`history.jsonl`: one record per finished run, the dispatch record."""

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

# What a history record takes over from the run's registry entry.
FROM_RECORD = (
    "id", "run_id", "cli", "cli_version", "mode", "repo", "cwd", "description", "started_at", "last_outcome", "calls",
    "tokens", "tokens_unknown", "meta", "permissions", "agent_session_id", "spawner", "resumes",
)  # fmt: skip


def row(record: dict[str, Any], **how_it_ended: Any) -> dict[str, Any]:
    """The dispatch record of a run: who it was, from its registry entry, and how it ended.

    Unknown fields are None.
    """
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
    """Append one whole record that survives a power cut, after mending a torn last line.

    Raises OSError.
    """
    fd = os.open(paths.history_file(state), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # On a full disk the record is cut off again: it must be the last of the file.
        fcntl.flock(fd, fcntl.LOCK_EX)
        data = jsonl.dumps(entry).encode() + b"\n"
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            data = b"\n" + data
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            # The registry entry and the mark, which can find the run again, are removed next.
            durable.sync(fd)
        except OSError:
            os.ftruncate(fd, size)  # the record is tried again, and must be there once
            raise
    finally:
        os.close(fd)


def rows(state: str) -> Iterator[dict[str, Any]]:
    """All history records, oldest first; other lines are left out.

    Lazy. Raises HarnexError if the file can't be read.
    """
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
    """Whether the record has the fields that readers count on; anything else is garbage."""
    texts = all(isinstance(entry.get(key), str) for key in ("id", "run_id"))
    return texts and all(isinstance(entry.get(key), int | float | None) for key in ("duration_s", "tokens"))


def newest(state: str, session_id: str, repo: str | None = None) -> dict[str, Any] | None:
    """The newest finished run of an id (or of a run_id); None if there is none."""
    found = None
    for entry in rows(state):
        if is_named(entry, session_id) and (repo is None or entry.get("repo") == repo):
            found = entry
    return found

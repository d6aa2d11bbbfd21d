"""Live sessions whose registry entry can't be read: damaged by somebody, or too large.

The entry is not the session. The supervisor holds the run's mark (`runlock`), and the run's start
file says which session it is: enough to show the session and to reach it. The supervisor writes its
entry anew within some seconds. Until then, or if the supervisor hangs, commands find `stand_ins`.
This module is imported only when an entry is damaged.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from harnex import jsonl, paths, process
from harnex.errors import HarnexError
from harnex.store import runlock

START_MAX = 16 << 20
TAKEN = ("id", "run_id", "cli", "repo", "cwd", "started_at", "resumes")
OPTIONS = ("mode", "description", "permissions")


def stand_ins(state: str, entries: list[str]) -> list[dict[str, Any]]:
    """A record for each of these damaged entries that belongs to a live run.

    `entries` are paths; `damaged` in a record is the path of its entry.
    """
    directory = paths.sessions_dir(state)
    with contextlib.suppress(OSError):
        marks = [name for name in os.listdir(directory) if name.endswith(".lock") and name != ".lock"]
        return [r for name in sorted(marks) if (r := _stand_in(state, os.path.join(directory, name), entries))]
    return []


def _stand_in(state: str, mark: str, entries: list[str]) -> dict[str, Any] | None:
    run_id = os.path.basename(mark).removesuffix(".lock")
    if not runlock.is_held(mark):
        return None
    start = _read(os.path.join(paths.run_dir(state, run_id), "start.json"))
    if not all(isinstance(start.get(key), str) for key in ("id", "run_id", "cli", "repo", "cwd")):
        return None
    path = _entry_of(state, start, entries)
    pid = _supervisor(start["id"], mark) if path else None
    if path is None or pid is None:
        return None
    options = start.get("options")
    options = options if isinstance(options, dict) else {}
    record: dict[str, Any] = {
        **{key: start.get(key) for key in TAKEN},
        **{key: options.get(key) for key in OPTIONS},
        "cli_version": start.get("version_text"),
        "pid": None,
        "supervisor_pid": pid,
        "supervisor_start": process.start_time(pid),
        **dict.fromkeys(("dialog", "state_since", "source", "turn", "last_outcome", "calls", "tokens", "tmux")),
        "state": "unknown",
        "events_path": os.path.join(paths.run_dir(state, run_id), "events.jsonl"),
        "damaged": path,
        "path": path,
        "idle_mtime": os.lstat(path).st_mtime,
    }
    with contextlib.suppress(HarnexError):
        record["socket"] = paths.socket_path(state, run_id)
    return record


def _entry_of(state: str, start: dict[str, Any], entries: list[str]) -> str | None:
    """The damaged entry of this run, or None.

    A repository's path that held a secret is not known any more.
    """
    own = paths.session_file(state, start["repo"], start["id"])
    if own in entries:
        return own
    same = [path for path in entries if path.endswith(f"--{start['id']}.json")]
    return same[0] if len(same) == 1 and "[redacted]" in start["repo"] else None


def _supervisor(session_id: str, mark: str) -> int | None:
    """The pid of the supervisor that holds this mark."""
    import psutil

    for found in psutil.process_iter(["cmdline"]):
        words = found.info["cmdline"] or []
        if words[-2:] != ["harnex-supervisor", session_id]:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if any(file.path == os.path.realpath(mark) for file in found.open_files()):
                return int(found.pid)
    return None


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as f:
            return jsonl.loads_dict(f.read(START_MAX)) or {}
    except OSError:
        return {}

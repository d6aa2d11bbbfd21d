"""The live sessions: one small JSON file each, rewritten at each change, removed at the end.

`status` reads only these files and asks no process. Light: on the hot path.
"""

from __future__ import annotations

import os

from harnex import jsonl, paths, process
from harnex.errors import NotFound, UsageError
from harnex.store import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from harnex.redaction.redactor import Clean

    Record = dict[str, Any]

RECORD_KEYS = (
    "id", "run_id", "cli", "cli_version", "mode", "repo", "cwd", "pid", "supervisor_pid", "state", "dialog",
    "state_since", "source", "turn", "last_outcome", "started_at", "calls", "tokens", "tmux", "description",
)  # fmt: skip


ENTRY_MAX = 1 << 20  # bytes; no reader takes a larger entry
# Characters of a text, characters of an inner text; items of a list.
TEXT_MAX, INNER_MAX, ITEMS_MAX = 4096, 500, 50
CUT = "…"
WHOLE = ("meta",)  # never cut: its size was checked when the session was started
# What an entry can do without, in this order, if the entry has no room to grow.
SPARE = ("meta", "options", "spawner", "background", "last_outcome", "description")
READS = 3  # reads of one entry: an entry that is rewritten in place may be seen half-written


def write(path: str, record: Clean) -> None:
    """Replace a session file atomically (mode 0600). Texts that are too long are cut, with a mark.

    Where no file can be made (a full disk, no inodes), the old file is rewritten in place. Raises
    OSError if that fails, too.
    """
    small = {key: value if key in WHOLE else _cut(value, TEXT_MAX) for key, value in record.items()}
    if len(_line(small)) > ENTRY_MAX:
        small |= dict.fromkeys(WHOLE)
    try:
        durable.replace(path, _line(small), through=False)  # after a power cut no session lives
    except OSError as e:
        if not _rewrite(path, small):
            raise e from None


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= most else value[: most - 1] + CUT
    if isinstance(value, dict):
        return {_cut(key, INNER_MAX): _cut(inner, INNER_MAX) for key, inner in list(value.items())[:ITEMS_MAX]}
    if isinstance(value, (list, tuple)):
        return [_cut(inner, INNER_MAX) for inner in value[:ITEMS_MAX]]
    return value


def _line(record: Record) -> bytes:
    return jsonl.dumps(record).encode() + b"\n"


def _rewrite(path: str, record: Record) -> bool:
    """Write the record over the old one, in the room that the file has on the disk.

    Returns whether that worked.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        info = os.fstat(fd)
        room = max(info.st_size, min(info.st_blocks * 512, -(-info.st_size // 4096) * 4096))
        data, record = _line(record), dict(record)
        for key in SPARE:
            if len(data) > room:
                record[key] = None
                data = _line(record)
        if len(data) > room:
            return False
        # One write and no truncation: a reader never sees the end of the old record after the new
        # one.
        data = data[:-1].ljust(info.st_size - 1) + b"\n"
        return os.pwrite(fd, data, 0) == len(data)
    except OSError:
        return False
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove a session file, if it is there."""
    try:
        os.unlink(path)
    except OSError:
        pass


def read(path: str) -> Record | None:
    """One record; None if there is no file, or only garbage. Adds `idle_mtime` and `path`.

    `idle_mtime` (epoch seconds) is the time of the agent's last output.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    record = None
    try:
        info = os.fstat(fd)
        for _ in range(READS if info.st_size <= ENTRY_MAX else 0):
            record = record or jsonl.loads_dict(os.pread(fd, ENTRY_MAX, 0))
    except OSError:
        return None
    finally:
        os.close(fd)
    if record is None or not isinstance(record.get("supervisor_pid"), int):
        return None
    if not all(isinstance(record.get(key), str) for key in ("id", "run_id", "cli", "repo")):
        return None
    record.setdefault("cwd", record["repo"])
    record.setdefault("state", "unknown")
    if _is_ending(record):
        record |= {"state": "stopping", "dialog": None, "source": "process"}
    # The supervisor sets the file's mtime at each output of the agent: that is cheaper than a
    # rewrite.
    record["idle_mtime"] = info.st_mtime
    record["path"] = path
    return record


def _is_ending(record: Record) -> bool:
    """Whether the entry is about an agent whose process is gone.

    The entry can't be rewritten, or will be in a moment. A headless session may go on without its
    process: what the process left running is waited for.
    """
    pid, started = record.get("pid"), record.get("pid_start")
    if record["state"] not in ("prompt", "busy", "blocked") or record.get("mode") == "exec":
        return False
    return isinstance(pid, int) and isinstance(started, str) and not process.alive(pid, started)


def is_live(record: Record) -> bool:
    """Whether the record's supervisor is alive: the same process, not only the same pid."""
    return process.alive(record["supervisor_pid"], record.get("supervisor_start"))


def at(state: str, path: str, starting: str = "") -> Record | None:
    """The record of this file, or a stand-in while the file of a live session is damaged.

    `starting` is a run that is about to write this file: garbage in the file is not from that run.
    """
    record = read(path)
    if record is None and os.path.lexists(path):
        from harnex.store.damaged import stand_ins

        return next((r for r in stand_ins(state, [path]) if r["run_id"] != starting), None)
    return record


def all_records(state: str) -> tuple[list[Record], list[str]]:
    """Every record, oldest first, and the paths of files that are not records (garbage, torn).

    A live session whose file is damaged is among the records: `damaged` is then the path of the
    file.
    """
    directory = paths.sessions_dir(state)
    try:
        names = os.listdir(directory)
    except OSError:
        return [], []
    records, garbage = [], []
    for name in names:
        if not name.endswith(".json"):
            continue
        path = os.path.join(directory, name)
        record = read(path)
        if record is not None:
            records.append(record)
        elif os.path.lexists(path):
            garbage.append(path)
    if garbage:
        from harnex.store.damaged import stand_ins

        found = stand_ins(state, garbage)
        records += found
        garbage = [path for path in garbage if all(path != r["path"] for r in found)]
    records.sort(key=lambda r: str(r.get("run_id")))
    return records, garbage


def unaccounted(state: str, records: list[Record]) -> bool:
    """Whether a run was begun (runlock.py) that has no live session.

    Such a run is just starting, or it died.
    """
    live_runs = {r["run_id"] for r in records if is_live(r)}
    try:
        names = os.listdir(paths.sessions_dir(state))
    except OSError:
        return False
    return any(name.endswith(".lock") and name[:-5] and name[:-5] not in live_runs for name in names)


def live(state: str) -> list[Record]:
    """The records of live sessions, oldest first."""
    return [r for r in all_records(state)[0] if is_live(r)]


def is_named(record: Record, name: str) -> bool:
    """Whether a record (or history record) has this id or run id, in any letter case."""
    name = name.strip().lower()
    return name == record.get("id") or name == str(record.get("run_id")).lower()


def pick(records: list[Record], session_id: str | None, repo: str | None, cli: str | None, here: str) -> Record | None:
    """The session that the words mean: first in this repository, then anywhere if only one fits.

    `session_id` None means "the only one". Returns None if nothing fits; raises UsageError if
    several fit.
    """
    found = records
    if session_id is not None:
        found = [r for r in found if is_named(r, session_id)]
    if cli is not None:
        found = [r for r in found if r.get("cli") == cli]
    if repo is not None:
        found = [r for r in found if r.get("repo") == repo]
    local = [r for r in found if r.get("repo") == here]
    if len(local) == 1:
        return local[0]
    candidates = local or found
    if not candidates:
        return None
    if len(candidates) == 1:
        return candidates[0]
    places = ", ".join(f"{r['id']} ({r.get('cli')} in {r.get('repo')})" for r in candidates[:6])
    raise UsageError(
        f"{len(candidates)} sessions fit: {places}",
        "name one with --id" + (" and --repo PATH" if session_id is not None else ""),
    )


def find_live(state: str, session_id: str | None, repo: str | None = None, cli: str | None = None) -> Record:
    """The one live session meant. Raises NotFound, or UsageError if several fit."""
    here = paths.here()
    wanted = paths.repo_root(repo) if repo else None
    records = live(state)
    record = pick(records, session_id, wanted, cli, here)
    if record is None:
        ids = ", ".join(sorted(r["id"] for r in records)[:8])
        what = f"no live session '{session_id}'" if session_id else "no live session"
        if wanted:
            what += f" in {wanted}"
        raise NotFound(
            what,
            f"live now: {ids}" if ids else "start one with: harnex run CLI; finished ones: harnex history",
        )
    return record

"""Write the end of runs whose supervisor is gone (killed, machine rebooted), exactly once.

The next command that looks does so, or `harnex recover`, under the registry lock. Each step may be
the last one that succeeds (a crash in here, a full disk): the next recovery sees from what is
written how far this one came. The registry entry and the run's lock file are removed last, so that
until then there is something to find.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from typing import Any

from harnex import errors, paths, process, times
from harnex.errors import HarnexError
from harnex.launch import startfile
from harnex.recovery import fold, reread
from harnex.recovery.record import recorded
from harnex.recovery.write_end import MESSAGE, Late, last_sign
from harnex.redaction.files import withhold
from harnex.store import history, registry, runlock, undelivered
from harnex.store.lock import LOCK_PATIENCE_S, registry_lock
from harnex.supervisor.ending import EXIT_CODE_OF
from harnex.supervisor.sweep import end_first, sweep_now

NEVER_RAN = "it was killed while the session was being started"

Report = dict[str, Any]


def recover_dead(state: str, patience_s: float = LOCK_PATIENCE_S) -> list[Report]:
    """End every dead run: sweep its processes, write `exited` and the history record,
    remove the registry entry.

    Returns a report for each run. Raises OSError, and HarnexError if another process holds the lock
    for longer than `patience_s` seconds.
    """
    reports = []
    with registry_lock(state, patience_s):
        dead: dict[str, dict[str, Any] | None] = {}
        for record in registry.all_records(state)[0]:
            mark = runlock.path_of(state, record["run_id"])
            # After a reboot another process may have the same pid, but no process
            # holds the lock of a dead run.
            if not registry.is_live(record) or (os.path.exists(mark) and not runlock.is_held(mark)):
                dead[record["run_id"]] = record
        for run_id in runlock.dead_runs(state):
            dead.setdefault(run_id, None)
        for run_id in sorted(dead):
            report = _recover(state, run_id, dead[run_id])
            if report is not None:
                reports.append(report)
        _tidy(state)
    return reports


def _recover(state: str, run_id: str, record: dict[str, Any] | None) -> Report | None:
    """End one run. Returns None if the run was only begun, and nothing is left of it."""
    run_dir = paths.run_dir(state, run_id)
    start = startfile.read(run_dir)
    agent = (record or {}).get("pid"), (record or {}).get("pid_start")
    first = {agent[0]} if isinstance(agent[0], int) and agent[1] and end_first(agent[0], str(agent[1])) else set()
    swept = first | sweep_now(run_id, start.get("options", {}).get("keep") or ())
    if start.get("endpoint_pid") and start.get("endpoint_start"):
        process.send_signal(int(start["endpoint_pid"]), signal.SIGTERM, str(start["endpoint_start"]))
    log = fold.read(run_dir)
    about = _about(run_id, record, start, log)
    if about is None:
        _undo(state, run_id)
        return None
    try:
        socket = str(about.get("socket") or paths.socket_path(state, run_id))
    except HarnexError:
        socket = ""
    paths.remove_socket(socket)
    report: Report = {
        **{key: about.get(key) for key in ("id", "run_id", "cli", "repo", "cwd")},
        "reason": "",
        "ended_at": "",
        "swept": len(swept),
        "late_calls": 0,
        "late_accepted": 0,
        "undelivered": 0,
        "complete": False,
    }
    try:
        _write_end(state, run_dir, about, start, log, report)
    except OSError:
        return report  # a full disk: the entry stays, so that the next command tries again
    report["complete"] = True
    path = about.get("path") or paths.session_file(state, about["repo"], about["id"])
    now_there = registry.read(path)
    if now_there is None or now_there["run_id"] == run_id:
        registry.remove(path)
    runlock.remove(state, run_id)
    return report


def _about(
    run_id: str, record: dict[str, Any] | None, start: dict[str, Any], log: fold.Digest
) -> dict[str, Any] | None:
    """Return who the run was: from its registry entry, else from start.json,
    else from its first event."""
    if record is not None:
        return record
    if start:
        options = start["options"]
        return {
            **{key: start.get(key) for key in ("id", "run_id", "cli", "repo", "cwd", "started_at", "resumes")},
            **{key: options.get(key) for key in ("mode", "description", "meta", "permissions")},
            "cli_version": start.get("version_text"),
        }
    if log.started is not None and log.id:
        cwd = str(log.started.get("cwd") or "/")
        taken = {key: log.started.get(key) for key in ("cli", "cli_version", "mode", "permissions", "meta")}
        return {**taken, "id": log.id, "run_id": run_id, "cwd": cwd, "repo": paths.repo_root(cwd),
                "started_at": log.started.get("ts")}  # fmt: skip
    return None


def _write_end(
    state: str, run_dir: str, about: dict[str, Any], start: dict[str, Any], log: fold.Digest, report: Report
) -> None:
    """Write what is missing: events that the supervisor did not see, the history record, `exited`.

    Fills in `report`. Raises OSError.
    """
    run_id = about["run_id"]
    seen_at = last_sign(run_dir, about, log)
    row = next((r for r in history.rows(state) if r.get("run_id") == run_id), None)
    agent_session_id = about.get("agent_session_id") or log.agent_session_id or start.get("agent_session_id")
    late = Late(state, run_dir, about, start, log)
    killed = [{key: work.get(key) for key in ("kind", "command", "since", "by")} for work in log.background.values()]
    if log.exited is None and os.path.isdir(run_dir):
        seen = read_again(run_dir, start, log)
        agent_session_id = agent_session_id or seen.agent_session_id
        late.open()
        late.take(seen, agent_session_id, report)
    report["undelivered"] = sum(log.status.get(m["id"]) != "accepted" for m in undelivered.rows(state, run_id))
    if row is None:
        known = log.exited or {}
        reason = str(known.get("reason") or "supervisor_lost")
        row, told = recorded(
            run_dir,
            {**about, "agent_session_id": agent_session_id, "last_outcome": log.last_outcome,
             "calls": log.calls, "tokens": log.sums.used()["total_tokens"],
             "tokens_unknown": log.tokens_unknown},
            ended_at=times.iso(seen_at),
            duration_s=_duration(about, seen_at),
            exit=EXIT_CODE_OF.get(reason, errors.FAILED),
            code=known.get("code"),
            signal=known.get("signal"),
            reason=reason,
            message=str(known.get("message") or (MESSAGE if log.started else NEVER_RAN)),
            turns=log.turns,
            swept=report["swept"],
            killed=killed or list(known.get("killed") or ()),
        )  # fmt: skip
        late.add(told)
        history.append(state, row)
    report["reason"], report["ended_at"] = row.get("reason"), row.get("ended_at")
    late.close(row)
    if not late.may_quote:
        withhold(run_dir)  # last, because the texts were needed until here


def read_again(run_dir: str, start: dict[str, Any], log: fold.Digest) -> reread.Seen:
    """Read the agent's own files once more.

    Returns an empty result if they can't be read, whatever the reason: the end is still written.
    """
    if not start or log.started is None or start["options"].get("headless"):
        # Only the supervisor could read a headless run's stream, which ended with the supervisor.
        return reread.Seen()
    try:
        pid, began = log.started.get("pid"), times.parse_iso(str(log.started.get("ts")))
        return reread.read_again(run_dir, start, pid if isinstance(pid, int) else None, began)
    except Exception:  # files of another program, in any state that a crash left them in
        return reread.Seen()


def _duration(about: dict[str, Any], seen_at: float) -> float | None:
    try:
        return round(max(0.0, seen_at - times.parse_iso(str(about.get("started_at")))), 3)
    except ValueError:
        return None


def _undo(state: str, run_id: str) -> None:
    """Undo a run that had only been begun: give back what it took from the
    run that it was to resume."""
    run_dir = paths.run_dir(state, run_id)
    with contextlib.suppress(OSError), open(os.path.join(run_dir, paths.RESUMES), encoding="utf-8") as f:
        give_back(state, run_id, f.read().strip())
    shutil.rmtree(run_dir, ignore_errors=True)
    runlock.remove(state, run_id)


def give_back(state: str, run_id: str, old: str) -> None:
    """The run `run_id` does not resume `old` after all: give the messages back to `old`."""
    old_dir = paths.run_dir(state, old)
    with contextlib.suppress(OSError):
        os.rename(os.path.join(paths.run_dir(state, run_id), undelivered.NAME), os.path.join(old_dir, undelivered.NAME))
    mark = os.path.join(old_dir, paths.RESUMED)
    with contextlib.suppress(OSError):
        with open(mark, encoding="utf-8") as f:
            ours = f.read().strip() == run_id
        if ours:
            os.unlink(mark)


def _tidy(state: str) -> None:
    """Remove half-written entries, and git directories (git.py), of processes that are gone."""
    directory = paths.sessions_dir(state)
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            pid = name.removesuffix(".tmp").rpartition(".")[2]
            if name.endswith(".tmp") and pid.isdecimal() and process.start_time(int(pid)) is None:
                os.unlink(os.path.join(directory, name))
    directory = os.path.join(state, "tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            pid = name.partition("-")[2].partition("-")[0]
            if pid.isdecimal() and process.start_time(int(pid)) is None:
                shutil.rmtree(os.path.join(directory, name), ignore_errors=True)

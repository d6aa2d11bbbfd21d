"""Runs whose supervisor is gone (killed, machine rebooted): their end is written, exactly once.

Done by the next command that looks, or by `harnex recover`, under the registry lock. Each step may be the last one
that is done (a crash in here, a full disk): the next recovery finds by what is written how far this one came. The
registry entry and the run's lock file go last, so that until then there is something to find.
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
    """End every dead run: sweep what it left, `exited` event, history row, no registry entry. What was found.

    Raises HarnexError if another process is at it for longer than `patience_s`, and OSError.
    """
    reports = []
    with registry_lock(state, patience_s):
        dead: dict[str, dict[str, Any] | None] = {}
        for record in registry.all_records(state)[0]:
            mark = runlock.path_of(state, record["run_id"])
            # A pid can be the same one again after a reboot; a lock can't be held by nobody.
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
    """End one run. None: it was only begun, and nothing is left of it."""
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
    """Who the run was: from its registry entry, else from what it was started from, else from its first event."""
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
    """What was not seen any more, the history row and `exited`, as far as they are missing. Raises OSError."""
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
        withhold(run_dir)  # last: it was read


def read_again(run_dir: str, start: dict[str, Any], log: fold.Digest) -> reread.Seen:
    """The agent's records; nothing if they can't be read, whatever the reason: the end is written all the same."""
    if not start or log.started is None or start["options"].get("headless"):
        return reread.Seen()  # (the stream of a headless run ended with its supervisor, who read it)
    try:
        pid, began = log.started.get("pid"), times.parse_iso(str(log.started.get("ts")))
        return reread.read_again(run_dir, start, pid if isinstance(pid, int) else None, began)
    except Exception:  # files of another program, in whatever state a crash left them
        return reread.Seen()


def _duration(about: dict[str, Any], seen_at: float) -> float | None:
    try:
        return round(max(0.0, seen_at - times.parse_iso(str(about.get("started_at")))), 3)
    except ValueError:
        return None


def _undo(state: str, run_id: str) -> None:
    """A run of which nothing is known had only been begun: what it took from the one it was to go on with goes back."""
    run_dir = paths.run_dir(state, run_id)
    with contextlib.suppress(OSError), open(os.path.join(run_dir, paths.RESUMES), encoding="utf-8") as f:
        give_back(state, run_id, f.read().strip())
    shutil.rmtree(run_dir, ignore_errors=True)
    runlock.remove(state, run_id)


def give_back(state: str, run_id: str, old: str) -> None:
    """The run `run_id` does not go on with `old` after all: its messages are the old one's again."""
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
    """Half-written entries, and git directories (git.py), of processes that are gone."""
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

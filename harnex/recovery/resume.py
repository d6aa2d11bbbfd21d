"""Start an ended run again where it was: with the agent's own resume, the same id,
and the untaken messages.

A run is resumed once: the file `resumed` in its directory names the new run. Under the registry
lock the old run is marked, the new run's directory is made, and the messages are moved there. A
crash at any point leaves either the old run as it was, or a new run that is dead, gets recovered,
and can be resumed itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from typing import Any

from harnex import paths, process, times
from harnex.agents.catalogue import adapter_for
from harnex.errors import HarnexError
from harnex.launch import launch, startfile
from harnex.launch.options import Resume, RunOptions
from harnex.launch.prepared import new_run_id
from harnex.model.events import MSG_LIMIT
from harnex.recovery import fold, reread
from harnex.recovery.go_on import before as last_turn
from harnex.recovery.go_on import words as words_for
from harnex.recovery.recover import give_back, read_again
from harnex.redaction.redactor import MARK
from harnex.store import durable, history, registry, runlock, undelivered
from harnex.store.lock import registry_lock
from harnex.supervisor.ending import SIGNALLED

LOST = ("supervisor_lost", "killed")


def lost_runs(state: str, since: float) -> list[dict[str, Any]]:
    """Return the history records, oldest first, of runs that ended by accident
    since then and may be resumed.

    By accident means: their supervisor or agent was killed, or the machine's shutdown ended them.
    Left out are runs that were resumed already and runs whose id was used again in that repository.
    """
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    live = {(r["repo"], r["id"]) for r in registry.live(state)}
    for row in history.rows(state):
        # A later run of the same id replaces an earlier one.
        found[row.get("repo"), row["id"]] = row
    return [
        row
        for key, row in found.items()
        if key not in live
        and row.get("mode") != "exec"
        and _by_accident(state, row)
        and _ended(row) >= since
        and not resumed_by(state, row["run_id"])
    ]


def _by_accident(state: str, row: dict[str, Any]) -> bool:
    if row.get("reason") in LOST:
        return True
    if row.get("reason") != "stopped" or row.get("message") != SIGNALLED:
        return False
    boot = startfile.read(paths.run_dir(state, row["run_id"])).get("boot")
    # The signal came from the machine, as it went down.
    return bool(boot) and boot != process.boot_id()


def resumed_by(state: str, run_id: str) -> str | None:
    """Return the id of the run that resumed this one, or None."""
    try:
        with open(os.path.join(paths.run_dir(state, run_id), paths.RESUMED), encoding="utf-8") as f:
            return f.read().strip() or None
    except OSError:
        return None


def resume(state: str, row: dict[str, Any], message: str | None, most: int, go_on: bool = True) -> dict[str, Any]:
    """Start the run of a history record again.

    If its last turn was cut off, `message` is sent first. Without a `message` the agent is told to
    go on with what was cut off, unless `go_on` is false.

    Returns the reply of `run --detach`, with `resumes`, `messages`, `how` and `said` (what the
    agent is told). Raises HarnexError, which says why the run can't be resumed.
    """
    run_id, name = str(row["run_id"]), row["id"]
    run_dir = paths.run_dir(state, run_id)
    start = startfile.read(run_dir)
    if not start:
        raise HarnexError(
            f"run {run_id} of session '{name}' can't be started again: what it was started from is not there",
            f"start it yourself: harnex run {row.get('cli')} --id {name}",
        )
    if start["options"].get("headless"):
        raise HarnexError(
            f"run {run_id} was one task of `harnex exec`, which is not started again",
            "give the task again: harnex exec",
        )
    if start["options"].get("leased"):
        raise HarnexError(
            f"session '{name}' had a credential of its own, which was removed with its configuration home",
            f"start it yourself: harnex run {row.get('cli')} --id {name} --credential-env NAME",
        )
    count = int(start.get("resumed") or 0) + 1
    if count > most:
        raise HarnexError(
            f"session '{name}' was started again {count - 1} times already", "more: --max-resumes; or start it anew"
        )
    options, notes = _options(start, row)
    log = fold.read(run_dir)
    args, how = _native(state, start, row, log)
    taken = [m for m in undelivered.rows(state, run_id) if log.status.get(m["id"]) == "accepted"]
    lost_again = _settle(state, run_dir, start, log, bool(args))
    cut_off = (log.last_outcome or {}).get("outcome") not in (None, "completed") or log.turn is not None
    before = None
    if message is not None and cut_off and args and not lost_again:
        options.context = message
    elif message is None and go_on and args and not lost_again:
        options.context = words_for(log, taken, row.get("killed") or ())
        before = last_turn(log, start) if options.context is None else None
        if any(m.get("text") == options.context for m in undelivered.rows(state, run_id)):
            options.context = None  # an earlier start that failed left the message in the inbox
    if not args:
        notes.append(how)
    new_run_id, lock = _take_over(state, row)
    options.resume = Resume(
        run_id=run_id,
        new_run_id=new_run_id,
        lock=lock,
        args=args,
        home=start.get("home"),
        count=count,
        rehearsed=_rehearsed(state, start),
        before=before,
    )
    kept = undelivered.rows(state, new_run_id)
    if secret := sum(bool(m.get("redacted")) for m in kept):
        notes.append(f"{secret} of its messages held a secret, which was not kept: send them again")
    try:
        reply = launch.start(options)
    except BaseException:
        if not runlock.is_held(runlock.path_of(state, new_run_id)):
            _undo(state, new_run_id, run_id)
        raise
    reply["notes"] = [*reply.get("notes", ()), *notes]
    said = options.context
    return {**reply, "resumes": run_id, "messages": len(kept) - secret, "how": how, "said": said and said[:MSG_LIMIT]}


def _settle(state: str, run_dir: str, start: dict[str, Any], log: fold.Digest, goes_on: bool) -> int:
    """Drop the accepted messages that the resumed conversation holds.

    Returns how many it does not hold.
    """
    taken = [m for m in undelivered.rows(state, start["run_id"]) if log.status.get(m["id"]) == "accepted"]
    if not taken or not goes_on:
        return len(taken)
    seen = read_again(run_dir, start, log)
    lost = 0
    for message in taken:
        text = str(message.get("text") or "")
        kept = seen.kept(text)
        told = sum(reread.normal(log.said.get(m["id"], "")) == reread.normal(text[:MSG_LIMIT]) for m in taken)
        if kept is None or message.get("redacted") or kept >= max(1, told):
            undelivered.drop(state, start["run_id"], message["id"])
        else:
            lost += 1
    return lost


def _rehearsed(state: str, start: dict[str, Any]) -> tuple[str, ...]:
    """Return the endpoint logs of this run and of the runs that it continues."""
    runs = (start, *_earlier(state, start))
    return tuple(os.path.join(paths.run_dir(state, run["run_id"]), "rehearsal.jsonl") for run in runs)


def _earlier(state: str, start: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the start.json of each run that this one continues, newest first. Lazy."""
    known = {start["run_id"]}
    while start.get("resumes"):
        start = startfile.read(paths.run_dir(state, str(start["resumes"])))
        if not start or start["run_id"] in known:
            return
        known.add(start["run_id"])
        yield start


def _options(start: dict[str, Any], row: dict[str, Any]) -> tuple[RunOptions, list[str]]:
    """Return the run's options, and notes on what is different now.

    Raises HarnexError for an option that was not kept.
    """
    given, notes = dict(start["options"]), []
    if any(MARK in str(word) for word in given.get("args") or ()):
        raise HarnexError(
            f"the arguments of session '{start['id']}' held a secret, which was not kept",
            f"start it yourself: harnex run {start['cli']} --id {start['id']} -- ...",
        )
    env = {str(k): v for k, v in (given.get("env") or {}).items()}
    for name in [name for name, value in env.items() if value is None]:
        if name not in os.environ:
            raise HarnexError(
                f"session '{start['id']}' was started with --env {name}=…, a secret that was not kept",
                f"set {name} in the environment and try again",
            )
        env[name] = os.environ[name]
    kept = startfile.kept_names(start["adapter"])
    for name, value in (start.get("env") or {}).items():
        if name in kept and os.environ.get(name) != value:
            env.setdefault(name, value)
    missing = [name for name in start.get("secrets") or () if name not in os.environ and name not in env]
    if missing and not given.get("rehearse"):
        notes.append(f"it had {', '.join(missing)} in its environment, which is not set here")
    known = {f.name for f in dataclasses.fields(RunOptions)} - {"resume", "context"}
    words = {key: value for key, value in given.items() if key in known}
    program = start.get("program")
    if start["adapter"] != "demo" and isinstance(program, str) and os.access(program, os.X_OK):
        words["cli"] = program
    words |= {
        "env": env,
        "id": start["id"],
        "cwd": start["cwd"],
        "mode": "detach",
        "args": tuple(given.get("args") or ()),
        "keep": tuple(given.get("keep") or ()),
    }
    if given.get("timeout") and row.get("duration_s"):
        words["timeout"] = max(60.0, float(given["timeout"]) - float(row["duration_s"]))
    return RunOptions(**words), notes


def _native(state: str, start: dict[str, Any], row: dict[str, Any], log: fold.Digest) -> tuple[tuple[str, ...], str]:
    """Return the arguments that make the CLI resume its conversation, and what happens in words."""
    session = row.get("agent_session_id") or log.agent_session_id or start.get("agent_session_id")
    turns, run_id = log.turns, start["run_id"]
    # A run that was killed before it went on has no turns: an earlier run has the conversation.
    for earlier in () if turns else _earlier(state, start):
        log = fold.read(paths.run_dir(state, earlier["run_id"]))
        if log.turns:
            turns, run_id = log.turns, earlier["run_id"]
            session = log.agent_session_id or earlier.get("agent_session_id")
            break
    if not turns:
        return (), "started anew: no turn had begun"
    if not reread.was_kept(paths.run_dir(state, run_id), start["adapter"]):
        return (), f"started anew: {start['cli']} was killed before it wrote its conversation down"
    own = tuple(str(word) for word in start["options"].get("args") or ())
    args = adapter_for(start["adapter"]).resume_args(str(session), own) if session else ()
    if args:
        return args, f"resumed: {' '.join(args[:2])}"
    what = "its agent session is not known" if not session else f"{start['cli']} can't go on with a conversation"
    return (), f"started anew: {what}"


def _take_over(state: str, row: dict[str, Any]) -> tuple[str, int]:
    """Make the new run and move the messages to it. Returns its id and its lock's descriptor.

    Raises HarnexError if another run resumed the old one first.
    """
    old = str(row["run_id"])
    with registry_lock(state):
        other = resumed_by(state, old)
        if other is not None:
            raise HarnexError(f"run {other} goes on with it already", f"look: harnex events --id {other}")
        live = registry.at(state, paths.session_file(state, str(row["repo"]), row["id"]))
        if live is not None and registry.is_live(live):
            raise HarnexError(
                f"session '{row['id']}' is running already ({live.get('cli')}, {live.get('state')})",
                f"use it: harnex send --id {row['id']}",
            )
        new = new_run_id()
        try:
            lock = runlock.take(state, new)
        except OSError as e:
            raise HarnexError(f"can't write in {state}: {e.strerror}", "make room, or see: harnex doctor") from None
        try:
            run_dir = paths.subdir(state, "runs", new)
            durable.replace(os.path.join(run_dir, paths.RESUMES), old.encode() + b"\n")
            durable.replace(os.path.join(paths.run_dir(state, old), paths.RESUMED), new.encode() + b"\n")
            inbox = os.path.join(paths.run_dir(state, old), undelivered.NAME)
            with contextlib.suppress(FileNotFoundError):
                os.rename(inbox, os.path.join(run_dir, undelivered.NAME))
            durable.sync_names(run_dir)
        except OSError as e:
            os.close(lock)
            _give_back(state, new, old)
            raise HarnexError(f"can't write in {state}: {e.strerror}", "make room, or see: harnex doctor") from None
    return new, lock


def _undo(state: str, new: str, old: str) -> None:
    """The new run could not be started: restore the old one, unless the new
    one ran and left records."""
    if os.path.exists(os.path.join(paths.run_dir(state, new), "events.jsonl")):
        return
    with registry_lock(state):
        _give_back(state, new, old)


def _give_back(state: str, new: str, old: str) -> None:
    give_back(state, new, old)
    shutil.rmtree(paths.run_dir(state, new), ignore_errors=True)
    runlock.remove(state, new)


def _ended(row: dict[str, Any]) -> float:
    try:
        return times.parse_iso(str(row.get("ended_at")))
    except ValueError:
        return 0.0

"""How a session enters the registry, and what is written about a session that could not start."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from harnex import clock, errors, paths, process
from harnex.errors import HarnexError
from harnex.launch import lease
from harnex.launch.spec import Spec
from harnex.model import events
from harnex.redaction import rules
from harnex.redaction.files import Scrub
from harnex.redaction.redactor import Redactor
from harnex.store import history, registry, runlock
from harnex.store.eventlog import FULL, EventLog
from harnex.store.lock import registry_lock
from harnex.supervisor import dispatch
from harnex.supervisor.boot import child_env
from harnex.supervisor.sweep import sweep_now

# Less than the launching command waits (launch.START_PATIENCE_S).
START_LOCK_PATIENCE_S = 15.0


def redactor_of(spec: Spec) -> Redactor:
    """Return the redactor for everything that a session of this spec writes."""
    return rules.redactor(spec.redact, child_env(spec), spec.lease["secrets"] if spec.lease else ())


def claim_id(spec: Spec) -> None:
    """Enter the session into the registry.

    Raises HarnexError if a live session has that id here.
    """
    path = paths.session_file(spec.state, spec.repo, spec.id)
    with registry_lock(spec.state, START_LOCK_PATIENCE_S):
        old = registry.at(spec.state, path, spec.run_id)
        if old is not None and registry.is_live(old):
            raise HarnexError(
                f"session '{spec.id}' is already running here ({old.get('cli')}, {old.get('state')}, "
                f"supervisor {old['supervisor_pid']})",
                f"use it: harnex send --id {spec.id}; end it: harnex stop --id {spec.id}; or start with another --id",
                id=spec.id,
            )
        me = os.getpid()
        record: dict[str, Any] = dict.fromkeys(registry.RECORD_KEYS)
        record |= {
            **spec.identity(),
            "supervisor_pid": me,
            "state": "starting",
            "started_at": clock.stamp(),
            "supervisor_start": process.start_time(me),
        }
        try:
            registry.write(path, redactor_of(spec).record(record))
        except OSError as e:
            raise HarnexError(
                f"can't write {path}: {e.strerror}", "make room, or set HARNEX_STATE_DIR to another place"
            ) from None


def release_id(spec: Spec) -> None:
    registry.remove(paths.session_file(spec.state, spec.repo, spec.id))
    runlock.remove(spec.state, spec.run_id)


def end_at_boot(spec: Spec, error: HarnexError) -> None:
    """Record a start that failed, and leave the registry.

    If the disk has no room for the record, the next command that looks does so.
    """
    log = os.path.join(paths.run_dir(spec.state, spec.run_id), "events.jsonl")
    # The start may have come as far as the socket, or failed because no socket can be made.
    with contextlib.suppress(HarnexError, OSError):
        paths.remove_socket(paths.socket_path(spec.state, spec.run_id))
    # Without a log this never was a run.
    if record_boot_failure(spec, error) or not os.path.exists(log):
        release_id(spec)


def record_boot_failure(spec: Spec, error: HarnexError) -> bool:
    """Write the `exited` event and the history record of a run that never had a process.

    Returns False if the disk has no room.
    """
    now = clock.stamp()
    # The agent may run already: perhaps only the socket could not be made.
    sweep_now(spec.run_id, spec.keep)
    run_dir, redactor = paths.run_dir(spec.state, spec.run_id), redactor_of(spec)
    lease.remove(run_dir, ())
    about = {**spec.identity(), "description": spec.description or None, "started_at": now, "meta": spec.meta}
    about |= {"permissions": spec.permissions, "spawner": spec.spawner}
    message = redactor.text(error.message)
    Scrub(run_dir, redactor).finish(dispatch.LAST_S)
    row = redactor.record(
        dispatch.dispatch(
            about,
            ended_at=now,
            duration_s=0.0,
            exit=errors.FAILED,
            reason="boot_failure",
            message=message,
            redacted=redactor.count,
        )
    )
    problem = dispatch.write_summary(spec.summary_out, row) if spec.summary_out else ""
    dispatch.count_in_manifest(run_dir, redactor.count)
    try:
        log = EventLog(os.path.join(run_dir, "events.jsonl"), spec.id, spec.run_id, redactor.fields)
        if spec.summary_out:
            if problem:
                log.append(events.Diagnostic(what=problem))
            log.append(events.Summary(exit=errors.FAILED, path=None if problem else spec.summary_out))
        log.append(events.Exited(code=None, signal=None, reason="boot_failure", message=error.message))
        whole = log.flush()
        log.close()
        if whole:
            history.append(spec.state, row)
    except OSError as e:
        return e.errno not in FULL
    return whole

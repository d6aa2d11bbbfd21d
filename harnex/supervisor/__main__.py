"""The supervisor process: reads its spec, takes the id, starts the agent, says how that went, and runs.

Its parent has already put it into a session of its own. Standard input brings the spec, standard
output takes one JSON line about the start; both are let go then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from harnex import clock, errors, jsonl, paths, process
from harnex.errors import HarnexError
from harnex.launch import lease
from harnex.launch.environment import APART
from harnex.launch.spec import Spec
from harnex.model import events
from harnex.redaction import rules
from harnex.redaction.files import Scrub
from harnex.redaction.redactor import Redactor
from harnex.store import history, registry, runlock
from harnex.store.eventlog import FULL, EventLog
from harnex.supervisor import dispatch, offspring, reserve
from harnex.supervisor.boot import child_env
from harnex.supervisor.session import Session
from harnex.supervisor.sweep import sweep_now

LOCK_PATIENCE_S = 60.0  # a recovery of many runs takes this long, if their agents do not want to go
START_LOCK_PATIENCE_S = 15.0  # less than the launching command waits (launch.START_PATIENCE_S)


@contextlib.contextmanager
def registry_lock(state: str, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """One at a time takes an id or ends a dead run. Raises HarnexError if another process does not let go of it."""
    path = os.path.join(paths.subdir(state, "sessions"), ".lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = clock.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock.monotonic() >= until:
                    raise HarnexError(
                        f"another harnex command has been at work on the registry for {patience_s:.0f} s",
                        f"it may be stopped (Ctrl-Z, SIGSTOP): look with fuser -v '{path}', and end it",
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def redactor_of(spec: Spec) -> Redactor:
    """What a session of this spec may write goes through it."""
    return rules.redactor(spec.redact, child_env(spec), spec.lease["secrets"] if spec.lease else ())


def claim_id(spec: Spec) -> None:
    """Enter the session into the registry. Raises HarnexError if a live one has that id here."""
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
    """Record a start that failed, and leave the registry; with no room for that, the next command that looks does it."""
    log = os.path.join(paths.run_dir(spec.state, spec.run_id), "events.jsonl")
    if record_boot_failure(spec, error) or not os.path.exists(log):  # without a log it never was a run
        release_id(spec)


def record_boot_failure(spec: Spec, error: HarnexError) -> bool:
    """A run that never had a process has its `exited` event and its history row all the same. False: no room."""
    now = clock.stamp()
    sweep_now(spec.run_id, spec.keep)  # the agent may run already, and it is the socket that can't be made
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


def tell(fd: int, reply: dict[str, Any]) -> None:
    """The one line to the launching command, which may be gone by now."""
    with contextlib.suppress(OSError):
        os.write(fd, jsonl.dumps(reply).encode() + b"\n")
    os.close(fd)


def main() -> int:
    row = jsonl.loads_dict(sys.stdin.buffer.read())
    if row is None:
        print("harnex supervisor: started by `harnex run`, not by hand", file=sys.stderr)
        return errors.USAGE
    spec = Spec.load(row)
    reply_fd = os.dup(1)
    os.set_inheritable(reply_fd, False)
    run_dir = paths.run_dir(spec.state, spec.run_id)
    log_fd = os.open(os.path.join(run_dir, "supervisor.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDWR)
    for fd, target in ((null, 0), (log_fd, 1), (log_fd, 2)):
        os.dup2(fd, target)
    os.close(null)
    os.close(log_fd)
    os.umask(0o077)
    try:
        claim_id(spec)
    except HarnexError as e:
        runlock.remove(spec.state, spec.run_id)  # refused: it never was a run
        tell(reply_fd, {**e.reply(), "exit_code": e.exit_code})
        return e.exit_code
    os.environ.pop(APART, None)  # it is about us, not about the agent
    offspring.adopt()
    session = Session(spec)
    try:
        lease.write(spec.lease)
        session.start()
    except HarnexError as e:
        end_at_boot(spec, e)
        tell(reply_fd, {**e.reply(), "id": spec.id, "run_id": spec.run_id, "exit_code": e.exit_code})
        return e.exit_code
    except OSError as e:
        error = HarnexError(f"can't start session {spec.id}: {e.strerror}: {e.filename or ''}", "see: harnex doctor")
        end_at_boot(spec, error)
        tell(reply_fd, {**error.reply(), "id": spec.id, "run_id": spec.run_id, "exit_code": error.exit_code})
        return error.exit_code
    session.boot.tell = lambda reply: tell(reply_fd, reply)
    try:
        session.run()
    except BaseException as e:
        # A bug in harnex must not leave an agent behind that nobody sees: end it, and leave a trace.
        import traceback  # only here: it costs half a megabyte

        session.reserve.release()
        report = session.redactor.text(traceback.format_exc())
        print(report, file=sys.stderr, flush=True)
        if reserve.is_lack(e):
            session.crash(report, "failure", reserve.words(e))
            return errors.FAILED
        session.crash(report)
        return errors.BUG
    return errors.DONE


if __name__ == "__main__":
    sys.exit(main())

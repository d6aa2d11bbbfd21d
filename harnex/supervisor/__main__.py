"""The supervisor process: reads its spec, claims the id, starts the agent,
reports the start, and runs.

The parent has already put the process into a session of its own. Standard input brings the spec;
standard output takes one JSON line about the start. Both are closed then.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping

from harnex import errors, jsonl, paths
from harnex.errors import HarnexError
from harnex.launch import lease
from harnex.launch.environment import APART
from harnex.launch.spec import Spec
from harnex.store import runlock
from harnex.supervisor import offspring, reserve
from harnex.supervisor.entry import claim_id, end_at_boot, redactor_of
from harnex.supervisor.session import Session


def tell(fd: int, reply: Mapping[str, object]) -> None:
    """Write the one line to the launching command, which may be gone by now."""
    with contextlib.suppress(OSError):
        os.write(fd, jsonl.dumps(reply).encode() + b"\n")
    os.close(fd)


def refuse(spec: Spec, error: HarnexError, reply_fd: int) -> int:
    """End what runs of a session that did not start, record the failure, and report it.

    Returns the exit code.
    """
    end_at_boot(spec, error)
    tell(reply_fd, {**error.reply(), "id": spec.id, "run_id": spec.run_id, "exit_code": error.exit_code})
    return error.exit_code


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
        runlock.remove(spec.state, spec.run_id)  # the start was refused: this never was a run
        tell(reply_fd, {**e.reply(), "exit_code": e.exit_code})
        return e.exit_code
    os.environ.pop(APART, None)  # the variable is about us, not about the agent
    offspring.adopt()
    session = Session(spec)
    try:
        lease.write(spec.lease)
        session.start()
    except HarnexError as e:
        return refuse(spec, e, reply_fd)
    except OSError as e:
        words = f"can't start session {spec.id}: {e.strerror}: {e.filename or ''}"
        return refuse(spec, HarnexError(words, "see: harnex doctor"), reply_fd)
    except Exception as e:  # a bug; the agent may run already
        import traceback

        print(redactor_of(spec).text(traceback.format_exc()), file=sys.stderr, flush=True)
        error = HarnexError(f"a bug in harnex: {type(e).__name__}: {e}", "please report it", errors.BUG)
        return refuse(spec, error, reply_fd)
    session.tell_start(lambda reply: tell(reply_fd, reply))
    try:
        session.run()
    except BaseException as e:
        # A bug in harnex must not leave an unseen agent behind: end the agent, and leave a trace.
        import traceback  # imported only here: it costs half a megabyte

        report = session.last_words(traceback.format_exc())
        print(report, file=sys.stderr, flush=True)
        if reserve.is_lack(e):
            session.crash(report, "failure", reserve.words(e))
            return errors.FAILED
        session.crash(report)
        return errors.BUG
    return errors.DONE


if __name__ == "__main__":
    sys.exit(main())

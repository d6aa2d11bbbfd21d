"""Starts the supervisor, and reads its report of the start."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess

from harnex import errors, interpreter, jsonl, paths
from harnex.errors import HarnexError
from harnex.launch.environment import apart_env
from harnex.launch.rehearse import Endpoint
from harnex.launch.spec import Spec
from harnex.model.records import Json


def spawn(spec: Spec, endpoint: Endpoint | None, lock: int, patience_s: float) -> Json:
    """Start the supervisor, and hand it the run's `lock` and the endpoint.

    Returns its reply, which must come within `patience_s`. Raises HarnexError.
    """
    log = os.path.join(paths.run_dir(spec.state, spec.run_id), "supervisor.log")
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as words:
        process = subprocess.Popen(
            interpreter.command("harnex.supervisor.__main__", "harnex-supervisor", spec.id),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,
            cwd="/",
            env=apart_env("supervisor"),
            pass_fds=(lock, endpoint.keeper) if endpoint else (lock,),
        )
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(jsonl.dumps(spec.dump()).encode())
        process.stdin.close()
    readable, _, _ = select.select([process.stdout], [], [], patience_s)
    line = process.stdout.readline() if readable else b""
    process.stdout.close()
    # The supervisor is not ours to wait for: it outlives us.
    process.returncode = 0
    reply = jsonl.loads_dict(line)
    if reply is None:
        what, why = f"the supervisor of session '{spec.id}' did not start", _last_words(log)
        if why.startswith("ModuleNotFoundError"):
            raise HarnexError(f"{what}: {why}", interpreter.MISSING)
        raise HarnexError(f"{what}{': ' if why else ''}{why}", f"its log: {log}", errors.BUG)
    if not reply.get("ok"):
        known = ("ok", "error", "hint", "exit_code")
        raise HarnexError(
            str(reply.get("error")),
            str(reply.get("hint", "")),
            int(reply.get("exit_code") or errors.FAILED),
            **{k: v for k, v in reply.items() if k not in known},
        )
    return reply


def _last_words(log: str) -> str:
    """Return the last line of a log, or "". The last line of a traceback is the error itself."""
    try:
        with open(log, encoding="utf-8", errors="replace") as f:
            lines = f.read().strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""

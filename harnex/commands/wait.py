"""`harnex wait`: wait until a session is in a state.

A hot command: it imports neither click nor json.
"""

from __future__ import annotations

import sys

from harnex import errors, jsonl
from harnex.client import connect
from harnex.commands._find import live_session, run_of
from harnex.commands._hot import CLI, ID, REPO, Option
from harnex.errors import HarnexError, NotFound

NAME = "wait"
HELP = """Wait until a session is at its prompt, busy, blocked, done with its task, or has exited.

`task_complete` (the default): every message so far was answered. A turn that failed or was interrupted
gives exit code 1. While a message is queued or being answered, neither `prompt` nor `task_complete` holds,
so the end of the turn before is never taken for the end of this one.

Exit code 4 when a dialog wants a person, 124 on --timeout."""
OPTIONS = (
    ID,
    REPO,
    CLI,
    Option(
        "--until",
        "choice",
        "What to wait for (default: task_complete).",
        ("prompt", "busy", "blocked", "task_complete", "exited"),
    ),
    Option("--timeout", "seconds", "Give up after this long (90, 5m).", metavar="DURATION"),
)


def run(id: str | None, repo: str | None, cli: str | None, until: str | None, timeout: float | None) -> int:
    """Wait for the state. Returns the exit code."""
    until = until or "task_complete"
    try:
        record = live_session(id, repo, cli)
    except NotFound as e:
        if id is None:
            raise
        return after_the_end(e, until, id, repo, cli)
    try:
        reply = connect.request(
            record,
            {"op": "wait", "until": until, "timeout": timeout},
            None if timeout is None else timeout + connect.PATIENCE_S,
        )
    except HarnexError as e:
        if e.exit_code == errors.TIMEOUT:
            raise
        # The session ended between live_session() and the request, or its supervisor
        # was killed: read its files.
        return after_the_end(e, until, record["run_id"], repo, cli)
    code = int(reply.pop("exit_code", errors.DONE))
    sys.stdout.write(jsonl.dumps(reply) + "\n")
    if not reply.get("ok"):
        print(f"harnex: session '{record['id']}': {reply.get('error')}", file=sys.stderr)
        if reply.get("hint"):
            print(f"  {reply['hint']}", file=sys.stderr)
    return code


def after_the_end(error: HarnexError, until: str, id: str, repo: str | None, cli: str | None) -> int:
    """The wait found the run finished, or about to finish: `--auto-stop` may
    be faster than the waiter.

    Prints the reply and returns the exit code, or raises `error` if the run did not end as wanted.
    """
    import time

    for _ in range(30):
        _, row, lives = run_of(id, repo, cli)
        if not lives:
            break
        time.sleep(0.1)
    else:
        raise error
    if is_told(until, row):
        return answer_ended(row, until)
    last = row.get("last_outcome")
    if until == "task_complete":
        if row.get("exit") == errors.DONE and isinstance(last, dict) and last.get("outcome") == "completed":
            return answer_ended(row, until)
        error.exit_code = int(row.get("exit") or error.exit_code)
    raise error


def is_told(until: str, row: dict[str, object]) -> bool:
    """Whether the record of a finished run answers the question. A headless run is one task."""
    return until == "exited" or (until == "task_complete" and row.get("mode") == "exec")


def answer_ended(row: dict[str, object], until: str) -> int:
    """Print the reply for a finished run. Returns the exit code."""
    ok = until == "exited" or row.get("reason") == "success"
    reply = {
        "ok": ok,
        "id": row.get("id"),
        "run_id": row.get("run_id"),
        "state": "exited",
        "turn": row.get("turns"),
        "waited_s": 0.0,
        "last_outcome": row.get("last_outcome"),
        "exit": {key: row.get(key) for key in ("reason", "code", "signal", "message")},
    }
    if not ok:
        reply["error"] = f"the run ended: {row.get('reason')}"
        reply["hint"] = "see: harnex history"
    sys.stdout.write(jsonl.dumps(reply) + "\n")
    return errors.DONE if ok else errors.FAILED

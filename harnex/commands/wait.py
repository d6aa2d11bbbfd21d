"""`harnex wait`: until a session is in a state. Hot: no click, no json."""

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
    """Wait. Returns the exit code."""
    until = until or "task_complete"
    try:
        record = live_session(id, repo, cli)
    except NotFound:
        if until not in ("exited", "task_complete") or id is None:
            raise
        _, row, _ = run_of(id, repo, cli)
        if not is_told(until, row):
            raise
        return answer_ended(row, until)
    try:
        reply = connect.request(
            record,
            {"op": "wait", "until": until, "timeout": timeout},
            None if timeout is None else timeout + connect.PATIENCE_S,
        )
    except HarnexError:
        # It ended between the look and the request, or its supervisor was killed: the files know.
        _, row, lives = run_of(record["run_id"], repo, cli)
        if lives or not is_told(until, row):
            raise
        return answer_ended(row, until)
    code = int(reply.pop("exit_code", errors.DONE))
    sys.stdout.write(jsonl.dumps(reply) + "\n")
    if not reply.get("ok"):
        print(f"harnex: session '{record['id']}': {reply.get('error')}", file=sys.stderr)
        if reply.get("hint"):
            print(f"  {reply['hint']}", file=sys.stderr)
    return code


def is_told(until: str, row: dict[str, object]) -> bool:
    """Whether the record of a run that is over answers the question: a headless run was one task."""
    return until == "exited" or (until == "task_complete" and row.get("mode") == "exec")


def answer_ended(row: dict[str, object], until: str) -> int:
    """The reply for a run that is over already."""
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

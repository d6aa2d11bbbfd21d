"""`harnex stop`."""

from __future__ import annotations

import sys

import click

from harnex import errors, jsonl
from harnex.client import connect
from harnex.commands._find import live_session
from harnex.commands._types import SECONDS, which_session


@click.command("stop")
@which_session
@click.option("--force", is_flag=True, help="Kill it at once, without asking it to end.")
@click.option("--timeout", type=SECONDS, default=60.0, help="Give up waiting after this long (default: 60).")
def command(session_id: str | None, repo: str | None, cli: str | None, force: bool, timeout: float) -> int:
    """End a session: interrupt its turn, let it exit, else TERM, else KILL; then end whatever it left behind.

    Returns when nothing is left, with one JSON line.
    """
    record = live_session(session_id, repo, cli)
    try:
        reply = connect.request(record, {"op": "stop", "force": force}, timeout)
    except errors.HarnexError as e:
        if e.exit_code == errors.TIMEOUT and not force:
            e.hint = f"it is still being ended; at once: harnex stop --force --id {record['id']}"
        raise
    code = int(reply.pop("exit_code", errors.DONE))
    if reply.get("note"):
        print(f"harnex: {reply['note']}", file=sys.stderr)
    sys.stdout.write(jsonl.dumps(reply) + "\n")
    return code

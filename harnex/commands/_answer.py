"""What `approve` and `deny` share."""

from __future__ import annotations

import os
import sys
from typing import Any

from harnex import errors, jsonl
from harnex.client import connect
from harnex.commands._find import live_session
from harnex.errors import HarnexError


def answer(
    verb: str,
    session_id: str | None,
    repo: str | None,
    cli: str | None,
    dialog: str | None,
    option: int | None,
    text: str | None,
) -> int:
    """Answer the dialog that the session's record shows; refused if another one is up by then."""
    record = live_session(session_id, repo, cli)
    if record["state"] != "blocked":
        raise HarnexError(
            f"session '{record['id']}' shows no dialog now (it is {record['state']})",
            f"look: harnex pane --id {record['id']}",
            id=record["id"],
            run_id=record["run_id"],
        )
    request: dict[str, Any] = {
        "op": "answer",
        "verb": verb,
        "dialog": dialog or record["dialog"],
        "option": option,
        "text": text,
        "by": os.environ.get("HARNEX_ID") or os.environ.get("USER") or str(os.geteuid()),
    }
    reply = connect.request(record, request)
    code = int(reply.pop("exit_code", errors.DONE))
    sys.stdout.write(jsonl.dumps(reply) + "\n")
    if not reply.get("ok"):
        print(f"harnex: {reply.get('error')}\n  {reply.get('hint')}", file=sys.stderr)
    return code

"""`approve` and `deny` as one command: they differ in a single word."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from harnex import errors, jsonl
from harnex.client import connect
from harnex.commands._find import live_session
from harnex.commands._types import which_session
from harnex.errors import HarnexError

HELP = """Say {word} to the dialog that is open.

The options are in `harnex status --json` and in the `blocked` event. It is refused when the dialog is gone or
another one is up: then nothing is pressed. Prints one JSON line once the dialog has gone.
"""


def command_for(verb: str, word: str) -> click.Command:
    """Return the click command for a verb.

    `word` is what the command says to the dialog: yes or no.
    """

    @click.command(verb, help=HELP.format(word=word))
    @which_session
    @click.option("--dialog", metavar="NAME", help="Only if it is this one (default: the one that `status` shows).")
    @click.option("--seen", metavar="SINCE", help="Only the one that was open then: `state_since` of `status --json`.")
    @click.option("--option", type=click.IntRange(min=1), metavar="N", help="Choose the N-th option instead.")
    @click.option("--text", metavar="TEXT", help="Answer a question in your own words.")
    def command(
        session_id: str | None,
        repo: str | None,
        cli: str | None,
        dialog: str | None,
        seen: str | None,
        option: int | None,
        text: str | None,
    ) -> int:
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
            "since": seen or record["state_since"],
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

    return command

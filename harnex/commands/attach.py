"""`harnex attach`."""

from __future__ import annotations

import click

from harnex import errors
from harnex.client import attach as client
from harnex.commands._find import live_session
from harnex.commands._types import which_session


@click.command("attach")
@which_session
@click.option("--read-only", is_flag=True, help="Look on; no key reaches the agent.")
def command(session_id: str | None, repo: str | None, cli: str | None, read_only: bool) -> int:
    """Take the agent's terminal. Ctrl-\\ d lets go and leaves it running.

    Several may look on; the terminal has the size of the one who came or resized last.
    """
    record = live_session(session_id, repo, cli)
    result = client.attach(record, read_only)
    if "detached" in result:
        client.say(f"harnex: '{record['id']}' goes on; back to it: harnex attach --id {record['id']}")
        return errors.DONE
    end = result.get("ended")
    if end is None:
        client.say(f"harnex: the supervisor of '{record['id']}' was lost; see: harnex history")
        return errors.FAILED
    client.say(f"harnex: session '{record['id']}' ended: {end.get('reason')}")
    return client.outcome_code(end)

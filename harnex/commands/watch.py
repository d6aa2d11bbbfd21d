"""`harnex watch`."""

from __future__ import annotations

import sys
from typing import Any

import click

from harnex import errors
from harnex.client import connect
from harnex.commands._find import live_session, run_of
from harnex.commands._policy import policy_options, read_policy
from harnex.commands._types import which_session
from harnex.errors import HarnexError, NotFound


@click.command("watch")
@which_session
@policy_options
def command(**o: Any) -> int:
    """Keep an agent working, stop what runs away, and follow it: a line per happening, then the outcome.

    Puts the watch on a running session. One that is watched already keeps its policy unless options are given. The watch
    is in the session's supervisor: Ctrl-C, or losing this terminal, ends the following and nothing else.

    Exit codes: 0 the task is done, 1 it failed, 4 a person is needed, 5 the budget is spent, 124 the time is over.
    """
    from harnex.commands._follow import Follower

    try:
        record = live_session(o["session_id"], o["repo"], o["cli"])
    except NotFound:
        _, row, lives = run_of(o["session_id"], o["repo"], o["cli"])
        if lives or read_policy(o, row.get("repo"), o["background_wait"] is not None, None)[0] is not None:
            raise
        return Follower(str(row["run_id"]), str(row["id"])).ended()  # the session ended meanwhile
    watching = record.get("watch") is None or o["background_wait"] is not None
    policy, notes = read_policy(o, record.get("repo"), watching, str(record["cli"]))
    for note in notes:
        print(f"harnex: {note}", file=sys.stderr)
    follower = Follower(str(record["run_id"]), str(record["id"]), from_end=True)
    try:
        reply = connect.request(record, {"op": "watch", "policy": policy.dump() if policy is not None else None})
    except HarnexError as e:
        if policy is not None or e.exit_code == errors.TIMEOUT:
            raise
        return follower.run()  # the session ended just now
    if not reply.get("ok"):
        if policy is not None:
            raise HarnexError(str(reply.get("error")), str(reply.get("hint") or ""), int(reply.get("exit_code") or 1))
        return follower.run()  # the session is ending; follow it to report how
    follower.stops = bool((reply.get("policy") or {}).get("auto_stop"))
    if policy is None:
        follower.say(f"watch of '{record['id']}': {reply['watch']}")
        if reply["watch"] == "done" and not follower.stops:
            return follower.done()
        if reply["watch"] == "person":
            return follower.person(f"a {record.get('dialog') or ''} dialog".replace("  ", " "))
    return follower.run()

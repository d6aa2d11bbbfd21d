"""`harnex watch`."""

from __future__ import annotations

from typing import Any

import click

from harnex.client import connect
from harnex.commands._find import live_session
from harnex.commands._policy import policy_options, read_policy
from harnex.commands._types import which_session


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

    record = live_session(o["session_id"], o["repo"], o["cli"])
    policy = read_policy(o, record.get("repo"), record.get("watch") is None, str(record["cli"]))
    follower = Follower(str(record["run_id"]), str(record["id"]), from_end=True)
    reply = connect.request(record, {"op": "watch", "policy": policy.dump() if policy is not None else None})
    if policy is None:
        follower.say(f"watch of '{record['id']}': {reply['watch']}")
        if reply["watch"] == "done":
            return follower.done()
        if reply["watch"] == "person":
            return follower.person(f"a {record.get('dialog') or ''} dialog".replace("  ", " "))
    return follower.run()

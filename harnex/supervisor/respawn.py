"""A new process for a session whose agent crashed: the same session, and its conversation where the CLI can resume it.

Everything that belonged to the old process is made anew (reader, activity, followed files, turns' open end);
what belongs to the session stays: its log, recording, messages, and which model calls were counted.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from harnex import clock, paths
from harnex.launch.spec import SESSION_ID
from harnex.machines.activity import Activity
from harnex.machines.turns import Turns
from harnex.model.facts import Follow, TurnEnded
from harnex.supervisor import boot
from harnex.supervisor.answers import Answers
from harnex.supervisor.child import Child
from harnex.supervisor.evidence import Evidence, FollowedFiles, descendants

if TYPE_CHECKING:
    from harnex.supervisor.session import Session

LATE_S = 1.0  # for the rest of the evidence
CLEAN = b"\x1bc"  # the screen that the old process left is not the new one's


def bury(session: Session, now: float) -> None:
    """The process is gone, and what it said was read: close its turn."""
    session.terminal.finish(now)
    session.take(session.reader.ended(), now)
    detail = "the agent's process ended in the middle of the turn"
    session.apply(session.turns.process_ended(now, TurnEnded("process", "failed", reason="other", detail=detail)), now)
    if session.child.fd in session.selector.get_map():
        session.selector.unregister(session.child.fd)
    session.activity = Activity(session.adapter.sources, session.version, now)
    session.helpers.close()
    message = session.inbox.current
    if message is not None:  # typed, and not taken: it is typed again
        session.inbox.current = None
        message.status = message.told = "queued"
        session.inbox.queue.appendleft(message)
    session.journal.changed()


def respawn(session: Session, now: float) -> bool:
    """Start it again. Whether its conversation was resumed. Raises HarnexError if it can't be started."""
    spec = session.spec
    name = session.agent_session_id
    reader = session.adapter.reader(session.version)
    resumed = bool(name and (reader.keeps_agent or (spec.resume_argv and session.turns.done)))
    reader.resumes = (name or "") if resumed else ""
    argv = spec.argv
    if resumed and spec.resume_argv:
        argv = [word.replace(SESSION_ID, name or "") for word in spec.resume_argv]
    for late in session.evidence.rest(now, LATE_S):
        session.take(late, now)
    env = boot.child_env(spec)
    columns, rows = session.terminal.size
    began = clock.wall()
    child = Child(tuple(argv), env, spec.cwd, columns, rows)
    session.child.close()
    session.helpers.close()
    session.reader = reader
    session.reader.began = began
    session.activity = Activity(session.adapter.sources, session.version, now)
    session.turns = Turns(done=session.turns.done, last=session.turns.last)
    followed = FollowedFiles(paths.run_dir(spec.state, spec.run_id))
    followed.process(child.pid, began)
    session.evidence = Evidence(session.reader, lambda: descendants(session.child.pid), now, followed.add)
    session.answers = Answers(session)
    session.requests.show(session.terminal.output(CLEAN, now).clean)
    session.renew(child)
    facts = session.reader.spawned(child.pid, env, spec.cwd)
    # What the old process wrote was read: a file that goes on is read from here.
    fresh = [dataclasses.replace(f, from_end=True) if isinstance(f, Follow) and f.kind == "rows" else f for f in facts]
    session.take(fresh, now)
    if not resumed:
        session.delivery.say_again()
    session.journal.changed()
    return resumed

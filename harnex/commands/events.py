"""`harnex events`: the events of a run, read from its file.

A hot command: it imports neither click nor json.
"""

from __future__ import annotations

import os
import sys
import time

from harnex import errors, jsonl
from harnex.commands._find import mend, run_of
from harnex.commands._hot import CLI, ID, REPO, Option
from harnex.errors import HarnexError, UsageError
from harnex.store import registry
from harnex.store.tail import LineTail

NAME = "events"
HELP = """The events of a session, one JSON object a line, until it has exited.

By default what is there is printed and new events follow; --snapshot prints what is there and ends.
Of a finished session everything is printed. Schema: harnex guide."""
OPTIONS = (
    ID,
    REPO,
    CLI,
    Option("--snapshot", "flag", "Print what is there, and end."),
    Option("--follow", "flag", "Go on until the session has exited (the default)."),
    Option("--from", "text", "Only events from this time on (ISO-8601, or `10m` ago).", metavar="TIME"),
    Option("--after", "integer", "Only events with a greater seq.", metavar="SEQ"),
    Option("--type", "text", "Only events of these types (comma-separated).", metavar="T"),
)
POLL_S = 0.02  # how often the event log is read
LOOK_EVERY_S = 1.0  # how often a follower checks that the supervisor and the reader are still there


def run(
    id: str | None,
    repo: str | None,
    cli: str | None,
    snapshot: bool,
    follow: bool,
    after: int | None,
    type: str | None,
    **rest: str | None,
) -> int:
    """Print the events. Returns the exit code."""
    if snapshot and follow:
        raise UsageError("--snapshot and --follow contradict each other")
    since = parse_from(rest.get("from"))
    types = parse_types(type)
    directory, record, lives = run_of(id, repo, cli)
    path = os.path.join(directory, "events.jsonl")
    if not os.path.exists(path):
        raise HarnexError(f"the events of session '{record['id']}' are gone ({path})", "were they pruned?")
    tail = LineTail(path)
    plain = after is None and since is None and types is None
    next_look = time.monotonic() + LOOK_EVERY_S
    last: object = 0  # seq of the last event that was read
    while True:
        ended = False
        wrote = False
        for line in tail.lines():
            if tail.damage:
                break  # later lines come twice, or some are missing
            row = jsonl.loads_dict(line)
            if row is None:
                continue  # a line that a crash tore; the run goes on after it
            ended = ended or row.get("type") == "exited"
            last = row.get("seq", last)
            if plain or wanted(row, after, since, types):
                sys.stdout.write(line.decode("utf-8", "replace") + "\n")
                wrote = True
        if wrote:
            sys.stdout.flush()
        if ended or (snapshot and not tail.damage):
            return errors.DONE
        if tail.damage or not lives:
            raise lost(record, tail.damage, last)
        time.sleep(POLL_S)
        now = time.monotonic()
        if now >= next_look:
            next_look = now + LOOK_EVERY_S
            if reader_is_gone():
                raise BrokenPipeError
            if not registry.is_live(record):
                mend_for(record)
                lives = False  # one more round, because mend_for() has written the end


def lost(record: dict[str, object], damage: str, last: object) -> HarnexError:
    """Return the error of a follower whose file is damaged.

    `damage` says what happened to the file (tail.LineTail). It is "" if the log only lacks its end.
    """
    session_id = record["id"]
    if not damage:
        what = f"session '{session_id}' has ended, and its event log does not say how: events are missing"
        return HarnexError(what, f"how it ended: harnex history --id {session_id}")
    return HarnexError(
        f"the event log of session '{session_id}' was {damage} while it was followed: events may be missing",
        f"what there is: harnex events --id {session_id} --after {last}; why: its `diagnostic` events",
    )


def mend_for(record: dict[str, object]) -> None:
    from harnex import paths

    mend(paths.state_dir())


def wanted(row: dict[str, object], after: int | None, since: float | None, types: set[str] | None) -> bool:
    """Whether an event passes the filters."""
    if types is not None and row.get("type") not in types:
        return False
    seq = row.get("seq")
    if after is not None and not (isinstance(seq, int) and seq > after):
        return False
    if since is not None:
        from harnex import times

        at = times.seconds(row.get("ts"))
        return at is None or at >= since
    return True


def parse_from(text: str | None) -> float | None:
    if text is None:
        return None
    from harnex import clock, times

    try:
        return times.moment(text, clock.wall())
    except ValueError:
        raise UsageError(f"--from: '{text}' is not a time", "2026-11-21T07:00, or 2h for two hours ago") from None


def parse_types(text: str | None) -> set[str] | None:
    if text is None:
        return None
    from harnex.model.events import EVENT_TYPES

    types = {word.strip() for word in text.split(",") if word.strip()}
    unknown = sorted(types - set(EVENT_TYPES))
    if unknown or not types:
        raise UsageError(f"--type: there is no event type '{', '.join(unknown)}'", "types: " + ", ".join(EVENT_TYPES))
    return types


def reader_is_gone() -> bool:
    """Whether the pipe that we print to was closed (`harnex events | head -1`)."""
    import select

    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
        return any(mask & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, mask in poll.poll(0))
    except (OSError, ValueError):
        return False

"""`harnex recover`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from harnex import errors, jsonl, paths, times
from harnex.commands._find import finished_run
from harnex.commands._types import MOMENT
from harnex.errors import HarnexError, NotFound, UsageError


@click.command(
    "recover",
    epilog="Examples:\n\n  harnex recover --all --resume --message 'The disk is free again; go on.'\n\n"
    "  */5 * * * *  harnex recover --all --resume --json >> ~/harnex-recover.log",
)
@click.option("--all", "everywhere", is_flag=True, help="Runs in all repositories (default: in this one).")
@click.option("--id", "session_id", metavar="ID", help="Only this session (or run id); with --resume however it ended.")
@click.option("--repo", metavar="PATH", help="Only runs in this repository.")
@click.option("--resume", is_flag=True, help="Start again, where they were, runs whose supervisor or agent was killed.")
@click.option(
    "--message",
    metavar="TEXT",
    help="With --resume: sent first where a turn was cut off (default: `You were interrupted. Go on with: …`).",
)
@click.option("--no-continue", is_flag=True, help="With --resume: say nothing; the agent waits at its prompt.")
@click.option("--since", type=MOMENT, metavar="TIME", help="With --resume: only runs lost since then (default: 24h).")
@click.option("--max-resumes", type=click.IntRange(min=0), default=5, show_default=True, metavar="N",
              help="How often one session may be started again.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON line.")
def command(
    everywhere: bool,
    session_id: str | None,
    repo: str | None,
    resume: bool,
    message: str | None,
    no_continue: bool,
    since: float | None,
    max_resumes: int,
    as_json: bool,
) -> int:
    """Write the end of runs whose supervisor is gone, end what they left; with --resume start them again.

    A task that was cut off goes on: the agent is told so, in its own conversation.

    Every command writes the end of dead runs that it meets; this one is for cron or a timer, and says what it did.
    Exit code 1 if something could not be done.
    """
    if message is not None and not resume:
        raise UsageError("--message goes with --resume")
    if no_continue and (not resume or message is not None):
        raise UsageError("--no-continue goes with --resume, and without --message")
    if message is not None and not message.strip():
        raise UsageError("the message is empty")
    from harnex.recovery.recover import recover_dead

    state = paths.state_dir()
    try:
        # Recover dead runs of all repositories: there may be no command to do it in theirs.
        found = recover_dead(state)
    except OSError as e:
        raise HarnexError(f"can't write in {state}: {e.strerror}", "see: harnex doctor") from None
    failed = [f for f in found if not f["complete"]]
    resumed: list[dict[str, Any]] = []
    if resume:
        where = paths.repo_root(repo) if repo else None if everywhere or session_id else paths.here()
        since = since if since is not None else time.time() - 86400
        rows = wanted(state, session_id, where, since)
        resumed = [again(state, row, message, max_resumes, not no_continue) for row in rows]
    ok = not failed and all(r["ok"] for r in resumed)
    if as_json:
        sys.stdout.write(jsonl.dumps({"ok": ok, "found": found, "resumed": resumed}) + "\n")
    else:
        say(found, resumed)
    return errors.DONE if ok else errors.FAILED


def wanted(state: str, session_id: str | None, repo: str | None, since: float) -> list[dict[str, Any]]:
    """Return the history records of the runs to start again. Raises NotFound for an unknown id."""
    from harnex.recovery import resume as restart

    if session_id is None:
        return [r for r in restart.lost_runs(state, since) if repo is None or r.get("repo") == repo]
    row = finished_run(state, session_id, repo)
    if row is None:
        raise NotFound(f"no finished run '{session_id}'", "finished runs: harnex history --all")
    return [row]


def again(state: str, row: dict[str, Any], message: str | None, most: int, go_on: bool) -> dict[str, Any]:
    """Start one run again. Returns the result as a JSON object, also for a failure."""
    from harnex.recovery import resume as restart

    try:
        return restart.resume(state, row, message, most, go_on)
    except HarnexError as e:
        return {**e.reply(), "id": row["id"], "resumes": row["run_id"], "cli": row.get("cli")}


def say(found: list[dict[str, Any]], resumed: list[dict[str, Any]]) -> None:
    """Print for people what --json prints."""
    for run in found:
        what = f"{run['id']} ({run['cli']} in {run['repo']}): {run['reason'] or 'dead'}"
        if run["ended_at"]:
            what += f", last seen {times.age(time.time() - times.parse_iso(run['ended_at']))} ago"
        counts = (
            (run["swept"], "process ended", "processes ended"),
            (run["late_calls"], "call counted late", "calls counted late"),
            (run["undelivered"], "message undelivered", "messages undelivered"),
        )
        said = ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)
        print(what + (f"; {said}" if said else ""))
        if not run["complete"]:
            print(f"harnex: the end of '{run['id']}' could not be written; is the disk full?", file=sys.stderr)
    for reply in resumed:
        if reply["ok"]:
            end = reply.get("exit") or {}  # a budget that is spent, or a deadline that has passed
            over = f"; it ended at once: {end.get('message') or end.get('reason')}" if end else ""
            said = f"; told: {' '.join(str(reply['said']).split())[:80]}" if reply.get("said") else ""
            print(f"{reply['id']}: {reply['how']}; run {reply['run_id']}{said}{over}")
        else:
            print(f"harnex: {reply['id']}: {reply['error']}\n  {reply.get('hint')}", file=sys.stderr)
        for note in reply.get("notes") or ():
            print(f"harnex: {reply['id']}: {note}", file=sys.stderr)
    if not found and not resumed and sys.stderr.isatty():
        print("no dead runs", file=sys.stderr)  # only to a person: cron would mail it

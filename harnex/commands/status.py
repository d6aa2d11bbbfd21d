"""`harnex status`: the live sessions, read from their files; no process is asked.

A hot command: it imports neither click nor json.
"""

from __future__ import annotations

import os
import sys

from harnex import errors, jsonl, paths
from harnex.commands._find import mend
from harnex.commands._hot import CLI, ID, REPO, Option
from harnex.store import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "status"
HELP = """The live sessions of this repository, or, where there are none, of all.

A session is at its `prompt`, `busy`, `blocked` by a dialog that wants a person, `starting`, `stopping`,
or its state is `unknown`. --json prints an array."""
OPTIONS = (
    ID,
    REPO,
    CLI,
    Option("--all", "flag", "Sessions of all repositories."),
    Option("--json", "flag", "An array of objects."),
)


def run(id: str | None, repo: str | None, cli: str | None, all: bool, json: bool) -> int:
    """Print the live sessions. Returns the exit code: 1 if --id matches none."""
    import time

    state = paths.state_dir()
    records, garbage = registry.all_records(state)
    live = [r for r in records if registry.is_live(r)]
    if len(live) < len(records) or registry.unaccounted(state, records):
        mend(state)
    for r in live:
        if r.get("damaged"):
            told = f"the entry of session '{r['id']}' is damaged ({r['damaged']}); its state is not known"
            print(f"harnex: {told}; to end it: harnex stop --id {r['id']}", file=sys.stderr)
    for path in garbage:
        print(f"harnex: {path} is not a session record; remove it, or see: harnex doctor", file=sys.stderr)
    shown = [r for r in live if (id is None or registry.is_named(r, id)) and (cli is None or r["cli"] == cli)]
    if repo is not None:
        root = paths.repo_root(repo)
        shown = [r for r in shown if r["repo"] == root]
    elif not all and id is None:
        here = paths.here()
        local = [r for r in shown if r["repo"] == here]
        if not local and shown and not json:
            print(f"harnex: none in {here}; these are elsewhere", file=sys.stderr)
        shown = local or shown
    now = time.time()
    for r in shown:
        r["idle_s"] = round(max(0.0, now - r.pop("idle_mtime")), 1)
        r.pop("path")
    if json:
        sys.stdout.write("[" + ",\n ".join(map(jsonl.dumps, shown)) + "]\n")
    elif shown:
        sys.stdout.write(table(shown, now))
    elif id is None:
        print("no live sessions; start one with: harnex run CLI; finished ones: harnex history", file=sys.stderr)
    if id is not None and not shown:
        print(f"harnex: no live session '{id}'; see: harnex history", file=sys.stderr)
        return errors.FAILED
    return errors.DONE


def table(records: list[dict[str, Any]], now: float) -> str:
    """Return the sessions as aligned columns, for people."""
    from harnex.times import age, parse_iso

    rows = [("ID", "CLI", "STATE", "FOR", "TURN", "CALLS", "TOKENS", "IDLE", "WHERE", "DESCRIPTION")]
    for r in records:
        state = str(r["state"]) + (f" ({r['dialog']})" if r.get("dialog") else "")
        if r.get("damaged"):
            state += " (entry damaged)"
        if r.get("pending"):
            state += f" +{r['pending']}"
        waiting = r.get("waiting")
        if waiting and waiting.get("until"):
            state += f" (waits for {waiting['for']} until {local(waiting['until'])})"
        if r.get("background"):
            state += f", {len(r['background'])} in background"
        since = age(now - parse_iso(r["state_since"])) if r.get("state_since") else ""
        rows.append(
            (
                r["id"],
                str(r["cli"]),
                state,
                since,
                str(r.get("turn") or ""),
                "" if r.get("calls") is None else str(r["calls"]),
                token_count(r),
                age(r["idle_s"]),
                short_path(str(r["cwd"])) + (f" [{r['tmux']}]" if r.get("tmux") else ""),
                str(r.get("description") or ""),
            )
        )
    cells = [[paths.printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines) + "\n"


def local(iso: str) -> str:
    """Return a UTC time as local time of day."""
    import time

    from harnex import times

    return times.time_of_day(times.parse_iso(iso), time.time(), "%H:%M")


def token_count(row: dict[str, Any]) -> str:
    """Return the tokens of a session or a finished run, with `+` if some
    calls did not report theirs."""
    tokens = row.get("tokens")
    return "" if tokens is None else f"{tokens:,}" + "+" * bool(row.get("tokens_unknown"))


def short_path(path: str) -> str:
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if path == home or path.startswith(home + "/") else path

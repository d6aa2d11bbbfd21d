"""`harnex history`."""

from __future__ import annotations

import sys
from typing import Any

import click

from harnex import errors, jsonl, paths, times
from harnex.commands._find import mend
from harnex.commands._types import MOMENT
from harnex.commands.status import short_path, token_count
from harnex.store import history
from harnex.store.registry import is_named


@click.command("history")
@click.option("--id", "session_id", metavar="ID", help="Only runs of this id.")
@click.option("--repo", metavar="PATH", help="Only runs in this repository (default: here).")
@click.option("--all", "everywhere", is_flag=True, help="Runs in all repositories.")
@click.option("--cli", metavar="CLI", help="Only runs of this agent CLI.")
@click.option("--since", type=MOMENT, metavar="TIME", help="Only runs that ended since then (ISO-8601, or `8h` ago).")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the last N (default: 20; all with --json)."
)
@click.option("--json", "as_json", is_flag=True, help="An array of objects, oldest first.")
def command(
    session_id: str | None,
    repo: str | None,
    everywhere: bool,
    cli: str | None,
    since: float | None,
    limit: int | None,
    as_json: bool,
) -> int:
    """Finished runs: how each ended, how long it took, what it used."""
    state = paths.state_dir()
    mend(state)
    rows = list(history.rows(state))
    if session_id is not None:
        rows = [r for r in rows if is_named(r, session_id)]
    if cli is not None:
        rows = [r for r in rows if r.get("cli") == cli]
    if since is not None:
        rows = [r for r in rows if ended(r) >= since]
    here = paths.repo_root(repo) if repo else paths.here()
    if not everywhere:
        local = [r for r in rows if r.get("repo") == here]
        if not local and rows and repo is None and not as_json:
            print(f"harnex: none in {here}; these were elsewhere", file=sys.stderr)
        rows = local if local or repo is not None else rows
    if limit is not None or not as_json:
        rows = rows[-(limit or 20) :]
    if as_json:
        sys.stdout.write("[" + ",\n ".join(map(jsonl.dumps, rows)) + "]\n")
        return errors.DONE
    if not rows:
        print("no finished runs", file=sys.stderr)
        return errors.DONE
    table = [("ID", "CLI", "ENDED", "TOOK", "HOW", "TURNS", "CALLS", "TOKENS", "WHERE")]
    for r in rows:
        took = r.get("duration_s")
        how = str(r.get("reason"))
        if r.get("code"):
            how += f" ({r['code']})"
        elif r.get("signal"):
            how += f" (signal {r['signal']})"
        if r.get("killed"):
            how += f", {len(r['killed'])} background killed"
        table.append(
            (
                str(r.get("id")),
                str(r.get("cli")),
                str(r.get("ended_at"))[:16].replace("T", " "),
                "" if took is None else times.age(took),
                how,
                str(r.get("turns") or ""),
                "" if r.get("calls") is None else str(r["calls"]),
                token_count(r),
                short_path(str(r.get("cwd"))),
            )
        )
    cells = [[paths.printable(cell) for cell in row] for row in table]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for line in cells:
        sys.stdout.write("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n")
    return errors.DONE


def ended(row: dict[str, Any]) -> float:
    """Return when a run ended, in epoch seconds; 0 if its record has no readable time."""
    try:
        return times.parse_iso(str(row.get("ended_at")))
    except ValueError:
        return 0.0

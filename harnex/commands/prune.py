"""`harnex prune`."""

from __future__ import annotations

import os
import shutil
import sys
import time

import click

from harnex import errors, jsonl, paths
from harnex.commands._find import mend
from harnex.commands._types import SECONDS
from harnex.store import history, registry

# A run that is just being started is in no list yet.
STARTING_S = 60.0


@click.command("prune")
@click.option("--older-than", type=SECONDS, default=30 * 86400.0, metavar="DURATION", help="Default: 30d.")
@click.option("--keep", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the newest N in any case.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line.")
def command(older_than: float, keep: int, dry_run: bool, as_json: bool) -> int:
    """Remove the files (events, recordings, evidence) of runs that ended long ago.

    Live sessions are never touched, and `history` keeps its rows.
    """
    state = paths.state_dir()
    mend(state)
    live = {r["run_id"] for r in registry.all_records(state)[0]}
    live |= {old for run_id in live for old in gone_on_with(state, run_id)}
    ended = {row["run_id"] for row in history.rows(state)}
    directory = paths.runs_dir(state)
    try:
        runs = sorted(os.listdir(directory), reverse=True)
    except OSError:
        runs = []
    limit = time.time() - older_than
    gone, size, failed = [], 0, 0
    for run_id in runs[keep:]:
        path = os.path.join(directory, run_id)
        if run_id in live or not os.path.isdir(path) or os.path.islink(path):
            continue
        written = newest(path)
        if written >= limit or (run_id not in ended and written >= time.time() - STARTING_S):
            continue
        size += size_of(path)
        if not dry_run:
            shutil.rmtree(path, ignore_errors=True)
            if os.path.exists(path):
                failed += 1
                print(f"harnex: could not remove {path}", file=sys.stderr)
                continue
        gone.append(run_id)
    if as_json:
        reply = {"ok": not failed, "removed": len(gone), "bytes": size, "dry_run": dry_run, "runs": gone}
        sys.stdout.write(jsonl.dumps(reply) + "\n")
    else:
        verb = "would remove" if dry_run else "removed"
        print(f"{verb} {len(gone)} run{'' if len(gone) == 1 else 's'}, {size / 1e6:.1f} MB")
    return errors.FAILED if failed else errors.DONE


def gone_on_with(state: str, run_id: str) -> list[str]:
    """Return the ids of the runs that a resumed run continues.

    They are kept because a rehearsal's home, with the conversation, is in the first of them.
    """
    from harnex.launch import startfile

    found: list[str] = []
    while (old := startfile.read(paths.run_dir(state, run_id)).get("resumes")) and old not in found:
        found.append(run_id := str(old))
    return found


def newest(path: str) -> float:
    """Return when anything in a run's directory was last written, in epoch seconds."""
    times = [0.0]
    try:
        times.append(os.path.getmtime(path))
        names = os.listdir(path)
    except OSError:  # another process removed the directory just now
        names = []
    for name in names:
        try:
            times.append(os.stat(os.path.join(path, name)).st_mtime)
        except OSError:
            continue
    return max(times)


def size_of(path: str) -> int:
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except OSError:
                continue
    return total

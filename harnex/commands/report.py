"""`harnex report`."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import Any

import click

from harnex import __version__, clock, errors, git, jsonl, paths
from harnex.commands._find import mend, run_of
from harnex.commands._types import MOMENT, which_session
from harnex.commands.history import ended
from harnex.errors import HarnexError, UsageError
from harnex.model import events
from harnex.report import page as report
from harnex.store import history, named, registry, replay
from harnex.terminal.draw import to_svg
from harnex.usage.prices import remembered

RUNS_MAX = 200
COMMITS_MAX = 200
GIT_S = 20.0  # how long each call of git may take
FORM = "%H%x1f%cI%x1f%an%x1f%s"


@click.command("report")
@which_session
@click.option(
    "--since", type=MOMENT, metavar="TIME", help="All runs since then (ISO-8601, or `8h` ago), and live ones."
)
@click.option("--all", "everywhere", is_flag=True, help="With --since: runs in all repositories.")
@click.option("-o", "--output", metavar="FILE", help="Write the page there (default: standard output).")
def command(
    session_id: str | None, repo: str | None, cli: str | None, since: float | None, everywhere: bool, output: str | None
) -> int:
    """One HTML page of a run, or of a night: what happened when, tokens, the last screen, the commits.

    The page holds everything that it shows; it loads nothing and asks nobody.
    """
    if session_id is not None and since is not None:
        raise UsageError("--id and --since contradict each other")
    if output is None and os.isatty(1):
        raise UsageError("a page of HTML is nothing for a terminal", "write it to a file: harnex report -o night.html")
    state = paths.state_dir()
    if since is None:
        directory, about, lives = run_of(session_id, repo, cli)
        chosen = [(directory, about, lives)]
    else:
        mend(state)
        where = None if everywhere else paths.repo_root(repo) if repo else paths.here()
        chosen = since_then(state, since, where, cli)
    with Repositories() as repositories:
        page = report.page([run(*one, repositories) for one in chosen], clock.stamp(), __version__)
    data = page.encode("utf-8", "replace")
    if output is None or output == "-":
        sys.stdout.buffer.write(data)
        return errors.DONE
    write(output, data)
    print(f"{output}: {len(chosen)} run{'' if len(chosen) == 1 else 's'}", file=sys.stderr)
    return errors.DONE


def since_then(state: str, since: float, where: str | None, cli: str | None) -> list[tuple[str, dict[str, Any], bool]]:
    """Return the runs that ended since then and the live ones, oldest first."""
    rows = [(r, False) for r in history.rows(state) if ended(r) >= since]
    rows += [(r, True) for r in registry.live(state)]
    rows = [
        (r, lives) for r, lives in rows if (where is None or r.get("repo") == where) and cli in (None, r.get("cli"))
    ]
    if len(rows) > RUNS_MAX:
        print(f"harnex: {len(rows)} runs; the page has the last {RUNS_MAX}", file=sys.stderr)
    return [(paths.run_dir(state, r["run_id"]), r, lives) for r, lives in rows[-RUNS_MAX:]]


def run(directory: str, about: dict[str, Any], lives: bool, repositories: Repositories) -> report.Run:
    """Collect what the files say about a run. Missing files become notes on the page."""
    notes, rows = [], []
    try:
        with open(os.path.join(directory, "events.jsonl"), "rb") as f:
            rows = [row for line in f if (row := jsonl.loads_dict(line)) is not None and "type" in row]
    except OSError:
        notes.append("Its events are not there any more: it was pruned.")
    screen = ""
    casts = replay.files(directory)
    if casts:
        try:
            screen = to_svg(replay.last_screen(casts[-1]), f"{about.get('id')} · {about.get('cli')}")
        except OSError:
            notes.append("Its recording can't be read.")
    found = report.Run(about=about, events=rows, live=lives, screen=screen, notes=notes)
    found.commits = commits(directory, about, found.begin, found.end, repositories)
    found.cost_usd = cost(rows, str(about.get("cli")))
    return found


def cost(rows: list[dict[str, Any]], cli: str) -> float | None:
    """Return what the calls of a run cost, in US dollars.

    None if there were no calls, or if the price of one is unknown.
    """
    prices = remembered()
    # Decode the record as an event first: a record that was torn or that another version
    # wrote may lack any field.
    calls = [(row, events.decode(row)) for row in rows if row["type"] == "call"]
    costs = [prices.cost({**vars(call), "ts": row.get("ts"), "cli": cli}) if call else None for row, call in calls]
    prices.remember()
    return sum(c for c in costs if c is not None) if costs and None not in costs else None


class Repositories:
    """Asks git for the page. Each repository is opened once, however many runs it had."""

    def __enter__(self) -> Repositories:
        self._open = contextlib.ExitStack()
        self._scratch = self._open.enter_context(tempfile.TemporaryDirectory(prefix="harnex-git-"))
        self._known: dict[str, tuple[git.Apart, str] | None] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def log(self, repo: str, since: str, *words: str) -> str:
        """Return the output of `git log` from a commit ("" for the first) to HEAD.

        Returns "" outside of git, or if git fails.
        """
        if repo not in self._known:
            self._known[repo] = self._open.enter_context(git.apart(repo, self._scratch, GIT_S))
        known = self._known[repo]
        if known is None:
            return ""
        own, head = known
        argv = own.command("log", f"{since}..{head}" if since else head, "--no-ext-diff", "--no-textconv", *words)
        return git.readable(git.run(argv, own.env(), GIT_S) or "")


def commits(
    directory: str, about: dict[str, Any], begin: float, end: float, repositories: Repositories
) -> list[dict[str, Any]]:
    """Return the commits in the run's work tree while it ran; []
    outside of git, or if git fails."""
    manifest = None
    try:
        with open(os.path.join(directory, "manifest.json"), "rb") as f:
            manifest = jsonl.loads_dict(f.read())
    except OSError:
        pass
    head = (manifest or {}).get("git")
    sha = str(head.get("sha")) if isinstance(head, dict) else ""
    where = str(about.get("repo") or "")
    if not os.path.exists(os.path.join(where, ".git")):
        return []
    words = [f"--max-count={COMMITS_MAX}", f"--format=%x1e{FORM}", "--numstat"]
    words += [f"--since=@{int(begin)}", f"--until=@{int(end) + 2}"]
    told = repositories.log(where, sha if sha.isalnum() else "", *words)
    found = []
    for record in told.split("\x1e")[1:]:
        first, _, rest = record.partition("\n")
        fields = first.split("\x1f")
        if len(fields) != 4:
            continue
        stats = [line.split("\t") for line in rest.splitlines() if line.count("\t") >= 2]
        found.append(
            dict(zip(("sha", "at", "author", "subject"), fields, strict=True))
            | {
                "files": len(stats),
                "added": sum(int(s[0]) for s in stats if s[0].isdecimal()),
                "removed": sum(int(s[1]) for s in stats if s[1].isdecimal()),
            }
        )
    return found[::-1]


def write(path: str, data: bytes) -> None:
    """Write the page. A regular file gets mode 0600, since the page quotes what the agent said."""
    try:
        named.write(path, data)
    except OSError as e:
        raise HarnexError(f"can't write {path}: {e.strerror}", "name another file with -o") from None

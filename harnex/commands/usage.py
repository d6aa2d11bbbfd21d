"""`harnex usage`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from harnex import errors, jsonl, paths, times
from harnex.agents import catalogue
from harnex.commands import _table
from harnex.commands._find import mend, run_of
from harnex.commands._table import Column
from harnex.commands._types import MOMENT, which_session
from harnex.commands.status import short_path
from harnex.errors import HarnexError, UsageError
from harnex.usage import sources, sums
from harnex.usage.prices import Prices, remembered

EXTRA = "pip install 'harnex[usage]'"
WORDS_MAX = 20  # how many files or runs with a problem are named one by one


class LogsOf(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    """A CLI whose own files harnex can read.

    CLIs that other packages add are looked up only if the name is none of the others.
    """

    name = "choice"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self.names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if all(value != kind.name or not kind.logs for kind in catalogue.kinds()):
            self.fail(f"{value!r} is not one of {', '.join(map(repr, self.names()))}.", param, ctx)
        return str(value)

    def names(self) -> list[str]:
        return sorted(kind.name for kind in catalogue.kinds() if kind.logs)


@click.command("usage")
@which_session
@click.option("--all", "everywhere", is_flag=True, help="Runs in all repositories.")
@click.option("--since", type=MOMENT, metavar="WHEN", help="Only calls since then (ISO-8601, or `8h` ago).")
@click.option("--by", type=click.Choice(sums.BY), help="What to sum up by (default: session; with --id turn).")
@click.option("--json", "as_json", is_flag=True, help="An object with calls, turns and totals (with --by: groups).")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets; what is not known is empty.")
@click.option(
    "--from",
    "source",
    type=LogsOf(),
    help="Read this CLI's own files instead: PATHs of files or folders, - for standard input (default: its own folder).",
)
@click.option("--call", "which", metavar="N", help="One call: its number, or its call_id.")
@click.option("--bodies", is_flag=True, help="With --call: what was asked and answered, as far as the logs hold it.")
@click.argument("files", nargs=-1, metavar="[PATH]...", type=click.Path())
def command(
    session_id: str | None,
    repo: str | None,
    cli: str | None,
    everywhere: bool,
    since: float | None,
    by: str | None,
    as_json: bool,
    as_csv: bool,
    source: str | None,
    which: str | None,
    bodies: bool,
    files: tuple[str, ...],
) -> int:
    """What model calls used: tokens, cache hits, cost; of harnex's runs, or from the agent CLIs' own files."""
    if files and source is None:
        raise UsageError("PATHs go with --from", "harnex usage --from claude PATH...")
    if source is not None and (session_id or everywhere or cli):
        raise UsageError("--id, --cli and --all name runs of harnex; --from reads other files", "leave one of them out")
    if bodies and which is None:
        raise UsageError("--bodies shows one call at a time", "name it with --call N")
    if as_json and as_csv:
        raise UsageError("--json and --csv are two forms", "choose one")
    if source is not None:
        return _from_files(source, files, since, by, repo, which, bodies, as_json, as_csv)
    return _from_runs(session_id, repo, cli, everywhere, since, by, which, bodies, as_json, as_csv)


# ---- runs of harnex ----


def _from_runs(
    session_id: str | None,
    repo: str | None,
    cli: str | None,
    everywhere: bool,
    since: float | None,
    by: str | None,
    which: str | None,
    bodies: bool,
    as_json: bool,
    as_csv: bool,
) -> int:
    state = paths.state_dir()
    mend(state)
    asked = by is not None
    if session_id is not None or which is not None:
        directory, row, _ = run_of(session_id, repo, cli)
        chosen, elsewhere = [sources.Run(row, directory)], False
        by = by or "turn"
    else:
        chosen, elsewhere = sources.runs(state, None, repo, cli, everywhere, since)
        by = by or "session"
    if which is not None:
        return _one_call(list(chosen[0].records()), which, bodies, chosen[0], None, as_json)
    if elsewhere and not as_json:
        print(f"harnex: none in {paths.here()}; these were elsewhere", file=sys.stderr)
    gone = [run for run in chosen if not os.path.exists(os.path.join(run.directory, "events.jsonl"))]
    if gone:
        print(f"harnex: the events of {len(gone)} runs were removed: not counted", file=sys.stderr)
    prices = remembered()

    def records() -> Iterator[dict[str, Any]]:
        for run in chosen:
            for r in run.records():
                # A rest covers several calls (`of`). It is included only if all
                # of them are in the period.
                if all(since is None or sources._after(x["ts"] or "", since) for x in (r, *r.get("of", ()))):
                    r["cost_usd"] = sources.cost(r, prices)
                    yield r

    single = chosen[0] if session_id is not None else None
    head: dict[str, Any] = {k: single.row.get(k) if single else None for k in ("id", "run_id", "cli")}
    if single is None:
        head["cli"] = cli
    turns = sums.turns(single.events()) if single else None
    code = _show(records(), by, head, turns, prices, as_json, as_csv, asked)
    _tell_missing([run for run in chosen if run.missing and run not in gone])
    return code


def _tell_missing(runs: list[sources.Run]) -> None:
    """Name the runs whose event logs hold fewer calls than were made.

    Another program changed the logs, or the disk was full.
    """
    for run in runs[:WORDS_MAX]:
        told, name = run.row["calls"], run.row.get("id")
        print(
            f"harnex: {run.missing} of {_calls(told)} of '{name}' are not in its event log, and not in this sum; "
            f"why: harnex events --id {run.row.get('run_id')} --snapshot --type diagnostic",
            file=sys.stderr,
        )
    if len(runs) > WORDS_MAX:
        print(f"harnex: and the logs of {len(runs) - WORDS_MAX} more runs lack calls", file=sys.stderr)


# ---- the CLIs' own files ----


def _from_files(
    cli: str,
    names: tuple[str, ...],
    since: float | None,
    by: str | None,
    repo: str | None,
    which: str | None,
    bodies: bool,
    as_json: bool,
    as_csv: bool,
) -> int:
    from harnex.usage import logs

    found = logs.find(names or sources.own_folders(cli), cli)
    if since is not None:
        found.files = [f for f in found.files if os.stat(f).st_mtime >= since]
    source = sources.Files(cli, found.files)
    prices = remembered()
    wanted = paths.repo_root(repo) if repo else None
    single_calls = by in ("call", "turn") or (as_json and by is None) or which is not None

    # Claude Code 2.0 names the types of sub-agents in tool results.
    full = single_calls or by == "agent"

    def records() -> Iterator[dict[str, Any]]:
        for r in source.records(full, since, _redacted() if full else str):
            if wanted is None or r["repo"] == wanted:
                r["cost_usd"] = sources.cost(r, prices)
                yield r

    head: dict[str, Any] = {"id": None, "run_id": None, "cli": cli}
    if single_calls:
        every = list(records())
        source.attribute(every)
        if which is not None:
            _tell(source, found.problems)
            return _one_call(every, which, bodies, None, source, as_json)
        turns = _turns_of(source)
        head["files"] = len(found.files)
        head["problems"] = source.problems()
        code = _show(every, by or "session", head, turns, prices, as_json, as_csv, by is not None)
    else:
        by = by or "session"
        summed = records() if full else source.sums(by, prices, since, wanted)
        code = _show(summed, by, head, None, prices, as_json, as_csv, True, source)
    bad = _tell(source, found.problems)
    return code or (errors.FAILED if bad else errors.DONE)


def _redacted() -> Callable[[str], str]:
    """Return a function that redacts secrets from previews of texts."""
    from harnex.redaction.redactor import Redactor, secret_values

    return Redactor(secret_values(dict(os.environ))).text


def _turns_of(source: sources.Files) -> list[dict[str, Any]]:
    return [
        {"session": session, "turn": n, "started_at": at or None}
        for session, starts in source.turns.items()
        for n, at in enumerate(starts, 1)
    ]


def _tell(source: sources.Files, problems: list[str]) -> bool:
    """Print what was wrong with which files. Returns whether a file could not be read."""
    told = [*problems, *(f"{r.path}: {word}" for r in source.reports for word in r.words())]
    for line in told[:WORDS_MAX]:
        print(f"harnex: {line}", file=sys.stderr)
    if len(told) > WORDS_MAX:
        print(f"harnex: and {len(told) - WORDS_MAX} more (--json lists them)", file=sys.stderr)
    return bool(problems) or any(r.problem for r in source.reports)


# ---- what is printed ----


def _show(
    records: Iterable[dict[str, Any]] | sums.Groups,
    by: str,
    head: dict[str, Any],
    turns: list[dict[str, Any]] | None,
    prices: Prices,
    as_json: bool,
    as_csv: bool,
    grouped: bool,
    source: sources.Files | None = None,
) -> int:
    """Print the records. `grouped`: `--by` was given, so `--json` has groups;
    otherwise it has all calls."""
    groups = records if isinstance(records, sums.Groups) else sums.Groups(by)
    keep = by == "call" or (as_json and not grouped) or (as_json and head["id"] is not None)
    calls, rests = list[dict[str, Any]](), list[dict[str, Any]]()
    for r in records if not isinstance(records, sums.Groups) else ():
        groups.add(r)
        if keep:
            (rests if "call_ids" in r else calls).append(r)
    prices.remember()
    totals = {**groups.total.fields(), "prices": prices.version}
    if as_json:
        out = dict(head)
        if keep:
            out["calls"] = calls
            if rests:
                out["rests"] = rests
            if turns is not None and head["id"] is not None:
                out["turns"] = sums.turns_used(turns, [*calls, *rests])
            else:
                out["turns"] = turns if turns is not None else []
        if grouped and by != "call":
            out["by"], out["groups"] = by, groups.rows()
        if source is not None:
            out["files"], out["problems"] = len(source.files), source.problems()
        out["totals"] = totals
        sys.stdout.write(jsonl.dumps(out) + "\n")
    elif as_csv:
        _csv(calls if by == "call" else groups.rows(), by)
    else:
        _print(calls if by == "call" else groups.rows(), by, totals)
        if not totals["calls"]:
            print("no model calls", file=sys.stderr)
        elif prices.version is None:
            print(f"no costs: the price list is an extra ({EXTRA})", file=sys.stderr)
    return errors.DONE


def _csv(rows: list[dict[str, Any]], by: str) -> None:
    import csv

    if by == "call":
        names = [n for n in sums.CALL_FIELDS if n not in ("raw", "text_preview")]
    else:
        names = [*sums.KEYS[by], *(n for n in sums.Sums().fields())]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(n)) for n in names])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):  # `unknown`: how many calls did not report a number
        return " ".join(f"{k}={v}" for k, v in value.items())
    return str(value)


_NUMBERS = (
    Column("INPUT", True, 7),
    Column("CACHED", True, 4),
    Column("WRITTEN", True, 2),
    Column("OUTPUT", True, 7),
    Column("REASONING", True, 1),
    Column("TOTAL", True, 8),
)
_KEYS = {
    "turn": (Column("SESSION", elastic=True, keep=6), Column("TURN", True, 9)),
    "session": (Column("SESSION", elastic=True, keep=9), Column("CLI", keep=3), Column("WHERE", elastic=True, keep=0)),
    "day": (Column("DAY", keep=9),),
    "model": (Column("MODEL", elastic=True, keep=9),),
    "repo": (Column("WHERE", elastic=True, keep=9),),
    "agent": (Column("SESSION", elastic=True, keep=6), Column("AGENT", elastic=True, keep=9)),
    "call": (
        Column("CALL", True, 9),
        Column("TIME", keep=3),
        Column("TURN", True, 5),
        Column("AGENT", elastic=True, keep=5),
        Column("MODEL", elastic=True, keep=3),
    ),
}


def _print(rows: list[dict[str, Any]], by: str, totals: dict[str, Any]) -> None:
    if not rows:
        return
    columns: list[Column] = [*_KEYS[by]]
    if by != "call":
        columns.append(Column("CALLS", True, 8))
    columns += [*_NUMBERS, Column("HIT", True, 3), Column("COST", True, 6)]
    if by == "call":
        columns += [Column("TOOK", True, 1), Column("", keep=2)]
    table = [[*_key(row, by), *_numbers(row, by)] for row in rows]
    total = {**totals, "partial": False}
    blank = [""] * len(_KEYS[by])
    blank[0] = "total" if by != "call" else str(totals["calls"])
    table.append([*blank, *_numbers(total, by)])
    for line in _table.lines(columns, table, _table.terminal_width(), len(table) - 1):
        sys.stdout.write(line + "\n")
    unknown = totals["unknown"]
    if unknown:
        count = max(unknown.values())
        print(f"+ is a sum of what is known: {count:,} of {totals['calls']:,} calls did not tell", file=sys.stderr)
    absent = [name for name in ("input", "output") if totals[f"{name}_tokens"] is None]
    if absent:
        print(f"no {' and no '.join(absent)} tokens: none of {_calls(totals['calls'])} tells them", file=sys.stderr)


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"


def _key(row: dict[str, Any], by: str) -> list[str]:
    who = str(row.get("id") or (row.get("session") or "")[:18] or "?")
    if by == "turn":
        return [who, "" if row["turn"] is None else str(row["turn"])]
    if by == "session":
        return [who, str(row["cli"] or ""), short_path(str(row["repo"])) if row["repo"] else ""]
    if by == "agent":
        return [who, str(row["agent"])]
    if by == "repo":
        return [short_path(str(row["repo"])) if row["repo"] else "?"]
    if by == "call":
        turn = "" if row["turn"] is None else str(row["turn"])
        return [str(row["n"]), _time(row["ts"]), turn, str(row["agent"]), str(row["model"] or "?")]
    return [str(row[by] or "?")]


def _numbers(row: dict[str, Any], by: str) -> list[str]:
    unknown = row.get("unknown") or {}
    cells = [] if by == "call" else [f"{row['calls']:,}"]
    for name in sums.TOKENS:
        cells.append(_count(row[name], name in unknown))
    rate = row.get("cache_hit_rate")
    if rate is None and row["input_tokens"] and row["cache_read_tokens"] is not None:
        rate = row["cache_read_tokens"] / row["input_tokens"]
    cells.append("" if rate is None else f"{rate:.0%}")
    cells.append(_money(row["cost_usd"], "cost_usd" in unknown))
    if by == "call":
        took = row.get("duration_s")
        cells += ["" if took is None else f"{took:,.1f}s", "partial" if row["partial"] else ""]
    return cells


def _count(value: int | None, more: bool) -> str:
    return "" if value is None else f"{value:,}{'+' * more}"


def _money(value: float | None, more: bool) -> str:
    if value is None:
        return ""
    return f"${value:,.2f}{'+' * more}" if value >= 1 or value == 0 else f"${value:.4f}{'+' * more}"


def _time(at: str | None) -> str:
    when = times.seconds(at)
    return "" if when is None else times.local(when, "%m-%d %H:%M:%S")


# ---- one call ----


def _one_call(
    records: list[dict[str, Any]],
    which: str,
    bodies: bool,
    run: sources.Run | None,
    source: sources.Files | None,
    as_json: bool,
) -> int:
    calls = [r for r in records if "call_ids" not in r]
    record = next((r for r in calls if which in (str(r["n"]), r["call_id"])), None)
    if record is None:
        raise HarnexError(f"there is no call {which}", f"there are {len(calls)}: harnex usage --by call")
    prices = remembered()
    record["cost_usd"] = prices.cost(record)
    prices.remember()
    if bodies:
        from harnex.usage.chats import bodies_of

        record = {**record, **bodies_of(record, run, source)}
    if as_json:
        sys.stdout.write(jsonl.dumps(record) + "\n")
        return errors.DONE
    for key, value in record.items():
        if key == "request":
            for message in value:
                words = message.get("content") or jsonl.dumps(message.get("tool_calls"))
                sys.stdout.write(f"--- {message['role']}\n{words}\n")
        elif value is not None and value != "":
            sys.stdout.write(f"{key}: {value if isinstance(value, str) else jsonl.dumps(value)}\n")
    return errors.DONE

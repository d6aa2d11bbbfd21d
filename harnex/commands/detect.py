"""`harnex detect`."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from harnex import errors, jsonl
from harnex.commands.send import read_file
from harnex.errors import UsageError
from harnex.model.facts import Fact, Observation, Retracted, ScreenView, State

if TYPE_CHECKING:
    from harnex.agents.contract import Adapter, Reader, Version
    from harnex.machines.activity import Activity, Verdict

LONG_S = 1e6  # longer than any wait for a quiet screen
_CAST = re.compile(r"\.cast(?:\.\d+)?$")  # a recording, or an older part of a recording
# Escape sequences in the text of a capture with colours (`tmux capture-pane -e`).
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78cDEHMNOZ])")


@click.command("detect")
@click.option("--cli", required=True, metavar="CLI", help="Whose screen it is: codex, claude.")
@click.option(
    "--cli-version", metavar="V", help="The CLI's version (default: the screen's word, else the newest known)."
)
@click.option("--title", metavar="T", help="The terminal's title at that moment.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per screen (the default).")
@click.option("--text", "as_text", is_flag=True, help="A line of words per screen instead.")
@click.argument("files", nargs=-1, metavar="[FILE...|-]")
def command(
    cli: str, cli_version: str | None, title: str | None, as_json: bool, as_text: bool, files: tuple[str, ...]
) -> int:
    """What the adapter makes of screens: a .cast up to its end, the output of `pane --json`, or plain text.

    One JSON line each: file, state, dialog, reason, source, certain, needs. `certain` is false where the screen does
    not decide the state; `needs` says what would: cursor and title are in a .cast and in `pane --json`, bytes in a
    .cast, history in the agent's own records. This is how to report a wrong state.
    """
    from harnex.agents import catalogue

    if as_json and as_text:
        raise UsageError("--json and --text exclude each other")
    if not catalogue.is_known(cli):
        raise UsageError(f"no adapter for '{cli}'", "known: " + ", ".join(catalogue.names()))
    from harnex.launch import versions

    version = versions.parse(cli_version)
    if cli_version is not None and version is None:
        raise UsageError(f"'{cli_version}' is not a version", "for example 2.1.329")
    adapter = catalogue.adapter_for(cli)
    for name in files or ("-",):
        row = {"file": name, **judge_file(adapter, version, name, title)}
        sys.stdout.write((_words(row) if as_text else jsonl.dumps(row)) + "\n")
    return errors.DONE


def judge_file(adapter: Adapter, version: Version | None, name: str, title: str | None) -> dict[str, Any]:
    """Judge the (last) screen of a file. Raises UsageError if the file can't be read."""
    if not _CAST.search(name):
        return judge(adapter, version, view_of(name, title))
    from harnex.store import replay

    if not os.path.isfile(name):
        read_file(name)  # raises the error that says why
    if version is None:
        version = _shown_version(adapter, (moment.view for moment in replay.moments(name)))
    activity, reader = _fresh(adapter, version)
    at, looked_at = 0.0, False
    before: ScreenView | None = None
    for moment in replay.moments(name):
        at, view = moment.at, moment.view if title is None else replace(moment.view, title=title)
        activity.decide(at)  # settle what was due before this moment
        activity.output(at)
        for code, body in moment.oscs:
            _take(activity, reader.osc(code, body), at)
        if view != before:
            activity.changed(at)
            first = not looked_at and any(line.strip() for line in view.lines)
            _take(activity, reader.look(view) if first else reader.screen(view), at)
            looked_at, before = looked_at or first, view
        activity.decide(at)
    return _row(activity.decide(at + LONG_S))


def judge(adapter: Adapter, version: Version | None, view: ScreenView) -> dict[str, Any]:
    """Judge one screen and its title, as if all the time that a decision may need had passed."""
    activity, reader = _fresh(adapter, version or _shown_version(adapter, (view,)))
    _take(activity, reader.look(view), 0.0)
    return _row(activity.decide(LONG_S))


def view_of(name: str, title: str | None) -> ScreenView:
    """Return the screen of a text file, or the last screen that `pane --json` printed."""
    text = read_file(name)
    view = _pane(text)
    if view is None:
        lines = tuple(line.rstrip() for line in _ESCAPES.sub("", text).replace("\r", "").split("\n"))
        while lines and not lines[-1]:
            lines = lines[:-1]
        view = ScreenView(lines, columns=max(map(len, lines), default=80), cursor_known=False)
    return view if title is None else replace(view, title=title)


def _pane(text: str) -> ScreenView | None:
    last = text.rstrip().rpartition("\n")[2]
    if not last.startswith("{"):
        return None
    try:
        row = json.loads(last)
        lines, cursor = [str(line) for line in row["lines"]], row["cursor"]
        return ScreenView(
            tuple(line.rstrip() for line in lines),
            (int(cursor[0]), int(cursor[1])),
            bool(row.get("cursor_hidden")),
            int(row.get("columns") or 120),
            str(row.get("title") or ""),
            bool(row.get("alternate")),
        )
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _fresh(adapter: Adapter, version: Version | None) -> tuple[Activity, Reader]:
    from harnex.machines.activity import Activity

    version = version or (adapter.known[1] if adapter.known else None)
    return Activity(adapter.sources, version, 0.0), adapter.reader(version)


def _shown_version(adapter: Adapter, views: Iterable[ScreenView]) -> Version | None:
    reader = adapter.reader(None)
    return next((v for v in map(reader.shown_version, views) if v), None)


def _take(activity: Activity, facts: Iterable[Fact], now: float) -> None:
    for fact in facts:
        if isinstance(fact, Observation | Retracted):
            activity.observe(fact, now)


def _row(verdict: Verdict) -> dict[str, Any]:
    needs = list(verdict.needs)
    if verdict.state is State.UNKNOWN or not verdict.source:
        needs = needs or ["history"]
    return {
        "state": verdict.state.value,
        "dialog": (verdict.dialog or None) if verdict.state is State.BLOCKED else None,
        "reason": verdict.reason,
        "source": verdict.source or None,
        "certain": not needs,
        "needs": needs,
    }


def _words(row: dict[str, Any]) -> str:
    state = f"{row['state']} ({row['dialog']})" if row["dialog"] else row["state"]
    return f"{row['file']}: {state}, {'certain' if row['certain'] else 'not certain'}: {row['reason']}"

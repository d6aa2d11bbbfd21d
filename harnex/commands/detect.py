"""`harnex detect`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from harnex import errors, jsonl
from harnex.commands.send import read_file
from harnex.errors import UsageError
from harnex.model import Observation, ScreenView, State


@click.command("detect")
@click.option("--cli", required=True, metavar="CLI", help="Whose screen it is: codex, claude.")
@click.option("--cli-version", metavar="V", help="The CLI's version (default: the newest that was measured).")
@click.option("--title", metavar="T", help="The terminal's title at that moment.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per screen (the default).")
@click.argument("files", nargs=-1, metavar="[FILE...|-]")
def command(cli: str, cli_version: str | None, title: str | None, as_json: bool, files: tuple[str, ...]) -> int:
    """What the adapter makes of screens: plain text, or the last screen of a .cast.

    One JSON line each: file, state, dialog, reason, source. This is how to report a wrong state.
    """
    from harnex.adapters import NAMES, adapter_for

    if cli not in NAMES:
        raise UsageError(f"no adapter for '{cli}'", "known: " + ", ".join(NAMES))
    from harnex.supervisor import versions

    version = versions.parse(cli_version)
    if cli_version is not None and version is None:
        raise UsageError(f"'{cli_version}' is not a version", "for example 2.1.329")
    adapter = adapter_for(cli)
    for name in files or ("-",):
        view = view_of(name, title)
        row = {"file": name, **judge(adapter, version or (adapter.known[1] if adapter.known else None), view)}
        sys.stdout.write(jsonl.dumps(row) + "\n")
    return errors.DONE


def view_of(name: str, title: str | None) -> ScreenView:
    """The screen in a file."""
    if name.endswith(".cast"):
        from harnex.store import replay

        if not os.path.isfile(name):
            read_file(name)  # the error that says why
        view = replay.last_screen(name).view()
        return view if title is None else ScreenView(view.lines, view.cursor, view.cursor_hidden, view.columns, title)
    text = read_file(name)
    lines = tuple(line.rstrip() for line in text.split("\n"))
    if lines and not lines[-1]:
        lines = lines[:-1]
    return ScreenView(lines, columns=max([80, *map(len, lines)]), title=title or "")


def judge(adapter: Any, version: tuple[int, ...] | None, view: ScreenView) -> dict[str, Any]:
    """The fused state of one screen and its title, with all time that it could need gone by."""
    from harnex.core.activity import Activity

    activity = Activity(adapter.sources, version, 0.0)
    reader = adapter.reader(version)
    facts = list(reader.osc(0, view.title)) if view.title else []
    facts += reader.screen(view)
    for fact in facts:
        if isinstance(fact, Observation):
            activity.observe(fact, 0.0)
    verdict = activity.decide(1e6)
    state = verdict.state
    return {
        "state": state.value,
        "dialog": (verdict.dialog or None) if state is State.BLOCKED else None,
        "reason": verdict.reason,
        "source": verdict.source or None,
    }

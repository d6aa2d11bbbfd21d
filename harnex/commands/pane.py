"""`harnex pane`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from harnex import errors, jsonl, output
from harnex.client import connect
from harnex.commands._find import live_session, run_of
from harnex.commands._types import which_session
from harnex.commands.events import reader_is_gone
from harnex.errors import HarnexError, NotFound, UsageError
from harnex.store import named

EVERY_S = 0.25  # how often --follow asks for the screen


@click.command("pane")
@which_session
@click.option("--follow", is_flag=True, help="Redraw it until the session ends.")
@click.option("--json", "as_json", is_flag=True, help="An object: lines, cursor, size, title, state.")
@click.option("--ansi", is_flag=True, help="With colours, as terminal sequences.")
@click.option("--svg", metavar="FILE", help="Draw it into an SVG file (- for standard output).")
def command(
    session_id: str | None, repo: str | None, cli: str | None, follow: bool, as_json: bool, ansi: bool, svg: str | None
) -> int:
    """The agent's screen now; of a finished session, its last one."""
    if sum((as_json, ansi, svg is not None)) > 1 or (follow and svg is not None):
        raise UsageError("--json, --ansi and --svg exclude each other, and --svg can't --follow")
    form = "ansi" if ansi or (follow and not as_json and sys.stdout.isatty()) else "svg" if svg is not None else "text"
    try:
        record = live_session(session_id, repo, cli)
    except NotFound:
        show(last_screen(session_id, repo, cli, form), as_json, svg)
        return errors.DONE
    if not follow:
        show(ask(record, form), as_json, svg)
        return errors.DONE
    before = None
    while True:
        try:
            reply = ask(record, form)
        except HarnexError:
            return errors.DONE  # the session has ended
        seen = {k: v for k, v in reply.items() if k not in ("ok",)}
        if seen != before:
            if form == "ansi" and sys.stdout.isatty():
                output.draw(sys.stdout, output.CLEAR)
            show(reply, as_json, None)
            before = seen
        if reader_is_gone():
            raise BrokenPipeError
        time.sleep(EVERY_S)


def ask(record: dict[str, Any], form: str) -> dict[str, Any]:
    reply = connect.request(record, {"op": "pane", "format": form})
    if not reply.get("ok"):
        raise HarnexError(str(reply.get("error")), str(reply.get("hint", "")))
    return reply


def last_screen(session_id: str | None, repo: str | None, cli: str | None, form: str) -> dict[str, Any]:
    """Build the same reply for a finished run, from its recording.

    Raises NotFound, or HarnexError if the run has no recording.
    """
    from harnex.store import replay
    from harnex.terminal.draw import to_ansi, to_svg

    directory, row, _ = run_of(session_id, repo, cli)
    files = replay.files(directory)
    if not files:
        raise HarnexError(f"session '{row['id']}' left no recording", f"looked in {directory}")
    screen = replay.last_screen(files[-1])
    view = screen.view()
    reply: dict[str, Any] = {
        "id": row["id"],
        "run_id": row["run_id"],
        "state": "exited",
        "dialog": None,
        "columns": view.columns,
        "rows": len(view.lines),
        "cursor": list(view.cursor),
        "cursor_hidden": view.cursor_hidden,
        "title": view.title,
        "alternate": view.alternate,
        "lines": list(view.lines),
    }
    if form == "ansi":
        reply["data"] = to_ansi(screen).decode("utf-8", "replace")
    elif form == "svg":
        reply["data"] = to_svg(screen, f"{row['id']} · {row['cli']}")
    return reply


def show(reply: dict[str, Any], as_json: bool, svg: str | None) -> None:
    """Print the reply, or write the SVG file."""
    if as_json:
        sys.stdout.write(jsonl.dumps({k: v for k, v in reply.items() if k not in ("ok", "exit_code")}) + "\n")
    elif svg is not None and svg != "-":
        path = os.path.abspath(svg)
        try:
            named.write(path, str(reply.get("data", "")).encode("utf-8", "replace"))
        except OSError as e:
            raise HarnexError(f"can't write {svg}: {e.strerror}", "", errors.USAGE) from None
        print(f"harnex: wrote {path}", file=sys.stderr)
    elif svg is not None and "data" in reply:
        sys.stdout.write(str(reply["data"]) + "\n")
    elif "data" in reply:
        # harnex drew these escape sequences itself.
        output.draw(sys.stdout, str(reply["data"]) + "\n")
    else:
        lines = list(reply["lines"])
        while lines and not lines[-1]:
            lines.pop()
        sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()

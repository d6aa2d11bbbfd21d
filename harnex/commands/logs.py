"""`harnex logs`."""

from __future__ import annotations

import os
import sys
import time
from collections import deque

import click

from harnex import errors, output
from harnex.commands._find import run_of
from harnex.commands._types import which_session
from harnex.commands.events import reader_is_gone
from harnex.errors import HarnexError
from harnex.store import registry, replay


@click.command("logs")
@which_session
@click.option("--follow", is_flag=True, help="Go on printing until the session has ended.")
@click.option("--lines", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--cast", is_flag=True, help="The recording itself (asciicast v2; any asciinema player replays it).")
@click.option(
    "--raw", is_flag=True, help="On a terminal, too: the text as it is. By default control characters are shown there."
)
def command(
    session_id: str | None, repo: str | None, cli: str | None, follow: bool, lines: int | None, cast: bool, raw: bool
) -> int:
    """What the agent printed: its text, as it scrolled by, and its last screen. Also of finished sessions."""
    if raw:
        output.obey()
    directory, record, lives = run_of(session_id, repo, cli)
    if not replay.files(directory):
        raise HarnexError(f"session '{record['id']}' left no recording", f"looked in {directory}")
    if cast:
        return print_cast(directory, record if follow and lives else None)
    if not follow or not lives:
        print_text(directory, lines)
        return errors.DONE
    return follow_text(directory, record, lines)


def print_text(directory: str, lines: int | None) -> None:
    """Print the transcript, or its last lines."""
    text = replay.read_text(replay.files(directory))
    for line in text if lines is None else deque(text, maxlen=lines):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_cast(directory: str, following: dict[str, object] | None) -> int:
    """Print the newest recording file unchanged. Older, rotated files lie beside it."""
    path = replay.files(directory)[-1]
    with open(path, "rb") as f:
        while True:
            while data := f.read(1 << 16):
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            if following is None or reader_is_gone():
                return errors.DONE
            time.sleep(0.1)
            if not registry.is_live(following):
                following = None


def follow_text(directory: str, record: dict[str, object], lines: int | None) -> int:
    """Print lines as they scroll away, then the last screen."""
    text = replay.Replay(os.path.join(directory, replay.NAME))
    backlog: deque[str] = deque(text.scrolled(), maxlen=lines)
    for line in backlog:
        sys.stdout.write(line + "\n")
    while True:
        sys.stdout.flush()
        if reader_is_gone():
            raise BrokenPipeError
        time.sleep(0.1)
        lives = registry.is_live(record)
        for line in text.scrolled():
            sys.stdout.write(line + "\n")
        if not lives:
            for line in text.shown():
                sys.stdout.write(line + "\n")
            return errors.DONE

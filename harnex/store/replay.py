"""Plays a recording back, also one that is still being written.

A player yields the recording's lines as they scroll away, and keeps its screen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harnex.model.facts import ScreenView
from harnex.store.recording import parts
from harnex.store.tail import LineTail
from harnex.terminal.scanner import Scanner
from harnex.terminal.screen import Screen, make_screen

NAME = "session.cast"


def files(run_dir: str) -> list[str]:
    """The parts of a run's recording, oldest first; [] if there is none."""
    return parts(os.path.join(run_dir, NAME))


class Replay:
    """A player of one cast file.

    `screen` is what the last whole line of the file left on the terminal.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._tail = LineTail(os.fspath(path))
        self.screen: Screen = make_screen(80, 24)
        self._alternate: list[str] = []
        self.played = 0  # output events so far

    def scrolled(self) -> Iterator[str]:
        """Play what is new and yield the lines that left the top of the screen.

        Lazy: it plays only as far as it is consumed.
        """
        for line in self._tail.lines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # a line that a crash tore
            if isinstance(row, dict):
                self.screen = make_screen(_side(row.get("width"), 80), _side(row.get("height"), 24))
            elif isinstance(row, list) and len(row) == 3 and isinstance(row[2], str):
                if row[1] == "o":
                    self.played += 1
                    self.screen.feed(row[2].encode("utf-8", "replace"))
                elif row[1] == "r":
                    columns, _, rows = row[2].partition("x")
                    if columns.isdecimal() and rows.isdecimal():
                        self.screen.resize(_side(int(columns), 80), _side(int(rows), 24))
            yield from self.screen.scrolled()
            if self.screen.alternate:
                self._alternate = self.shown()
            elif self._alternate:
                # A full-screen program has left: its last screen would otherwise be seen nowhere.
                yield from self._alternate
                self._alternate = []

    def shown(self) -> list[str]:
        """The lines on the screen now, without blank lines at the end."""
        lines = list(self.screen.view().lines)
        while lines and not lines[-1]:
            lines.pop()
        return lines


def read_text(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """The transcript of a recording's parts, oldest first: every line that scrolled off, then the
    last screen.

    Lazy. Each part starts with a full frame of the end of the part before, so only the last part's
    screen is yielded.
    """
    shown: list[str] = []
    for path in paths:
        replay = Replay(path)
        yield from replay.scrolled()
        if replay.played:  # a part that was only begun shows nothing yet
            shown = replay.shown()
    yield from shown


def last_screen(path: str | os.PathLike[str]) -> Screen:
    """The screen at the end of a cast file."""
    replay = Replay(path)
    for _ in replay.scrolled():
        pass
    return replay.screen


LOOK_S = 0.1  # seconds; a live session looks at its screen at most this often


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of rest in a recording.

    `at` is seconds from the start, `view` is the screen, `oscs` are the OSC sequences (code, body)
    since the last moment.
    """

    at: float
    view: ScreenView
    oscs: tuple[tuple[int, str], ...]


def moments(path: str | os.PathLike[str]) -> Iterator[Moment]:
    """What a session would have seen of a recording (asciicast v2 or v3).

    Lazy; the end comes last. Raises OSError.
    """
    screen, scanner = make_screen(80, 24), Scanner()
    oscs: list[tuple[int, str]] = []
    at = looked = 0.0
    shown = True  # the latest output was looked at
    relative = False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            row = _row(line)
            if isinstance(row, dict):
                relative = row.get("version") == 3
                term = row.get("term") if isinstance(row.get("term"), dict) else {}
                assert isinstance(term, dict)
                wide, high = row.get("width", term.get("cols")), row.get("height", term.get("rows"))
                screen = make_screen(_side(wide, 80), _side(high, 24))
            if not isinstance(row, list):
                continue
            then = at + row[0] if relative else max(at, row[0])
            if not shown and not scanner.modes.synced and then - looked >= LOOK_S:
                yield Moment(at, screen.view(), tuple(oscs))
                oscs, looked, shown = [], at, True
            at = then
            if row[1] == "o":
                scanned = scanner.feed(row[2].encode("utf-8", "replace"))
                oscs += scanned.oscs
                screen.feed(scanned.clean)
                screen.scrolled()
                shown = False
            elif row[1] == "r":
                columns, _, rows = row[2].partition("x")
                if columns.isdecimal() and rows.isdecimal():
                    screen.resize(_side(int(columns), 80), _side(int(rows), 24))
                    shown = False
    yield Moment(at, screen.view(), tuple(oscs))


def _row(line: str) -> dict[str, object] | list[Any] | None:
    """The head of a recording (dict) or an event of it [time, kind, text].

    None for a torn line, a comment, or anything else.
    """
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if isinstance(row, dict):
        return row
    event = isinstance(row, list) and len(row) == 3 and isinstance(row[0], int | float) and isinstance(row[2], str)
    return row if event else None


def _side(value: object, default: int) -> int:
    return min(value, 2000) if isinstance(value, int) and value > 0 else default

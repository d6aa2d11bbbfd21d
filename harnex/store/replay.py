"""Playing a recording back, also one that is still being written: its lines as they scroll away, its screen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator

from harnex.core.screen import Screen, make_screen
from harnex.store.recording import parts
from harnex.store.tail import LineTail

NAME = "session.cast"


def files(run_dir: str) -> list[str]:
    """The parts of a run's recording, oldest first; [] if it has none."""
    return parts(os.path.join(run_dir, NAME))


class Replay:
    """A player of one cast file. `screen` is what its last whole line left on the terminal."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._tail = LineTail(os.fspath(path))
        self.screen: Screen = make_screen(80, 24)
        self._alternate: list[str] = []
        self.played = 0  # output events so far

    def scrolled(self) -> Iterator[str]:
        """Play what is new and give the lines that left the top of the screen."""
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
                # A full-screen program has left: what it showed last would else be seen nowhere.
                yield from self._alternate
                self._alternate = []

    def shown(self) -> list[str]:
        """The lines on the screen now, without blank ones at the end."""
        lines = list(self.screen.view().lines)
        while lines and not lines[-1]:
            lines.pop()
        return lines


def read_text(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """The transcript of a recording's parts, oldest first: every line that scrolled off, then the last screen.

    Each part starts with a full frame of what the one before ended with, so only the last part's screen is given.
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


def _side(value: object, default: int) -> int:
    return min(value, 2000) if isinstance(value, int) and value > 0 else default

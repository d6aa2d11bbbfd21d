"""What is on the terminal: the interface of an emulator, and the factory.

Importing this module is cheap. `make_screen` imports pyte (30 ms), so readers of logs and states never pay for it.
"""

from __future__ import annotations

from typing import Protocol

from harnex.model.facts import ScreenView
from harnex.terminal.styles import Runs


class Screen(Protocol):
    """A terminal of `columns` x `rows`. `feed` never raises, whatever the bytes; positions are (row, column) from 0."""

    @property
    def columns(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def cursor(self) -> tuple[int, int]: ...
    @property
    def cursor_hidden(self) -> bool: ...
    @property
    def alternate(self) -> bool: ...
    @property
    def title(self) -> str: ...
    @property
    def dropped(self) -> int:
        """Lines that scrolled off and were dropped because nobody asked for them in time."""

    def feed(self, data: bytes) -> None:
        """Draw this, however long it takes."""

    def push(self, data: bytes) -> None:
        """Take this; `advance` draws it."""

    def advance(self, work: int) -> int:
        """Draw what was pushed, for so many units of work (each about a microsecond), and say how many it were.
        The screen is good to look at in between, too: it is then what it was somewhere in the middle."""

    @property
    def behind(self) -> bool:
        """Whether something that was pushed is not drawn yet."""

    def give_up(self, keep: int) -> int:
        """Forget what was pushed and not drawn, but for its last `keep` bytes, which come on a fresh screen; how many
        bytes that is."""

    def resize(self, columns: int, rows: int) -> None: ...
    def reset(self) -> None: ...
    def view(self) -> ScreenView: ...
    def runs(self, row: int) -> Runs:
        """One row for drawing; plain blanks at its end are left out."""

    def scrolled(self) -> list[str]:
        """The lines that scrolled off the main screen since the last call of this or of `scrolled_runs`."""

    def scrolled_runs(self, most: int | None = None) -> list[Runs]:
        """The same lines with their styles, the first `most` of them; asking for one takes them from the other."""

    def scrolled_next(self, count: int) -> list[Runs]:
        """The first of the lines that would be taken next; they stay."""


def make_screen(columns: int, rows: int) -> Screen:
    from harnex.terminal.emulator import Emulator

    return Emulator(columns, rows)

"""What is on the terminal: the interface of an emulator, and the factory.

Importing this module is cheap. `make_screen` imports pyte (30 ms), so readers of logs and states
never pay for pyte.
"""

from __future__ import annotations

from typing import Protocol

from harnex.model.facts import ScreenView
from harnex.terminal.styles import Runs


class Screen(Protocol):
    """A terminal of `columns` x `rows`.

    `feed` never raises, whatever the bytes; positions are (row, column) from 0.
    """

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
        """The number of scrolled lines that were dropped because no reader took them in time."""

    def feed(self, data: bytes) -> None:
        """Draw `data`, however long that takes."""

    def push(self, data: bytes) -> None:
        """Take `data`; `advance` draws it."""

    def advance(self, work: int) -> int:
        """Draw what was pushed, and return the number of units of work done.

        Stops once `work` units (each about a microsecond) are done. The screen may be read in
        between: it then shows a moment in the middle of the data.
        """

    @property
    def behind(self) -> bool:
        """Whether something that was pushed is not drawn yet."""

    def give_up(self, keep: int) -> int:
        """Forget what was pushed and not drawn, and return the number of bytes that were forgotten.

        The last `keep` bytes are not forgotten: they are drawn on a fresh screen.
        """

    def resize(self, columns: int, rows: int) -> None: ...
    def reset(self) -> None: ...
    def view(self) -> ScreenView: ...
    def runs(self, row: int) -> Runs:
        """One row (from 0) for drawing; plain blanks at its end are left out."""

    def scrolled(self) -> list[str]:
        """The lines that scrolled off the main screen since the last call.

        Lines that `scrolled_runs` returned are not returned again.
        """

    def scrolled_runs(self, most: int | None = None) -> list[Runs]:
        """The first `most` of the scrolled lines, with their styles.

        `scrolled` and `scrolled_runs` take from the same lines: a line that one returned, the other
        does not return.
        """

    def scrolled_next(self, count: int) -> list[Runs]:
        """The first of the lines that would be taken next; they stay."""


def make_screen(columns: int, rows: int) -> Screen:
    """A fresh screen. Imports pyte (30 ms)."""
    from harnex.terminal.emulator import Emulator

    return Emulator(columns, rows)

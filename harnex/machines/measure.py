"""Whether the model calls of the turns are being counted: what harnex sees of the work, held against what it hears of calls.

Pure. Any switch of an agent, or of the machine, may make its records go missing (hooks that are off, conversations
that are not kept, a disk that is full), so nothing here knows a switch. A *row* is a record of the main conversation,
from the file in which the calls stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harnex.machines.turns import Closed

# The record of a prompt was 0.1 s late, and 3 s on a busy machine (Claude Code 2.0.50); a turn of an hour has one as
# soon as a short one. A file that is looked for by its name is found within half a second.
SILENT_S = 30.0
# From the end of a turn to its last call (measured: 0.13 s; 2.1 s on a busy machine).
LATE_S = 3.0
EARLY_S = 1.0  # a row may be read so long before the work is seen that it belongs to
LOCAL_S = 1.0  # what is over sooner, and was not asked by a message of ours, may be a command of the CLI itself
OWED = 3  # turns without a call in a row, one right after the other

Gap = Literal["", "silent", "unread"]


@dataclass(slots=True)
class Measure:
    """`gap`: `silent`, the record says nothing though a turn runs or ran; `unread`: it has rows, but no call in them."""

    gap: Gap = ""
    unseen: bool = False  # a message was typed to a program that gives no sign of its turns
    _opened: float | None = None
    _ours: bool = False  # a message of ours began the turn: it goes to the model
    _heard: float = -1e9
    _calls: int = 0  # of this turn
    _tool: float | None = None  # when the first tool of this turn ended, with no call counted
    _tools: int = 0
    _owed: int = 0  # turns that ended well, since a call was counted
    _silent: bool = False  # of the last of them
    _closed: float = 0.0

    # ---- what happens ----

    def opened(self, ours: bool, now: float) -> None:
        self._opened, self._ours = now, ours
        self._calls = self._tools = 0
        self._tool = None

    def heard(self, now: float) -> None:
        """A row was read."""
        self._heard = now

    def called(self) -> None:
        """A call was counted: whatever was missing has come."""
        self._calls += 1
        self._owed, self._tool, self.gap = 0, None, ""

    def tool_ended(self, now: float) -> None:
        """The model asked for a tool, and it has ended: at least one call is over."""
        self._tools += 1
        if not self._calls and self._tool is None:
            self._tool = now

    def closed(self, closed: Closed, now: float) -> None:
        since, self._opened, self._tool = self._opened, None, None
        if since is None or self._calls or closed.end.outcome != "completed":
            return  # an interrupt, or an error of the provider, may come before any call
        silent = self._heard < since - EARLY_S
        answered = bool(closed.end.last_message) or self._tools > 0
        ours = self._ours or closed.message_id is not None
        if answered or (silent and (ours or closed.duration_s >= LOCAL_S)):
            self._owed += 1
            self._silent, self._closed = silent, now

    def untold(self) -> None:
        """A message was typed, and nothing tells whether the program works on it."""
        self.unseen = True

    # ---- what follows ----

    @property
    def settling(self) -> bool:
        """A turn has ended whose calls may still come."""
        return self._owed > 0 and not self.gap

    def step(self, works: bool, now: float) -> Gap:
        """The gap, when it is found; "" while there is none, and when it was told. `works`: the agent is busy."""
        if self.gap:
            return ""
        if self._owed and ((self._opened is None and now >= self._closed + LATE_S) or self._owed >= OWED):
            self.gap = "silent" if self._silent else "unread"
        elif self._opened is not None and works:
            if self._waits and now >= self._opened + SILENT_S:
                self.gap = "silent"
            elif self._tool is not None and now >= self._tool + SILENT_S:
                self.gap = "unread"
        return self.gap

    def wake_at(self) -> float | None:
        """When time alone would change something."""
        if self.gap:
            return None
        if self._opened is None:
            return self._closed + LATE_S if self._owed else None
        times = [self._tool + SILENT_S] if self._tool is not None else []
        if self._waits:
            times.append(self._opened + SILENT_S)
        return min(times, default=None)

    @property
    def _waits(self) -> bool:
        """The turn's first row is still to come. (A long command of the CLI itself, `/compact`, has its row at the end.)"""
        return self._ours and not self._calls and self._opened is not None and self._heard < self._opened - EARLY_S

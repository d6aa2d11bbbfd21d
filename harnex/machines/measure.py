"""Whether the model calls of the turns are being counted: compares the work that harnex sees with
the calls it reads.

Pure. Any switch of an agent or of the machine may make the agent's records go missing (hooks that
are off, conversations that are not kept, a disk that is full), so this module knows no switch. A
*row* here is a record of the main conversation, from the file that holds the calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harnex.machines.turns import Closed

# Seconds without a record until the calls count as missing. The record of a prompt was 0.1 s late,
# and 3 s late on a busy machine (Claude Code 2.0.50); the record of an hour-long turn comes as soon
# as that of a short turn. A file that is looked for by name is found within half a second.
SILENT_S = 30.0
# Seconds from the end of a turn to the record of its last call (measured: 0.13 s; 2.1 s on a busy
# machine).
LATE_S = 3.0
# A record may be read this many seconds before harnex sees the work that the record belongs to.
EARLY_S = 1.0
# A turn shorter than this many seconds, without a message from harnex, may be a command of the CLI
# itself.
LOCAL_S = 1.0
OWED = 3  # turns without a call, one right after the other

Gap = Literal["", "silent", "unread"]


@dataclass(slots=True)
class Measure:
    """Compares the turns with the counted calls.

    `gap` is `silent` if no record comes although a turn runs or ran, `unread` if records come but
    none holds a call, and "" if nothing is missing.
    """

    gap: Gap = ""
    unseen: bool = False  # a message was typed to a program that shows no sign of its turns
    _opened: float | None = None
    _ours: bool = False  # a message from harnex began the turn: the turn calls the model
    _heard: float = -1e9
    _calls: int = 0  # calls counted in this turn
    _tool: float | None = None  # when the first tool of this turn ended, while no call was counted
    _tools: int = 0
    _owed: int = 0  # turns that ended well since the last counted call
    _silent: bool = False  # whether the last of those turns had no record at all
    _closed: float = 0.0

    # ---- what happens ----

    def opened(self, ours: bool, now: float) -> None:
        """Note that a turn opened. `ours`: a message from harnex opened it."""
        self._opened, self._ours = now, ours
        self._calls = self._tools = 0
        self._tool = None

    def heard(self, now: float) -> None:
        """Note that a record was read."""
        self._heard = now

    def called(self) -> None:
        """Note that a call was counted: whatever was missing has come."""
        self._calls += 1
        self._owed, self._tool, self.gap = 0, None, ""

    def tool_ended(self, now: float) -> None:
        """Note that a tool ended.

        The model asked for the tool, so at least one call has finished.
        """
        self._tools += 1
        if not self._calls and self._tool is None:
            self._tool = now

    def closed(self, closed: Closed, now: float) -> None:
        """Note that a turn closed. A turn that ended well must have had a call."""
        since, self._opened, self._tool = self._opened, None, None
        if since is None or self._calls or closed.end.outcome != "completed":
            return  # an interrupt or a provider's error may come before any call
        silent = self._heard < since - EARLY_S
        answered = bool(closed.end.last_message) or self._tools > 0
        ours = self._ours or closed.message_id is not None
        if answered or (silent and (ours or closed.duration_s >= LOCAL_S)):
            self._owed += 1
            self._silent, self._closed = silent, now

    def untold(self) -> None:
        """Note that a message was typed, and nothing shows whether the program works on it."""
        self.unseen = True

    # ---- what follows ----

    @property
    def settling(self) -> bool:
        """Whether a turn has ended whose calls may still come."""
        return self._owed > 0 and not self.gap

    def step(self, works: bool, now: float) -> Gap:
        """Return the gap when it is found; "" while there is none, and after it was returned.

        `works`: the agent is busy.
        """
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
        """When time alone would change something (monotonic seconds); None if never."""
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
        """Whether the turn's first record is still to come.

        (`/compact`, a long command of the CLI itself, has its record at the end.)
        """
        return self._ours and not self._calls and self._opened is not None and self._heard < self._opened - EARLY_S

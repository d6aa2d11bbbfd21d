"""The agent's terminal: every byte scanned at once, the screen fed lazily, the recording paced by it.

The emulator is slower than a flood. What waits for it is bounded: an overflow is dropped and counted,
the emulator starts afresh on what came last, and a change of size makes the agent redraw.
"""

from __future__ import annotations

from collections.abc import Callable

from harnex import __version__
from harnex.core.draw import to_ansi
from harnex.core.screen import Screen, make_screen
from harnex.core.terminal import Scanned, Scanner
from harnex.model import ScreenView
from harnex.store.recording import Recording

FRAME_S = 0.1  # at most ten frames a second (DESIGN section 6)
PENDING_MAX = 256 << 10  # bytes that may wait for the emulator
FLOOD_KEEP = 16 << 10  # bytes of a flood that are still shown: a few screens of text
FLOOD_FRAME_S = 1.0
SYNC_MAX_S = 1.0  # a synchronized update that never ends is not waited for


class Terminal:
    """Scanner, screen and recording of one child. `view` is the screen as it was last settled."""

    def __init__(self, columns: int, rows: int, recording: Recording, now: float) -> None:
        self.screen: Screen | None = None  # made at the first output: an agent that prints nothing costs nothing
        self.size = (columns, rows)
        self.scanner = Scanner(self._cursor, columns, rows, __version__)
        self.recording = recording
        self.write_failures = 0  # of the recording: a full disk costs frames, never the session
        self._begun = now
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._fed = False  # the emulator has something that `settle` has not looked at
        self._shown_of_read = 0  # bytes of the present read that a cursor report has already fed
        self._due = now
        self._synced_since: float | None = None
        self.skipped = 0  # bytes that were never shown, in all
        self._skipped_now = 0
        self.resync_at: float | None = None
        self.view = ScreenView(lines=("",) * rows, columns=columns)
        self.title = ""

    def _cursor(self) -> tuple[int, int]:
        # A cursor report answers for what was written so far, so the emulator has to catch up first, with what
        # this very read shows up to the question, too.
        shown = self.scanner.before[self._shown_of_read :]
        self._shown_of_read += len(shown)
        self._pending.append(shown)
        self._feed()
        return self.screen.cursor if self.screen is not None else (0, 0)

    def output(self, data: bytes, now: float) -> Scanned:
        """Take what the child wrote. The caller sends `replies` to the child and `clean` to the viewers."""
        self._shown_of_read = 0
        scanned = self.scanner.feed(data)
        if self.recording.raw:
            self._record(lambda at: self.recording.output(at, data), now)
        rest = scanned.clean[self._shown_of_read :]
        self._pending.append(rest)
        self._pending_size += len(rest)
        if self._pending_size > PENDING_MAX:
            self._drop(now)
        if not scanned.synced:
            self._synced_since = None
        elif self._synced_since is None:
            self._synced_since = now
        for code, body in scanned.oscs:
            if code in (0, 2):
                self.title = body
        return scanned

    def _drop(self, now: float) -> None:
        """A flood outran the emulator: keep the end of it."""
        data = b"".join(self._pending)
        cut = data.find(b"\n", len(data) - FLOOD_KEEP) + 1 or len(data) - FLOOD_KEEP
        self._pending = [data[cut:]]
        self._pending_size = len(data) - cut
        self.skipped += cut
        self._skipped_now += cut
        self._due = max(self._due, now + FLOOD_FRAME_S)
        self.resync_at = now + FLOOD_FRAME_S

    def wake_at(self, now: float) -> float | None:
        """When there is something to settle."""
        if not self._pending and not self._fed:
            return self.resync_at
        if self._synced_since is not None:
            return max(self._due, self._synced_since + SYNC_MAX_S)
        return self._due

    def settle(self, now: float, early: bool = False, force: bool = False) -> bool:
        """Bring the screen up to date if it is due; True if it may have changed.

        `early`: before it is due, but not inside a synchronized update; `force`: now, whatever it is in.
        """
        if not self._pending and not self._fed:
            return False
        if not force:
            if now < self._due and not early:
                return False
            if self._synced_since is not None and now < self._synced_since + SYNC_MAX_S:
                return False
        self._feed()
        self._fed = False
        self._due = now + FRAME_S
        assert self.screen is not None
        self.view = self.screen.view()
        skipped, self._skipped_now = self._skipped_now, 0
        if skipped:
            self._record(lambda at: self.recording.note_skipped(at, skipped), now)
        if not self.recording.raw:
            screen = self.screen
            self._record(lambda at: self.recording.frame(at, screen), now)
        return True

    def _record(self, write: Callable[[float], object], now: float) -> None:
        try:
            write(now - self._begun)
        except OSError:
            self.write_failures += 1

    def _feed(self) -> None:
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        if self.screen is None:
            self.screen = make_screen(*self.size)
        elif self._skipped_now:
            self.screen.reset()
        self.screen.feed(data)
        self._fed = True

    def resync_due(self, now: float) -> bool:
        """After a flood: the caller should jiggle the size once, so that a full-screen program redraws."""
        if self.resync_at is None or now < self.resync_at:
            return False
        self.resync_at = None
        return True

    def resize(self, columns: int, rows: int, now: float) -> None:
        self._feed()
        self.size = (columns, rows)
        if self.screen is not None:
            self.screen.resize(columns, rows)
            self._fed = True
        self.scanner.resize(columns, rows)
        if self.recording.raw:
            self._record(lambda at: self.recording.resized(at, columns, rows), now)

    def redraw(self) -> bytes:
        """What brings a fresh terminal to this screen and into its modes."""
        self._feed()
        modes = self.scanner.modes
        if self.screen is None:
            return modes.enter()
        return modes.enter() + to_ansi(self.screen)

    def close(self, now: float) -> None:
        self.settle(now, force=True)
        self.recording.close()

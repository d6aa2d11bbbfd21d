"""The agent's terminal: every byte is scanned in turn, the screen is fed lazily, and the
recording follows the screen.

Scanner and emulator are slower than a flood, and some sequences cost them a thousand times what
text does. So each call here does at most `WORK`, and the loop comes back for the rest. While output
is `unread`, the child is not read (it waits, as for any slow terminal). While the emulator is
`drawing`, the screen is incomplete.

What waits for the emulator is bounded, in bytes and in work. An overflow is dropped and counted,
the emulator starts afresh on the latest output, and a change of size makes the agent redraw. Until
then the screen is torn, and does not count as evidence.
"""

from __future__ import annotations

from collections.abc import Callable

from harnex import __version__, clock
from harnex.model.facts import ScreenView
from harnex.store.recording import Recording
from harnex.terminal.draw import to_ansi
from harnex.terminal.modes import Modes
from harnex.terminal.scanner import Position, Scanned, Scanner, end_of
from harnex.terminal.screen import Screen, make_screen

FRAME_S = 0.1  # at most ten frames a second (DESIGN section 6)
PENDING_MAX = 256 << 10  # bytes that may wait for the emulator
# Bytes of a flood that are still shown: a few screens of text.
FLOOD_KEEP = 16 << 10
FLOOD_FRAME_S = 1.0  # in a flood, at most one frame in this time
# A flood that overflowed within this time still goes on: only its end is drawn.
GOES_ON_S = 0.25
REDRAWN_S = 0.25  # after a flood: seconds for the redraw
SYNC_MAX_S = 1.0  # a synchronized update that lasts longer is not waited for
# Units of scanning, and of drawing, in one call: each takes about a
# microsecond, five on a busy machine.
WORK = 3_000
# Units for what the emulator was given at once: output that takes longer is a flood.
LAG_MAX = 300_000
FRAME_ROWS = 50  # scrolled rows that are recorded in one call


class Terminal:
    """Scanner, screen and recording of one child. `view` is the screen as it was last settled."""

    def __init__(self, columns: int, rows: int, recording: Recording, now: float) -> None:
        # Made at the first output: an agent that prints nothing costs nothing.
        self.screen: Screen | None = None
        self.size = (columns, rows)
        self.scanner = Scanner(self._cursor, columns, rows, __version__)
        self.recording = recording
        # Failed writes of the recording: a full disk costs frames, never the session.
        self.write_failures = 0
        self._begun = now
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._drawing = False  # whether the emulator is drawing what it was given
        self._drawn = 0  # units of work spent on that
        # Bytes of its end that are kept if drawing takes too long.
        self._keep = FLOOD_KEEP
        # Work that is left for cursor queries in this call of `output`.
        self._cursor_work = 0
        self._modes = Modes()  # the modes at the end of what the emulator was given
        self._unrecorded = False  # whether lines that scrolled off are not recorded yet
        self._fed = False  # whether the emulator has changes that `settle` has not seen
        self._due = now
        self._synced_since: float | None = None
        self.taken = 0  # bytes to be shown, in all
        self.shown = 0  # the offset among these up to which they are drawn (or skipped)
        self._handed = 0
        self.skipped = 0  # bytes that were never shown, in all
        self._skipped_now = 0
        # In a flood: when the flood will have been over for a while.
        self.resync_at: float | None = None
        # Until then, the screen also moves for other reasons than the agent.
        self.disturbed_until = 0.0
        self.view = ScreenView(lines=("",) * rows, columns=columns)
        self.title = ""

    # ---- output ----

    def disturb(self, seconds: float) -> None:
        """For `seconds`, movement on the screen is no news of the agent: keys were
        sent, or the size changed."""
        self.disturbed_until = max(self.disturbed_until, clock.monotonic() + seconds)

    @property
    def unread(self) -> bool:
        """Whether the scanner has more to do: call `output` again before the child is read."""
        return self.scanner.unread

    @property
    def drawing(self) -> bool:
        """Whether the screen is incomplete: the emulator is still drawing what it was given."""
        return self._drawing

    def output(self, data: bytes, now: float) -> Scanned:
        """Take what the child wrote.

        The caller sends `replies` to the child and `clean` to the viewers.
        """
        if data and self.recording.raw:
            self._record(lambda at: self.recording.output(at, data), now)
        self.scanner.push(data)
        self._cursor_work = WORK
        scanned = self.scanner.scan(WORK)
        self._take(scanned.rest)
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

    def _take(self, data: bytes) -> None:
        if data:
            self._pending.append(data)
            self._pending_size += len(data)
            self.taken += len(data)

    def _cursor(self, shown: bytes) -> Position | None:
        """A cursor report covers everything that was written so far, so the
        emulator has to catch up first."""
        self._take(shown)
        while self._drawing or self._pending:
            if not self._drawing:
                self._hand_over()
            self._cursor_work -= self._draw(max(1, self._cursor_work))
            if self._drawing and self._cursor_work <= 0:
                return None
        return self.screen.cursor if self.screen is not None else (0, 0)

    # ---- the screen ----

    def _hand_over(self) -> None:
        """Give the emulator the pending output."""
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        if self.screen is None:
            self.screen = make_screen(*self.size)
        elif self._skipped_now:
            self.screen.reset()
        self.screen.push(data)
        self._modes = self.scanner.modes.copy()
        self._drawing, self._drawn, self._keep = True, 0, FLOOD_KEEP
        self._handed = self.taken

    def _draw(self, work: int) -> int:
        """Go on drawing, for at most `work` units. Returns how many were used."""
        assert self.screen is not None
        self._fed = True
        used = self.screen.advance(work)
        self._drawn += used
        self._drawing = self.screen.behind
        if not self._drawing:
            self.shown = self._handed
        return used

    def _drop(self, now: float) -> None:
        """A flood outran the emulator: keep only the end of the pending output."""
        data = b"".join(self._pending)
        cut = end_of(data, FLOOD_KEEP)
        self._pending = [data[cut:]]
        self._pending_size = len(data) - cut
        self._skip(cut, now)

    def _give_up(self, now: float) -> None:
        """Drawing takes too long: draw only the end of the output, and if that takes too
        long, only the end of that."""
        assert self.screen is not None
        self._skip(self.screen.give_up(self._keep), now)
        self._keep, self._drawn = self._keep // 4, 0

    def _skip(self, count: int, now: float) -> None:
        self.skipped += count
        self._skipped_now += count
        if self.resync_at is None:  # in a longer flood there is a picture every second
            self._due = max(self._due, now + FLOOD_FRAME_S)
        self.resync_at = now + FLOOD_FRAME_S

    def wake_at(self, now: float) -> float | None:
        """Return when there is something to do."""
        if self.unread or self._drawing or self._unrecorded:
            return now
        if not self._pending and not self._fed:
            return self.resync_at
        due = self._due
        if self._synced_since is not None:
            due = max(due, self._synced_since + SYNC_MAX_S)
        return due if self.resync_at is None else min(due, self.resync_at)

    def settle(self, now: float, early: bool = False, force: bool = False) -> bool:
        """Bring the screen up to date if it is due. Returns whether it may have
        changed and can be relied on.

        `early`: before it is due, but not inside a synchronized update. `force`: now, in any
        condition, for a caller that only looks; the changes are reported once more when they are
        due. Work beyond `WORK` is continued by the next plain calls.
        """
        goes_on = self._drawing
        if goes_on and (early or force):
            return False
        if not goes_on and self._unrecorded:
            self._frame(now)
        if not goes_on:
            if not self._pending and not self._fed:
                return False
            if not force:
                if now < self._due and not early:
                    return False
                if self._synced_since is not None and now < self._synced_since + SYNC_MAX_S:
                    return False
            if self._pending_size > FLOOD_KEEP and self._floods(now):
                self._drop(now)
            if self._pending:
                self._hand_over()
        if self._drawing:
            self._draw(WORK)
            if self._drawing:
                if self._drawn > LAG_MAX:
                    self._give_up(now)
                return False
        settled = self._settled(now)
        self._fed = force
        return settled

    def _floods(self, now: float) -> bool:
        return self.resync_at is not None and now < self.resync_at - FLOOD_FRAME_S + GOES_ON_S

    def _settled(self, now: float) -> bool:
        assert self.screen is not None
        self._fed = False
        torn = self.resync_at is not None
        self._due = now + (FLOOD_FRAME_S if torn else FRAME_S)
        skipped, self._skipped_now = self._skipped_now, 0
        if skipped:
            self._record(lambda at: self.recording.note_skipped(at, skipped), now)
        self._frame(now)
        if torn:
            return False
        self.view = self.screen.view()
        return True

    def finish(self, now: float) -> None:
        """Bring the screen up to date for the last time.

        Output that can't be drawn soon is treated as a flood.
        """
        for _ in range(20):
            self.settle(now, force=not self._drawing)
            if not self._drawing:
                break
        if self.screen is not None:
            if self._drawing:
                self._skip(self.screen.give_up(0), now)
                self._draw(WORK)
                self._settled(now)
            self.view = self.screen.view()

    def _frame(self, now: float) -> None:
        screen = self.screen
        if screen is not None and not self.recording.raw:
            written = self._record(lambda at: self.recording.frame(at, screen, FRAME_ROWS), now)
            self._unrecorded = written and self.recording.behind

    def _record(self, write: Callable[[float], object], now: float) -> bool:
        try:
            write(now - self._begun)
        except OSError:
            self.write_failures += 1
            return False
        return True

    def resync_due(self, now: float) -> bool:
        """Whether a flood has ended: the caller should jiggle the size once, so that a
        full-screen program redraws."""
        if self.resync_at is None or now < self.resync_at:
            return False
        self.resync_at = None
        self._fed = self.screen is not None
        self._due = now + REDRAWN_S
        return True

    def resize(self, columns: int, rows: int, now: float) -> None:
        if self._pending and not self._drawing:
            self._hand_over()
            self._draw(WORK)
        self.size = (columns, rows)
        if self.screen is not None:
            self.screen.resize(columns, rows)
            self._fed = True
        self.scanner.resize(columns, rows)
        if self.recording.raw:
            self._record(lambda at: self.recording.resized(at, columns, rows), now)

    def redraw(self) -> bytes | None:
        """Return the bytes that bring a fresh terminal to where the output is now.

        None while the screen is incomplete: ask again.
        """
        if self._drawing:
            return None
        rest = b"".join(self._pending)
        if self.screen is None or self._skipped_now:
            return self.scanner.modes.enter() + b"\x1b[H\x1b[2J" + rest
        return self._modes.enter() + to_ansi(self.screen) + rest

    def close(self, now: float) -> None:
        self.finish(now)
        while self._unrecorded:
            self._frame(now)
        self.recording.close()

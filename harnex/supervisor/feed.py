"""The agent's terminal: every byte scanned in its turn, the screen fed lazily, the recording paced by it.

Scanner and emulator are slower than a flood, and some sequences cost them a thousand times what text does. So each call
here does at most `WORK`, and the loop comes back for the rest: while something is `unread`, the child is not read (it
waits, as for any slow terminal); while the emulator is `drawing`, the screen is somewhere in the middle. What waits for
the emulator is bounded, in bytes and in work: an overflow is dropped and counted, the emulator starts afresh on what
came last, and a change of size makes the agent redraw. Until then the screen is torn, and nobody takes it for evidence.
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
FLOOD_KEEP = 16 << 10  # bytes of a flood that are still shown: a few screens of text
FLOOD_FRAME_S = 1.0
GOES_ON_S = 0.25  # a flood that overflowed so lately goes on: its pictures are of its end only
REDRAWN_S = 0.25  # after a flood: for the redraw
SYNC_MAX_S = 1.0  # a synchronized update that never ends is not waited for
WORK = 3_000  # units of scanning, and of drawing, in one go: each about a microsecond, five on a busy machine
LAG_MAX = 300_000  # units for what was handed to the emulator at once: what takes longer is a flood
FRAME_ROWS = 50  # scrolled rows that are recorded in one go


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
        self._drawing = False  # the emulator has something in hand
        self._drawn = 0  # units of work on that
        self._keep = FLOOD_KEEP  # bytes of its end, if it takes too long
        self._cursor_work = 0  # that is left for cursor queries in this call of `output`
        self._modes = Modes()  # at the place in the output up to which the emulator was given it
        self._unrecorded = False  # lines that scrolled off
        self._fed = False  # the emulator has something that `settle` has not looked at
        self._due = now
        self._synced_since: float | None = None
        self.taken = 0  # bytes that were to be shown, in all
        self.shown = 0  # of these, up to where they are drawn (or skipped)
        self._handed = 0
        self.skipped = 0  # bytes that were never shown, in all
        self._skipped_now = 0
        self.resync_at: float | None = None  # in a flood: when it will have been over for a while
        self.disturbed_until = 0.0  # somebody else than the agent makes its screen move until then
        self.view = ScreenView(lines=("",) * rows, columns=columns)
        self.title = ""

    # ---- output ----

    def disturb(self, seconds: float) -> None:
        """For so long what moves on the screen is no news of the agent: keys were sent, or the size changed."""
        self.disturbed_until = max(self.disturbed_until, clock.monotonic() + seconds)

    @property
    def unread(self) -> bool:
        """Whether the scanner has more to do: call `output` again, before the child is read."""
        return self.scanner.unread

    @property
    def drawing(self) -> bool:
        """Whether the screen is somewhere in the middle of what it is given."""
        return self._drawing

    def output(self, data: bytes, now: float) -> Scanned:
        """Take what the child wrote. The caller sends `replies` to the child and `clean` to the viewers."""
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
        """A cursor report answers for what was written so far, so the emulator has to catch up first."""
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
        """Give the emulator what is pending."""
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
        """Go on drawing what is in hand, for so much work; how much it was."""
        assert self.screen is not None
        self._fed = True
        used = self.screen.advance(work)
        self._drawn += used
        self._drawing = self.screen.behind
        if not self._drawing:
            self.shown = self._handed
        return used

    def _drop(self, now: float) -> None:
        """A flood outran the emulator: keep the end of it."""
        data = b"".join(self._pending)
        cut = end_of(data, FLOOD_KEEP)
        self._pending = [data[cut:]]
        self._pending_size = len(data) - cut
        self._skip(cut, now)

    def _give_up(self, now: float) -> None:
        """What is in hand takes too long: only its end is drawn, and if that takes too long, only the end of that."""
        assert self.screen is not None
        self._skip(self.screen.give_up(self._keep), now)
        self._keep, self._drawn = self._keep // 4, 0

    def _skip(self, count: int, now: float) -> None:
        self.skipped += count
        self._skipped_now += count
        if self.resync_at is None:  # in a longer one there is a picture every second
            self._due = max(self._due, now + FLOOD_FRAME_S)
        self.resync_at = now + FLOOD_FRAME_S

    def wake_at(self, now: float) -> float | None:
        """When there is something to do."""
        if self.unread or self._drawing or self._unrecorded:
            return now
        if not self._pending and not self._fed:
            return self.resync_at
        due = self._due
        if self._synced_since is not None:
            due = max(due, self._synced_since + SYNC_MAX_S)
        return due if self.resync_at is None else min(due, self.resync_at)

    def settle(self, now: float, early: bool = False, force: bool = False) -> bool:
        """Bring the screen up to date if it is due; True if it may have changed, and can be relied on.

        `early`: before it is due, but not inside a synchronized update; `force`: now, whatever it is in, for somebody who
        only looks: what is new is told once more when it is due. What takes more than `WORK` is gone on with by the next
        plain calls.
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
        """Bring the screen up to date, for the last time; what can't be drawn soon is a flood."""
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
        """After a flood: the caller should jiggle the size once, so that a full-screen program redraws."""
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
        """What brings a fresh terminal to where the output is now; None while the screen is in the middle: ask again."""
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

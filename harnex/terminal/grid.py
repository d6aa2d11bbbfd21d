"""pyte's screen with other cells: what each terminal sequence does. Imported by the emulator only.

Stock pyte 0.8.2 raised IndexError on a quarter of Codex's frames. Kept from pyte: margins, origin
mode, cursor addressing, character sets. Replaced: its cells (`terminal/cells.py`) and everything
that touches them: wide characters and graphemes, alternate screen, scrolling (with the lines that
leave), faint, colon SGR, REP, SU/SD, ED 3. Its tab stops are replaced, too: pyte sorts them anew at
each tab.

Every handler adds to `work` about as many units as it takes microseconds, so that the emulator can
stop in time. No sequence takes more than a screen's worth of work, whatever its count.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect_left, bisect_right, insort
from collections import deque
from typing import Any

import pyte
from pyte import charsets, modes
from wcwidth import wcwidth

from harnex.terminal.cells import Row, apply_sgr
from harnex.terminal.styles import PLAIN, Style

SCROLLED_LINES = 5000  # scrolled lines kept until a reader takes them
# Cells of scrolled lines kept until a reader takes them: at most 10 MB, in a flood.
SCROLLED_CELLS = 600_000
STYLES = 8192  # styles remembered
CELL_CHARACTERS = 12  # characters of one grapheme; further combining marks are dropped

# Emoji that VS16 makes wide and that a ZWJ may join: by blocks, which is near enough.
_EMOJI = re.compile(
    "[#*0-9\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
_FLAG_LETTERS = frozenset(chr(c) for c in range(0x1F1E6, 0x1F200))
_KNOWN_MAX = 50_000
# One-cell characters. The set grows by those that were seen, so that each needs no second look.
_narrow = {chr(c) for c in range(0x20, 0x7F)}
_wide: set[str] = set()  # Two-cell characters that were seen and that join with nothing: no emoji.
_ZWJ, _VS16 = "\u200d", "\ufe0f"
_DECOM, _DECAWM, _IRM = int(modes.DECOM), int(modes.DECAWM), int(modes.IRM)
_Screen: Any = pyte.Screen  # pyte's screen; its cells have another type here


class Terminal(_Screen):  # type: ignore[misc]
    """pyte's screen with other cells.

    Coordinates are from 0; `cursor.x == columns` means that a wrap is pending.
    """

    buffer: list[Row]
    lines: int
    columns: int
    cursor: Any
    margins: Any
    mode: set[int]
    work: int  # work done so far, in units of about a microsecond

    def __init__(self, columns: int, rows: int) -> None:
        self.lines, self.columns = max(1, rows), max(2, columns)
        self.work = 0
        self.scrolled: deque[Row] = deque()
        self.dropped = 0
        self.alternate = False
        self._styles: dict[Style, Style] = {PLAIN: PLAIN}
        self._sgr: dict[tuple[Style, str], Style] = {}
        super().__init__(self.columns, self.lines)

    def reset(self) -> None:
        self.buffer = []
        super().reset()
        self.buffer = [Row(self.columns) for _ in range(self.lines)]
        self.cursor.attrs = PLAIN
        self.alternate = False
        self._other: list[Row] = []
        self._spare: list[Row] = []  # the rows of the last alternate screen, to be used again
        self._stops = list(range(8, self.columns, 8))
        self.work += 20 + self.lines * (1 + self.columns // 256)
        self._saved: dict[bool, tuple[Any, ...]] = {}
        self._last = ""

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Change the size without reflow: agents paint anew after SIGWINCH.

        Rows below the cursor go first; then the top rows go into scrollback.
        """
        lines, columns = max(1, lines or self.lines), max(2, columns or self.columns)
        rows = self.buffer
        while len(rows) > lines and len(rows) - 1 > self.cursor.y and not rows[-1].text():
            rows.pop()
        over = max(0, len(rows) - lines)
        if over and self.alternate:
            below = min(over, len(rows) - 1 - self.cursor.y)
            del rows[len(rows) - below :]
            over -= below
        for row in rows[:over]:
            if not self.alternate:
                self._keep(row)
        del rows[:over]
        self._other = self._other[max(0, len(self._other) - lines) :]
        for screen in (rows, self._other):
            for row in screen:
                row.fit(columns)
            if screen is rows or self.alternate:
                screen += [Row(columns) for _ in range(lines - len(screen))]
        self.lines, self.columns = lines, columns
        self.margins = None
        self._spare = []
        self._stops = list(range(8, columns, 8))
        self.cursor.y -= over
        self.ensure_hbounds()
        self.ensure_vbounds()

    # -- text --------------------------------------------------------------------------------------

    def draw(self, data: str) -> None:
        charset = self.g1_charset if self.charset else self.g0_charset
        if charset is not charsets.LAT1_MAP:
            self.work += 1 + len(data) // 64
            data = data.translate(charset)
        if _IRM not in self.mode:
            if data.isascii() or _narrow.issuperset(data):
                self._draw_narrow(data)
                return
            if _wide.issuperset(data):
                self._draw_wide(data)
                return
        for character in data:
            self._draw_one(character)

    def _draw_narrow(self, data: str) -> None:
        cursor, columns = self.cursor, self.columns
        at, length = 0, len(data)
        while at < length:
            room = columns - cursor.x
            if room <= 0:
                if _DECAWM not in self.mode:  # the last column takes every further character
                    cursor.x, at = columns - 1, max(at, length - 1)
                    room = 1
                else:
                    self._wrap()
                    room = columns
            part = data[at : at + room] if at or length > room else data
            self.buffer[cursor.y].put(cursor.x, part, cursor.attrs)
            cursor.x += len(part)
            at += len(part)
            self.work += 2 + len(part) // 256
        self._last = data[-1]

    def _draw_wide(self, data: str) -> None:
        """Draw characters of two cells each, row by row.

        The effect is that of `_draw_one`, in a twentieth of the time.
        """
        cursor, columns = self.cursor, self.columns
        at, length = 0, len(data)
        while at < length:
            room = (columns - cursor.x) // 2
            if room <= 0:
                if _DECAWM not in self.mode:  # the last two columns take every further character
                    cursor.x, at = columns - 2, max(at, length - 1)
                    room = 1
                else:
                    self._wrap_wide()
                    room = columns // 2
            part = data[at : at + room]
            cells = [""] * (2 * len(part))
            cells[::2] = part
            self.buffer[cursor.y].put(cursor.x, cells, cursor.attrs)
            cursor.x += len(cells)
            at += len(part)
            self.work += 6 + len(part) // 16
        self._last = data[-1]

    def _wrap_wide(self) -> None:
        """Wrap before a wide character. It does not fit in the last cell, which stays blank."""
        if self.cursor.x < self.columns:
            self.buffer[self.cursor.y].put(self.cursor.x, " ", self.cursor.attrs)
        self._wrap()

    def _wrap(self) -> None:
        self.buffer[self.cursor.y].wrapped = True
        self.cursor.x = 0
        self.index()

    def _draw_one(self, character: str) -> None:
        cursor = self.cursor
        self.work += 2
        width = 1 if character in _narrow else wcwidth(character)
        if width < 0:
            return
        if (width == 0 or character in _FLAG_LETTERS or character in _SKIN_TONES or width == 2) and self._join(
            character, width
        ):
            return
        if width == 0:
            return
        if width == 1 and len(_narrow) < _KNOWN_MAX and character not in _FLAG_LETTERS:
            _narrow.add(character)
        elif width == 2 and len(_wide) < _KNOWN_MAX and character not in _SKIN_TONES and not _EMOJI.match(character):
            _wide.add(character)
        if cursor.x + width > self.columns:
            if _DECAWM in self.mode:
                self._wrap_wide()
            else:
                cursor.x = self.columns - width
        row = self.buffer[cursor.y]
        if _IRM in self.mode:
            row.insert(cursor.x, width, cursor.attrs)
            self.work += 1 + self.columns // 64
        row.put(cursor.x, [character, ""] if width == 2 else character, cursor.attrs)
        cursor.x += width
        self._last = character

    def _join(self, character: str, width: int) -> bool:
        """Add `character` to the one before the cursor if both are one grapheme.

        Returns whether they are.
        """
        cursor = self.cursor
        row = self.buffer[cursor.y]
        at = cursor.x - 1
        if at > 0 and row.cells[at] == "":
            at -= 1
        if at < 0:
            return False
        before = row.cells[at]
        if width == 2 and character not in _FLAG_LETTERS and character not in _SKIN_TONES:
            if not (before.endswith(_ZWJ) and _EMOJI.match(character)):
                return False
        elif character in _SKIN_TONES:
            if not (len(before) == 1 and before > "\u2190" and _EMOJI.match(before)):
                return False
        elif character in _FLAG_LETTERS and not (before in _FLAG_LETTERS and self._last == before):
            return False
        wide = at + 1 < self.columns and row.cells[at + 1] == ""
        grow = not wide and (
            (character == _VS16 and _EMOJI.match(before) is not None)
            or character in _FLAG_LETTERS
            or character in _SKIN_TONES
        )
        # No cell is left for the second half: the grapheme stays narrow.
        if grow and cursor.x >= self.columns:
            return character not in _FLAG_LETTERS
        if len(before) < CELL_CHARACTERS:
            joined = [before + character] + ([""] if wide or grow else [])
            style = row.styles[at]
            row.put(at, joined, style)
            cursor.x = at + len(joined)
        self._last = ""
        return True

    def repeat(self, count: int = 1) -> None:
        """REP: repeat the last character.

        At most one screen of characters is drawn, or one row where each character must be looked
        at: more would only scroll.
        """
        last, count = self._last, max(1, count)
        if not last:
            return
        if _IRM in self.mode or last in _FLAG_LETTERS:
            self.draw(last * min(count, self.columns))
        elif last in _narrow:
            self._draw_narrow(last * min(count, self.columns * self.lines))
        else:
            self._draw_one(last)  # only the first can join with what is there
            if count > 1:
                self._draw_wide(last * (min(count, self.columns * self.lines) - 1))

    # -- scrolling ---------------------------------------------------------------------------------

    def _keep(self, row: Row) -> None:
        if len(self.scrolled) >= min(SCROLLED_LINES, SCROLLED_CELLS // self.columns):
            self.scrolled.popleft()
            self.dropped += 1
        self.scrolled.append(row)

    def _scroll(self, top: int, bottom: int, count: int, *, keep: bool = False) -> None:
        """Move the rows from `top` to `bottom` up (`count` > 0) or down.

        Blank rows come in at the other end. `keep`: rows that leave at the top of the main screen
        go into scrollback.
        """
        rows, style = self.buffer, self.blank
        size = bottom - top + 1
        number = min(abs(count), size)
        first, into = (top, bottom + 1 - number) if count > 0 else (bottom + 1 - number, top)
        gone = rows[first : first + number]
        if keep and count > 0 and top == 0 and not self.alternate:
            for row in gone:
                self._keep(row)
            gone = [Row(self.columns, style) for _ in gone]
            self.work += number * (2 + self.columns // 128)
        else:
            for row in gone:  # these rows are used again as the blank rows at the other end
                self.work += row.erase(style)
        del rows[first : first + number]
        rows[into:into] = gone
        self.work += 1 + size // 16

    @property
    def region(self) -> tuple[int, int]:
        """(first, last) row of the scrolling region."""
        return (self.margins.top, self.margins.bottom) if self.margins else (0, self.lines - 1)

    def index(self) -> None:
        top, bottom = self.region
        if self.cursor.y == bottom:
            self._scroll(top, bottom, 1, keep=True)
        elif self.cursor.y < self.lines - 1:
            self.cursor.y += 1

    def reverse_index(self) -> None:
        top, bottom = self.region
        if self.cursor.y == top:
            self._scroll(top, bottom, -1)
        elif self.cursor.y:
            self.cursor.y -= 1

    def next_line(self) -> None:
        self.index()
        self.carriage_return()

    def scroll_up(self, count: int = 1) -> None:
        self._scroll(*self.region, max(1, count), keep=True)

    def scroll_down(self, count: int = 1) -> None:
        self._scroll(*self.region, -max(1, count))

    def insert_lines(self, count: int | None = None) -> None:
        top, bottom = self.region
        if top <= self.cursor.y <= bottom:
            self._scroll(self.cursor.y, bottom, -max(1, count or 1))
            self.carriage_return()

    def delete_lines(self, count: int | None = None) -> None:
        top, bottom = self.region
        if top <= self.cursor.y <= bottom:
            self._scroll(self.cursor.y, bottom, max(1, count or 1))
            self.carriage_return()

    # -- cells -------------------------------------------------------------------------------------

    @property
    def blank(self) -> Style:
        """The style of erased cells: the current background colour, nothing else."""
        return self._intern(Style(bg=self.cursor.attrs.bg)) if self.cursor.attrs.bg else PLAIN

    def _intern(self, style: Style) -> Style:
        if len(self._styles) > STYLES or len(self._sgr) > STYLES:
            self._styles = {PLAIN: PLAIN}
            self._sgr = {}
        return self._styles.setdefault(style, style)

    def _row(self) -> Row:
        """The cursor's row, for a change.

        Ends a pending wrap, as every sequence that edits cells does.
        """
        self.cursor.x = min(self.cursor.x, self.columns - 1)
        row: Row = self.buffer[self.cursor.y]
        return row

    def _clear(self, row: int, start: int, end: int) -> None:
        if start == 0 and end >= self.columns:
            self.work += self.buffer[row].erase(self.blank)
            return
        self.work += 1
        self.buffer[row].put(start, " " * (end - start), self.blank)
        if end >= self.columns:
            self.buffer[row].wrapped = False

    def insert_characters(self, count: int | None = None) -> None:
        row = self._row()
        self.work += 3 + self.columns // 128
        row.insert(self.cursor.x, min(max(1, count or 1), self.columns - self.cursor.x), self.blank)

    def delete_characters(self, count: int | None = None) -> None:
        row = self._row()
        self.work += 3 + self.columns // 128
        row.delete(self.cursor.x, min(max(1, count or 1), self.columns - self.cursor.x), self.blank)

    def erase_characters(self, count: int | None = None) -> None:
        self._row()
        self._clear(self.cursor.y, self.cursor.x, min(self.columns, self.cursor.x + max(1, count or 1)))

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        self._row()
        x, columns = self.cursor.x, self.columns
        if how in (0, 1, 2):
            self._clear(self.cursor.y, *((x, columns), (0, x + 1), (0, columns))[how])

    def erase_in_display(self, how: int = 0, *args: object, **kwargs: object) -> None:
        """ED. ED 3 would erase the scrollback, which the agent may not erase: ED 3 does nothing."""
        y = self.cursor.y
        if how in (0, 1):
            self.erase_in_line(how)
        first, end = {0: (y + 1, self.lines), 1: (0, y), 2: (0, self.lines)}.get(how, (0, 0))
        style = self.blank
        for row in self.buffer[first:end]:
            self.work += row.erase(style)
        self.work += 1 + self.lines // 16

    def alignment_display(self) -> None:
        for row in range(self.lines):
            self.buffer[row].put(0, "E" * self.columns, PLAIN)
        self.work += self.lines * (2 + self.columns // 128)
        self.margins = None
        self.cursor_position()

    def sgr(self, params: str) -> None:
        key = (self.cursor.attrs, params)
        style = self._sgr.get(key)
        if style is None:
            self.work += 5 + len(params) // 8
            style = self._intern(apply_sgr(*key))
            self._sgr[key] = style
        self.cursor.attrs = style

    # -- cursor and modes --------------------------------------------------------------------------

    def cursor_up(self, count: int | None = None) -> None:
        """CUU: move the cursor up.

        It stops at the top margin only if it started inside (pyte jumped down to the margin from
        above).
        """
        self.ensure_hbounds()
        top = self.region[0]
        self.cursor.y = max(self.cursor.y - max(1, count or 1), top if self.cursor.y >= top else 0)

    def cursor_down(self, count: int | None = None) -> None:
        self.ensure_hbounds()
        bottom = self.region[1]
        limit = bottom if self.cursor.y <= bottom else self.lines - 1
        self.cursor.y = min(self.cursor.y + max(1, count or 1), limit)

    def cursor_position(self, line: int | None = None, column: int | None = None) -> None:
        if _DECOM in self.mode and self.margins:  # clamped; pyte ignored the whole sequence
            line = min((line or 1), self.margins.bottom - self.margins.top + 1)
        super().cursor_position(line, column)

    def cursor_to_line(self, line: int | None = None) -> None:
        self.cursor_position(line, self.cursor.x + 1)

    def back_tab(self, count: int = 1) -> None:
        at = bisect_left(self._stops, self.cursor.x) - max(1, count)
        self.cursor.x = self._stops[at] if at >= 0 else 0

    def tabs(self, count: int = 1) -> None:
        at = bisect_right(self._stops, self.cursor.x) + max(1, count) - 1
        self.cursor.x = self._stops[at] if at < len(self._stops) else self.columns - 1

    def tab(self) -> None:
        self.tabs()

    def set_tab_stop(self) -> None:
        stops, x = self._stops, self.cursor.x
        at = bisect_left(stops, x)
        if stops[at : at + 1] != [x]:
            insort(stops, x)

    def clear_tab_stop(self, how: int = 0) -> None:
        if how == 0 and self.cursor.x in self._stops:
            self._stops.remove(self.cursor.x)
        elif how == 3:
            self._stops = []

    def save_cursor(self) -> None:
        """DECSC: save the cursor.

        There is one slot for each screen, as in every terminal but pyte, whose stack grew without
        limit.
        """
        self.work += 4
        self._saved[self.alternate] = (
            copy.copy(self.cursor), self.g0_charset, self.g1_charset, self.charset, _DECOM in self.mode
        )  # fmt: skip

    def restore_cursor(self) -> None:
        saved = self._saved.get(self.alternate)
        if saved is None:
            self.mode.discard(_DECOM)
            self.cursor_position()
            return
        cursor, self.g0_charset, self.g1_charset, self.charset, origin = saved
        hidden = self.cursor.hidden
        self.cursor = copy.copy(cursor)
        self.cursor.hidden = hidden
        (self.mode.add if origin else self.mode.discard)(_DECOM)
        self.ensure_hbounds()
        self.ensure_vbounds()

    def private_mode(self, mode: int, on: bool) -> None:
        """Apply a private mode that changes the screen; others are ignored."""
        if mode in (47, 1047, 1049):
            self._switch(mode, on)
        elif mode == 1048:
            (self.save_cursor if on else self.restore_cursor)()
        elif mode in (6, 7, 25):
            (self.set_mode if on else self.reset_mode)(mode, private=True)

    def _switch(self, mode: int, on: bool) -> None:
        if mode == 1049 and on and not self.alternate:
            self.save_cursor()
        if on != self.alternate:
            self.alternate = on
            self.buffer, self._other = self._other, self.buffer
            if on:
                self.buffer = self._spare or [Row(self.columns) for _ in range(self.lines)]
                self.work += 1 + self.lines // 8 + sum(row.erase(PLAIN) for row in self.buffer)
            else:
                self._spare, self._other = self._other, []
        if mode == 1049 and not on:
            self.restore_cursor()

    def soft_reset(self) -> None:
        self.mode.difference_update({_DECOM, _IRM})
        self.mode.add(_DECAWM)
        self.margins = None
        self.cursor.hidden = False
        self.cursor.attrs = PLAIN
        self.charset, self.g0_charset, self.g1_charset = 0, charsets.LAT1_MAP, charsets.VT100_MAP
        self._saved.pop(self.alternate, None)

"""The recording's data: what turns the last frame in a player into the present screen.

Pure; see store/recording.py. Frames are rendered from harnex's own screen instead of copied from
the child, so that secrets can be found (cursor moves cut secrets up in raw TUI bytes) and a flood
costs one frame. The player is a terminal of the same size. What scrolls off harnex's screen scrolls
off the player's screen, so the player's scrollback is the transcript.
"""

from __future__ import annotations

from harnex.redaction.redactor import Redactor
from harnex.terminal.draw import row_ansi
from harnex.terminal.screen import Screen
from harnex.terminal.styles import Run, Runs, runs_text
from harnex.visible import one_line

CLEAR = "\x1b[0m\x1b[r\x1b[?7l\x1b[H\x1b[2J"
# Rows that are looked at again with the next frame. A private key in PEM is longer, but its rows
# are found again as fragments.
_CONTEXT = 8


def redact_runs(rows: list[Runs], columns: int, redactor: Redactor) -> list[Runs]:
    """The rows without secrets.

    A row that held a secret keeps its width: the mark and stars stand in the secret's place.
    """
    texts = [runs_text(runs) for runs in rows]
    widths = [runs[-1].column + runs[-1].cells if runs else 0 for runs in rows]
    clean = redactor.redact_lines(texts, columns, widths)
    out = list(rows)
    for row, (before, after) in enumerate(zip(texts, clean, strict=True)):
        if before != after:
            out[row] = _retext(rows[row], after)
    return out


def _retext(runs: Runs, text: str) -> Runs:
    """Put `text` into the runs. It has as many characters as the text of the runs.

    Each run gets its part of `text`, and keeps its wide cells.
    """
    out: list[Run] = []
    at = column = 0
    for run in runs:
        at += max(0, run.column - column)
        part = text[at : at + len(run.text)].ljust(len(run.text))
        if part == run.text:
            out.append(run)
        elif not run.wide:
            out.append(run._replace(text=part))
        else:
            # A secret beside wide characters: the cells are rebuilt one by one, and a hidden wide
            # cell becomes two stars.
            cells: list[str] = []
            place = 0
            for grapheme, width in run.graphemes():
                new = part[place : place + len(grapheme)]
                place += len(grapheme)
                cells += [new, ""][:width] if new == grapheme else list(new[:1].ljust(width, "*"))
            out.append(Run("".join(cells), run.style, run.column, run.cells, tuple(cells)))
        at += len(run.text)
        column = run.column + run.cells
    return tuple(out)


class FrameEncoder:
    """Holds what the player shows.

    `frame` is called at most ten times a second, and returns "" if nothing changed.
    """

    def __init__(self) -> None:
        self.behind = False  # more lines have scrolled off than the last frame was allowed to take
        self._context: list[Runs] = []
        self.forget()

    def forget(self) -> None:
        """Draw everything in the next frame: a new file, or a player that may show anything."""
        self._rows: list[Runs] | None = None
        self._size = (0, 0)
        self._alternate = False
        self._cursor: tuple[tuple[int, int], bool] = ((0, 0), False)
        self._title = ""

    def resize(self, screen: Screen) -> str | None:
        """The data of the `r` event that must come before the next frame, or None."""
        size = (screen.columns, screen.rows)
        if self._size == size:
            return None
        first = self._rows is None
        self._size = size
        self._rows = None
        return None if first else f"{size[0]}x{size[1]}"

    def frame(self, screen: Screen, redactor: Redactor, most: int | None = None) -> str:
        """The data of the next frame. Call `resize` first.

        Takes up to `most` of the screen's scrolled lines, which go into the player's scrollback. If
        more lines are left (`behind`), the frame holds nothing of the screen, because the screen
        comes after those lines.
        """
        gone = screen.scrolled_runs(most)
        height = screen.rows
        follow = screen.scrolled_next(_CONTEXT)
        self.behind = bool(follow)
        # Redact scrolled lines and screen in one pass, because a key can be half scrolled off. Only
        # whole rows leave, in order. The last rows that left earlier come first: a key that began
        # in them goes on here.
        before = len(self._context)
        every = self._context + gone + (follow or [screen.runs(row) for row in range(height)])
        self._context = (self._context + gone)[-_CONTEXT:]
        every = redact_runs(every, screen.columns, redactor)
        gone, rows = every[before : before + len(gone)], every[before + len(gone) :]
        out: list[str] = []
        shown = self._rows
        if shown is None:
            out.append("\x1b[?1049l" + CLEAR)
            self._alternate = False
            shown = [()] * height
        if gone:
            # Scrolled lines belong to the main screen, whose picture comes back with it.
            if self._alternate:
                out.append("\x1b[?1049l" + CLEAR)
                shown, self._alternate = [()] * height, False
            shown = self._push(out, shown, gone, height)
        if follow:
            self._rows = shown
            return "".join(out)
        if screen.alternate != self._alternate:
            out.append(f"\x1b[?1049{'h' if screen.alternate else 'l'}" + CLEAR)
            shown = [()] * height
            self._alternate = screen.alternate
        for row, runs in enumerate(rows):
            if runs != shown[row]:
                out.append(f"\x1b[{row + 1}H\x1b[2K{_placed(runs, row)}")
        title = redactor.text(screen.title)
        if title != self._title:
            out.append(f"\x1b]2;{one_line(title)}\x07")
            self._title = title
        cursor = (screen.cursor, screen.cursor_hidden)
        if out or cursor != self._cursor:
            (row, column), hidden = cursor
            out.append(f"\x1b[{row + 1};{column + 1}H\x1b[?25{'l' if hidden else 'h'}")
            self._cursor = cursor
        self._rows = rows
        return "".join(out)

    def _push(self, out: list[str], shown: list[Runs], gone: list[Runs], height: int) -> list[Runs]:
        """Make the player scroll: put each line that left at the top, as it was when it left, then
        scroll it off.

        Lines that are still on the player's screen are corrected in place (most are right already).
        The other lines, of a flood, are written at the top one after the other.
        """
        for start in range(0, len(gone), height):
            part = gone[start : start + height]
            for row, runs in enumerate(part):
                if shown[row] != runs:
                    out.append(f"\x1b[{row + 1}H\x1b[2K{_placed(runs, row)}")
            out.append(f"\x1b[{height}H" + "\n" * len(part))
            shown = [*shown[len(part) :], *[() for _ in part]]
        return shown


def _placed(runs: Runs, row: int) -> str:
    """The data of a row.

    After a wide grapheme the column is set anew, because players disagree about its width.
    """
    out = []
    for run in runs:
        if not run.wide or all(len(cell) <= 1 for cell in run.wide):
            out.append(run)
            continue
        column = run.column
        for grapheme, width in run.graphemes():
            out.append(Run(grapheme, run.style, column, width))
            column += width
    data: list[str] = []
    at = 0
    group: list[Run] = []
    for number, run in enumerate(out):
        odd = number > 0 and len(out[number - 1].text) > out[number - 1].cells
        if run.column != at or odd:
            data += [row_ansi(tuple(group)), f"\x1b[{row + 1};{run.column + 1}H"]
            group = []
        group.append(run)
        at = run.column + run.cells
    data.append(row_ansi(tuple(group)))
    return "".join(data)

"""The emulator behind `make_screen`: a parser before the hardened pyte of `terminal/grid.py`.

Imported lazily. pyte's own parser reads one character at a time (1 to 2 MB/s), prints what it
doesn't know, and never forgets a sequence that is not ended. Here one regex finds the sequences,
and sequences that are split over reads are carried over. Output is drawn as far as the caller has
time (`push`, `advance`): 256 KB of some sequences take seconds.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from itertools import islice

from harnex.model.facts import ScreenView
from harnex.terminal.grid import Terminal
from harnex.terminal.scanner import end_of
from harnex.terminal.styles import Runs, runs_text

STRING_LIMIT = 65536

# Text is matched in pieces, so that a long line can be drawn in several turns.
_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]{1,512}+)"
    r"|\x1b\[(?P<params>[\x00-\x17\x19\x1c-?\x7f]{0,512}+)(?P<final>[@-~]|(?P<csi_torn>\Z)|)"
    r"|\x1b\](?P<osc>[^\x07\x18\x1a\x1b]*+)(?P<osc_end>\x07|\x1b\\|\x1b?\Z|[\x18\x1a]?)"
    r"|\x1b[PX^_](?P<string>[^\x18\x1a\x1b]*+)(?P<string_end>\x1b\\|\x1b?\Z|[\x18\x1a]?)"
    r"|\x1b(?P<escape>[ -/]{0,2}[0-~])"
    r"|\x1b[ -/]{0,2}+(?P<torn>\Z)"
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])"
)
_INTERMEDIATE = re.compile(r"[ -/]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class Emulator:
    """Implements `terminal.screen.Screen`: the parser before a `Terminal`, and views of it."""

    def __init__(self, columns: int, rows: int) -> None:
        # Exceptions that a handler raised: a bug here must never end the supervisor.
        self.faults = 0
        self._terminal = Terminal(columns, rows)
        self._view: ScreenView | None = None
        self._start_parser()
        t = self._terminal
        self._csi: dict[str, Callable[..., object]] = {
            "@": t.insert_characters, "A": t.cursor_up, "B": t.cursor_down, "C": t.cursor_forward,
            "D": t.cursor_back, "E": t.cursor_down1, "F": t.cursor_up1, "G": t.cursor_to_column,
            "H": t.cursor_position, "I": t.tabs, "J": t.erase_in_display, "K": t.erase_in_line,
            "L": t.insert_lines, "M": t.delete_lines, "P": t.delete_characters, "S": t.scroll_up,
            "T": t.scroll_down, "X": t.erase_characters, "Z": t.back_tab, "`": t.cursor_to_column,
            "a": t.cursor_forward, "b": t.repeat, "d": t.cursor_to_line, "e": t.cursor_down,
            "f": t.cursor_position, "g": t.clear_tab_stop, "r": t.set_margins,
        }  # fmt: skip
        self._arity = {"H": 2, "f": 2, "r": 2}
        self._escapes: dict[str, Callable[[], object]] = {
            "7": t.save_cursor, "8": t.restore_cursor, "D": t.index, "E": t.next_line, "M": t.reverse_index,
            "H": t.set_tab_stop, "c": self._reset_terminal, "#8": t.alignment_display,
            "(0": lambda: t.define_charset("0", "("), "(B": lambda: t.define_charset("B", "("),
            ")0": lambda: t.define_charset("0", ")"), ")B": lambda: t.define_charset("B", ")"),
        }  # fmt: skip
        self._controls: dict[str, Callable[[], object]] = {
            "\n": t.linefeed, "\v": t.linefeed, "\f": t.linefeed, "\r": t.carriage_return, "\b": t.backspace,
            "\t": t.tab, "\x0e": t.shift_out, "\x0f": t.shift_in,
        }  # fmt: skip

    def _start_parser(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._carry = ""
        # Set inside an over-long string: the pattern that ends the string.
        self._ignoring: re.Pattern[str] | None = None
        self._waiting: list[bytes] = []  # pushed, and not yet begun
        self._text = ""  # the text being drawn
        # The tokens of `_text` that are still to come.
        self._tokens: Iterator[re.Match[str]] | None = None
        self._at = 0  # the position up to which `_text` is drawn
        self.title = ""

    # -- the interface -----------------------------------------------------------------------------

    @property
    def columns(self) -> int:
        return int(self._terminal.columns)

    @property
    def rows(self) -> int:
        return int(self._terminal.lines)

    @property
    def cursor(self) -> tuple[int, int]:
        cursor = self._terminal.cursor
        return int(cursor.y), min(int(cursor.x), self.columns - 1)

    @property
    def cursor_hidden(self) -> bool:
        return bool(self._terminal.cursor.hidden)

    @property
    def alternate(self) -> bool:
        return self._terminal.alternate

    @property
    def dropped(self) -> int:
        return self._terminal.dropped

    def resize(self, columns: int, rows: int) -> None:
        self._terminal.resize(rows, columns)
        self._view = None

    def reset(self) -> None:
        self._start_parser()
        self._reset_terminal()

    def _reset_terminal(self) -> None:
        self._terminal.reset()
        self.title = ""
        self._view = None

    def view(self) -> ScreenView:
        if self._view is None:
            self._view = ScreenView(
                lines=tuple([row.text() for row in self._terminal.buffer]),
                cursor=self.cursor,
                cursor_hidden=self.cursor_hidden,
                columns=self.columns,
                title=self.title,
                alternate=self.alternate,
            )
        return self._view

    def runs(self, row: int) -> Runs:
        return self._terminal.buffer[row].runs()

    def scrolled_runs(self, most: int | None = None) -> list[Runs]:
        rows = self._terminal.scrolled
        return [rows.popleft().runs() for _ in range(len(rows) if most is None else min(most, len(rows)))]

    def scrolled_next(self, count: int) -> list[Runs]:
        return [row.runs() for row in islice(self._terminal.scrolled, count)]

    def scrolled(self) -> list[str]:
        return [runs_text(runs) for runs in self.scrolled_runs()]

    def feed(self, data: bytes) -> None:
        self.push(data)
        while self.behind:
            self.advance(1 << 30)

    def push(self, data: bytes) -> None:
        self._waiting.append(data)

    @property
    def behind(self) -> bool:
        return self._tokens is not None or bool(self._waiting)

    def advance(self, work: int) -> int:
        begun = self._terminal.work
        while self.behind and self._terminal.work < begun + work:
            if self._tokens is None:
                self._tokens = self._begin(self._waiting.pop(0))
            self._view = None
            if self._draw(self._tokens, begun + work):
                self._text, self._tokens = "", None
        return self._terminal.work - begun

    def give_up(self, keep: int) -> int:
        rest = self._text[self._at :].encode() if self._tokens is not None else b""
        rest = b"".join([rest, *self._waiting])
        cut = end_of(rest, keep)
        self.reset()
        self.push(rest[cut:])
        return cut

    def _begin(self, data: bytes) -> Iterator[re.Match[str]]:
        self._text = self._carry + self._decoder.decode(data)
        self._carry = ""
        self._at = 0
        if self._ignoring:
            found = self._ignoring.search(self._text)
            if not found:
                return iter(())
            self._ignoring = None
            self._at = found.start() if found[0] == "\x1b" else found.end()
        return _TOKEN.finditer(self._text, self._at)

    def _draw(self, tokens: Iterator[re.Match[str]], until: int) -> bool:
        """Draw on.

        Returns True at the end of the text, False if `until` units of work were reached before.
        """
        terminal, text = self._terminal, self._text
        draw = terminal.draw
        for token in tokens:
            group = token.lastgroup
            try:
                if group == "text":
                    draw(token[0])
                elif group == "final":
                    terminal.work += 1 + len(token[0]) // 32
                    if token["final"]:
                        self._sequence(token["params"], token["final"])
                    elif token["csi_torn"] is not None:
                        self._carry = token[0]
                elif group == "control":
                    control = self._controls.get(token[0])
                    if control:
                        control()
                elif group in ("osc_end", "string_end"):
                    terminal.work += 1 + len(token[0]) // 1024
                    self._string(token, group, text)
                elif group == "escape":
                    escape = self._escapes.get(token["escape"])
                    if escape:
                        escape()
                elif group == "torn":
                    self._carry = token[0]
            except Exception:  # a program's output must never end the supervisor that reads it
                self.faults += 1
            terminal.work += 1
            if terminal.work >= until:
                self._at = token.end()
                return False
        return True

    def _string(self, token: re.Match[str], group: str, text: str) -> None:
        body = token[group[:-4]]
        if token.end() == len(text) and token[group] in ("", "\x1b"):
            if len(body) <= STRING_LIMIT:
                self._carry = token[0]
            elif token[group]:
                self._carry = "\x1b"
            else:
                self._ignoring = re.compile("[\x1b\x18\x1a\x07]" if group == "osc_end" else "[\x1b\x18\x1a]")
        elif group == "osc_end" and token[group] in ("\x07", "\x1b\\") and body[:2] in ("0;", "2;"):
            self.title = body[2:4098]

    def _sequence(self, params: str, final: str) -> None:
        if final == "m" and (not params or "0" <= params[0] <= ";") and _CONTROLS.search(params) is None:
            if not _INTERMEDIATE.search(params):
                self._terminal.sgr(params)
            return
        if _CONTROLS.search(params):  # controls inside a sequence act at once
            for control in _CONTROLS.findall(params):
                self._terminal.work += 1
                self._controls.get(control, int)()
            params = _CONTROLS.sub("", params)
            self._sequence(params, final)
            return
        terminal = self._terminal
        if params[:1] in ("<", "=", ">", "?"):
            if params[0] != "?":
                return
            numbers = [_number(p) for p in params[1:].split(";")[:32]]
            if final in "hl":
                terminal.work += 2 * len(numbers)
                for mode in numbers:
                    terminal.private_mode(mode, final == "h")
            elif final in "JK":
                self._csi[final](numbers[0])
        elif _INTERMEDIATE.search(params):
            if params == "!" and final == "p":
                terminal.soft_reset()
        elif final in "hl":
            for p in params.split(";")[:32]:
                if _number(p) in (4, 20):
                    (terminal.set_mode if final == "h" else terminal.reset_mode)(_number(p))
        elif final == "s" and not params:
            terminal.save_cursor()
        elif final == "u" and not params:
            terminal.restore_cursor()
        elif final == "T" and ";" in params:
            return  # xterm's highlight tracking
        elif final in self._csi:
            arguments = [_number(p) for p in params.split(";")[: self._arity.get(final, 1)]] if params else []
            if final == "r":
                self._margins(*arguments)
            else:
                self._csi[final](*arguments)

    def _margins(self, top: int = 0, bottom: int = 0) -> None:
        terminal = self._terminal
        terminal.work += 3
        if (bottom or terminal.lines) - (top or 1) < 1:
            return
        if (top or 1) == 1 and (bottom or terminal.lines) >= terminal.lines:
            terminal.margins = None
            terminal.cursor_position()
        else:
            terminal.set_margins(top or 1, bottom or terminal.lines)


def _number(text: str) -> int:
    text = text.partition(":")[0]
    if len(text) > 5:
        return 9999
    return min(int(text), 9999) if text.isdecimal() else 0

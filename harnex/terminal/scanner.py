"""Everything in the child's output that is not for the eye: queries, OSC sequences, modes.

`Scanner` sees every byte in order, also while a flood makes the emulator drop its backlog. It
answers the queries that agents send, in the order in which they were asked. Without replies agents
start slower and do not use OSC 7501 (DESIGN section 5). The order matters because Claude Code skips
its second round of queries when DA1 is answered before XTVERSION.

The scanner is fast: one compiled regex finds the few sequences that matter, and never looks at
colours and cursor moves. A read that is full of those few is scanned in several turns, so the loop
is never held up. Sources: ECMA-48, xterm's ctlseqs, the kitty keyboard and graphics protocols.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from harnex.terminal.modes import Modes, number

STRING_LIMIT = 65536  # bytes; a longer OSC, DCS or APC is passed on unread
PALETTE_ANSWERS = 256  # replies to one OSC 4; there are no more colours
# Costs in units of work, each about a microsecond: a sequence that is reported to the session, a
# question for the cursor (without drawing what precedes it), a full reset.
_TOLD, _LOOK, _RESET = 60, 15, 6
CELL_WIDTH, CELL_HEIGHT = 8, 16  # pixels for 14t and 16t: there are none, but the ratio is usual

# A string sequence ends with ST; an OSC also with BEL. CAN, SUB and any other ESC cut it off. `\Z`:
# the rest is not read yet, and the match is carried over. For speed, the lookahead rejects colours
# and cursor moves before all else (x 5), and the quantifiers are possessive (x 2).
_SEQUENCE = (
    rb"\x1b(?!\[[0-9;:]*+[A-HJ-Zm])(?:"
    rb"\[(?:(?P<private>[<-?][0-9:;]{0,64}+)(?P<final>\$?+[A-Za-z])"
    rb"|(?P<params>[0-9;]{0,32}+)(?P<query>[cnt]|\$p)"
    rb"|!(?P<soft>p))"
    rb"|\](?P<osc>[^\x07\x18\x1a\x1b]*+)(?P<osc_end>\x07|\x1b\\|\x1b?+\Z|[\x18\x1a]?)"
    rb"|(?P<kind>[PX^_])(?P<string>[^\x18\x1a\x1b]*+)(?P<string_end>\x1b\\|\x1b?+\Z|[\x18\x1a]?)"
    rb"|(?P<escape>[cZ=>])"
    rb"|(?P<torn>(?:\[[0-?]{0,65}+[ -/]{0,2}+)?+\Z)"
    rb")"
)
_TOKEN = re.compile(_SEQUENCE)

_ANSI_16 = (
    "1d1f21", "cc6666", "b5bd68", "f0c674", "81a2be", "b294bb", "8abeb7", "c5c8c6",
    "969896", "d54e53", "b9ca4a", "e7c547", "7aa6da", "c397d8", "70c0b1", "eaeaea",
)  # fmt: skip
FOREGROUND, BACKGROUND = "d8dbe0", "16181d"  # draw.to_svg draws the same colours


def palette(index: int) -> str:
    """Colour 0 to 255 of the palette as six hex digits."""
    if index < 16:
        return _ANSI_16[index]
    if index >= 232:
        return f"{8 + 10 * (index - 232):02x}" * 3
    index -= 16
    return "".join(f"{55 + 40 * c if c else 0:02x}" for c in (index // 36, index // 6 % 6, index % 6))


def _rgb(colour: str) -> str:
    return "rgb:" + "/".join(colour[i : i + 2] * 2 for i in (0, 2, 4))


@dataclass(slots=True)
class Scanned:
    """What a scan found."""

    replies: bytes = b""  # for the child
    oscs: list[tuple[int, str]] = field(default_factory=list)  # (code, body) of each
    clean: bytes = b""  # the output without the queries: fit for an attached person's terminal
    rest: bytes = b""  # the end of `clean` that `cursor` was not given
    synced: bool = False  # a synchronized update is open


Position = tuple[int, int]


class _Turn:
    """One call of `scan`: what it has found so far, and how much work it may still do."""

    def __init__(self, work: int) -> None:
        self.work = work
        self.stopped = False  # stopped at a cursor query
        self.kept: list[bytes] = []
        self._given = 0  # how many parts of `kept` were given to `cursor`
        self._replies: list[bytes] = []
        self._oscs: list[tuple[int, str]] = []

    def keep(self, shown: bytes) -> None:
        if shown:
            self.kept.append(shown)

    def shown(self) -> bytes:
        """The output that was kept since the last call."""
        given, self._given = self._given, len(self.kept)
        return b"".join(self.kept[given:])

    def reply(self, data: bytes) -> None:
        self.work -= 1
        self._replies.append(data)

    def tell(self, code: int, body: bytes) -> None:
        self.work -= _TOLD + len(body) // 256
        self._oscs.append((code, body.decode("utf-8", "replace")))

    def done(self, synced: bool) -> Scanned:
        rest = self.shown()
        clean = rest if len(rest) == sum(map(len, self.kept)) else b"".join(self.kept)
        return Scanned(b"".join(self._replies), self._oscs, clean, rest, synced)


class Scanner:
    """Reads the output stream of one terminal program; see the module's docstring.

    `cursor(shown)` is called at a cursor position query, and returns (row, column) from 0. `shown`
    is the output before the query that was not given to `cursor` yet: it must go to the screen
    first. None means "not known yet": `scan` stops there, and asks again when it is called again.
    """

    def __init__(
        self,
        cursor: Callable[[bytes], Position | None] = lambda shown: (0, 0),
        columns: int = 120,
        rows: int = 40,
        version: str = "0",
    ) -> None:
        self.modes = Modes()
        self._cursor = cursor
        self._version = version
        self._queue: deque[bytes] = deque()  # pushed, and not yet begun
        self._data = b""  # the data being scanned
        self._tokens: Iterator[re.Match[bytes]] | None = None  # the rest of `_data`
        self._held: re.Match[bytes] | None = None  # a cursor query without an answer yet
        self._last = 0  # the position up to which `_data` was passed on
        self._at: Position = (0, 0)
        self._carry = b""
        self._passing = b""  # what ends the over-long string that is being passed on unread
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows

    def feed(self, data: bytes) -> Scanned:
        """Scan all of `data`, provided that `cursor` always knows."""
        self.push(data)
        return self.scan()

    def push(self, data: bytes) -> None:
        """Take `data`; `scan` reads it."""
        if data:
            self._queue.append(data)

    @property
    def unread(self) -> bool:
        """Whether something that was pushed is not scanned yet."""
        return self._tokens is not None or bool(self._queue)

    def scan(self, work: int = 1 << 60) -> Scanned:
        """Scan what was pushed, for `work` units (each about a microsecond). May call `cursor`."""
        turn = _Turn(work)
        while self.unread and turn.work > 0 and not turn.stopped:
            if self._tokens is None:
                self._begin(self._queue.popleft(), turn)
            if self._tokens is not None and self._go_on(self._tokens, turn):
                self._data, self._tokens = b"", None
        return turn.done(self.modes.synced)

    def _begin(self, data: bytes, turn: _Turn) -> None:
        if self._carry:
            data, self._carry = self._carry + data, b""
        turn.work -= 1 + len(data) // 1024
        start = 0
        if self._passing:
            start = self._end_of_long_string(data)
        if start < 0 or b"\x1b" not in data:
            turn.kept.append(data)
            return
        self._data, self._last = data, 0
        self._tokens = _TOKEN.finditer(data, start)

    def _go_on(self, tokens: Iterator[re.Match[bytes]], turn: _Turn) -> bool:
        """Scan on. Returns True once `_data` is scanned to its end."""
        held, self._held = self._held, None
        for token in chain((held,), tokens) if held is not None else tokens:
            if self._asks_cursor(token):
                turn.work -= _LOOK
                turn.keep(self._data[self._last : token.start()])
                self._last = token.start()
                at = self._cursor(turn.shown())
                if at is None:
                    self._held, turn.stopped = token, True
                    return False
                self._at = at
            query = self._take(token, turn)
            if query is None:
                turn.keep(self._data[self._last : len(self._data) - len(self._carry)])
                return True
            if query:
                turn.keep(self._data[self._last : token.start()])
                self._last = token.end()
            turn.work -= 2
            if turn.work <= 0:
                turn.keep(self._data[self._last : token.end()])
                self._last = token.end()
                return False
        turn.keep(self._data[self._last :])
        return True

    @staticmethod
    def _asks_cursor(token: re.Match[bytes]) -> bool:
        if token.lastgroup == "query" and token["query"] == b"n":
            params = token["params"]
        elif token.lastgroup == "final" and token["final"] == b"n" and token["private"][:1] == b"?":
            params = token["private"][1:]
        else:
            return False
        return number(params.partition(b";")[0].decode()) == 6

    def _take(self, token: re.Match[bytes], turn: _Turn) -> bool | None:
        """Act on a sequence.

        True: a query, which viewers don't get; None: its end is not read yet.
        """
        group = token.lastgroup
        if group == "final":
            return self._private(token["private"].decode(), token["final"], turn)
        elif group == "osc_end":
            if self._unfinished(token, "osc", "osc_end"):
                return None
            return self._osc(token["osc"], token["osc_end"], turn)
        elif group == "string_end":
            if self._unfinished(token, "string", "string_end"):
                return None
            return self._string(token["kind"], token["string"], token["string_end"], turn)
        elif group == "query":
            return self._query(token["params"].decode(), token["query"], turn)
        elif group == "escape":
            return self._escape(token["escape"], turn)
        elif group == "soft":
            self.modes.reset(soft=True)
        else:
            self._carry = self._data[token.start() :]
            return None
        return False

    def _end_of_long_string(self, data: bytes) -> int:
        found = [at for at in (data.find(self._passing[i : i + 1]) for i in range(len(self._passing))) if at >= 0]
        if not found:
            return -1
        self._passing = b""
        at = min(found)
        return at if data[at : at + 1] == b"\x1b" else at + 1  # ESC begins ST, or a sequence

    def _unfinished(self, token: re.Match[bytes], body: str, end: str) -> bool:
        """Whether the string goes on in the next read: carry it over, or pass it on if long."""
        data = self._data
        if token.end() < len(data) or token[end] not in (b"", b"\x1b"):
            return False
        if len(token[body]) <= STRING_LIMIT:
            self._carry = data[token.start() :]
        elif token[end]:
            self._carry = b"\x1b"
        else:
            self._passing = b"\x1b\x18\x1a" + (b"\x07" if body == "osc" else b"")
        return True

    def _osc(self, body: bytes, end: bytes, turn: _Turn) -> bool:
        which, _, rest = body.partition(b";")
        if len(body) > STRING_LIMIT or end not in (b"\x07", b"\x1b\\") or not which.isdigit() or len(which) > 9:
            return False
        if b"?" not in rest:
            turn.tell(int(which), rest)
            return False
        parts = rest.split(b";")
        if which == b"7501" and rest == b"?":
            turn.reply(b"\x1b]7501;?\x1b\\")
        elif which in (b"10", b"11", b"12") and b"?" in parts:
            # Each further parameter is about the next number: `10;?;?` asks for both colours.
            for target, part in enumerate(parts, int(which)):
                if part == b"?" and target in (10, 11, 12):
                    colour = BACKGROUND if target == 11 else FOREGROUND
                    turn.reply(f"\x1b]{target};{_rgb(colour)}".encode() + end)
        elif which == b"4" and b"?" in parts[1::2]:
            for index, part in list(zip(parts[::2], parts[1::2], strict=False))[:PALETTE_ANSWERS]:
                if part == b"?" and index.isdigit() and len(index) < 4 and int(index) < 256:
                    turn.reply(f"\x1b]4;{int(index)};{_rgb(palette(int(index)))}".encode() + end)
        elif not (which == b"52" and parts[-1] == b"?") and not (which == b"21" and rest.endswith(b"?")):
            turn.tell(int(which), rest)
            return False
        # No reply: nobody may read the clipboard (52), and kitty's colours (21) are unknown here.
        return True

    def _string(self, kind: bytes, body: bytes, end: bytes, turn: _Turn) -> bool:
        if end != b"\x1b\\" or len(body) > STRING_LIMIT:
            return False
        if kind == b"P" and body.startswith(b"+q"):  # XTGETTCAP: no such capability
            turn.reply(b"\x1bP0+r" + body[2:66] + b"\x1b\\")
            return True
        if kind == b"P" and body.startswith(b"$q"):  # DECRQSS: not reported
            turn.reply(b"\x1bP0$r\x1b\\")
            return True
        # A kitty graphics query gets no reply: by the protocol DA1 is asked next, and a reply to
        # DA1 alone means "no graphics". xterm does the same; ghostty can draw, harnex can't.
        return kind == b"_" and body.startswith(b"G") and b"a=q" in body.partition(b";")[0].split(b",")

    def _escape(self, kind: bytes, turn: _Turn) -> bool:
        if kind == b"Z":
            turn.reply(b"\x1b[?62;22c")
            return True
        if kind == b"c":
            turn.work -= _RESET
            self.modes.reset()
        else:
            self.modes.keypad = kind == b"="
        return False

    def _query(self, params: str, final: bytes, turn: _Turn) -> bool:
        """CSI without a private mark: DA1, DSR, CPR, window reports, ANSI DECRQM."""
        answer = ""
        first = number(params.partition(";")[0])
        if final == b"c":
            answer = "\x1b[?62;22c" if not first else ""
        elif final == b"n":
            if first == 6:
                row, column = self._at
                answer = f"\x1b[{row + 1};{column + 1}R"
            elif first == 5:
                answer = "\x1b[0n"
        elif final == b"$p":
            answer = f"\x1b[{first};0$y"
        else:
            sizes = {
                11: "1",
                13: "3;0;0",
                14: f"4;{self._rows * CELL_HEIGHT};{self._columns * CELL_WIDTH}",
                15: f"5;{self._rows * CELL_HEIGHT};{self._columns * CELL_WIDTH}",
                16: f"6;{CELL_HEIGHT};{CELL_WIDTH}",
                18: f"8;{self._rows};{self._columns}",
                19: f"9;{self._rows};{self._columns}",
            }
            if first not in sizes:
                return first in (20, 21)  # title reports are refused: they echo the program's text
            answer = f"\x1b[{sizes[first]}t"
        turn.reply(answer.encode())
        return True

    def _private(self, params: str, final: bytes, turn: _Turn) -> bool:
        """CSI with `?`, `>`, `<` or `=`: modes, DA2, DA3, XTVERSION, keyboard protocols, DECRQM."""
        mark, params = params[0], params[1:]
        first = number(params.partition(";")[0])
        answer = ""
        if mark == "?" and final in (b"h", b"l"):
            turn.work -= 1 + len(params) // 4
            for mode in params.split(";"):
                self.modes.set_private(number(mode), final == b"h")
            return False
        if final == b"u" and mark != "?":
            self.modes.kitty_keys(mark, params)
            return False
        if mark == ">" and final in (b"m", b"n"):
            if first == 4 or (final == b"m" and not params):
                self.modes.modify_other_keys = number(params.partition(";")[2]) if final == b"m" else 0
            return False
        if mark == "?" and final == b"u":
            answer = f"\x1b[?{self.modes.kitty_stack[-1]}u"
        elif mark == "?" and final == b"$p":
            answer = f"\x1b[?{first};{self.modes.report(first)}$y"
        elif mark == "?" and final == b"n":
            if first == 6:
                row, column = self._at
                answer = f"\x1b[?{row + 1};{column + 1}R"
            elif first == 996:
                answer = "\x1b[?997;1n"  # a dark theme
        elif mark == "?" and final == b"m" and first == 4:
            answer = f"\x1b[>4;{self.modes.modify_other_keys}m"
        elif mark == "?" and final == b"S":
            answer = f"\x1b[?{first};3;0S"  # no sixel, no ReGIS
        elif mark == ">" and final == b"c":
            answer = "\x1b[>1;10;0c"
        elif mark == "=" and final == b"c":
            answer = "\x1bP!|00000000\x1b\\"
        elif mark == ">" and final == b"q":
            answer = f"\x1bP>|harnex({self._version})\x1b\\"
        else:
            return False
        turn.reply(answer.encode())
        return True


def end_of(output: bytes, most: int) -> int:
    """Where the last `most` bytes begin, or a line (else a sequence) in their first half."""
    begin = max(0, len(output) - most)
    if not begin:
        return 0
    half = begin + most // 2  # at least half is kept, and no sequence is cut in two
    line = output.find(b"\n", begin, half) + 1
    return line or max(begin, output.find(b"\x1b", begin, half))

"""Everything in the child's output that is not for the eye: queries, OSC sequences, modes.

`Scanner` sees every byte, in order, also while a flood makes the emulator drop its backlog. It answers the
queries that agents send (DESIGN section 5: unanswered they start slower and keep OSC 7501 to themselves), in
the order asked, because Claude Code skips its second round of queries when DA1 is answered before XTVERSION.

Speed is a property here: one compiled regex finds the few sequences that matter, colours and cursor moves are
never looked at. Sources: ECMA-48, xterm's ctlseqs, the kitty keyboard and graphics protocols.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from harnex.core.modes import Modes, number

STRING_LIMIT = 65536  # an OSC, DCS or APC that is longer is passed on unread
CELL_WIDTH, CELL_HEIGHT = 8, 16  # what 14t and 16t are told: there are no pixels here, but the ratio is usual

# A string sequence ends with ST; OSC also with BEL. CAN, SUB and any other ESC cut it off. `\Z` as the end means
# that the rest has not been read yet: the match is carried over to the next read. The lookahead is for speed (x 5):
# it turns away colours and cursor moves before anything else is tried, as the possessive quantifiers are (x 2).
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
_TOKEN_OR_BELL = re.compile(rb"\x07|" + _SEQUENCE)  # slower: no literal to begin the search with

_ANSI_16 = (
    "1d1f21", "cc6666", "b5bd68", "f0c674", "81a2be", "b294bb", "8abeb7", "c5c8c6",
    "969896", "d54e53", "b9ca4a", "e7c547", "7aa6da", "c397d8", "70c0b1", "eaeaea",
)  # fmt: skip
FOREGROUND, BACKGROUND = "d8dbe0", "16181d"  # also drawn by draw.to_svg: what we say is what we show


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
    """What one read held. `clean` is the output without the queries: fit for an attached person's terminal."""

    replies: bytes = b""
    oscs: list[tuple[int, str]] = field(default_factory=list)
    clean: bytes = b""
    synced: bool = False
    bell: bool = False


class Scanner:
    """Reads the output stream of one terminal program; see the module's docstring.

    `cursor` is asked for (row, column), from 0, at a cursor position query. While it runs, `before` is what this
    read shows up to the query (always a beginning of its `clean`): feed it to the screen first, and only once.
    """

    def __init__(
        self,
        cursor: Callable[[], tuple[int, int]] = lambda: (0, 0),
        columns: int = 120,
        rows: int = 40,
        version: str = "0",
    ) -> None:
        self.modes = Modes()
        self._cursor = cursor
        self._version = version
        self.before = b""
        self._carry = b""
        self._passing = b""  # the ends of the over-long string sequence that is being passed on unread
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows

    def feed(self, data: bytes) -> Scanned:
        out = Scanned(synced=self.modes.synced)
        if self._carry:
            data, self._carry = self._carry + data, b""
        start = 0
        if self._passing:
            start = self._end_of_long_string(data)
            if start < 0:
                out.clean = data
                return out
        bells = b"\x07" in data
        if not bells and b"\x1b" not in data:
            out.clean = data
            return out
        replies: list[bytes] = []
        kept: list[bytes] = []
        last = 0
        for token in (_TOKEN_OR_BELL if bells else _TOKEN).finditer(data, start):
            query = False
            group = token.lastgroup
            if group in ("query", "final") and token[0][-1:] == b"n":
                self.before = b"".join([*kept, data[last : token.start()]])
            if group is None:
                out.bell = True
            elif group == "final":
                query = self._private(token["private"].decode(), token["final"], replies)
            elif group == "osc_end":
                if self._unfinished(token, "osc", "osc_end", data):
                    break
                query = self._osc(token["osc"], token["osc_end"], out, replies)
            elif group == "string_end":
                if self._unfinished(token, "string", "string_end", data):
                    break
                query = self._string(token["kind"], token["string"], token["string_end"], replies)
            elif group == "query":
                query = self._query(token["params"].decode(), token["query"], replies)
            elif group == "escape":
                query = self._escape(token["escape"], replies)
            elif group == "soft":
                self.modes.reset(soft=True)
            else:
                self._carry = data[token.start() :]
                break
            if query:
                kept.append(data[last : token.start()])
                last = token.end()
        end = len(data) - len(self._carry)
        out.clean = b"".join([*kept, data[last:end]]) if last or end < len(data) else data
        out.replies = b"".join(replies)
        out.synced = self.modes.synced
        return out

    def _end_of_long_string(self, data: bytes) -> int:
        found = [at for at in (data.find(self._passing[i : i + 1]) for i in range(len(self._passing))) if at >= 0]
        if not found:
            return -1
        self._passing = b""
        at = min(found)
        return at if data[at : at + 1] == b"\x1b" else at + 1  # ESC begins the ST, or the next sequence

    def _unfinished(self, token: re.Match[bytes], body: str, end: str, data: bytes) -> bool:
        """True when the string sequence goes on in the next read: it is carried over, or passed on if too long."""
        if token.end() < len(data) or token[end] not in (b"", b"\x1b"):
            return False
        if len(token[body]) <= STRING_LIMIT:
            self._carry = data[token.start() :]
        elif token[end]:
            self._carry = b"\x1b"
        else:
            self._passing = b"\x1b\x18\x1a" + (b"\x07" if body == "osc" else b"")
        return True

    def _osc(self, body: bytes, end: bytes, out: Scanned, replies: list[bytes]) -> bool:
        which, _, rest = body.partition(b";")
        if len(body) > STRING_LIMIT or end not in (b"\x07", b"\x1b\\") or not which.isdigit() or len(which) > 9:
            return False
        if b"?" not in rest:
            out.oscs.append((int(which), rest.decode("utf-8", "replace")))
            return False
        parts = rest.split(b";")
        if which == b"7501" and rest == b"?":
            replies.append(b"\x1b]7501;?\x1b\\")
        elif which in (b"10", b"11", b"12") and b"?" in parts:
            # Each further parameter is about the next number: `10;?;?` asks for both colours.
            for target, part in enumerate(parts, int(which)):
                if part == b"?" and target in (10, 11, 12):
                    colour = BACKGROUND if target == 11 else FOREGROUND
                    replies.append(f"\x1b]{target};{_rgb(colour)}".encode() + end)
        elif which == b"4" and b"?" in parts[1::2]:
            for index, part in zip(parts[::2], parts[1::2], strict=False):
                if part == b"?" and index.isdigit() and len(index) < 4 and int(index) < 256:
                    replies.append(f"\x1b]4;{int(index)};{_rgb(palette(int(index)))}".encode() + end)
        elif not (which == b"52" and parts[-1] == b"?") and not (which == b"21" and rest.endswith(b"?")):
            out.oscs.append((int(which), rest.decode("utf-8", "replace")))
            return False
        # The clipboard (52) is nobody's to read, and kitty's colours (21) are not known here: no answer.
        return True

    def _string(self, kind: bytes, body: bytes, end: bytes, replies: list[bytes]) -> bool:
        if end != b"\x1b\\" or len(body) > STRING_LIMIT:
            return False
        if kind == b"P" and body.startswith(b"+q"):  # XTGETTCAP: no such capability
            replies.append(b"\x1bP0+r" + body[2:66] + b"\x1b\\")
            return True
        if kind == b"P" and body.startswith(b"$q"):  # DECRQSS: not reported
            replies.append(b"\x1bP0$r\x1b\\")
            return True
        # A kitty graphics query is answered by silence: the protocol has the program ask for DA1 right after it
        # and take an answer to that alone as "no graphics". xterm does the same; ghostty can draw, we can't.
        return kind == b"_" and body.startswith(b"G") and b"a=q" in body.partition(b";")[0].split(b",")

    def _escape(self, kind: bytes, replies: list[bytes]) -> bool:
        if kind == b"Z":
            replies.append(b"\x1b[?62;22c")
            return True
        if kind == b"c":
            self.modes.reset()
        else:
            self.modes.keypad = kind == b"="
        return False

    def _query(self, params: str, final: bytes, replies: list[bytes]) -> bool:
        """CSI without a private mark: DA1, DSR, CPR, window reports, ANSI DECRQM."""
        answer = ""
        first = number(params.partition(";")[0])
        if final == b"c":
            answer = "\x1b[?62;22c" if not first else ""
        elif final == b"n":
            if first == 6:
                row, column = self._cursor()
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
                return first in (20, 21)  # title reports are refused: they echo what the program wrote
            answer = f"\x1b[{sizes[first]}t"
        replies.append(answer.encode())
        return True

    def _private(self, params: str, final: bytes, replies: list[bytes]) -> bool:
        """CSI with `?`, `>`, `<` or `=`: modes, DA2, DA3, XTVERSION, keyboard protocols, DECRQM."""
        mark, params = params[0], params[1:]
        first = number(params.partition(";")[0])
        answer = ""
        if mark == "?" and final in (b"h", b"l"):
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
                row, column = self._cursor()
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
        replies.append(answer.encode())
        return True

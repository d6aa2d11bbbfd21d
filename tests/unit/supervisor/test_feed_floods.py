"""Whatever a child prints: no call of the terminal takes long, and what it takes in all grows with the size alone.

Measured in the emulator's own units of work, which are exact, and, so that the units are honest, in CPU time: against
one of an eighth of the size, and against plain text of the same size, in the same process.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harnex.store.recording import Recording
from harnex.supervisor.feed import LAG_MAX, PENDING_MAX, WORK, Terminal
from harnex.terminal.screen import make_screen

SIZE = (80, 24)
SCREEN = 30 * SIZE[1]  # units: the dearest single sequence fills or scrolls the screen
PLAIN = b"The quick brown fox jumps over the lazy dog 0123456789\r\n"


class Played:
    """What became of some output: `skipped` bytes, the most work of one call, and all CPU time."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.clean = b""
        self.replies = 0
        self.told = 0
        self.most = 0  # units in one call
        self.cpu = 0.0
        self.now = 1.0

    def run(self, reads: Iterator[bytes]) -> Played:
        """As the session does: one read, a look, and nothing more is read before all of that is scanned."""
        more = True
        begun = time.process_time()
        while more or self.terminal.wake_at(self.now) is not None:
            self.now += 0.01
            data = b""
            if more and not self.terminal.unread:
                data = next(reads, b"")
                more = bool(data)
            if data or self.terminal.unread:
                self._measured(partial(self._output, data))
            self._measured(partial(self.terminal.settle, self.now))
            self.terminal.resync_due(self.now)
        self.cpu = time.process_time() - begun
        return self

    def _output(self, data: bytes) -> None:
        scanned = self.terminal.output(data, self.now)
        self.clean += scanned.clean
        self.told = max(self.told, len(scanned.oscs))
        self.replies = max(self.replies, len(scanned.replies))

    def _measured(self, call: Callable[[], object]) -> None:
        before = self._units()
        call()
        self.most = max(self.most, self._units() - before)

    def _units(self) -> int:
        screen = self.terminal.screen
        return screen._terminal.work if screen is not None else 0  # type: ignore[attr-defined,no-any-return]


def play(tmp_path: Path, *reads: bytes, size: tuple[int, int] = SIZE) -> Played:
    path = tmp_path / f"{time.monotonic_ns()}.cast"
    terminal = Terminal(*size, Recording(path, *size), 0.0)
    played = Played(terminal).run(iter(reads))
    terminal.close(1e6)
    path.unlink()
    screen = terminal.screen
    assert screen is None or screen.faults == 0  # type: ignore[attr-defined]
    return played


def times(piece: bytes | str, size: int) -> bytes:
    data = piece.encode() if isinstance(piece, str) else piece
    return (data * (size // len(data) + 1))[:size]


KINDS = {
    "cursor queries": b"\x1b[6n",
    "private cursor queries": b"\x1b[?6n",
    "text and cursor queries": b"x\x1b[6n",
    "cursor queries after what is slow": b"\x1b[J\x1b[9999L\x1b[6n",
    "other queries": b"\x1b[c\x1b[>q\x1b[?2026$p\x1b[14t\x1b]10;?;?\x07\x1bP+q544e\x1b\\",
    "palettes": b"\x1b]4;" + b"1;?;" * 500 + b"\x07",
    "alternate screens": b"\x1b[?1049h\x1b[?1049l",
    "alternate screens with text": b"a\x1b[?47hb\x1b[?47l",
    "many modes": b"\x1b[?" + b"1049;25;7;" * 4 + b"h",
    "resets": b"\x1bc",
    "alignment": b"\x1b#8",
    "erased screens": b"\x1b[J",
    "coloured erased screens": b"\x1b[41m\x1b[2J\x1b[42m\x1b[2J",
    "repeats": b"a\x1b[99999b",
    "wide repeats": "漢\x1b[99999b",
    "emoji repeats": "👍\x1b[99999b",
    "flag repeats": "🇩\x1b[99999b",
    "inserting repeats": "\x1b[4hé\x1b[99999b",
    "tabs": b"\t",
    "far tabs": b"\x1b[9999I\x1b[9999Z",
    "tab stops": b"\x1bH\x1b[C" * 100 + b"\x1b[9999Z",
    "inserted and deleted lines": b"\x1b[9999L\x1b[9999M",
    "scrolled lines": b"\x1b[9999S\x1b[9999T",
    "inserted and deleted characters": b"\x1b[9999@\x1b[9999P\x1b[9999X",
    "margins": b"\x1b[2;10r\n\x1bM\x1bD",
    "newlines": b"\n",
    "huge parameters": b"\x1b[" + b"9;" * 250 + b"m",
    "controls in sequences": b"\x1b[" + b"\n\t" * 200 + b"A",
    "endless parameters": b"\x1b[9;",
    "unique styles": b"".join(b"\x1b[38;2;%d;%d;7mx" % (n % 256, n // 256) for n in range(5000)),
    "escapes": b"\x1b",
    "torn titles": b"\x1b]0;x",
    "torn strings": b"\x1bPx\x1b^y\x1b_z\x1bXs",
    "titles": b"\x1b]0;t\x07",
    "program states": b"\x1b]7501;state=working\x1b\\\x1b]7501;state=idle\x1b\\",
    "bells": b"\x07",
    "updates": b"\x1b[?2026hx\x1b[?2026l",
    "combining": "e\u0301\u0301\u0301",
    "joined emoji": "👩‍👩‍👧🇩🇪👍🏽",
    "wide text": "漢字かな",
    "charsets": b"\x1b(0qqq\x1b(Bqqq",
    "saved cursors": b"\x1b7\x1b8",
    "key protocols": b"\x1b[>1u\x1b[<9u",
    "not UTF-8": b"\xff\xfe\xe6x",
    "keys": b"sk-ant-api03-AAAA -----BEGIN PRIVATE KEY-----\r\n",
    "dashes": b"-" * 79 + b"x-key",
    "escapes of JSON": b"\\u0041\\\\n",
}


SMALL, LARGE = 4 << 10, 32 << 10
DEAREST = 150  # times plain text: sequences of eight bytes that fill the screen take 50


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> float:
    """CPU time of so much plain text."""
    make_screen(*SIZE)  # pyte is imported
    return min(play(tmp_path_factory.mktemp("plain"), times(PLAIN, LARGE)).cpu for _ in range(3))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_takes_its_turns(tmp_path: Path, plain: float, kind: str) -> None:
    """Eight times the size takes eight times as long (64 times, where a scanner is quadratic)."""
    small = min(play(tmp_path, times(KINDS[kind], SMALL)).cpu for _ in range(2))
    played = play(tmp_path, times(KINDS[kind], LARGE))
    assert played.most <= 2 * WORK + SCREEN
    assert played.told <= WORK // 60 + 1
    assert played.replies <= 256 << 10
    assert played.cpu <= 24 * small + plain
    assert played.cpu <= DEAREST * plain


@pytest.mark.parametrize("end", [b"\x1bcthe end", b"\x1bcthe end\r\n"])
def test_what_is_slow_is_skipped_like_what_is_much(tmp_path: Path, end: bytes) -> None:
    """The end is shown, also if its last byte is the only newline in it."""
    data = times(b"\x1b#8", 64 << 10)
    played = play(tmp_path, data + end)
    assert played.terminal.skipped > 16 << 10
    assert played.terminal.view.lines[0] == "the end"
    assert len(data) // 3 * 2 * SIZE[1] > 2 * LAG_MAX, "it would have been too much"


@pytest.mark.parametrize("end", [b"\x1bcthe end", b"\x1bcthe end\r\n"])
def test_the_end_of_much_is_shown(tmp_path: Path, end: bytes) -> None:
    terminal = Terminal(*SIZE, Recording(tmp_path / "much.cast", *SIZE), 0.0)
    terminal.output(b"x" * PENDING_MAX + end, 1.0)
    terminal.finish(1.0)
    assert terminal.skipped > PENDING_MAX // 2
    assert terminal.view.lines[0] == "the end"


class Chance:
    """Output of every kind, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self) -> str:
        r = self.random
        return r.choice(["", "0", "1", "2", "3", "5", "24", "80", "999", "99999", "4294967296", "1:2", "x", "9" * 600])

    def sequence(self) -> bytes:
        r = self.random
        params = ";".join(self.number() for _ in range(r.choice([0, 1, 1, 1, 2, 3, 20])))
        mark, middle = r.choice(["", "", "", "?", ">", "<", "="]), r.choice(["", "", "", "", "$", " ", "!"])
        final = r.choice("@ABCDEFGHIJKLMPSTXZ`abcdefghlmnpqrstux")
        return f"\x1b[{mark}{params}{middle}{final}".encode()

    def string(self) -> bytes:
        r = self.random
        body = r.choice(
            [
                "0;title",
                "2;t",
                "7501;state=working",
                "7501;?",
                "10;?",
                "4;1;?",
                "52;c;?",
                "8;;u",
                "+qab",
                "G",
                "x" * 3000,
            ]
        )
        end = r.choice(["\x07", "\x1b\\", "", "\x18", "\x1b", "\x1b]0;nested"])
        return ("\x1b" + r.choice("]]]PX^_") + body + end).encode()

    def text(self) -> bytes:
        r = self.random
        word = r.choice(
            [
                "a",
                "hello ",
                "漢字",
                "e\u0301",
                "👩‍👧",
                "🇩🇪",
                "é",
                "\u0301",
                "sk-ant-api03-",
                "\t",
                "\r\n",
                "\n",
                "\b",
                "\x0e",
                "\x9b",
                "\u200d",
            ]
        )
        return word.encode() * r.choice([1, 1, 2, 7, 90])

    def piece(self) -> bytes:
        r = self.random
        what = r.choice([self.sequence, self.sequence, self.sequence, self.string, self.text, self.text, self.rest])
        return what()

    def rest(self) -> bytes:
        r = self.random
        return r.choice(
            [b"\x1b7", b"\x1b8", b"\x1bc", b"\x1bM", b"\x1bD", b"\x1bE", b"\x1bH", b"\x1b#8", b"\x1b(0", b"\x1b(B", b"\x1b[4h",
             b"\x1b[?2026h", b"\x1b[?2026l", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[6n", b"\x1b[?7l", b"\x1b[?6h", b"\x1b[2;5r",
             b"\x1b[?" + b"25;" * 30 + b"h", b"\xff", b"\xe6", b"\x1b", b"\x1b[", b"\x1b]", bytes(r.randrange(256) for _ in range(9))]
        )  # fmt: skip

    def flood(self, size: int) -> bytes:
        """Some patterns of some pieces each, over and over."""
        r = self.random
        out = bytearray()
        while len(out) < size:
            pattern = b"".join(self.piece() for _ in range(r.randint(1, 6)))
            out += pattern * r.choice([1, 3, 50, 2000])
        return bytes(out[:size])

    def reads(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            size = self.random.choice([1, 3, 64, 4095, 65536, 262144])
            yield data[at : at + size]
            at += size


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32))
def test_any_flood_takes_its_turns(tmp_path_factory: pytest.TempPathFactory, plain: float, seed: int) -> None:
    """And what is drawn is the same as if it had been drawn in one go, if nothing had to be skipped."""
    chance = Chance(seed)
    data = chance.flood(chance.random.choice([500, 8000, 40_000]))
    played = play(tmp_path_factory.getbasetemp(), *chance.reads(data))
    assert played.most <= 2 * WORK + SCREEN
    assert played.cpu <= DEAREST * plain * (len(data) / LARGE + 0.2)
    if not played.terminal.skipped:
        once = make_screen(*SIZE)
        once.feed(played.clean)
        shown = played.terminal.screen or make_screen(*SIZE)
        assert (shown.view(), shown.alternate) == (once.view(), once.alternate)
        assert [shown.runs(row) for row in range(SIZE[1])] == [once.runs(row) for row in range(SIZE[1])]


@pytest.mark.parametrize(
    "seed", [1, 2, pytest.param(3, marks=pytest.mark.more), pytest.param(4, marks=pytest.mark.more)]
)
def test_megabytes_in_a_go(tmp_path: Path, plain: float, seed: int) -> None:
    """8 MB of one seed's kinds, read as fast as a terminal gives them."""
    chance = Chance(seed)
    data = chance.flood(8 << 20)
    played = play(tmp_path, *(data[at : at + (256 << 10)] for at in range(0, len(data), 256 << 10)))
    assert played.most <= 2 * WORK + SCREEN
    assert played.cpu <= DEAREST * plain * len(data) / LARGE

"""terminal/screen.py: the hardened pyte against tmux 3.3a on recordings of the real CLIs, and against each known gap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harnex.terminal.screen import Screen, make_screen
from harnex.terminal.styles import PLAIN, Style, runs_text

DATA = Path(__file__).parents[2] / "data" / "terminal"


def shown(data: str | bytes, columns: int = 12, rows: int = 4) -> Screen:
    screen = make_screen(columns, rows)
    screen.feed(data.encode() if isinstance(data, str) else data)
    assert screen.faults == 0  # type: ignore[attr-defined]
    return screen


def lines(data: str | bytes, columns: int = 12, rows: int = 4) -> list[str]:
    return list(shown(data, columns, rows).view().lines)


def test_importing_the_interface_does_not_import_pyte() -> None:
    code = "import sys, harnex.terminal.screen; sys.exit('pyte' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(p.stem for p in DATA.glob("*.bin")))
def test_the_screen_is_what_tmux_captured(name: str) -> None:
    """Whole frames, cursor and scrollback, of recordings with a tool call, CJK, emoji and a table."""
    expected = json.loads((DATA / f"{name}.json").read_text())
    data = (DATA / f"{name}.bin").read_bytes()
    screen = make_screen(expected["columns"], expected["rows"])
    at, history = 0, list[str]()
    assert len(expected["frames"]) >= 5
    for frame in expected["frames"]:
        screen.feed(data[at : frame["at"]])
        at = frame["at"]
        history += screen.scrolled()
        view = screen.view()
        assert list(view.lines) == frame["lines"]
        assert f"{view.cursor[0]},{view.cursor[1]},{int(view.alternate)}" == frame["cursor"]
        assert [runs_text(screen.runs(y)) for y in range(screen.rows)] == frame["lines"]
        if not view.alternate:
            assert history == frame["history"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("\x1b[<u\x1b[>1uab", ["ab", "", "", ""]),
        ("\x1b_Gi=31,a=q;AAAA\x1b\\ab", ["ab", "", "", ""]),
        ("\x1bP+q544e\x1b\\ab", ["ab", "", "", ""]),
        ("ab\x1b[3J", ["ab", "", "", ""]),
        ("ab\x1b[2Jc", ["  c", "", "", ""]),
        ("x\x1b[3b", ["xxxx", "", "", ""]),
        ("a\r\nb\r\nc\r\nd\x1b[2S", ["c", "d", "", ""]),
        ("a\r\nb\r\nc\r\nd\x1b[2T", ["", "", "a", "b"]),
        ("a\x1b[?1049hzzz\x1b[?1049lb", ["ab", "", "", ""]),
        ("a\x1b[!pb", ["ab", "", "", ""]),
        ("12345678901漢x", ["12345678901", "漢x", "", ""]),  # a wide character wraps whole
        ("漢字\x1b[1;2Hx", [" x字", "", "", ""]),  # its right half is overwritten
        ("漢字\x1b[1;1Hx", ["x 字", "", "", ""]),
        ("漢字\x1b[1;2H\x1b[K", ["", "", "", ""]),
        ("漢字\x1b[1;2H\x1b[P", [" 字", "", "", ""]),
        ("123456789012\x1b[1;11H漢", ["1234567890漢", "", "", ""]),
        ("\u26a0\ufe0fx", ["\u26a0\ufe0fx", "", "", ""]),
        ("e\u0301x", ["e\u0301x", "", "", ""]),
        ("\x1b(0qqx\x1b(Bq", ["──│q", "", "", ""]),
        ("abc\x1b[2;9999Hd", ["abc", "           d", "", ""]),
        ("ab\x1b[\r6Cc", ["ab    c", "", "", ""]),  # a control inside a sequence
        ("ab\x1b[3\x18c", ["abc", "", "", ""]),  # cancelled
        ("\x1b[2;3r\x1b[3;1Ha\r\nb\r\nc", ["", "b", "c", ""]),
        ("\x1b[?7l12345678901234\x1b[?7h", ["123456789014", "", "", ""]),
        ("123456789012\x1b[Kx", ["12345678901x", "", "", ""]),
        ("\x1b[?6n\x1b[6n\x1b[c\x1b[>c", ["", "", "", ""]),
        ("\x1b]0;t\x07a\x1b]2;long", ["a", "", "", ""]),
    ],
)
def test_sequences(data: str, expected: list[str]) -> None:
    assert lines(data) == expected


def test_wide_characters_take_two_cells() -> None:
    family, flag, thumb = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd"
    for text in ("漢", family, flag, thumb, "\u26a0\ufe0f"):
        screen = shown(text + "x")
        assert screen.view().cursor == (0, 3), text
        assert screen.runs(0)[0].text == text + "x"
        assert screen.runs(0)[0].cells == 3


def test_styles() -> None:
    screen = shown(
        "\x1b[1;2;3;4;7;9mA\x1b[22mB\x1b[0;31;44mC\x1b[38;5;200;48;2;1;2;3mD\x1b[38:2::4:5:6mE\x1b[4:0;97mF", 20
    )
    styles = [run.style for run in screen.runs(0)]
    assert styles[0] == Style(bold=True, faint=True, italic=True, underline=True, inverse=True, strike=True)
    assert styles[1] == styles[0]._replace(bold=False, faint=False)
    assert styles[2:] == [
        Style("1", "4"),
        Style("200", "#010203"),
        Style("#040506", "#010203"),
        Style("15", "#010203"),
    ]
    assert shown("\x1b[>4;2mx").runs(0)[0].style == PLAIN
    assert shown("\x1b[4:3mx").runs(0)[0].style == Style(underline=True)
    erased = shown("\x1b[41m\x1b[K").runs(0)
    assert [(run.text, run.style.bg) for run in erased] == [(" " * 12, "1")]


def test_scrolled_lines_are_given_once_bounded_and_counted() -> None:
    screen = shown("".join(f"line {n}\r\n" for n in range(10)))
    assert screen.scrolled() == [f"line {n}" for n in range(7)]
    assert screen.scrolled() == []
    screen.feed(b"\x1b[?1049h" + b"gone\r\n" * 50 + b"\x1b[?1049l")
    assert screen.scrolled() == []
    screen.feed(b"x\r\n" * 20000)
    assert len(screen.scrolled()) <= 5000
    assert screen.dropped > 10000


def test_view_title_and_cursor() -> None:
    screen = shown("\x1b]0;✳ work\x07ab\x1b[?25l")
    view = screen.view()
    assert (view.title, view.cursor, view.cursor_hidden, view.columns) == ("✳ work", (0, 2), True, 12)
    assert screen.view() is view
    screen.reset()
    assert screen.view().lines == ("",) * 4
    assert screen.view().title == ""


def test_resize_keeps_what_is_near_the_cursor() -> None:
    screen = shown("a\r\nb\r\nc\r\nd")
    screen.resize(6, 2)
    assert screen.view().lines == ("c", "d")
    assert screen.scrolled() == ["a", "b"]
    screen.resize(8, 3)
    assert screen.view().lines == ("c", "d", "")
    blank_below = shown("a\r\nb")
    blank_below.resize(12, 2)
    assert blank_below.view().lines == ("a", "b")


TEXT = st.sampled_from(
    "a|漢|\u26a0\ufe0f|\U0001f468\u200d\U0001f469|\U0001f1e9\U0001f1ea|e\u0301|\r\n|\x1b[31m|\x1b[0m|\x1b[2;3H|\x1b[K|\x1b[2J|"
    "\x1b[L|\x1b[M|\x1b[3@|\x1b[2P|\x1b[2X|\x1bM|\x1b[2;4r|\x1b[r|\x1b[?1049h|\x1b[?1049l|\x1b[5b|\x1b7|\x1b8|\x1b[S|\x1b[T|"
    "\x1b]0;title\x07|\x1b]8;;x\x1b\\|\x1b_G;x\x1b\\|\x1bP1$r\x1b\\|\x1b[?6h|\x1b[4h|\x1b[4l|\t|\b|\x1b|\x1b[|\x1b]|\x18|long text ".split("|")
)  # fmt: skip


def state(screen: Screen) -> object:
    return screen.view(), [screen.runs(y) for y in range(screen.rows)], screen.scrolled_runs()


@given(st.lists(TEXT, max_size=40), st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_chunking_changes_nothing(pieces: list[str], sizes: list[int]) -> None:
    data = "".join(pieces).encode() + b"\x18end"
    whole, split = make_screen(11, 5), make_screen(11, 5)
    whole.feed(data)
    at = turn = 0
    while at < len(data):
        split.feed(data[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    assert state(split) == state(whole)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=30) | TEXT.map(str.encode), max_size=30), st.integers(1, 30), st.integers(1, 9))
def test_no_bytes_break_it(pieces: list[bytes], columns: int, rows: int) -> None:
    screen = make_screen(20, 6)
    for number, piece in enumerate(pieces):
        screen.feed(piece)
        if number == 5:
            screen.resize(columns, rows)
        row, column = screen.view().cursor
        assert 0 <= row < screen.rows and 0 <= column < screen.columns
        assert len(screen.view().lines) == screen.rows
        for y in range(screen.rows):
            assert sum(run.cells for run in screen.runs(y)) <= screen.columns
    assert screen.faults == 0  # type: ignore[attr-defined]


def test_a_string_without_end_does_not_grow() -> None:
    screen = shown(b"")
    for _ in range(40):
        screen.feed(b"\x1b]2;" + b"x" * 4096 if _ == 0 else b"x" * 4096)
    assert len(screen._carry) <= 70_000  # type: ignore[attr-defined]
    screen.feed(b"\x07back")
    assert screen.view().lines[0] == "back"

"""What goes on to an attached person's terminal: what draws, and nothing that acts, asks or stays."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harnex.machines.viewing import Viewable
from harnex.terminal.scanner import STRING_LIMIT, Scanner
from harnex.terminal.screen import make_screen

DROPPED = {
    "clipboard": b"\x1b]52;c;ZXZpbA==\x07",
    "clipboard, ST": b"\x1b]52;c;ZXZpbA==\x1b\\",
    "clipboard, long": b"\x1b]52;c;" + b"QUJD" * STRING_LIMIT + b"\x07",
    "clipboard, C1": b"\xc2\x9d52;c;ZXZpbA==\xc2\x9c",
    "clipboard, cut off": b"\x1b]52;c;ZXZpbA==\x18",
    "notification": b"\x1b]9;hello\x07",
    "macro of ConEmu": b"\x1b]9;6;print('x')\x07",
    "file of iTerm2": b"\x1b]1337;File=name=eA==;size=1:QQ==\x07",
    "notification of kitty": b"\x1b]99;i=1:a=report;hello\x1b\\",
    "colours": b"\x1b]11;#000000\x07",
    "font": b"\x1b]50;#3\x07",
    "picture of kitty": b"\x1b_Ga=T,t=f;L2V0Yy9wYXNzd2Q=\x1b\\",
    "picture, cut off by a sequence": b"\x1b_Ga=T,t=f;L2V0Yy9wYXNzd2Q=",
    "sixel": b"\x1bPq#0;2;0;0;0~-\x1b\\",
    "keys": b"\x1bP1;1|17/6576696C0D\x1b\\",
    "through tmux": b"\x1bPtmux;\x1b\x1b]52;c;ZXZpbA==\x07\x1b\\",
    "privacy message": b"\x1b^x\x1b\\",
    "resize": b"\x1b[8;10;10t",
    "iconify": b"\x1b[2t",
    "title report": b"\x1b[21t",
    "print": b"\x1b[5i",
    "print, private": b"\x1b[?5i",
    "where is the cursor, odd": b"\x1b[6\x00n",
    "who are you, odd": b"\x1b[>\x000q",
    "keys, odd": b"\x1b[?\x00u",
    "checksum": b"\x1b[1;1;1;1;10;10*y",
    "parameters": b"\x1b[1x",
    "presentation": b"\x1b[1$w",
    "8-bit controls": b"\x1b G",
    "another encoding": b"\x1b%@",
    "enquiry": b"\x05",
    "CSI, C1": b"\xc2\x9b2J",
}
KEPT = (
    b"h\xc3\xa4llo \xc2\xb7 \xe2\x9c\xb3 \xf0\x9f\x91\x8d\r\n\t\x07",
    b"\x1b[1;38;2;1;2;3mred\x1b[0m\x1b[2J\x1b[10;5H\x1b[K\x1b[?25l\x1b[?1049h\x1b[?2026h",
    b"\x1b]0;a title \xe2\xa0\x82\x07\x1b]2;another\x1b\\",
    b"\x1b]8;;https://example.org\x07link\x1b]8;;\x07",
    b"\x1b[>1u\x1b[<u\x1b[>4;2m\x1b[4 q\x1b[!p\x1bc\x1b7\x1b8\x1b(B\x1b=\x1b>",
)


def seen(data: bytes, *cuts: int) -> bytes:
    """What a viewer gets of the agent's output, in reads that end at `cuts`."""
    scanner, viewable = Scanner(), Viewable()
    out = b""
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        out += viewable.feed(scanner.feed(data[start:end]).clean)
    return out


@pytest.mark.parametrize("name", DROPPED)
def test_what_acts_or_asks_is_left_out(name: str) -> None:
    what = DROPPED[name]
    rest = b"52;c;ZXZpbA==" if name == "clipboard, C1" else b"2J" if name == "CSI, C1" else b""  # text now
    wanted = b"before " + rest + b"\x1b[31mafter"
    data = b"before " + what + b"\x1b[31mafter"
    assert seen(data) == wanted
    for cut in {7, 8, 9, 7 + len(what) // 2, 6 + len(what), 7 + len(what)}:
        assert seen(data, cut) == wanted, cut


@pytest.mark.parametrize("data", KEPT)
def test_what_draws_goes_on(data: bytes) -> None:
    assert seen(data) == data
    for cut in range(1, len(data)):
        assert seen(data, cut) == data, cut


def test_a_title_ends_where_it_ends() -> None:
    assert seen(b"\x1b]0;x\xc2\x9c\xc2\x9d52;c;ZXZpbA==\x07y") == b"\x1b]0;x52;c;ZXZpbA==\x07y"
    assert seen(b"\x1b]0;x\r\n\x05y\x07z") == b"\x1b]0;xy\x07z"


def test_nothing_is_made_of_what_is_left_over() -> None:
    """Where something is taken out, its neighbours must not become a sequence; and terminals obey `ESC LF ]` as `ESC ]`."""
    for data in (
        b"\x1b\x05]52;c;ZXZpbA==\x07",
        b"\x1b\n]52;c;ZXZpbA==\x07",
        b"\x1b[\xc2\x9b6n",
        b"\xc2\x1b]52;;\x07\x9b6n",
        b"\x1b\x1b]52;;\x07]52;c;ZXZpbA==\x07",
        b"\x1b[\x1b[6n6n",
        b"\x1b]\x1b[6n52;c;ZXZpbA==\x07",
        b"\x1b \x05G",
    ):
        for cuts in ((), *((n,) for n in range(1, len(data)))):
            shown = seen(data, *cuts)
            assert not re.search(rb"\x1b[\n]?\]52|\x1b\[6n|\xc2\x9b|\x1b G|\x05", shown), (data, cuts, shown)


PIECES = st.sampled_from(
    [*DROPPED.values(), *KEPT, b"text ", b"\x9b", b"\x1b", b"\x1b]", b"\x1bP", b"\x1b[", b"6n", b"]52;"]
)
DANGEROUS = re.compile(
    rb"\x1b[\x00-\x17\x19\x7f]*(?:\](?![0128];)|[P_^XZ]|\[[\x00-\x17\x19\x1c-?]*[ticnxy])|\x05|\xc2[\x80-\x9f]"
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=8).map(b"".join), st.data())
def test_no_mixture_gets_through(data: bytes, more: st.DataObject) -> None:
    cuts = sorted(more.draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=3))) if len(data) > 1 else []
    assert not DANGEROUS.search(seen(data, *cuts))


@settings(deadline=None)
@given(st.lists(st.sampled_from([*DROPPED.values(), *KEPT, b"text "]), max_size=8).map(b"".join), st.data())
def test_a_viewer_sees_what_the_screen_shows(data: bytes, more: st.DataObject) -> None:
    """harnex's own emulator acts on nothing that is left out, wherever the reads end."""
    cuts = sorted(more.draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=3))) if len(data) > 1 else []
    ours, theirs = make_screen(40, 8), make_screen(40, 8)
    scanner, viewable = Scanner(), Viewable()
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        clean = scanner.feed(data[start:end]).clean
        ours.feed(clean)
        theirs.feed(viewable.feed(clean))
    assert (theirs.view().lines, theirs.cursor) == (ours.view().lines, ours.cursor)

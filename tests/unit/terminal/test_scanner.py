"""terminal/scanner.py: queries are answered in order, everything else is told, and chunking changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.terminal.modes import Modes
from harnex.terminal.scanner import STRING_LIMIT, Scanned, Scanner


def scan(data: bytes) -> Scanned:
    return Scanner(cursor=lambda shown: (4, 9), columns=100, rows=30, version="1.2").feed(data)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b"\x1b[c", b"\x1b[?62;22c"),
        (b"\x1b[0c", b"\x1b[?62;22c"),
        (b"\x1bZ", b"\x1b[?62;22c"),
        (b"\x1b[>c", b"\x1b[>1;10;0c"),
        (b"\x1b[=c", b"\x1bP!|00000000\x1b\\"),
        (b"\x1b[>0q", b"\x1bP>|harnex(1.2)\x1b\\"),
        (b"\x1b[>q", b"\x1bP>|harnex(1.2)\x1b\\"),
        (b"\x1b[5n", b"\x1b[0n"),
        (b"\x1b[6n", b"\x1b[5;10R"),
        (b"\x1b[?6n", b"\x1b[?5;10R"),
        (b"\x1b[?996n", b"\x1b[?997;1n"),
        (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
        (b"\x1b[?2004$p", b"\x1b[?2004;2$y"),
        (b"\x1b[?25$p", b"\x1b[?25;1$y"),
        (b"\x1b[?1016$p", b"\x1b[?1016;0$y"),
        (b"\x1b[?2027$p", b"\x1b[?2027;0$y"),
        (b"\x1b[20$p", b"\x1b[20;0$y"),
        (b"\x1b[?u", b"\x1b[?0u"),
        (b"\x1b[?4m", b"\x1b[>4;0m"),
        (b"\x1b]10;?\x07", b"\x1b]10;rgb:d8d8/dbdb/e0e0\x07"),
        (b"\x1b]11;?\x1b\\", b"\x1b]11;rgb:1616/1818/1d1d\x1b\\"),
        (b"\x1b]10;?;?\x07", b"\x1b]10;rgb:d8d8/dbdb/e0e0\x07\x1b]11;rgb:1616/1818/1d1d\x07"),
        (b"\x1b]4;1;?\x07", b"\x1b]4;1;rgb:cccc/6666/6666\x07"),
        (b"\x1b]4;16;?;231;?\x07", b"\x1b]4;16;rgb:0000/0000/0000\x07\x1b]4;231;rgb:ffff/ffff/ffff\x07"),
        (b"\x1b]7501;?\x1b\\", b"\x1b]7501;?\x1b\\"),
        (b"\x1b[14t", b"\x1b[4;480;800t"),
        (b"\x1b[16t", b"\x1b[6;16;8t"),
        (b"\x1b[18t", b"\x1b[8;30;100t"),
        (b"\x1bP+q544e\x1b\\", b"\x1bP0+r544e\x1b\\"),
        (b"\x1bP$qm\x1b\\", b"\x1bP0$r\x1b\\"),
        # Refused by silence, and not shown to another terminal either.
        (b"\x1b]52;c;?\x07", b""),
        (b"\x1b[21t", b""),
        (b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\", b""),
    ],
)
def test_query(query: bytes, answer: bytes) -> None:
    got = scan(b"before" + query + b"after")
    assert got.replies == answer
    assert got.clean == b"beforeafter"
    assert got.oscs == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[38;2;1;2;3mred\x1b[0m\x1b[12;5H\x1b[2J",
        b"\x1b[22;0t\x1b[23;0t",  # title stack
        b"\x1b[?2004h\x1b[?25l\x1b[>1u\x1b[<u\x1b[>4;2m",
        b"\x1b]0;what is c?\x07",
        b"\x1b]8;;http://x/?a=1\x1b\\link\x1b]8;;\x1b\\",
        b"\x1b]11;#000000\x07",
        b"\x1b_Ga=T,f=100;AAAA\x1b\\",
        b"\x1b(B\x1b7\x1b8\x1bM",
        "漢字 ✳ \U0001f44d".encode(),
        b"\x1b[6\x18n",  # cancelled
    ],
)
def test_not_a_query(data: bytes) -> None:
    got = scan(data)
    assert got.replies == b""
    assert got.clean == data


def test_answers_come_in_the_order_of_the_questions() -> None:
    got = scan(b"\x1b[?u\x1b]7501;?\x1b\\\x1b[>0q\x1b[c\x1b[6n")
    assert got.replies == b"\x1b[?0u\x1b]7501;?\x1b\\\x1bP>|harnex(1.2)\x1b\\\x1b[?62;22c\x1b[5;10R"


def test_oscs() -> None:
    got = scan(
        "\x1b]0;✳ title\x07\x1b]7501;state=working:app=codex\x1b\\\x1b]9;4;3\x07\x1b]777;notify;a;b\x07".encode()
    )
    assert got.oscs == [(0, "✳ title"), (7501, "state=working:app=codex"), (9, "4;3"), (777, "notify;a;b")]
    assert scan(b"\x1b]0;torn by a new sequence\x1b[1m").oscs == []


def test_sync_and_modes() -> None:
    scanner = Scanner()
    assert scanner.feed(b"\x1b[?2026hx").synced
    assert scanner.feed(b"more").synced
    assert scanner.feed(b"\x1b[?2026$p").replies == b"\x1b[?2026;1$y"
    assert not scanner.feed(b"y\x1b[?2026l").synced
    scanner.feed(b"\x1b[?1049;2004;1004h\x1b[?1000;1002;1003;1006h\x1b[?1h\x1b=\x1b[?25l\x1b[>7u\x1b[>4;2m")
    modes = scanner.modes
    assert (modes.alternate, modes.bracketed_paste, modes.focus, modes.mouse_any) == (1049, True, True, True)
    assert (modes.cursor_visible, modes.kitty_stack, modes.modify_other_keys) == (False, [0, 7], 2)
    assert scanner.feed(b"\x1b[?u").replies == b"\x1b[?7u"
    fresh = Scanner()
    fresh.feed(modes.enter())
    assert fresh.modes == modes
    assert not fresh.feed(b"").synced
    scanner.feed(b"\x1b[!p")
    assert scanner.modes.cursor_visible and scanner.modes.bracketed_paste and not scanner.modes.keypad
    scanner.feed(b"\x1bc")
    assert scanner.modes == Modes()


def test_kitty_stacks_are_of_their_screen_and_bounded() -> None:
    scanner = Scanner()
    scanner.feed(b"\x1b[>1u\x1b[?1049h\x1b[>3u\x1b[=8;2u")
    assert scanner.modes.kitty_stack == [0, 11]
    scanner.feed(b"\x1b[<9u\x1b[?1049l")
    assert scanner.modes.kitty_stack == [0, 1]
    scanner.feed(b"\x1b[>1u" * 1000)
    assert len(scanner.modes.kitty_stack) <= 32


def test_a_string_without_end_is_given_up() -> None:
    scanner = Scanner()
    data = b"\x1b]0;" + b"x" * (STRING_LIMIT + 5000)
    seen = b"".join(scanner.feed(data[i : i + 4096]).clean for i in range(0, len(data), 4096))
    assert seen == data
    assert len(scanner._carry) == 0
    got = scanner.feed(b"rest\x07\x1b[c")
    assert got.oscs == [] and got.replies == b"\x1b[?62;22c" and got.clean == b"rest\x07"


PIECES = st.sampled_from(
    [b"\x1b[c", b"\x1b[6n", b"\x1b[?6n", b"\x1b[>0q", b"\x1b]0;ti\xe2\x9c\xb3t\x07", b"\x1b]7501;?\x1b\\", b"\x1b]11;?\x07",
     b"\x1b[?2026h", b"\x1b[?2026l", b"\x1b[?2026$p", b"\x1b[>1u", b"\x1b[<u", b"\x1b[?u", b"\x1bP+q544e\x1b\\", b"\x07",
     b"\x1b_Ga=q;x\x1b\\", b"\x1b", b"\x1b[", b"\x1b]", b"\x1bP", b"\x18", b"\x1b\\", b"\x1b[?1049h", b"\x1bc", b"\x1b[!p",
     b"text", b"\x1b[38;2;1;2;3m", b"\x1b[14t", b"9;4;0\x07", b"\x1b=", b"\x1b[" + b"1;" * 40, b"\xff\xe6", b"\x1b[ q", b"n"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25), st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 99))
def test_chunking_changes_nothing(pieces: list[bytes], sizes: list[int], work: int) -> None:
    """Neither where reads are cut nor how much is done in a turn."""
    data = b"".join(pieces) + b"end"
    whole, split = Scanner(), Scanner()
    one = whole.feed(data)
    parts: list[Scanned] = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        split.push(data[at : at + size])
        while split.unread:
            parts.append(split.scan(work))
        at, turn = at + size, turn + 1
    assert b"".join(p.replies for p in parts) == one.replies
    assert [o for p in parts for o in p.oscs] == one.oscs
    assert b"".join(p.clean for p in parts) == one.clean
    assert split.modes == whole.modes
    assert parts[-1].synced == one.synced
    assert split._carry == whole._carry


def test_a_cursor_query_sees_what_was_written_before_it() -> None:
    seen: list[bytes] = []

    def cursor(shown: bytes) -> tuple[int, int]:
        seen.append(shown)
        return 0, 0

    got = Scanner(cursor).feed(b"one\x1b[ctwo\x1b[6nthree\x1b[?6nfour\x1b[?1;6nfive")
    assert seen == [b"onetwo", b"three"]
    assert (got.clean, got.rest) == (b"onetwothreefourfive", b"fourfive")


def test_a_cursor_that_is_not_known_yet_holds_up_what_follows() -> None:
    """In order: nothing behind the query is answered before it."""
    known: list[tuple[int, int]] = []
    scanner = Scanner(lambda shown: known.pop() if known else None)
    got = scanner.feed(b"one\x1b[c\x1b[6ntwo\x1b[5n")
    assert (got.clean, got.rest, got.replies, scanner.unread) == (b"one", b"", b"\x1b[?62;22c", True)
    scanner.push(b"three")
    got = scanner.scan()
    assert (got.clean, got.replies, scanner.unread) == (b"", b"", True)
    known.append((2, 3))
    got = scanner.scan()
    assert (got.clean, got.replies, scanner.unread) == (b"twothree", b"\x1b[3;4R\x1b[0n", False)

"""terminal/frames.py: a player that is fed the frames shows the live screen at every frame, and keeps what scrolled."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harnex.redaction.redactor import Redactor
from harnex.terminal.frames import FrameEncoder
from harnex.terminal.screen import Screen, make_screen

DATA = Path(__file__).parents[2] / "data" / "terminal"


class Player:
    def __init__(self, screen: Screen, redactor: Redactor | None = None) -> None:
        self.live, self.encoder, self.redactor = screen, FrameEncoder(), redactor or Redactor()
        self.screen = make_screen(screen.columns, screen.rows)
        self.data: list[str] = []
        self.history: list[str] = []

    def step(self) -> str:
        size = self.encoder.resize(self.live)
        if size:
            columns, _, rows = size.partition("x")
            self.screen.resize(int(columns), int(rows))
        data = self.encoder.frame(self.live, self.redactor)
        self.screen.feed(data.encode())
        self.history += self.screen.scrolled()
        self.data.append(data)
        return data

    def same(self) -> None:
        assert [self.screen.runs(y) for y in range(self.screen.rows)] == [
            self.live.runs(y) for y in range(self.live.rows)
        ]
        assert self.screen.view() == self.live.view()


@pytest.mark.parametrize("name", sorted(p.stem for p in DATA.glob("*.bin")))
@pytest.mark.parametrize("step", [97, 1500, 10**6])
def test_a_player_shows_the_live_screen_at_every_frame(name: str, step: int) -> None:
    data = (DATA / f"{name}.bin").read_bytes()
    live, other = make_screen(100, 32), make_screen(100, 32)
    player = Player(live)
    history: list[str] = []
    for at in range(0, len(data), step):
        live.feed(data[at : at + step])
        other.feed(data[at : at + step])
        history += other.scrolled()
        player.step()
        player.same()
    assert player.history == history
    assert player.step() == ""


PIECES = st.sampled_from(
    "abc|漢字|\U0001f468\u200d\U0001f469|\u26a0\ufe0f|\r\n|\n\n\n|\x1b[31;44m|\x1b[0m|\x1b[2;3H|\x1b[K|\x1b[2J|\x1b[L|\x1b[M|\x1bM|\x1b[1;3r|\x1b[r|"
    "\x1b[?1049h|\x1b[?1049l|\x1b[S|\x1b]0;title\x07|\x1b[?25l|\x1b[?25h|a line that is longer than the screen|\x1bc".split("|")
)  # fmt: skip


@given(st.lists(st.lists(PIECES, max_size=12), max_size=8), st.booleans())
@example(
    [[], [], ["漢字", "a line that is longer than the screen", "\u26a0\ufe0f"]], True
)  # wide at the margin, then room
def test_any_output(frames: list[list[str]], resize: bool) -> None:
    live, other = make_screen(14, 5), make_screen(14, 5)
    player = Player(live)
    history: list[str] = []
    for number, pieces in enumerate(frames):
        data = "".join(pieces).encode()
        live.feed(data)
        other.feed(data)
        history += other.scrolled()
        if resize and number == 2:
            live.resize(17, 7)
            other.resize(17, 7)
            history += other.scrolled()
        player.step()
        player.same()
    assert player.history == history or resize


def test_only_changed_rows_are_written() -> None:
    live = make_screen(80, 24)
    live.feed("".join(f"\x1b[{n}Hrow {n} with some text" for n in range(1, 25)).encode())
    player = Player(live)
    player.step()
    live.feed(b"\x1b[5Hx")
    data = player.step()
    assert "xow 5" in data and "row 6" not in data
    assert len(data) < 70
    live.feed(b"\x1b[7;7H")
    assert player.step() == "\x1b[7;7H\x1b[?25h"


def test_a_wrapped_secret_never_reaches_the_data_not_even_scrolling() -> None:
    key = "sk-ant-api03-" + "q7Rz" * 30
    live = make_screen(40, 6)
    player = Player(live, Redactor())
    for n in range(12):
        live.feed(f"line {n} 漢字\r\n".encode() + (key.encode() + b"\r\n" if n == 3 else b""))
        player.step()
    everything = "".join(player.data) + "".join(player.history)
    assert "q7Rz" not in everything
    assert "[redacted]" in everything
    assert any("line 5 漢字" in line for line in player.history)


def test_the_rest_of_a_key_is_hidden_when_its_beginning_was_painted_over() -> None:
    """An application that scrolls by itself, on the alternate screen, as Codex and Claude Code do."""
    key = "sk-ant-api03-" + "".join(f"{n:03d}x" for n in range(30))
    rows = [key[i : i + 40] for i in range(0, len(key), 40)]
    live = make_screen(40, 6)
    player = Player(live)
    for first in range(len(rows)):
        live.feed(b"\x1b[?1049h\x1b[2J" + "".join(f"\x1b[{n + 1}H{r}" for n, r in enumerate(rows[first:])).encode())
        player.step()
    assert not any(f"{n:03d}x" in "".join(player.data) for n in range(30))

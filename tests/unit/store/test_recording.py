"""store/recording.py: an asciicast v2 that any player can replay, rotated, with a torn tail tolerated."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from harnex.store.recording import Recording, parts
from harnex.store.replay import read_text
from harnex.terminal.screen import make_screen


def read_events(path: Path) -> Iterator[tuple[float, str, str]]:
    """(time, kind, data) of a cast, its header first as (0, "header", JSON)."""
    for line in path.read_text().splitlines():
        row = json.loads(line)
        yield (0.0, "header", line) if isinstance(row, dict) else (float(row[0]), row[1], row[2])


def rows(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_cast_has_header_output_resize_and_marker(tmp_path: Path) -> None:
    path = tmp_path / "run" / "session.cast"
    screen = make_screen(20, 4)
    recording = Recording(path, 20, 4, "my title", timestamp=1700000000)
    screen.feed("héllo 漢".encode())
    assert recording.frame(0.5, screen)
    assert not recording.frame(0.6, screen)
    recording.note_skipped(0.7, 4096)
    screen.resize(30, 5)
    recording.frame(0.65, screen)  # time never falls
    recording.close()
    header, *events = rows(path)
    assert header == {
        "version": 2, "width": 20, "height": 4, "timestamp": 1700000000, "title": "my title",
        "env": {"TERM": "xterm-256color"},
    }  # fmt: skip
    assert [e[:2] for e in events] == [[0.5, "o"], [0.7, "m"], [0.7, "r"], [0.7, "o"]]  # type: ignore[index]
    assert events[2][2] == "30x5"  # type: ignore[index]
    assert recording.skipped == 4096
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
    assert list(read_text([path])) == ["héllo 漢"]


def test_text_has_what_scrolled_and_then_the_screen(tmp_path: Path) -> None:
    path = tmp_path / "session.cast"
    screen = make_screen(30, 5)
    recording = Recording(path, 30, 5)
    for n in range(100):
        screen.feed(f"line {n}\r\n".encode())
        if n % 7 == 0:
            recording.frame(n / 10, screen)
    recording.frame(11, screen)
    recording.close()
    assert list(read_text([path])) == [f"line {n}" for n in range(100)]


def test_rotation_keeps_the_newest_parts_each_complete(tmp_path: Path) -> None:
    path = tmp_path / "session.cast"
    screen = make_screen(30, 5)
    recording = Recording(path, 30, 5, max_bytes=2000, keep=3)
    for n in range(400):
        screen.feed(f"line {n}\r\n".encode())
        recording.frame(n / 10, screen)
    recording.close()
    assert [os.path.basename(p) for p in parts(path)] == [
        "session.cast.3",
        "session.cast.2",
        "session.cast.1",
        "session.cast",
    ]
    text = list(read_text(parts(path)))
    first = int(text[0].split()[1])
    assert 0 < first < 370
    assert text == [f"line {n}" for n in range(first, 400)]
    for part in map(Path, parts(path)):
        assert part.stat().st_size < 4000
        assert isinstance(rows(part)[0], dict)
    # A second supervisor of the same run appends a part and destroys none.
    again = Recording(path, 30, 5, keep=9)
    again.close()
    assert list(read_text(parts(path))) == text


def test_torn_and_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "session.cast"
    path.write_bytes(
        b'{"version":2,"width":20,"height":3}\n[0.1,"o","one\\r\\n"]\nrubbish\n[1]\n[0.2,"o","two"]\n[0.3,"o","tor'
    )
    assert list(read_text([path])) == ["one", "two"]


def test_raw_carries_a_cut_character_over(tmp_path: Path) -> None:
    path = tmp_path / "session.cast"
    recording = Recording(path, 20, 3, raw=True)
    data = "a漢b".encode()
    for at in range(len(data)):
        recording.output(at, data[at : at + 1])
    recording.output(9, b"\xe6")
    recording.resized(10, 30, 4)
    recording.close()
    events = [(kind, text) for _, kind, text in read_events(path)][1:]
    assert events == [("o", "a"), ("o", "漢"), ("o", "b"), ("r", "30x4"), ("o", "\ufffd")]

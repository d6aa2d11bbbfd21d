"""supervisor/feed.py: when the screen is brought up to date, and who is told. (What floods do to it: test_feed_floods.py.)"""

from __future__ import annotations

from pathlib import Path

from harnex.store.recording import Recording
from harnex.supervisor.feed import FRAME_S, Terminal


def test_who_only_looks_takes_nothing_from_who_decides(tmp_path: Path) -> None:
    """A `pane` in the tenth of a second after the last output: the state must still hear of what was painted."""
    terminal = Terminal(40, 10, Recording(tmp_path / "s.cast", 40, 10), 0.0)
    terminal.output(b"hello\r\n", 1.0)
    assert terminal.settle(1.0)
    terminal.output(b"a dialog", 1.01)
    assert not terminal.settle(1.02)  # not due
    terminal.settle(1.03, force=True)
    assert terminal.view.lines[1] == "a dialog"
    due = terminal.wake_at(1.04)
    assert due is not None and due <= 1.03 + FRAME_S
    assert terminal.settle(due), "what was painted is told, although somebody looked before"
    assert terminal.wake_at(due) is None
    assert not terminal.settle(due + 1)

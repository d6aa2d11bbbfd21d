"""supervisor/child.py: what is known of the child's terminal."""

from __future__ import annotations

import os
import signal
import time

from harnex.supervisor.child import Child


def until_prints(child: Child, word: bytes) -> None:
    seen, end = b"", time.monotonic() + 10
    while word not in seen:
        assert time.monotonic() < end, seen
        seen += child.read()
        time.sleep(0.01)


def test_a_terminal_that_takes_lines_itself_is_told_from_one_that_hands_keys_on() -> None:
    """As Codex 0.169 has it before, and while, Ctrl-Z is handled."""
    script = "echo one; read x; stty raw -echo; echo two; sleep 60"
    child = Child(("sh", "-c", script), dict(os.environ), "/", 80, 24)
    try:
        until_prints(child, b"one")
        assert child.echoes
        child.write(b"\r")
        until_prints(child, b"two")
        assert not child.echoes
    finally:
        child.kill(signal.SIGKILL)
        while not child.reap():
            time.sleep(0.01)
        child.close()
    assert not child.echoes, "it is closed"

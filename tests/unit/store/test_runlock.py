"""store/runlock.py: a mark is held by an open file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from harnex.store import runlock


def test_a_mark_is_held_by_an_open_file_not_by_a_pid(tmp_path: Path) -> None:
    fd = runlock.take(str(tmp_path), "r")
    path = runlock.path_of(str(tmp_path), "r")
    assert runlock.is_held(path) and runlock.dead_runs(str(tmp_path)) == []
    copy = os.dup(fd)  # as a supervisor has it
    os.close(fd)
    assert runlock.is_held(path)
    fcntl.flock(copy, fcntl.LOCK_UN)
    os.close(copy)
    assert runlock.dead_runs(str(tmp_path)) == ["r"]

"""commands/_find.py: a session that is just starting is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harnex import paths, process
from harnex.commands._find import live_session
from harnex.errors import NotFound
from harnex.store import registry
from tests.unit.store._bench import record


@pytest.mark.parametrize("starts", [True, False])
def test_a_session_that_is_just_starting_is_waited_for(
    starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry is there a moment before its agent, its log and its socket are."""
    monkeypatch.setenv("HARNEX_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    state = paths.state_dir()
    path = paths.session_file(state, paths.here(), "x")
    os.makedirs(os.path.dirname(path), mode=0o700)
    entry = record(supervisor_pid=os.getpid(), supervisor_start=process.start_time(os.getpid()), repo=paths.here())
    registry.write(path, {**entry, "pid": None})
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            registry.write(path, {**entry, "pid": 4711}) if starts else os.unlink(path)

    monkeypatch.setattr("time.sleep", sleep)
    if starts:
        assert live_session("x", None, None)["pid"] == 4711
    else:
        with pytest.raises(NotFound, match="did not start"):
            live_session("x", None, None)
    assert len(waited) == 3

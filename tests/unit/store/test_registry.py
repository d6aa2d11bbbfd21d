"""store/registry.py: which sessions there are, and which of them is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from harnex import paths
from harnex.errors import UsageError
from harnex.store import registry
from tests.unit.store._bench import record


def test_garbage_in_the_registry_is_told_apart(tmp_path: Path) -> None:
    state = str(tmp_path)
    (tmp_path / "sessions").mkdir()
    registry.write(paths.session_file(state, "/r", "x"), record())
    (tmp_path / "sessions" / "0000--bad.json").write_text("not json")
    (tmp_path / "sessions" / "0000--torn.json").write_text('{"id": "x", "superv')
    (tmp_path / "sessions" / "0000--list.json").write_text("[1]")
    records, garbage = registry.all_records(state)
    assert [r["id"] for r in records] == ["x"]
    assert len(garbage) == 3


def test_a_pid_that_was_used_again_is_not_our_supervisor() -> None:
    assert registry.is_live(record())
    assert not registry.is_live(record(supervisor_start="1"))
    assert not registry.is_live(record(supervisor_pid=2**22 + 1))


def test_pick_prefers_this_repo_and_refuses_to_guess() -> None:
    here, there, far = record(), record(repo="/s"), record(repo="/t")
    assert registry.pick([here, there], "x", None, None, "/r") is here
    assert registry.pick([there], "x", None, None, "/r") is there
    assert registry.pick([there, far], "x", "/t", None, "/r") is far
    with pytest.raises(UsageError):
        registry.pick([there, far], "x", None, None, "/r")
    assert registry.pick([], "x", None, None, "/r") is None

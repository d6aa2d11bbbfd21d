"""A registry entry where no file can be made: it is rewritten in place, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from harnex.store import durable, registry


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(path: str, data: bytes, through: bool = True) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "replace", replace)


def entry(**fields: Any) -> dict[str, Any]:
    about = {"id": "x", "run_id": "r", "cli": "demo", "repo": "/w", "state": "prompt"}
    return dict.fromkeys(registry.RECORD_KEYS) | about | {"supervisor_pid": os.getpid()} | fields


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "r--x.json")
    registry.write(path, entry(description="a" * 300))
    return path


def test_shorter_and_longer_records(path: str, no_room: None) -> None:
    for description in ("", "b" * 1000, "c" * 10, "d" * 3000):
        registry.write(path, entry(state="busy", description=description))
        found = registry.read(path)
        assert found is not None
        assert (found["state"], found["description"]) == ("busy", description)
        assert Path(path).read_bytes().count(b"\n") == 1


def test_what_does_not_fit_is_left_out(path: str, no_room: None) -> None:
    registry.write(path, entry(state="busy", meta={"x": "y" * 9000}, description="kept"))
    found = registry.read(path)
    assert found is not None
    assert (found["state"], found["meta"], found["description"]) == ("busy", None, "kept")


def test_what_can_not_fit_leaves_the_old_one(path: str, no_room: None) -> None:
    with pytest.raises(OSError, match="No space"):
        registry.write(path, entry(state="busy", cwd="/" + "long" * 3000))
    found = registry.read(path)
    assert found is not None
    assert found["state"] == "prompt"


def test_without_an_old_one_nothing_is_made(tmp_path: Path, no_room: None) -> None:
    with pytest.raises(OSError, match="No space"):
        registry.write(str(tmp_path / "new.json"), entry())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"pid": 1 << 22, "pid_start": "1@x"}, "stopping"),
        ({"pid": 1 << 22, "pid_start": "1@x", "mode": "exec"}, "busy"),
        ({"pid": os.getpid(), "pid_start": "1@x"}, "stopping"),
        ({"pid": None, "pid_start": None}, "busy"),
    ],
)
def test_an_agent_that_is_gone_is_not_at_work(path: str, fields: dict[str, Any], state: str) -> None:
    registry.write(path, entry(state="busy", dialog="permission", **fields))
    found = registry.read(path)
    assert found is not None
    assert found["state"] == state
    assert (found["dialog"] is None) == (state == "stopping")

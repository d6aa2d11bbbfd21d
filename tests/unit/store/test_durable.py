"""store/durable.py: what is on the disk when."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harnex.model import events
from harnex.store import durable, history, undelivered
from harnex.store.eventlog import EventLog


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were written through to the disk, as they were named then, with their size."""
    done: list[str] = []

    def sync(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        done.append(f"{os.path.basename(path)} {os.fstat(fd).st_size > 0}")

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "fsync", sync)
    return done


def test_the_end_of_a_run_and_its_messages_are_on_the_disk(tmp_path: Path, synced: list[str]) -> None:
    state = str(tmp_path)
    history.append(state, {"id": "x", "run_id": "r"})
    assert synced == ["history.jsonl True"]
    log = EventLog(str(tmp_path / "events.jsonl"), "x", "r")
    for _ in range(3):
        log.append(events.Diagnostic(what="x", count=1))
    assert len(synced) == 1, "an event is not worth a wait"
    log.close()
    assert synced[1:] == ["events.jsonl True"]
    undelivered.put(state, "r", {"id": "m-1", "text": "x", "submit": True}, str)
    undelivered.put(state, "r", {"id": "m-2", "text": "its sender waits", "submit": True}, str, through=False)
    name, directory = synced[2:]
    assert (name.startswith("0001000001-m-1.json"), directory.split()[0]) == (True, "inbox")


def test_a_row_that_could_not_be_synced_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems find room only as they write: the row is tried again, and must be there once."""
    history.append(str(tmp_path), {"id": "first", "run_id": "r"})

    def full(fd: int) -> None:
        raise OSError(errno.EDQUOT, "quota")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="quota"):
            history.append(str(tmp_path), {"id": "second", "run_id": "r"})
        with pytest.raises(OSError, match="quota"):
            durable.replace(str(tmp_path / "file"), b"new")
    assert [r["id"] for r in history.rows(str(tmp_path))] == ["first"]
    assert sorted(os.listdir(tmp_path)) == ["history.jsonl"]
    history.append(str(tmp_path), {"id": "second", "run_id": "r"})
    assert [r["id"] for r in history.rows(str(tmp_path))] == ["first", "second"]


def test_a_file_system_that_can_not_sync_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(fd: int) -> None:
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(os, "fdatasync", unable)
    monkeypatch.setattr(os, "fsync", unable)
    durable.replace(str(tmp_path / "file"), b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600

"""The parts of crash safety that need no process: what is read again, what is on the disk when, who may wait for whom."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from harnex import paths
from harnex.errors import HarnexError
from harnex.model import events
from harnex.recovery import reread
from harnex.store import durable, history, runlock, undelivered
from harnex.store.eventlog import EventLog
from harnex.supervisor.__main__ import registry_lock
from harnex.supervisor.evidence import FollowedFiles

ROLLOUT = Path(__file__).parents[2] / "corpus" / "codex" / "0.169.0" / "rollout.jsonl"
BEGAN = 1795240250.0  # just before its first row
THREAD = "01a1fca8-64e2-7491-b644-c32558441255"
START = {"adapter": "codex", "version": [0, 169, 0], "cwd": "/", "env": {}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "evidence").mkdir()
    return tmp_path


def seen(run: Path) -> tuple[set[str], int]:
    found = reread.read_again(str(run), START, 1, BEGAN)
    return {c.call_id for c in found.calls}, found.prompts["rollout"].total()


def test_what_each_process_of_a_session_recorded_is_read_again(run: Path) -> None:
    """An agent that crashed was started again, in the same file or in another conversation; then all was killed."""
    files = FollowedFiles(str(run))
    files.add("rollout", str(ROLLOUT), "rows", 0)
    calls, prompts = seen(run)
    assert len(calls) > 5 and prompts > 3
    files.process(2, BEGAN + 30)
    files.add("rollout", str(ROLLOUT), "rows", ROLLOUT.stat().st_size // 2)  # resumed: the file goes on
    assert seen(run) == (calls, prompts), "read whole, and once"
    other = run / "rollout-other.jsonl"
    text = ROLLOUT.read_text().replace(THREAD, THREAD.replace("01a1fca8", "01a1fca9"))
    other.write_text(text.replace("resp_", "resp_other_").replace("2026-11-21T05:5", "2026-11-21T06:5"))
    files.process(3, BEGAN + 3600)
    files.add("rollout", str(other), "rows", 0)
    again, twice = seen(run)
    assert twice == 2 * prompts and len(again) == 2 * len(calls) and again > calls


def test_a_conversation_that_was_never_written_is_not_gone_on_with(run: Path) -> None:
    """Measured with Claude Code 2.0.77, killed as its first turn ended: "No conversation found with session ID"."""
    assert reread.was_kept(str(run)), "nothing is known: it is tried"
    hooks, transcript = run / "hooks.jsonl", run / "t.jsonl"
    hooks.write_text("{}\n")
    files = FollowedFiles(str(run))
    files.add("hooks", str(hooks), "rows", 0)
    assert reread.was_kept(str(run))
    files.add("transcript", str(transcript), "rows", 0)
    files.add("subagent", str(hooks), "rows", 0)  # 2.0.77 wrote these in time
    assert not reread.was_kept(str(run))
    transcript.touch()
    assert not reread.was_kept(str(run))
    transcript.write_text("{}\n")
    assert reread.was_kept(str(run))


# ---- what outlives a power cut ----


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


# ---- who waits for whom ----


def test_the_registry_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with registry_lock(str(tmp_path)):
        with pytest.raises(HarnexError, match="at work on the registry") as e, registry_lock(str(tmp_path), 0.05):
            pass
        assert "fuser" in e.value.hint
    with registry_lock(str(tmp_path), 0.0):
        pass


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


def test_messages_in_their_order(tmp_path: Path) -> None:
    state = str(tmp_path)
    for name, first in (("m-b", False), ("m-c", False), ("m-a", True)):
        undelivered.put(state, "r", {"id": name, "text": name, "submit": True}, str, first)
        undelivered.put(state, "r", {"id": name, "text": "again", "submit": True}, str)
    directory = Path(paths.run_dir(state, "r")) / "inbox"
    (directory / "0001000009-m-x.json.tmp").write_text("{")  # a crash left it
    (directory / "0001000009-m-y.json").write_text(json.dumps({"id": 7}))
    assert [m["text"] for m in undelivered.rows(state, "r")] == ["m-a", "m-b", "m-c"]


def test_a_run_that_ended_as_it_was_resumed_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    from harnex.commands.recover import say

    reply = {"ok": True, "id": "x", "how": "resumed: --resume 1", "run_id": "r2"}
    say([], [{**reply, "exit": {"reason": "budget", "message": "the budget is spent"}}, reply])
    assert capsys.readouterr().out.splitlines() == [
        "x: resumed: --resume 1; run r2; it ended at once: the budget is spent",
        "x: resumed: --resume 1; run r2",
    ]

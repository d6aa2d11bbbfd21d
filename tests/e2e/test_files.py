"""What harnex leaves on the disk: who owns it, what is in it, and what happens if the disk or
other programs misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harnex import jsonl, paths

from .conftest import HARNEX, Harnex
from .test_bad_input import refused, weak

ROOT = os.geteuid() == 0
KEY = "sk-ant-api03-Zq8Xv4Lm2Rt7Yw1Kp9Jd5Hs3Bn6Gf0Cx"


def files_below(place: Path) -> list[Path]:
    return [p for p in sorted(place.rglob("*")) if not p.is_dir()]


def the_session_file(harnex: Harnex) -> Path:
    (path,) = harnex.state.glob("sessions/*.json")
    return path


# ---- the state directory ----


def test_everything_is_private(harnex: Harnex) -> None:
    old = os.umask(0)
    try:
        harnex.agent("mine", {"text": "x", "tools": [{"bash": "sleep 0.1"}]}, {"text": "ok"}, run=("--context", "go"))
        harnex.ok("wait", "--id", "mine", "--timeout", "20")
        live = [harnex.state, *harnex.state.rglob("*")]
        modes = {str(p.relative_to(harnex.base)): p.stat().st_mode & 0o777 for p in live}
        harnex.ok("stop", "--id", "mine")
    finally:
        os.umask(old)
    modes |= {str(p.relative_to(harnex.base)): p.stat().st_mode & 0o777 for p in harnex.state.rglob("*")}
    wrong = {
        name: oct(mode) for name, mode in modes.items() if mode != (0o700 if (harnex.base / name).is_dir() else 0o600)
    }
    assert {n: m for n, m in wrong.items() if not (n.endswith(".sock") and m == "0o600")} == {}
    names = {Path(name).name for name in modes}
    assert {"events.jsonl", "manifest.json", "session.cast", "history.jsonl", "sessions", "runs"} <= names


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_a_state_directory_that_is_none(harnex: Harnex, where: str) -> None:
    plain = harnex.base / "plain"
    plain.write_text("")
    harnex.env["HARNEX_STATE_DIR"] = str(plain if where == "a file" else plain / "below")
    for words in (("status",), ("run", "cat", "--detach"), ("send", "--id", "x", "--message", "x"), ("prune",)):
        said = refused(harnex, 1, *words)
        assert "state directory" in said
        assert "HARNEX_STATE_DIR" in said or "parents" in said
    done = harnex.run("doctor", "--json")
    assert done.returncode == 1
    assert [c["what"] for c in json.loads(done.stdout)["checks"] if c["status"] == "error"]


@pytest.mark.skipif(not ROOT, reason="only root can give a directory away")
def test_a_state_directory_of_somebody_else(harnex: Harnex) -> None:
    harnex.state.mkdir(0o700)
    os.chown(harnex.state, 65534, 65534)
    for words in (("status", "--json"), ("run", "cat", "--detach"), ("events",), ("history",)):
        assert "belongs to another user (uid 65534)" in refused(harnex, 1, *words)
    assert list(harnex.state.iterdir()) == []
    found = json.loads(harnex.run("doctor", "--json").stdout)
    assert not found["ok"]
    assert "another user" in json.dumps(found)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_state_directory_that_others_can_write(harnex: Harnex, mode: int) -> None:
    harnex.state.mkdir()
    harnex.state.chmod(mode)
    said = refused(harnex, 1, "run", "cat", "--detach")
    assert "can be written by others" in said
    assert f"chmod 700 '{harnex.state}'" in said
    harnex.state.chmod(0o755)  # others may look in: only a warning
    found = harnex.json("doctor", "--json")["checks"]
    assert [c["status"] for c in found if c["what"] == "state directory"] == ["warning"]


def test_a_read_only_state_directory(harnex: Harnex) -> None:
    harnex.ok("run", "true", "--detach", "--id", "before")
    harnex.ok("run", "cat", "--detach", "--id", "dead")
    psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"]).kill()
    harnex.until(lambda: not [p for p in harnex.marked() if p.name() == "cat"], what="its terminal is gone")
    everything = [harnex.state, *(p for p in harnex.state.rglob("*") if p.is_dir())]
    for path in everything:
        path.chmod(0o500)
    harnex.state.joinpath("history.jsonl").chmod(0o400)
    try:
        done = weak(harnex, "run", "cat", "--detach", "--id", "never")
        assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)
        assert "Permission denied" in done.stderr
        for words in (("status", "--json"), ("history", "--json"), ("events", "--snapshot", "--id", "before")):
            done = weak(harnex, *words)
            assert (done.returncode, done.stderr) == (0, ""), words
        done = weak(harnex, "doctor", "--json")
        assert done.returncode == 1
        assert "Permission denied" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        for path in everything:
            path.chmod(0o700)
        harnex.state.joinpath("history.jsonl").chmod(0o600)
    assert harnex.json("status", "--json") == []  # now the end of the dead run could be written
    assert [r["reason"] for r in harnex.json("history", "--json")] == ["success", "supervisor_lost"]


def test_a_state_directory_that_is_removed_under_a_session(harnex: Harnex) -> None:
    """The session is seen again, takes messages and can be stopped, and its events are whole; other
    files that were there are gone."""
    harnex.agent("kept", {"text": "one"}, {"text": "two"}, tui=("--signals", "osc7501,title"))
    harnex.ok("send", "--id", "kept", "--message", "before", "--wait-for-idle")
    before = harnex.events("kept")
    shutil.rmtree(harnex.state)
    assert harnex.json("status", "--json") == []
    harnex.until(lambda: harnex.json("status", "--json"), 20, what="its entry is made anew")
    sent = harnex.json("send", "--id", "kept", "--message", "after", "--wait-for-idle", "--timeout", "20")
    assert sent["last_message"] == "two"
    rows = harnex.events("kept")
    assert rows[: len(before)] == before
    assert [r["what"] for r in rows if r["type"] == "diagnostic" and "made anew" in r["what"]]
    harnex.ok("stop", "--id", "kept")
    assert [r["seq"] for r in harnex.events("kept")] == list(range(1, len(harnex.events("kept")) + 1))
    assert [r["reason"] for r in harnex.json("history", "--json")] == ["stopped"]
    modes = {p.stat().st_mode & 0o777 for p in [harnex.state, *harnex.state.rglob("*")] if p.is_dir()}
    assert modes == {0o700}


@pytest.fixture
def small_disk(harnex: Harnex) -> Iterator[Path]:
    """The state directory on a disk of its own of 1 MB."""
    if not ROOT:
        pytest.skip("only root can mount a small disk")
    harnex.state.mkdir(0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "harnex-test", str(harnex.state)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        yield harnex.state
        (harnex.state / "ballast").unlink(missing_ok=True)
        for record in json.loads(harnex.run("status", "--all", "--json").stdout or "[]"):
            harnex.run("stop", "--force", "--id", record["run_id"])
    finally:
        subprocess.run(["umount", "-l", str(harnex.state)], check=False)


def fill(disk: Path) -> Path:
    """Take all the room on the disk."""
    ballast = disk / "ballast"
    with open(ballast, "ab", buffering=0) as f:
        for size in (65536, 4096, 1):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                continue
    return ballast


def test_a_full_disk_costs_no_event(harnex: Harnex, small_disk: Path) -> None:
    # The agent's own evidence would be on that disk, too, and the agent would not survive that.
    harnex.agent(
        "full", *[{"text": f"answer {n}", "first_byte": 0.2} for n in range(6)], tui=("--signals", "osc7501,title")
    )
    harnex.ok("send", "--id", "full", "--message", "before", "--wait-for-idle")
    ballast = fill(small_disk)
    for n in range(4):
        sent = harnex.json("send", "--id", "full", "--message", f"meanwhile {n}", "--wait-for-idle", "--timeout", "20")
        assert sent["outcome"] == "completed"
    assert "answer 4" in harnex.ok("pane", "--id", "full")
    said = refused(harnex, 1, "run", "cat", "--detach", "--id", "second")
    assert "No space left" in said or "disk is full" in said
    assert len(harnex.events("full", "task_complete")) < 5, "the disk was full"
    ballast.unlink()
    harnex.until(
        lambda: [r for r in harnex.events("full", "task_complete") if r["turn"] == 5], what="the events are caught up"
    )
    harnex.ok("send", "--id", "full", "--message", "after", "--wait-for-idle")
    harnex.ok("stop", "--id", "full")
    rows = harnex.events("full")
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    assert [r["msg"] for r in rows if r["type"] == "send"] == [
        "before",
        *[f"meanwhile {n}" for n in range(4)],
        "after",
    ]
    assert (rows[-1]["type"], [r["id"] for r in harnex.json("history", "--json")]) == ("exited", ["full"])
    text = harnex.ok("logs", "--id", "full")
    assert "answer 0" in text
    assert "answer 5" in text


def test_a_run_that_ends_on_a_full_disk_is_recorded_once_there_is_room(harnex: Harnex, small_disk: Path) -> None:
    harnex.agent("full", {"text": "ok"})
    ballast = fill(small_disk)
    stopping = harnex.start("stop", "--id", "full")
    harnex.until(lambda: not harnex.running("tui"), what="the agent is gone")
    ballast.unlink()
    assert stopping.wait(20) == 0
    harnex.until(lambda: harnex.json("history", "--json", "--id", "full"), what="the history row")
    assert harnex.events("full")[-1]["type"] == "exited"
    assert [r["reason"] for r in harnex.json("history", "--json")] == ["stopped"]


def test_the_last_event_waits_for_room(harnex: Harnex, small_disk: Path) -> None:
    """The run is not over yet if `exited` does not fit into the log.

    The history record fits into the last block of its file; `exited` does not fit into
    the last block of the log.
    """
    harnex.agent("full", {"text": "ok"})
    log = next(harnex.state.glob("runs/*/events.jsonl"))
    history = harnex.state / "history.jsonl"
    history.write_bytes(b"\n" * 4097)  # a block with room for a record
    ballast = fill(small_disk)
    with open(log, "ab", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"\n")  # and no room in this block
    stopped = harnex.json("stop", "--id", "full", "--force")
    assert (stopped["reason"], stopped["recorded"]) == ("stopped", False)
    assert b'"stopped"' in history.read_bytes(), "the row is written"
    assert b'"exited"' not in log.read_bytes()
    assert [r["id"] for r in harnex.json("status", "--json")] == ["full"]
    ballast.unlink()
    harnex.ok("wait", "--id", "full", "--until", "exited", "--timeout", "20")
    rows = [r for line in log.read_bytes().splitlines() if (r := jsonl.loads_dict(line))]
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["type"] == "exited"
    assert len(harnex.json("history", "--json")) == 1


def test_deep_and_odd_paths(harnex: Harnex) -> None:
    """Directories deeper than a socket address is long, with blanks, quotes and Unicode, for
    the state and for the work."""
    harnex.state = harnex.base / ("deep " + "ä" * 60) / 'it\'s "quoted" $HOME' / ("x" * 60)
    harnex.env["HARNEX_STATE_DIR"] = str(harnex.state)
    harnex.work = harnex.base / "wörk 日本 $(touch pwned)\n'quoted'"
    (harnex.work / ".git").mkdir(parents=True)
    assert len(os.fsencode(harnex.state)) > 107
    harnex.agent("deep", {"text": "x", "tools": [{"bash": "pwd > where.txt"}]}, {"text": "fine"})
    sent = harnex.json("send", "--id", "deep", "--message", "go", "--wait-for-idle", "--timeout", "20")
    assert sent["last_message"] == "fine"
    record = harnex.json("status", "--json")[0]
    assert record["cwd"] == str(harnex.work)
    place = Path(record["socket"]).parent
    assert (place.stat().st_mode & 0o777, place.stat().st_uid) == (0o700, os.geteuid())
    assert (harnex.work / "where.txt").read_text() == f"{harnex.work}\n"
    assert "fine" in harnex.ok("pane", "--id", "deep")
    harnex.ok("status")
    harnex.ok("stop", "--id", "deep")
    assert not Path(record["socket"]).exists()
    assert harnex.json("history", "--json")[0]["cwd"] == str(harnex.work)
    assert not list(harnex.base.rglob("pwned"))
    assert not place.exists(), "its directory under /tmp is gone, too"


@pytest.mark.skipif(not ROOT, reason="only root can give a directory away")
def test_a_socket_directory_of_somebody_else(harnex: Harnex) -> None:
    """Anybody may take the name below /tmp first.

    Then nothing is started, and nothing is left of the attempt.
    """
    harnex.state = harnex.base / ("deep" * 30)
    harnex.env["HARNEX_STATE_DIR"] = str(harnex.state)
    place = Path(f"/tmp/harnex-{os.geteuid()}-{paths.repo_hash(str(harnex.state))}")
    place.mkdir(0o700)
    os.chown(place, 65534, 65534)
    try:
        said = refused(harnex, 1, "run", "bash", "--detach", "--", "--norc", "-c", "trap '' HUP TERM; sleep 99")
        assert f"the socket directory {place} belongs to another user" in said
        harnex.until(lambda: harnex.marked() == [], 5, "its supervisor is gone, and so is the agent")
        assert [r["reason"] for r in harnex.json("history", "--json")] == ["boot_failure"]
    finally:
        place.rmdir()


def test_a_directory_whose_name_is_not_utf_8(harnex: Harnex) -> None:
    harnex.work = Path(os.fsdecode(os.fsencode(harnex.base) + b"/w\xff\xfe"))
    (harnex.work / ".git").mkdir(parents=True)
    ascii_only = {**harnex.env, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    harnex.ok("run", "cat", "--detach", "--id", "odd", "--description", "täsk", env=ascii_only)
    record = harnex.json("status", "--json")[0]
    assert (record["cwd"], record["description"]) == (str(harnex.work), "täsk")
    assert json.loads((harnex.state / "runs" / record["run_id"] / "manifest.json").read_text())["cwd"] == record["cwd"]
    harnex.ok("send", "--id", "odd", "--message", "ü日本", env=ascii_only)
    harnex.until(lambda: "ü日本" in harnex.ok("pane", "--id", "odd"), what="the text arrived as it was")
    for words in (("status",), ("pane",), ("logs",), ("doctor",), ("guide",), ("history", "--all")):
        assert "Traceback" not in harnex.run(*words, env=ascii_only, text=False).stderr.decode("utf-8", "replace")
    assert "not UTF-8" in refused(harnex, 2, "send", "--id", "odd", "--message", os.fsdecode(b"a\xffb"))
    harnex.ok("stop", "--id", "odd", env=ascii_only)
    harnex.ok("history", env=ascii_only)
    assert not (harnex.state / "reports").exists()


# ---- damaged files ----

GARBAGE = (
    b"",
    b"\n",
    b"garbage",
    b'{"id": "torn", "supervi',
    b'{"id": "x", "supervisor_pid": 1}',
    b'{"id": "x", "run_id": 7, "cli": null, "repo": [], "supervisor_pid": 1}',
    b'{"id": "x", "run_id": "../../..", "cli": "c", "repo": "/", "supervisor_pid": "1"}',
    b"[1, 2]",
    b"\xff\xfe\x00",
    b"[" * 5000,
    b'{"id": -',
)


@pytest.mark.leaves
def test_garbage_in_the_registry(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "good")
    for n, data in enumerate(GARBAGE):
        (harnex.state / "sessions" / f"0123456789--bad{n}.json").write_bytes(data)
    (harnex.state / "sessions" / "0123456789--dir.json").mkdir()
    (harnex.state / "sessions" / "0123456789--link.json").symlink_to("/etc/passwd")
    done = harnex.run("status", "--json")
    assert done.returncode == 0, done.stderr
    assert [r["id"] for r in json.loads(done.stdout)] == ["good"]
    assert done.stderr.count("is not a session record") == len(GARBAGE) + 2
    for words in (
        ("status",),
        ("send", "--message", "hi", "--no-wait"),
        ("events", "--snapshot"),
        ("history",),
        ("prune", "--older-than", "0"),
        ("run", "true", "--detach"),
        ("pane",),
    ):
        harnex.ok(*words)
    checks = harnex.json("doctor", "--json")["checks"]
    assert len([c for c in checks if c["what"] == "session file" and c["status"] == "warning"]) == len(GARBAGE) + 2
    # A session can be started although its own file is garbage: the file is replaced.
    name = the_good_one(harnex).name.replace("good", "again")
    (harnex.state / "sessions" / name).write_bytes(b"garbage")
    harnex.ok("run", "cat", "--detach", "--id", "again")
    assert harnex.json("stop", "--id", "again")["ok"]
    assert harnex.json("stop", "--id", "good")["ok"]


def the_good_one(harnex: Harnex) -> Path:
    (path,) = harnex.state.glob("sessions/*--good.json")
    return path


def test_a_session_file_that_is_damaged_while_it_lives_is_written_again(harnex: Harnex) -> None:
    harnex.agent("good", {"text": "ok"})
    path = the_good_one(harnex)
    record = json.loads(path.read_text())
    path.write_bytes(b'{"id": "good", "supe')
    done = harnex.run("status", "--json")
    assert [r["id"] for r in json.loads(done.stdout)] == ["good"]
    if json.loads(done.stdout)[0].get("damaged"):  # or the entry was written anew already
        assert "entry of session 'good' is damaged" in done.stderr
    # As a command does that found the session before the damage.
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(record["socket"])
        s.sendall(b'{"op": "send", "text": "go", "until": "done"}\n')
        assert json.loads(s.makefile().readline())["status"] == "accepted"
    harnex.until(lambda: b'"turn":1' in path.read_bytes(), what="it is mended")
    assert [r["id"] for r in harnex.json("status", "--json")] == ["good"]
    psutil.Process(record["supervisor_pid"]).terminate()
    assert harnex.json("wait", "--id", "good", "--until", "exited", "--timeout", "20")["exit"]["reason"] == "stopped"
    assert not path.exists()


def test_garbage_in_the_history(harnex: Harnex) -> None:
    harnex.ok("run", "true", "--detach", "--id", "first")
    with open(harnex.state / "history.jsonl", "ab") as f:
        for line in (*GARBAGE, b'{"run_id":"a","id":"b","ended_at":"now","tokens":"x","duration_s":[]}'):
            f.write(line + b"\n")
        f.write(b'{"id": "lonely", "run_id": "r", "ended_at": 7}\n')
        f.write(b'{"run_id":"torn","i')
    harnex.ok("run", "true", "--detach", "--id", "second")
    rows = harnex.json("history", "--json", "--all")
    assert [r["id"] for r in rows if r["id"] in ("first", "second")] == ["first", "second"]
    for words in (("history", "--all"), ("history", "--since", "1h"), ("logs", "--id", "second"), ("prune",)):
        harnex.ok(*words)
    assert "second" in harnex.ok("history")


def test_a_torn_last_line_of_events(harnex: Harnex) -> None:
    """The supervisor was killed: the torn line is cut off, and the end
    follows without a gap in seq."""
    harnex.ok("run", "cat", "--detach", "--id", "torn")
    record = harnex.json("status", "--json")[0]
    psutil.Process(record["supervisor_pid"]).kill()
    path = harnex.state / "runs" / record["run_id"] / "events.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"schema_version":1,"seq":99,"ts":"20')
    rows = harnex.events("torn")
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    assert (rows[-1]["type"], rows[-1]["reason"]) == ("exited", "supervisor_lost")
    assert path.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_events_without_a_file(harnex: Harnex) -> None:
    harnex.ok("run", "true", "--detach", "--id", "gone")
    run_id = harnex.json("history", "--json")[0]["run_id"]
    shutil.rmtree(harnex.state / "runs" / run_id)
    assert "pruned" in refused(harnex, 1, "events", "--id", "gone")
    assert "left no recording" in refused(harnex, 1, "logs", "--id", "gone")
    assert "left no recording" in refused(harnex, 1, "pane", "--id", "gone")


# ---- dead runs ----


def test_a_pid_that_was_used_again_is_not_the_supervisor(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "reused")
    path = the_session_file(harnex)
    record = json.loads(path.read_text())
    psutil.Process(record["supervisor_pid"]).kill()
    harnex.until(lambda: not harnex.marked(), what="the agent's terminal is gone")
    record["supervisor_pid"] = os.getpid()  # alive, but started at another time
    path.write_text(json.dumps(record) + "\n")
    assert "has ended (supervisor_lost" in refused(harnex, 1, "stop", "--id", "reused")
    assert harnex.json("status", "--json") == []
    assert [r["reason"] for r in harnex.json("history", "--json")] == ["supervisor_lost"]


def test_many_commands_find_a_dead_run_at_once(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "dead")
    supervisor = psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"])
    supervisor.kill()
    words = [("status", "--json"), ("history", "--json"), ("events", "--id", "dead"), ("status", "--all"), ("prune",)]
    commands = [harnex.start(*words[n % len(words)]) for n in range(10)]
    assert [p.wait(30) for p in commands] == [0] * 10, [p.stderr.read() for p in commands if p.stderr]
    assert [r["reason"] for r in harnex.json("history", "--json")] == ["supervisor_lost"]
    rows = harnex.events("dead")
    assert [r["type"] for r in rows].count("exited") == 1
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))


def test_an_id_of_a_dead_run_is_free(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "phoenix")
    psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"]).kill()
    reply = harnex.json("run", "cat", "--detach", "--id", "phoenix")
    assert harnex.json("stop", "--id", "phoenix")["run_id"] == reply["run_id"]
    assert sorted(r["reason"] for r in harnex.json("history", "--json")) == ["stopped", "supervisor_lost"]


# ---- prune ----


def test_prune_takes_what_has_ended_and_never_what_lives(harnex: Harnex) -> None:
    harnex.agent("lives", {"text": "ok"})
    for name in ("old", "older"):
        harnex.ok("run", "true", "--detach", "--id", name)
    assert harnex.json("prune", "--json")["removed"] == 0  # younger than 30 days
    would = harnex.json("prune", "--older-than", "0", "--dry-run", "--json")
    assert (would["removed"], len(list(harnex.state.glob("runs/*")))) == (2, 3)
    assert harnex.json("prune", "--older-than", "0", "--json")["removed"] == 2
    assert harnex.json("prune", "--older-than", "0", "--json")["removed"] == 0
    assert harnex.json("send", "--id", "lives", "--message", "go", "--wait-for-idle")["outcome"] == "completed"
    assert len(harnex.events("lives")) > 5
    harnex.ok("stop", "--id", "lives")
    assert harnex.json("prune", "--older-than", "0", "--json")["removed"] == 1
    left = {str(p.relative_to(harnex.state)) for p in files_below(harnex.state)}
    assert left == {"history.jsonl", "sessions/.lock"}
    assert len(harnex.json("history", "--json")) == 3


def test_prune_while_sessions_start(harnex: Harnex) -> None:
    """A run that is being started is in no list yet, and must not be taken for an old one."""
    over = threading.Event()
    failed: list[str] = []

    def prune() -> None:
        while not over.is_set():
            done = harnex.run("prune", "--older-than", "0")
            if done.returncode:
                failed.append(done.stderr)

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        for n in range(4):
            reply = harnex.json("run", "cat", "--detach", "--id", f"s{n}")
            assert Path(reply["events_path"]).exists()
    finally:
        over.set()
        thread.join()
    assert failed == []


# ---- secrets ----


def holding(harnex: Harnex, *needles: str) -> list[str]:
    """Return the files below the state directory that hold one of these words."""
    found = []
    for path in files_below(harnex.state):
        if not path.is_socket():
            data = path.read_bytes()
            found += [f"{path.name}: {needle}" for needle in needles if needle.encode() in data]
    return found


@pytest.mark.parametrize("key", [KEY, "Tr0ub4dor&3-correct-horse-battery"])
def test_a_key_of_the_environment_is_in_no_file(harnex: Harnex, key: str) -> None:
    """The agent prints a secret whole, at the edge of the screen (wrapped), as JSON, scrolled away,
    in pieces, and in a title."""
    child = harnex.base / "child.py"
    child.write_text(
        "import json, os, sys, time, tty\n"
        "tty.setraw(0)\n"  # no echo of what is typed in the middle of what the agent prints
        "key = os.environ['MY_API_KEY']\n"
        "write = lambda s: (sys.stdout.write(s), sys.stdout.flush())\n"
        # The context may be echoed already: a key at a row's end hides the
        # first word of the next row.
        "write('\\r\\n\\r\\n')\n"
        "write(f'whole {key} end\\r\\n')\n"
        "write('x' * (80 - len(key) // 2) + key + ' wrapped\\r\\n')\n"
        "write(json.dumps({'quoted': f'\"{key}\"', 'n': 1}) + '\\r\\n')\n"
        "write(f'\\x1b]0;title {key}\\x07')\n"
        "write('\\x1b[31m' + key[:10] + '\\x1b[32m' + key[10:] + '\\x1b[0m coloured\\r\\n')\n"
        "for c in key: write(c); time.sleep(0.01)\n"
        "write(' typed\\r\\n')\n"
        "for n in range(60): write(f'line {n}\\r\\n')\n"
        "write('x' * (80 - len(key) // 3) + key + ' wrapped again\\r\\nfinished\\r\\n')\n"
        "time.sleep(60)\n"
    )
    harnex.ok(
        "run", "python3", "--detach", "--id", "secret", "--size", "80x24", "--env", f"MY_API_KEY={key}",
        "--description", f"with {key}", "--meta", json.dumps({"key": key}), "--context", f"the key is {key}",
        "--", str(child),
    )  # fmt: skip
    harnex.until(lambda: "finished" in harnex.ok("pane", "--id", "secret"), what="it printed all")
    harnex.until(lambda: "finished" in harnex.ok("logs", "--id", "secret"), what="it is recorded")
    harnex.ok("send", "--id", "secret", "--message", f"use {key} please", "--no-wait")
    needles = (key, key[:16], key[16:32])
    assert holding(harnex, *needles) == []
    harnex.ok("stop", "--id", "secret")
    assert holding(harnex, *needles) == []
    text = harnex.ok("logs", "--id", "secret")
    for word in ("whole", "wrapped", "quoted", "coloured", "typed", "wrapped again", "line 30"):
        assert word in text
    row = harnex.json("history", "--json")[0]
    assert row["redacted"] > 3
    assert row["meta"] == {"key": "[redacted]"}


# Files that the agent, and the model that it talks to, write themselves.
OF_THE_AGENT = ("agent.jsonl", "rehearsal.jsonl", "conversation-")


def test_a_key_that_the_agent_says_is_in_no_file(harnex: Harnex) -> None:
    """The last message of a turn is kept in the registry entry and in
    the history record as well."""
    harnex.agent("chatty", {"text": f"your key is {KEY}"}, {"text": "bye"}, run=("--env", f"MY_API_KEY={KEY}"))
    harnex.ok("send", "--id", "chatty", "--message", "what is my key?", "--wait-for-idle")
    kept = [h for h in holding(harnex, KEY) if not h.startswith(OF_THE_AGENT)]
    assert kept == []
    harnex.ok("stop", "--id", "chatty")
    kept = [h for h in holding(harnex, KEY) if not h.startswith(OF_THE_AGENT)]
    assert kept == []


def test_a_boot_failure_tells_no_secret(harnex: Harnex) -> None:
    done = harnex.run(
        "run", "sh", "--detach", "--id", "boot", "--env", f"MY_API_KEY={KEY}", "--description", KEY, "--",
        "-c", f"echo bad key {KEY}; exit 1",
    )  # fmt: skip
    assert done.returncode == 1
    assert holding(harnex, KEY) == []
    done = harnex.run("run", "./none", "--detach", "--description", KEY)
    assert done.returncode == 1
    assert holding(harnex, KEY) == []


# ---- doctor, demo, startup ----


def test_doctor_on_a_good_machine(harnex: Harnex) -> None:
    harnex.agent("live", {"text": "ok"})
    found = harnex.json("doctor", "--json", cwd="/")
    assert found["ok"] is True
    by_name = {c["what"]: c for c in found["checks"]}
    assert set(by_name) >= {"harnex", "state directory", "room", "sockets", "tmux", "TERM", "session live"}
    assert by_name["session live"]["status"] == "ok"
    assert all(set(c) == {"what", "status", "found", "mend"} for c in found["checks"])
    assert all(c["mend"] for c in found["checks"] if c["status"] != "ok")
    text = harnex.ok("doctor")
    assert "session live" in text
    assert "\x1b" not in text


def test_doctor_finds_what_is_wrong(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "stuck")
    supervisor = psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"])
    supervisor.suspend()
    try:
        done = harnex.run("doctor", env={**harnex.env, "TERM": "dumb", "PATH": os.path.dirname(HARNEX)})
        assert done.returncode == 1
        assert f"kill -CONT {supervisor.pid}" in done.stdout
        assert "tmux" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        supervisor.resume()


def test_the_demo_anywhere(harnex: Harnex) -> None:
    harnex.env["TMPDIR"] = str(harnex.base / "tmp")
    (harnex.base / "tmp").mkdir()
    before = time.monotonic()
    out = harnex.ok("demo", cwd="/")
    assert time.monotonic() - before < 20
    assert "equal" in out
    assert "\x1b[1m" not in out
    assert list((harnex.base / "tmp").iterdir()) == []
    assert not harnex.state.exists()
    assert harnex.marked() == []


@pytest.mark.parametrize(
    "verb", ["status --json", "events --snapshot", "send --message x --no-wait", "wait --until exited"]
)
def test_hot_verbs_import_little(harnex: Harnex, verb: str) -> None:
    """Importing one of these modules costs a command that scripts call in loops a good part
    of an interpreter's start."""
    harnex.ok("run", "cat", "--detach", "--id", "hot")
    words: Any = verb.split()
    python = os.path.join(os.path.dirname(HARNEX), "python")
    started = subprocess.Popen(
        [python, "-X", "importtime", HARNEX, *words, *([] if words[0] == "status" else ["--id", "hot"])],
        env=harnex.env,
        cwd=harnex.work,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    if words[0] == "wait":
        harnex.until(lambda: os.listdir(f"/proc/{started.pid}/fd").__len__() > 3, what="it waits")
        harnex.ok("stop", "--id", "hot")
    _, err = started.communicate(timeout=20)
    assert started.returncode == 0, err
    imported = {line.rpartition("|")[2].strip() for line in err.splitlines() if line.startswith("import time:")}
    assert "harnex.cli" in imported
    heavy = (
        "click",
        "json",
        "re",
        "socket",
        "pathlib",
        "typing",
        "subprocess",
        "dataclasses",
        "enum",
        "psutil",
        "pyte",
    )
    assert imported & set(heavy) == set()

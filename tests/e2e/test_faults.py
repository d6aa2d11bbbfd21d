"""The fault matrix: each process of a session is killed with -9 at each moment of its life.

In every cell: no event is lost, there is exactly one `exited` and one history record, nothing is
left behind, and the session can be resumed where it was, with the messages that the agent never
took, each delivered once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harnex import jsonl
from tests.conftest import each

from .conftest import Harnex
from .test_exec import Fake
from .test_files import fill
from .test_files import small_disk as small_disk  # the fixture

MOMENTS = ("starting", "prompt", "queued", "busy", "blocked", "stopping")
GO_ON = "You were interrupted. Go on with: a task"
WAITING = "typed when there is room ünïcode " + "x" * 300  # longer than the text of an event


class Cell:
    """A session at one moment of its life. `client` is a command that works on the session then."""

    def __init__(self, harnex: Harnex, moment: str, tmux: bool = False) -> None:
        self.harnex, self.moment = harnex, moment
        self.client: subprocess.Popen[str] | None = None
        self.log = harnex.base / "cell.truth"
        first: dict[str, Any] = {"text": "slow", "first_byte": 2.5}
        tui: tuple[str, ...] = ()
        if moment == "blocked":
            first, tui = {"text": "x", "tools": [{"bash": "true"}]}, ("--permission",)
        elif moment == "starting":
            tui = ("--start-delay", "0.8")
        elif moment == "stopping":
            tui = ("--ignore-exit", "--ignore-term")
        how = "--tmux" if tmux else "--detach"
        words = ["run", "demo", how, "--id", "cell", "--rehearse", harnex.script(first)]
        starter = harnex.start(*words, "--", "--log", str(self.log), *tui)
        if moment == "starting":
            self.client = starter
            self.record = harnex.until(self._record, what="the session is entered")
            harnex.until(lambda: (self._record() or {}).get("pid"), what="its agent runs")
            self.record = self._record() or self.record
            return
        out, err = starter.communicate(timeout=30)
        assert starter.returncode == 0, err
        harnex.ok("wait", "--id", "cell", "--until", "prompt", "--timeout", "20")
        getattr(self, f"_{moment}")()
        self.record = self._record() or {}
        assert self.record["run_id"] == json.loads(out)["run_id"]

    def _record(self) -> dict[str, Any] | None:
        for path in self.harnex.state.glob("sessions/*.json"):
            return jsonl.loads_dict(path.read_bytes())
        return None

    def _prompt(self) -> None:
        self.client = self.harnex.start("wait", "--id", "cell", "--until", "busy", "--timeout", "20")

    def _busy(self) -> None:
        self.harnex.ok("send", "--id", "cell", "--message", "a task")
        self.client = self.harnex.start("wait", "--id", "cell", "--until", "task_complete", "--timeout", "20")
        self._is("busy")

    def _queued(self) -> None:
        self._busy()
        assert self.client is not None
        self.client.kill()
        self.client.communicate()
        self.harnex.ok("send", "--id", "cell", "--message", WAITING, "--no-wait")
        self.client = self.harnex.start("send", "--id", "cell", "--message", "of one who waits", "--timeout", "20")
        self.harnex.until(lambda: (self._record() or {}).get("pending") == 2, what="both are queued")

    def _blocked(self) -> None:
        self.harnex.ok("send", "--id", "cell", "--message", "a task")
        self.client = self.harnex.start("events", "--follow", "--id", "cell")
        self._is("blocked")

    def _stopping(self) -> None:
        self.client = self.harnex.start("stop", "--id", "cell")
        self._is("stopping")

    def _is(self, state: str) -> None:
        self.harnex.until(lambda: (self._record() or {}).get("state") == state, what=f"it is {state}")

    @property
    def run_dir(self) -> Path:
        return Path(self.harnex.state / "runs" / self.record["run_id"])

    def events(self) -> bytes:
        path = self.run_dir / "events.jsonl"
        return path.read_bytes() if path.exists() else b""

    def pid(self, victim: str) -> int:
        if victim == "client":
            assert self.client is not None
            return self.client.pid
        if victim == "endpoint":
            return int(json.loads((self.run_dir / "start.json").read_text())["endpoint_pid"])
        if victim == "tmux":
            words = ["tmux", "display-message", "-p", "#{pid}"]
            return int(subprocess.run(words, env=self.harnex.env, capture_output=True, text=True, check=True).stdout)
        return int(self.record[{"supervisor": "supervisor_pid", "agent": "pid"}[victim]])

    def prompts(self) -> list[str]:
        rows = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [row["text"].strip() for row in rows if row.get("event") == "accepted"]


def check_run(harnex: Harnex, run_id: str, before: bytes = b"") -> list[dict[str, Any]]:
    """Check what must be true of every finished run. Returns its events."""
    data = (harnex.state / "runs" / run_id / "events.jsonl").read_bytes()
    assert data.startswith(before[: before.rfind(b"\n") + 1]), "an event was lost"
    rows = [json.loads(line) for line in data.splitlines()]
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    assert [r["type"] for r in rows].count("exited") == 1
    assert rows[-1]["type"] == "exited"
    assert [r["type"] for r in rows].count("usage") <= 1
    turns = [r["turn"] for r in rows if r["type"] == "turn_started"]
    assert turns == [r["turn"] for r in rows if r["type"] in ("task_complete", "turn_failed")], "a turn without its end"
    sent = {r["message_id"] for r in rows if r["type"] == "send"}
    last = {r["message_id"]: r["status"] for r in rows if r["type"] == "delivery"}
    assert sent == set(last)
    assert set(last.values()) <= {"accepted", "expired", "failed"}, "a message of which nobody knows what became"
    history = [json.loads(line) for line in (harnex.state / "history.jsonl").read_bytes().splitlines()]
    assert [r["reason"] for r in history if r["run_id"] == run_id] == [rows[-1]["reason"]]
    assert not list(harnex.state.glob(f"sessions/*{run_id}*"))
    return rows


def of_run(harnex: Harnex, run_id: str) -> list[int]:
    found = []
    for process in harnex.marked():
        try:
            if process.environ().get("HARNEX_RUN_ID") == run_id:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def start_again(cell: Cell, waiting: list[str], cut_off: bool) -> None:
    """Resume the session under its id in a new run, and check what the agent gets.

    The agent gets the task that was cut off and the messages that it had not taken, each once.
    """
    harnex, before = cell.harnex, cell.prompts()
    told = harnex.json("recover", "--id", "cell", "--resume", "--json")
    (reply,) = told["resumed"]
    assert (reply["id"], reply["resumes"], reply["messages"]) == ("cell", cell.record["run_id"], len(waiting))
    assert reply["said"] == (GO_ON if cut_off else None)
    waiting = [GO_ON, *waiting] if cut_off else waiting
    if before:
        assert reply["how"].startswith("resumed: --resume")
    new = harnex.state / "runs" / reply["run_id"]
    harnex.ok("wait", "--id", "cell", "--until", "prompt", "--timeout", "20") if not waiting else harnex.until(
        lambda: cell.prompts()[len(before) :] == waiting, what=f"delivered: {waiting}"
    )
    assert json.loads((new / "events.jsonl").read_text().splitlines()[0])["resumes"] == cell.record["run_id"]
    if before:
        assert "Resumed: " in harnex.ok("logs", "--id", "cell")
    again = harnex.run("recover", "--id", cell.record["run_id"], "--resume", "--json")
    assert again.returncode == 1  # only once
    assert not json.loads(again.stdout)["ok"]
    harnex.ok("stop", "--id", "cell", "--force")
    assert cell.prompts()[len(before) :] == waiting
    check_run(harnex, reply["run_id"])
    assert of_run(harnex, reply["run_id"]) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("victim", ["supervisor", "agent", pytest.param("both", marks=pytest.mark.more)])
def test_the_session_dies(harnex: Harnex, victim: str, moment: str) -> None:
    """`both`: every process of the session at once, after they hung for a while, as
    if the machine went down."""
    cell = Cell(harnex, moment)
    run_id, before = cell.record["run_id"], cell.events()
    if victim == "both":
        processes = [psutil.Process(pid) for pid in of_run(harnex, run_id)]
        processes.append(psutil.Process(cell.pid("supervisor")))
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in processes:
                process.send_signal(number)
    else:
        os.kill(cell.pid(victim), signal.SIGKILL)
    assert cell.client is not None
    if victim == "agent":
        harnex.until(lambda: not list(harnex.state.glob(f"sessions/{run_id}.lock")), what="its supervisor ends it")
    told = harnex.json("recover", "--all", "--json")
    cell.client.communicate(timeout=30)
    rows = check_run(harnex, run_id, before)
    assert of_run(harnex, run_id) == []
    if victim != "agent":
        # The client may have seen the dead run first.
        assert [f["run_id"] for f in told["found"]] in ([run_id], [])
        assert rows[-1]["reason"] == "supervisor_lost"
    else:
        # A session that was starting is a failed boot; one that was told to stop was stopped.
        expected = {"starting": ("boot_failure", "killed"), "stopping": ("stopped",)}.get(moment, ("killed",))
        assert rows[-1]["reason"] in expected
    assert harnex.json("recover", "--all", "--json") == {"ok": True, "found": [], "resumed": []}
    nothing = harnex.run("recover", "--all", "--resume") if rows[-1]["reason"] == "stopped" else harnex.run("recover")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", ""), "cron would mail it"
    waiting = [WAITING, "of one who waits"] if moment == "queued" else []
    start_again(cell, waiting, cut_off=moment in ("queued", "busy", "blocked"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("moment", each(MOMENTS, 2))
@pytest.mark.parametrize("victim", ["client", "endpoint", "tmux"])
def test_the_session_lives_on(harnex: Harnex, victim: str, moment: str) -> None:
    """The session survives the death of these processes: it ends when it is told to."""
    if victim == "tmux" and moment in ("starting", "stopping"):
        # The window does not exist yet, or no longer.
        moment = "prompt" if moment == "starting" else "blocked"
    cell = Cell(harnex, moment, tmux=victim == "tmux")
    run_id, before = cell.record["run_id"], cell.events()
    os.kill(cell.pid(victim), signal.SIGKILL)
    if moment != "stopping":
        supervisor = psutil.Process(cell.record["supervisor_pid"])
        assert supervisor.is_running()
        assert [r["run_id"] for r in harnex.json("status", "--json")] == [run_id]
        assert harnex.json("recover", "--all", "--json")["found"] == []
        harnex.ok("stop", "--id", "cell", "--force")
    else:
        harnex.until(lambda: not list(harnex.state.glob(f"sessions/{run_id}.lock")), 20, what="the stop goes on")
    assert cell.client is not None
    cell.client.kill()
    cell.client.communicate(timeout=30)
    rows = check_run(harnex, run_id, before)
    assert rows[-1]["reason"] == "stopped"
    assert of_run(harnex, run_id) == []
    harnex.until(lambda: not harnex.running("harnex.rehearsal.__main__"), what="its endpoint has ended")


@pytest.mark.parametrize("after", each([0.05, 0.15, 0.25, 0.35, 0.45], 2))
def test_the_starting_command_is_killed(harnex: Harnex, after: float) -> None:
    """Killed before there is a supervisor or while there is one: no run lacks a record, and
    no process lacks a session."""
    starter = harnex.start("run", "demo", "--detach", "--id", "early", "--context", "hi", "--rehearse", harnex.script())
    # The moment need not be met exactly: at every moment the result must be right.
    time.sleep(after)
    starter.kill()
    starter.communicate()
    harnex.until(lambda: harnex.running("harnex-supervisor") or not harnex.marked(), what="it lives, or nothing does")
    harnex.json("recover", "--all", "--json")
    live = harnex.json("status", "--json")
    runs = sorted(p.name for p in harnex.state.glob("runs/*"))
    locks = sorted(p.stem for p in harnex.state.glob("sessions/*.lock") if p.name != ".lock")
    ended = [r["run_id"] for r in harnex.json("history", "--json")]
    assert sorted([*ended, *(r["run_id"] for r in live)]) == runs
    assert locks == [r["run_id"] for r in live]
    if live:
        harnex.ok("wait", "--id", "early", "--until", "task_complete", "--timeout", "20")
    elif ended:
        (reply,) = harnex.json("recover", "--all", "--resume", "--json")["resumed"]
        assert reply["messages"] == 1
        harnex.ok("wait", "--id", "early", "--until", "task_complete", "--timeout", "20")
    for record in harnex.json("status", "--json"):
        harnex.ok("stop", "--id", record["run_id"], "--force")


# ---- what a crash leaves on the disk ----


def lost(harnex: Harnex, session_id: str = "lost") -> dict[str, Any]:
    """Leave a run whose supervisor and agent are gone. Returns its registry entry."""
    harnex.agent(session_id, {"text": "x"})
    (path,) = harnex.state.glob(f"sessions/*--{session_id}.json")
    record = json.loads(path.read_text()) | {"path": str(path)}
    psutil.Process(record["supervisor_pid"]).kill()
    harnex.until(lambda: not of_run(harnex, record["run_id"]), what="the agent's terminal is gone")
    return record


TORN: dict[str, Callable[[Harnex, Path, Path], object]] = {
    "registry entry torn": lambda h, entry, run: entry.write_bytes(entry.read_bytes()[:40]),
    "registry entry empty": lambda h, entry, run: entry.write_bytes(b""),
    "registry entry gone": lambda h, entry, run: entry.unlink(),
    "events torn": lambda h, entry, run: (run / "events.jsonl").open("ab").write(b'{"schema_version":1,"seq":99'),
    "events zeroed": lambda h, entry, run: (run / "events.jsonl").open("ab").write(b"\0" * 5000),
    "events garbage": lambda h, entry, run: (run / "events.jsonl").open("ab").write(b"garbage\n" * 20000),
    "history torn": lambda h, entry, run: (h.state / "history.jsonl").write_bytes(b'{"id":"lost","run_id":"2'),
    "start.json torn": lambda h, entry, run: (run / "start.json").write_bytes(b'{"schema'),
    "cast torn": lambda h, entry, run: (run / "session.cast").open("ab").write(b'[1.0,"o","to'),
    "both torn": lambda h, entry, run: [p.write_bytes(b"{") for p in (entry, run / "start.json")],
    "half an entry beside": lambda h, entry, run: Path(f"{entry}.999999.tmp").write_bytes(b"{"),
}  # fmt: skip


@pytest.mark.parametrize("what", TORN)
def test_torn_files(harnex: Harnex, what: str) -> None:
    record = lost(harnex)
    run = harnex.state / "runs" / record["run_id"]
    before = (run / "events.jsonl").read_bytes()
    TORN[what](harnex, Path(record["path"]), run)
    assert harnex.json("status", "--json", "--all") == []
    data = (run / "events.jsonl").read_bytes()
    assert data.startswith(before)
    rows = [r for line in data.splitlines() if (r := jsonl.loads_dict(line)) is not None]
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    assert [r["type"] for r in rows].count("exited") == 1
    assert [(r["id"], r["reason"]) for r in harnex.json("history", "--json", "--all")] == [("lost", "supervisor_lost")]
    assert [p.name for p in harnex.state.glob("sessions/*")] == [".lock"]
    assert list(harnex.state.glob("sock/*")) == []
    harnex.ok("logs", "--id", "lost")
    if "start.json" not in what and "both" not in what:
        harnex.ok("recover", "--id", "lost", "--resume")
        harnex.ok("stop", "--id", "lost", "--force")
    else:
        refused = harnex.run("recover", "--id", "lost", "--resume")
        assert refused.returncode == 1
        assert "start it yourself: harnex run demo --id lost" in refused.stderr


def test_half_made_runs(harnex: Harnex) -> None:
    """A run of which only the mark or the directory was written is no run.

    A stranger's directory is left alone.
    """
    harnex.ok("status")
    sessions, runs = harnex.state / "sessions", harnex.state / "runs"
    for directory in (sessions, runs):
        directory.mkdir(mode=0o700, exist_ok=True)
    (sessions / "20260101T000000000-00000001.lock").touch()
    (sessions / "20260101T000000000-00000002.lock").touch()
    (runs / "20260101T000000000-00000002" / "evidence").mkdir(parents=True)
    (sessions / ".20260101T000000000-00000003.new").touch()
    (runs / "20260101T000000000-00000004").mkdir()  # without a mark: from an older harnex
    assert harnex.json("recover", "--all", "--json") == {"ok": True, "found": [], "resumed": []}
    assert [p.name for p in sessions.iterdir()] == [".lock"]
    assert [p.name for p in runs.iterdir()] == ["20260101T000000000-00000004"]
    assert harnex.json("history", "--json") == []


def test_a_reboot(harnex: Harnex) -> None:
    """After a reboot every pid is another process's, one even with the same start since its boot.

    Nobody holds the locks.
    """
    record = lost(harnex)
    stranger = subprocess.Popen(["sleep", "60"], env={**harnex.env, "HARNEX_RUN_ID": "of another run"})
    try:
        stat = Path(f"/proc/{stranger.pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
        changed = record | {"pid": stranger.pid, "supervisor_pid": stranger.pid}
        changed |= {"pid_start": f"{stat}@00000000", "supervisor_start": f"{stat}@00000000"}
        path = Path(changed.pop("path"))
        path.write_text(json.dumps(changed))
        start = harnex.state / "runs" / record["run_id"] / "start.json"
        known = json.loads(start.read_text())
        known |= {"boot": "00000000", "endpoint_pid": stranger.pid, "endpoint_start": f"{stat}@00000000"}
        start.write_text(json.dumps(known))
        (found,) = harnex.json("recover", "--all", "--json")["found"]
        assert (found["run_id"], found["reason"]) == (record["run_id"], "supervisor_lost")
        assert stranger.poll() is None, "a process that only has its pid was ended"
        check_run(harnex, record["run_id"])
        # The same pid and the same start, as after a reboot that went exactly like the one before:
        # only the lock shows the difference.
        second = lost(harnex, "second")
        own = Path(second.pop("path"))
        own.write_text(json.dumps(second | {"supervisor_pid": stranger.pid, "supervisor_start": stat}))
        assert [f["id"] for f in harnex.json("recover", "--all", "--json")["found"]] == ["second"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_shutdown_is_an_accident(harnex: Harnex) -> None:
    """SIGTERM ends a session.

    If a shutdown sent it (another boot since), the session is to be resumed;
    if a person did, it is not.
    """
    harnex.agent("down", {"text": "slow", "first_byte": 30})
    harnex.ok("send", "--id", "down", "--message", "a task")
    harnex.ok("send", "--id", "down", "--message", "later", "--no-wait")
    record = harnex.json("status", "--json")[0]
    os.kill(record["supervisor_pid"], signal.SIGTERM)
    harnex.until(lambda: not list(harnex.state.glob("sessions/*.json")), 20, what="it ends")
    assert harnex.json("recover", "--all", "--resume", "--json")["resumed"] == []
    start = harnex.state / "runs" / record["run_id"] / "start.json"
    start.write_text(json.dumps(json.loads(start.read_text()) | {"boot": "00000000"}))
    (reply,) = harnex.json("recover", "--all", "--resume", "--json", "--message", "go on")["resumed"]
    assert (reply["resumes"], reply["messages"]) == (record["run_id"], 1)
    harnex.until(lambda: [r["msg"] for r in harnex.events("down", "send")] == ["go on", "later"])
    harnex.ok("stop", "--id", "down", "--force")


def test_a_clock_that_jumps(harnex: Harnex) -> None:
    """Times in the future, and runs that ended before they began: an end is still
    written, never later than now."""
    record = lost(harnex)
    future = time.time() + 86400 * 400
    run = harnex.state / "runs" / record["run_id"]
    for path in (Path(record["path"]), run / "session.cast", run / "events.jsonl"):
        os.utime(path, (future, future))
    entry = json.loads(Path(record["path"]).read_text())
    Path(record["path"]).write_text(json.dumps(entry | {"started_at": "2031-01-01T00:00:00.000Z"}))
    os.utime(record["path"], (future, future))
    assert harnex.json("status", "--json") == []
    (row,) = harnex.json("history", "--json")
    assert (row["reason"], row["duration_s"]) == ("supervisor_lost", 0.0)
    assert row["ended_at"] < time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 60))


def test_recoveries_at_once(harnex: Harnex) -> None:
    """Twelve commands at once: one end, one history record, and one of the
    commands resumes the run."""
    record = lost(harnex)
    words = [("recover", "--all", "--resume", "--json"), ("status", "--json"), ("history", "--json")]
    commands = [harnex.start(*words[n % 3]) for n in range(12)]
    outs = [c.communicate(timeout=60)[0] for c in commands]
    replies = [r for n, out in enumerate(outs) if n % 3 == 0 for r in json.loads(out)["resumed"]]
    assert [r["ok"] for r in replies].count(True) == 1
    assert all(
        "goes on with it already" in r["error"] or "running already" in r["error"] for r in replies if not r["ok"]
    )
    check_run(harnex, record["run_id"])
    assert len(list(harnex.state.glob("runs/*"))) == 2
    harnex.ok("stop", "--id", "lost", "--force")


def test_a_full_disk(harnex: Harnex, small_disk: Path) -> None:
    """A run dies while the disk is full: nothing can be written, nothing is lost, and
    the end is written later."""
    record = lost(harnex, "full")
    before = (harnex.state / "runs" / record["run_id"] / "events.jsonl").read_bytes()
    ballast = fill(small_disk)
    done = harnex.run("recover", "--all", "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)
    (found,) = json.loads(done.stdout)["found"]
    assert (found["id"], found["complete"]) == ("full", False)
    assert "could not be written; is the disk full?" in harnex.run("recover", "--all").stderr
    assert harnex.json("status", "--json") == []
    done = harnex.run("recover", "--id", "full", "--resume", "--json")
    assert done.returncode == 1
    ballast.unlink()
    (found,) = harnex.json("recover", "--all", "--json")["found"]
    assert found["complete"]
    check_run(harnex, record["run_id"], before)
    # The disk is full again when the run is to be resumed: the resume does not
    # begin, and succeeds later.
    ballast = fill(small_disk)
    done = harnex.run("recover", "--id", "full", "--resume", "--json")
    assert done.returncode == 1, done.stdout
    ballast.unlink()
    harnex.json("recover", "--id", "full", "--resume", "--json")
    harnex.ok("stop", "--id", "full", "--force")
    assert len(list(harnex.state.glob("runs/*"))) == 2


def test_prune_keeps_what_a_resumed_session_stands_on(harnex: Harnex) -> None:
    harnex.agent("old", {"text": "I remember."})
    harnex.ok("send", "--id", "old", "--message", "first", "--wait-for-idle")
    psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"]).kill()
    for _ in range(2):
        harnex.json("recover", "--id", "old", "--resume", "--json")
        psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"]).kill()
    (reply,) = harnex.json("recover", "--id", "old", "--resume", "--json")["resumed"]
    (agent,) = harnex.running("rehearsal.tui")
    words = psutil.Process(agent).cmdline()
    assert [words.count(w) for w in ("--resume", "--log")] == [1, 1], "its own arguments last, however often"
    harnex.ok("prune", "--older-than", "0")
    assert len(list(harnex.state.glob("runs/*"))) == 4
    assert "I remember." in "".join(p.read_text() for p in harnex.state.glob("runs/*/home/conversation-*"))
    harnex.ok("stop", "--id", "old", "--force")
    harnex.ok("prune", "--older-than", "0")
    assert list(harnex.state.glob("runs/*")) == []
    assert reply["ok"]


# ---- a crash in the recovery itself ----

KILLER = """
import os, signal, sys
sys.path.insert(0, {root!r})
left = int(sys.argv[1])
def trace(frame, event, arg):
    global left
    if "/recovery/" in frame.f_code.co_filename or "/store/" in frame.f_code.co_filename:
        if event == "line" and frame.f_code.co_filename.endswith({files!r}):
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
from harnex.commands import recover, _find
from harnex.store import *
from harnex.launch import launch
from harnex.recovery import recover as r, resume, write_end
sys.argv = ["harnex", "recover", "--all", *sys.argv[2:]]
from harnex.cli import main
sys.settrace(trace)
sys.exit(main())
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("words", [(), ("--resume",)], ids=["end", "resume"])
def test_killed_in_the_middle_of_recovery(harnex: Harnex, words: tuple[str, ...]) -> None:
    """The recovery dies at one line after another of its code: the next one
    finishes what was begun, once."""
    files = ("recover.py", "write_end.py", "undelivered.py", "runlock.py", "history.py") + (
        ("resume.py",) if words else ()
    )
    code = KILLER.format(root=str(Path(__file__).parents[2]), files=files)
    harnex.agent("lost", {"text": "slow", "first_byte": 20}, {"text": "x"})
    harnex.ok("send", "--id", "lost", "--message", "a task")
    harnex.ok("send", "--id", "lost", "--message", WAITING, "--no-wait")
    (path,) = harnex.state.glob("sessions/*--lost.json")
    record = json.loads(path.read_text())
    psutil.Process(record["supervisor_pid"]).kill()
    harnex.until(lambda: not of_run(harnex, record["run_id"]), what="the agent's terminal is gone")
    before = (harnex.state / "runs" / record["run_id"] / "events.jsonl").read_bytes()
    line, kills = 3, 0
    step = random.Random(7)
    while True:
        done = subprocess.run(
            [sys.executable, "-c", code, str(line), *words], env=harnex.env, cwd=harnex.work, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        if done.returncode != -signal.SIGKILL:
            assert done.returncode == 0, done.stderr
            break
        kills += 1
        line += step.randrange(5, 20) if not words else step.randrange(12, 40)
    assert kills > 12
    harnex.ok("recover", "--all", *words)
    check_run(harnex, record["run_id"], before)
    if not words:
        harnex.ok("recover", "--id", "lost", "--resume")
    delivered = ["a task", GO_ON, WAITING]
    harnex.until(lambda: harnex.prompts("lost") == delivered, 20, what="it is delivered, once")
    for run in sorted(p.name for p in harnex.state.glob("runs/*"))[1:-1]:
        check_run(harnex, run)  # runs that were started and killed with their starter
    harnex.ok("stop", "--id", "lost", "--force")
    assert harnex.prompts("lost") == delivered


# ---- many at once ----


@pytest.mark.timeout(900)
def test_many_sessions_with_random_faults(harnex: Harnex) -> None:
    """Many sessions, random kills, and a recovery that resumes them: in the end nothing is
    left, and every run is whole.

    It lasts HARNEX_FAULTS_S (default 8 s, with 8 sessions; from a minute on 24).
    HARNEX_FAULTS_SEED sets the seed.
    """
    seconds = float(os.environ.get("HARNEX_FAULTS_S", "8"))
    seed = int(os.environ.get("HARNEX_FAULTS_SEED", "20261121"))
    count = 24 if seconds >= 60 else 8
    ids = [f"s{n:02d}" for n in range(count)]
    script = harnex.script({"text": "a", "first_byte": 0.3}, {"text": "b", "tools": [{"bash": "sleep 0.2"}]})
    sent: dict[str, list[str]] = {i: [] for i in ids}
    acknowledged: dict[str, list[str]] = {i: [] for i in ids}

    def start(name: str) -> None:
        log = str(harnex.base / f"{name}.truth")
        harnex.ok("run", "demo", "--detach", "--id", name, "--rehearse", script, "--", "--log", log)

    def all_of(action: Callable[[int], object]) -> None:
        threads = [threading.Thread(target=action, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    end, faults = 0.0, 0

    def disturb(part: int) -> None:
        nonlocal faults
        luck, mine = random.Random(f"{seed}-{part}"), ids[part::4]
        while time.monotonic() < end:
            name = luck.choice(mine)
            record = {r["id"]: r for r in harnex.json("status", "--json")}.get(name)
            if record is None:
                # Messages about tasks that were cut off would be counted here, too.
                harnex.run("recover", "--id", name, "--resume", "--no-continue", "--max-resumes", "1000", "--json")
                continue
            what = luck.choice(("send", "send", "supervisor", "agent", "group", "endpoint", "client", "recovery"))
            faults += what != "send"
            held = luck.random() < 0.3  # some processes hang before they die
            pid = record["supervisor_pid"] if what == "supervisor" else record["pid"]
            if what in ("send", "client", "recovery"):
                text = f"message {len(sent[name])} of {name}"
                words: tuple[str, ...] = ("recover", "--all", "--json")
                if what != "recovery":
                    sent[name].append(text)
                    words = ("send", "--id", name, "--message", text, "--no-wait")
                command = harnex.start(*words)
                if what != "send":
                    time.sleep(luck.random() * 0.2)
                    command.kill()
                command.communicate()
                if what == "send" and command.returncode == 0:
                    acknowledged[name].append(text)
                continue
            if what == "endpoint":
                start_json = harnex.state / "runs" / record["run_id"] / "start.json"
                pid = json.loads(start_json.read_text())["endpoint_pid"]
            try:
                if what == "group":
                    os.killpg(record["supervisor_pid"], signal.SIGKILL)
                    pid = record["pid"]
                if held:
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(luck.random() * 0.2)
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, TypeError):
                continue  # the session has just ended, or has not begun

    all_of(lambda part: [start(name) for name in ids[part::4]])
    end = time.monotonic() + seconds
    all_of(disturb)
    harnex.run("recover", "--all", "--json")
    for record in harnex.json("status", "--json", "--all"):
        harnex.run("stop", "--force", "--id", record["run_id"])
    harnex.until(lambda: not harnex.marked(), 20, what="nothing is left")
    harnex.json("recover", "--all", "--json")
    runs = sorted(p.name for p in harnex.state.glob("runs/*"))
    assert len(runs) >= count and faults >= seconds / 5
    for run in runs:
        check_run(harnex, run)
    assert [p.name for p in harnex.state.glob("sessions/*")] == [".lock"]
    for name in ids:
        taken = harnex.prompts(name)
        assert len(taken) == len(set(taken)), f"delivered twice: {taken} (seed {seed})"
        assert set(taken) <= set(sent[name])
        # The fate of each message whose sender was told that it is in the queue: in the last run of
        # the session it was taken, or reported as not taken.
        rows = [json.loads(line) for run in runs for line in (harnex.state / "runs" / run / "events.jsonl").open("rb")]
        own = [r for r in rows if r["id"] == name]
        texts = {r["message_id"]: r["msg"] for r in own if r["type"] == "send"}
        fate = {texts[r["message_id"]]: r for r in own if r["type"] == "delivery"}
        missing = [text for text in acknowledged[name] if text not in taken]
        open_end = {t: fate.get(t, {}).get("status") for t in missing}
        assert set(open_end.values()) <= {"expired", "failed"}, f"lost: {name} {open_end} (seed {seed})"
        assert {fate[t]["run_id"] for t in missing} <= {own[-1]["run_id"]}, (
            f"left behind: {name} {missing} (seed {seed})"
        )
    taken_in_all = sum(len(harnex.prompts(name)) for name in ids)
    print(
        f"{len(runs)} runs, {faults} faults, {sum(map(len, sent.values()))} messages, {taken_in_all} taken (seed {seed})"
    )


def test_a_headless_run_dies(harnex: Harnex) -> None:
    """`harnex exec` has an end like any other run; its one task is not started again."""
    task = Fake(harnex, "begin(); time.sleep(300)").start("--id", "one")
    try:
        record = harnex.until(
            lambda: (
                harnex.state.exists()
                and next((r for r in harnex.json("status", "--json") if r["state"] == "busy"), None)
            ),
            what="it works",
        )
        psutil.Process(record["supervisor_pid"]).kill()
    finally:
        task.communicate(timeout=30)
    assert task.returncode == 1
    harnex.json("recover", "--all", "--json")
    rows = check_run(harnex, record["run_id"])
    assert (rows[-1]["reason"], of_run(harnex, record["run_id"])) == ("supervisor_lost", [])
    assert harnex.json("recover", "--all", "--resume", "--json")["resumed"] == []
    assert "give the task again" in harnex.run("recover", "--id", "one", "--resume").stderr

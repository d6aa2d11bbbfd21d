"""How runs of the real CLIs end: stopped at work, killed, never begun; nothing of them goes on."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from harnex import process
from tests.e2e.conftest import Harnex
from tests.real.conftest import Agent, stamp

pytestmark = pytest.mark.timeout(120)  # the old CLIs are slow on a busy machine
TOOL_S = 8  # how long the tool would run: a stop is faster, also on a busy machine


def at_work(agent: Agent, session_id: str, seconds: int = TOOL_S) -> Path:
    """A session in the middle of a tool that would run so long and then write a file; the file. The call that asked for it
    is billed: Codex starts a tool before that."""
    late = agent.place.work / "late.txt"
    tool = f"{stamp(agent.place.work / 'begun.txt')}; sleep {seconds} && {stamp(late)}"
    agent.start(session_id, {"text": "Working.", "tools": [{"bash": tool}]}, "Never said.")
    agent.place.ok("send", "--id", session_id, "--message", "go")
    agent.place.until((agent.place.work / "begun.txt").exists, 20)
    agent.place.until(lambda: agent.log(session_id, "call"), what="the bill of its call")
    return late


def nothing_goes_on(agent: Agent, run_id: str, late: Path, until: float) -> None:
    """Until that time (monotonic) and a little more: no process, no file of the tool, no model call."""
    assert agent.of_run(run_id) == []
    requests = len(agent.log(run_id, "request"))
    time.sleep(max(0.0, until + 0.5 - time.monotonic()))
    assert not late.exists(), "its tool went on"
    assert len(agent.log(run_id, "request")) == requests, "the model was called again"
    # An interrupted Codex 0.104 may begin its next call, and gives it up in the same moment.
    assert len([c for c in agent.log(run_id, "call") if c["finished"]]) == 1
    assert agent.of_run(run_id) == []


@pytest.mark.newest
@pytest.mark.parametrize("force", [False, True], ids=["stop", "force"])
def test_stop_while_a_tool_runs(agent: Agent, force: bool) -> None:
    """Ruby harnex left the tool running, and Codex's daemon called the model again."""
    late = at_work(agent, "busy")
    ends = time.monotonic() + TOOL_S
    reply = agent.place.json("stop", "--id", "busy", *(["--force"] if force else []))
    assert (reply["ok"], reply["reason"]) == (True, "stopped")
    assert time.monotonic() < ends, "it was not stopped but waited for"
    nothing_goes_on(agent, agent.run_ids["busy"], late, ends)
    rows = agent.check_ended("busy")
    assert [(r["outcome"], r["turn"]) for r in rows if r["type"] == "turn_failed"] == [("interrupted", 1)]
    assert [r["type"] for r in rows].count("task_complete") == 0
    # What was counted is kept: the call that asked for the tool was billed. (Codex up to 0.145 writes it after the
    # tools, when there is no after any more; and what it has not written yet is lost with a KILL.)
    if not force and (agent.cli == "claude" or agent.newest):
        assert [r["call_id"] for r in rows if r["type"] == "call" and r["agent"] == "main"] == [
            b["id"] for b in agent.log("busy", "call")
        ][:1]


@pytest.mark.newest
def test_kill_9_of_the_supervisor(agent: Agent) -> None:
    place = agent.place
    late = at_work(agent, "lost")
    ends = time.monotonic() + TOOL_S
    waiter = place.start("wait", "--id", "lost", "--until", "task_complete")
    psutil.Process(agent.record("lost")["supervisor_pid"]).kill()
    assert waiter.wait(20) == 1
    waiter.communicate()
    assert [r["id"] for r in place.json("status", "--json", "--all")] == []
    nothing_goes_on(agent, agent.run_ids["lost"], late, ends)
    rows = agent.check_ended("lost")
    assert rows[-1]["reason"] == "supervisor_lost"
    assert place.json("history", "--json")[0]["reason"] == "supervisor_lost"


def test_the_agent_is_killed_at_work(agent: Agent) -> None:
    place = agent.place
    late = at_work(agent, "crash")
    ends = time.monotonic() + TOOL_S
    run_id = agent.run_ids["crash"]
    psutil.Process(agent.record("crash")["pid"]).kill()
    waited = place.run("wait", "--id", "crash", "--until", "task_complete", "--timeout", "20")
    assert waited.returncode == 1
    place.until(lambda: agent.of_run(run_id) == [], 10)
    nothing_goes_on(agent, run_id, late, ends)
    rows = agent.check_ended("crash")
    assert (rows[-1]["reason"], rows[-1]["signal"]) == ("killed", 9)
    assert [r["outcome"] for r in rows if r["type"] == "turn_failed"] == ["failed"]


@pytest.mark.newest
def test_an_id_is_used_again(agent: Agent) -> None:
    """Ruby harnex numbered on in the same file, and took the session before for this one."""
    place = agent.place
    agent.start("again", "First life.")
    agent.send("again", "one")
    twice = place.run("run", agent.cli, "--detach", "--id", "again")
    assert (twice.returncode, json.loads(twice.stdout)["ok"]) == (1, False)
    assert "harnex stop --id again" in json.loads(twice.stdout)["hint"]
    agent.stop("again")
    first = agent.check_ended("again")
    agent.start("again", {"text": "Second life.", "first_byte": 1.0})
    place.ok("send", "--id", "again", "--message", "two", "--no-wait")
    assert agent.wait("again", "task_complete")["last_outcome"]["message"] == "Second life."
    agent.stop("again")
    second = agent.check_ended("again")
    assert second[0]["run_id"] > first[0]["run_id"]
    assert [r["last_message"] for r in second if r["type"] == "task_complete"] == ["Second life."]
    assert agent.place.events(first[0]["run_id"]) == first


def test_a_wrong_flag_is_told_at_once(agent: Agent) -> None:
    place = agent.place
    done = place.run(
        "run", agent.cli, "--detach", "--id", "flag", "--rehearse", place.script("x"), "--", "--no-such-flag"
    )
    reply = json.loads(done.stdout)
    if agent.cli == "claude" and not agent.newest and reply["ok"]:
        # 2.0 takes 1.7 s and more before it says so: then the launching command may have gone.
        assert reply["state"] == "starting"
        assert agent.wait("flag", "exited")["exit"]["reason"] == "boot_failure"
    else:
        assert (done.returncode, reply["ok"]) == (1, False)
        assert "no-such-flag" in reply["error"]
        assert "no-such-flag" in done.stderr
    row = place.json("history", "--json")[0]
    assert (row["id"], row["reason"], row["exit"]) == ("flag", "boot_failure", 1)
    assert "no-such-flag" in row["message"]
    agent.check_ended("flag")


@pytest.mark.parametrize("cli", ["codex", "claude"])
def test_without_the_cli(harnex: Harnex, cli: str) -> None:
    """Not on the PATH: said at once, with what to do; nothing is left."""
    empty = harnex.base / "bin"
    empty.mkdir()
    git = shutil.which("git")
    assert git is not None
    (empty / "git").symlink_to(git)
    begun = time.monotonic()
    done = harnex.run("run", cli, "--detach", env={**harnex.env, "PATH": str(empty)})
    assert time.monotonic() - begun < 2
    reply = json.loads(done.stdout)
    assert (done.returncode, reply["ok"]) == (1, False)
    assert f"can't run {cli}" in reply["error"]
    assert "PATH" in reply["error"]
    assert "npm install" in reply["hint"]
    assert harnex.json("status", "--json", "--all") == []


@pytest.mark.newest
def test_a_daemon_that_wipes_its_environment_ends_with_the_session(agent: Agent, tmp_path: Path) -> None:
    """It carries nothing of the session, and its parent is long gone: it is a child of the supervisor all the same."""
    pid_file = tmp_path / "daemon.pid"
    daemon = f"env -i setsid sh -c 'echo $$ > {pid_file}; exec sleep 300' >/dev/null 2>&1 </dev/null &"
    tool = {"bash": f"{daemon} until test -s {pid_file}; do sleep 0.1; done"}
    agent.start("s", {"text": "It runs.", "tools": [tool]}, "It does.")
    agent.send("s", "go")
    pid = int(pid_file.read_text())
    started = process.start_time(pid)
    assert started is not None
    try:
        assert agent.stop("s")["swept"] >= 1
        assert not process.alive(pid, started)
    finally:
        process.send_signal(pid, signal.SIGKILL, started)
    assert f"(pid {pid})" in " ".join(row["what"] for row in agent.events("s", "diagnostic"))

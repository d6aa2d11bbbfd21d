"""The watch, and people at the terminal, with Paseo: there an interrupt is a command,
and a crash is the daemon's."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pexpect
import psutil
import pytest

from tests.e2e.conftest import HARNEX
from tests.e2e.conftest import harnex as harnex  # the fixtures
from tests.paseo.place import SLOW, Paseo
from tests.paseo.place import paseo as paseo

pytestmark = pytest.mark.timeout(120)
STUCK = ["text", "one two", 1e6]  # a word, and nothing more
WATCH = ("--watch", "--preset", "impl", "--auto-stop")


def watched(paseo: Paseo, name: str, *steps: Any, more: tuple[str, ...] = ()) -> Any:
    """Start `harnex run paseo --watch ...` in the background, followed to its end."""
    words = ("run", "paseo", "--provider", "claude/some-model", "--id", name, "--permissions", "bypass", *WATCH)
    return paseo.place.start(*words, "--context", f"Do it. SCRIPT:{json.dumps(steps)}", *more)


def finish(process: Any) -> tuple[int, str]:
    out, err = process.communicate(timeout=90)
    return process.returncode, out + err


def test_a_stall_is_interrupted_by_stop_and_nudged(paseo: Paseo) -> None:
    """Naive: press the keys of an interrupt, which Paseo does not have; after 10 s
    the agent is killed as deaf."""
    code, said = finish(
        watched(paseo, "w", ["bash", "echo hi"], STUCK, more=("--stall-after", "3s", "--verify", "test -d ."))
    )
    assert code == 0, said
    assert paseo.ends("w") == ["interrupted", "completed"]
    assert [n["interrupted"] for n in paseo.place.events("w", "nudge")] == [True]
    assert paseo.place.events("w", "restart") == []
    assert [v["ok"] for v in paseo.place.events("w", "verify")] == [True]
    stops = [c for c in paseo.calls() if c[0] == "stop"]
    # One more stop is for the phantom. Another press does not begin the ladder anew.
    assert len(stops) == 2
    assert paseo.place.running("double") == []


def test_a_daemon_that_dies_under_the_watch_is_started_again_with_its_agent(paseo: Paseo) -> None:
    """Naive: the session ends; or a new agent starts, which knows nothing about the task."""
    process = watched(paseo, "d", SLOW)
    run_id = paseo.place.until(lambda: [r for r in paseo.place.json("status", "--json") if r["turn"]], 30)[0]["run_id"]
    paseo.runs["d"] = {"run_id": run_id}
    daemon, agent = paseo.daemon("d"), paseo.agent("d")["id"]
    # The agent must have been seen alive, or it would count as one that never started.
    paseo.place.until(lambda: psutil.Process(daemon.pid).cpu_times() and _age(daemon) > 8, 15)
    daemon.kill()
    code, said = finish(process)
    assert code == 0, said
    assert (paseo.ends("d"), paseo.cut("d")) == (["failed", "completed"], ["call"])
    [restart] = paseo.place.events("d", "restart")
    assert (restart["resumed"], restart["error"]) == (True, None)
    assert "daemon" in restart["reason"]
    assert paseo.agent("d")["id"] == agent
    assert len([c for c in paseo.calls() if c[0] == "run"]) == 1
    assert paseo.place.running("tests.paseo") == [] and paseo.place.running("double") == []


def test_what_the_provider_says_is_what_the_watch_does(paseo: Paseo) -> None:
    """Naive: all of it is `idle`, so all of it is done."""
    process = watched(paseo, "r", ["error", 529, "overloaded"])
    paseo.place.until(lambda: paseo.place.json("status", "--json"), 20)
    follow = paseo.place.start("events", "--follow", "--id", "r", "--type", "limit_wait")
    assert follow.stdout is not None
    wait = json.loads(follow.stdout.readline())
    assert (wait["reason"], wait["attempt"]) == ("overloaded", 1)
    follow.kill()
    follow.communicate()
    paseo.place.ok("stop", "--id", "r")
    assert finish(process)[0] == 1
    code, said = finish(watched(paseo, "a", ["error", 401, "auth"]))
    assert code == 4, said
    assert "not accepted" in said


@pytest.mark.more
def test_a_watch_is_put_on_a_running_session(paseo: Paseo) -> None:
    paseo.start("l")
    paseo.busy("l", ["bash", "echo hi"], STUCK)
    code, said = finish(paseo.place.start("watch", "--id", "l", "--auto-stop", "--stall-after", "3s"))
    assert code == 0, said
    assert paseo.ends("l") == ["interrupted", "completed"]


@pytest.mark.more
def test_bypass_under_the_watch_answers_what_is_asked_all_the_same(paseo: Paseo) -> None:
    """Paseo asks for a permission in spite of its mode, and nobody is there to answer."""
    paseo.start("p", "claude", "--", "--mode", "default")
    paseo.send("p", ["bash", "touch made"], ["text", "Made."], code=4)
    code, said = finish(paseo.place.start("watch", "--id", "p", "--auto-stop"))
    assert code == 0, said
    assert (paseo.place.work / "made").exists()


def _age(process: psutil.Process) -> float:
    import time

    return time.time() - process.create_time()


# ---- people ----


def test_the_terminal_shows_the_agent_and_takes_ctrl_c_and_the_detach_key(paseo: Paseo) -> None:
    """Naive: Ctrl-C ends what shows the agent, and Ctrl-Z stops that for ever;
    neither reaches the agent."""
    words = ["run", "paseo", "--provider", "codex/some-model", "--id", "t", "--permissions", "bypass"]
    person = pexpect.spawn(
        HARNEX, words, cwd=str(paseo.place.work), env=paseo.place.env, timeout=30, dimensions=(24, 80)
    )
    person.expect("Attaching to agent")
    run_id = paseo.place.json("status", "--json")[0]["run_id"]
    paseo.runs["t"] = {"run_id": run_id}
    paseo.place.ok("wait", "--id", "t", "--until", "prompt", "--timeout", "30")
    paseo.busy("t", ["text", "alpha beta", 30], ["text", "gamma", 1e6])
    paseo.place.until(lambda: paseo.agent("t")["lastStatus"] == "running", 10)
    person.setwinsize(30, 100)
    person.send("\x1a")
    person.send("\x03")
    person.expect("interrupting the turn")
    done = paseo.place.run("wait", "--id", "t", "--timeout", "30")
    assert (done.returncode, paseo.ends("t")) == (1, ["interrupted"])
    paseo.send("t", ["text", "delta"])
    person.expect("delta")  # the view goes on
    person.send("\x1cd")
    person.expect("goes on; back to it")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 0
    assert paseo.state("t") == "prompt"
    # The death of the view says nothing about the agent.
    os.kill(paseo.place.running("tests.paseo.cli attach")[0], signal.SIGKILL)
    assert paseo.send("t", ["text", "epsilon"])["last_message"] == "epsilon"
    paseo.place.ok("stop", "--id", "t")
    assert paseo.place.running("tests.paseo") == []

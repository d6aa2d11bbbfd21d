"""The real CLIs die, with their supervisor or alone, and go on where they were: their own resume, the same id."""

from __future__ import annotations

import hashlib
import json
import os
import signal

import pytest

from tests.real.conftest import Agent, stamp

pytestmark = pytest.mark.timeout(150)
FIRST = "The first task, with a word to remember: zebra."
WAITING = "The second task, which waits. " + "x" * 250


@pytest.mark.newest
@pytest.mark.parametrize("victim", ["supervisor", "agent"])
def test_it_goes_on_where_it_was(agent: Agent, victim: str) -> None:
    place = agent.place
    tool = f"{stamp(place.work / 'begun.txt')}; sleep 60 && true"
    agent.start("night", {"text": "I remember it."}, {"text": "Working.", "tools": [{"bash": tool}]}, "On.", "Second.")
    agent.send("night", FIRST)
    place.ok("send", "--id", "night", "--message", "Work now.")
    place.until((place.work / "begun.txt").exists, 30, what="its tool runs")
    place.ok("send", "--id", "night", "--message", WAITING, "--no-wait")
    record = agent.record("night")
    run_id, session = record["run_id"], record["agent_session_id"]
    assert session
    os.kill(record["supervisor_pid" if victim == "supervisor" else "pid"], signal.SIGKILL)
    if victim == "agent":
        place.until(lambda: not list(place.state.glob("sessions/*.json")), 20, what="its supervisor ends it")
    told = place.json("recover", "--all", "--json")
    assert told["ok"]
    rows = agent.check_ended("night")
    assert rows[-1]["reason"] == {"supervisor": "supervisor_lost", "agent": "killed"}[victim]
    # Each call that was finished is counted once; the newest CLIs also write the one of the turn that was cut off.
    # (An answer that was asked for and of which nothing was recorded yet is told as partial, without numbers.)
    mains = [r for r in rows if r["type"] == "call" and r["agent"] == "main"]
    assert all(r["total_tokens"] is None for r in mains if r["partial"])
    called = [r["call_id"] for r in mains if not r["partial"]]
    billed = [b["id"] for b in agent.log("night", "call")]
    assert len(called) == len(set(called))
    if agent.cli == "claude" or agent.newest:  # Codex 0.104 knows no names of calls
        assert called[:1] == billed[:1] and set(called) <= set(billed)
    assert 1 <= len(called) <= len(billed)

    told = place.json("recover", "--all", "--resume", "--json", "--message", "You were interrupted. Go on.")
    (reply,) = told["resumed"]
    new = agent.run_ids["again"] = reply["run_id"]
    assert (reply["id"], reply["resumes"], reply["messages"]) == ("night", run_id, 1)
    assert session in reply["how"]
    place.until(lambda: len(place.events("night", "task_complete")) >= 2, 60, what="both messages are answered")
    assert [r["msg"][:20] for r in place.events("night", "send")] == ["You were interrupted", WAITING[:20]]
    assert [r["status"] for r in place.events("night", "delivery")].count("accepted") == 2
    assert agent.record("night")["agent_session_id"] == session, "it is the same conversation"
    # Of the prompts the endpoint logs the hash: the first task is in the first request of the new run.
    known = hashlib.sha256(FIRST.encode()).hexdigest()
    assert known in json.dumps(agent.log("night", "request")[0]), "the log names prompts otherwise"
    assert known in json.dumps(agent.log(new, "request")[0]), "the conversation is not there any more"
    agent.stop("night")
    rows = agent.check_ended("night")
    assert rows[0]["resumes"] == run_id
    calls = [r for r in rows if r["type"] == "call" and r["agent"] == "main" and not r["partial"]]
    assert len(calls) == len(agent.log(new, "call")), "old calls were counted again, or new ones not"


@pytest.mark.newest
def test_it_is_killed_again_before_its_next_turn(agent: Agent) -> None:
    """Twice in a row, as by a machine that goes down again as it comes up: the conversation is still the first one."""
    place = agent.place
    agent.start("night", {"text": "I remember it."}, "Still here.")
    agent.send("night", FIRST)
    session = agent.record("night")["agent_session_id"]
    place.until(lambda: place.events("night", "call"), 30, what="the agent wrote its conversation down")
    new = ""
    for _ in range(2):
        os.kill(agent.record("night")["supervisor_pid"], signal.SIGKILL)
        (reply,) = place.json("recover", "--all", "--resume", "--json")["resumed"]
        new = agent.run_ids["again"] = reply["run_id"]
        assert reply["messages"] == 0 and session in reply["how"]
        place.ok("wait", "--id", "night", "--until", "prompt", "--timeout", "60")
    agent.send("night", "What was it?")
    known = hashlib.sha256(FIRST.encode()).hexdigest()
    assert known in json.dumps(agent.log(new, "request")[0]), "the conversation is not there any more"
    agent.stop("night")
    rows = agent.check_ended("night")
    calls = [r for r in rows if r["type"] == "call" and r["agent"] == "main" and not r["partial"]]
    assert len(calls) == len(agent.log(new, "call")) == 1


@pytest.mark.newest
@pytest.mark.parametrize("watched", [False, True], ids=["alone", "watched"])
def test_a_task_that_was_cut_off_goes_on_by_itself(agent: Agent, watched: bool) -> None:
    """`recover --all --resume`, as cron says it: the agent is told, in its own conversation, and the task gets done."""
    place = agent.place
    tool = f"{stamp(place.work / 'begun.txt')}; sleep 60 && true"
    run = ("--context", FIRST, *(("--watch", "--auto-stop") if watched else ()))
    agent.start("night", {"text": "Working.", "tools": [{"bash": tool}]}, "All is done.", run=run)
    place.until((place.work / "begun.txt").exists, 60, what="its tool runs")
    agent.wait("night", "busy")  # and its supervisor knows it: else the task is given anew
    session = place.until(lambda: agent.record("night")["agent_session_id"], what="its conversation is known")
    os.kill(agent.record("night")["supervisor_pid"], signal.SIGKILL)
    (reply,) = place.json("recover", "--all", "--resume", "--json")["resumed"]
    assert reply["said"] == f"You were interrupted. Go on with: {FIRST}" and session in reply["how"]
    new = agent.run_ids["again"] = reply["run_id"]
    waited = place.json("wait", "--id", "night", "--until", "exited" if watched else "task_complete", "--timeout", "90")
    assert watched is (waited["state"] == "exited") and waited["last_outcome"]["message"] == "All is done."
    assert len(agent.log(new, "request")) == 1
    if not watched:
        agent.stop("night")
    assert [r["msg"] for r in agent.check_ended("night") if r["type"] == "send"] == [reply["said"]]
    assert place.json("history", "--json")[-1]["agent_session_id"] == session, "it is the same conversation"

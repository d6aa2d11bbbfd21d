"""Sources that go missing, and budgets, on the real CLIs: whichever switch it was, calls are counted or the run says that not."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from harnex.agents.claude.calls import UNTOLD
from tests.conftest import ALL
from tests.real.conftest import Agent
from tests.real.test_usage import billed, check, helper, work

pytestmark = pytest.mark.timeout(180)

STEPS = [work(1), work(2), "First answer."]


def ends(agent: Agent, session_id: str) -> dict[str, Any]:
    """Wait for its end; its record."""
    agent.wait(session_id, "exited", 60)
    return dict(agent.place.json("history", "--json")[-1])


@pytest.mark.parametrize("how", ["project", "--safe-mode"])
def test_calls_are_counted_without_hooks(agent: Agent, how: str) -> None:
    """And prompts, last words and sub-agents told. Any switch is as good as another: nothing of it is looked for."""
    if agent.cli != "claude" or (how != "project" and not agent.newest):
        pytest.skip("Codex is not read by hooks; the option is newer")
    if how == "project":
        settings = agent.place.work / ".claude" / "settings.json"
        settings.parent.mkdir()
        settings.write_text('{"disableAllHooks": true}')
    path = agent.place.base / "script.json"
    steps = [work(1), {"text": "A helper.", "tools": [helper("alpha")]}, "First answer.", "Second answer."]
    path.write_text(json.dumps({"calls": steps, "agents": {"alpha: count": [work(5), "Alpha counted."]}}))
    words = ("run", "claude", "--detach", "--id", "h", "--permissions", "bypass", "--rehearse", str(path))
    options = ("--", how) if how != "project" else ()
    agent.run_ids["h"] = agent.place.json(*words, *options)["run_id"]
    last = agent.send("h", "the first task")["last_message"]
    # 2.1.329 lets the helper work in the background, and is told of its answer.
    assert last == ("Second answer." if agent.newest else "First answer.")
    agent.stop("h")
    rows = agent.check_ended("h")
    calls = [r for r in rows if r["type"] == "call"]
    check(agent, sorted(calls, key=lambda c: c["agent"] != "main"), billed(agent, "h"))
    (said,) = {r["what"] for r in rows if r["type"] == "diagnostic"} - {UNTOLD}
    assert "no hook of Claude Code was heard" in said


def missing(agent: Agent) -> tuple[str, ...]:
    """The options of a run that keeps no record of its conversation."""
    if agent.cli == "codex":
        return ("--", "-c", 'experimental_thread_store={type="in_memory",id="x"}')
    if agent.newest:
        return ("--env", "CLAUDE_CODE_SKIP_PROMPT_HISTORY=1")
    settings = agent.place.work / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"cleanupPeriodDays": 0}')
    return ()


@pytest.mark.newest
def test_a_budget_of_calls_that_are_recorded_nowhere_ends_the_run(agent: Agent) -> None:
    if agent.cli == "codex" and not agent.newest:
        pytest.skip("0.104 always writes its rollout")
    options = missing(agent)
    words = ("--max-tokens", "1000000", "--auto-stop", "--context", "do the task")
    end = options.index("--") if "--" in options else len(options)
    agent.start("b", *STEPS, run=(*words, *options[:end]), args=options[end + 1 :])
    row = ends(agent, "b")
    assert (row["exit"], row["reason"], row["calls"]) == (4, "failure", None)
    (told,) = agent.events("b", "escalated")
    assert told["reason"] == "budget" and "--max-tokens can't be kept" in told["message"]
    assert len(agent.log("b", "call")) == len(STEPS), "they were made, and harnex knows of none"
    agent.check_ended("b")


@pytest.mark.newest
def test_one_budget_holds_over_a_crash(agent: Agent) -> None:
    """The run that goes on has what the first left: a second one of its own would let it finish."""
    if agent.early:
        pytest.skip("its tokens may be unknown, which ends the run before")
    usage = {"usage": {"input_tokens": 1500, "output_tokens": 100}}
    steps = [
        {**work(1), **usage},
        {"text": "First answer.", **usage},
        {**work(2), **usage},
        {**work(3), **usage},
        "Done.",
    ]
    agent.start("c", *steps, run=("--max-tokens", "4000"))
    agent.send("c", "the first task")
    os.kill(agent.record("c")["supervisor_pid"], signal.SIGKILL)
    (reply,) = agent.place.json("recover", "--id", "c", "--resume", "--json")["resumed"]
    agent.run_ids["c"] = str(reply["run_id"])
    agent.wait("c", "prompt")
    agent.place.run("send", "--id", "c", "--message", "the second task", "--wait-for-idle", "--timeout", "40")
    row = ends(agent, "c")
    (told,) = agent.events("c", "budget")
    assert (row["exit"], told["kind"], told["limit"], told["runs"]) == (5, "tokens", 4000, 2)
    assert 4800 <= told["used"] <= 6400, "the third call is over, a fourth may be"


@pytest.mark.newest
def test_a_notice_in_front_of_the_version_is_not_the_version(agent: Agent) -> None:
    """Of a Claude Code 0.14.1 harnex knew no settings, and no hooks."""
    if agent.cli == "codex" and not ALL:
        pytest.skip("one CLI is enough (HARNEX_TEST_ALL=1: both)")
    agent.wrapped("echo 'tool manager 0.14.1 is out of date'; echo 'node 18.0.0 is old' >&2")
    reply = agent.start("v", "Hello.")
    agent.send("v", "hi")
    (started,) = agent.events("v", "started")
    assert started["cli_version"] == agent.version
    assert {r["what"] for r in agent.events("v", "diagnostic")} <= {UNTOLD} and len(agent.events("v", "call")) == 1
    run = agent.place.state / "runs" / str(reply["run_id"])
    if agent.cli == "claude":
        assert (run / "evidence" / "hooks.jsonl").read_text()
    agent.stop("v")

"""State truth on the real CLIs, sampled through the command line, against the endpoint's own times."""

from __future__ import annotations

import time
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.real.conftest import Agent, stamp

pytestmark = pytest.mark.timeout(120)  # the old CLIs are slow on a busy machine

GRACE_S = 0.5
# Whole lines, so that an old Codex takes its status line away; then words with silence between them.
LINES = {
    "text": "A first line of the answer.\n\nAnd a second one.\n\nAnd more of it, word by word.",
    "pause": 0.12,
    "tools": [{"bash": "true"}],
}
STALLS = {"text": "One.\n\nTwo.\n\nThree.", "pause": 1.4}

Sample = tuple[float, float, str]  # asked, answered, the state


def sampled(agent: Agent, session_id: str, text: str) -> tuple[list[Sample], dict[str, Any]]:
    """Send a message; what `status` says until it is answered, and the reply."""
    place = agent.place
    words = ("send", "--id", session_id, "--message", text, "--wait-for-idle", "--timeout", "40")
    sender = place.start(*words)
    samples = []
    while sender.poll() is None:
        before = time.time()
        state = agent.record(session_id)["state"]
        samples.append((before, time.time(), str(state)))
        time.sleep(max(0.0, before + 0.12 - time.time()))
    assert sender.wait() == 0
    sender.communicate()
    return samples, agent.record(session_id)["last_outcome"]


def wrong(samples: list[Sample], begin: float, end: float) -> list[tuple[float, str]]:
    """Samples that say something else than busy while it truly worked, and had for `GRACE_S`."""
    return [
        (round(before - begin, 2), state)
        for before, after, state in samples
        if begin + GRACE_S < before and after < end and state != "busy"
    ]


@pytest.mark.newest
def test_never_ready_while_it_works(agent: Agent) -> None:
    """Slow words, long silences, a tool of 3 s and a refused call: one turn, busy from start to end."""
    tools = agent.place.base / "tool.times"
    tool = f"{stamp(tools)}; sleep 3; {stamp(tools)}"
    steps = [LINES, {"text": "Now.", "tools": [{"bash": tool}]}, {"error": 529, "times": 2, "retry_after": 1}, STALLS]
    agent.start("truth", *steps)
    agent.wait("truth", "prompt")
    samples, outcome = sampled(agent, "truth", "go")
    assert (outcome["outcome"], outcome["turn"]) == ("completed", 1)
    begin = agent.log("truth", "request")[0]["t"]
    end = max(row["t"] for row in agent.log("truth", "call"))
    ran = [float(line) for line in tools.read_text().split()]
    assert ran[1] - ran[0] > 2.9
    assert [r["status"] for r in agent.log("truth", "call") if r["error"]] == [
        r["status"] for r in agent.log("truth", "call") if not r["finished"]
    ]
    assert wrong(samples, begin, end) == []
    assert len([s for s in samples if begin < s[0] < end]) >= 30
    kinds = [r["type"] for r in agent.events("truth", "turn_started", "task_complete", "turn_failed")]
    assert kinds == ["turn_started", "task_complete"]
    # And not too late: ready soon after the last byte.
    done = agent.events("truth", "task_complete")[0]["ts"]
    assert datetime.fromisoformat(done).timestamp() - end < 3
    time.sleep(0.1)
    assert agent.record("truth")["state"] == "prompt"
    states = [r["state"] for r in agent.events("truth", "state")]
    assert all(a != b for a, b in pairwise(states))
    agent.stop("truth")
    agent.check_ended("truth")


@pytest.mark.newest
def test_waiters_do_not_return_early(agent: Agent) -> None:
    """`wait --until prompt` and `task_complete` in the second turn don't see the first; nobody is early."""
    place = agent.place
    agent.start("early", "First.", STALLS)
    agent.send("early", "one")
    place.ok("send", "--id", "early", "--message", "two", "--no-wait")
    waiters = [place.start("wait", "--id", "early", "--until", until) for until in ("prompt", "task_complete")]
    ends = []
    for waiter in waiters:
        assert waiter.wait(30) == 0
        ends.append(time.time())
        out, _ = waiter.communicate()
        assert '"turn":2' in out
    last = agent.log("early", "call")[-1]
    assert last["finished"]
    assert min(ends) > last["t"]
    agent.stop("early")
    agent.check_ended("early")


@pytest.mark.newest
def test_the_context_waits_for_a_slow_start(agent: Agent) -> None:
    """Ruby harnex typed it too early, and took the first prompt for its end."""
    run = agent.wrapped("sleep 1.5")
    agent.start("slow", {"text": "Thinking. " * 3, "pause": 0.2}, run=(*run, "--context", "the\nfirst task"))
    waited = agent.wait("slow", "task_complete")
    assert (waited["turn"], waited["last_outcome"]["message"].strip()) == (1, "Thinking. Thinking. Thinking.")

    requests = agent.log("slow", "request")
    assert len(requests) == 1
    assert "the\nfirst task" in requests[0]["prompt_head"]
    assert [r["status"] for r in agent.events("slow", "delivery")] == ["queued", "typed", "accepted"]
    agent.stop("slow")
    agent.check_ended("slow")

"""Token truth on the real CLIs: every call once, each number as the endpoint billed it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.real.conftest import TOKENS, Agent, Person

pytestmark = pytest.mark.timeout(180)  # the old CLIs are slow on a busy machine

SLOW = {"text": "\n\n".join(f"Line {n} of an answer." for n in range(100)), "pause": 0.06}


def script(agent: Agent) -> str:
    """More than twelve calls: reasoning, several tools an answer, sub-agents, two retried errors, one interrupted."""
    def work(n: int) -> dict[str, Any]:
        return {
            "think": f"Step {n} wants two looks.",
            "text": f"Step {n}.",
            "tools": [{"bash": f"echo {n} one"}, {"bash": f"echo {n} two"}],
            "usage": {
                "input_tokens": 1000 + n, "cache_read_tokens": 2000 * n, "cache_write_tokens": 30 * n, "output_tokens": 40 + n,
                "reasoning_tokens": 5 + n,
            },
        }

    calls: list[Any] = [work(1), {"error": 529}, work(2), work(3), work(4)]
    if agent.cli == "claude":
        calls.append({
            "text": "Two helpers.",
            "tools": [
                {"agent": {"prompt": "alpha: count the files", "description": "alpha"}},
                {"agent": {"prompt": "beta: count the lines", "description": "beta"}},
            ],
        })
    calls += [work(5), "First task done.", SLOW, work(6), {"error": 500}, work(7), work(8), work(9), "All done."]
    agents = {
        "alpha: count": [work(21), work(22), "Alpha counted."],
        "beta: count": [{"text": "Looking.", "tools": [{"bash": "echo b"}]}, "Beta counted."],
    }
    path = agent.place.base / "usage.json"
    path.write_text(json.dumps({"calls": calls, "agents": agents if agent.cli == "claude" else {}}))
    return str(path)


def test_every_call_once(agent: Agent) -> None:
    place = agent.place
    words = ["run", agent.cli, "--detach", "--id", "u", "--permissions", "bypass", "--rehearse", script(agent)]
    agent.run_ids["u"] = place.json(*words)["run_id"]
    agent.wait("u", "prompt")
    assert agent.send("u", "the first task", "--timeout", "90")["last_message"] == "First task done."
    place.ok("send", "--id", "u", "--message", "the second task")
    with Person(place, "attach", "--id", "u") as person:
        person.sees("Line 3 of an" if agent.cli == "codex" or agent.newest else "interrupt")
        person.press(b"\x03" if agent.cli == "codex" and not agent.newest else b"\x1b")
        agent.until_event("u", "turn_failed")
        person.detach()
    assert agent.send("u", "the third task", "--timeout", "90")["last_message"] == "All done."
    agent.stop("u")
    rows = agent.check_ended("u")
    print(json.dumps([r for r in rows if r["type"] in ("call", "diagnostic", "turn_failed")], indent=None))
    print(json.dumps([r for k in ("main", "side") for r in agent.log("u", "call", k)]))
    raise AssertionError("look")

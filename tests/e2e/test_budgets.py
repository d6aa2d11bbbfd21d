"""Budgets and checks through the command line.

They hold over a chain of resumed runs, and a budget that can't be measured ends the run.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.e2e.conftest import Harnex
from tests.e2e.test_session import type_keys

# The agent works and shows that, but records nothing.
MUTE = ("--signals", "osc7501,title")
STEP = {"text": "On it.", "tools": [{"bash": "true"}]}


def ends(place: Harnex, session_id: str) -> dict[str, Any]:
    """Wait for the end of the session. Returns its history record."""
    place.run("wait", "--id", session_id, "--until", "exited", "--timeout", "30")
    return dict(place.json("history", "--json")[-1])


def kill(place: Harnex, session_id: str) -> None:
    """Kill the session as a power cut would."""
    (record,) = [r for r in place.json("status", "--json") if r["id"] == session_id]
    for pid in (record["supervisor_pid"], record["pid"]):
        os.kill(pid, signal.SIGKILL)
    place.until(lambda: not place.json("status", "--json"), what="it is gone")


@pytest.mark.parametrize("limit", [("--max-calls", "9"), ("--max-tokens", "900k")], ids=lambda limit: limit[0])
def test_a_budget_that_nothing_measures_ends_the_run_and_never_passes(harnex: Harnex, limit: tuple[str, str]) -> None:
    value = limit[1].replace("k", "000")
    harnex.agent("m", STEP, "Done.", run=("--auto-stop", limit[0], value, "--context", "do the task"), tui=MUTE)
    waited = harnex.run("wait", "--id", "m", "--until", "task_complete", "--timeout", "30")
    row = ends(harnex, "m")
    assert (waited.returncode, row["exit"], row["reason"]) == (4, 4, "failure")
    (told,) = harnex.events("m", "escalated")
    assert (told["reason"], told["stopped"]) == ("budget", True)
    assert limit[0] in told["message"] and "not counted" in told["message"]
    assert [r["type"] for r in harnex.events("m")].count("watch") == 1, "it was never told as done"


def test_who_limits_nothing_is_told_once_what_is_missing(harnex: Harnex) -> None:
    harnex.agent("m", STEP, "Done.", "Done again.", tui=MUTE)
    for text in ("one", "two"):
        harnex.ok("send", "--id", "m", "--message", text, "--wait-for-idle", "--timeout", "20")
        harnex.until(lambda: harnex.events("m", "diagnostic"), what="a word about it")
    (told,) = harnex.events("m", "diagnostic")
    assert "no record of the agent's conversation was found" in told["what"] and "not counted" in told["what"]
    harnex.ok("stop", "--id", "m")
    assert harnex.json("history", "--json")[-1]["exit"] == 0


def test_a_budget_that_is_put_on_an_unmeasured_session_ends_it(harnex: Harnex) -> None:
    harnex.agent("m", STEP, "Done.", tui=MUTE)
    harnex.ok("send", "--id", "m", "--message", "one", "--wait-for-idle", "--timeout", "20")
    harnex.until(lambda: harnex.events("m", "diagnostic"))
    assert harnex.run("watch", "--id", "m", "--max-calls", "100").returncode == 4
    assert ends(harnex, "m")["exit"] == 4


def test_a_run_whose_budget_was_not_measured_is_no_success_when_it_is_stopped(harnex: Harnex) -> None:
    harnex.agent("m", "Done.", run=("--max-calls", "9"), tui=MUTE)
    harnex.ok("send", "--id", "m", "--message", "one", "--wait-for-idle", "--timeout", "20")
    harnex.run("stop", "--id", "m")
    assert ends(harnex, "m")["exit"] == 4


@pytest.mark.parametrize(
    ("limit", "kind", "used"),
    [
        (("--max-calls", "4"), "calls", 4),
        (("--max-tokens", "4500"), "tokens", 4500),
        (("--max-turns", "2"), "turns", 2),
    ],
    ids=["calls", "tokens", "turns"],
)
def test_one_budget_holds_over_a_chain_of_runs(harnex: Harnex, limit: tuple[str, str], kind: str, used: int) -> None:
    """The session is killed twice and resumed: the third run has the
    budget that the first two left."""
    steps = [STEP, "One done.", STEP, "Two done.", STEP, STEP, STEP, "Three done."]
    harnex.agent("c", *steps, run=limit)
    for n, text in enumerate(("one", "two")):
        harnex.ok("send", "--id", "c", "--message", text, "--wait-for-idle", "--timeout", "20")
        assert harnex.events("c", "budget") == []
        kill(harnex, "c")
        (reply,) = harnex.json("recover", "--id", "c", "--resume", "--json")["resumed"]
        assert reply["ok"] and reply["how"].startswith("resumed"), n
    sent = harnex.run("send", "--id", "c", "--message", "three", "--wait-for-idle", "--timeout", "20")
    row = ends(harnex, "c")
    assert (sent.returncode, row["exit"], row["reason"]) == (5, 5, "budget"), sent.stdout
    assert "the budget is spent" in json.loads(sent.stdout)["error"] and harnex.prompts("c") == ["one", "two"]
    (told,) = harnex.events("c", "budget")
    assert (told["kind"], told["limit"], told["runs"]) == (kind, float(limit[1]), 3) and told["used"] >= used
    runs = [r for r in harnex.json("history", "--json") if r["id"] == "c"]
    true = {"calls": sum(r["calls"] or 0 for r in runs), "turns": sum(r["turns"] for r in runs)}
    true["tokens"] = sum((r["usage"] or {}).get("total_tokens", 0) for r in runs)
    assert (len(runs), told["used"]) == (3, true[kind])


def test_a_message_that_waits_is_not_sent_on_a_budget_that_is_spent(harnex: Harnex) -> None:
    harnex.agent("c", STEP, "Done.", {"text": "slow " * 200, "pause": 0.05}, run=("--max-calls", "2"))
    harnex.ok("send", "--id", "c", "--message", "one", "--wait-for-idle", "--timeout", "20")
    kill(harnex, "c")
    harnex.json("recover", "--id", "c", "--resume", "--json")
    harnex.ok("wait", "--id", "c", "--until", "prompt", "--timeout", "20")
    harnex.run("send", "--id", "c", "--message", "two", "--no-wait")
    assert (ends(harnex, "c")["exit"], harnex.prompts("c")) == (5, ["one"])


@pytest.mark.parametrize("option", ["--verify", "--done-when"])
@pytest.mark.parametrize("command", ["no-such-command --all", "./not-there.sh", "kill -9 $$"])
def test_a_check_that_cannot_be_run_ends_the_run_and_never_passes(harnex: Harnex, option: str, command: str) -> None:
    harnex.agent("v", "Done.", run=("--auto-stop", option, command, "--context", "do the task"))
    row = ends(harnex, "v")
    assert (row["exit"], row["reason"]) == (4, "failure")
    (told,) = harnex.events("v", "escalated")
    assert told["reason"] == "check" and command in told["message"]
    assert harnex.prompts("v") == ["do the task"], "the agent can't mend it"


def test_an_agent_that_leaves_before_its_check_has_passed_is_no_success(harnex: Harnex) -> None:
    harnex.agent("v", "Done.", run=("--verify", "sleep 60", "--context", "do the task"))
    harnex.until(lambda: harnex.json("status", "--json")[0]["watch"] == "checking", what="the check runs")
    type_keys(harnex, "v", b"\x04")
    assert ends(harnex, "v")["exit"] == 1


def test_turns_of_a_program_that_shows_none_cannot_be_limited(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "g", "--max-turns", "3")
    done = harnex.run("send", "--id", "g", "--message", "hello", "--timeout", "20")
    assert json.loads(done.stdout)["status"] == "typed"
    assert ends(harnex, "g")["exit"] == 4
    assert "--max-turns" in harnex.events("g", "escalated")[0]["message"]

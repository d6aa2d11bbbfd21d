"""Nights with the real CLIs, their clocks shortened: whatever happens, the run ends as it should, and says so.

The endpoint's log is the truth: what was asked in which conversation, and what was billed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from tests.conftest import ALL
from tests.e2e.test_watch import looked_at
from tests.real.conftest import Agent
from tests.real.test_dialogs import asking

pytestmark = pytest.mark.timeout(120)  # the old CLIs are slow on a busy machine

# A loaded machine gives Claude Code's first word after 3 s.
PRESET = """
[presets.night]
stall_after = "6s"
max_resumes = 1
retry_after = 1
limit_slack = 3
restart_after = "0.3s"
"""


class Night:
    """One watched run, followed to its end."""

    def __init__(self, agent: Agent, *calls: Any, options: tuple[str, ...] = (), permissions: str = "bypass") -> None:
        self.agent, self.place = agent, agent.place
        self.place.trust(PRESET)
        words = ["run", agent.cli, "--watch", "--preset", "night", "--id", "night", "--auto-stop"]
        words += ["--rehearse", self.place.script(*calls), "--permissions", permissions, "--context", "do the task"]
        self.follower = self.place.start(*words, *options)

    def live(self) -> dict[str, Any]:
        """The registry's entry, once the agent is there."""
        found: dict[str, Any] = self.place.until(lambda: next(iter(self._records()), None), 30, "a session")
        self.agent.run_ids["night"] = str(found["run_id"])
        return found

    def _records(self) -> list[dict[str, Any]]:
        done = self.place.run("status", "--json", "--all")
        return [r for r in json.loads(done.stdout or "[]") if r["pid"]]

    def until_event(self, kind: str) -> dict[str, Any]:
        return dict(self.place.until(lambda: (self.agent.events("night", kind) or [None])[-1], 40, f"event {kind}"))

    def ends(self) -> int:
        """The follower's exit code."""
        out, err = self.follower.communicate(timeout=90)
        self.out, self.err = out, err
        self.rows = self.agent.events("night")
        self.agent.run_ids["night"] = str(self.rows[0]["run_id"])
        return self.follower.returncode

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [r for r in self.rows if r["type"] == kind]

    def shape(self) -> list[str]:
        """What the watch did, in order."""
        told = {"stall": "kind", "nudge": "reason", "limit_wait": "reason", "escalated": "reason", "budget": "kind"}
        names = []
        for row in self.rows:
            if row["type"] in told:
                names.append(f"{row['type']} {row[told[row['type']]]}")
            elif row["type"] == "restart":
                names.append("restart")
            elif row["type"] == "watch":
                names.append(str(row["phase"]))
        return names

    def check(self, reason: str, exit_code: int) -> None:
        """It ended so, everywhere; nothing is left of it."""
        assert self.rows[-1]["type"] == "exited" and self.rows[-1]["reason"] == reason
        row = self.place.json("history", "--json")[-1]
        assert (row["exit"], row["reason"]) == (exit_code, reason)
        self.agent.check_ended("night")

    def prompts(self) -> list[list[str]]:
        """The prompts that each request of the main conversation held (by their hashes)."""
        return [[str(p["sha256"]) for p in r["prompts"]] for r in self.agent.log("night", "request")]


def one(agent: Agent, cli: str) -> None:
    """What is harnex's own doing is played with one CLI; which one is as good as another."""
    newest(agent)
    if agent.cli != cli and not ALL:
        pytest.skip(f"{cli} is enough (HARNEX_TEST_ALL=1: both)")


def newest(agent: Agent) -> None:
    if not agent.newest and not ALL:
        pytest.skip("the newest of each is enough (HARNEX_TEST_ALL=1: all)")


@pytest.mark.newest
def test_a_call_that_hangs_is_cut_and_nudged(agent: Agent) -> None:
    """The spinner goes on, bytes come: only progress does not. The task is said again: Claude Code forgot it."""
    night = Night(agent, {"hang": 60}, "Now it is done.", options=("--nudge-text", "Keep going, please."))
    assert night.ends() == 0
    assert night.shape() == ["on", "stall no_progress", "nudge no_progress", "done"]
    evidence = night.of("stall")[0]["evidence"]
    assert evidence["silent_s"] < 6 <= evidence["no_progress_s"] and evidence["tools"] == []
    assert night.of("nudge")[0]["interrupted"] is True
    night.check("success", 0)
    last = agent.log("night", "request")[-1]
    assert "Keep going, please." in last["prompt_head"] and "do the task" in last["prompt_head"]
    assert "done: session 'night' ended" in night.out


@pytest.mark.newest
def test_a_hang_that_stays_wants_a_person(agent: Agent) -> None:
    if agent.cli == "claude":
        pytest.skip("one of them is enough: the machine decides")
    night = Night(agent, *[{"hang": 60}] * 4, options=("--stall-after", "4s"))
    assert night.ends() == 4
    assert night.shape() == ["on", "stall no_progress", "nudge no_progress", "stall no_progress", "escalated stall"]
    night.check("failure", 4)


def test_a_long_tool_is_no_stall(agent: Agent) -> None:
    one(agent, "codex")
    night = Night(agent, {"text": "I wait.", "tools": [{"bash": "sleep 8"}]}, "Done.", options=("--stall-after", "5s"))
    assert night.ends() == 0
    assert night.shape() == ["on", "done"]
    night.check("success", 0)


def test_the_clis_own_retries_are_no_stall(agent: Agent) -> None:
    """It says nothing but that it tries again, for longer than a turn may stand still."""
    one(agent, "claude")
    errors = {"error": 529, "times": 5} if agent.cli == "claude" else {"error": 500, "times": 16}
    night = Night(agent, errors, "Done.", options=("--stall-after", "5s", "--max-resumes", "0"))
    assert night.ends() == 0, night.out
    assert night.shape() == ["on", "done"]
    (turn,) = night.of("task_complete")
    assert turn["duration_s"] > 8, "it took long enough to be taken for a stall"
    night.check("success", 0)


def test_who_looks_on_resets_no_clock(agent: Agent) -> None:
    """Its spinner turns, and viewers of all sizes make it paint its screen anew: that is no progress."""
    one(agent, "codex")
    night = Night(agent, {"hang": 60}, options=("--stall-after", "5s", "--max-resumes", "0"))
    night.live()
    began = night.until_event("turn_started")
    with looked_at(night.place, "night"):
        assert night.ends() == 4, night.out
    assert [words.split()[0] for words in night.shape()] == ["on", "stall", "escalated"]
    (stall,) = night.of("stall")
    took = datetime.fromisoformat(stall["ts"]) - datetime.fromisoformat(began["ts"])
    assert timedelta(seconds=5) <= took < timedelta(seconds=9), "no more than what the turn's own first words cost"
    night.check("failure", 4)


def test_a_crash_goes_on_in_a_new_process(agent: Agent) -> None:
    """The conversation goes on, every call is counted once, and the tool of the old process is gone."""
    marker = agent.place.work / "begun.txt"
    step = {"text": "Working.", "tools": [{"bash": f"echo x >> '{marker}'; sleep 30"}]}
    night = Night(agent, "The first answer.", step, "After the crash.", options=("--stall-after", "60s"))
    night.live()
    night.place.ok("send", "--id", "night", "--message", "number two", "--no-wait")
    night.place.until(marker.exists, 40, "the tool")
    # Codex 0.104 names its conversation nowhere but in a file, which takes half a second to be found.
    night.place.until(lambda: night.live()["agent_session_id"], 20, "the conversation's name")
    record = night.live()
    for process in psutil.Process(record["pid"]).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "sleep 30" not in " ".join(process.cmdline()):
                process.kill()
    os.kill(record["pid"], signal.SIGKILL)
    assert night.ends() == 0, night.out
    assert night.shape() == ["on", "restart", "nudge restart", "done"]
    restart = night.of("restart")[0]
    assert (restart["resumed"], restart["attempt"]) == (True, 1) and restart["pid"] != record["pid"]
    assert restart["run_id"] == record["run_id"]
    assert [r["outcome"] for r in night.of("turn_failed")] == ["failed"]
    assert night.of("task_complete")[-1]["last_message"] == "After the crash."
    night.check("success", 0)
    # In the last request the model sees what was said before the crash.
    assert set(night.prompts()[0]) <= set(night.prompts()[-1])
    billed = [c["id"] for c in agent.log("night", "call") if c["finished"]]
    counted = [c["call_id"] for c in night.of("call") if c["agent"] == "main"]
    assert len(set(counted)) == len(counted) and night.of("usage")[0]["calls"] == len(night.of("call"))
    if agent.cli == "claude" or agent.newest:  # 0.104 names calls by their number
        assert set(counted) <= set(billed) and set(counted) >= {billed[0], billed[-1]}
    else:
        assert 2 <= len(counted) <= len(billed)


def test_a_process_that_is_deaf_is_replaced(agent: Agent) -> None:
    one(agent, "codex")
    night = Night(agent, "One.", {"hang": 60}, "Two.", options=("--stall-after", "4s"))
    night.live()
    night.place.ok("send", "--id", "night", "--message", "number two", "--no-wait")
    night.place.until(lambda: len(agent.log("night", "request")) == 2, 40)
    record = night.live()
    for process in [psutil.Process(record["pid"]), *psutil.Process(record["pid"]).children(recursive=True)]:
        process.suspend()
    assert night.ends() == 0, night.out
    shape = [word.replace("no_progress", "no_output") for word in night.shape()]  # its spinner stood just before
    assert shape == ["on", "stall no_output", "stall deaf", "restart", "nudge restart", "done"]
    night.check("success", 0)


@pytest.mark.newest
def test_errors_that_pass(agent: Agent) -> None:
    """What the CLI itself tries again is no matter; what it gives up on is tried again later."""
    passing = {"error": 529, "times": 1} if agent.cli == "claude" else {"error": 500, "times": 1}
    given_up = {"error": 429, "times": 1} if agent.cli == "codex" else {"error": 429, "times": 2}
    night = Night(
        agent, passing, {"tools": [{"bash": "true"}]}, given_up, "Done.", options=("--env", "CLAUDE_CODE_MAX_RETRIES=1")
    )
    assert night.ends() == 0, night.out
    assert night.shape() == ["on", "limit_wait rate_limit", "nudge rate_limit", "done"]
    night.check("success", 0)


def test_a_usage_limit_is_waited_for(agent: Agent) -> None:
    """With a plan's login, as its users have it: the CLI names the reset in words, and `status` says it."""
    night = Night(agent, {"usage_limit": {"resets_at": 5}}, "Done.", options=("--env", "TZ=Asia/Kolkata"))
    assert night.ends() == 0, night.out
    failed = night.of("turn_failed")[0]
    assert failed["reason"] == "usage_limit" and failed["retry_at"]
    shape = night.shape()
    assert shape[:2] == ["on", "limit_wait usage_limit"] and shape[-1] == "done"
    waited = night.of("limit_wait")[0]
    assert waited["source"] == "agent" and waited["wait_s"] < 70
    night.check("success", 0)


def test_a_limit_of_days(agent: Agent) -> None:
    """It is read with its date. The menu that Claude Code shows then is answered by what costs nothing."""
    one(agent, "claude")
    days = 5 * 86400
    night = Night(agent, {"usage_limit": {"resets_at": days}}, "Done.", options=("--stall-after", "60s"))
    night.live()
    waited = night.until_event("limit_wait")
    assert waited["source"] == "agent" and days - 120 < waited["wait_s"] < days + 120
    if agent.cli == "claude" and agent.newest:
        answer = night.until_event("approval")
        assert (answer["dialog"], answer["by"], answer["answer"]) == (
            "limit",
            "the watch",
            "Stop and wait for limit to reset",
        )
    record = night.place.until(lambda: next((r for r in [night.live()] if r["state"] == "prompt"), None), 20)
    assert record["waiting"] == {"for": "usage_limit", "until": waited["until"]} and record["watch"] == "waiting"
    night.place.ok("stop", "--id", "night")
    assert night.ends() == 1, "nobody has done the task"
    assert night.shape() == ["on", "limit_wait usage_limit"]
    night.check("stopped", 1)


def test_a_limit_that_ends_after_the_deadline_is_not_waited_for(agent: Agent) -> None:
    one(agent, "codex")
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    night = Night(agent, {"usage_limit": {"resets_at": 7200}}, options=("--deadline", at))
    assert night.ends() == 124, night.out
    assert night.shape() == ["on", "limit_wait usage_limit"]
    night.check("timeout", 124)


@pytest.mark.parametrize("error", ["auth", "credit"])
def test_what_only_a_person_can_mend(agent: Agent, error: str) -> None:
    newest(agent) if error == "auth" else one(agent, "codex")
    told = agent.place.base / "told.jsonl"
    night = Night(
        agent,
        {"error": error, "times": 30},
        options=("--env", "CLAUDE_CODE_MAX_RETRIES=1", "--notify-cmd", f"cat >> '{told}'"),
    )
    assert night.ends() == 4, night.out
    assert night.shape() == ["on", f"escalated {error}"]
    night.check("failure", 4)
    (row,) = [json.loads(line) for line in told.read_text().splitlines()]
    assert (row["kind"], row["id"], row["run_id"]) == ("person", "night", night.rows[0]["run_id"])


@pytest.mark.newest
def test_a_dialog_waits_for_a_person(agent: Agent) -> None:
    """The follower says so and ends; the session stays, is answered, and followed again to its end."""
    made = agent.place.work / "made.txt"
    night = Night(agent, asking(agent, "sh -c 'echo x >> made.txt'"), "Done.", permissions="ask")
    assert night.ends() == 4
    assert night.shape() == ["on", "escalated dialog"] and night.of("escalated")[0]["stopped"] is False
    assert night.live()["waiting"] == {"for": "person", "until": None}
    night.place.ok("approve", "--id", "night")
    done = night.place.run("watch", "--id", "night")
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.exists()
    agent.until_event("night", "exited")  # the follower ends when the task is done
    night.rows = agent.events("night")
    night.check("success", 0)
    assert "a person is needed" in night.out


@pytest.mark.newest
def test_a_loop_is_told_once_and_then_stopped(agent: Agent) -> None:
    night = Night(agent, *[{"tools": [{"bash": "echo the same"}]}] * 14)
    assert night.ends() == 4, night.out
    assert night.shape() == ["on", "stall loop", "nudge loop", "stall loop", "escalated loop"]
    night.check("failure", 4)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("calls", ("--max-calls", "2")),
        ("tokens", ("--max-tokens", "2000")),
        ("cost", ("--max-cost", "0.001")),
        ("turns", ("--max-turns", "2", "--verify", "false")),
    ],
)
@pytest.mark.newest
def test_the_budget_ends_it(agent: Agent, kind: str, options: tuple[str, ...]) -> None:
    """The agent would go on for ever; it is cut at the limit, and not much is billed beyond it."""
    if (kind in ("calls", "turns")) != (agent.cli == "claude") and not ALL:
        pytest.skip("each kind with one of them (HARNEX_TEST_ALL=1: with both)")
    if kind == "turns":
        steps: list[Any] = ["One.", "Two.", "Three.", "Four."]
    else:
        usage = {"input_tokens": 1500, "output_tokens": 100}
        steps = [{"tools": [{"bash": f"echo {n}; sleep 1"}], "usage": usage} for n in range(6)]
    night = Night(agent, *steps, options=options)
    assert night.ends() == 5, night.out
    before = ["nudge verify"] if kind == "turns" else []
    assert night.shape() == ["on", *before, f"budget {kind}"]
    night.check("budget", 5)
    (spent,) = night.of("budget")
    assert spent["used"] >= spent["limit"] == float(options[1])
    billed = len([c for c in agent.log("night", "call") if c["finished"]])
    assert 2 <= billed <= 3 if kind != "cost" else 1 <= billed <= 2
    assert "the budget is spent" in night.out


def test_a_budget_is_not_spent_by_the_last_call(agent: Agent) -> None:
    """Codex names no stop reason: that no tool was asked for is enough. (2.0.77 warms up with calls of its own.)"""
    if agent.cli == "claude":
        newest(agent)
    night = Night(agent, "All done.", options=("--max-calls", "1"))
    assert night.ends() == 0, night.out
    assert night.shape() == ["on", "done"]
    night.check("success", 0)


def test_the_deadline_ends_it(agent: Agent) -> None:
    """Set on a session that runs already; whoever follows hears of it."""
    one(agent, "claude")
    night = Night(agent, {"hang": 60}, options=("--stall-after", "60s"))
    night.live()
    night.until_event("turn_started")
    at = datetime.now(UTC) + timedelta(seconds=3)
    second = night.place.run("watch", "--id", "night", "--deadline", at.isoformat())
    assert second.returncode == 124, second.stdout + second.stderr
    assert night.ends() == 124, night.out
    assert night.shape() == ["on", "on"] and "the time is over" in night.out
    night.check("timeout", 124)
    ended = datetime.fromisoformat(night.rows[-1]["ts"])
    assert at <= ended < at + timedelta(seconds=15)


@pytest.mark.newest
def test_verify_fails_twice_and_passes(agent: Agent) -> None:
    check = "echo x >> count; seq 1 2000; test $(wc -l < count) -ge 3"
    night = Night(agent, "One.", "Two.", "Three.", options=("--verify", check))
    assert night.ends() == 0, night.out
    assert night.shape() == ["on", "nudge verify", "nudge verify", "done"]
    assert [r["ok"] for r in night.of("verify")] == [False, False, True]
    night.check("success", 0)
    assert [r["turn"] for r in night.of("task_complete")] == [1, 2, 3]


@pytest.mark.newest
def test_the_watch_outlives_its_follower(agent: Agent) -> None:
    """`harnex watch` on a running session; its follower is killed; the deadline comes all the same."""
    agent.start("night", {"hang": 60}, run=("--context", "do the task"))
    agent.wait("night", "busy")
    follower = agent.place.start("watch", "--id", "night", "--turn-timeout", "4s")
    agent.place.until(lambda: agent.events("night", "watch"))
    follower.kill()
    follower.communicate()
    assert agent.record("night")["watch"] == "watching"
    again = agent.place.start("watch", "--id", "night")
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 124, out
    assert [r["kind"] for r in agent.events("night", "stall")] == ["turn_timeout"]
    rows = agent.check_ended("night")
    assert rows[-1]["reason"] == "timeout"

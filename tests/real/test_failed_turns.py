"""Turns that don't end well: the person interrupts, the model refuses, the connection breaks."""

from __future__ import annotations

import json

import pytest

from tests.real.conftest import Agent, Person

pytestmark = pytest.mark.timeout(120)  # the old CLIs are slow on a busy machine


@pytest.mark.newest
def test_a_person_interrupts(agent: Agent) -> None:
    place = agent.place
    lines = "\n\n".join(f"Line {n} of an answer." for n in range(100))
    agent.start("esc", {"text": lines, "pause": 0.06}, "Second answer.")
    sent = place.json("send", "--id", "esc", "--message", "the first task")
    place.until(lambda: agent.log("esc", "request"))
    with Person(place, "attach", "--id", "esc") as person:
        # 2.0 shows an answer when it is whole.
        person.sees("Line 3 of an" if agent.cli == "codex" or agent.newest else "interrupt")
        # Esc does nothing in old versions of Codex while an answer is written (measured): Ctrl-C does.
        person.press(b"\x03" if agent.cli == "codex" and not agent.newest else b"\x1b")
        failed = agent.until_event("esc", "turn_failed")
        person.detach()
    assert (failed["outcome"], failed["reason"], failed["turn"]) == ("interrupted", "interrupted", 1)
    waited = place.run("wait", "--id", "esc", "--until", "task_complete", "--timeout", "20")
    assert (waited.returncode, json.loads(waited.stdout)["state"]) == (1, "prompt")
    after = agent.send("esc", "quite another task")
    assert (after["turn"], after["last_message"]) == (2, "Second answer.")
    assert agent.log("esc", "request")[-1]["prompt_head"].strip() == "quite another task"
    rows = agent.events("esc", "turn_started", "turn_failed", "task_complete")
    assert [(r["type"], r["turn"]) for r in rows] == [
        ("turn_started", 1),
        ("turn_failed", 1),
        ("turn_started", 2),
        ("task_complete", 2),
    ]
    assert rows[0]["message_id"] == sent["message_id"]
    agent.stop("esc")
    agent.check_ended("esc")


@pytest.mark.newest
def test_interrupted_before_the_first_word(agent: Agent) -> None:
    """Newer Claude Code puts the prompt back into the box: the next message must not be appended to it."""
    place = agent.place
    agent.start("draft", {"hang": 60}, "Second answer.")
    place.ok("send", "--id", "draft", "--message", "the first task")
    place.until(lambda: agent.log("draft", "request"))
    agent.wait("draft", "busy")
    with Person(place, "attach", "--id", "draft") as person:
        person.sees("interrupt")
        person.press(b"\x1b")
        failed = agent.until_event("draft", "turn_failed")
        person.detach()
    assert failed["outcome"] == "interrupted"
    # A person typed just now: their draft is theirs for a moment, then the message may come.
    after = agent.send("draft", "quite another task")
    assert after["last_message"] == "Second answer."
    assert agent.log("draft", "request")[-1]["prompt_head"].strip() == "quite another task"
    assert len(agent.events("draft", "turn_failed")) == 1
    agent.stop("draft")
    agent.check_ended("draft")


@pytest.mark.parametrize(
    ("error", "reason"),
    [({"error": 400, "message": "scripted refusal"}, "refused"), ({"error": "auth"}, "auth")],
    ids=["400", "401"],
)
@pytest.mark.newest
def test_an_error_is_never_a_success(agent: Agent, error: dict[str, object], reason: str) -> None:
    place = agent.place
    if agent.cli == "claude" and not agent.newest and reason == "auth":
        pytest.skip("2.0 retries a 401 for three minutes, whatever it is told")
    # 401 is tried again by newer Claude Code, three minutes long unless told otherwise.
    env = ("--env", "CLAUDE_CODE_MAX_RETRIES=1") if agent.cli == "claude" else ()
    agent.start("bad", {**error, "times": 9}, run=env)
    agent.wait("bad", "prompt")
    done = place.run("send", "--id", "bad", "--message", "go", "--wait-for-idle", "--timeout", "45")
    reply = json.loads(done.stdout)
    assert (done.returncode, reply["ok"], reply.get("outcome")) == (1, False, "failed")
    # Seen as what it is, not found out after a while.
    assert reply["waited_s"] < 30
    failed = agent.events("bad", "turn_failed")
    assert [(f["reason"], f["outcome"]) for f in failed] == [(reason, "failed")]
    assert failed[0]["message"]
    waited = place.run("wait", "--id", "bad", "--until", "task_complete")
    assert (waited.returncode, json.loads(waited.stdout)["ok"]) == (1, False)
    assert agent.events("bad", "task_complete", "blocked") == []
    assert agent.record("bad")["state"] == "prompt"
    agent.stop("bad")
    agent.check_ended("bad")


@pytest.mark.newest
def test_a_stream_that_always_breaks_is_no_success(agent: Agent) -> None:
    """Ruby harnex said ok, prompt and task_complete."""
    if agent.cli == "claude":
        pytest.skip("2.0 takes the torn answer for the whole one, and says so; newer ones retry for minutes")
    agent.start("torn", *[{"drop": "half of an"}] * 9)
    done = agent.place.run("send", "--id", "torn", "--message", "go", "--wait-for-idle", "--timeout", "45")
    assert (done.returncode, json.loads(done.stdout).get("outcome")) == (1, "failed")
    assert [f["reason"] for f in agent.events("torn", "turn_failed")] == ["network"]
    assert agent.events("torn", "task_complete") == []
    agent.stop("torn")
    agent.check_ended("torn")

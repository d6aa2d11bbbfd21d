"""Dialogs of the real CLIs: what waits for a person is seen, said, and never typed into."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.real.conftest import Agent, Person

pytestmark = pytest.mark.timeout(120)  # the old CLIs are slow on a busy machine


def asking(agent: Agent, command: str) -> dict[str, Any]:
    """A step whose tool needs a person's permission."""
    if agent.cli == "claude":
        return {"text": "I need to do this.", "tools": [{"bash": command}]}
    # Codex asks when a command wants to leave the sandbox.
    name, key = ("shell_command", "command") if agent.numbers < (0, 104) else ("exec_command", "cmd")
    escalated = {key: command, "sandbox_permissions": "require_escalated", "justification": "a test"}
    return {"text": "I need to do this.", "tools": [{"raw": {"name": name, "input": escalated}}]}


def answer(agent: Agent, session_id: str) -> None:
    """Press what says yes, as an attached person."""
    with Person(agent.place, "attach", "--id", session_id) as person:
        person.sees("Yes")
        person.answers(b"1" if agent.cli == "claude" else b"y", session_id)
        person.detach()


@pytest.mark.newest
def test_a_permission_waits_for_a_person(agent: Agent) -> None:
    place = agent.place
    made = place.work / "made.txt"
    agent.start(
        "ask", asking(agent, "sh -c 'echo x >> made.txt'"), "First done.", "Second done.", "Third done.", bypass=False
    )
    first = place.json("send", "--id", "ask", "--message", "number one", "--no-wait")
    blocked = agent.wait("ask", "blocked")
    assert (blocked["state"], blocked["dialog"]) == ("blocked", "permission")
    # Declared before it is painted: what can be answered follows.
    place.until(lambda: agent.record("ask")["options"])
    event = agent.events("ask", "blocked")[-1]
    assert event["dialog"] == "permission"
    assert len(event["options"]) >= 2
    assert event["options"][0].startswith("Yes")
    assert agent.record("ask")["options"] == event["options"]
    queued = [place.json("send", "--id", "ask", "--message", f"number {n}", "--no-wait") for n in ("two", "three")]
    refused = place.run("send", "--id", "ask", "--message", "into the dialog?", "--force")
    assert (refused.returncode, json.loads(refused.stdout)["ok"]) == (4, False)
    assert "dialog" in json.loads(refused.stdout)["error"]
    waited = place.run("wait", "--id", "ask", "--until", "task_complete")
    assert (waited.returncode, "permission" in waited.stdout) == (4, True)
    place.until(lambda: agent.record("ask")["pending"] == 2)
    assert agent.record("ask")["state"] == "blocked"
    assert not made.exists()
    assert len(agent.log("ask", "request")) == 1
    answer(agent, "ask")
    done = agent.wait("ask", "task_complete")
    assert (done["turn"], done["last_outcome"]["message"]) == (3, "Third done.")
    assert made.read_text() == "x\n"
    assert [r["prompt_head"].strip() for r in agent.log("ask", "request")][1:] == [
        "number one",
        "number two",
        "number three",
    ]
    assert [r["message_id"] for r in agent.events("ask", "turn_started")] == [
        first["message_id"],
        *(q["message_id"] for q in queued),
    ]
    # It was shown once, and every word on it says what it was.
    assert {r["dialog"] for r in agent.events("ask", "blocked")} == {"permission"}
    agent.stop("ask")
    agent.check_ended("ask")


@pytest.mark.newest
def test_a_directory_that_is_not_trusted(agent: Agent) -> None:
    """The rehearsal trusts its directory; here that is taken back just before the CLI starts."""
    place = agent.place
    # Codex 0.169 asks only where there is something to trust: a git repository, or settings of the folder.
    (place.work / ".codex").mkdir()
    (place.work / ".codex" / "config.toml").touch()
    if agent.cli == "codex":
        forget = 'sed -i "/trust_level/d; /^.projects/d" "$CODEX_HOME/config.toml"'
    else:
        forget = 'sed -i "s/hasTrustDialogAccepted/was/" "$HOME/.claude.json"'
    run = agent.wrapped(f'case "$*" in *--version*) ;; *) {forget};; esac')
    agent.start("new", "Trusted and done.", run=(*run, "--context", "the first task"), bypass=False)
    blocked = agent.wait("new", "blocked")
    assert blocked["dialog"] == "trust"
    assert agent.record("new")["pending"] == 1
    refused = place.run("send", "--id", "new", "--message", "yes?", "--force")
    assert refused.returncode == 4
    assert place.run("wait", "--id", "new", "--timeout", "20").returncode == 4
    assert [r["status"] for r in agent.events("new", "delivery")] == ["queued"]
    with Person(place, "attach", "--id", "new") as person:
        person.sees("rust")
        if "❯ No" in place.ok("pane", "--id", "new"):  # the default of newer versions
            person.press(b"\x1b[A")
            place.until(lambda: "❯ Yes" in place.ok("pane", "--id", "new"))
        person.answers(b"\r", "new")
        agent.until_event("new", "task_complete")
        person.detach()
    assert [r["status"] for r in agent.events("new", "delivery")] == ["queued", "typed", "accepted"]
    assert [r["prompt_head"].strip() for r in agent.log("new", "request")] == ["the first task"]
    agent.stop("new")
    agent.check_ended("new")


@pytest.mark.newest
def test_a_question_waits_for_a_person(agent: Agent) -> None:
    if agent.cli == "codex":
        pytest.skip("Codex offers its question tool in plan mode only")
    ask = {"text": "Well.", "tools": [{"ask": {"question": "Which colour?", "options": ["Red", "Blue"]}}]}
    agent.start("which", ask, "Red it is.")
    sent = agent.place.run("send", "--id", "which", "--message", "paint it", "--wait-for-idle", "--timeout", "30")
    assert (sent.returncode, json.loads(sent.stdout)["state"]) == (4, "blocked")
    assert agent.wait("which", "blocked")["dialog"] == "question"
    agent.place.until(lambda: agent.record("which")["options"])  # it is painted
    another = agent.place.run("send", "--id", "which", "--message", "and the door", timeout=20)
    assert (another.returncode, json.loads(another.stdout)["status"]) == (4, "expired")
    assert "question dialog" in another.stderr and "harnex approve --id which" in another.stderr
    with Person(agent.place, "attach", "--id", "which") as person:
        person.sees("Blue")
        person.answers(b"\r", "which")
        done = agent.until_event("which", "task_complete")
        person.detach()
    assert (done["turn"], done["last_message"]) == (1, "Red it is.")
    assert [r["msg"] for r in agent.events("which", "send")] == ["paint it", "and the door"]
    assert len(agent.log("which", "request")) == 2
    agent.stop("which")
    agent.check_ended("which")

"""`approve`, `deny` and what was allowed in advance, on the real CLIs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.conftest import Agent
from tests.real.test_dialogs import asking

pytestmark = pytest.mark.timeout(120)


def blocked(agent: Agent, session_id: str) -> str:
    """Wait for a dialog that is painted; since when it is open."""
    agent.wait(session_id, "blocked")
    agent.place.until(lambda: agent.record(session_id)["options"])
    return str(agent.record(session_id)["state_since"])


@pytest.mark.newest
def test_a_permission_is_given_and_one_is_refused(agent: Agent) -> None:
    place = agent.place
    one, two = place.work / "one.txt", place.work / "two.txt"
    steps = [
        asking(agent, "sh -c 'echo x >> one.txt'"),
        "It is done.",
        asking(agent, "sh -c 'echo x >> two.txt'"),
        "No?",
    ]
    agent.start("ask", *steps, bypass=False)
    early = place.run("approve", "--id", "ask")
    assert (early.returncode, "no dialog" in json.loads(early.stdout)["error"]) == (1, True)

    place.json("send", "--id", "ask", "--message", "number one", "--no-wait")
    first = blocked(agent, "ask")
    assert not one.exists()
    other = place.run("approve", "--id", "ask", "--dialog", "trust")
    assert (other.returncode, "permission, not trust" in json.loads(other.stdout)["error"]) == (4, True)
    wild = place.run("approve", "--id", "ask", "--option", "9")
    assert (wild.returncode, "no option 9" in json.loads(wild.stdout)["error"]) == (2, True)
    assert place.json("approve", "--id", "ask", "--seen", first)["dialog"] == "permission"
    assert agent.wait("ask", "task_complete")["last_outcome"]["message"] == "It is done."
    assert one.read_text() == "x\n"

    place.json("send", "--id", "ask", "--message", "number two", "--no-wait")
    blocked(agent, "ask")
    stale = place.run("approve", "--id", "ask", "--seen", first)
    assert (stale.returncode, "another permission dialog" in json.loads(stale.stdout)["error"]) == (4, True)
    assert place.json("deny", "--id", "ask")["verb"] == "deny"
    agent.wait("ask", "prompt")
    assert not two.exists()
    given = agent.events("ask", "approval")
    assert [(r["verb"], r["dialog"]) for r in given] == [("approve", "permission"), ("deny", "permission")]
    assert given[0]["answer"].startswith("Yes")
    assert place.run("deny", "--id", "ask").returncode == 1
    agent.stop("ask")
    agent.check_ended("ask")


@pytest.mark.newest
@pytest.mark.parametrize("how", ["option", "text"])
def test_a_question_is_answered(agent: Agent, how: str) -> None:
    if agent.cli == "codex":
        pytest.skip("Codex offers its question tool in plan mode only")
    ask = {"text": "Well.", "tools": [{"ask": {"question": "Which colour?", "options": ["Red", "Blue"]}}]}
    agent.start("which", ask, "As you like it.")
    agent.place.json("send", "--id", "which", "--message", "paint it", "--no-wait")
    blocked(agent, "which")
    words = ("--option", "2") if how == "option" else ("--text", "Sea green, füll")
    agent.place.json("approve", "--id", "which", *words)
    assert agent.wait("which", "task_complete")["last_outcome"]["message"] == "As you like it."
    home = agent.place.state / "runs" / agent.run_ids["which"] / "home"
    (transcript,) = [p for p in Path(home).glob(".claude/projects/*/*.jsonl") if "toolUseResult" in p.read_text()]
    answers = [
        json.loads(line)["toolUseResult"]["answers"]
        for line in transcript.read_text().splitlines()
        if isinstance(json.loads(line).get("toolUseResult"), dict)
    ]
    assert list(answers[-1].values()) == ["Blue" if how == "option" else "Sea green, füll"]
    agent.stop("which")
    agent.check_ended("which")


@pytest.mark.newest
def test_this_folder_is_trusted_in_advance(agent: Agent) -> None:
    """`--trust` answers the trust dialog, and no other."""
    place = agent.place
    (place.work / ".codex").mkdir()
    (place.work / ".codex" / "config.toml").touch()
    if agent.cli == "codex":
        forget = 'sed -i "/trust_level/d; /^.projects/d" "$CODEX_HOME/config.toml"'
    else:
        forget = 'sed -i "s/hasTrustDialogAccepted/was/" "$HOME/.claude.json"'
    run = agent.wrapped(f'case "$*" in *--version*) ;; *) {forget};; esac')
    task = ("--trust", "--context", "the first task")
    agent.start("new", asking(agent, "sh -c 'echo x >> made.txt'"), "Done.", run=(*run, *task), bypass=False)
    blocked(agent, "new")
    assert agent.record("new")["dialog"] == "permission"
    given = [(r["dialog"], r["by"], r["verb"]) for r in agent.events("new", "approval")]
    # Codex is told by a setting, and asks nothing.
    assert given == ([("trust", "--trust", "approve")] if agent.cli == "claude" else [])
    assert not (place.work / "made.txt").exists()
    agent.stop("new")
    agent.check_ended("new")

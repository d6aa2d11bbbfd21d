"""claude/declared.py: the session file and OSC 7501."""

from __future__ import annotations

from typing import Any

import pytest

from harnex.agents.claude.adapter import ADAPTER
from harnex.agents.claude.declared import program_status
from harnex.model.facts import Follow, Observation, Retracted, State
from tests.unit.agents.claude._bench import V4

# -- session file, title, OSC --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "state", "dialog"),
    [
        ({"status": "busy"}, State.BUSY, ""),
        ({"status": "idle"}, State.PROMPT, ""),
        ({"status": "shell"}, State.PROMPT, ""),
        ({"status": "waiting", "waitingFor": "permission prompt"}, State.BLOCKED, "permission"),
        ({"status": "waiting", "waitingFor": "input needed"}, State.BLOCKED, "question"),
        ({"status": "waiting", "waitingFor": "dialog open"}, State.BLOCKED, "other"),
    ],
)
def test_session_file(document: dict[str, Any], state: State, dialog: str) -> None:
    reader = ADAPTER.reader(V4)
    follows = list(reader.spawned(7, {"HOME": "/h"}, "/repo"))
    assert Follow("session", "/h/.claude/sessions/7.json", "document") in follows
    (fact,) = [f for f in reader.document("session", {"pid": 7, **document}) if isinstance(f, Observation)]
    assert (fact.state, fact.dialog) == (state, dialog)
    assert list(reader.document("session", None)) == [Retracted("session")]


def test_a_session_file_of_another_process_is_not_heard() -> None:
    reader = ADAPTER.reader(V4)
    list(reader.spawned(7, {"HOME": "/h"}, "/repo"))
    assert list(reader.document("session", {"pid": 8, "status": "idle"})) == []


def test_program_status_protocol() -> None:
    reader = ADAPTER.reader(V4)
    (fact,) = reader.osc(7501, "state=blocked:kind=permission:msg=YXBwcm92ZSBCYXNo")
    assert isinstance(fact, Observation)
    assert (fact.state, fact.dialog) == (State.BLOCKED, "permission")
    assert "approve Bash" in fact.reason
    assert [f.state for f in reader.osc(7501, "state=working") if isinstance(f, Observation)] == [State.BUSY]
    assert [f.state for f in reader.osc(7501, "state=done") if isinstance(f, Observation)] == [State.PROMPT]
    assert list(reader.osc(7501, "state=clear")) == [Retracted("osc7501")]
    assert list(reader.osc(7501, "?")) == []


# ---- whose tools ----


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("1 shell still running", State.PROMPT),
        ("2 shells, 1 monitor still running", State.PROMPT),
        ("1 monitor still running", State.PROMPT),
        ("1 agent still running", State.BUSY),
        ("running the tests, 1 shell still running", State.BUSY),
    ],
)
def test_what_osc_7501_says_of_the_background(said: str, state: State) -> None:
    from base64 import b64encode

    seen = program_status(f"state=working:app=claude-code:msg={b64encode(said.encode()).decode()}")
    assert isinstance(seen, Observation) and seen.state is state

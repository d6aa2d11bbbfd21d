"""supervisor/delivery.py: what a lost conversation did not answer is said again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harnex.agents.contract import Typing
from harnex.machines.ending import End
from harnex.machines.inbox import (
    Message,
)
from harnex.machines.status import Situation, Status
from harnex.machines.turns import Turns
from harnex.store import undelivered
from harnex.supervisor.delivery import Delivery, Heard
from harnex.supervisor.journal import Journal
from harnex.supervisor.watcher import Watcher


class Told:
    """What `Delivery` needs of a session; keeps what was said."""

    def __init__(self, tmp_path: Path) -> None:
        spec = SimpleNamespace(state=str(tmp_path), id="r", run_id="r", adapter="demo", repo="/r")
        agent: Any = SimpleNamespace(
            typing=lambda text: Typing(b"", text.encode(), b"\r"), adapter=SimpleNamespace(name="demo")
        )
        redactor: Any = SimpleNamespace(text=lambda text: text, fields=lambda fields: fields)
        journal = Journal(spec, redactor, dict)  # type: ignore[arg-type]
        situation = Situation(Status(""), Turns(), End())
        self.watcher = Watcher(spec, journal, lambda: agent, situation, pytest.fail)  # type: ignore[arg-type]
        heard = Heard(self.watcher.message_came, lambda: None, lambda message, over: None)
        viewers: Any = SimpleNamespace(has_writers=False, person_typed=-1e9)
        self.delivery = Delivery(journal, lambda: agent, situation, viewers, heard)


@pytest.mark.parametrize(
    ("taken", "waiting", "expected"),
    [
        (["the task"], [], ["the task"]),
        (["the task"], ["more"], ["the task", "more"]),
        (["the task", "number two"], ["more"], ["the task", "number two", "more"]),
        ([], ["more"], ["more"]),  # the task was answered
        ([], [], ["the task"]),  # all was answered, and what it was about is lost
        (["go on"], [], ["the task"]),  # a nudge
        (["the task", "go on"], ["more"], ["the task", "more"]),
        (["number two", "go on"], ["more"], ["the task", "number two", "more"]),
    ],
)
def test_what_a_lost_conversation_did_not_answer_is_said_again(
    tmp_path: Path, taken: list[str], waiting: list[str], expected: list[str]
) -> None:
    (tmp_path / "runs" / "r").mkdir(parents=True, mode=0o700)
    session = Told(tmp_path)
    delivery = session.delivery
    session.watcher.message_came(Message("m-0", "the task"))
    for n, text in enumerate([*taken, *waiting]):
        delivery.take(Message(f"m-{n}", text))
        if text == "go on":
            session.watcher.nudges.add(f"m-{n}")
        if n < len(taken):
            delivery._answered.append(delivery.inbox.queue.popleft())
    delivery.say_again(session.watcher.first, session.watcher.nudges)
    assert [m.text for m in delivery.inbox.queue] == expected
    assert [row["text"] for row in undelivered.rows(str(tmp_path), "r")] == expected


def test_what_is_said_again_has_no_deadline_any_more(tmp_path: Path) -> None:
    """Its sender's time is over by then, but the message was taken in time."""
    (tmp_path / "runs" / "r").mkdir(parents=True, mode=0o700)
    session = Told(tmp_path)
    message = Message("m-0", "the task", deadline=1.0)
    session.delivery.take(message)
    session.delivery._answered.append(session.delivery.inbox.queue.popleft())
    session.delivery.say_again(None, set())
    assert [m.deadline for m in session.delivery.inbox.queue] == [None]

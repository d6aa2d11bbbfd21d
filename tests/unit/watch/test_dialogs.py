"""watch/dialogs.py: which dialogs are answered, and when a person is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harnex.model import events
from harnex.model.facts import State
from harnex.times import iso_second as iso
from harnex.watch import actions as w
from tests.unit.watch._bench import WALL, Session


def test_a_dialog_asks_for_a_person_and_goes_on_after_them() -> None:
    s = Session()
    s.opens()
    s.sight = replace(s.sight, state=State.BLOCKED, dialog="question", options=("Red", "Blue"))
    assert s.step() == []
    s.step(2)
    assert not s.told(events.Escalated)[0].stopped and s.of(w.Stop) == []
    s.step(10000)
    assert len(s.told(events.Escalated)) == 1
    s.sight = replace(s.sight, state=State.BUSY, dialog="")
    s.step()
    assert s.watch.phase == "watching"
    s.step(59)
    assert s.told(events.Stall) == []


@pytest.mark.parametrize(("mode", "verb"), [("bypass", "approve"), ("auto", "deny"), ("ask", None)])
def test_permissions_decide_about_permission_dialogs(mode: str, verb: str | None) -> None:
    s = Session()
    s.watch.permissions = mode
    s.sight = replace(s.sight, state=State.BLOCKED, dialog="permission", options=("Yes", "No"))
    s.step()
    s.step(3)
    assert [a.verb for a in s.of(w.Answer)] == ([verb] if verb else [])
    assert len(s.told(events.Escalated)) == (0 if verb else 1)


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        # Claude Code 2.1.329, 2.1.197, Codex, and orders that their program text allows.
        (("Stop and wait for limit to reset", "Wait here, then continue automatically at 9pm", "Upgrade your plan"), 1),
        (("Stop and wait for limit to reset", "Upgrade your plan"), 1),
        (("Upgrade your plan", "Wait here, then continue automatically at 9pm", "Stop"), 3),
        (("Switch to gpt-5-codex-mini", "Keep current model", "Keep current model (never show again)"), 2),
        (("Request more usage and wait", "Wait for an admin to add credits"), None),
        (("Continue now at lower priority", "Upgrade your plan"), None),
        ((), None),
    ],
)
def test_the_menu_of_a_limit_is_answered_by_stopping_or_asked_of_a_person(
    options: tuple[str, ...], chosen: int | None
) -> None:
    s = Session()
    s.opens()
    s.closes("failed", "usage_limit", iso(WALL + 3600))
    s.sight = replace(s.sight, state=State.BLOCKED, dialog="limit", options=options)
    s.step()
    assert s.watch.wake_at() == pytest.approx(s.now + 2), "it is looked at soon, whatever is waited for"
    s.step(2)
    assert [a.option for a in s.of(w.Answer)] == ([chosen] if chosen else [])
    assert [e.reason for e in s.told(events.Escalated)] == ([] if chosen else ["dialog"])
    s.sight = replace(s.sight, state=State.PROMPT, dialog="", options=())
    s.step(1)
    assert s.watch.phase == "waiting", "the wait goes on after it"
    s.step(4000)
    assert [a.reason for a in s.of(w.Say)] == ["usage_limit"]


def test_a_dialog_that_no_answer_closes_is_asked_of_a_person() -> None:
    s = Session()
    s.sight = replace(s.sight, state=State.BLOCKED, dialog="limit", options=("Stop and wait",))
    for _ in range(60):
        s.step(1)
    assert len(s.of(w.Answer)) == 3 and len(s.told(events.Escalated)) == 1

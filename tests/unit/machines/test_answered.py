"""machines/answered.py: the end of a headless run."""

from __future__ import annotations

import pytest

from harnex.machines.answered import GRACE_S, SETTLE_S, Answered
from harnex.model.facts import TurnEnded

END = TurnEnded("stream", "completed", "all")


def test_a_result_is_told_when_nothing_follows_and_then_the_process_has_a_grace() -> None:
    answered = Answered()
    assert answered.wake_at() is None and answered.step(False, 0.0) is None
    answered.take(END, 10.0)
    answered.row(10.2)
    assert answered.wake_at() == 10.2 + SETTLE_S
    assert answered.step(False, 10.2 + SETTLE_S - 0.01) is None
    assert answered.step(False, 11.0) == "tell" and answered.told
    assert answered.step(False, 11.0 + GRACE_S - 0.1) is None
    assert answered.step(False, 11.0 + GRACE_S) == "end"
    assert answered.wake_at() is None and answered.told


def test_background_work_holds_the_answer_but_not_for_who_is_in_a_hurry() -> None:
    answered = Answered()
    answered.take(END, 10.0)
    assert answered.step(True, 1000.0) is None and not answered.told
    assert answered.step(False, 1000.0) == "tell"
    answered.hurry(1000.1)
    assert answered.step(True, 1000.1) == "end", "once told, it is only the process that is waited for"


@pytest.mark.parametrize("told", [False, True])
def test_another_turn_takes_the_result_back(told: bool) -> None:
    answered = Answered()
    answered.take(END, 10.0)
    if told:
        assert answered.step(False, 11.0) == "tell"
    answered.went_on()
    assert answered.step(False, 1000.0) is None and answered.result is None
    answered.take(END, 1001.0)
    assert answered.step(False, 1002.0) == "tell"

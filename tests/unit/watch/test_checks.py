"""watch/checks.py: `--done-when` and `--verify`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harnex.model import events
from harnex.model.facts import State
from harnex.watch import actions as w
from tests.unit.watch._bench import Session


def test_verify_goes_back_to_the_agent_so_often_and_no_more() -> None:
    s = Session(verify="make test", verify_max=2)
    for n in range(3):
        s.opens()
        s.closes()
        assert len(s.of(w.Check)) == n + 1
        s.watch.checked(False, 2, 0.1, "it broke")
        s.step()
    assert len(s.of(w.Say)) == 2 and "it broke" in s.of(w.Say)[0].text
    assert (s.of(w.Stop)[0].reason, s.of(w.Stop)[0].exit_code) == ("failure", 1)
    assert [(e.attempt, e.most, e.ok) for e in s.told(events.Verify)] == [(1, 3, False), (2, 3, False), (3, 3, False)]


def test_done_when_comes_before_verify() -> None:
    s = Session(done_when="test -e done", verify="make test", auto_stop=True)
    s.opens()
    s.closes()
    s.watch.checked(False, 1, 0.1, "")
    s.step()
    assert s.of(w.Say)[0].reason == "done_when"
    s.opens()
    s.closes()
    s.watch.checked(True, 0, 0.1, "")
    s.step()
    assert [c.kind for c in s.of(w.Check)] == ["done_when", "done_when", "verify"] and s.of(w.Stop) == []
    s.watch.checked(True, 0, 0.1, "")
    s.step()
    assert s.of(w.Stop)[0].exit_code == 0


def test_a_check_that_runs_is_heard_after_a_dialog_and_a_crash() -> None:
    """Neither takes the run to be done before the check has passed."""
    for between in ("dialog", "crash"):
        s = Session(verify="make test", auto_stop=True)
        s.opens()
        s.closes()
        assert len(s.of(w.Check)) == 1
        if between == "dialog":
            s.sight = replace(s.sight, state=State.BLOCKED, dialog="update")
            s.step()
            s.step(3)
            assert s.watch.phase == "person"
        else:
            assert s.watch.gone(None, 9, False, s.now)
            s.step(5)
            assert len(s.of(w.Revive)) == 1
            s.watch.restarted(False, s.now)
        s.sight = replace(s.sight, state=State.PROMPT, dialog="")
        s.step()
        assert s.watch.phase == "checking" and s.of(w.Say) == []
        s.watch.checked(False, 1, 0.1, "it broke")
        s.step()
        assert [a.reason for a in s.of(w.Say)] == ["verify"] and s.of(w.Stop) == []
        s.opens()
        s.closes()
        assert len(s.of(w.Check)) == 2 and s.of(w.Stop) == []


@pytest.mark.parametrize("kind", ["verify", "done_when"])
@pytest.mark.parametrize("code", [126, 127, 137, 143])
def test_a_check_that_could_not_be_run_asks_for_a_person(kind: str, code: int) -> None:
    """It says nothing of the work, and the agent can't mend it."""
    s = Session(**{kind: "mkae test"}, auto_stop=True)
    s.opens()
    s.closes()
    s.watch.checked(False, code, 0.1, "sh: 1: mkae: not found")
    s.step()
    assert s.of(w.Say) == [] and s.of(w.Stop)[0].exit_code == 4
    (told,) = s.told(events.Escalated)
    assert told.reason == "check" and "mkae: not found" in told.message and told.evidence["code"] == code
    assert [e.ok for e in s.told(events.Verify)] == [False]


@pytest.mark.parametrize("code", [1, 2, 134, 139, None])
def test_a_check_that_fails_or_crashes_is_for_the_agent_to_mend(code: int | None) -> None:
    s = Session(verify="make test")
    s.opens()
    s.closes()
    s.watch.checked(False, code, 0.1, "it broke")
    s.step()
    assert len(s.of(w.Say)) == 1 and s.of(w.Stop) == []


def test_a_check_of_the_past_decides_nothing() -> None:
    """A turn came and went while it ran: the next one tells."""
    s = Session(verify="make test", auto_stop=True)
    s.opens()
    s.closes()
    s.opens()
    s.closes()
    s.watch.checked(True, 0, 9.0, "")
    s.step()
    assert s.of(w.Stop) == [] and len(s.of(w.Check)) == 2
    s.watch.checked(True, 0, 9.0, "")
    s.step()
    assert s.of(w.Stop)[0].exit_code == 0

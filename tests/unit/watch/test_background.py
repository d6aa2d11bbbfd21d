"""What a watch does about background work: it waits, within limits, and lets the agent know what ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harnex.machines.background import Work
from harnex.model import events
from harnex.model.facts import State
from harnex.watch import actions as w
from harnex.watch.background import SAYS, WAKE_S
from harnex.watch.policy import checked
from tests.unit.watch._bench import Session


def work(name: str, by: str = "main") -> Work:
    return Work(name, "shell", f"run {name}", by, 0.0)


class Watched(Session):
    """A session whose agent leaves work running."""

    def __init__(self, **policy: Any) -> None:
        super().__init__(**({"auto_stop": True} | policy))

    def leaves(self, *works: Work, unsure: bool = False) -> None:
        self.sight = replace(self.sight, background=works, looking=unsure)

    def ends(self, ended: Work, told: bool = False) -> list[w.Action]:
        self.leaves(*(x for x in self.sight.background if x is not ended))
        self.watch.background_ended(ended, told, self.now)
        return self.step()

    @property
    def said(self) -> list[str]:
        return [e.message for e in self.told(events.Watch) if e.phase == "background"]


def test_the_end_waits_for_the_background() -> None:
    s, tests = Watched(), work("tests")
    s.opens()
    s.leaves(tests)
    s.closes()
    assert s.of(w.Stop) == [] and (s.watch.phase, s.watch.why) == ("background", "background")
    assert s.watch.until == pytest.approx(s.sight.wall + 600)
    assert s.said == ["waiting for background work, 10m at most: `run tests`"]
    s.step(599)
    assert s.of(w.Stop) == [], "nor is it taken for an agent that stands still"
    s.ends(tests)
    (say,) = s.of(w.Say)
    assert (say.reason, say.count) == ("background", 1) and "`run tests`" in say.text
    s.opens()
    s.closes()
    assert [x.reason for x in s.of(w.Stop)] == ["success"]


def test_after_its_time_the_task_is_judged_and_it_is_said_what_runs() -> None:
    s = Watched(background_wait=60.0, verify="make test")
    s.opens()
    s.leaves(work("server"), work("other", by="Explore:a1"))
    s.closes()
    assert s.watch.wake_at() == pytest.approx(s.now + 60)
    s.step(59)
    assert s.of(w.Check) == []
    s.step(1)
    assert s.said[-1] == (
        "still running after 1m, and not waited for any longer: `run server`, `run other` (by Explore:a1)"
    )
    assert len(s.of(w.Check)) == 1
    s.watch.checked(False, 1, 1.0, "no")
    s.step()
    s.opens()
    s.closes()
    assert len(s.of(w.Check)) == 2, "what was waited for once is not waited for again"


def test_only_waiting_counts() -> None:
    """Work that ran through a long turn has its whole time left; one that begins later has a time of its own."""
    s, slow, late = Watched(background_wait=60.0), work("slow"), work("late")
    s.opens()
    s.leaves(slow)
    s.closes()
    s.step(50)
    s.opens()
    s.step(500)
    s.leaves(slow, late)
    s.closes()
    s.step(9)
    assert s.watch.phase == "background" and len(s.said) == 2
    s.step(1)
    assert "not waited for any longer: `run slow`" in s.said[-1] and s.watch.phase == "background"
    s.step(50)
    assert "not waited for any longer: `run late`" in s.said[-1]
    assert len(s.of(w.Stop)) == 1


def test_an_agent_that_wakes_is_not_told() -> None:
    """Its CLI told it: a turn begins within WAKE_S. If none does, the watch says it."""
    s, tests = Watched(), work("tests")
    s.opens()
    s.leaves(tests)
    s.closes()
    s.ends(tests, told=True)
    assert s.of(w.Say) == [] and s.of(w.Stop) == []
    assert s.watch.wake_at() == pytest.approx(s.now + WAKE_S)
    s.step(1)
    s.opens()
    s.closes()
    assert s.of(w.Say) == [] and len(s.of(w.Stop)) == 1
    s = Watched()
    s.opens()
    s.leaves(tests)
    s.closes()
    s.ends(tests, told=True)
    s.step(WAKE_S)
    assert len(s.of(w.Say)) == 1


def test_what_ends_is_said_at_once_though_other_work_runs_on() -> None:
    s, tests, server = Watched(), work("tests"), work("server")
    s.opens()
    s.leaves(tests, server)
    s.closes()
    s.ends(tests)
    (say,) = s.of(w.Say)
    assert "`run tests`" in say.text and "server" not in say.text


def test_what_ended_in_the_turn_itself_is_the_agents_own_affair() -> None:
    s, tests = Watched(), work("tests")
    s.opens()
    s.leaves(tests)
    s.ends(tests)
    s.closes()
    assert s.of(w.Say) == [] and len(s.of(w.Stop)) == 1


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({}, True),
        ({"care": False, "stall_after": None}, True),  # --auto-stop alone
        ({"care": False, "auto_stop": False, "verify": "make test"}, True),
        ({"care": False, "auto_stop": False, "max_turns": 9}, False),  # limits alone
        ({"done_when": "test -e done"}, False),  # that command says whether the task is done
    ],
)
def test_who_is_told_that_it_ended(policy: dict[str, Any], says: bool) -> None:
    s, tests = Watched(**policy), work("tests")
    s.opens()
    s.leaves(tests)
    s.closes()
    s.ends(tests)
    assert bool(s.of(w.Say)) is says
    if "done_when" in policy:
        assert len(s.of(w.Check)) == 1


def test_zero_waits_for_nothing() -> None:
    s = Watched(background_wait=0.0)
    s.opens()
    s.leaves(work("tests"), unsure=True)
    s.closes()
    assert len(s.of(w.Stop)) == 1 and s.said == []


def test_the_first_look_is_waited_for() -> None:
    """A turn is over a moment before it is known what it left running."""
    s = Watched()
    s.opens()
    s.leaves(unsure=True)
    s.closes()
    assert s.of(w.Stop) == [] and s.said == []
    s.leaves(work("tests"))
    s.step(1)
    assert len(s.said) == 1 and s.of(w.Stop) == []
    s = Watched()
    s.opens()
    s.leaves(unsure=True)
    s.closes()
    s.leaves()
    s.step(1)
    assert len(s.of(w.Stop)) == 1 and s.of(w.Say) == []


def test_an_agent_that_starts_something_in_each_turn_comes_to_an_end() -> None:
    s = Watched()
    for n in range(SAYS + 1):
        s.opens()
        job = work(f"job-{n}")
        s.leaves(job)
        s.closes()
        s.ends(job)
    assert len(s.of(w.Say)) == SAYS and len(s.of(w.Stop)) == 1


def test_limits_hold_while_it_waits() -> None:
    s = Watched(deadline=1_795_240_000.0 + 30)
    s.opens()
    s.leaves(work("tests"))
    s.closes()
    s.step(30)
    assert [(x.reason, x.exit_code) for x in s.of(w.Stop)] == [("timeout", 124)]
    s, tests = Watched(max_turns=1), work("tests")
    s.opens()
    s.leaves(tests)
    s.closes()
    s.ends(tests)
    assert s.of(w.Say) == [] and [x.reason for x in s.of(w.Stop)] == ["budget"], "no turn more is asked for"


def test_a_dialog_meanwhile_changes_nothing() -> None:
    s, tests = Watched(), work("tests")
    s.opens()
    s.leaves(tests)
    s.closes()
    s.sight = replace(s.sight, state=State.BLOCKED, dialog="other")
    s.step(1)
    s.step(10)
    assert s.watch.phase == "person"
    s.sight = replace(s.sight, state=State.PROMPT, dialog="")
    s.step(1)
    assert s.watch.phase == "background" and s.of(w.Stop) == []


def test_a_crash_while_it_waits() -> None:
    s = Watched(max_resumes=1)
    s.opens()
    s.leaves(work("tests"))
    s.closes()
    assert s.watch.gone(None, 9, False, s.now)
    s.leaves()
    s.step(5)
    s.watch.restarted(False, s.now, "`run tests`")
    s.step()
    (say,) = s.of(w.Say)
    assert say.reason == "restart" and "running in the background was ended with it: `run tests`" in say.text


def test_the_option_in_a_preset() -> None:
    assert checked({"background-wait": "25m"}) == {"background_wait": 1500.0}
    assert checked({"background_wait": 0}) == {"background_wait": 0.0}
    with pytest.raises(ValueError, match="is not a duration"):
        checked({"background_wait": "soon"})

"""watch/restarts.py: another process takes the agent's place, or none."""

from __future__ import annotations

from dataclasses import replace

from harnex.model.facts import State
from harnex.watch import actions as w
from tests.unit.watch._bench import Session

# ---- clocks ----


def test_an_agent_that_is_deaf_is_replaced_once() -> None:
    s = Session()
    s.opens()
    s.step(60)
    while not s.of(w.Kill):
        s.step(1)
    assert len(s.of(w.Interrupt)) >= 2 and len(s.of(w.Kill)) == 1
    assert s.watch.gone(None, 9, True, s.now)
    s.step(0.5)
    assert s.of(w.Revive) == []
    s.step(5)
    (revive,) = s.of(w.Revive)
    assert (revive.attempt, revive.most) == (1, 1)
    s.sight = replace(s.sight, state=State.STARTING, turn=None)
    s.watch.restarted(False, s.now)
    s.step()
    assert s.of(w.Say) == []
    s.sight = replace(s.sight, state=State.PROMPT)
    s.step(1)
    assert s.of(w.Say)[0].reason == "restart" and s.of(w.Say)[0].again == "m-1"


# ---- dialogs, loops, crashes ----


def test_an_agent_that_was_told_to_exit_stays_gone() -> None:
    s = Session()
    assert not s.watch.gone(0, None, False, s.now)
    assert s.watch.gone(0, None, True, s.now), "in the middle of a turn it is a crash"
    assert s.watch.gone(1, None, True, s.now), "it is down: asked twice, the answer is the same"
    t = Session(max_resumes=0)
    assert not t.watch.gone(None, 9, True, t.now)

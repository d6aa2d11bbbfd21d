"""The watch machine: what it does about standstills, refusals, crashes, checks and limits, and that it is bounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harnex.agents.common.resets import reset_at
from harnex.machines.turns import Closed
from harnex.model import events
from harnex.model.facts import State, ToolUse, TurnEnded
from harnex.times import iso_second as iso
from harnex.watch import actions as w
from harnex.watch.budget import GRACE_S, Bill, Used
from harnex.watch.news import Loops, Screen, retrying
from harnex.watch.policy import Policy, checked, choose, next_time
from harnex.watch.watch import Watch

WALL = 1_795_240_000.0


class Session:
    """A session as the watch sees it, moved by the test; `now` and the wall clock go together."""

    def __init__(self, **policy: Any) -> None:
        self.now = 1000.0
        self.policy = Policy(**({"stall_after": 60.0, "max_resumes": 1} | policy))
        self.watch = Watch(self.policy, self.now)
        self.sight = w.Sight(State.PROMPT, WALL)
        self.did: list[w.Action] = []
        self.turn = 0

    def step(self, seconds: float = 0.0) -> list[w.Action]:
        self.now += seconds
        self.sight = replace(self.sight, wall=self.sight.wall + seconds)
        out = self.watch.step(self.sight, self.now)
        self.did += out
        return out

    def opens(self) -> None:
        self.turn += 1
        self.sight = replace(self.sight, state=State.BUSY, turn=self.turn)
        self.watch.turn_opened(self.turn, f"m-{self.turn}", self.now)
        self.step()

    def closes(self, outcome: str = "completed", reason: str = "", retry_at: str | None = None) -> list[w.Action]:
        end = TurnEnded("test", outcome, "last words", reason, "what it said", retry_at)  # type: ignore[arg-type]
        self.sight = replace(self.sight, state=State.PROMPT, turn=None)
        self.watch.turn_closed(Closed(self.turn, None, 1.0, end), self.now)
        return self.step()

    def tool(self, status: str, name: str = "Bash", given: str = "ls", call_id: str = "c1") -> None:
        self.watch.tool(ToolUse(call_id, name, status, given), self.now)  # type: ignore[arg-type]
        self.step()

    def of(self, kind: type) -> list[Any]:
        return [a for a in self.did if isinstance(a, kind)]

    def told(self, kind: type) -> list[Any]:
        return [a.event for a in self.of(w.Tell) if isinstance(a.event, kind)]


# ---- clocks ----


def test_a_turn_without_progress_is_cut_nudged_and_then_given_up() -> None:
    s = Session()
    s.opens()
    assert s.step(59) == []
    assert s.watch.wake_at() == pytest.approx(s.now + 1)
    s.step(1)
    assert [e.kind for e in s.told(events.Stall)] == ["no_output"] and len(s.of(w.Interrupt)) == 1
    assert s.of(w.Say) == [], "it is said when the turn is over"
    s.closes("interrupted")
    (say,) = s.of(w.Say)
    assert (say.reason, say.interrupted, say.again) == ("no_output", True, "m-1")
    s.opens()
    s.step(61)
    (stop,) = s.of(w.Stop)
    assert (stop.reason, stop.exit_code) == ("failure", 4)
    assert s.told(events.Escalated)[0].stopped and len(s.of(w.Say)) == 1


def test_a_call_that_was_cut_off_answers_no_message() -> None:
    """An interrupted call is told as `partial`: what it was to answer is said again all the same."""
    s = Session()
    s.opens()
    s.step(60)
    s.watch.call(Bill(None, None, "m", cut=True), None, s.now)
    s.closes("interrupted")
    (say,) = s.of(w.Say)
    assert say.again == "m-1"


def test_what_only_moves_is_no_progress_and_says_so() -> None:
    s = Session()
    s.opens()
    for _ in range(60):
        s.watch.moved(s.now)
        s.step(1)
    (stall,) = s.told(events.Stall)
    assert stall.kind == "no_progress" and stall.evidence["silent_s"] <= 1 and stall.evidence["no_progress_s"] == 60


@pytest.mark.parametrize("sign", ["news", "call", "tool"])
def test_progress_starts_the_clock_again(sign: str) -> None:
    s = Session()
    s.opens()
    s.step(50)
    if sign == "news":
        s.watch.went_on("something new", s.now)
    elif sign == "call":
        s.watch.call(Bill(10, None, "m"), False, s.now)
    else:
        s.tool("started")
        s.tool("completed")
    s.step(50)
    assert s.told(events.Stall) == []
    s.step(10)
    assert len(s.told(events.Stall)) == 1


@pytest.mark.parametrize("why", ["tool", "retry"])
def test_a_running_tool_and_the_clis_own_retries_excuse_silence_but_not_for_ever(why: str) -> None:
    s = Session(patience=600.0)
    s.opens()
    if why == "tool":
        s.tool("started")
    else:
        s.sight = replace(s.sight, retrying="Reconnecting... 2/5")
    s.step(599)
    assert s.told(events.Stall) == []
    s.step(1)
    (stall,) = s.told(events.Stall)
    assert stall.evidence["tools"] if why == "tool" else stall.evidence["retrying"]


def test_the_last_retry_says_nothing_and_has_its_time() -> None:
    """Claude Code takes the line away while it tries: that is no standstill since the first failure."""
    s = Session(patience=600.0)
    s.opens()
    s.step(5)
    s.sight = replace(s.sight, retrying="Retrying in 30s · attempt 9/10")
    s.step(90)
    s.sight = replace(s.sight, retrying="")
    s.step()
    s.step(59)
    assert s.told(events.Stall) == []
    s.step(1)
    assert len(s.told(events.Stall)) == 1


def test_retries_that_come_and_go_are_no_excuse_for_ever() -> None:
    s = Session(patience=300.0)
    s.opens()
    for said in ["Retrying in 10s", ""] * 6:
        s.sight = replace(s.sight, retrying=said)
        s.step(24)
    assert s.told(events.Stall) == []
    s.step(13)
    assert len(s.told(events.Stall)) == 1


def test_a_tool_that_ended_excuses_nothing() -> None:
    s = Session()
    s.opens()
    s.tool("started")
    s.tool("completed")
    s.step(60)
    assert len(s.told(events.Stall)) == 1


def test_a_person_who_types_is_left_alone_but_a_look_resets_nothing() -> None:
    s = Session()
    s.opens()
    s.step(59)
    s.sight = replace(s.sight, person=s.now)
    s.step(30)
    assert s.told(events.Stall) == []
    s.step(30)
    assert len(s.told(events.Stall)) == 1


def test_a_turn_that_takes_too_long_ends_it() -> None:
    s = Session(turn_timeout=100.0, stall_after=None)
    s.opens()
    s.tool("started")
    s.step(100)
    assert (s.of(w.Stop)[0].reason, s.of(w.Stop)[0].exit_code) == ("timeout", 124)


def test_the_deadline_counts_by_the_wall_and_a_clock_that_jumps_is_seen_within_a_minute() -> None:
    s = Session(deadline=WALL + 3600)
    s.opens()
    s.tool("started")
    assert s.watch.wake_at() == pytest.approx(s.now + 60)
    s.sight = replace(s.sight, wall=WALL + 3600)  # the machine slept
    s.step()
    assert s.of(w.Stop)[0].exit_code == 124


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


# ---- how turns end ----


def test_a_good_end_is_done_and_stops_only_if_asked() -> None:
    s = Session()
    s.opens()
    s.closes()
    assert [e.phase for e in s.told(events.Watch)] == ["done"] and s.of(w.Stop) == []
    s.step(10000)
    assert s.told(events.Stall) == [], "who is done may be idle"
    t = Session(auto_stop=True)
    t.opens()
    t.closes()
    assert (t.of(w.Stop)[0].reason, t.of(w.Stop)[0].exit_code) == ("success", 0)


def test_messages_that_wait_come_before_the_end() -> None:
    s = Session(auto_stop=True)
    s.opens()
    s.sight = replace(s.sight, pending=1)
    s.closes()
    assert s.of(w.Stop) == []
    s.sight = replace(s.sight, pending=0)
    s.opens()
    s.closes()
    assert len(s.of(w.Stop)) == 1 and len(s.told(events.Watch)) == 1


def test_a_limit_is_waited_for_by_the_wall_clock() -> None:
    s = Session()
    s.opens()
    reset = WALL + 7200 - WALL % 60
    s.closes("failed", "usage_limit", iso(reset))
    (wait,) = s.told(events.LimitWait)
    assert (wait.source, wait.until) == ("agent", iso(reset + 60))
    assert s.watch.until == reset + 60 and s.watch.wake_at() == pytest.approx(s.now + 60)
    s.step(3600)
    assert s.of(w.Say) == []
    s.sight = replace(s.sight, wall=reset + 61)
    s.step(1)
    assert [a.reason for a in s.of(w.Say)] == ["usage_limit"] and s.watch.until is None


def test_a_cli_that_goes_on_by_itself_is_not_told_to() -> None:
    """Claude Code 2.1.329 continues at the reset."""
    s = Session()
    s.opens()
    s.closes("failed", "usage_limit", iso(WALL + 600))
    s.step(500)
    s.opens()
    s.step(59)
    assert s.of(w.Say) == [] and s.watch.phase == "watching"


def test_a_limit_that_is_still_there_is_asked_ever_more_seldom() -> None:
    s = Session(limit_slack=1.0)
    pauses = []
    for _ in range(6):
        s.opens()
        s.closes("failed", "usage_limit", iso(s.sight.wall))
        pauses.append(s.told(events.LimitWait)[-1].wait_s)
        s.step(1000)
    assert pauses == sorted(pauses) and pauses[-1] == 900


def test_a_reset_after_the_deadline_is_not_waited_for() -> None:
    s = Session(deadline=WALL + 600)
    s.opens()
    s.closes("failed", "usage_limit", iso(WALL + 7200))
    assert s.of(w.Stop)[0].exit_code == 124 and "after the deadline" in s.of(w.Stop)[0].message


def test_errors_that_pass_are_tried_again_ever_later_and_not_for_ever() -> None:
    s = Session(max_retries=3, retry_after=10.0)
    for _ in range(3):
        s.opens()
        s.closes("failed", "overloaded")
        s.step(100)
    assert [e.wait_s for e in s.told(events.LimitWait)] == [10.0, 20.0, 40.0] and len(s.of(w.Say)) == 3
    s.opens()
    s.closes("failed", "overloaded")
    assert (s.of(w.Stop)[0].reason, s.of(w.Stop)[0].exit_code) == ("failure", 1)


@pytest.mark.parametrize("reason", ["auth", "credit", "context", "refused"])
def test_what_only_a_person_mends_stops_at_once(reason: str) -> None:
    s = Session()
    s.opens()
    s.closes("failed", reason)
    assert s.told(events.Escalated)[0].reason == reason and s.of(w.Stop)[0].exit_code == 4
    assert [n.kind for n in s.of(w.Notify)] == ["person"]


def test_without_care_only_what_was_asked_for_is_done() -> None:
    s = Session(care=False, auto_stop=True)
    s.opens()
    s.step(10000)
    assert s.did == []
    s.closes("failed", "overloaded")
    assert s.of(w.Stop)[0].exit_code == 1
    assert not Session(care=False).watch.gone(1, None, True, 0.0)


# ---- checks ----


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


# ---- budgets ----


def test_a_budget_is_not_spent_by_the_last_call() -> None:
    s = Session(max_calls=1, auto_stop=True)
    s.opens()
    s.watch.call(Bill(10, None, "m"), True, s.now)
    s.step(5.0)  # the end is recorded late
    s.closes()
    assert s.of(w.Stop)[0].exit_code == 0


@pytest.mark.parametrize("sign", ["stop_reason", "tool", "time"])
def test_a_budget_ends_a_turn_that_goes_on(sign: str) -> None:
    s = Session(max_tokens=100)
    s.opens()
    s.watch.call(Bill(100, None, "m"), sign != "stop_reason", s.now)
    s.step()
    if sign == "tool":
        s.tool("started")
    elif sign == "time":
        s.step(GRACE_S - 0.1)
        assert s.of(w.Stop) == []
        s.step(0.1)
    assert s.of(w.Stop)[0].exit_code == 5 and s.told(events.Budget)[0].kind == "tokens"


@pytest.mark.parametrize("tool", [True, False])
def test_a_call_without_a_stop_reason_is_judged_by_the_tool_it_asked_for(tool: bool) -> None:
    """Codex names none, and records the tool before the call."""
    s = Session(max_tokens=200, auto_stop=True)
    s.opens()
    s.tool("started")
    s.watch.call(Bill(100, None, "m"), None, s.now)
    s.tool("completed")
    if tool:
        s.tool("started", call_id="c2")
    s.watch.call(Bill(100, None, "m"), None, s.now)
    s.step()
    assert [a.exit_code for a in s.of(w.Stop)] == ([5] if tool else [])
    if not tool:
        s.step(2.0)
        s.closes()
        assert s.of(w.Stop)[0].exit_code == 0


def test_no_message_is_sent_on_a_spent_budget() -> None:
    s = Session(max_turns=1, verify="make test")
    s.opens()
    s.closes()
    s.watch.checked(False, 1, 0.1, "")
    s.step()
    assert s.of(w.Say) == [] and s.of(w.Stop)[0].exit_code == 5
    t = Session(max_turns=1)
    t.opens()
    t.closes()
    t.opens()
    assert t.of(w.Stop)[0].exit_code == 5


def test_a_limit_that_cannot_be_kept_is_told() -> None:
    s = Session(max_cost=1.0)
    s.opens()
    s.watch.call(Bill(10, None, "unheard-of"), False, s.now)
    s.step()
    assert s.of(w.Stop)[0].exit_code == 4 and "unheard-of" in s.told(events.Escalated)[0].message


def test_a_call_of_unknown_size_can_be_part_of_no_budget_of_tokens() -> None:
    """Claude Code before 2.1: the provider tells the usage after the CLI has written its record."""
    for kind, code in (("max_tokens", 4), ("max_cost", 4), ("max_calls", None)):
        s = Session(**{kind: 1000})
        s.opens()
        s.watch.call(Bill(None, None, "m", least=700), False, s.now)
        s.step()
        assert [a.exit_code for a in s.of(w.Stop)] == ([code] if code else [])
        if code:
            (told,) = s.told(events.Escalated)
            assert (told.reason, told.stopped) == ("budget", True)
            assert "700 tokens" in told.message and f"--{kind.replace('_', '-')}" in told.message


def test_a_call_that_was_cut_off_counts_by_what_is_known_of_it() -> None:
    """A nudge, a crash or an interrupt cuts one off: that must not end the night."""
    s = Session(max_tokens=1000)
    s.opens()
    s.watch.call(Bill(400, None, "m", least=400), False, s.now)
    s.watch.call(Bill(None, 0.0, "m", least=500, cut=True), False, s.now)
    s.step()
    assert s.of(w.Stop) == []
    s.watch.call(Bill(200, None, "m", least=200), False, s.now)
    s.step()
    (told,) = s.told(events.Budget)
    assert (told.used, told.limit, told.cut, told.runs) == (1100, 1000, 1, 1) and s.of(w.Stop)[0].exit_code == 5


def test_a_budget_of_mostly_unknown_calls_is_none() -> None:
    s = Session(max_tokens=1000)
    s.opens()
    s.watch.call(Bill(10, None, "m", least=10), False, s.now)
    for _ in range(3):
        s.step()
        assert s.of(w.Stop) == []
        s.watch.call(Bill(None, 0.0, cut=True), False, s.now)
    s.step()
    assert s.of(w.Stop)[0].exit_code == 4 and "3 of 4 calls" in s.told(events.Escalated)[0].message


@pytest.mark.parametrize("limit", ["max_tokens", "max_calls", "max_cost"])
def test_calls_that_are_not_counted_end_a_run_that_limits_them(limit: str) -> None:
    s = Session(**{limit: 10_000})
    s.opens()
    s.sight = replace(s.sight, gap="no transcript is written")
    s.step()
    assert s.of(w.Stop)[0].exit_code == 4
    (told,) = s.told(events.Escalated)
    assert "no transcript is written" in told.message and f"--{limit.replace('_', '-')}" in told.message
    t = Session()
    t.opens()
    t.sight = replace(t.sight, gap="no transcript is written")
    t.step()
    assert t.of(w.Stop) == [], "who limits nothing is told by a diagnostic"


@pytest.mark.parametrize(("gap", "code"), [("nothing was recorded", 4), ("", 0)])
def test_a_task_is_complete_only_when_its_calls_are_known(gap: str, code: int) -> None:
    s = Session(max_calls=100, auto_stop=True)
    s.opens()
    s.sight = replace(s.sight, settling=True)
    assert s.closes() == [] and s.of(w.Stop) == []
    s.sight = replace(s.sight, settling=False, gap=gap)
    s.step(1.0)
    assert s.of(w.Stop)[0].exit_code == code


def test_turns_that_cannot_be_seen_cannot_be_limited() -> None:
    for limit in ({"max_turns": 3}, {"turn_timeout": 60.0}):
        s = Session(care=False, **limit)
        s.sight = replace(s.sight, state=State.UNKNOWN, unseen="nothing tells of its turns")
        s.step()
        assert s.of(w.Stop)[0].exit_code == 4


def chain(*bills: Bill, turns: int = 0, runs: int = 1, unknown: str = "", **policy: Any) -> Session:
    """A run that goes on with others, which used this."""
    s = Session(**policy)
    s.watch.budget.begin(Used(bills, turns, runs, unknown), 0, s.now)
    return s


def test_one_budget_holds_over_a_chain_of_runs() -> None:
    s = chain(Bill(1000, None, "m"), Bill(1500, None, "m"), turns=1, max_tokens=3000)
    s.sight = replace(s.sight, pending=1)
    assert s.step() == []
    s.sight = replace(s.sight, pending=0)
    s.opens()
    s.watch.call(Bill(600, None, "m"), False, s.now)
    s.step()
    (told,) = s.told(events.Budget)
    assert (told.kind, told.used, told.limit, told.runs) == ("tokens", 3100, 3000, 2)
    assert s.of(w.Stop)[0].exit_code == 5 and "over 2 runs" in s.of(w.Stop)[0].message


@pytest.mark.parametrize(
    ("bills", "turns", "policy"),
    [
        ((Bill(3000, None, "m"),), 0, {"max_tokens": 3000}),
        ((Bill(5, 0.6, "m"), Bill(5, 0.6, "m")), 0, {"max_cost": 1.0}),
        ((Bill(5, None, "m"), Bill(5, None, "m")), 0, {"max_calls": 2}),
        ((), 2, {"max_turns": 2}),
    ],
)
def test_a_run_that_goes_on_with_a_spent_budget_sends_nothing(bills: Any, turns: int, policy: dict[str, Any]) -> None:
    s = chain(*bills, turns=turns, **policy)
    s.step()
    assert s.of(w.Stop) == [], "it rests where the run before had rested"
    s.sight = replace(s.sight, pending=1)
    s.step()
    assert s.of(w.Stop)[0].exit_code == 5


def test_turns_are_counted_over_a_chain() -> None:
    s = chain(turns=1, max_turns=2)
    s.opens()
    s.closes()
    assert s.of(w.Stop) == []
    s.sight = replace(s.sight, pending=1)
    s.step()
    assert s.told(events.Budget)[0].used == 2 and s.of(w.Stop)[0].exit_code == 5


def test_a_chain_of_which_a_part_is_lost_is_no_base_for_a_budget() -> None:
    s = chain(unknown="the record of run X is gone", max_calls=5)
    s.step()
    assert s.of(w.Stop)[0].exit_code == 4 and "run X" in s.told(events.Escalated)[0].message
    t = chain(unknown="the record of run X is gone")
    t.step()
    assert t.of(w.Stop) == []


def test_a_watch_that_is_put_on_later_ends_nothing_by_itself() -> None:
    s = Session(max_tokens=100)
    s.watch.budget.begin(Used((Bill(500, None, "m"),)), 1, s.now)
    s.sight = replace(s.sight, turn=1, state=State.BUSY)
    s.step()
    assert s.of(w.Stop) == []
    s.watch.call(Bill(5, None, "m"), False, s.now)
    s.step()
    assert s.told(events.Budget)[0].used == 505


# ---- dialogs, loops, crashes ----


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


def test_who_only_wants_to_be_told_is_told() -> None:
    """`--notify-cmd` without a watch: nothing is done, and nothing is kept from people."""
    s = Session(care=False, notify_cmd="tell")
    s.opens()
    s.sight = replace(s.sight, state=State.BLOCKED, dialog="permission", options=("Yes", "No"))
    s.step()
    s.step(2)
    assert [n.kind for n in s.of(w.Notify)] == ["person"] and s.told(events.Escalated) == []
    s.sight = replace(s.sight, state=State.BUSY, dialog="")
    s.step()
    s.closes("failed", "usage_limit", iso(WALL + 600))
    s.opens()
    s.closes("failed", "auth")
    s.opens()
    s.closes()
    assert [n.kind for n in s.of(w.Notify)] == ["person", "limit", "person", "done"]
    assert s.of(w.Stop) == s.of(w.Say) == s.of(w.Answer) == []


def test_a_loop_is_told_once_then_stopped() -> None:
    s = Session()
    s.opens()
    for n in range(5):
        s.tool("started", call_id=f"a{n}")
        s.tool("completed", call_id=f"a{n}")
    assert s.told(events.Stall)[0].kind == "loop"
    s.closes("interrupted")
    assert s.of(w.Say)[0].reason == "loop"
    s.opens()
    for n in range(5):
        s.tool("started", call_id=f"b{n}")
    assert s.of(w.Stop)[0].exit_code == 4


def test_an_agent_that_was_told_to_exit_stays_gone() -> None:
    s = Session()
    assert not s.watch.gone(0, None, False, s.now)
    assert s.watch.gone(0, None, True, s.now), "in the middle of a turn it is a crash"
    assert s.watch.gone(1, None, True, s.now), "it is down: asked twice, the answer is the same"
    t = Session(max_resumes=0)
    assert not t.watch.gone(None, 9, True, t.now)


# ---- it is bounded, whatever happens ----


EVENT = st.sampled_from(
    [
        "wait",
        "long",
        "open",
        "done",
        "fail",
        "limit",
        "cut",
        "tool",
        "tool_end",
        "call",
        "block",
        "unblock",
        "crash",
        "ready",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENT, max_size=60), st.integers(0, 2), st.booleans())
def test_it_never_nudges_more_than_allowed_and_never_spins(steps: list[str], most: int, auto_stop: bool) -> None:
    s = Session(max_resumes=most, auto_stop=auto_stop, max_retries=2, verify="x", verify_max=1)
    since_good = 0
    for n, step in enumerate(steps):
        before = len(s.did)
        down = s.watch.phase == "down"
        if step in ("wait", "long"):
            s.step(1.0 if step == "wait" else 500.0)
        elif step == "open" and s.sight.turn is None and not down:
            s.opens()
        elif step in ("done", "fail", "limit", "cut") and s.sight.turn is not None:
            outcome, reason = {
                "done": ("completed", ""),
                "fail": ("failed", "overloaded"),
                "limit": ("failed", "usage_limit"),
                "cut": ("interrupted", ""),
            }[step]
            s.closes(outcome, reason)
            if step == "done":
                since_good = len(s.did)
        elif step in ("tool", "tool_end"):
            s.tool("started" if step == "tool" else "completed", given=str(n), call_id=f"t{n}")
        elif step == "call":
            s.watch.call(Bill(5, None, "m"), False, s.now)
            s.step()
        elif step == "block" and not down:
            s.sight = replace(s.sight, state=State.BLOCKED, dialog="question")
            s.step()
        elif step == "unblock" and s.sight.state is State.BLOCKED:
            s.sight = replace(s.sight, state=State.BUSY if s.sight.turn else State.PROMPT, dialog="")
            s.step()
        elif step == "crash" and s.watch.gone(None, 9, s.sight.turn is not None, s.now):
            s.sight = replace(s.sight, state=State.STARTING, turn=None)
            s.step()
        elif step == "ready":
            s.sight = replace(s.sight, state=State.PROMPT if s.sight.turn is None else State.BUSY, dialog="")
            s.step()
        for action in s.did[before:]:
            if isinstance(action, w.Check):
                s.watch.checked(False, 1, 0.1, "out")
            if isinstance(action, w.Revive):
                s.watch.restarted(False, s.now)
                s.sight = replace(s.sight, state=State.PROMPT, turn=None)
        s.step()
        wake = s.watch.wake_at()
        assert wake is None or wake > s.now
        stalls = [
            a for a in s.did[since_good:] if isinstance(a, w.Say) and a.reason in ("no_output", "no_progress", "idle")
        ]
        assert len(stalls) <= most
        assert len(s.of(w.Revive)) <= most
    assert len(s.of(w.Stop)) <= 1
    if s.watch.phase == "over":
        assert s.watch.wake_at() is None and s.step(1000) == []


@given(st.floats(0.5, 1000), st.integers(1, 50))
def test_asked_again_at_the_same_moment_it_does_nothing_again(after: float, times: int) -> None:
    s = Session(stall_after=after)
    s.opens()
    s.step(after + 0.001)
    did = len(s.did)
    for _ in range(times):
        assert s.step() == []
    assert len(s.did) == did


# ---- signs ----


def test_spinners_clocks_and_tips_are_no_news_and_tokens_are() -> None:
    screen = Screen()
    screen.look(("❯ do it", "● I look."))
    screen.turn()
    words = ("Computing", "Cooking", "Bunning", "Zigzagging")
    for n in range(40):
        frames = (
            f"{'·✢✳✶✻✽'[n % 6]} {words[n % 4]}… ({n}s · esc to interrupt)",
            f"{'⠋⠙⠹⠸'[n % 4]} Working ({n}s • esc to interrupt)",
            f"  ⎿  Tip: number {words[n % 4]} is good",
            f"✻ API error · Retrying in {n}s · attempt {n}/10",
            f"elapsed {n} s, {n * 7} %",
        )
        moved, new = screen.look(("❯ do it", "● I look.", *frames))
        assert moved and new is (n == 0), n
    assert screen.look(("✢ Computing… (3s · ↓ 12 tokens)",)) == (True, True)
    assert screen.look(("✳ Computing… (4s · ↓ 12 tokens)",)) == (True, False)
    assert screen.look(("✶ Computing… (5s · ↓ 30 tokens)",)) == (True, True)
    assert screen.look(("● And this is new.",)) == (True, True)


def test_a_redraw_for_somebody_who_looks_on_is_no_news() -> None:
    screen = Screen()
    screen.turn()
    assert screen.look(("a wider line than before",), news=False) == (False, False)
    assert screen.look(("a wider line than before", "")) == (True, False)


@pytest.mark.parametrize(
    "line",
    [
        "✻ API error · Retrying in 1s · attempt 1/10",
        "✻ 529 Overloaded · retrying in 3s · attempt 3/10",
        "     Retrying in 5 seconds… (attempt 4/10)",
        "• Reconnecting... 2/5 (3s • esc to interrupt)",
        "• Re-connecting... 1/5 (3s • esc to interrupt)",
        "• Reconnecting... waiting for network (63s • esc to interrupt)",
    ],
)
def test_the_clis_own_retries_are_seen(line: str) -> None:
    assert retrying(("❯ do it", line, "", "› Ask Codex to do anything"))
    assert not retrying(("● I am retrying the test now.", "› x"))


def use(tool: str, given: str, call_id: str, status: str = "started") -> ToolUse:
    return ToolUse(call_id, tool, status, given)  # type: ignore[arg-type]


def test_loops_of_one_two_and_three_calls_are_found_and_work_is_not() -> None:
    for period in (1, 2, 3):
        loops = Loops(4)
        found = [loops.tool(use("Bash", f"cmd {n % period}", f"c{n}")) for n in range(period * 4)]
        assert found[-1] is not None and found[:-1] == [None] * (period * 4 - 1)
    loops = Loops(4)
    for n in range(50):
        assert loops.tool(use("Edit", f"file {n}", f"e{n}")) is None
        assert loops.tool(use("Bash", "make test", f"b{n}")) is None
        assert loops.tool(use("Bash", "", f"b{n}", "failed" if n % 2 else "completed")) is None
    # Cut off, two inputs may differ behind what is seen.
    loops = Loops(3)
    assert [loops.tool(use("Edit", "x" * 200, f"x{n}")) for n in range(9)] == [None] * 9


def test_a_tool_that_always_fails_is_a_loop() -> None:
    loops = Loops(5)
    found = [loops.tool(use("Bash", "", f"f{n}", "failed")) for n in range(6)]
    assert found[-1] == {"tool": "Bash", "what": "the same tool fails", "times": 6} and found[:5] == [None] * 5


# ---- limits ----

BERLIN = ZoneInfo("Europe/Berlin")
SAID = datetime(2026, 11, 21, 12, 11, 30, tzinfo=UTC).timestamp()  # 13:11 in Berlin


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("You've hit your 5-hour limit · resets 2:41pm (Europe/Berlin)", (21, 13, 41)),
        ("You've hit your session limit · resets 1:41pm (UTC)", (21, 13, 41)),
        ("You've hit your limit · resets 3pm (Europe/Berlin)", (21, 14, 0)),
        ("You've hit your weekly limit · resets Nov 25, 3pm (Europe/Berlin)", (25, 14, 0)),
        ("You've hit your weekly limit · resets Nov 25, 3:30pm (America/New_York)", (25, 20, 30)),
        ("hit your usage limit. … or try again at 1:39 PM.", (21, 12, 39)),
        ("You’ve hit your usage limit. Try again at Nov 25th, 2026 3:45 PM.", (25, 14, 45)),
        ("try again at 9:05 AM.", (22, 8, 5)),
        ("resets 12am (UTC)", (22, 0, 0)),
        ("resets 1:11pm (Europe/Berlin)", (21, 12, 11)),
        ("You've hit your weekly limit · resets Mon 12am", (22, 23, 0)),  # the 21st is a Saturday
        ("resets Monday at 9:00 AM (UTC)", (23, 9, 0)),
        ("resets Sat, 3pm (Europe/Berlin)", (21, 14, 0)),
        ("resets Sat 12am (UTC)", (28, 0, 0)),
        ("resets Mon, Nov 23, 9:00am (UTC)", (23, 9, 0)),
        ("resets tomorrow at 7am (UTC)", (22, 7, 0)),
        ("You've hit your 5-hour limit · resets Nov 26, 9:13pm (Asia/Kolkata)", (26, 15, 43)),
        ("or try again at Nov 26th, 2026 9:00 AM.", (26, 8, 0)),
    ],
)
def test_resets_are_read(text: str, at: tuple[int, int, int]) -> None:
    found = reset_at(text, SAID, BERLIN)
    assert found is not None
    there = datetime.fromtimestamp(found, UTC)
    assert (there.day, there.hour, there.minute, there.second) == (*at, 0)


def test_resets_in_a_span_and_as_a_number() -> None:
    assert reset_at("try again in 3 days 2 hours", SAID) == SAID + 3 * 86400 + 7200
    assert reset_at("Try again in 1 day, 3 hours and 20 minutes.", SAID) == SAID + 86400 + 3 * 3600 + 1200
    assert reset_at("Rate limited. Try again in 20s", SAID) == SAID + 20
    assert reset_at("Claude AI usage limit reached|1760000400", SAID) == 1760000400.0
    for text in ("please try again later", "resets", "try again at 25:00 PM", "", "resets 13pm (Nowhere/Land)"):
        assert reset_at(text, SAID, BERLIN) is None, text


def test_a_year_that_is_not_said_is_the_next_one_in_december() -> None:
    said = datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp()
    assert reset_at("resets Jan 2, 3pm (UTC)", said) == datetime(2027, 1, 2, 15, tzinfo=UTC).timestamp()


@given(st.text(max_size=80))
def test_no_words_make_it_fail(text: str) -> None:
    reset_at(f"resets {text}", SAID)
    reset_at(text, SAID)


# ---- policy ----


def test_presets_their_overrides_and_those_of_the_files() -> None:
    assert Policy.load(choose("impl", [])) == Policy(preset="impl", stall_after=480.0, max_resumes=1)
    assert (choose("plan", [])["stall_after"], choose("plan", [])["max_resumes"]) == (180.0, 2)
    assert (choose("gate", [])["stall_after"], choose("gate", [])["max_resumes"]) == (900.0, 0)
    own = [("u", {"gate": {"stall-after": "20m"}}), ("r", {"mine": {"verify": "make"}, "gate": {"max_resumes": 3}})]
    assert choose("gate", own) == {"preset": "gate", "stall_after": 1200.0, "max_resumes": 3}
    assert choose("mine", own)["stall_after"] == 480.0


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"stall_after": "soon"}, "stall_after: 'soon' is not a duration"),
        ({"stall_after": True}, "stall_after: True is not a number"),
        ({"stall_after": 0}, "stall_after: 0 is too little"),
        ({"max_resumes": -1}, "max_resumes: -1 is not a whole number"),
        ({"max_resumes": 1.5}, "max_resumes: 1.5 is not a whole number"),
        ({"verify": ""}, "verify: '' is not a text"),
        ({"auto_stop": "yes"}, "auto_stop: 'yes' is not true or false"),
        ({"stal_after": "8m"}, "stal_after: unknown key"),
        ({"stall-after": 9, "stall_after": 9}, "it is there twice"),
        ({"max_cost": 0}, "max_cost: 0 is not an amount"),
    ],
)
def test_a_wrong_preset_is_named_with_its_file_and_key(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked(keys)
    with pytest.raises(ValueError) as e:
        choose("impl", [("/r/.harnex.toml", {"mine": keys})])
    assert str(e.value).startswith("/r/.harnex.toml: [presets.mine] ") and words in str(e.value)
    with pytest.raises(ValueError, match="there is no preset 'nope'; presets: impl, plan, gate"):
        choose("nope", [])


def test_a_dump_comes_back() -> None:
    policy = Policy(stall_after=5.0, notify_urls=("a", "b"), deadline=12.5, care=False)
    assert Policy.load(policy.dump()) == policy
    assert Policy.load({**policy.dump(), "of_the_future": 1}) == policy


@pytest.mark.parametrize(
    ("text", "now", "then"),
    [
        ("07:00", "2026-11-21T23:00", "2026-11-22T07:00"),
        ("7:30", "2026-11-21T05:00", "2026-11-21T07:30"),
        ("07:00", "2026-11-21T07:00", "2026-11-22T07:00"),
        ("07:00", "2026-10-24T23:00", "2026-10-25T07:00"),  # an hour longer: the clocks go back
        ("2026-11-23T07:00:00+01:00", "2026-11-21T05:00", "2026-11-23T07:00"),
    ],
)
def test_deadlines(text: str, now: str, then: str) -> None:
    at = next_time(text, datetime.fromisoformat(now).replace(tzinfo=BERLIN))
    assert at == datetime.fromisoformat(then).replace(tzinfo=BERLIN)
    for bad in ("25:00", "soon", "7", "07:60"):
        with pytest.raises(ValueError, match=r"."):
            next_time(bad, datetime.now(UTC))

"""supervisor/senders.py: who sent a message hears what became of it, and nobody wakes the loop for nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from harnex import clock
from harnex.machines.ending import End
from harnex.machines.status import Situation, Status
from harnex.machines.turns import Closed, Turns
from harnex.machines.waiting import Standing
from harnex.model.facts import State, TurnEnded
from harnex.supervisor.senders import NO_TURN_S, Senders


class Bench:
    """Senders with one message on its way."""

    def __init__(self, until: str = "idle") -> None:
        self.replies: list[dict[str, Any]] = []
        self.messages: list[Any] = []
        delivery: Any = SimpleNamespace(force_says="", take=lambda message, **how: self.messages.append(message))
        spec: Any = SimpleNamespace(id="x", run_id="r", headless=False, names=lambda: {"id": "x", "run_id": "r"})
        self.situation = Situation(Status(""), Turns(), End())
        self.senders = Senders(spec, self.situation, delivery, self.standing, list)
        self.peer: Any = SimpleNamespace(reply=self.replies.append, on_closed=None)
        self.senders.send(self.peer, {"text": "hello", "until": until})
        (self.message,) = self.messages

    def standing(self, state: State = State.PROMPT) -> Standing:
        return Standing(state, "", 0, False, None)

    def taken(self) -> None:
        self.message.status = "accepted"
        self.senders.moved(self.message, True)

    def closes(self) -> None:
        self.senders.turn_closed(Closed(1, self.message.id, 0.1, TurnEnded("hooks", "completed", "Hello.")))


def test_a_turn_that_was_over_before_its_message_was_proven_is_the_answer() -> None:
    bench = Bench()
    bench.closes()
    bench.senders.tick(bench.standing(), clock.monotonic())
    assert bench.replies == []  # nothing proves yet that the agent took it
    bench.taken()
    bench.senders.tick(bench.standing(), clock.monotonic())
    (reply,) = bench.replies
    assert (reply["ok"], reply["outcome"], reply["last_message"]) == (True, "completed", "Hello.")


def test_a_long_turn_wakes_nobody() -> None:
    bench = Bench()
    bench.taken()
    now = clock.monotonic()
    (due,) = bench.senders.deadlines(now)
    assert now < due <= now + NO_TURN_S
    assert bench.senders.deadlines(due + 0.01) == []


def test_the_end_of_the_session_s_time_is_a_timeout_for_who_waits() -> None:
    bench = Bench("done")
    bench.situation.end.reason = "timeout"
    bench.message.status, bench.message.error = "failed", "the session ends: its time is up"
    bench.senders.moved(bench.message, True)
    assert [reply["exit_code"] for reply in bench.replies] == [124]

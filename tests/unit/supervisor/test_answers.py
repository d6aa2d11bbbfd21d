"""Answers at work (supervisor/answers.py): what is answered without a person, and what is handed in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from harnex import clock
from harnex.agents.contract import Reader
from harnex.machines.activity import Verdict
from harnex.model.facts import Observation, ScreenView, State
from harnex.supervisor.answers import Answers, Wanted


class Fake:
    """An agent that shows one menu after the other: Enter goes on to the next."""

    def __init__(self, *menus: tuple[str, tuple[str, ...]], trust: bool = False) -> None:
        spec: Any = SimpleNamespace(id="x", trust=trust, permissions="ask")
        self.menus, self.at, self.pressed = list(menus), 0, b""
        self.activity = SimpleNamespace(on_screen=lambda: Observation("screen", self.verdict.state, "shown"))
        self.told: list[Any] = []
        self.asks = [""] * len(menus)
        self.reader = Reader()
        journal: Any = SimpleNamespace(diagnose=self.told.append, emit=self.emit)
        self.answers = Answers(spec, journal, lambda: self, self)  # type: ignore[arg-type, return-value]

    since = ""

    @property
    def verdict(self) -> Verdict:
        if not self.menus:
            return Verdict(State.PROMPT)
        dialog, options = self.menus[0]
        return Verdict(State.BLOCKED, dialog=dialog, options=options, asks=self.asks[-len(self.menus)])

    @property
    def terminal(self) -> Any:
        lines = [f"{'❯' if n == self.at else ' '} {n + 1}. {o}" for n, o in enumerate(self.verdict.options)]
        return SimpleNamespace(view=ScreenView(tuple(lines)))

    def type(self, keys: bytes) -> None:
        self.pressed += keys
        if keys == b"\x1b[B":
            self.at += 1
        elif keys == b"\r":
            self.menus.pop(0)
            self.at = 0

    def emit(self, event: Any) -> None:
        self.told.append((event.answer, event.by))

    def run(self) -> None:
        now = clock.monotonic()
        for n in range(60):
            self.answers.step(now + n * 0.05)


def test_an_offer_of_another_model_is_declined() -> None:
    session = Fake(("update", ("Try new model", "Use existing model")))
    assert session.answers.in_hand
    session.run()
    assert session.told == [("Use existing model", "harnex")]
    assert session.verdict.state is State.PROMPT


def test_an_update_is_for_a_person() -> None:
    session = Fake(("update", ("Update now", "Skip")))
    assert not session.answers.in_hand
    session.run()
    assert session.pressed == b""


def test_trust_is_in_hand_only_if_it_was_given() -> None:
    options = ("Yes, I trust this folder", "No, exit")
    assert not Fake(("trust", options)).answers.in_hand
    session = Fake(("trust", options), trust=True)
    assert session.answers.in_hand
    session.run()
    assert session.told == [("Yes, I trust this folder", "--trust")]


def test_a_review_of_the_answers_is_handed_in() -> None:
    """2.0.30 of Claude Code shows them once more."""
    session = Fake(("question", ("Red", "Blue")), ("question", ("Submit answers", "Cancel")))
    session.answers.begin(Wanted("approve", 2, by="me"), "question")
    session.run()
    assert session.told == [("Blue", "me")]
    assert session.menus == []


def test_a_second_question_is_for_the_person_again() -> None:
    session = Fake(("question", ("Red", "Blue")), ("question", ("Big", "Small")))
    session.answers.begin(Wanted("approve", 1, by="me"), "question")
    session.run()
    assert session.told == [("Red", "me")]
    assert len(session.menus) == 1


def test_a_question_with_the_same_answers_is_another_one() -> None:
    """Two questions in one call (Codex, Claude Code): the first is answered, the second is not pressed upon."""
    session = Fake(("question", ("Red", "Blue")), ("question", ("Red", "Blue")))
    session.asks = ["Question12Which", "Question22What"]
    session.answers.begin(Wanted("approve", 2, by="me"), "question")
    session.run()
    assert session.told == [("Blue", "me")]
    assert len(session.menus) == 1


def test_a_dialog_that_asks_something_else_is_not_answered() -> None:
    session = Fake(("permission", ("Yes", "No")))
    session.asks = ["run`ls`"]
    session.answers.begin(Wanted("approve", 2, by="me"), "permission")
    now = clock.monotonic()
    session.answers.step(now)
    session.asks = ["run`rm`"]
    session.answers.step(now + 0.3)
    session.run()
    assert b"\r" not in session.pressed
    assert "another dialog" in session.told[0]


def test_another_dialog_that_is_half_painted_is_no_review() -> None:
    """A second dialog whose options are not painted yet: the first one was answered, and nothing is pressed."""
    session = Fake(("permission", ("Yes", "No")), ("permission", ()))
    session.asks = ["run`ls`", "run`rm`"]
    session.answers.begin(Wanted("approve", by="me"), "permission")
    session.run()
    assert session.told == [("Yes", "me")]
    assert len(session.menus) == 1

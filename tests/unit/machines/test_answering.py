"""Answering dialogs (machines/answering.py), on a small model of a menu and on the recorded screens of the real CLIs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.catalogue import adapter_for
from harnex.launch.versions import parse
from harnex.machines.answering import DOWN, ENTER, ESC, SETTLE_S, TAB, UP, Answering, selected, target_of
from harnex.model.facts import Observation, ScreenView, State

LONG_AGO = -9.0  # painted
CORPUS = Path(__file__).parents[2] / "corpus"


class Menu:
    """A dialog as the CLIs draw it."""

    def __init__(self, options: tuple[str, ...], at: int, numbered: bool) -> None:
        self.options, self.at, self.numbered = options, at, numbered
        self.pressed = b""

    def view(self) -> ScreenView:
        lines = [" Do you want to proceed?"]
        for n, words in enumerate(self.options):
            number = f"{n + 1}. " if self.numbered else ""
            lines.append(f" {'❯' if n == self.at else ' '} {number}{words}")
        return ScreenView((*lines, "", " Esc to cancel"))

    def press(self, keys: bytes) -> None:
        self.pressed += keys
        if keys == DOWN:
            self.at = min(self.at + 1, len(self.options) - 1)
        elif keys == UP:
            self.at = max(self.at - 1, 0)


OPTIONS = ("Yes", "Yes, and don't ask again for: touch *", "No, and tell Claude what to do differently (esc)")


@given(st.integers(0, 2), st.integers(0, 2), st.booleans(), st.integers(0, 3))
def test_the_selection_is_moved_there_and_entered_once(at: int, target: int, numbered: bool, lag: int) -> None:
    menu = Menu(OPTIONS, at, numbered)
    answer = Answering("approve", "permission", target + 1, None, "me", 0.0)
    now, screens = 0.0, [menu.view()] * (lag + 1)
    while answer.pressed_at is None and not answer.failed:
        now += 0.05
        keys = answer.step(screens[0], "permission", OPTIONS, LONG_AGO, now)
        if keys:
            menu.press(keys)
        screens = [*screens[1:], menu.view()]  # the screen lags behind the keys
    assert not answer.failed
    assert menu.at == target
    assert menu.pressed.endswith(ENTER)
    assert menu.pressed.count(ENTER) == 1


def play(menu: Menu, answer: Answering, lag: float, reset_at: float) -> None:
    """The menu goes round at its ends; its screen comes `lag` s late; it goes back to its first option at `reset_at`."""
    now, screens = 0.0, [(-9.0, menu.view())]
    while answer.pressed_at is None and not answer.failed:
        now = round(now + 0.05, 2)
        if now == reset_at:
            menu.at = 0
        seen = [view for at, view in screens if at <= now - lag][-1]
        keys = answer.step(seen, "trust", menu.options, 0.0, now)
        if keys in (UP, DOWN):
            menu.at = (menu.at + (1 if keys == DOWN else -1)) % len(menu.options)
        screens.append((now, menu.view()))


@pytest.mark.parametrize("reset_at", [0.1, 0.15, 0.2, 0.3, 0.4])
def test_a_menu_that_goes_back_soon_after_it_was_painted(reset_at: float) -> None:
    """Claude Code 2.1.250 to 2.1.330: an Enter for `Yes` in that moment said no."""
    menu = Menu(("No, exit", "Yes, I trust this folder"), 0, False)
    answer = Answering("approve", "trust", None, None, "--trust", 0.0)
    play(menu, answer, 0.1, reset_at)
    assert (answer.failed, menu.at) == ("", 1)


@pytest.mark.parametrize("lag", [0.0, 0.5, 0.9, 1.1, 1.4])
def test_a_key_that_shows_late_does_not_move_the_answer_on(lag: float) -> None:
    menu = Menu(("No, exit", "Yes, I trust this folder"), 0, False)
    answer = Answering("approve", "trust", None, None, "--trust", 0.0)
    play(menu, answer, lag, -1.0)
    assert answer.failed or menu.at == 1


def test_another_dialog_is_not_answered() -> None:
    answer = Answering("approve", "permission", None, None, "me", 0.0)
    assert answer.step(Menu(OPTIONS, 1, True).view(), "permission", OPTIONS, LONG_AGO, 0.05) == UP
    other = Menu(("No, exit", "Yes, I accept"), 0, True)
    assert answer.step(other.view(), "bypass-warning", other.options, LONG_AGO, 0.1) == b""
    assert answer.failed


def test_nothing_is_pressed_before_the_dialog_is_painted() -> None:
    answer = Answering("deny", "permission", None, None, "me", 0.0)
    assert answer.step(ScreenView(("",)), "permission", (), None, 0.5) == b""
    menu = Menu(OPTIONS, 2, True)
    assert answer.step(menu.view(), "permission", OPTIONS, LONG_AGO, 0.6) == b""
    assert answer.step(menu.view(), "permission", OPTIONS, LONG_AGO, 0.6 + SETTLE_S) == ENTER


def test_enter_is_pressed_again_only_on_the_very_same_screen() -> None:
    for changed, expected in ((False, ENTER), (True, b"")):
        answer = Answering("approve", "other", None, None, "me", 0.0)
        view = ScreenView(("Press Enter to continue",))
        assert answer.step(view, "other", (), LONG_AGO, 0.1) == b""
        assert answer.step(view, "other", (), LONG_AGO, 0.3) == ENTER
        assert answer.step(view, "other", (), LONG_AGO, 0.5) == b""
        later = ScreenView(("Press Enter to continue", "!")) if changed else view
        assert answer.step(later, "other", (), LONG_AGO, 2.0) == expected


@pytest.mark.parametrize(
    ("verb", "options", "option", "text", "target"),
    [
        ("approve", OPTIONS, None, None, 0),
        ("deny", OPTIONS, None, None, 2),
        ("approve", ("No, exit", "Yes, I trust this folder"), None, None, 1),
        ("deny", ("No, exit", "Yes, I trust this folder"), None, None, 0),
        ("approve", ("Red", "Blue", "Type something."), None, None, 0),
        ("approve", ("Red", "Blue", "Type something."), 2, None, 1),
        ("approve", ("Red", "Blue", "Type something."), None, "green", 2),
        ("deny", ("Red", "Blue"), None, None, None),
        ("approve", (), None, None, None),
    ],
)
def test_which_option_a_verb_means(verb: str, options: tuple[str, ...], option: int, text: str, target: int) -> None:
    assert target_of(verb, options, option, text) == target  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "text"), [(0, None), (4, None), (None, "words")])
def test_what_the_dialog_does_not_have_is_an_error(option: int | None, text: str | None) -> None:
    with pytest.raises(ValueError, match="Yes"):
        target_of("approve", OPTIONS, option, text)


def blocked_cases() -> list[Path]:
    return sorted(
        p.parent
        for p in CORPUS.glob("*/*/*/case.json")
        if json.loads(p.read_text())["state"] == "blocked" and (p.parent / "screen.txt").exists()
    )


@pytest.mark.parametrize("case", blocked_cases(), ids=lambda p: "/".join(p.parts[-3:]))
def test_the_selection_is_found_on_the_recorded_dialogs(case: Path) -> None:
    about = json.loads((case / "case.json").read_text())
    cli, version = case.parts[-3], case.parts[-2]
    view = ScreenView(
        tuple(line.rstrip() for line in (case / "screen.txt").read_text().split("\n")),
        cursor_hidden=True,
        columns=about.get("columns", 120),
        title=about.get("title") or "",
    )
    facts = adapter_for(cli).reader(parse(version)).screen(view)
    seen = [f for f in facts if isinstance(f, Observation) and f.state is State.BLOCKED]
    assert seen, "the dialog is not recognised"
    if seen[0].options:
        assert selected(view, seen[0].options) is not None, seen[0].options
    assert ESC not in seen[0].reason.encode()


def test_enter_waits_for_the_words_to_show() -> None:
    """2.1.80 takes Enter ahead of them for a refusal to answer; the option's label becomes the text."""
    before, after = ("Red", "Type something.", "Chat about this"), ("Red", "Mauve, please", "Chat about this")
    answer = Answering("approve", "question", None, "Mauve, please", "me", 0.0)
    menu = Menu(before, 1, True)
    assert answer.step(menu.view(), "question", before, LONG_AGO, 0.1) == b""
    typed = answer.step(menu.view(), "question", before, LONG_AGO, 0.3)
    assert b"Mauve" in typed
    assert answer.step(menu.view(), "question", before, LONG_AGO, 0.9) == b""  # not shown yet
    shown = Menu(after, 1, True)
    assert answer.step(shown.view(), "question", after, LONG_AGO, 1.0) == b""
    assert answer.step(shown.view(), "question", after, LONG_AGO, 1.0 + SETTLE_S) == ENTER
    assert (answer.failed, answer.options) == ("", after)


def test_a_typed_text_changes_one_option_only() -> None:
    before, other = ("Red", "Type something."), ("Blue", "Mauve")
    answer = Answering("approve", "question", None, "Mauve", "me", 0.0)
    menu = Menu(before, 1, True)
    answer.step(menu.view(), "question", before, LONG_AGO, 0.1)
    assert answer.step(menu.view(), "question", before, LONG_AGO, 0.3)
    assert answer.step(Menu(other, 1, True).view(), "question", other, LONG_AGO, 0.5) == b""
    assert answer.failed


def test_own_words_for_a_question_of_codex_go_into_its_notes() -> None:
    """0.104 to 0.169: Tab opens a line for notes; words in it that look like an answer are none."""
    options = ("Red", "Blue", "None of the above")
    answer = Answering("approve", "question", None, "Red herring", "me", 0.0)
    at, notes, pressed, now = 0, None, [], 0.0
    while answer.pressed_at is None and not answer.failed and now < 8:
        now += 0.05
        lines = [f"  {'›' if n == at else ' '} {n + 1}. {words}" for n, words in enumerate(options)]
        hint = "tab to add notes | enter to submit answer" if notes is None else "tab or esc to clear notes | enter"
        line = () if notes is None else (f"  › {notes or 'Add notes'}",)
        keys = answer.step(ScreenView((*lines, *line, hint)), "question", options, LONG_AGO, now)
        if keys == DOWN:
            at += 1
        elif keys == TAB:
            notes = ""
        elif keys.startswith(b"\x1b[200~"):
            notes = keys[6:-6].decode()
        pressed += [keys] if keys else []
    assert not answer.failed
    assert (at, notes) == (2, "Red herring")
    assert [k for k in pressed if not k.startswith(b"\x1b[200~")] == [DOWN, DOWN, TAB, ENTER]

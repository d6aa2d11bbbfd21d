"""Answering a dialog: the selection is moved to the wanted option step by step, each step seen, then Enter.

Pure. Keys that answer at once (digits) differ between versions and dialogs; arrows and Enter do not, and
the `❯` on the screen tells where the selection is. Nothing is pressed for a dialog that is not the one meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from harnex.agents.common.message_text import bracketed
from harnex.model.facts import ScreenView

UP, DOWN, ENTER, ESC, TAB = b"\x1b[A", b"\x1b[B", b"\r", b"\x1b", b"\t"
# Claude Code 2.1.250 to 2.1.330 puts the selection of a new trust dialog back to `No, exit` 0.12 to 0.19 s after it was
# painted, whatever was pressed by then: an Enter that falls into that moment says no.
FRESH_S = 0.6
# For a key to show on the screen (measured: 0.1 s at most), before it is pressed again; twice as long each time, and as
# long before Enter then: the first may have come late, and moves the selection on.
STEP_S = 1.0
SETTLE_S = 0.15  # between the selection being right, or a text being typed, and Enter
ECHO_S = 1.5  # for a typed text to show; not every dialog shows it
GIVE_UP_S = 12.0
AGAIN_S = 0.8  # after this long an Enter that changed nothing at all on the screen is pressed again
PRESSES_MAX = 3
GONE_S = 4.0  # for the dialog to go away after Enter
MOVES_MAX = 40

_MARKED = re.compile(r"^[\s│|]*[❯›>▶→]\s*(?:\d+[.)]\s+)?(?P<text>\S.*)$")
_YES = re.compile(r"(yes|allow|approve|accept|trust|continue|proceed|ok\b|use this)", re.IGNORECASE)
_NO = re.compile(r"(no\b|don't|do not|deny|reject|cancel|quit|exit|decline|keep planning)", re.IGNORECASE)
# Codex 0.104 to 0.169 take own words as notes to an answer: Tab opens a line for them below the answers.
_NOTES = re.compile(r"\btab to add notes\b", re.IGNORECASE)
_IN_NOTES = re.compile(r"\bto clear notes\b", re.IGNORECASE)

Verb = Literal["approve", "deny"]


def selected(view: ScreenView, options: tuple[str, ...]) -> int | None:
    """Which option carries the selection mark, read from the screen's end; None if none does."""
    for line in reversed(view.lines):
        marked = _MARKED.match(line)
        if marked is None:
            continue
        text = marked["text"].strip()
        # "Yes" also begins "Yes, and don't ask again": the option that agrees longest is meant.
        fits = [
            (text == option, min(len(text), len(option)), -index)
            for index, option in enumerate(options)
            if option and (text.startswith(option) or option.startswith(text))
        ]
        if fits:
            return -max(fits)[2]
    return None


def target_of(verb: Verb, options: tuple[str, ...], option: int | None, text: str | None) -> int | None:
    """The index of the option that the verb means; None: Esc. Raises ValueError, in words, if there is none."""
    if option is not None:
        if not 1 <= option <= len(options):
            raise ValueError(f"there is no option {option}: " + (describe(options) or "the dialog shows none"))
        return option - 1
    if text is not None:
        for index, words in enumerate(options):
            if re.match(r"(type|other|tell|enter|none of the above)\b", words, re.IGNORECASE):
                return index
        raise ValueError("this dialog takes no text: " + describe(options))
    if verb == "deny":
        return next((i for i in reversed(range(len(options))) if _NO.match(options[i])), None)
    if not options:
        return None
    yes = next((i for i, words in enumerate(options) if _YES.match(words)), None)
    if yes is not None:
        return yes
    if _NO.match(options[0]):
        raise ValueError("it is not clear which option approves: " + describe(options))
    return 0


def describe(options: tuple[str, ...]) -> str:
    """`1 Yes · 2 No`."""
    return " · ".join(f"{n} {words}" for n, words in enumerate(options, 1))


@dataclass(slots=True)
class Answering:
    """One answer on its way. `step` gives the keys to press now; `failed` says why it was given up."""

    verb: Verb
    dialog: str
    option: int | None
    text: str | None
    by: str
    begun: float
    gone_s: float = GONE_S
    options: tuple[str, ...] = ()  # as they were on the screen when the target was chosen
    asks: str = ""  # what it asks, once it is painted
    target: int | None = None  # None: Esc for a denial, Enter alone for a dialog without options
    failed: str = ""
    pressed_at: float | None = None  # when the answer itself (Enter, Esc) was pressed last
    _chosen: bool = False
    _moves: int = 0
    _presses: int = 0
    _from: int | None = None
    _at: float = field(default=-1e9)
    _step_s: float = STEP_S
    _settle_s: float = SETTLE_S
    _typed: bool = False
    _echoed: bool = False  # the text was seen
    _noting: bool = False  # the line for notes was asked for
    _key: bytes = b""
    _screen: tuple[str, ...] = ()

    def step(
        self, view: ScreenView, dialog: str, options: tuple[str, ...], painted_at: float | None, now: float
    ) -> bytes:
        """What to press, given the dialog that is up now. `painted_at`: since when the screen shows it; None: it does not."""
        if self.failed:
            return b""
        if self.pressed_at is not None:
            return self._again(view, now)
        if painted_at is None:
            # Claude Code 2.1.329 paints a dialog half a second after it declared it.
            if now > self.begun + GIVE_UP_S:
                self.failed = "the screen does not show it"
            return b""
        if not self._chosen:
            if now < painted_at + FRESH_S:
                return b""
            try:
                self.target = target_of(self.verb, options, self.option, self.text)
            except ValueError as e:
                self.failed = str(e)
                return b""
            self._chosen, self.options, self._at = True, options, now
        shown_in_place = dialog == self.dialog and self._typed and self._is_typed_into(options)
        if shown_in_place and options != self.options:  # the words are shown in place of `Type something.`
            self.options, self._echoed, self._at = options, True, now
        if dialog != self.dialog or options != self.options:
            self.failed = "another dialog came up"
            return b""
        if now > self.begun + GIVE_UP_S or self._moves > MOVES_MAX:
            self.failed = "its selection could not be moved"
            return b""
        if self.target is None:
            return self._press(ESC if self.verb == "deny" else ENTER, view, now)
        if self._noting:
            return self._note(view, now)
        here = selected(view, options)
        if here is None:
            return b""
        if here != self.target:
            if here == self._from:
                if now < self._at + self._step_s:
                    return b""  # the last key does not show yet
                self._step_s *= 2
                self._settle_s = self._step_s
            self._from, self._at = here, now
            self._moves += 1
            return DOWN if here < self.target else UP
        if now < self._at + self._settle_s:
            return b""
        if self.text is not None and not self._typed and any(_NOTES.search(line) for line in view.lines):
            self._noting, self._at = True, now
            return TAB
        if self.text is not None and not self._typed:
            self._typed, self._at = True, now
            return bracketed(self.text)
        if self._typed and not self._echoed and now < self._at + ECHO_S:
            return b""  # Enter ahead of the words would decline to answer (2.1.80)
        return self._press(ENTER, view, now)

    def _note(self, view: ScreenView, now: float) -> bytes:
        """The words go into the line for notes, once it is there; they may look like an option."""
        assert self.text is not None
        if not self._typed:
            if not any(_IN_NOTES.search(line) for line in view.lines):
                return b""
            self._typed, self._at, self._screen = True, now, view.lines
            return bracketed(self.text)
        if view.lines == self._screen and now < self._at + ECHO_S:
            return b""
        return self._press(ENTER, view, now)

    def _is_typed_into(self, options: tuple[str, ...]) -> bool:
        """Are these the same options, but for the one that the text goes into?"""
        same = [n for n, words in enumerate(options) if n < len(self.options) and words == self.options[n]]
        return len(options) == len(self.options) and {*range(len(options))} - {*same} <= {self.target}

    def _press(self, key: bytes, view: ScreenView, now: float) -> bytes:
        if now < self._at + SETTLE_S:
            return b""
        self.pressed_at, self._key, self._screen = now, key, view.lines
        self._presses += 1
        return key

    def _again(self, view: ScreenView, now: float) -> bytes:
        """Some dialogs take no key for a moment after they were painted. Only for the very same screen: another
        dialog may look alike, and was not seen."""
        assert self.pressed_at is not None
        if now < self.pressed_at + AGAIN_S or self._presses >= PRESSES_MAX or view.lines != self._screen:
            return b""
        return self._press(self._key, view, now)

    def wake_at(self, now: float) -> float:
        return now + 0.05

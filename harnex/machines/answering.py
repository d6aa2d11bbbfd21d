"""Answers a dialog: moves the selection to the wanted option, one seen step at a time, then presses
Enter.

Pure. Keys that answer at once (digits) differ between versions and dialogs; arrows and Enter do
not. The `❯` on the screen shows where the selection is. No key is pressed when another dialog is up
than the one to be answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from harnex.agents.common.message_text import bracketed
from harnex.model.facts import ScreenView

UP, DOWN, ENTER, ESC, TAB = b"\x1b[A", b"\x1b[B", b"\r", b"\x1b", b"\t"
# Wait this long, in seconds, before pressing a key in a new dialog. Claude Code moves the selection
# of a new trust dialog back to `No, exit` 0.12 to 0.19 s after painting it, whatever was pressed
# before: an Enter in that moment would answer no (2.1.250 to 2.1.330).
FRESH_S = 0.6
# A key has this many seconds to show on the screen before it is pressed again (0.1 s at most,
# measured). Each repeat doubles the time, and Enter then waits as long: the first key may have come
# late, and would move the selection on.
STEP_S = 1.0
SETTLE_S = 0.15  # Seconds from the selection being right, or a text being typed, to Enter.
ECHO_S = 1.5  # Seconds for a typed text to show; not every dialog shows the text.
GIVE_UP_S = 12.0
# Press Enter again if the screen has not changed at all this many seconds after the first.
AGAIN_S = 0.8
PRESSES_MAX = 3
GONE_S = 4.0  # Seconds for the dialog to go away after Enter.
MOVES_MAX = 40

_MARKED = re.compile(r"^[\s│|]*[❯›>▶→]\s*(?:\d+[.)]\s+)?(?P<text>\S.*)$")
_YES = re.compile(r"(yes|allow|approve|accept|trust|continue|proceed|ok\b|use this)", re.IGNORECASE)
_NO = re.compile(r"(no\b|don't|do not|deny|reject|cancel|quit|exit|decline|keep planning)", re.IGNORECASE)
# In Codex 0.104 to 0.169 a person's own words are notes to an answer: Tab opens a line for notes
# below the answers.
_NOTES = re.compile(r"\btab to add notes\b", re.IGNORECASE)
_IN_NOTES = re.compile(r"\bto clear notes\b", re.IGNORECASE)

Verb = Literal["approve", "deny"]


def selected(view: ScreenView, options: tuple[str, ...]) -> int | None:
    """The index of the option that carries the selection mark; None if no option does.

    The screen is searched from its last line up.
    """
    for line in reversed(view.lines):
        marked = _MARKED.match(line)
        if marked is None:
            continue
        text = marked["text"].strip()
        # "Yes" is also the beginning of "Yes, and don't ask again": the option with the longest
        # agreement wins.
        fits = [
            (text == option, min(len(text), len(option)), -index)
            for index, option in enumerate(options)
            if option and (text.startswith(option) or option.startswith(text))
        ]
        if fits:
            return -max(fits)[2]
    return None


def target_of(verb: Verb, options: tuple[str, ...], option: int | None, text: str | None) -> int | None:
    """The index of the option that the verb means; None stands for Esc.

    `option` counts from 1 and `text` is what a person typed; both may be None. Raises ValueError,
    with words for a person, if no option fits.
    """
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
    """The options as a person reads them: `1 Yes · 2 No`."""
    return " · ".join(f"{n} {words}" for n, words in enumerate(options, 1))


@dataclass(slots=True)
class Answering:
    """One reply to a dialog, on its way.

    `step` returns the keys to press now; `failed` says why harnex gave up. `begun` is monotonic
    seconds; `by` names who replies; `gone_s` is how long the dialog may stay after Enter. `step`
    takes `painted_at` (monotonic seconds): since when the screen shows the dialog; None while the
    screen does not show it.
    """

    verb: Verb
    dialog: str
    option: int | None
    text: str | None
    by: str
    begun: float
    gone_s: float = GONE_S
    options: tuple[str, ...] = ()  # the options on the screen when the target was chosen
    asks: str = ""  # what the dialog asks, once painted
    # None means Esc for a denial, and Enter alone for a dialog without options.
    target: int | None = None
    failed: str = ""
    pressed_at: float | None = None  # when the deciding key (Enter, Esc) was last pressed
    _chosen: bool = False
    _moves: int = 0
    _presses: int = 0
    _from: int | None = None
    _at: float = field(default=-1e9)
    _step_s: float = STEP_S
    _settle_s: float = SETTLE_S
    _typed: bool = False
    _echoed: bool = False  # the text was seen on the screen
    _noting: bool = False  # Tab was pressed to open the line for notes
    _key: bytes = b""
    _screen: tuple[str, ...] = ()

    def step(
        self, view: ScreenView, dialog: str, options: tuple[str, ...], painted_at: float | None, now: float
    ) -> bytes:
        """Return the keys to press now (b"" for none), for the dialog that is up; see the class."""
        if self.failed:
            return b""
        if self.pressed_at is not None:
            return self._again(view, now)
        if painted_at is None:  # Claude Code 2.1.329 paints half a second after declaring a dialog
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
        if shown_in_place and options != self.options:  # the words replaced `Type something.`
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
                    return b""  # the screen does not show the last key yet
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
            return b""  # An Enter before the words have arrived would decline to answer (2.1.80).
        return self._press(ENTER, view, now)

    def _note(self, view: ScreenView, now: float) -> bytes:
        """Type the words into the line for notes once that line is open, then press Enter.

        The words may look like an option on the screen.
        """
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
        """Whether only the option that takes the text has changed."""
        same = [n for n, words in enumerate(options) if n < len(self.options) and words == self.options[n]]
        return len(options) == len(self.options) and {*range(len(options))} - {*same} <= {self.target}

    def _press(self, key: bytes, view: ScreenView, now: float) -> bytes:
        if now < self._at + SETTLE_S:
            return b""
        self.pressed_at, self._key, self._screen = now, key, view.lines
        self._presses += 1
        return key

    def _again(self, view: ScreenView, now: float) -> bytes:
        """Press the same key again: some dialogs take no key for a moment after being painted.

        The key is repeated only while the screen is exactly the same. Another dialog may look
        alike, and harnex has not seen that dialog.
        """
        assert self.pressed_at is not None
        if now < self.pressed_at + AGAIN_S or self._presses >= PRESSES_MAX or view.lines != self._screen:
            return b""
        return self._press(self._key, view, now)

    def wake_at(self, now: float) -> float:
        """When to call `step` again (monotonic seconds)."""
        return now + 0.05

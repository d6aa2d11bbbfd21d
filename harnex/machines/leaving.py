"""Leaves what a person opened over the agent's prompt and left open: shell mode, a search, a view
to read in.

Pure. One step is pressed at a time, and the screen must show its effect before the next step: keys
that close one view may mean something else in the input box behind that view. A view that stays
after a few presses is left to a person.
"""

from __future__ import annotations

from dataclasses import dataclass

from harnex.machines.inbox import PERSON_S
from harnex.model.facts import OpenView

# A person who is attached may be reading: the view is left after this many seconds without a key.
LOOKER_S = 30.0
STEP_S = 1.5  # Seconds for a key to show on the screen (measured: 0.3 s on an idle machine).
PRESSES_MAX = 6  # presses; a draft of several modes takes three
# Seconds for a view that goes by itself, as a suspended agent does once it was told to continue.
PASS_S = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides whether a view may be left now. Times are monotonic seconds."""

    pending: bool  # a message waits to be typed
    attached: bool  # a person's terminal shows the session
    person_typed: float  # when a person last pressed a key


class Leaving:
    """The machine; one per session. `step` returns the keys to press now (b"" for none)."""

    def __init__(self) -> None:
        self._view: OpenView | None = None
        self._opened = 0.0
        self._pressed_at: float | None = None
        self._presses = 0
        self._left = ""

    def see(self, view: OpenView | None, now: float) -> None:
        """Take what the screen shows: the open view, or None."""
        if view == self._view:
            return
        if view is None and self._presses and self._view is not None:
            self._left = self._view.name
        if view is None or self._view is None:
            self._opened, self._presses = now, 0
        self._view, self._pressed_at = view, None

    def left(self) -> str:
        """The name of a view that harnex has just left, returned once; otherwise ""."""
        name, self._left = self._left, ""
        return name

    @property
    def gave_up(self) -> bool:
        """Whether the open view did not close: a person is needed."""
        return self._view is not None and self._presses >= PRESSES_MAX

    def will_leave(self, around: Surroundings) -> bool:
        """Whether harnex will leave the open view without a person, sooner or later."""
        view = self._view
        if view is None or not view.leave or self.gave_up:
            return False
        return around.pending or not view.holds_text

    def passes(self, now: float) -> bool:
        """Whether the open view will go by itself in a moment."""
        return self._view is not None and self._view.passes and now < self._opened + PASS_S

    def step(self, around: Surroundings, now: float) -> bytes:
        """Return the keys to press now (b"" for none)."""
        if not self.will_leave(around) or now < self._due(around):
            return b""
        assert self._view is not None
        self._pressed_at = now
        self._presses += 1
        return self._view.leave

    def wake_at(self, around: Surroundings) -> float | None:
        """When `step` may have keys to press (monotonic seconds); None if never."""
        return self._due(around) if self.will_leave(around) else None

    def _due(self, around: Surroundings) -> float:
        if self._presses:
            shown = self._opened if self._pressed_at is None else self._pressed_at + STEP_S
            return max(shown, around.person_typed + PERSON_S)
        patience = LOOKER_S if around.attached and not around.pending else PERSON_S
        return max(self._opened + STEP_S, around.person_typed + patience)

"""When the provider refuses: what passes and is waited for, what comes back at a named time, what only people mend. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harnex import times
from harnex.machines.turns import Closed
from harnex.model import events
from harnex.watch.actions import Say
from harnex.watch.policy import Policy

BACKOFF_MAX_S = 900.0
UNKNOWN_RESET_S = 900.0  # a usage limit that names no time is tried again after this
REFUSED = {
    "auth": "the login or the key is not accepted",
    "credit": "the credit is used up",
    "context": "the conversation is too long for the model",
    "refused": "the provider refuses the request",
}


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody but a person can mend it."""

    reason: str
    message: str
    evidence: dict[str, Any]


@dataclass(slots=True)
class Provider:
    """How often it refused since a turn ended well, and what is waited for: `until` epoch seconds, `why` in a word."""

    policy: Policy
    retries: int = 0
    limits: int = 0
    until: float | None = None
    why: str = field(default="")

    def well(self) -> None:
        """A turn ended well."""
        self.retries = self.limits = 0

    def over(self) -> None:
        """Nothing is waited for any more."""
        self.until, self.why = None, ""

    def refused(self, closed: Closed, wall: float) -> events.LimitWait | Lost | str:
        """A turn failed: a wait that begins now, what a person must mend, or why it is given up."""
        reason, words = closed.end.reason or "other", told(closed)
        if reason in REFUSED:
            return Lost(reason, f"{REFUSED[reason]}: {words}", {"turn": closed.turn, "message": words})
        if reason == "usage_limit":
            until, source = self._reset(closed, wall)
            return self._wait(reason, until, source, self.limits, words, wall)
        policy = self.policy
        self.retries += 1
        if self.retries > policy.max_retries:
            return f"turn {closed.turn} failed ({reason}) after {policy.max_retries} retries: {words}"
        pause = min(policy.retry_after * 2 ** (self.retries - 1), BACKOFF_MAX_S)
        until = max(wall + pause, times.seconds(closed.end.retry_at) or 0.0)
        return self._wait(reason, until, "backoff", self.retries, words, wall)

    def _reset(self, closed: Closed, wall: float) -> tuple[float, str]:
        self.limits += 1
        until = times.seconds(closed.end.retry_at)
        source = "agent" if until is not None else "backoff"
        if until is None:
            until = wall + UNKNOWN_RESET_S
        elif until % 60 == 0:
            until += self.policy.limit_slack
        if self.limits > 1:  # the time has come, and the limit is still there
            until = max(until, wall + min(30.0 * 2**self.limits, BACKOFF_MAX_S))
        return max(until, wall), source

    def _wait(self, reason: str, until: float, source: str, attempt: int, words: str, wall: float) -> events.LimitWait:
        self.until, self.why = until, reason
        return events.LimitWait(
            reason=reason,
            until=times.iso_second(until),
            source=source,
            attempt=attempt,
            wait_s=round(until - wall, 1),
            message=words,
        )

    def go_on(self) -> Say:
        """What is said when the time has come."""
        limit = self.why == "usage_limit"
        what = "The usage limit is over" if limit else f"The provider could not answer ({self.why}); that may be over"
        text = f"{what}. Please go on with the task until it is done."
        count, most = (self.limits, self.limits) if limit else (self.retries, self.policy.max_retries)
        return Say(self.why, text, count, most)


def told(closed: Closed) -> str:
    """The first line of what the agent said about a failed turn."""
    said = (closed.end.detail or closed.end.last_message).strip().splitlines()
    return said[0][:300] if said else ""

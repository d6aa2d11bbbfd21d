"""What to do when the provider refuses. Pure.

Some refusals pass and are waited for, some end at a named time, and some only a person can mend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harnex import times
from harnex.machines.turns import Closed
from harnex.model import events
from harnex.watch.actions import Say
from harnex.watch.policy import Policy

BACKOFF_MAX_S = 900.0
UNKNOWN_RESET_S = 900.0  # Seconds until another try after a usage limit that names no time.
REFUSED = {
    "auth": "the login or the key is not accepted",
    "credit": "the credit is used up",
    "context": "the conversation is too long for the model",
    "refused": "the provider refuses the request",
}


@dataclass(frozen=True, slots=True)
class Lost:
    """A refusal that only a person can mend."""

    reason: str
    message: str
    evidence: dict[str, Any]


@dataclass(slots=True)
class Provider:
    """How often the provider has refused since a turn ended well, and what is waited for.

    `until` is epoch seconds, `why` the reason in a word; `until` is None while nothing is waited
    for.
    """

    policy: Policy
    retries: int = 0
    limits: int = 0
    until: float | None = None
    why: str = field(default="")

    def well(self) -> None:
        """Note that a turn ended well."""
        self.retries = self.limits = 0

    def over(self) -> None:
        """Stop waiting."""
        self.until, self.why = None, ""

    def refused(self, closed: Closed, wall: float) -> events.LimitWait | Lost | str:
        """Take a failed turn. `wall` is epoch seconds.

        Returns the wait that begins now (`LimitWait`), what only a person can mend (`Lost`), or why
        harnex gives up (text).
        """
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
        if self.limits > 1:  # the named time has passed, and the limit still holds
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
        """The message to send when the wait is over."""
        limit = self.why == "usage_limit"
        what = "The usage limit is over" if limit else f"The provider could not answer ({self.why}); that may be over"
        text = f"{what}. Please go on with the task until it is done."
        count, most = (self.limits, self.limits) if limit else (self.retries, self.policy.max_retries)
        return Say(self.why, text, count, most)


def told(closed: Closed) -> str:
    """The first line of what the agent said about a failed turn, cut to 300 characters."""
    said = (closed.end.detail or closed.end.last_message).strip().splitlines()
    return said[0][:300] if said else ""

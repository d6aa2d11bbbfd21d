"""When a watched agent stands still: when the clocks run out, and the evidence. Pure."""

from __future__ import annotations

from typing import Any

from harnex.model import events
from harnex.watch.actions import Sight
from harnex.watch.news import Clocks
from harnex.watch.policy import Policy

PERSON_S = 60.0  # A person who typed within this many seconds is left alone.


def turn_due(policy: Policy, clocks: Clocks, sight: Sight) -> float | None:
    """When the open turn will have stood still for too long (monotonic seconds); None if the policy
    sets no limit.

    A running tool and the CLI's own retries explain the silence. They excuse it, but not for ever.
    Between two retries, and during the last retry, the screen does not say that the CLI retries.
    """
    after = policy.stall_after
    if after is None:
        return None
    since = max(clocks.progress, clocks.turn_since)
    at_most = since + max(after, policy.patience)
    if clocks.tools or sight.retrying:
        return at_most
    return min(max(since, clocks.retried) + after, at_most)


def person_there(sight: Sight, now: float) -> bool:
    """Whether a person typed within the last PERSON_S."""
    return now < sight.person + PERSON_S


def left_alone(at: float | None, sight: Sight, now: float) -> float | None:
    """The time at which to look at a clock that may have run out.

    A clock that ran out while a person types is looked at once the person has stopped.
    """
    if at is None or at > now:
        return at
    return max(at, sight.person + PERSON_S)


def kind_of(policy: Policy, clocks: Clocks, now: float) -> str:
    """The kind of a stall.

    `no_output`: not even the screen moves. `no_progress`: the screen moves, and nothing new comes.
    """
    silent = now - max(clocks.output, clocks.turn_since)
    return "no_output" if silent >= (policy.stall_after or 0.0) else "no_progress"


def stall(kind: str, after: float | None, sight: Sight, clocks: Clocks, now: float) -> events.Stall:
    """The `stall` event with its evidence."""
    evidence: dict[str, Any] = {
        "state": sight.state.value,
        "says": sight.reason,
        "silent_s": round(now - clocks.output, 1),
        "no_progress_s": round(now - clocks.progress, 1),
        "turn_s": round(now - clocks.turn_since, 1) if sight.turn is not None else None,
        "last_progress": clocks.what,
        "tools": [f"{name} for {now - since:.0f} s" for name, since in clocks.tools.values()],
        "retrying": sight.retrying or None,
    }
    return events.Stall(kind=kind, turn=sight.turn, after_s=after, evidence=evidence)

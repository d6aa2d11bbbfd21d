"""What a CLI's own total proves of calls that do not tell their own output. Pure.

A total is of exactly some calls if its input, cached and written tokens are the sums of theirs: those each call tells from
its start. Then what it holds beside the calls whose output is known was put out by the others: by one of them, and its
number is proven; by several, and only their sum is (`facts.Rest`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harnex.model.facts import ModelCall, Rest

FIELDS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
GIVEN = FIELDS[:3]  # what a call is given: known from its start
Sums = dict[str, int]


def is_of(total: Mapping[str, int], calls: Iterable[ModelCall]) -> bool:
    """Whether a total is of exactly these calls."""
    sums = dict.fromkeys(GIVEN, 0)
    for call in calls:
        if call.input_tokens is None:
            return False
        for name in GIVEN:
            sums[name] += getattr(call, name) or 0
    return bool(total.get("input_tokens")) and all(total.get(name, 0) == sums[name] for name in GIVEN)


def rest_of(total: Mapping[str, int], known: Sequence[ModelCall], unknown: Sequence[ModelCall]) -> Rest | None:
    """What the calls of unknown output put out together; None: the total proves nothing of it."""
    if not unknown or "output_tokens" not in total or not is_of(total, (*known, *unknown)):
        return None
    rest = {}
    for name in FIELDS[3:]:
        values = [getattr(call, name) for call in known]
        if name in total and None not in values:
            rest[name] = total[name] - sum(values)
    if rest.get("output_tokens", 0) <= 0 or min(rest.values()) < 0:
        return None
    models, agents = {call.model for call in unknown}, {call.agent for call in unknown}
    return Rest(
        tuple(call.call_id for call in unknown),
        model=models.pop() if len(models) == 1 else None,
        agent=agents.pop() if len(agents) == 1 else "several",
        output_tokens=rest["output_tokens"],
        reasoning_tokens=rest.get("reasoning_tokens"),
        total_tokens=rest["output_tokens"] + sum(call.input_tokens or 0 for call in unknown),
    )


def filled(call: ModelCall, rest: Rest) -> ModelCall:
    """The one call that a rest is of, with its numbers."""
    return replace(
        call,
        output_tokens=rest.output_tokens,
        reasoning_tokens=rest.reasoning_tokens,
        total_tokens=rest.total_tokens,
        source="cumulative",
        partial=False,
    )

"""What a run used so far: each model call once, summed by turn and in all.

None is unknown, never 0.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from harnex.model.events import PREVIEW_LIMIT, Call, UsageRest
from harnex.model.facts import ModelCall, Rest
from harnex.model.records import Tokens
from harnex.usage.sums import Sums, unknown_calls


class Totals:
    """Adds calls up. A call id that was seen before is not a new call."""

    def __init__(self) -> None:
        self._seen: dict[str, int | None] = {}  # call id -> turn
        self._sum = Sums()
        self._turns: dict[int | None, Sums] = {}

    def add(self, call: ModelCall, turn: int | None) -> Call | None:
        """Return the event of a new call; None if the call was counted already."""
        if call.call_id in self._seen:
            return None
        self._seen[call.call_id] = turn
        values = dataclasses.asdict(call)
        if values["total_tokens"] is None and call.input_tokens is not None and call.output_tokens is not None:
            values["total_tokens"] = call.input_tokens + call.output_tokens
        values["text_preview"] = call.text_preview[:PREVIEW_LIMIT]
        self._sum.take(values)
        self._turns.setdefault(turn, Sums()).take(values)
        return Call(turn=turn, **values)

    def rest(self, rest: Rest) -> UsageRest:
        """Add what calls used together that were added without their output. Returns the event."""
        turns = {self._seen.get(call_id) for call_id in rest.call_ids}
        turn = turns.pop() if len(turns) == 1 else None
        values = dataclasses.asdict(rest)
        self._sum.take(values)
        if turn is not None:
            self._turns.setdefault(turn, Sums()).take(values)
        return UsageRest(turn=turn, **values)

    @property
    def calls(self) -> int | None:
        return len(self._seen) or None

    @property
    def tokens(self) -> int | None:
        """The known tokens; `unknown` counts the calls that are missing here."""
        total: int | None = self._sum.used()["total_tokens"]
        return total

    @property
    def unknown(self) -> int:
        """The number of calls whose tokens are unknown."""
        return unknown_calls(self._sum.used())

    def sums(self) -> Tokens | None:
        """Return the totals by kind, None if no call was seen."""
        return self._sum.totals() if self._seen else None

    def of_turn(self, turn: int) -> dict[str, Any] | None:
        return self._turns[turn].used() if turn in self._turns else None

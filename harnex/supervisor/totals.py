"""What a run used so far: each model call once, summed by turn and in all. None is unknown, never 0."""

from __future__ import annotations

import dataclasses

from harnex.events import PREVIEW_LIMIT, Call
from harnex.model import ModelCall

FIELDS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
)


class Totals:
    """Adds calls up; a call id that was seen before is not a new call."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._sum: dict[str, int | None] = dict.fromkeys(FIELDS)
        self._turns: dict[int | None, dict[str, int | None]] = {}

    def add(self, call: ModelCall, turn: int | None) -> Call | None:
        """The event of a new call; None if it was counted already."""
        if call.call_id in self._seen:
            return None
        self._seen.add(call.call_id)
        values = dataclasses.asdict(call)
        if values["total_tokens"] is None and call.input_tokens is not None and call.output_tokens is not None:
            values["total_tokens"] = call.input_tokens + call.output_tokens
        values["text_preview"] = call.text_preview[:PREVIEW_LIMIT]
        of_turn = self._turns.setdefault(turn, {"calls": 0, **dict.fromkeys(FIELDS)})
        of_turn["calls"] = (of_turn["calls"] or 0) + 1
        for sums in (self._sum, of_turn):
            for name in FIELDS:
                if values[name] is not None:
                    sums[name] = (sums[name] or 0) + values[name]
        return Call(turn=turn, **values)

    @property
    def calls(self) -> int | None:
        return len(self._seen) or None

    @property
    def tokens(self) -> int | None:
        return self._sum["total_tokens"]

    def sums(self) -> dict[str, int | None] | None:
        """Totals by kind, None if no call was seen."""
        return dict(self._sum) if self._seen else None

    def of_turn(self, turn: int) -> dict[str, int | None] | None:
        return self._turns.get(turn)

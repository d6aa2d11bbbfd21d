"""Claude Code's own totals by model, and the calls that were seen held against them. Pure.

`modelUsage` is in the `result` of a headless run and, from 2.1.250 on (not 2.1.197), in the `cost-state` row that ends
an interactive session's transcript: all conversations of the process, side calls and compactions, too; of an answer that was
interrupted the input (2.1.329), or nothing (2.1.250). A resumed session begins with the totals of the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harnex.adapters._ledger import FIELDS, Sums, difference
from harnex.model import ModelCall

NAMES = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens")


def by_model(usage: object) -> dict[str, Sums]:
    """What a `modelUsage` says, in harnex's fields; {} if it is none."""
    totals = {}
    for model, used in usage.items() if isinstance(usage, dict) else ():
        if isinstance(used, dict):
            fresh, read, written, out = (used[k] if isinstance(used.get(k), int) else 0 for k in NAMES)
            totals[plain(str(model))] = {
                "input_tokens": fresh + read + written,
                "cache_read_tokens": read,
                "cache_write_tokens": written,
                "output_tokens": out,
            }
    return totals


def plain(model: str) -> str:
    """`modelUsage` names a model with its context window: `claude-opus-4-8[1m]`."""
    return re.sub(r"\[\w+\]$", "", model)


class Seen:
    """The calls that were told, summed by model."""

    def __init__(self) -> None:
        self._whole: dict[str, Sums] = {}
        self._cut: dict[str, Sums] = {}  # of calls that were cut off: what is known of them
        self._unknown: dict[str, set[str]] = {}  # what a call of that model does not tell

    def add(self, call: ModelCall) -> None:
        model = plain(call.model or "")
        sums = (self._cut if call.partial else self._whole).setdefault(model, {})
        for name in FIELDS:
            value = getattr(call, name)
            if value is not None:
                sums[name] = sums.get(name, 0) + value
            elif name != "reasoning_tokens":
                self._unknown.setdefault(model, set()).add(name)

    def differences(self, totals: Mapping[str, Sums]) -> Iterator[str]:
        """Words for each model of which the totals say something else. Of a call that was cut off they may hold what is
        known of it, or nothing."""
        for model, theirs in totals.items():
            whole, cut = self._whole.get(model, {}), self._cut.get(model, {})
            unknown = self._unknown.get(model, set())
            both = {k: whole.get(k, 0) + cut.get(k, 0) for k in {*whole, *cut} - unknown}
            if not whole and not cut:
                if any(theirs.values()):
                    yield (
                        f"{model}: no call is recorded, against input {theirs['input_tokens']}, "
                        f"output {theirs['output_tokens']} (side calls, for titles and the like)"
                    )
            elif (found := difference(both, theirs)) and (not cut or difference(whole, theirs)):
                if cut and any(both[name] > theirs.get(name, 0) for name in both):
                    found = difference(whole, theirs)  # they leave it out: 2.1.250 does, 2.1.329 does not
                yield f"{model}: {found}"

    def models(self) -> set[str]:
        return {*self._whole, *self._cut}

"""Claude Code's own totals by model, and the calls that were seen held against them. Pure.

`modelUsage` is in the `result` of a headless run. Of an interactive session it is in the `cost-state` row that ends the
transcript from 2.1.250 on (not 2.1.197), and, from 2.0.77 on (not 2.0.30), in `.claude.json` as the `lastModelUsage` of
the project, which is written when the program ends. It holds all conversations of the process, side calls and compactions,
too; of an answer that was interrupted the input (2.1.329), or nothing (2.1.250). A resumed session begins with the totals
of the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harnex.agents.common.ledger import difference
from harnex.agents.common.remainder import FIELDS, Sums, rest_of
from harnex.model.facts import ModelCall, Rest

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


def last_totals(config: Mapping[str, Any] | None, session: str) -> dict[str, Sums]:
    """What `.claude.json` says of this session, which was the last one of its project to end; {}: nothing."""
    projects = (config or {}).get("projects")
    for project in projects.values() if isinstance(projects, dict) else ():
        if isinstance(project, dict) and session and project.get("lastSessionId") == session:
            return by_model(project.get("lastModelUsage"))
    return {}


def plain(model: str) -> str:
    """`modelUsage` names a model with its context window: `claude-opus-4-8[1m]`."""
    return re.sub(r"\[\w+\]$", "", model)


class Seen:
    """The calls that were told, summed by model."""

    def __init__(self) -> None:
        self._whole: dict[str, Sums] = {}
        self._cut: dict[str, Sums] = {}  # of calls that were cut off: what is known of them
        self._unknown: dict[str, set[str]] = {}  # what a call of that model does not tell
        self._open: dict[str, list[ModelCall]] = {}  # calls that do not tell their output

    def add(self, call: ModelCall) -> None:
        model = plain(call.model or "")
        sums = (self._cut if call.partial else self._whole).setdefault(model, {})
        if call.output_tokens is None:
            self._open.setdefault(model, []).append(replace(call, raw=None, text_preview=""))
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

    def rests(self, totals: Mapping[str, Sums]) -> Iterator[Rest]:
        """What calls put out that do not tell it, as far as the totals prove it; of models with a call that was cut off
        they prove nothing."""
        for model, theirs in totals.items():
            unknown, known = self._open.get(model, []), self._whole.get(model, {})
            if not unknown or model in self._cut or any(call.stop_reason is not None for call in unknown):
                continue  # one that ended, and does not tell its output, is not in the totals either
            # The calls of known output, as one: `_whole` has the input of the others as well.
            given = {name: known.get(name, 0) - sum(getattr(c, name) or 0 for c in unknown) for name in FIELDS[:3]}
            others = ModelCall("", **given, output_tokens=known.get("output_tokens", 0))  # type: ignore[arg-type]
            rest = rest_of(theirs, [others], unknown)
            if rest is not None:
                yield rest

    def models(self) -> set[str]:
        return {*self._whole, *self._cut}

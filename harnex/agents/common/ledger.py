"""A headless run's model calls, out of more than one record of them: each once, with final numbers (DESIGN section 8).

The stream of a CLI and its own log (transcript, rollout) tell of the same calls, at different times and with different
gaps. Whichever has a call's final numbers first is told; what never became final is told at the end without them.
Totals that the CLI gives are held against the sum: they fill in what they prove (`common/remainder.py`), or show a difference. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from harnex.agents.common.remainder import FIELDS, Sums, filled, rest_of
from harnex.model.facts import ModelCall, Rest


@dataclass(slots=True)
class Ledger:
    """`take` every word about a call; `close` when the process is gone."""

    attempts: dict[str, int] = field(default_factory=dict)  # call id -> how often it was tried, where the CLI told
    told: dict[str, ModelCall] = field(default_factory=dict)  # since the last `start`
    _before: set[str] = field(default_factory=set)
    _open: dict[str, ModelCall] = field(default_factory=dict)  # without final numbers, in the order of their start
    _rests: list[Rest] = field(default_factory=list)  # sums of calls that are open

    def start(self) -> None:
        """Another process: its calls are counted apart, but none that was told is told again."""
        self._before |= set(self.told)
        self.told = {}

    def take(self, call: ModelCall) -> Iterator[ModelCall]:
        """One record's word about a call: it is told when its numbers are final."""
        if call.call_id in self.told or call.call_id in self._before:
            return
        if call.output_tokens is None or call.partial:
            old = self._open.get(call.call_id)
            self._open[call.call_id] = call if old is None else _merged(old, call)
            return
        old = self._open.pop(call.call_id, None)
        if old is not None and not call.text_preview:
            call = replace(call, text_preview=old.text_preview)
        yield self._tell(call)

    def _tell(self, call: ModelCall) -> ModelCall:
        call = replace(call, attempts=self.attempts.get(call.call_id, call.attempts))
        self.told[call.call_id] = call
        return call

    def sums(self, agent: str | None = None) -> Sums:
        """What was told, of one agent or of all. A kind of token of which no call says anything is left out."""
        out: Sums = {}
        for call in self.told.values():
            if agent is None or call.agent == agent:
                for name in FIELDS:
                    value = getattr(call, name)
                    if value is not None:
                        out[name] = out.get(name, 0) + value
        return out

    def fill(self, total: Mapping[str, int], name: str, model: str | None, sure: bool = True) -> Iterator[ModelCall]:
        """With no call of the main conversation known, its total is one call, called `name`. `sure`: the total is of this
        process alone."""
        every = (*self.told.values(), *self._open.values())
        if any(total.values()) and not any(call.agent == "main" for call in every):
            numbers = {key: total.get(key) for key in FIELDS}
            whole = total.get("input_tokens", 0) + total.get("output_tokens", 0)
            call = ModelCall(name, model, **numbers, total_tokens=whole, source="cumulative", partial=not sure)  # type: ignore[arg-type]
            yield self._tell(call)

    def settle(self, total: Mapping[str, int], of: Callable[[ModelCall], bool]) -> Iterator[ModelCall]:
        """What a total proves of the calls that it is `of` and that are open: of those that were cut off, nothing."""
        known = [call for call in self.told.values() if of(call)]
        unknown = [call for call in self._open.values() if of(call)]
        shared = {call_id for rest in self._rests for call_id in rest.call_ids}
        if any(call.partial or call.call_id in shared for call in (*known, *unknown)):
            return
        if any(call.stop_reason is not None for call in unknown):
            return  # it ended, and its usage was never told: the CLI does not know it either
        rest = rest_of(total, known, unknown)
        if rest is not None and len(unknown) == 1:
            del self._open[unknown[0].call_id]
            yield self._tell(filled(unknown[0], rest))
        elif rest is not None:
            self._rests.append(rest)

    def close(self, cut: bool) -> Iterator[ModelCall | Rest]:
        """The process is gone: what was begun and has no final numbers. `cut`: in the middle of its turn."""
        for call in list(self._open.values()):
            yield self._tell(replace(call, partial=call.partial or cut))
        self._open.clear()
        yield from self._rests
        self._rests = []


def _merged(old: ModelCall, new: ModelCall) -> ModelCall:
    """Two records that are both not final: what either knows. It was cut off if both say so."""
    names = ("model", "stop_reason", *FIELDS[:3])
    values = {name: getattr(new, name) if getattr(new, name) is not None else getattr(old, name) for name in names}
    agent = new.agent if new.agent not in ("main", "subagent") else old.agent
    text = new.text_preview or old.text_preview
    return replace(new, **values, agent=agent, text_preview=text, partial=old.partial and new.partial)


def difference(mine: Mapping[str, int], theirs: Mapping[str, int]) -> str:
    """Where two sums differ, in words ("" if nowhere): only kinds of tokens that both know."""
    words = {
        "input_tokens": "input",
        "cache_read_tokens": "cache read",
        "cache_write_tokens": "cache write",
        "output_tokens": "output",
        "reasoning_tokens": "reasoning",
    }
    return ", ".join(
        f"{words[name]} {mine[name]} against {theirs[name]}"
        for name in FIELDS
        if name in mine and name in theirs and mine[name] != theirs[name]
    )

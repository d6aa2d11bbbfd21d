"""A headless run's model calls, out of more than one record of them: each once, with final numbers (DESIGN section 8).

The stream of a CLI and its own log (transcript, rollout) tell of the same calls, at different times and with different
gaps. Whichever has a call's final numbers first is told; what never became final is told at the end as `partial`.
Totals that the CLI gives are held against the sum: they fill in what no record told, or show a difference. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from harnex.model import ModelCall

FIELDS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
Sums = dict[str, int]


@dataclass(slots=True)
class Ledger:
    """`take` every word about a call; `close` when the process is gone."""

    attempts: dict[str, int] = field(default_factory=dict)  # call id -> how often it was tried, where the CLI told
    told: dict[str, ModelCall] = field(default_factory=dict)  # since the last `start`
    _before: set[str] = field(default_factory=set)
    _open: dict[str, ModelCall] = field(default_factory=dict)  # without final numbers, in the order of their start

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

    def sums(self, agent: str | None = None, model: str | None = None) -> Sums:
        """What was told, of one agent or model or of all. A kind of token of which no call says anything is left out."""
        out: Sums = {}
        for call in self.told.values():
            if (agent is None or call.agent == agent) and (model is None or call.model == model):
                for name in FIELDS:
                    value = getattr(call, name)
                    if value is not None:
                        out[name] = out.get(name, 0) + value
        return out

    def fill(self, total: Mapping[str, int], name: str, model: str | None, sure: bool = True) -> Iterator[ModelCall]:
        """The main conversation's total, as the CLI tells it: what it holds beside the calls that are known.

        With no call known it is one call, called `name`; with calls that have no numbers of their own it goes to the
        last of them. `sure`: the total is of this process alone.
        """
        known = self.sums("main")
        rest = {key: value - known.get(key, 0) for key, value in total.items() if key in FIELDS}
        if any(value < 0 for value in rest.values()) or not any(rest.values()):
            return
        waiting = [call for call in self._open.values() if call.agent == "main"]
        if waiting:
            last = waiting[-1]
            del self._open[last.call_id]
            yield self._tell(_with(last, rest, partial=True))
        elif not any(call.agent == "main" for call in self.told.values()):
            yield self._tell(_with(ModelCall(name, model=model), rest, partial=not sure))

    def close(self) -> Iterator[ModelCall]:
        """The process is gone: what was begun and never finished."""
        for call in list(self._open.values()):
            yield self._tell(replace(call, partial=True))
        self._open.clear()


def _with(call: ModelCall, numbers: Mapping[str, int], partial: bool) -> ModelCall:
    total = numbers.get("input_tokens", 0) + numbers.get("output_tokens", 0)
    values = {name: numbers.get(name) for name in FIELDS}
    return replace(call, **values, total_tokens=total, source="cumulative", partial=partial)  # type: ignore[arg-type]


def _merged(old: ModelCall, new: ModelCall) -> ModelCall:
    """Two records that are both not final: what either knows."""
    names = ("model", "stop_reason", *FIELDS[:3])
    values = {name: getattr(new, name) if getattr(new, name) is not None else getattr(old, name) for name in names}
    agent = new.agent if new.agent not in ("main", "subagent") else old.agent
    return replace(new, **values, agent=agent, text_preview=new.text_preview or old.text_preview)


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

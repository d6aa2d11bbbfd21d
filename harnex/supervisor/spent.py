"""What was used before a watch began: read from the event logs of this run and
the runs that it continues."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harnex import jsonl, paths
from harnex.model.records import Json
from harnex.store import history
from harnex.watch.budget import Bill, Used

Row = Mapping[str, Any]
Cost = Callable[[Row], float | None]

# A log is mostly states and tools: only lines with one of these words are parsed.
WORDS = (b'"call"', b'"usage_rest"', b'"turn_started"', b'"task_complete"', b'"turn_failed"')
INPUTS = ("input_tokens", "output_tokens")


@dataclass
class Log:
    """The calls of one run, by id, and its number of turns.

    A last turn that did not complete is not a whole turn of this run: the next run goes on with it.
    """

    calls: dict[str, Json] = field(default_factory=dict)
    turns: int = 0
    open: bool = False

    def take(self, row: Json) -> None:
        kind = row.get("type")
        if kind == "call":
            self.calls.setdefault(str(row.get("call_id")), row)
        elif kind == "usage_rest":  # what these calls used together is known after all
            known = [self.calls[i] for i in row.get("call_ids") or () if i in self.calls]
            for n, call in enumerate(known):
                call |= {"total_tokens": row.get("total_tokens") if n == 0 else 0, "partial": False}
        elif kind == "turn_started":
            self.turns = max(self.turns, int(row.get("turn") or 0))
            self.open = True
        elif kind in ("task_complete", "turn_failed"):
            self.open = kind == "turn_failed"

    @property
    def whole_turns(self) -> int:
        return self.turns - self.open


def read(path: str) -> Log | None:
    """Return what an event log holds; None if there is no log."""
    log = Log()
    try:
        with open(path, "rb") as f:
            for line in f:
                if any(word in line for word in WORDS):
                    log.take(jsonl.loads_dict(line) or {})
    except OSError:
        return None
    return log


def earlier(state: str, run_id: str) -> Iterator[str]:
    """Yield the ids of the runs that this one continues, newest first. Lazy."""
    seen = {run_id}
    while True:
        try:
            with open(os.path.join(paths.run_dir(state, run_id), paths.RESUMES), encoding="utf-8") as f:
                run_id = f.read().strip()
        except OSError:
            return
        if not run_id or run_id in seen:
            return
        seen.add(run_id)
        yield run_id


def used(state: str, run_id: str, cost: Cost) -> Used:
    """Return what this run and those before it used.

    `cost` returns the price of a call in US dollars, None if unknown.
    """
    own = read(os.path.join(paths.run_dir(state, run_id), "events.jsonl")) or Log()
    bills = [bill(row, cost) for row in own.calls.values()]
    turns, runs, unknown = 0, 0, ""
    for before in earlier(state, run_id):
        runs += 1
        log = read(os.path.join(paths.run_dir(state, before), "events.jsonl"))
        if log is not None:
            bills += [bill(row, cost) for row in log.calls.values()]
            turns += log.whole_turns
            continue
        row = next((r for r in history.rows(state) if r.get("run_id") == before), None)
        if row is None:
            unknown = f"what run {before} used, which this one goes on with, is not known: its record is gone"
            continue
        bills += _of_history(row, cost)
        turns += int(row.get("turns") or 0)
    return Used(tuple(bills), turns, runs, unknown)


def _of_history(row: Row, cost: Cost) -> list[Bill]:
    """Return the bills of a run of which only the history record is left.

    The first bill is the sum of all calls; the other calls count as calls, with no size.
    """
    calls, usage = int(row.get("calls") or 0), row.get("usage")
    if not calls:
        return []
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    whole = Bill(tokens if isinstance(tokens, int) else None, None)
    return [whole, *[Bill(0, 0.0)] * (calls - 1)]


def bill(call: Row, cost: Cost) -> Bill:
    """Return a `call` event as the budget counts it.

    What is known of a call that was cut off is the least that it used.
    """
    tokens = call.get("total_tokens")
    tokens = tokens if isinstance(tokens, int) else None
    cut = bool(call.get("partial"))
    least = sum(call[name] for name in INPUTS if isinstance(call.get(name), int))
    dollars: float | None
    if cut and tokens is None:
        dollars = cost({**call, "output_tokens": call.get("output_tokens") or 0}) if least else 0.0
    else:
        dollars = cost(call)
    return Bill(tokens, dollars, call.get("model"), least, cut)

"""Sums of model calls: by turn, session, day, model, repository, agent. None is unknown, never 0. Pure.

A record is a call as `harnex usage --json` gives it: the fields of a `call` event, and `ts`, `id`, `run_id`, `cli`,
`repo`, `session`, `cost_usd`. A record with `call_ids` is no call: its numbers are what those calls used together, of which
each alone tells less (an event `usage_rest`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from harnex import times
from harnex.model.records import Tokens

TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
)
CALL_FIELDS = (
    "n",
    "ts",
    "id",
    "run_id",
    "cli",
    "repo",
    "session",
    "call_id",
    "turn",
    "agent",
    "model",
    *TOKENS,
    "cost_usd",
    "stop_reason",
    "duration_s",
    "attempts",
    "source",
    "partial",
    "text_preview",
    "raw",
)
REST_FIELDS = ("ts", "id", "run_id", "cli", "repo", "session", "call_ids", "turn", "agent", "model", *TOKENS, "cost_usd")  # fmt: skip
BY = ("call", "turn", "session", "day", "model", "repo", "agent")
KEYS: dict[str, tuple[str, ...]] = {
    "turn": ("id", "run_id", "session", "turn"),
    "session": ("id", "run_id", "session", "cli", "repo"),
    "day": ("day",),
    "model": ("model",),
    "repo": ("repo",),
    "agent": ("id", "run_id", "session", "agent"),
}


class Sums:
    """What some calls used together."""

    __slots__ = ("_cost", "_known", "_tokens", "_unpriced", "calls", "first", "last", "partial")

    def __init__(self) -> None:
        self.calls = self.partial = 0
        self._tokens = [0] * len(TOKENS)
        self._known = [0] * len(TOKENS)  # how many calls told it
        self._cost = 0.0
        self._unpriced = 0
        self.first: str | None = None
        self.last: str | None = None

    def add(self, record: dict[str, Any]) -> None:
        of = len(record.get("call_ids") or ())
        if of:
            self._add_rest(record, of)
            return
        self.calls += 1
        if record["partial"]:
            self.partial += 1
        tokens, known = self._tokens, self._known
        for i, name in enumerate(TOKENS):
            value = record[name]
            if value is not None:
                tokens[i] += value
                known[i] += 1
        cost = record["cost_usd"]
        if cost is None:
            self._unpriced += 1
        else:
            self._cost += cost
        at = record["ts"]
        if at:
            if self.first is None or at < self.first:
                self.first = at
            if self.last is None or at > self.last:
                self.last = at

    def _add_rest(self, record: dict[str, Any], of: int) -> None:
        """Numbers of so many calls that were added without them."""
        for i, name in enumerate(TOKENS):
            if record[name] is not None:
                self._tokens[i] += record[name]
                self._known[i] += of
        if record["cost_usd"] is not None:
            self._cost += record["cost_usd"]
            self._unpriced -= of

    def take(self, event: Mapping[str, Any]) -> None:
        """Add a `call` or a `usage_rest`, as it is in an event."""
        tokens = {n: v if isinstance(v := event.get(n), int) and not isinstance(v, bool) else None for n in TOKENS}
        ids = event.get("call_ids")
        rest = {"call_ids": ids} if isinstance(ids, (list, tuple)) else {}
        self.add({**tokens, **rest, "partial": event.get("partial"), "cost_usd": None, "ts": None})

    def used(self) -> dict[str, Any]:
        """`calls`, the tokens, and `unknown`: see `fields`."""
        fields = self.fields()
        return {key: fields[key] for key in ("calls", *TOKENS, "unknown")}

    def totals(self) -> Tokens:
        """The tokens and `unknown`, without the number of calls: what records and events hold."""
        return cast(Tokens, {key: value for key, value in self.used().items() if key != "calls"})

    def packed(self) -> tuple[Any, ...]:
        """All of it as plain values, for `merge`."""
        return (self.calls, self.partial, self._tokens, self._known, self._cost, self._unpriced, self.first, self.last)

    def merge(self, packed: tuple[Any, ...]) -> None:
        """Add what other sums hold."""
        calls, partial, tokens, known, cost, unpriced, first, last = packed
        self.calls += calls
        self.partial += partial
        self._tokens = [a + b for a, b in zip(self._tokens, tokens, strict=True)]
        self._known = [a + b for a, b in zip(self._known, known, strict=True)]
        self._cost += cost
        self._unpriced += unpriced
        self.first = min((at for at in (self.first, first) if at is not None), default=None)
        self.last = max((at for at in (self.last, last) if at is not None), default=None)

    def fields(self) -> dict[str, Any]:
        """`calls`, the tokens (None where no call tells), `cost_usd`, `cache_hit_rate`, and in `unknown` how many calls
        did not tell a number that others did: a sum of the others is then less than what was used."""
        sums = {n: t if k else None for n, t, k in zip(TOKENS, self._tokens, self._known, strict=True)}
        unknown = {n: self.calls - k for n, k in zip(TOKENS, self._known, strict=True) if 0 < k < self.calls}
        priced = self.calls - self._unpriced
        if priced and self._unpriced > 0:
            unknown["cost_usd"] = self._unpriced
        given, read, output = sums["input_tokens"], sums["cache_read_tokens"], sums["output_tokens"]
        if "total_tokens" in unknown and given is not None and output is not None:
            # The input is known of more calls than the output: what is known is more than the sum of known totals.
            sums["total_tokens"] = given + output
        return {
            "calls": self.calls,
            "partial_calls": self.partial,
            **sums,
            "cost_usd": round(self._cost, 6) if priced else None,
            "cache_hit_rate": round(read / given, 4) if given and read is not None else None,
            "unknown": unknown,
            "first": self.first,
            "last": self.last,
        }


def unknown_calls(used: Mapping[str, Any] | None) -> int:
    """Of how many calls the tokens are not known, by what they used."""
    if not used:
        return 0
    if used["total_tokens"] is None:
        return int(used["calls"])
    return int(used["unknown"].get("total_tokens", 0))


class Groups:
    """Sums by one key, and in all."""

    def __init__(self, by: str) -> None:
        self.by = by
        self._keys = KEYS.get(by, ())  # none: all is one group
        self._sums: dict[tuple[Any, ...], Sums] = {}
        self._days: dict[str, str | None] = {}

    def add(self, record: dict[str, Any]) -> None:
        if self.by == "day":
            key: tuple[Any, ...] = (self._day(record["ts"]),)
        else:
            key = tuple([record[name] for name in self._keys])
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = Sums()
        sums.add(record)

    @property
    def total(self) -> Sums:
        """All groups together."""
        total = Sums()
        for sums in self._sums.values():
            total.merge(sums.packed())
        return total

    def packed(self) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """All of it as plain values, for `merge`."""
        return {key: sums.packed() for key, sums in self._sums.items()}

    def merge(self, packed: dict[tuple[Any, ...], tuple[Any, ...]]) -> None:
        """Add what other groups (by the same key) hold."""
        for key, sums in packed.items():
            self._sums.setdefault(key, Sums()).merge(sums)

    def rows(self) -> list[dict[str, Any]]:
        """One object a group: its key's fields, then its sums; in the order of time, models by what they used."""
        if not self._keys:
            return []
        rows = [{**dict(zip(self._keys, key, strict=True)), **s.fields()} for key, s in self._sums.items()]
        if self.by in ("model", "repo"):
            return sorted(rows, key=lambda r: (-(r["total_tokens"] or 0), str(r[self.by])))
        if self.by == "turn":
            return sorted(rows, key=lambda r: (str(r["run_id"] or r["session"]), r["turn"] is None, r["turn"] or 0))
        return sorted(rows, key=lambda r: str(r["first"] or r.get("day") or ""))

    def _day(self, at: str | None) -> str | None:
        """The local day of a time; one look a minute's worth of calls."""
        minute = (at or "")[:16]
        if minute not in self._days:
            self._days[minute] = local_day(at)
        return self._days[minute]


def local_day(at: str | None) -> str | None:
    """`2026-11-21` of an ISO time, where this machine is; None if it is none."""
    when = times.seconds(at)
    return None if when is None else times.local(when, "%Y-%m-%d")


def record(fields: dict[str, Any], **where: Any) -> dict[str, Any]:
    """A call as a record: all fields, None where nothing is known."""
    row = dict.fromkeys(CALL_FIELDS)
    row["partial"] = False
    row["agent"] = "main"
    row.update((k, v) for k, v in fields.items() if k in row)
    row.update(where)
    for name in TOKENS:
        value = row[name]
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            row[name] = None  # garbage in a log is unknown
    return row


def rest(fields: dict[str, Any], **where: Any) -> dict[str, Any]:
    """A `usage_rest` as a record."""
    row = dict.fromkeys(REST_FIELDS)
    row.update((k, v) for k, v in fields.items() if k in row)
    row.update(where)
    row["call_ids"] = list(row["call_ids"] or ())
    return row


def turns(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns of a run, from its events: when each began and how it ended."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        number, kind = event.get("turn"), event.get("type")
        if kind not in ("turn_started", "task_complete", "turn_failed") or not isinstance(number, int):
            continue
        turn = found.setdefault(
            number,
            {"turn": number, "started_at": None, "ended_at": None, "duration_s": None, "outcome": None, "reason": None},
        )
        if kind == "turn_started":
            turn["started_at"] = event.get("ts")
        else:
            turn["ended_at"], turn["duration_s"] = event.get("ts"), event.get("duration_s")
            turn["outcome"] = "completed" if kind == "task_complete" else event.get("outcome")
            turn["reason"] = event.get("reason")
    return [found[number] for number in sorted(found)]


def turns_used(turns: list[dict[str, Any]], records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns with what their calls used; a turn without any used nothing that is known."""
    sums: dict[int, Sums] = {}
    for r in records:
        if r["turn"] is not None:
            sums.setdefault(r["turn"], Sums()).add(r)
    empty = {k: None if k not in ("calls", "partial_calls", "unknown") else v for k, v in Sums().fields().items()}
    out = []
    for turn in turns:
        used = sums[turn["turn"]].fields() if turn["turn"] in sums else dict(empty)
        out.append({**turn, **{k: v for k, v in used.items() if k not in ("first", "last")}})
    return out

"""Codex's running totals: what each new one grew by, and whether the calls add up to it. Pure.

Several running totals may be told in turns in one file (reported of sessions whose sub-agents' counts were written into it):
each is a `_Line`, and a count goes on with the line that it fits.
"""

from __future__ import annotations

from dataclasses import dataclass

FIELDS = (
    "input_tokens",  # OpenAI's holds the cached ones already
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "total_tokens",
)
LINES = 8  # that are remembered
Counts = dict[str, int]


@dataclass(slots=True)
class _Line:
    """One running total: what it was before its first call, what it is now, what its calls used."""

    base: Counts
    total: Counts
    told: Counts


class Totals:
    """The running totals of one thread."""

    __slots__ = ("_lines", "_old", "_told", "before", "now")

    def __init__(self) -> None:
        self.now: Counts | None = None  # the newest
        self.before = 0  # tokens that the first total holds of calls that are not here
        self._lines: list[_Line] = []  # that of the newest total first
        self._old: Counts = {}  # what lines grew by that are no longer remembered
        self._told: Counts = {}  # and what their calls used

    @property
    def known(self) -> bool:
        """Whether there was one."""
        return bool(self._lines)

    def take(self, total: Counts, call: Counts, past: bool, begins: bool = True) -> Counts:
        """A total behind a call. What it grew by besides that: calls that were never told; {}: nothing, or not known.
        Give these to `found` where they are told. `begins`: the first total began at zero."""
        before = less(total, call)
        lines, lost = self._lines, Counts()
        if not lines and begins and not past:
            self._begin({}, total)
            lost = before if any(before.values()) else {}
        elif lines and before == self.now:
            pass
        elif (found := next((line for line in lines if line.total == before), None)) is not None:
            lines.remove(found)
            lines.insert(0, found)
        elif not past and (found := self._below(before)) is not None:
            lost = less(before, found.total)
            lost = lost if any(lost.values()) else {}
            lines.remove(found)
            lines.insert(0, found)
        else:
            if not lines and not past:
                self.before = before.get("total_tokens", sum(before.values()))
            self._begin(before, total)
        line = lines[0]
        self.now = line.total = total
        if past:
            line.base, line.told = before, dict(call)
        else:
            _add(line.told, call)
        return lost

    def found(self, lost: Counts) -> None:
        """A call is told of what a total grew by besides its own."""
        _add(self._lines[0].told, lost)

    def repeats(self, total: Counts, call: Counts | None) -> bool:
        """Whether a total was told already, by any of the lines."""
        if total == self.now:
            return True
        if len(self._lines) < 2 or (not self._lines[0].total and call == total):
            return False
        return any(line.total == total for line in self._lines)

    def restart(self) -> None:
        """A program that knows of no total goes on (resumed up to 0.58): the next one is new, whatever it is."""
        if self._lines and self.now is not None:
            self.now = None
            self._begin({}, {})

    def difference_to(self, total: Counts) -> Counts:
        """A total alone: what it grew by since the last one, or all of it where it fell. That is what its calls used."""
        lines = self._lines
        if not lines or falls(lines[0].total, total):
            self._begin({}, total)
            grown = dict(total)
        else:
            grown = less(total, lines[0].total)
        self.now = lines[0].total = total
        _add(lines[0].told, grown)
        return grown

    def renew(self, total: Counts | None) -> None:
        """The total was made up: it is a new base."""
        if total is not None:
            self._begin(dict(total), total)
            self.now = total

    def difference(self) -> str | None:
        """Words with both numbers where what the totals grew by is not the sum of their calls."""
        own, told = dict(self._old), dict(self._told)
        for line in self._lines:
            _add(own, less(line.total, line.base))
            _add(told, line.told)
        wrong = [f"{k} {v:,} (the calls: {told.get(k, 0):,})" for k, v in own.items() if v != told.get(k, 0)]
        return f"the calls are not the thread's own total: {', '.join(wrong)}" if wrong else None

    def _below(self, before: Counts) -> _Line | None:
        """The line that can have grown to this, the nearest."""
        fit = [line for line in self._lines if not falls(line.total, before)]
        return max(fit, key=lambda line: line.total.get("total_tokens", 0), default=None)

    def _begin(self, base: Counts, total: Counts) -> None:
        if self._lines and not self._lines[0].total:
            self._lines.pop(0)  # of a restart
        self._lines.insert(0, _Line(base, total, {}))
        if len(self._lines) > LINES:
            line = self._lines.pop()
            _add(self._old, less(line.total, line.base))
            _add(self._told, line.told)


def numbers(usage: object) -> Counts | None:
    """The token fields that a usage object has; None if it is none."""
    if not isinstance(usage, dict):
        return None
    found = {}
    for name in FIELDS:  # hot: once or twice for each call of a file
        value = usage.get(name)
        if type(value) is int:
            found[name] = value
    return found


def falls(before: Counts, after: Counts) -> bool:
    """Whether a number of the one is less in the other."""
    return any(value < before.get(key, 0) for key, value in after.items())


def less(total: Counts, part: Counts) -> Counts:
    """The difference of two totals."""
    return {key: value - part.get(key, 0) for key, value in total.items()}


def _add(sums: Counts, more: Counts) -> None:
    for key, value in more.items():
        sums[key] = sums.get(key, 0) + value

"""What a run may use, and when it is spent. Pure.

One budget holds over a chain of runs, each of which goes on with the one before after a crash (`recover --resume`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harnex.watch.policy import Policy

# After a call that reached the limit and, by its own stop reason, was the turn's last: so long the turn's end is waited
# for. On a busy machine Claude Code 2.1.329 recorded it 2.1 s after the call. What proves that it goes on after all (a
# tool that starts, another call) ends the waiting at once.
GRACE_S = 10.0
# Calls that were cut off count by what is known of them: a nudge, a crash and an interrupt cut off one each. When there are
# so many, and more than whole ones, what is known says nothing of what was used.
CUT_MOST = 3


@dataclass(frozen=True, slots=True)
class Bill:
    """What one call used; None where that is not known.

    `least` is what is known of its tokens. `cut`: the call was cut off, so that nobody will ever know its end; `cost` is
    then that of what is known.
    """

    tokens: int | None
    cost: float | None
    model: str | None = None
    least: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """What was used before the watch came: by this run, and by the `runs` that it goes on with (`turns` of those only)."""

    bills: tuple[Bill, ...] = ()
    turns: int = 0
    runs: int = 0
    unknown: str = ""  # why it is not known as a whole


@dataclass(frozen=True, slots=True)
class Spent:
    """A limit was reached at `since`: `goes_on` when it is certain that the turn would use more; `over` when it did."""

    kind: str
    limit: float
    used: float
    since: float
    goes_on: bool = False
    over: bool = False


@dataclass(slots=True)
class Budget:
    """Adds up what the calls used. A limit that a call of unknown size may break is told by `unknown`."""

    policy: Policy
    tokens: int = 0
    calls: int = 0
    cost: float = 0.0
    turns: int = 0
    cut: int = 0  # calls that are known in part only
    before: Used = field(default_factory=Used)
    spent: Spent | None = None
    unknown: str = ""  # a limit that can't be kept: why

    def begin(self, before: Used, turn: int, now: float) -> None:
        """What was used `before`; `turn` is the open or last turn of this run."""
        self.before = before
        self.turns = before.turns + turn
        for bill in before.bills:
            self._add(bill)
        if before.unknown and (self.policy.limits_calls or self.policy.max_turns is not None):
            self.unknown = f"{before.unknown}: {self.policy.limits} can't be kept"
        if before.runs:
            self._look(True, now)  # else a watch was put on a session as it is, and begins with the next call

    def call(self, bill: Bill, last: bool, now: float) -> None:
        """A model call ended; `last`: it asks for no tool."""
        self._add(bill)
        self._look(not last, now)

    def _add(self, bill: Bill) -> None:
        self.calls += 1
        self.tokens += bill.least if bill.tokens is None else bill.tokens
        self.cost += bill.cost or 0.0
        if bill.tokens is None and bill.cut:
            self.cut += 1
        limits = self.policy.max_tokens is not None or self.policy.max_cost is not None
        if self.policy.max_tokens is not None and bill.tokens is None and not bill.cut:
            self.unknown = self._words("the agent does not tell how many tokens a call used", "--max-tokens")
        elif self.policy.max_cost is not None and bill.cost is None:
            what = f"the price of {bill.model or 'the model'} is not known"
            if bill.tokens is None and not bill.cut:
                what = "the agent does not tell how many tokens a call used"
            self.unknown = self._words(what, "--max-cost")
        elif limits and self.cut >= CUT_MOST and 2 * self.cut > self.calls:
            what = f"{self.cut} of {self.calls} calls were cut off before their tokens were told"
            self.unknown = self._words(what, "--max-tokens" if self.policy.max_tokens is not None else "--max-cost")

    def _words(self, why: str, limit: str) -> str:
        return f"{why}: {limit} can't be kept (at least {self.tokens:,} tokens in {self.calls:,} calls so far)"

    def tool_started(self) -> None:
        """The agent goes on: the next call is certain."""
        if self.spent is not None and not self.spent.goes_on:
            s = self.spent
            self.spent = Spent(s.kind, s.limit, s.used, s.since, True, s.over)

    def turn_opened(self, number: int, now: float) -> None:
        self.turns = self.before.turns + number
        if self.policy.max_turns is not None and self.turns > self.policy.max_turns:
            self.spent = Spent("turns", self.policy.max_turns, self.turns, now, True)
        elif self.spent is not None:
            self.tool_started()  # a new turn on a spent budget

    def more_turns(self, now: float) -> Spent | None:
        """May another turn be asked for? None: yes."""
        if self.spent is None and self.policy.max_turns is not None and self.turns >= self.policy.max_turns:
            return Spent("turns", self.policy.max_turns, self.turns, now, True)
        return self.spent

    def _look(self, goes_on: bool, now: float) -> None:
        p = self.policy
        for kind, limit, used in (
            ("tokens", p.max_tokens, self.tokens),
            ("cost", p.max_cost, self.cost),
            ("calls", p.max_calls, self.calls),
        ):
            if limit is not None and used >= limit:
                since = self.spent.since if self.spent is not None else now
                # A call after the one that reached the limit was not allowed. It may be read late, with the turn's end.
                over = self.spent is not None or (kind == "calls" and used > limit)
                self.spent = Spent(kind, limit, round(used, 6), since, goes_on or over, over)
                return

"""What a run may use, and when that is spent. Pure.

One budget covers a chain of runs, each of which continues the run before it after a crash (`recover
--resume`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harnex.watch.policy import Policy

# Seconds to wait for the end of the turn after a call that reached the limit and that, by its own
# stop reason, was the turn's last call. On a busy machine Claude Code 2.1.329 recorded the end 2.1
# s after the call. Proof that the turn goes on after all (a tool that starts, another call) ends
# the wait at once.
GRACE_S = 10.0
# A call that was cut off counts with the tokens that are known. A nudge, a crash and an interrupt
# each cut off one call. When this many calls were cut off, and more than half of all calls, the
# known tokens say nothing about the use.
CUT_MOST = 3


@dataclass(frozen=True, slots=True)
class Bill:
    """What one call used; None where that is unknown.

    `least` is the known part of its tokens. `cut`: the call was cut off, so its full size will
    never be known; `cost` is then the cost of the known part.
    """

    tokens: int | None
    cost: float | None
    model: str | None = None
    least: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """What was used before the watch came: by this run, and by the `runs` that this run continues.

    `turns` counts only the turns of those earlier runs.
    """

    bills: tuple[Bill, ...] = ()
    turns: int = 0
    runs: int = 0
    unknown: str = ""  # why the whole use is not known


@dataclass(frozen=True, slots=True)
class Spent:
    """A limit that was reached at `since` (monotonic seconds).

    `goes_on`: the turn will certainly use more. `over`: the turn has used more.
    """

    kind: str
    limit: float
    used: float
    since: float
    goes_on: bool = False
    over: bool = False


@dataclass(slots=True)
class Budget:
    """Adds up what the calls used.

    `unknown` is set when a call of unknown size may break a limit.
    """

    policy: Policy
    tokens: int = 0
    calls: int = 0
    cost: float = 0.0
    turns: int = 0
    cut: int = 0  # calls that are only partly known
    before: Used = field(default_factory=Used)
    spent: Spent | None = None
    unknown: str = ""  # why a limit can't be kept; "" if all can

    def begin(self, before: Used, turn: int, now: float) -> None:
        """Take what was used `before`. `turn` is the number of this run's open or last turn."""
        self.before = before
        self.turns = before.turns + turn
        for bill in before.bills:
            self._add(bill)
        if before.unknown and (self.policy.limits_calls or self.policy.max_turns is not None):
            self.unknown = f"{before.unknown}: {self.policy.limits} can't be kept"
        if before.runs:
            # Otherwise a watch was put on a running session, and counts from the next call.
            self._look(True, now)

    def call(self, bill: Bill, last: bool, now: float) -> None:
        """Note that a model call ended. `last`: the call asks for no tool."""
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
        """Note that the agent goes on: another call is certain."""
        if self.spent is not None and not self.spent.goes_on:
            s = self.spent
            self.spent = Spent(s.kind, s.limit, s.used, s.since, True, s.over)

    def turn_opened(self, number: int, now: float) -> None:
        """Note that turn `number` of this run opened."""
        self.turns = self.before.turns + number
        if self.policy.max_turns is not None and self.turns > self.policy.max_turns:
            self.spent = Spent("turns", self.policy.max_turns, self.turns, now, True)
        elif self.spent is not None:
            self.tool_started()  # a new turn began on a spent budget

    def more_turns(self, now: float) -> Spent | None:
        """What forbids another turn; None if another turn is allowed."""
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
                # A call after the call that reached the limit was not allowed. It may be read late,
                # with the turn's end.
                over = self.spent is not None or (kind == "calls" and used > limit)
                self.spent = Spent(kind, limit, round(used, 6), since, goes_on or over, over)
                return

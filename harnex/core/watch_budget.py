"""What a run may use, and when it is spent. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from harnex.core.watch_policy import Policy

# After a call that reached the limit and, by its own stop reason, was the turn's last: so long the turn's end is waited
# for. On a busy machine Claude Code 2.1.329 recorded it 2.1 s after the call. What proves that it goes on after all (a
# tool that starts, another call) ends the waiting at once.
GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Spent:
    """A limit was reached at `since`: `goes_on` when it is certain that the turn would use more."""

    kind: str
    limit: float
    used: float
    since: float
    goes_on: bool = False


@dataclass(slots=True)
class Budget:
    """Adds up what the calls used. Calls of unknown size count as calls only, and are told by `unknown`."""

    policy: Policy
    tokens: int = 0
    calls: int = 0
    cost: float = 0.0
    turns: int = 0
    spent: Spent | None = None
    unknown: str = ""  # a limit that can't be kept: why

    def begin(self, calls: int, tokens: int, turns: int) -> None:
        """What the run used before the watch came."""
        self.calls, self.tokens, self.turns = calls, tokens, turns

    def call(self, tokens: int | None, cost: float | None, model: str | None, last: bool, now: float) -> None:
        """A model call ended; `last`: it asks for no tool."""
        self.calls += 1
        self.tokens += tokens or 0
        self.cost += cost or 0.0
        if self.policy.max_tokens is not None and tokens is None:
            self.unknown = "the agent does not tell how many tokens a call used: --max-tokens can't be kept"
        if self.policy.max_cost is not None and cost is None:
            self.unknown = f"the price of {model or 'the model'} is not known: --max-cost can't be kept"
        self._look(not last, now)

    def tool_started(self) -> None:
        """The agent goes on: the next call is certain."""
        if self.spent is not None and not self.spent.goes_on:
            s = self.spent
            self.spent = Spent(s.kind, s.limit, s.used, s.since, True)

    def turn_opened(self, number: int, now: float) -> None:
        self.turns = number
        if self.policy.max_turns is not None and number > self.policy.max_turns:
            self.spent = Spent("turns", self.policy.max_turns, number, now, True)
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
                # A call more than allowed is proof enough.
                certain = goes_on or (kind == "calls" and used > limit)
                self.spent = Spent(kind, limit, round(used, 6), since, certain)
                return

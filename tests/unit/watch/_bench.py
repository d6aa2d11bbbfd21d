"""For the tests of the watch: a session that it watches, in pretended time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harnex.machines.turns import Closed
from harnex.model.facts import State, ToolUse, TurnEnded
from harnex.watch import actions as w
from harnex.watch.policy import Policy
from harnex.watch.watch import Watch

WALL = 1_795_240_000.0


class Session:
    """A session as the watch sees it, moved by the test; `now` and the wall clock go together."""

    def __init__(self, **policy: Any) -> None:
        self.now = 1000.0
        self.policy = Policy(**({"stall_after": 60.0, "max_resumes": 1} | policy))
        self.watch = Watch(self.policy, self.now)
        self.sight = w.Sight(State.PROMPT, WALL)
        self.did: list[w.Action] = []
        self.turn = 0

    def step(self, seconds: float = 0.0) -> list[w.Action]:
        self.now += seconds
        self.sight = replace(self.sight, wall=self.sight.wall + seconds)
        out = self.watch.step(self.sight, self.now)
        self.did += out
        return out

    def opens(self) -> None:
        self.turn += 1
        self.sight = replace(self.sight, state=State.BUSY, turn=self.turn)
        self.watch.turn_opened(self.turn, f"m-{self.turn}", self.now)
        self.step()

    def closes(self, outcome: str = "completed", reason: str = "", retry_at: str | None = None) -> list[w.Action]:
        end = TurnEnded("test", outcome, "last words", reason, "what it said", retry_at)  # type: ignore[arg-type]
        self.sight = replace(self.sight, state=State.PROMPT, turn=None)
        self.watch.turn_closed(Closed(self.turn, None, 1.0, end), self.now)
        return self.step()

    def tool(self, status: str, name: str = "Bash", given: str = "ls", call_id: str = "c1") -> None:
        self.watch.tool(ToolUse(call_id, name, status, given), self.now)  # type: ignore[arg-type]
        self.step()

    def of(self, kind: type) -> list[Any]:
        return [a for a in self.did if isinstance(a, kind)]

    def told(self, kind: type) -> list[Any]:
        return [a.event for a in self.of(w.Tell) if isinstance(a.event, kind)]

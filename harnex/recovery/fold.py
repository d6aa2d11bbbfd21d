"""The sum of an event log, read once, line by line, whatever a crash left of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from harnex import jsonl
from harnex.model.records import Json, Tokens
from harnex.usage.sums import Sums, unknown_calls

# Only a living agent causes these events, never a recovery: their times are signs of life.
OF_LIFE = ("started", "state", "send", "turn_started", "tool", "blocked", "approval")


@dataclass
class Digest:
    """What an event log comes to.

    `turn` is the number of the open turn, None if no turn is open. `status` and `said` are
    by message id. `unanswered` are the messages that were taken since the agent was last at
    rest. `background` is the work that still runs, by its id. `state` is the last one
    before the run began to stop.
    """

    id: str | None = None
    started: Json | None = None
    exited: Json | None = None
    last_type: str = ""
    turns: int = 0
    turn: int | None = None
    turn_ts: str = ""
    last_outcome: Json | None = None
    call_ids: set[str] = field(default_factory=set)
    rests: set[tuple[str, ...]] = field(default_factory=set)  # the calls of each `usage_rest`
    sums: Sums = field(default_factory=Sums)
    turn_sums: Sums = field(default_factory=Sums)
    status: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    last_sign: str = ""
    state: str = ""
    unanswered: list[str] = field(default_factory=list)
    nudges: set[str] = field(default_factory=set)  # messages that the watch sent
    background: dict[str, Json] = field(default_factory=dict)
    looks: dict[str, Json] = field(default_factory=dict)  # the `git` events, by phase
    counts: dict[str, int] = field(default_factory=dict)  # events by type
    agent_session_id: str | None = None

    def take(self, row: Json) -> None:
        kind = str(row.get("type"))
        self.last_type = kind
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.id = self.id or (row["id"] if isinstance(row.get("id"), str) else None)
        if kind in OF_LIFE:
            self.last_sign = str(row.get("ts") or self.last_sign)
        if kind in ("started", "usage") and isinstance(row.get("agent_session_id"), str):
            self.agent_session_id = row["agent_session_id"]
        if kind == "started":
            self.started = row
        elif kind == "exited":
            self.exited = row
        elif kind == "turn_started":
            self.turn, self.turn_ts, self.state = int(row.get("turn") or 0), str(row.get("ts")), "busy"
            self.turns = max(self.turns, self.turn)
            self.turn_sums = Sums()
        elif kind in ("task_complete", "turn_failed"):
            self.turn = None
            self.last_outcome = {
                "turn": row.get("turn"),
                "outcome": "completed" if kind == "task_complete" else row.get("outcome"),
                "reason": row.get("reason") if kind == "turn_failed" else None,
                "retry_at": row.get("retry_at"),
                "message": row.get("last_message") if kind == "task_complete" else row.get("message"),
            }
            self._rested(kind == "task_complete" or self.state == "prompt")
        elif kind == "call" and row.get("call_id") not in self.call_ids:
            self.call_ids.add(str(row.get("call_id")))
            self._add(row)
        elif kind == "usage_rest" and tuple(row.get("call_ids") or ()) not in self.rests:
            self.rests.add(tuple(row["call_ids"]))
            self._add(row)
        elif kind == "send":
            self.said[str(row.get("message_id"))] = str(row.get("msg") or "")
        elif kind == "delivery":
            message, status = str(row.get("message_id")), str(row.get("status"))
            self.status[message] = status
            if status == "accepted":
                self.unanswered.append(message)
        elif kind == "nudge":
            self.nudges.add(str(row.get("message_id")))
        elif kind == "git":
            self.looks[str(row.get("phase"))] = row
        elif kind == "background":
            if row.get("status") == "started":
                self.background[str(row.get("work_id"))] = row
            else:
                self.background.pop(str(row.get("work_id")), None)
        elif kind == "state" and row.get("state") not in ("stopping", "exited"):
            self.state = str(row.get("state"))
            self._rested(self.state == "prompt" and self.turn is None)

    def _rested(self, rests: bool) -> None:
        if rests:
            self.unanswered.clear()

    @property
    def cut_off(self) -> bool:
        """Whether the run ended while the agent worked.

        The turn was open, or a message was taken and not answered. A turn that failed or was
        interrupted earlier does not count if the agent was at its prompt again.
        """
        ended_badly = (self.last_outcome or {}).get("outcome") not in (None, "completed")
        return self.turn is not None or bool(self.unanswered) or (ended_badly and self.state != "prompt")

    def _add(self, row: Json) -> None:
        self.sums.take(row)
        if self.turn is not None and row.get("turn") == self.turn:
            self.turn_sums.take(row)

    @property
    def calls(self) -> int | None:
        """Number of model calls, None if no call was seen."""
        return len(self.call_ids) or None

    @property
    def tokens_unknown(self) -> int:
        """Number of calls whose tokens are unknown."""
        return unknown_calls(self.sums.used()) if self.call_ids else 0

    def tokens(self) -> Tokens | None:
        """Tokens that the calls used, None if no call was seen."""
        return self.sums.totals() if self.call_ids else None


def read(run_dir: str) -> Digest:
    """Return the digest of a run's event log; an empty digest if there is no log."""
    digest = Digest()
    try:
        with open(os.path.join(run_dir, "events.jsonl"), "rb") as f:
            for line in f:
                row = jsonl.loads_dict(line) if line.endswith(b"\n") else None
                if row is not None and "seq" in row:
                    digest.take(row)
    except OSError:
        pass
    return digest

"""Facts of the agent as events: the ones that only repeat what was learned. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harnex import times
from harnex.machines.turns import Closed
from harnex.model import events
from harnex.model.facts import Compacted, SubAgent, TodoList, ToolUse, TurnEnded
from harnex.model.records import Json

if TYPE_CHECKING:
    from datetime import tzinfo


def tool_event(fact: ToolUse, turn: int | None) -> events.Tool:
    return events.Tool(
        turn=turn,
        call_id=fact.call_id,
        tool=fact.tool,
        status=fact.status,
        input_preview=fact.input_preview[: events.PREVIEW_LIMIT],
        duration_s=fact.duration_s,
    )


def compaction_event(fact: Compacted, turn: int | None) -> events.Compaction:
    return events.Compaction(
        turn=turn,
        agent=fact.agent,
        trigger=fact.trigger or None,
        tokens_before=fact.tokens_before,
        tokens_after=fact.tokens_after,
    )


def subagent_event(fact: SubAgent, turn: int | None) -> events.Subagent:
    return events.Subagent(turn=turn, agent=fact.agent, status=fact.status)


def progress_event(fact: TodoList, turn: int | None) -> events.Progress:
    items = tuple({"text": text, "status": status} for text, status in fact.items)
    done = sum(status == "completed" for _, status in fact.items)
    return events.Progress(turn=turn, done=done, total=len(items), items=items)


def closed_before(row: Json) -> Closed:
    """Return the last turn of an earlier run from `recovery.fold.Digest.last_outcome`."""
    outcome = row.get("outcome")
    end = TurnEnded(
        "before",
        outcome if outcome in ("completed", "interrupted") else "failed",
        str(row.get("message") or ""),
        str(row.get("reason") or ""),
        retry_at=row.get("retry_at"),
    )
    return Closed(int(row.get("turn") or 0), None, 0.0, end)


def end_event(closed: Closed, usage: dict[str, int | None] | None) -> events.TaskComplete | events.TurnFailed:
    """Return the event of a turn's end. `usage`: the sums of the turn's calls."""
    end = closed.end
    if end.outcome == "completed":
        return events.TaskComplete(
            turn=closed.turn,
            duration_s=closed.duration_s,
            last_message=end.last_message[: events.LAST_MESSAGE_LIMIT],
            usage=usage,
        )
    return events.TurnFailed(
        turn=closed.turn,
        reason=end.reason or ("interrupted" if end.outcome == "interrupted" else "other"),
        outcome=end.outcome,
        retry_at=end.retry_at,
        message=(end.detail or end.last_message)[: events.LAST_MESSAGE_LIMIT],
        duration_s=closed.duration_s,
    )


def with_reset(closed: Closed, wall: float, zone: tzinfo | None) -> Closed:
    """A turn that a limit ended, with the time of its reset, where the words name one and the reader knew no clock.

    `zone` is the agent's, None if it is ours."""
    end = closed.end
    if end.outcome != "failed" or end.retry_at or end.reason not in ("usage_limit", "rate_limit"):
        return closed
    from harnex.agents.common.resets import reset_at

    at = reset_at(end.detail or end.last_message, wall, zone)
    return closed if at is None else replace(closed, end=replace(end, retry_at=times.iso(at)))

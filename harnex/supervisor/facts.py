"""What was learned of the agent, handed to the machine that it concerns; and the end of a turn in the log's words."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from harnex.machines.turns import Closed
from harnex.model import events
from harnex.model.facts import (
    AgentSession,
    Background,
    Compacted,
    Fact,
    FinalAnswer,
    FindFile,
    Follow,
    ModelCall,
    Over,
    Press,
    Printed,
    Remark,
    Rest,
    RunCommand,
    SubAgent,
    Submitted,
    Suspended,
    TodoList,
    ToolUse,
    TurnEnded,
    Undone,
)

if TYPE_CHECKING:
    from harnex.supervisor.session import Session


def take_fact(session: Session, fact: Fact, now: float) -> None:
    """All but what is seen of the agent's state, which the session takes itself."""
    if isinstance(fact, Submitted):
        session.apply(session.turns.submitted(fact, now), now)
        if session.headless is not None:
            session.headless.submitted(fact)
        session.delivery.act(session.inbox.accepted(fact.text))
    elif isinstance(fact, Suspended):
        session.child.kill(signal.SIGCONT)
        session.journal.diagnose("the agent was suspended (Ctrl-Z), and was continued: no shell is there to do it")
    elif isinstance(fact, TurnEnded):
        session.apply(session.turns.ended(fact, now), now)
        if session.headless is not None and fact.source == "stream":
            session.headless.conclusion.result(fact, now)
    elif isinstance(fact, Follow | FindFile):
        session.evidence.take(fact)
    elif isinstance(fact, RunCommand):
        if not session.watcher.buried:
            session.helpers.take(fact, now)
    elif isinstance(fact, Press):
        session.type(fact.data)
    elif isinstance(fact, Undone):
        _undone(session, fact, now)
    elif isinstance(fact, Over):
        session.ending.over(fact)
    elif isinstance(fact, AgentSession):
        if fact.session_id != session.agent_session_id:
            session.agent_session_id = fact.session_id
            session.journal.changed()
    elif isinstance(fact, ToolUse):
        session.measured.tool(fact, now)
        session.watcher.tool(fact, now)
        session.emit(
            events.Tool(
                turn=session.turn_number(),
                call_id=fact.call_id,
                tool=fact.tool,
                status=fact.status,
                input_preview=fact.input_preview[: events.PREVIEW_LIMIT],
                duration_s=fact.duration_s,
            )
        )
    elif isinstance(fact, ModelCall):
        call = session.totals.add(fact, session.turn_number())
        if call is not None:
            session.emit(call)
            session.measured.called()
            session.watcher.call(call, now)
            session.journal.changed()
    elif isinstance(fact, Rest):
        session.emit(session.totals.rest(fact))
        session.journal.changed()
    elif isinstance(fact, Compacted):
        session.emit(
            events.Compaction(
                turn=session.turn_number(),
                agent=fact.agent,
                trigger=fact.trigger or None,
                tokens_before=fact.tokens_before,
                tokens_after=fact.tokens_after,
            )
        )
    elif isinstance(fact, SubAgent):
        session.emit(events.Subagent(turn=session.turn_number(), agent=fact.agent, status=fact.status))
        if fact.work_id:
            session.background.take(Background(fact.work_id, fact.status, "agent", "", how=fact.how), now)
    elif isinstance(fact, Background):
        session.background.take(fact, now)
    elif isinstance(fact, TodoList):
        items = tuple({"text": text, "status": status} for text, status in fact.items)
        done = sum(status == "completed" for _, status in fact.items)
        session.emit(events.Progress(turn=session.turn_number(), done=done, total=len(items), items=items))
    elif isinstance(fact, Printed | FinalAnswer) and session.headless is not None:
        if isinstance(fact, Printed):
            session.headless.show(fact.text, now)
        else:
            session.headless.answered(fact)
    elif isinstance(fact, Remark):
        session.journal.diagnose(fact.text)


def _undone(session: Session, fact: Undone, now: float) -> None:
    if fact.what == "deliver":
        session.delivery.act(session.inbox.refused(fact.why))
    elif fact.what == "answer":
        session.answers.refused(fact.why)
    else:
        session.journal.diagnose(f"the turn could not be stopped: {fact.why}")
        session.ending.undone(now)


def closed_before(row: dict[str, Any]) -> Closed:
    """The last turn of an earlier run, as `digest.Digest.last_outcome` has it."""
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
    """`usage`: the sums of the turn's calls."""
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

"""What is added to the event log of a dead run: events that the agent's own
files prove and the log lacks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

from harnex import clock, times
from harnex.launch import lease
from harnex.model import events
from harnex.model.records import KeptMessage
from harnex.recovery import fold, reread
from harnex.redaction import rules as redaction
from harnex.store import undelivered
from harnex.store.eventlog import EventLog
from harnex.supervisor.totals import Totals

MESSAGE = "the supervisor of this run was killed, or the machine went down"

Report = dict[str, Any]


class Late:
    """The event log of a dead run, and the events that are added after its supervisor's death."""

    def __init__(
        self, state: str, run_dir: str, about: dict[str, Any], start: dict[str, Any], log: fold.Digest
    ) -> None:
        self._state, self._run_dir, self._about, self._log = state, run_dir, about, log
        self._events: EventLog | None = None
        # Secrets must not be written. Their values are known only if the variables that held them
        # are set here, too; `--env` may have given a variable another value.
        given = start["options"].get("env") or {} if start else {}
        self.may_quote = all(name in os.environ and name not in given for name in start.get("secrets") or ())
        rules = redaction.of_start(start, str(about.get("repo") or "") or None)
        self._redactor = redaction.redactor(
            rules, os.environ, lease.left_behind(run_dir, str(start.get("adapter") or ""))
        )

    def open(self) -> None:
        path = os.path.join(self._run_dir, "events.jsonl")
        self._events = EventLog(path, self._about["id"], self._about["run_id"], self._redactor.fields)

    def take(self, seen: reread.Seen, agent_session_id: str | None, report: Report) -> None:
        """Add what the agent's files have and the log lacks: accepted prompts,
        calls, the end of the turn."""
        log, run_id = self._log, self._about["run_id"]
        known: dict[str, int] = {}  # text -> how often the log has it as accepted
        for message in undelivered.rows(self._state, run_id):
            status = log.status.get(message["id"])
            if status == "accepted":
                # Whether the agent kept the message is checked when it is started again.
                continue
            text = reread.normal(message["text"] or "")
            before = known.setdefault(text, self._accepted_before(text))
            # (A message that is kept without its secrets has no text to compare: it never
            # counts as accepted here.)
            if text and seen.submitted(text) > before:
                known[text] += 1
                self._taken(message, report)
            # `expired` and `failed` were reported before: such a message was kept
            # because the agent had died.
            elif status not in (None, "expired", "failed"):
                error = "the session was lost before the agent took it"
                self._emit(events.Delivery(message_id=message["id"], status="expired", error=error))
        totals, counted = Totals(), set(log.call_ids)
        for call in seen.calls:
            event = totals.add(call, log.turn or log.turns or None)
            if event is not None and event.call_id not in counted:
                counted.add(event.call_id)
                self._emit(events.Call(**{**vars(event), "text_preview": self._quote(event.text_preview)}))
                report["late_calls"] += 1
        for rest in seen.rests:
            if rest.call_ids not in log.rests and counted.issuperset(rest.call_ids):
                self._emit(totals.rest(rest))
        if log.turn is not None:
            self._end_turn(seen)
        for work in list(log.background.values()):
            self._emit(
                events.Background(
                    status="ended",
                    work_id=str(work.get("work_id")),
                    kind=str(work.get("kind")),
                    command=str(work.get("command") or ""),
                    since=str(work.get("since")),
                    by=str(work.get("by")),
                    how="killed",
                )
            )
        if log.last_type != "usage":
            self._emit(events.Usage(calls=log.calls, tokens=log.tokens(), agent_session_id=agent_session_id))

    def _accepted_before(self, text: str) -> int:
        """Return how many messages of that text the log has as accepted.

        The log has only the first characters of a text.
        """
        start = reread.normal(self._redactor.text(text[: events.MSG_LIMIT]))
        same = [id for id, said in self._log.said.items() if reread.normal(said)[: len(start)] == start[: len(said)]]
        return sum(self._log.status.get(id) == "accepted" for id in same)

    def _taken(self, message: KeptMessage, report: Report) -> None:
        log = self._log
        if message["id"] not in log.said:
            text = str(message["text"])
            said = {"msg": text[: events.MSG_LIMIT], "msg_truncated": len(text) > events.MSG_LIMIT}
            self._emit(events.Send(message_id=message["id"], forced=False, sender=message.get("from"), **said))  # type: ignore[arg-type]
        if log.turn is None:
            self._emit(events.TurnStarted(turn=log.turns + 1, message_id=message["id"]))
        self._emit(events.Delivery(message_id=message["id"], status="accepted"))
        report["late_accepted"] += 1

    def _end_turn(self, seen: reread.Seen) -> None:
        """End the open turn as the agent's files say, else as cut off."""
        log, end, turn = self._log, seen.end, self._log.turn
        assert turn is not None
        duration = 0.0
        with contextlib.suppress(ValueError):
            duration = round(max(0.0, last_sign(self._run_dir, self._about, log) - times.parse_iso(log.turn_ts)), 3)
        if end is not None and end.outcome == "completed":
            said = self._quote(end.last_message)[: events.LAST_MESSAGE_LIMIT]
            usage = log.turn_sums.used() if log.turn_sums.calls else None
            self._emit(events.TaskComplete(turn=turn, duration_s=duration, last_message=said, usage=usage))
            return
        why = self._quote(end.detail or end.last_message)[: events.LAST_MESSAGE_LIMIT] if end else MESSAGE
        self._emit(
            events.TurnFailed(
                turn=turn,
                reason=(end.reason if end else "") or ("interrupted" if end else "other"),
                outcome=end.outcome if end else "interrupted",
                retry_at=end.retry_at if end else None,
                message=why,
                duration_s=duration,
            )
        )

    def add(self, told: Iterable[events.Event]) -> None:
        """Add the events that came with the history record."""
        if self._events is not None:
            for event in told:
                self._emit(event)

    def close(self, row: dict[str, Any]) -> None:
        """Write `exited` if it is missing.

        Raises OSError if the disk has no room for the added events.
        """
        if self._events is None:
            return
        exited = events.Exited(
            code=row.get("code"),
            signal=row.get("signal"),
            reason=str(row.get("reason")),
            message=str(row.get("message") or ""),
            killed=tuple(row.get("killed") or ()),
        )
        self._emit(exited)
        kept = self._events.flush()
        self._events.close()
        if not kept:
            raise OSError(28, "No space left on device")

    def _emit(self, event: events.Event) -> None:
        assert self._events is not None
        self._events.append(event)
        self._log.take({"type": event.type, "id": self._about["id"], "ts": clock.stamp(), **event.fields()})

    def _quote(self, text: str) -> str:
        return text if self.may_quote else "[left out: the secrets of that session are not known here]" if text else ""


def last_sign(run_dir: str, about: dict[str, Any], log: fold.Digest) -> float:
    """Return when the run was last seen alive, in epoch seconds.

    That is the agent's last output, or the last event that was noted.
    """
    now, signs = clock.wall(), []
    if isinstance(about.get("idle_mtime"), float):
        signs.append(about["idle_mtime"])
    with contextlib.suppress(OSError):
        signs.append(os.stat(os.path.join(run_dir, "session.cast")).st_mtime)
    for text in (log.last_sign, str(about.get("started_at"))):
        with contextlib.suppress(ValueError):
            signs.append(times.parse_iso(text))
    # A clock that was set back leaves times in the future: no sign of life
    # counts as later than now.
    return min(max(signs, default=now), now)

"""The record of a finished run: `usage`, the history record, `exited`. Then the
session leaves the registry.

The order is part of the contract: from it recovery sees what a killed
supervisor had not written yet.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from harnex import clock, paths, process
from harnex.launch.spec import Spec
from harnex.machines.status import Situation
from harnex.model import events
from harnex.model.records import BackgroundWork, EndResult, Tokens
from harnex.redaction.redactor import Clean
from harnex.store import history
from harnex.store.eventlog import FULL
from harnex.supervisor import dispatch
from harnex.supervisor.agent import Agent
from harnex.supervisor.dispatch import Records
from harnex.supervisor.journal import Journal


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run took and left behind."""

    duration_s: float
    calls: int | None
    usage: Tokens | None  # the sums of its calls
    swept: int  # number of processes that were ended after the agent
    killed: list[BackgroundWork]  # background work that ended with the session
    skipped_bytes: int  # bytes of the agent's output that were never shown


class Closing:
    """Writes the end of one run, once."""

    def __init__(
        self, spec: Spec, journal: Journal, agent: Callable[[], Agent], situation: Situation, records: Records
    ) -> None:
        self._spec, self._journal, self._agent, self._records = spec, journal, agent, records
        self._situation, self._end = situation, situation.end
        self.row: Clean | None = None  # the history record, once it is known
        self._in_history = False
        # Whether `exited` was given to the log, where it may wait in memory for room.
        self._told = False

    def record(self, reason: str, message: str, exit_code: int, taken: Taken) -> Clean:
        """Make the history record, and write the `usage` event."""
        end, child, redactor = self._end, self._agent().child, self._journal.redactor
        self._journal.emit(
            events.Usage(calls=taken.calls, tokens=taken.usage, agent_session_id=self._agent().session_id)
        )
        ended_at = clock.stamp()
        end.message = redactor.text(message)
        row = dispatch.dispatch(
            self._journal.entry(),
            git=self._records.git,
            counts=self._journal.counts,
            ended_at=ended_at,
            duration_s=taken.duration_s,
            exit=exit_code,
            code=child.code,
            signal=child.signal,
            reason=reason,
            message=end.message,
            turns=self._situation.turns.done,
            usage=taken.usage,
            swept=taken.swept,
            killed=redactor.clean(taken.killed),
            skipped_bytes=taken.skipped_bytes,
            redacted=redactor.count,
        )
        self.row = redactor.record(row)
        return self.row

    def write(self, row: Clean) -> bool:
        """Append the record to the history. Returns False if the disk has no room: call again.

        A run without a record never happened, so a full disk is waited for. Other errors are not.
        """
        if self._in_history:
            return True
        try:
            history.append(self._spec.state, row)
        except OSError as e:
            if e.errno in FULL:
                return False
            self._journal.diagnose(f"the record of the run can't be written to the history: {e.strerror}")
        self._in_history = True
        return True

    def leave(self, row: Clean, ended: Callable[[Clean], None]) -> bool:
        """Write the summary and `exited`, and leave the registry.

        Returns False if the disk has no room yet for `exited`: call again. `ended(row)` is called
        after `exited` is written and before the session leaves the registry.
        """
        spec, child = self._spec, self._agent().child
        if not self._told:
            self._told = True
            self._records.leave(row)
            if spec.endpoint_pid:
                process.send_signal(spec.endpoint_pid, signal.SIGTERM, spec.endpoint_start)
            self._journal.emit(
                events.Exited(
                    code=child.code,
                    signal=child.signal,
                    reason=row["reason"],
                    message=self._end.message,
                    killed=tuple(row["killed"]),
                )
            )
        if not self._journal.log.flush() and self._journal.log.full:
            return False
        ended(row)
        self._agent().helpers.close()
        self._journal.close()
        child.close()
        self._end.done = True
        self._end.result = self.result(row)
        return True

    def result(self, row: Clean) -> EndResult:
        """Return how the session ended, for those who waited for the end."""
        child = self._agent().child
        return {
            "run_id": self._spec.run_id,
            "reason": row["reason"],
            "code": child.code,
            "signal": child.signal,
            "exit_code": row["exit"],
            "message": row["message"],
            "swept": row["swept"],
            "killed": row["killed"],
            "run_dir": paths.run_dir(self._spec.state, self._spec.run_id),
        }

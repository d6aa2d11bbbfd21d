"""How a session ends, whichever way: every run gets its `exited` event, its history row, and no process stays.

The order is fixed: the ladder (if it was asked for), the child's end, the rest of its output and of
its evidence, the sweep, `usage`, the history row, `exited`, the registry entry, the waiters' replies.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from harnex import clock, errors, paths, process
from harnex.machines.stopping import Ladder
from harnex.model import events
from harnex.model.facts import Over, State, TurnEnded
from harnex.redaction.redactor import Clean
from harnex.store import history
from harnex.store.eventlog import FULL
from harnex.supervisor import dispatch
from harnex.supervisor.repository import POLL_S as GIT_POLL_S
from harnex.supervisor.sweep import Sweep, may_live

if TYPE_CHECKING:
    from harnex.supervisor.session import Session

PIPES_CLOSED_S = 30.0
DRAIN_S = 0.5  # for the rest of the output, when something else holds the terminal open
DRAW_S = 5.0  # for the rest of it on the screen, which a flood may fill with what is slow to draw
ROWS_S = 30.0  # for the rest of the evidence, when something else goes on to write it
EVIDENCE_S = 0.3  # agents buffer their last rows for about 100 ms
SWEEP_EVERY_S = 0.05
SWEEP_S = 8.0
RETRY_S = 1.0  # a full disk is tried again this often
SIGNALLED = "the supervisor was told to end by a signal"
EARLY_S = 0.7  # a child that is gone by then, with an error, did not boot

EXIT_CODE_OF = {
    "success": errors.DONE,
    "stopped": errors.DONE,
    "timeout": errors.TIMEOUT,
    "budget": errors.BUDGET,
}


class Ending:
    """The last chapter of a session; `stop` may be asked for at any time, `step` does what is due."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.reason: str | None = None  # why harnex ends it; None: the agent ended by itself
        self.ladder: Ladder | None = None
        self.done = False
        self._reaped_at: float | None = None  # the child is gone, and not all that it wrote is read
        self._gone_at: float | None = None
        self._eof_at: float | None = None
        self._reading = False  # there was more than a pass of the loop had time for
        self._sweep: Sweep | None = None
        self._next_sweep = 0.0
        self._swept = False
        self._closed = False  # the turn, after the rest of the output was read
        self._last_state = State.STARTING
        self._exit_code: int | None = None
        self._words = ""
        self._killed = ""  # why the agent is dead, which is not the child
        self._row: Clean | None = None  # the history row, once it is known
        self._in_history = False
        self._told = False  # `exited`, to the log: it may wait in memory for room
        self.result: dict[str, Any] = {}
        self.message = ""

    @property
    def under_way(self) -> bool:
        return self.reason is not None or self._gone_at is not None

    @property
    def verdict(self) -> int | None:
        """The exit code that the end was given in advance, None if it has its usual one."""
        return self._exit_code

    def stop(self, reason: str, force: bool = False, exit_code: int | None = None, message: str = "") -> None:
        """Begin to end the session; a second, forced, call goes straight to KILL.

        `exit_code` is its outcome where the reason does not say it all; `message` are words about it.
        """
        session = self._session
        if session.headless is not None and session.headless.conclusion.stop(force, clock.monotonic()):
            return
        if self._gone_at is not None:
            return
        if self.reason is None:
            self.reason, self._exit_code, self._words = reason, exit_code, message
            session.delivery.fail_all(
                f"the session ends: {message}" if exit_code else "the session was stopped", keep=message == SIGNALLED
            )
        elif not force:
            return
        polite = session.adapter.stop_steps(session.verdict.state, session.version)
        self.ladder = Ladder.of(polite, force)

    def over(self, fact: Over) -> None:
        """The reader says that nothing is left to supervise: what is in the terminal is ended."""
        if self._gone_at is not None:
            return
        session = self._session
        session.helpers.close()
        if self.reason is None and fact.reason == "killed":
            self._killed = fact.message  # as if what is in the terminal had died, too
            session.child.kill(signal.SIGKILL)
            return
        if self.reason is None:
            self.reason, self._words = fact.reason, fact.message
            session.delivery.fail_all(fact.message or "the session ended")
        self.ladder = Ladder.of((), False)

    def undone(self, now: float) -> None:
        """The reader could not do what a step asked of it."""
        if self.ladder is not None:
            self.ladder.give_up(now)

    def wake_at(self, now: float) -> float | None:
        if self._sweep is not None:
            return self._next_sweep
        if self._closed:
            return None  # what a headless agent left running is waited for: its conclusion says when to look
        if self._gone_at is not None or self._reaped_at is not None:
            return now if self._reading else now + 0.02
        if self.ladder is not None:
            return self.ladder.wake_at()
        return self._eof_at + self._patience if self._eof_at is not None else None

    @property
    def _patience(self) -> float:
        """How long an agent may live on with its output closed. Without a terminal that is no loss: it may tidy up."""
        return DRAIN_S if self._session.headless is None else PIPES_CLOSED_S

    def step(self, now: float) -> None:
        """Do what is due."""
        session = self._session
        if self.done:
            return
        if self.reason is not None:
            session.background.ending(now)
        if self._gone_at is None:
            if session.child.reap():
                if self.reason is None and (session.headless is not None or session.watcher.may_restart):
                    self._reaped_at = self._reaped_at or now
                    if not self._read_out(self._reaped_at, now):
                        return
                    if session.headless is not None and session.headless.again(now):
                        self._reaped_at = None
                        return
                if self.reason is None and session.watcher.gone(now, self._killed):
                    self._killed, self._reaped_at = "", None
                    return  # another process takes its place
                if self.reason is None and self._killed:
                    self.reason, self._words = "killed", self._killed
                self._gone_at = now
                if session.headless is None:
                    session.background.ending(now)
                self._last_state = session.verdict.state  # it is `stopping` from now on
            elif session.child.at_eof and self.ladder is None:
                # It closed its terminal. If it lives on, nobody could ever see or reach it again.
                self._eof_at = self._eof_at or now
                if now >= self._eof_at + self._patience:
                    self.stop(reason="disconnected")
            if self._gone_at is None:
                self._climb(now)
                return
        if self._sweep is None:
            if not self._closed:
                if not self._drained(now):
                    return
                self._closed = True
                self._close_turn(now)
            if session.headless is not None and session.headless.conclusion.leaves(now):
                return
            session.background.ending(now)
            self._sweep = Sweep(session.spec.run_id, now, session.spec.keep)
            self._next_sweep = now
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_EVERY_S
            if not self._swept:
                self._swept = self._sweep.step(now) or now > self._gone_at + SWEEP_S
                for remark in self._sweep.remarks() if self._swept else ():
                    session.journal.diagnose(remark)
            if self._swept:
                self._next_sweep = now + GIT_POLL_S
                if session.records.close(now):
                    self._finish(now)

    def _climb(self, now: float) -> None:
        session = self._session
        if self.ladder is None:
            return
        raw = session.activity.decide(now).state
        step = self.ladder.next_step(raw, session.turns.open is not None, now)
        if step is None:
            return
        if step.when and not any(step.when in line for line in session.terminal.view.lines):
            self.ladder.give_up(now)
            return
        if step.signal:
            session.child.kill(step.signal)
        if step.until == "prompt" and not step.keys:
            session.interrupt(now)
        elif step.ask:
            session.take(session.reader.ask(step.ask) or (), now)
        elif step.keys:
            session.type(step.keys)

    def _drained(self, now: float) -> bool:
        """Whether the rest of the output and of the evidence has been read."""
        session = self._session
        assert self._gone_at is not None
        if not self._read_out(self._reaped_at or self._gone_at, now):
            return False
        waits = session.turns.open is not None and session.turns.open.ended is None
        return not waits or now >= self._gone_at + EVIDENCE_S

    def _read_out(self, since: float, now: float) -> bool:
        """Read the rest of what a process that is gone `since` wrote, a part of it in each pass of the loop; True when
        nothing more comes. What others write who hold its terminal or its files open may never end: not waited for."""
        session = self._session
        late = now >= since + DRAIN_S and not session.child.at_eof
        self._reading = (session.behind or not late) and session.read_child(now)
        if session.behind or (self._reading if session.child.at_eof else not late):
            return False
        if session.terminal.drawing and now < since + DRAW_S:
            self._reading = True
            return False
        facts = session.evidence.poll(now, force=True)
        session.take(facts, now)
        self._reading = (bool(facts) or session.evidence.backlog) and now < since + ROWS_S  # a row may name a file
        return not self._reading

    def _close_turn(self, now: float) -> None:
        session = self._session
        session.terminal.finish(now)
        session.take(session.reader.ended(), now)
        outcome = "failed" if self.reason in (None, "disconnected", "killed") else "interrupted"
        words = self._words or f"the session ended ({self.reason})"
        why = words if self.reason else "the agent exited in the middle of the turn"
        turn = session.turns.open
        if session.headless is not None and outcome == "interrupted" and turn is not None:
            # Cut short by harnex, whatever the agent made of that; if it had completed before, it has.
            turn.ended = turn.ended if turn.ended is not None and turn.ended.outcome == "completed" else None
        session.apply(session.turns.process_ended(now, TurnEnded("process", outcome, reason="other", detail=why)), now)  # type: ignore[arg-type]
        # An agent that died may be started again where it was, and then gets them.
        died = self.reason is None and (session.child.signal is not None or session.child.code != 0)
        died = died or bool(self._killed)
        session.delivery.fail_all("the session ended", keep=died)

    def _why(self, now: float) -> tuple[str, str]:
        """The reason of the end, and words about it."""
        session = self._session
        child = session.child
        if self.reason is not None:
            return self.reason, self._words
        if session.headless is not None:
            return session.headless.why()
        early = self._gone_at is not None and self._gone_at - session.begun < EARLY_S and not session.activity.was_ready
        if child.signal is not None:
            return "boot_failure" if early else "killed", f"the agent was ended by {signal_name(child.signal)}"
        if child.code == 0:
            last = session.turns.last
            if last is not None and last.end.source == "process" and last.end.outcome == "failed":
                return "failure", "the agent exited with code 0 in the middle of a turn"
            return "success", ""
        booting = self._last_state in (State.STARTING, State.STOPPING) and session.turns.done == 0
        view = session.terminal.view
        words = last_words(tuple(session.redactor.redact_lines(view.lines, view.columns)))
        return ("boot_failure" if early or (booting and not session.activity.was_ready) else "failure"), words

    def _finish(self, now: float) -> None:
        session = self._session
        if self._row is None:
            if session.headless is not None:
                session.headless.close()
            session.terminal.close(now)
            self._row = self._dispatch_record(*self._why(now), now)
        if not self._in_history:
            try:
                history.append(session.spec.state, self._row)
            except OSError as e:
                if e.errno in FULL:  # a run without a record never was: it is over when there is room for that
                    self._wait_for_room(now)
                    return
            self._in_history = True
        if self._leave(self._row):
            session.requests.ended()
        else:
            self._wait_for_room(now)

    def _wait_for_room(self, now: float) -> None:
        """The disk is full. The agent and its processes are gone, so who ended the session need not wait as well."""
        assert self._row is not None
        self._next_sweep = now + RETRY_S
        self.result = {**self._result(self._row), "recorded": False}
        self._session.requests.unrecorded()

    def record_end(self, reason: str, message: str, now: float) -> None:
        """Write `usage`, the history row and `exited`, and leave the registry, now, or leave it all to recovery."""
        row = self._dispatch_record(reason, message, now)
        try:
            history.append(self._session.spec.state, row)
        except OSError as e:
            if e.errno in FULL:
                return  # the next command that looks finds the run dead, and writes its end when there is room
        self._leave(row)

    def _dispatch_record(self, reason: str, message: str, now: float) -> Clean:
        """The history row, and the `usage` event."""
        session, child = self._session, self._session.child
        session.background.over(now)
        if reason == "success" and (why := session.watcher.unmeasured):
            reason, message, self._exit_code = "failure", why, errors.PERSON_NEEDED
            session.emit(events.Escalated(reason="budget", message=why, stopped=True))
        totals = session.totals.sums()
        session.emit(events.Usage(calls=session.totals.calls, tokens=totals, agent_session_id=session.agent_session_id))
        left = sorted(self._sweep.ended) if self._sweep else []
        ended_at = clock.iso()
        self.message = session.redactor.text(message)
        code = EXIT_CODE_OF.get(reason, errors.FAILED)
        if session.headless is not None:
            code = session.headless.exit_code(reason, code)
        exit_code = self._exit_code if self._exit_code is not None else session.watcher.outcome(reason)
        if exit_code is None:
            exit_code = code
        row = dispatch.dispatch(
            session.journal.entry(),
            git=session.records.git,
            counts=session.journal.counts,
            ended_at=ended_at,
            duration_s=round(now - session.begun, 3),
            exit=exit_code,
            code=child.code,
            signal=child.signal,
            reason=reason,
            message=self.message,
            turns=session.turns.done,
            usage=totals,
            swept=len(left),
            killed=session.redactor.clean(self._killed_work()),
            skipped_bytes=session.terminal.skipped,
            redacted=session.redactor.count,
        )
        return session.redactor.record(row)

    def _killed_work(self) -> list[dict[str, Any]]:
        """The background work that ended with the session: all of it but what the person asked to keep."""
        keep = self._session.spec.keep if self._sweep is not None and self._sweep.kept else ()
        return [work for work in self._session.background.killed if not may_live(str(work["command"]), keep)]

    def _leave(self, row: Clean) -> bool:
        """Write the summary and `exited`, and leave the registry. False: there is no room yet for `exited`; ask again."""
        session, child = self._session, self._session.child
        if not self._told:
            self._told = True
            session.records.leave(row)
            if session.spec.endpoint_pid:
                process.send_signal(session.spec.endpoint_pid, signal.SIGTERM, session.spec.endpoint_start)
            session.emit(
                events.Exited(
                    code=child.code,
                    signal=child.signal,
                    reason=row["reason"],
                    message=self.message,
                    killed=tuple(row["killed"]),
                )
            )
        if not session.journal.log.flush() and session.journal.log.full:
            return False
        session.watcher.ended(row["reason"], row["exit"], row["message"])
        session.watcher.close()
        session.helpers.close()
        session.journal.close()
        child.close()
        self.done = True
        self.result = self._result(row)
        return True

    def _result(self, row: dict[str, Any]) -> dict[str, Any]:
        """How the session ended, for those who waited for it."""
        session, child = self._session, self._session.child
        return {
            "run_id": session.spec.run_id,
            "reason": row["reason"],
            "code": child.code,
            "signal": child.signal,
            "exit_code": row["exit"],
            "message": row["message"],
            "swept": row["swept"],
            "killed": row["killed"],
            "run_dir": paths.run_dir(session.spec.state, session.spec.run_id),
        }


def last_words(lines: tuple[str, ...], most: int = 6) -> str:
    """The last lines that a program left on its screen: for a failed start, its real error."""
    said = [line.strip() for line in lines if line.strip()]
    return "\n".join(said[-most:])[:1000]


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

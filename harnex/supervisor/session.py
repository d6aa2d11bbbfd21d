"""A session: one thread, one selectors loop, no locks. It wires the pure machines to the world.

    PTY bytes -> terminal -> reader -> facts --+
    agent's files -> evidence -> reader -------+-> activity, turns, inbox -> events, registry, replies

After every wakeup `think` runs once: it asks each machine what follows from what has happened, and the
loop sleeps until the earliest moment that one of them named.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from harnex import clock, paths, process
from harnex.agents.catalogue import adapter_for, headless_for
from harnex.errors import HarnexError
from harnex.launch.spec import Spec
from harnex.machines.activity import Activity, Verdict
from harnex.machines.changes import Changes
from harnex.machines.turns import Closed, Opened, Turns
from harnex.machines.waiting import Standing, describe
from harnex.model import events
from harnex.model.facts import Fact, Observation, Retracted, State, TurnEnded
from harnex.redaction import rules
from harnex.store.recording import Recording
from harnex.supervisor import boot, reserve
from harnex.supervisor.answers import Answers
from harnex.supervisor.background import BackgroundWork
from harnex.supervisor.child import Child
from harnex.supervisor.control import Control
from harnex.supervisor.delivery import Delivery
from harnex.supervisor.dispatch import Records
from harnex.supervisor.ending import SIGNALLED, Ending
from harnex.supervisor.evidence import Evidence, FollowedFiles, descendants
from harnex.supervisor.facts import closed_before, end_event, take_fact
from harnex.supervisor.feed import Terminal
from harnex.supervisor.helpers import Helpers
from harnex.supervisor.journal import Journal
from harnex.supervisor.measured import Measured
from harnex.supervisor.offspring import reap
from harnex.supervisor.requests import Requests
from harnex.supervisor.sweep import sweep_now
from harnex.supervisor.totals import Totals
from harnex.supervisor.watcher import ECHO_S, REDRAW_S, Watcher, with_reset
from harnex.terminal.scanner import Scanned

if TYPE_CHECKING:
    from harnex.supervisor.headless import Headless
    from harnex.supervisor.pipes import PipeChild

GOODBYE_S = 3.0  # for clients to take their last reply
ANSWERS_MAX = 64 << 10  # bytes that wait for a child that does not read: more answers to its queries don't


class Session:
    """One supervised agent, from `start` to the end of `run`."""

    def __init__(self, spec: Spec) -> None:
        now = clock.monotonic()
        self.spec = spec
        self.version = tuple(spec.version) if spec.version else None
        self.adapter = headless_for(spec.adapter) if spec.headless else adapter_for(spec.adapter)
        self.reader = self.adapter.reader(self.version)
        self.activity = Activity(self.adapter.sources, self.version, now)
        self.turns = Turns()
        self.delivery = Delivery(self)
        self.inbox = self.delivery.inbox
        self.totals = Totals()
        self.measured = Measured(self)
        self.verdict = Verdict(State.STARTING)
        self.changes = Changes()
        self.started_at = clock.iso()
        self.state_since = self.started_at
        self.agent_session_id = spec.agent_session_id
        self.tmux: str | None = None
        self.person_typed = -1e9
        self._turn_closed = False  # in this pass of the loop
        self._look_stopped = False  # a signal told of a child
        self.stopped = False  # the agent's process is suspended by a signal
        if spec.before:  # the run that this one goes on with had come to rest: its last turn is the last one still
            self.turns.last = closed_before(spec.before)
        self._lines: tuple[str, ...] = ()  # of the screen, when it was last read
        self._prompt_after: int | None = None  # a place in the output: what is before it must be drawn first
        self.begun = now
        self.selector = selectors.DefaultSelector()
        self.finished = False
        self.deadline = now + spec.timeout if spec.timeout else None
        self.on_boot: Callable[[dict[str, Any]], None] | None = None  # told once how the start went
        self.ending = Ending(self)
        self.requests = Requests(self)
        self.answers = Answers(self)
        self.background = BackgroundWork(self)
        self.watcher = Watcher(self)
        self.headless: Headless | None = None
        if spec.headless:
            from harnex.supervisor.headless import Headless  # only here: a session on a terminal needs none of it

            self.headless = Headless(self)

    # ---- start ----

    def start(self) -> None:
        """Start the child. Raises HarnexError with the real cause if it can't be."""
        spec = self.spec
        run_dir = paths.run_dir(spec.state, spec.run_id)
        self.reserve = reserve.Reserve()
        env = boot.child_env(spec)
        boot.take_zone(env)
        self.redactor = rules.redactor(spec.redact, env, spec.lease["secrets"] if spec.lease else ())
        self.journal = Journal(spec, self.redactor, self.record)
        self.emit = self.journal.emit
        now = clock.monotonic()
        self.terminal = Terminal(
            spec.columns,
            spec.rows,
            Recording(
                os.path.join(run_dir, "session.cast"),
                spec.columns,
                spec.rows,
                spec.id,
                raw=spec.record == "raw",
                timestamp=int(clock.wall()),
                redactor=self.redactor,
            ),
            now,
        )
        socket = paths.socket_path(spec.state, spec.run_id)  # before the child: it may not be possible
        self.reader.began = clock.wall()
        self.child: Child | PipeChild = (
            self.headless.spawn(env)
            if self.headless is not None
            else Child(tuple(spec.argv), env, spec.cwd, spec.columns, spec.rows)
        )
        self.evidence = Evidence(self.reader, lambda: descendants(self.child.pid), now, FollowedFiles(run_dir).add)
        self.helpers = Helpers(env, spec.cwd)
        self.control = Control(socket, self.selector, self.requests.handle)
        self._watch_child()
        self._watch_signals()
        self.emit(
            events.Started(
                pid=self.child.pid,
                cli=spec.cli,
                cli_version=spec.version_text,
                mode=spec.mode,
                permissions=spec.permissions,
                meta=spec.meta,
                cwd=spec.cwd,
                agent_session_id=spec.agent_session_id,
                rehearsal=spec.rehearsal,
                notes=tuple(spec.notes),
                resumes=spec.resumes,
            )
        )
        known = self.adapter.known
        if known is not None and (self.version is None or not known[0] <= self.version <= known[1]):
            self.journal.diagnose(
                f"{spec.cli} {spec.version_text or 'of unknown version'} was not measured "
                f"({'.'.join(map(str, known[0]))} to {'.'.join(map(str, known[1]))} were): its state may be less certain"
            )
        self.records = Records(self, now)
        if self.headless is not None:
            self.headless.begin(spec.prompt)
        self.take(self.reader.spawned(self.child.pid, env, spec.cwd), now)
        if spec.watch_file is not None:
            self.watcher.hook(spec.watch_file)
        if spec.policy is not None:
            from harnex.watch.policy import Policy

            self.watcher.begin(Policy.load(spec.policy))
        self.delivery.take_kept()
        self.journal.write()

    def _watch_child(self) -> None:
        for fd in self.child.fds:
            self.selector.register(fd, selectors.EVENT_READ, self._on_child)

    def renew(self, child: Child | PipeChild) -> None:
        """A second process goes on with the conversation of one that has ended, headless or crashed."""
        self.child = child
        self._watch_child()
        self.journal.changed()

    def _watch_signals(self) -> None:
        """Signals wake the loop through a pipe; what they ask for is done in `think`."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ending.stop(reason="stopped", message=SIGNALLED))
        signal.signal(signal.SIGCHLD, lambda *_: self._child_changed())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.selector.register(reader, selectors.EVENT_READ, lambda mask: os.read(reader, 512))

    def _child_changed(self) -> None:
        self._look_stopped = True

    def _see_stopped(self) -> None:
        """A child was stopped, continued or ended: is it the agent's process that stands still?"""
        self._look_stopped = False
        reap()
        stopped = process.is_stopped(self.child.pid)
        if stopped and not self.stopped:
            self.journal.diagnose(f"the agent's process {self.child.pid} was stopped by a signal: no message is typed")
        self.stopped = stopped

    # ---- the loop ----

    def run(self) -> None:
        """Until the session is over. Never raises for what the agent or a client does."""
        while not self.finished:
            try:
                self._pass()
            except OSError as e:
                if not reserve.is_lack(e) or not self.reserve.release():
                    raise
                self.control.shrink()
                self.journal.diagnose(reserve.words(e))
                if not self.child.reap():  # else it ended by itself, and its end is told
                    self.ending.stop("failure", message=reserve.words(e))
        self._say_goodbye()

    def _pass(self) -> None:
        wake = self._wake_at()
        timeout = None if wake is None else max(0.0, wake - clock.monotonic())
        for key, mask in self.selector.select(timeout):
            if key.fd in self.selector.get_map():  # an earlier one may have closed it
                key.data(mask)
        self.think(clock.monotonic())

    def _say_goodbye(self) -> None:
        """Let the last replies reach their readers, for a moment, and take the socket away."""
        until = clock.monotonic() + GOODBYE_S
        while self.control.unsent and clock.monotonic() < until:
            for key, mask in self.selector.select(until - clock.monotonic()):
                if key.fd in self.selector.get_map():
                    key.data(mask)
        self.control.close()

    def think(self, now: float) -> None:
        """What follows from what happened. Ordered: evidence, state, turns, delivery, replies, record."""
        if self._look_stopped:
            self._see_stopped()
        if self.terminal.unread:
            self._heed(self.terminal.output(b"", now), now)
        if self.headless is not None and self.headless.behind:
            self.headless.read(now)
        if self.terminal.settle(now):
            self._read_screen(now)
        if self.terminal.resync_due(now):
            self._jiggle()
        self.take(self.evidence.poll(now, resting=self._rests), now)
        for result in self.helpers.poll(now):
            self.take(self.reader.command(result), now)
        self._decide(now)
        self.apply(self.turns.tick(now, self._screen_end()), now)
        self.answers.step(now)
        self.background.step(now)
        if self.headless is not None:
            self.headless.conclusion.step(now)
        self.measured.step(now)
        self.watcher.step(now)
        self.delivery.step(now)
        if self._turn_closed:
            # Who is told of the end may look at once: the screen and the recording have caught up by then.
            self._turn_closed = False
            if self.terminal.settle(now, early=True):
                self._read_screen(now)
                self._decide(now)
        self.control.step()
        self.requests.tick(now)
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
            self.ending.stop(reason="timeout")
        self.records.step(now)
        self.ending.step(now)
        if not self.finished:
            if self.journal.look(now):
                if self.control.listen_again():
                    self.journal.diagnose("the session's socket was removed while it ran: it was made anew")
                self.terminal.recording.renew()
            self.journal.step(now)
        self._watch_writable()
        boot.tell(self, now)

    @property
    def _rests(self) -> bool:
        return self.verdict.state is State.PROMPT and self.turns.open is None and not self.inbox.pending

    def _wake_at(self) -> float | None:
        now = clock.monotonic()
        times = [
            self.terminal.wake_at(now),
            now if self.behind else None,
            self.evidence.wake_at(),
            self.helpers.wake_at(now),
            self.control.wake_at(now),
            self.verdict.wake_at,
            self.changes.wake_at(),
            self.turns.wake_at(),
            self.delivery.wake_at(now),
            self.requests.wake_at(),
            self.answers.wake_at(now),
            self.background.wake_at(),
            self.headless.conclusion.wake_at() if self.headless is not None else None,
            self.measured.wake_at(now),
            self.watcher.wake_at(),
            self.ending.wake_at(now),
            self.records.wake_at(now),
            self.deadline,
            self.journal.wake_at(),
            self.begun + boot.patience(self) if self.on_boot is not None else None,
        ]
        return min((t for t in times if t is not None), default=None)

    @property
    def behind(self) -> bool:
        """Whether output that was read waits for its turn."""
        return self.terminal.unread or (self.headless is not None and self.headless.behind)

    def _on_child(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self.child.flush()
        if mask & selectors.EVENT_READ and not self.terminal.unread:  # what was read before comes first
            self.read_child(clock.monotonic())

    def read_child(self, now: float) -> bool:
        """Take what the child wrote, or more of what was taken before; False if there was nothing."""
        if self.headless is not None:
            return self.headless.read(now)
        if self.terminal.unread:
            self._heed(self.terminal.output(b"", now), now)
            return True
        data = self.child.read()
        if self.child.at_eof and self.child.fd in self.selector.get_map():
            self.selector.unregister(self.child.fd)
        if not data:
            return False
        self.activity.output(now)
        self.evidence.stir(now)
        self.journal.agent_wrote(now)
        if self.terminal.resync_at is not None:
            self.watcher.flooded(now)
        self._heed(self.terminal.output(data, now), now)
        return True

    def _heed(self, scanned: Scanned, now: float) -> None:
        """What was found in the output: it is answered, told and shown."""
        if self.headless is None:
            if scanned.replies and self.child.waiting > ANSWERS_MAX:
                self.journal.diagnose("the agent asks its terminal, and does not read the answers: they are left out")
            else:
                self.child.write(scanned.replies)
            for code, body in scanned.oscs:
                self.take(self.reader.osc(code, body), now)
        self.requests.show(scanned.clean)

    def _watch_writable(self) -> None:
        if self.headless is None and self.child.fd in self.selector.get_map():
            mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.child.waiting else 0)
            if self.selector.get_key(self.child.fd).events != mask:
                self.selector.modify(self.child.fd, mask, self._on_child)

    # ---- facts ----

    def _read_screen(self, now: float) -> None:
        if self.terminal.view.lines != self._lines:
            self._lines = self.terminal.view.lines
            self.activity.changed(now)
        self.take(self.reader.screen(self.terminal.view), now)

    def _jiggle(self) -> None:
        columns, rows = self.terminal.size
        self.watcher.disturbed(REDRAW_S)
        self.child.resize(max(2, columns - 1), rows)
        self.child.resize(columns, rows)

    def take(self, learned: Iterable[Fact], now: float) -> None:
        """Hand each fact to the machine that it concerns."""
        for fact in learned:
            if isinstance(fact, Observation | Retracted):
                self.activity.observe(fact, now)
                # At once: `working` and `done` of a fast turn may come in one read, and were a turn all the same.
                self._decide(now)
            else:
                take_fact(self, fact, now)

    def turn_number(self) -> int | None:
        if self.turns.open is not None:
            return self.turns.open.number
        return self.turns.done or None

    # ---- state and turns ----

    def _decide(self, now: float) -> None:
        if self.changes.hold(now) and not self.ending.under_way:
            return  # a storm: the last word counts
        verdict = self.activity.decide(now)
        if verdict.state is State.PROMPT is not self.verdict.state and not self.ending.under_way:
            if self.terminal.settle(now, early=True):
                self._read_screen(now)  # what was painted before it was declared, a dialog perhaps
                verdict = self.activity.decide(now)
            if self._half_drawn():
                return
        else:
            self._prompt_after = None
        self.apply(self.turns.state(verdict.beneath, now, self.reader.records_prompts()), now)
        turn = self.turns.open
        if verdict.state is State.PROMPT and turn is not None and not turn.worked and turn.ended is None:
            # The agent took a prompt and does not show it yet: what it shows is the moment before.
            verdict = Verdict(State.BUSY, "turn", "a prompt was taken", wake_at=verdict.wake_at)
        if self.stopped:
            why = f"its process is stopped by a signal (kill -CONT {self.child.pid})"
            verdict = Verdict(State.UNKNOWN, "process", why, wake_at=verdict.wake_at)
        if self.ending.under_way:
            verdict = Verdict(State.STOPPING, "harnex", self.ending.reason or "ending", wake_at=verdict.wake_at)
        old, self.verdict = self.verdict, verdict
        if verdict.same_as(old):
            return
        if self.changes.count(now):
            self.journal.diagnose(f"the state changes very often (by {verdict.source}): only the last word is told")
        if verdict.state is not old.state or verdict.dialog != old.dialog or verdict.asks_else(old.asks):
            self.state_since = clock.iso()
        self.emit(
            events.StateChanged(
                state=verdict.state.value,
                previous=old.state.value,
                source=verdict.source,
                reason=verdict.reason,
                dialog=verdict.dialog or None,
            )
        )
        if verdict.state is State.BLOCKED:
            self.emit(events.Blocked(dialog=verdict.dialog, options=verdict.options))
        elif verdict.state is State.BUSY and self.inbox.current is not None:
            self.delivery.act(self.inbox.accepted())
        self.journal.changed()

    def _half_drawn(self) -> bool:
        """Whether the screen lacks what was painted before a prompt was first declared: much was painted at once."""
        terminal = self.terminal
        if self._prompt_after is None:
            self._prompt_after = terminal.taken
        return terminal.drawing and terminal.shown < self._prompt_after

    def _screen_end(self) -> TurnEnded | None:
        """What the screen shows of how the last turn ended, asked only when nothing better came."""
        turn = self.turns.open
        if turn is None or turn.ended is not None or self.terminal.screen is None:
            return None
        return self.reader.outcome(self.terminal.view)

    def apply(self, changes: Iterable[Opened | Closed], now: float) -> None:
        """Tell what turns opened and closed."""
        for change in changes:
            self.journal.changed()
            self.background.turn(change, now)
            self.measured.turn(change, now)
            if isinstance(change, Opened):
                self.watcher.turn(change, now)
                self.emit(events.TurnStarted(turn=change.turn, message_id=change.message_id))
                continue
            self.turns.last = closed = with_reset(change, clock.wall())
            self.watcher.turn(closed, now)
            self.emit(end_event(closed, self.totals.of_turn(closed.turn)))
            self.delivery.turn_closed(closed)
            self._turn_closed = True
            self.requests.turn_closed(closed)

    @property
    def standing(self) -> Standing:
        """The session as waiters see it. From its first moment an end is none that somebody may go on from."""
        state = self.verdict.state
        if self.ending.under_way:
            state = State.EXITED if self.ending.done else State.STOPPING
        elif self.answers.in_hand or self.delivery.will_leave or self.changes.held:
            state = State.STARTING
        return Standing(
            state,
            self.verdict.dialog,
            self.inbox.pending + self.watcher.holds,
            self.turns.open is not None,
            self.turns.done,
            self.turns.last,
            self.headless is not None,
            self.ending.result.get("exit_code") if self.watcher.watch is not None else None,
            self.verdict.view.name if self.verdict.view is not None else "",
        )

    def interrupt(self, now: float) -> None:
        """Interrupt the running turn, as the agent wants it: by keys, or by a command."""
        facts = self.reader.ask("interrupt")
        if facts is not None:
            self.take(facts, now)
        else:
            self.type(self.adapter.interrupt(self.terminal.view, self.version))

    def type(self, data: bytes) -> str:
        """Send bytes to the agent's terminal, all or none; why not, "" if they were sent."""
        problem = ""
        self.watcher.disturbed(ECHO_S)
        try:
            self.child.write(data)
        except HarnexError as e:
            problem = e.message
            self.journal.diagnose(problem)
        self.evidence.stir(clock.monotonic())
        self._watch_writable()
        return problem

    # ---- what is written ----

    def record(self) -> dict[str, Any]:
        """The session record: what `status --json` prints (DESIGN section 10) and what readers need."""
        spec, verdict = self.spec, self.verdict
        return {
            **spec.identity(),
            "pid": self.child.pid,
            "supervisor_pid": os.getpid(),
            "state": verdict.state.value,
            "dialog": verdict.dialog or None,
            "state_since": self.state_since,
            "source": verdict.source or None,
            "turn": self.turn_number(),
            "last_outcome": describe(self.turns.last),
            "started_at": self.started_at,
            "calls": self.totals.calls,
            "tokens": self.totals.tokens,
            "tokens_unknown": self.totals.unknown,
            "tmux": self.tmux,
            "description": spec.description or None,
            "meta": spec.meta,
            "spawner": spec.spawner,
            "options": list(verdict.options),
            "pending": self.inbox.pending,
            "held_by": self.delivery.held_by,
            "background": self.background.record,
            **self.watcher.record,
            "agent_session_id": self.agent_session_id,
            "permissions": spec.permissions,
            "pid_start": self.child.started,
            "supervisor_start": process.start_time(os.getpid()),
            "socket": self.control.path,
            "events_path": self.journal.log.path,
        }

    def crash(self, report: str, reason: str = "supervisor_lost", why: str = "") -> None:
        """The last resort after a bug: the agent is killed and swept, the end is written."""
        self.journal.diagnose(f"harnex failed: {report.strip().splitlines()[-1][:300]}")
        self.child.kill(signal.SIGKILL)
        sweep_now(self.spec.run_id, self.spec.keep)
        self.child.reap()
        self.control.close()
        self.records.close_now()
        why = why or "a bug in harnex ended the session; see supervisor.log"
        self.ending.record_end(reason, why, clock.monotonic())

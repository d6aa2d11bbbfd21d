"""A session: one thread, one selectors loop, no locks. It wires the pure machines to the world.

    PTY bytes -> terminal -> reader -> facts --+
    agent's files -> evidence -> reader -------+-> activity, turns, inbox -> events, registry, replies

After every wakeup `think` runs once: it asks each machine what follows from what has happened, and the
loop sleeps until the earliest moment that one of them named.

Only this module knows all parts. A part gets the few values and callables that it needs; what it learns of the agent
comes back here (`learn`). What dies with the agent's process is its `Agent`.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from harnex import clock, errors, paths, process
from harnex.errors import HarnexError
from harnex.launch.spec import Spec
from harnex.machines.background import Work
from harnex.machines.ending import End
from harnex.machines.inbox import Message
from harnex.machines.status import Situation, Status, waited_for
from harnex.machines.turns import Closed, Opened, Turns
from harnex.machines.waiting import Standing, describe
from harnex.model import events, facts, records
from harnex.model.facts import Fact, Observation, Retracted, State, TurnEnded
from harnex.model.records import Json, SessionEntry, StartReply
from harnex.redaction import rules
from harnex.redaction.redactor import Clean
from harnex.store.recording import Recording
from harnex.supervisor import boot, reserve, words
from harnex.supervisor.agent import Agent
from harnex.supervisor.answers import Answers, Wanted
from harnex.supervisor.background import BackgroundWork
from harnex.supervisor.boot import Boot
from harnex.supervisor.child import Child
from harnex.supervisor.closing import Closing, Taken
from harnex.supervisor.control import Control, Peer
from harnex.supervisor.deciding import Deciding
from harnex.supervisor.delivery import Delivery, Heard, new_message_id
from harnex.supervisor.dispatch import Records
from harnex.supervisor.ending import EXIT_CODE_OF, SIGNALLED, Rest, Stopping, last_words
from harnex.supervisor.feed import Terminal
from harnex.supervisor.generations import Generations
from harnex.supervisor.hearing import Hearing
from harnex.supervisor.journal import Journal
from harnex.supervisor.loop import Loop
from harnex.supervisor.measured import Measured
from harnex.supervisor.panes import Panes
from harnex.supervisor.repository import POLL_S as GIT_POLL_S
from harnex.supervisor.requests import Op, Requests
from harnex.supervisor.senders import Senders
from harnex.supervisor.sweep import Sweep, may_live, sweep_now
from harnex.supervisor.tool_processes import ToolTable
from harnex.supervisor.totals import Totals
from harnex.supervisor.viewers import Viewers
from harnex.supervisor.waiters import Stoppers, Waiters
from harnex.supervisor.watcher import Watcher

if TYPE_CHECKING:
    from harnex.supervisor.conclusion import Conclusion
    from harnex.supervisor.headless import Headless
    from harnex.supervisor.pipes import PipeChild
    from harnex.watch.actions import Action, Sight
    from harnex.watch.policy import Policy

GOODBYE_S = 3.0  # for clients to take their last reply
PIPES_CLOSED_S = 30.0  # how long a headless agent may live on with its output closed: it may tidy up
TERMINAL_CLOSED_S = 0.5  # the same of one on a terminal: nobody could ever see or reach it again
EVIDENCE_S = 0.3  # agents buffer their last rows for about 100 ms
CALLS_S = 0.5  # for the rest of the evidence of a headless run, so that the answer comes behind its calls
SWEEP_EVERY_S = 0.05
SWEEP_S = 8.0
RETRY_S = 1.0  # a full disk is tried again this often
EARLY_S = 0.7  # a child that is gone by then, with an error, did not boot
CLEAN = b"\x1bc"  # the screen that an old process left is not the new one's


class Session:
    """One supervised agent, from `start` to the end of `run`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.begun = clock.monotonic()
        self.started_at = clock.stamp()
        self.situation = Situation(Status(self.started_at), Turns(), End())
        self.status, self.turns, self.end = self.situation.status, self.situation.turns, self.situation.end
        if spec.before:  # the run that this one goes on with had come to rest: its last turn is the last one still
            self.turns.last = words.closed_before(spec.before)
        self.totals = Totals()
        self.loop = Loop()
        self.deadline = self.begun + spec.timeout if spec.timeout else None
        self.finished = False
        self.tmux: str | None = None
        self.headless: Headless | None = None
        self.conclusion: Conclusion | None = None
        self._env: dict[str, str] = {}  # the agent's
        self._is_signalled = False  # a signal told the supervisor to end
        self._turn_closed = False  # in this pass of the loop
        # The end.
        self._reaped_at: float | None = None  # the child is gone, and not all that it wrote is read
        self._eof_at: float | None = None
        self._sweep: Sweep | None = None
        self._next_sweep = 0.0
        self._last_state = State.STARTING

    # ---- start ----

    def start(self) -> None:
        """Start the child. Raises HarnexError with the real cause if it can't be."""
        spec = self.spec
        run_dir = paths.run_dir(spec.state, spec.run_id)
        self.reserve = reserve.Reserve()
        self._env = env = boot.child_env(spec)
        self.redactor = rules.redactor(spec.redact, env, spec.lease["secrets"] if spec.lease else ())
        self.journal = Journal(spec, self.redactor, self.record)
        now = clock.monotonic()
        recording = Recording(
            os.path.join(run_dir, "session.cast"),
            spec.columns,
            spec.rows,
            spec.id,
            raw=spec.record == "raw",
            timestamp=int(clock.wall()),
            redactor=self.redactor,
        )
        self.terminal = Terminal(spec.columns, spec.rows, recording, now)
        socket = paths.socket_path(spec.state, spec.run_id)  # before the child: it may not be possible
        self.generations = Generations(spec, self.terminal, self.journal, self.learn)
        self.agent = agent = self.generations.first(env)
        self.wire()
        self.control = Control(socket, self.loop.selector, self.requests.handle)
        self._listen_to_child()
        self.loop.on_signals(self._note_signal, self.deciding.note_child)
        self._tell_start()
        self.records = Records(spec, self.journal, self.redactor, now)
        self.closing = Closing(spec, self.journal, self._agent, self.situation, self.records)
        if self.headless is not None:
            self.headless.begin(spec.prompt)
        self.learn(agent.reader.spawned(agent.child.pid, env, spec.cwd), now)
        if spec.watch_file is not None:
            self.watcher.hook(spec.watch_file, self.loop.selector, self._say)
        if spec.policy is not None:
            from harnex.watch.policy import Policy

            self._begin_watch(Policy.load(spec.policy))
        self.delivery.take_kept()
        self.journal.write()

    def wire(self) -> None:
        """Make the parts. The journal, the terminal and the agent are there already."""
        spec, journal, situation = self.spec, self.journal, self.situation
        self.deciding = Deciding(self._agent, situation, journal, self.apply, self._works)
        self.boot = Boot(spec, self._agent, situation, journal.log.path, self.begun)
        self.measured = Measured(spec.headless, self._agent, self.status, journal.diagnose)
        self.answers = Answers(spec, journal, self._agent, self.status)
        self.watcher = Watcher(spec, journal, self._agent, situation, self._sight)
        tools = ToolTable(spec, self._agent)
        self.background = BackgroundWork(tools, self.turns, self.end, journal, self._background_ended)
        self.viewers = Viewers(spec, self._agent)
        heard = Heard(self.watcher.message_came, self.measured.typed, self._message_moved)
        self.delivery = Delivery(journal, self._agent, situation, self.viewers, heard)
        self.waiters = Waiters(spec, situation, self._standing, self._background_shown)
        self.senders = Senders(spec, situation, self.delivery, self._standing, self._background_shown)
        self.panes = Panes(spec, self._agent, self.status)
        self.stopping = Stopping(situation, self._agent, self.delivery.fail_all)
        self.stoppers = Stoppers(spec, self.end, lambda force: self.stop("stopped", force=force))
        self.requests = Requests(spec, self._ops(), lambda: self.control.full, journal.diagnose)
        self.hearing = Hearing(self._agent, self.loop, journal, self.viewers, self.watcher.flooded)
        self._rest = Rest(self._agent, lambda: self.behind, self.read_child)
        self._on_fact = self._routes()
        if spec.headless:
            self._wire_headless()

    def _wire_headless(self) -> None:
        from harnex.supervisor.conclusion import Conclusion  # only here: a session on a terminal needs none of it
        from harnex.supervisor.headless import Headless
        from harnex.watch.background import Waits
        from harnex.watch.policy import Policy

        waits = Waits(Policy(background_wait=self.spec.background_wait))
        self.conclusion = Conclusion(waits, self.journal, self._agent, self.background, self._tell_answer)
        self.headless = Headless(self.journal, self._agent, self.situation, self.conclusion, self.viewers.show)

    def _agent(self) -> Agent:
        return self.agent

    def _tell_start(self) -> None:
        spec = self.spec
        self.journal.emit(
            events.Started(
                pid=self.agent.child.pid,
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
        known, version = self.agent.adapter.known, self.agent.version
        if known is not None and (version is None or not known[0] <= version <= known[1]):
            self.journal.diagnose(
                f"{spec.cli} {spec.version_text or 'of unknown version'} was not measured "
                f"({'.'.join(map(str, known[0]))} to {'.'.join(map(str, known[1]))} were): its state may be less certain"
            )

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
                if not self.agent.child.reap():  # else it ended by itself, and its end is told
                    self.stop("failure", message=reserve.words(e))
        self._say_goodbye()

    def _note_signal(self) -> None:
        """A signal tells the supervisor to end. Only noted: the handler runs between any two steps of the loop."""
        self._is_signalled = True

    def _pass(self) -> None:
        self.loop.wait(self.wake_at())
        self.think(clock.monotonic())

    def _say_goodbye(self) -> None:
        """Let the last replies reach their readers, for a moment, and take the socket away."""
        until = clock.monotonic() + GOODBYE_S
        while self.control.unsent and clock.monotonic() < until:
            self.loop.wait(until)
        self.control.close()

    def think(self, now: float) -> None:
        """What follows from what happened. Ordered: evidence, state, turns, delivery, replies, record."""
        if self._is_signalled:
            self._is_signalled = False
            self.stop("stopped", message=SIGNALLED)
        self._hear(now)
        self.deciding.step(now)
        self.apply(self.turns.tick(now, self.deciding.how_it_ended()), now)
        self.answers.step(now)
        self.background.step(now)
        if self.conclusion is not None and not self.end.under_way:
            self.conclusion.step(now)
        self.measured.step(now)
        for wanted in self.watcher.step(now):
            self._do(wanted, now)
        self.delivery.step(now)
        if self._turn_closed:
            # Who is told of the end may look at once: the screen and the recording have caught up by then.
            self._turn_closed = False
            if self.terminal.settle(now, early=True):
                self.deciding.read_screen(now)
                self.deciding.step(now)
        self.control.step()
        self._answer_clients(now)
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
            self.stop("timeout")
        self.records.step(now)
        self._step_end(now)
        if not self.finished:
            if self.journal.look(now):
                if self.control.listen_again():
                    self.journal.diagnose("the session's socket was removed while it ran: it was made anew")
                self.terminal.recording.renew()
            self.journal.step(now)
        if self.headless is None:
            self.hearing.want_write()
        self.boot.step(now)

    def _hear(self, now: float) -> None:
        """Take what the agent said since the last pass."""
        self.deciding.look_at_child()
        if self.headless is None:
            self.hearing.go_on(now)
        else:
            self.headless.go_on(now)
        if self.terminal.settle(now):
            self.deciding.read_screen(now)
        self.hearing.resync(now)
        rests = self.status.verdict.state is State.PROMPT and self.turns.open is None
        self.learn(self.agent.evidence.poll(now, resting=rests and not self.delivery.inbox.pending), now)
        for result in self.agent.helpers.poll(now):
            self.learn(self.agent.reader.command(result), now)

    def wake_at(self) -> float | None:
        """When `think` is due although nothing is heard, None: never."""
        now, agent = clock.monotonic(), self.agent
        waited = [*self.waiters.deadlines(), *self.senders.deadlines(now), *self.panes.deadlines()]
        times = [
            self.terminal.wake_at(now),
            now if self.behind else None,
            agent.evidence.wake_at(),
            agent.helpers.wake_at(now),
            self.control.wake_at(now),
            self.status.verdict.wake_at,
            self.status.changes.wake_at(),
            self.turns.wake_at(),
            self.delivery.wake_at(now),
            *(max(t, now + 0.05) for t in waited),
            self.answers.wake_at(now),
            self.background.wake_at(),
            self.conclusion.wake_at() if self.conclusion is not None else None,
            self.measured.wake_at(now),
            self.watcher.wake_at(),
            self._end_wake_at(now),
            self.records.wake_at(now),
            self.deadline,
            self.journal.wake_at(),
            self.boot.wake_at(),
        ]
        return min((t for t in times if t is not None), default=None)

    # ---- the agent's process ----

    def _listen_to_child(self) -> None:
        for fd in self.agent.child.fds:
            self.loop.add(fd, self._on_child)

    def _on_child(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self.agent.child.flush()
        if mask & selectors.EVENT_READ and not self.terminal.unread:  # what was read before comes first
            self.read_child(clock.monotonic())

    @property
    def behind(self) -> bool:
        """Whether output that was read waits for its turn."""
        return self.hearing.is_behind or (self.headless is not None and self.headless.behind)

    def read_child(self, now: float) -> bool:
        """Take what the child wrote, or more of what was taken before; False if there was nothing."""
        if self.headless is None:
            return self.hearing.read(now)
        found = self.headless.read(now)
        self._forget_closed()
        return found

    def _forget_closed(self) -> None:
        """Pipes of a headless agent that are closed are no longer waited for."""
        from harnex.supervisor.pipes import PipeChild

        child = self.agent.child
        assert isinstance(child, PipeChild)
        for fd in (child.fd, child.error_fd):
            if fd not in child.fds:
                self.loop.remove(fd)

    # ---- another process takes its place ----

    def _forget(self, child: Child | PipeChild) -> None:
        """Wait for nothing of this child any more. Before it is closed: its descriptors' numbers are used again."""
        for fd in child.all_fds:
            self.loop.remove(fd)

    def _renew(self, child: Child | PipeChild) -> None:
        """Another process is the agent's from now on."""
        self.agent.child = child
        self._reaped_at = self._eof_at = None
        self._listen_to_child()
        self.journal.changed()

    def _is_asked_again(self, now: float) -> bool:
        """The headless agent is gone, and was read: whether it is asked once more for an answer that fits the schema."""
        assert self.headless is not None
        old = self.agent.child
        child = self.headless.again(self._env, now)
        if child is None:
            return False
        self._forget(old)
        old.close()
        self._renew(child)
        self.headless.asked_again(self._env, now)
        return True

    def _is_replaced(self, now: float) -> bool:
        """The agent's process ended, and nobody asked for it: whether the watch puts another one in its place."""
        # One that does not even start has nothing to be resumed.
        if self.boot.is_waiting or not self.watcher.gone(now, self.stopping.killed):
            return False
        if not self.watcher.buried:
            self.watcher.buried = True
            self._bury(now)
            self.watcher.sweep(self.background.lost(now), now)
        return True

    def _bury(self, now: float) -> None:
        """The process is gone, and what it said was read: close its turn."""
        self.terminal.finish(now)
        self.learn(self.agent.reader.ended(), now)
        detail = "the agent's process ended in the middle of the turn"
        end = TurnEnded("process", "failed", reason="other", detail=detail)
        self.apply(self.turns.process_ended(now, end), now)
        self._forget(self.agent.child)
        self.agent.activity = self.generations.fresh_activity(now)
        self.agent.helpers.close()
        self.delivery.requeue()
        self.journal.changed()

    def _respawn(self, now: float) -> bool:
        """Start the agent again. Whether its conversation was resumed. Raises HarnexError if it can't be started.

        What belongs to the session stays: its log, recording and messages, and which model calls were counted.
        """
        made, learned, resumed = self.generations.next(self.agent, bool(self.turns.done), now)
        self.agent = made
        self.turns.new_process()
        self.answers = Answers(self.spec, self.journal, self._agent, self.status)
        self.viewers.show(self.terminal.output(CLEAN, now).clean)
        self._renew(made.child)
        self.learn(learned, now)
        if not resumed:
            self.delivery.say_again(self.watcher.first, self.watcher.nudges)
        self.journal.changed()
        return resumed

    # ---- facts ----

    def learn(self, learned: Iterable[Fact], now: float) -> None:
        """Hand each fact to the machine that it concerns. Consumes lazy readers; may be called again by what it calls."""
        for fact in learned:
            if isinstance(fact, Observation | Retracted):
                self.agent.activity.observe(fact, now)
                # At once: `working` and `done` of a fast turn may come in one read, and were a turn all the same.
                self.deciding.step(now)
            else:
                self._on_fact[type(fact)](fact, now)

    def _routes(self) -> dict[type, Callable[[Any, float], None]]:
        """Where each fact goes."""
        return {
            facts.Submitted: self._on_submitted,
            facts.Suspended: lambda fact, now: self._on_suspended(),
            facts.TurnEnded: self._on_turn_ended,
            facts.Follow: lambda fact, now: self.agent.evidence.take(fact),
            facts.FindFile: lambda fact, now: self.agent.evidence.take(fact),
            facts.RunCommand: self._on_command,
            facts.Press: self._on_press,
            facts.Undone: self._on_undone,
            facts.Over: lambda fact, now: self.stopping.over(fact),
            facts.AgentSession: lambda fact, now: self._on_agent_session(fact.session_id),
            facts.ToolUse: self._on_tool,
            facts.ModelCall: self._on_call,
            facts.Rest: lambda fact, now: self._on_rest(fact),
            facts.Compacted: lambda fact, now: self._emit(words.compaction_event(fact, self.situation.turn_number)),
            facts.SubAgent: self._on_subagent,
            facts.Background: lambda fact, now: self.background.take(fact, now),
            facts.TodoList: lambda fact, now: self._emit(words.progress_event(fact, self.situation.turn_number)),
            facts.Printed: lambda fact, now: self.headless.show(fact.text, now) if self.headless else None,
            facts.FinalAnswer: lambda fact, now: self.headless.answered(fact) if self.headless else None,
            facts.Remark: lambda fact, now: self.journal.diagnose(fact.text),
        }

    def _emit(self, event: events.Event) -> None:
        self.journal.emit(event)

    def _on_submitted(self, fact: facts.Submitted, now: float) -> None:
        self.apply(self.turns.submitted(fact, now), now)
        if self.headless is not None:
            self.headless.submitted(fact)
        self.delivery.act(self.delivery.inbox.accepted(fact.text))

    def _on_suspended(self) -> None:
        self.agent.child.kill(signal.SIGCONT)
        self.journal.diagnose("the agent was suspended (Ctrl-Z), and was continued: no shell is there to do it")

    def _on_turn_ended(self, fact: TurnEnded, now: float) -> None:
        self.apply(self.turns.ended(fact, now), now)
        if self.conclusion is not None and fact.source == "stream":
            self.conclusion.result(fact, now)

    def _on_command(self, fact: facts.RunCommand, now: float) -> None:
        if not self.watcher.buried:
            self.agent.helpers.take(fact, now)

    def _on_press(self, fact: facts.Press, now: float) -> None:
        self.agent.type(fact.data)

    def _on_undone(self, fact: facts.Undone, now: float) -> None:
        """The reader could not do what was asked of it."""
        if fact.what == "deliver":
            self.delivery.act(self.delivery.inbox.refused(fact.why))
        elif fact.what == "answer":
            self.answers.refused(fact.why)
        else:
            self.journal.diagnose(f"the turn could not be stopped: {fact.why}")
            self.stopping.undone(now)

    def _on_agent_session(self, session_id: str) -> None:
        if session_id != self.agent.session_id:
            self.agent.session_id = session_id
            self.journal.changed()

    def _on_tool(self, fact: facts.ToolUse, now: float) -> None:
        self.measured.tool(fact, now)
        self.watcher.tool(fact, now)
        self.journal.emit(words.tool_event(fact, self.situation.turn_number))

    def _on_call(self, fact: facts.ModelCall, now: float) -> None:
        call = self.totals.add(fact, self.situation.turn_number)
        if call is not None:
            self.journal.emit(call)
            self.measured.called()
            self.watcher.call(call, now)
            self.journal.changed()

    def _on_rest(self, fact: facts.Rest) -> None:
        self.journal.emit(self.totals.rest(fact))
        self.journal.changed()

    def _on_subagent(self, fact: facts.SubAgent, now: float) -> None:
        self.journal.emit(words.subagent_event(fact, self.situation.turn_number))
        if fact.work_id:
            self.background.take(facts.Background(fact.work_id, fact.status, "agent", "", how=fact.how), now)

    def _background_ended(self, work: Work, told: bool, now: float) -> bool:
        """Work in the background has ended. False: with the agent, that has given its result and leaves."""
        if self.conclusion is not None and self.conclusion.given:
            return False
        self.watcher.background_ended(work, told, now)
        return True

    # ---- turns ----

    def _works(self) -> None:
        """The agent begins to work: what was typed to it was taken."""
        if self.delivery.inbox.current is not None:
            self.delivery.act(self.delivery.inbox.accepted())

    def apply(self, changes: Iterable[Opened | Closed], now: float) -> None:
        """Tell what turns opened and closed."""
        for change in changes:
            self.journal.changed()
            self.background.turn(change, now)
            self.measured.turn(change, now)
            if isinstance(change, Opened):
                self.watcher.turn(change, now)
                self.journal.emit(events.TurnStarted(turn=change.turn, message_id=change.message_id))
                continue
            self.turns.last = closed = words.with_reset(change, clock.wall(), self.agent.reader.zone)
            self.watcher.turn(closed, now)
            self.journal.emit(words.end_event(closed, self.totals.of_turn(closed.turn)))
            self.delivery.turn_closed(closed)
            self._turn_closed = True
            self.senders.turn_closed(closed)

    def _tell_answer(self, now: float) -> None:
        """A headless agent gave its result: its answer is told, and its turn is over."""
        assert self.headless is not None
        for late in self.agent.evidence.rest(now, CALLS_S):
            self.learn(late, now)
        if self.headless.tell():
            self.apply(self.turns.result(now), now)

    # ---- clients ----

    def _ops(self) -> dict[str, Op]:
        """What clients may ask for (model/protocol.py), and who answers."""
        return {
            "status": lambda peer, _: peer.reply({"ok": True, **self.record(), "viewers": self.viewers.count}),
            "send": self.senders.send,
            "wait": self.waiters.wait,
            "stop": self._op_stop,
            "interrupt": self._op_interrupt,
            "pane": self.panes.look,
            "answer": lambda peer, request: self.answers.asked(peer, request),
            "watch": lambda peer, request: self.watcher.asked(peer, request, self._begin_watch),
            "tmux": self._op_tmux,
            "attach": self.viewers.attach,
        }

    def _op_interrupt(self, peer: Peer, request: Json) -> None:
        self.agent.interrupt(clock.monotonic())
        peer.reply({"ok": True, **self.spec.names()})

    def _op_tmux(self, peer: Peer, request: Json) -> None:
        self.tmux = str(request.get("window") or "") or None
        self.journal.write()
        peer.reply({"ok": True, **self.spec.names()})

    def _op_stop(self, peer: Peer, request: Json) -> None:
        if self.stoppers.stop(peer, request):
            self._tell_unrecorded()

    def _answer_clients(self, now: float) -> None:
        """Answer those whose condition holds, and those whose time is up."""
        standing = self._standing()
        self.waiters.tick(standing, now)
        self.senders.tick(standing, now)
        self.panes.tick(now)
        self.viewers.tick()

    def _message_moved(self, message: Message, over: bool) -> None:
        self.senders.moved(message, over)

    def _standing(self) -> Standing:
        """The session as waiters see it."""
        verdict, watcher = self.status.verdict, self.watcher
        unsettled = self.answers.in_hand or self.delivery.will_leave or self.status.changes.held
        state = waited_for(verdict, self.end, unsettled)
        return Standing(
            state,
            verdict.dialog,
            self.delivery.inbox.pending + watcher.holds,
            self.turns.open is not None,
            self.turns.last,
            self.headless is not None,
            self.end.result.get("exit_code") if watcher.watch is not None else None,
            verdict.view.name if verdict.view is not None else "",
            state is State.BLOCKED and not self.answers.under_way and not watcher.answers_dialog(),
        )

    def _background_shown(self) -> list[records.BackgroundWork]:
        shown: list[records.BackgroundWork] = self.redactor.clean(self.background.record)
        return shown

    # ---- the watch ----

    def _begin_watch(self, policy: Policy) -> None:
        turn = self.turns.open
        calls = (self.totals.of_turn(turn.number) or {}).get("calls") if turn is not None else None
        self.watcher.begin(policy, self.delivery.inbox.pending, bool(calls))

    def _sight(self, now: float) -> Sight:
        from harnex.watch.actions import Sight

        turn, verdict = self.turns.open, self.status.verdict
        return Sight(
            state=verdict.beneath,  # what a person left open is left again: nobody is asked for it
            wall=clock.wall(),
            dialog=verdict.dialog if verdict.view is None else "",
            options=verdict.options,
            turn=turn.number if turn is not None else None,
            pending=self.delivery.inbox.pending,
            answering=self.answers.in_hand or self.answers.under_way,
            person=self.viewers.person_typed,
            reason=f"{verdict.source}: {verdict.reason}" if verdict.source else verdict.reason,
            background=tuple(self.background.running),
            looking=self.background.unsure,
            gap=self.measured.gap,
            settling=self.measured.settling,
            unseen=self.measured.unseen,
        )

    def _say(self, text: str) -> None:
        self.delivery.take(Message(new_message_id(), text))

    def _do(self, wanted: Action | Message, now: float) -> None:
        """What the watch wants done to the agent."""
        from harnex.watch import actions as w

        if isinstance(wanted, Message):
            self.delivery.take(wanted)
        elif isinstance(wanted, w.Interrupt):
            self.agent.interrupt(now)
        elif isinstance(wanted, w.Kill):
            self.agent.child.kill(signal.SIGKILL)
        elif isinstance(wanted, w.Revive):
            self._revive(wanted, now)
        elif isinstance(wanted, w.Answer):
            try:
                self.answers.begin(Wanted(wanted.verb, wanted.option, by=wanted.by), wanted.dialog)
            except HarnexError as e:
                self.journal.diagnose(e.message)
        elif isinstance(wanted, w.Stop):
            self.stop(wanted.reason, exit_code=wanted.exit_code, message=wanted.message)

    def _revive(self, wanted: Any, now: float) -> None:
        self.watcher.buried = False
        code, number = self.agent.child.code, self.agent.child.signal
        error, resumed = None, False
        try:
            resumed = self._respawn(now)
        except HarnexError as e:
            error = e.message
        self.journal.emit(
            events.Restart(
                reason=wanted.reason,
                attempt=wanted.attempt,
                most=wanted.most,
                pid=self.agent.child.pid,
                resumed=resumed,
                agent_session_id=self.agent.session_id,
                code=code,
                signal=number,
                error=error,
            )
        )
        if error is not None:
            self.stop("failure", exit_code=errors.FAILED, message=f"it could not be started again: {error}")
        else:
            self.watcher.revived(resumed, now)

    # ---- the end ----

    def stop(self, reason: str, force: bool = False, exit_code: int | None = None, message: str = "") -> None:
        """End the session.

        If a headless run has given its result, only its process is ended: the result stays the outcome.
        """
        if self.conclusion is not None and self.conclusion.stop(force, self.end.under_way, clock.monotonic()):
            return
        self.stopping.stop(reason, force, exit_code, message)

    def _end_wake_at(self, now: float) -> float | None:
        end = self.end
        if self._sweep is not None:
            return self._next_sweep
        if end.drained:
            return None  # what a headless agent left running is waited for: its conclusion says when to look
        if end.gone_at is not None or self._reaped_at is not None:
            return now if self._rest.goes_on else now + 0.02
        if end.ladder is not None:
            return end.ladder.wake_at()
        return self._eof_at + self._eof_patience if self._eof_at is not None else None

    @property
    def _eof_patience(self) -> float:
        return TERMINAL_CLOSED_S if self.headless is None else PIPES_CLOSED_S

    def _step_end(self, now: float) -> None:
        """Do what is due of the end, phase by phase."""
        end = self.end
        if end.phase == "done":
            return
        if end.reason is not None:
            self.background.ending(now)
        if end.phase in ("running", "climbing") and not self._is_gone(now):
            return
        if end.phase == "draining":
            if not self._is_drained(now):
                return
            end.drained = True
            self.close_turn(now)
        if self._sweep is None:
            if self._is_left_running(now):
                return
            self.background.ending(now)
            self._sweep = Sweep(self.spec.run_id, now, self.spec.keep)
            self._next_sweep = now
        if now >= self._next_sweep:
            self._sweep_on(self._sweep, now)

    def _is_gone(self, now: float) -> bool:
        """Whether the agent's process is gone, for good. One that lives is ended, if that was asked for."""
        end, child, stopping = self.end, self.agent.child, self.stopping
        if child.reap():
            if end.reason is None and (self.headless is not None or self.watcher.watch is not None):
                if not self.watcher.buried:
                    self._reaped_at = self._reaped_at or now
                    if not self._rest.is_read(self._reaped_at, now):
                        return False
                if self.headless is not None and self._is_asked_again(now):
                    self._reaped_at = None
                    return False
            if end.reason is None and self._is_replaced(now):
                stopping.killed, self._reaped_at, self._eof_at = "", None, None
                return False
            if end.reason is None and stopping.killed:
                end.reason, end.words = "killed", stopping.killed
            end.gone_at = now
            if self.headless is None:
                self.background.ending(now)
            self._last_state = self.status.verdict.state  # it is `stopping` from now on
            return True
        if child.at_eof and end.ladder is None:
            # It closed its terminal.
            self._eof_at = self._eof_at or now
            if now >= self._eof_at + self._eof_patience:
                self.stop("disconnected")
        stopping.climb(now)
        return False

    def _is_drained(self, now: float) -> bool:
        """Whether the rest of the output and of the evidence has been read."""
        gone_at = self.end.gone_at
        assert gone_at is not None
        if not self._rest.is_read(self._reaped_at or gone_at, now):
            return False
        waits = self.turns.open is not None and self.turns.open.ended is None
        return not waits or now >= gone_at + EVIDENCE_S

    def _is_left_running(self, now: float) -> bool:
        """Whether what a headless agent that ended well by itself left running is still waited for."""
        last = self.turns.last
        if self.conclusion is None or self.end.reason is not None or last is None:
            return False
        return last.end.outcome == "completed" and self.conclusion.leaves(now)

    def _sweep_on(self, sweep: Sweep, now: float) -> None:
        """End what is left of the run; when nothing is, write its record."""
        end = self.end
        assert end.gone_at is not None
        self._next_sweep = now + SWEEP_EVERY_S
        if not end.swept:
            end.swept = sweep.step(now) or now > end.gone_at + SWEEP_S
            for remark in sweep.remarks() if end.swept else ():
                self.journal.diagnose(remark)
        if end.swept:
            self._next_sweep = now + GIT_POLL_S
            if self.records.close(now):
                self._finish(now)

    def close_turn(self, now: float) -> None:
        """The agent is gone, and was read: what was open is over, and nothing more is delivered."""
        end, child = self.end, self.agent.child
        self.terminal.finish(now)
        self.learn(self.agent.reader.ended(), now)
        outcome = "failed" if end.reason in (None, "disconnected", "killed") else "interrupted"
        told = end.words or f"the session ended ({end.reason})"
        why = told if end.reason else "the agent exited in the middle of the turn"
        turn = self.turns.open
        if self.headless is not None and outcome == "interrupted" and turn is not None:
            # Cut short by harnex, whatever the agent made of that; if it had completed before, it has.
            turn.ended = turn.ended if turn.ended is not None and turn.ended.outcome == "completed" else None
        fact = TurnEnded("process", outcome, reason="other", detail=why)  # type: ignore[arg-type]
        self.apply(self.turns.process_ended(now, fact), now)
        # An agent that died may be started again where it was, and then gets them.
        died = end.reason is None and (child.signal is not None or child.code != 0)
        self.delivery.fail_all("the session ended", died or bool(self.stopping.killed))

    def _why(self, now: float) -> tuple[str, str]:
        """The reason of the end, and words about it."""
        end, child, activity = self.end, self.agent.child, self.agent.activity
        if end.reason is not None:
            return end.reason, end.words
        if self.headless is not None:
            return self.headless.why()
        early = end.gone_at is not None and end.gone_at - self.begun < EARLY_S and not activity.was_ready
        if child.signal is not None:
            return "boot_failure" if early else "killed", f"the agent was ended by {process.signal_name(child.signal)}"
        if child.code == 0:
            last = self.turns.last
            if last is not None and last.end.source == "process" and last.end.outcome == "failed":
                return "failure", "the agent exited with code 0 in the middle of a turn"
            return "success", ""
        booting = self._last_state in (State.STARTING, State.STOPPING) and self.turns.done == 0
        view = self.terminal.view
        said = last_words(tuple(self.redactor.redact_lines(view.lines, view.columns)))
        return ("boot_failure" if early or (booting and not activity.was_ready) else "failure"), said

    def _finish(self, now: float) -> None:
        """Write the record, as far as there is room."""
        row = self.closing.row
        if row is None:
            if self.headless is not None:
                self.headless.close()
            self.terminal.close(now)
            row = self._record_end(*self._why(now), now)
        if not self.closing.write(row) or not self._leave(row):
            self._wait_for_room(row, now)
            return
        self._answer_clients(now)
        self.stoppers.answer(recorded=True)
        self.senders.end()
        self.viewers.end(self.end.result)
        self.finished = True

    def _leave(self, row: Clean) -> bool:
        self._forget(self.agent.child)  # `leave` closes it
        return self.closing.leave(row, self.watcher.ended)

    def _wait_for_room(self, row: Clean, now: float) -> None:
        """The disk is full. The agent and its processes are gone, so who ended the session need not wait as well."""
        self._next_sweep = now + RETRY_S
        self.end.result = {**self.closing.result(row), "recorded": False}
        self._tell_unrecorded()

    def _tell_unrecorded(self) -> None:
        self.stoppers.answer(recorded=False)
        self.viewers.end(self.end.result)

    def _record_end(self, reason: str, message: str, now: float) -> Clean:
        """Make the record of the end, with what only the parts know."""
        self.background.over(now)
        if reason == "success" and (why := self.watcher.unmeasured):
            reason, message, self.end.exit_code = "failure", why, errors.PERSON_NEEDED
            self.journal.emit(events.Escalated(reason="budget", message=why, stopped=True))
        elif reason == "success" and (overspent := self.watcher.overspent) is not None:
            event, message = overspent
            reason, self.end.exit_code = "budget", errors.BUDGET
            self.journal.emit(event)
        taken = Taken(
            duration_s=round(now - self.begun, 3),
            calls=self.totals.calls,
            usage=self.totals.sums(),
            swept=len(self._sweep.ended) if self._sweep else 0,
            killed=self._killed_work(),
            skipped_bytes=self.terminal.skipped,
        )
        return self.closing.record(reason, message, self._exit_code(reason), taken)

    def _exit_code(self, reason: str) -> int:
        if self.end.exit_code is not None:
            return self.end.exit_code
        judged = self.watcher.outcome(reason)
        if judged is not None:
            return judged
        code = EXIT_CODE_OF.get(reason, errors.FAILED)
        return self.headless.exit_code(reason, code) if self.headless is not None else code

    def _killed_work(self) -> list[records.BackgroundWork]:
        """The background work that ended with the session: all of it but what the person asked to keep."""
        keep = self.spec.keep if self._sweep is not None and self._sweep.kept else ()
        return [work for work in self.background.killed if not may_live(str(work["command"]), keep)]

    def tell_start(self, tell: Callable[[StartReply], None]) -> None:
        """`tell` is called once, when it is known how the start went."""
        self.boot.tell = tell

    def last_words(self, report: str) -> str:
        """After a bug: make room for the end (descriptors were kept for it), and take secrets out of the report."""
        self.reserve.release()
        return self.redactor.text(report)

    def crash(self, report: str, reason: str = "supervisor_lost", why: str = "") -> None:
        """The last resort after a bug: the agent is killed and swept, the end is written, or left to recovery."""
        self.journal.diagnose(f"harnex failed: {report.strip().splitlines()[-1][:300]}")
        self.agent.child.kill(signal.SIGKILL)
        sweep_now(self.spec.run_id, self.spec.keep)
        self.agent.child.reap()
        self.control.close()
        self.records.close_now()
        why = why or "a bug in harnex ended the session; see supervisor.log"
        now = clock.monotonic()
        if self.closing.row is None:
            try:
                self.close_turn(now)
            except Exception as e:  # what failed before may fail again: the end is written all the same
                self.journal.diagnose(f"the last turn could not be closed: {type(e).__name__}: {e}")
        row = self.closing.row or self._record_end(reason, why, now)
        if self.closing.write(row):  # else the next command that looks finds the run dead, and writes its end
            self._leave(row)

    # ---- what is written ----

    def record(self) -> SessionEntry:
        """The session record: what `status --json` prints (DESIGN section 10) and what readers need."""
        spec, verdict = self.spec, self.status.verdict
        return {
            **spec.identity(),
            "pid": self.agent.child.pid,
            "supervisor_pid": os.getpid(),
            "state": verdict.state.value,
            "dialog": verdict.dialog or None,
            "state_since": self.status.since,
            "source": verdict.source or None,
            "turn": self.situation.turn_number,
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
            "pending": self.delivery.inbox.pending,
            "held_by": self.delivery.held_by,
            "background": self.background.record,
            **self.watcher.record,
            "agent_session_id": self.agent.session_id,
            "permissions": spec.permissions,
            "pid_start": self.agent.child.started,
            "supervisor_start": process.start_time(os.getpid()),
            "socket": self.control.path,
            "events_path": self.journal.log.path,
        }

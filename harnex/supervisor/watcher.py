"""The watch at work: feeds `watch/watch.py` with what the session sees, and says what is to be done to the agent."""

from __future__ import annotations

import dataclasses
import os
import selectors
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harnex import clock, errors, paths, times
from harnex.errors import HarnexError, UsageError
from harnex.launch.spec import Spec
from harnex.machines.inbox import Message
from harnex.machines.status import Situation
from harnex.machines.turns import Closed, Opened
from harnex.model import events
from harnex.model.facts import State, ToolUse
from harnex.model.records import Json, WatchShown
from harnex.redaction.redactor import Clean
from harnex.supervisor.agent import Agent
from harnex.supervisor.control import Peer
from harnex.supervisor.delivery import new_message_id
from harnex.supervisor.journal import Journal

if TYPE_CHECKING:
    from harnex.machines.background import Work
    from harnex.supervisor.filehook import FileHook
    from harnex.supervisor.jobs import Ended, Job
    from harnex.supervisor.sweep import Sweep
    from harnex.usage.prices import Prices
    from harnex.watch.actions import Action, Check, Say, Sight
    from harnex.watch.policy import Policy
    from harnex.watch.watch import Watch

LOOK_S = 0.5  # how often the screen is looked at for news, at most
SWEEP_S = 5.0
TEXTS = 8  # messages that could be said again


class Watcher:
    """One session's watch, or none (`watch` None: it costs nothing)."""

    def __init__(
        self,
        spec: Spec,
        journal: Journal,
        agent: Callable[[], Agent],
        situation: Situation,
        sight: Callable[[float], Sight],
    ) -> None:
        """`sight(now)` is what the session sees; only the watch itself looks for retries on the screen."""
        self._spec, self._journal, self._agent, self._situation = spec, journal, agent, situation
        self._see = sight
        self.watch: Watch | None = None
        self._jobs: list[Job] = []
        self._view: object = None
        self._next_look = 0.0
        self._retrying = ""
        self._sweep: tuple[Sweep, float] | None = None
        self.first: str | None = None  # the first message: what the agent was started for
        self._hook: FileHook | None = None
        self._texts: dict[str, str] = {}  # message id -> what was asked, without our own words around it
        self.nudges: set[str] = set()  # ids of our own messages
        self._checks = 0
        self._prices: Prices | None = None
        self._priced = False  # what a call costs is asked for
        self.buried = False  # the old process is gone, and what it left was read
        self._lost = ""  # what the old process had running in the background, in words

    # ---- on ----

    def begin(self, policy: Policy, pending: int, calls_came: bool) -> None:
        """Put the policy on; one that is on already is replaced.

        `pending` messages wait; `calls_came`: the open turn has made model calls, so its message is not said again.
        """
        from harnex.watch.news import Screen
        from harnex.watch.watch import CUT_S, START_S, Watch

        spec, now = self._spec, clock.monotonic()
        steps = self._agent().stop_steps(State.BUSY)
        slowest = max((s.grace_s for s in steps if s.until == "prompt"), default=0.0)
        watch = Watch(
            policy,
            now,
            spec.permissions,
            cut_s=max(CUT_S, slowest),
            start_s=max(START_S, 5 * self._agent().reader.boot_s),
        )
        self._screen = Screen()
        self._priced = policy.max_cost is not None
        turns = self._situation.turns
        turn = turns.open
        if policy.limits_calls or policy.max_turns is not None:
            from harnex.supervisor import spent

            before = spent.used(spec.state, spec.run_id, self._cost)
            watch.budget.begin(before, turn.number if turn is not None else turns.done, now)
        watch.tasked = bool(pending or turn is not None or turns.done or turns.last is not None)
        if turn is not None:
            watch.turn_opened(turn.number, None if calls_came else turn.message_id, now)
        elif turns.last is not None and not pending:
            watch.turn_closed(turns.last, now)  # it is judged, as if it had ended just now
        self.watch = watch
        self._view = None
        self._journal.emit(events.Watch(phase="on", policy=policy.shown(), message=policy.words()))
        self._journal.changed()

    def asked(self, peer: Peer, request: Json, begin: Callable[[Policy], None]) -> None:
        """The request `watch`: put a policy on (or another one); without one, only say what is on. Raises HarnexError."""
        spec, policy = self._spec, request.get("policy")
        if self._situation.end.under_way:
            raise HarnexError(f"session {spec.id} is ending", "what it did: harnex logs, harnex history")
        if spec.headless:
            raise UsageError(f"session {spec.id} is headless: there is nothing to watch", "see: harnex events")
        if policy is not None:
            if not isinstance(policy, dict):
                raise UsageError("that is no policy", "see: harnex watch --help")
            from harnex.watch.policy import Policy

            try:
                wanted = Policy.load(policy)
            except (TypeError, ValueError) as e:
                raise UsageError(f"that is no policy: {e}", "is the client older or newer than this session?") from None
            begin(wanted)
        on = self.watch.policy.shown() if self.watch is not None else None
        peer.reply({"ok": True, **spec.names(), **self.record, "policy": on})

    def hook(self, shown: str, selector: selectors.BaseSelector, say: Callable[[str], None]) -> None:
        """Tell the agent, by `say`, whenever this file changes. Raises HarnexError if its directory can't be made."""
        from harnex.supervisor.filehook import FileHook

        path = os.path.join(self._spec.cwd, os.path.expanduser(shown))

        def changed() -> None:
            say(f"file-change-hook: read {shown}")

        try:
            self._hook = FileHook(os.path.normpath(path), selector, changed, clock.monotonic())
        except OSError as e:
            raise HarnexError(f"can't watch {path}: {e.strerror}", "check the path") from None

    @property
    def record(self) -> WatchShown:
        """What `status --json` says of it."""
        watch = self.watch
        if watch is None:
            return {"watch": None, "waiting": None}
        waiting: dict[str, str | None] | None = None
        if watch.phase == "person":
            waiting = {"for": "person", "until": None}
        elif watch.until is not None:
            waiting = {"for": watch.why, "until": times.iso(watch.until)}
        return {"watch": watch.phase, "waiting": waiting}

    @property
    def holds(self) -> bool:
        """Whether it goes on by itself although the agent is at its prompt: nobody who waits is told otherwise."""
        watch = self.watch
        if watch is None:
            return False
        settling = watch.policy.limits_calls and watch.phase != "over" and self._sight(clock.monotonic()).settling
        return settling or watch.phase in ("cutting", "background", "checking", "waiting", "down")

    @property
    def unmeasured(self) -> str:
        """Why it is not known whether the budget was kept, in words; "" if it is known, or there is none."""
        watch = self.watch
        if watch is None:
            return ""
        if watch.policy.limits_calls:
            sight = self._sight(clock.monotonic())
            if sight.gap or sight.settling:
                why = sight.gap or "of the last turn no model call was recorded"
                return f"{watch.policy.limits} can't be kept: {why}"
        return watch.budget.unknown

    @property
    def overspent(self) -> tuple[events.Budget, str] | None:
        """The event and the words of a budget that was exceeded, None if it was kept, or there is none.

        The calls that exceed it may be read when the session is ending already, after its turn.
        """
        spent = self.watch.budget.spent if self.watch is not None else None
        return self.watch.spent_words(spent) if self.watch is not None and spent is not None and spent.over else None

    def answers_dialog(self) -> bool:
        """Whether the policy will answer the dialog that is up, in a moment."""
        from harnex.watch.dialogs import TRIES, by_policy

        watch = self.watch
        if watch is None or not watch.policy.care or watch.phase in ("person", "over") or watch.dialogs.tries >= TRIES:
            return False
        sight = self._sight(clock.monotonic())
        return by_policy(sight, self._spec.permissions, watch.restarts.count > 0) is not None

    def outcome(self, reason: str) -> int | None:
        """The exit code of a session that was ended by others than the watch: was its task done? None: the usual."""
        watch = self.watch
        if watch is None or reason not in ("success", "stopped"):
            return None
        if self.unmeasured:
            return errors.PERSON_NEEDED
        checked = watch.policy.verify or watch.policy.done_when
        if checked and reason == "success" and watch.tasked and watch.phase not in ("done", "over", "person"):
            return errors.FAILED  # the agent left before the check passed
        if not watch.policy.care:
            return None
        if watch.phase == "person":
            return errors.PERSON_NEEDED
        if watch.phase == "done" or not watch.tasked:
            return None
        last = self._situation.turns.last
        done = last is not None and last.end.outcome == "completed" and not watch.policy.verify
        return None if done and reason == "success" else errors.FAILED

    # ---- facts ----

    def flooded(self, now: float) -> None:
        """The agent prints more than can be shown: something moves, though nobody sees what."""
        if self.watch is not None:
            self.watch.moved(now)

    def turn(self, change: Opened | Closed, now: float) -> None:
        if self.watch is None:
            return
        if isinstance(change, Opened):
            self.watch.turn_opened(change.turn, change.message_id, now)
            self._screen.turn()
        else:
            self.watch.turn_closed(change, now)

    def tool(self, use: ToolUse, now: float) -> None:
        if self.watch is not None:
            self.watch.tool(use, now)

    def background_ended(self, work: Work, told: bool, now: float) -> None:
        if self.watch is not None:
            self.watch.background_ended(work, told, now)

    def call(self, call: events.Call, now: float) -> None:
        if self.watch is not None:
            from harnex.supervisor.spent import bill

            last = None if call.stop_reason is None else "tool" not in call.stop_reason
            self.watch.call(bill(dataclasses.asdict(call), self._cost), last, now)

    def _cost(self, call: Mapping[str, Any]) -> float | None:
        """In US dollars; None if it is not known, or nobody asks."""
        if not self._priced:
            return None
        if self._prices is None:
            from harnex.usage.prices import Prices

            self._prices = Prices(self._spec.state)
        cost = self._prices.cost({"ts": clock.stamp(), **call, "cli": self._spec.adapter})
        self._prices.remember()
        return cost

    def message_came(self, message: Message) -> None:
        """A message came in."""
        if message.text and message.submit and message.id not in self._texts:
            self.first = self.first or message.text
            self._texts[message.id] = message.text
            while len(self._texts) > TEXTS:
                del self._texts[next(iter(self._texts))]
        if self.watch is not None:
            self.watch.asked()

    def gone(self, now: float, why: str = "") -> bool:
        """The agent's process ended, and nobody asked for it: will there be another one? `why`: if it was not the child."""
        if self.watch is None:
            return False
        child = self._agent().child
        return self.watch.gone(child.code, child.signal, self._situation.turns.open is not None, now, why)

    def sweep(self, lost: str, now: float) -> None:
        """The process that is gone was buried; end what is left of it. `lost`: what ran in the background, in words."""
        from harnex.supervisor.sweep import Sweep

        self._lost = lost
        self._sweep = (Sweep(self._spec.run_id, now, self._spec.keep), now)

    def revived(self, resumed: bool, now: float) -> None:
        """Another process runs now."""
        if self.watch is not None:
            self.watch.restarted(not resumed, now, self._lost)

    # ---- the loop ----

    def wake_at(self) -> float | None:
        times = [job.wake_at() for job in self._jobs]
        hook = self._hook.wake_at() if self._hook is not None else None
        times += [hook] if hook is not None else []
        ending = self._situation.end.under_way
        if self._sweep is not None and not ending:
            times.append(clock.monotonic() + 0.05)
        if self.watch is not None and not ending:
            wake = self.watch.wake_at()
            times += [wake] if wake is not None else []
        return min(times, default=None)

    def step(self, now: float) -> Iterator[Action | Message]:
        """Do what is due. Lazy: yields what is to be done to the agent, or said to it, before it goes on."""
        for job in [j for j in self._jobs if j.step(now)]:
            self._jobs.remove(job)
        watch = self.watch
        if self._situation.end.under_way:
            return
        if self._hook is not None:
            self._hook.step(now)
        if watch is None:
            return
        if self._sweep is not None:
            sweep, since = self._sweep
            if not sweep.step(now) and now < since + SWEEP_S:
                return  # its tools first: they may hold what the new process needs
            self._sweep = None
            for remark in sweep.remarks():
                self._journal.diagnose(remark)
        if watch.phase == "down" and not self.buried:
            return  # killed, and not yet gone
        self._look(watch, now)
        for action in watch.step(self._sight(now), now):
            yield from self._do(action, now)

    def _look(self, watch: Watch, now: float) -> None:
        from harnex.watch.news import retrying

        terminal = self._agent().terminal
        view = terminal.view
        due = watch.wake_at()  # before a verdict the last word is heard
        if view is self._view or (now < self._next_look and (due is None or now < due)):
            return
        self._view, self._next_look = view, now + LOOK_S
        self._retrying = retrying(view.lines)
        moved, new = self._screen.look(view.lines, news=now >= terminal.disturbed_until)
        if moved:
            watch.moved(now)
        if new and self._situation.turns.open is not None:
            watch.went_on("something new on the screen", now)

    def _sight(self, now: float) -> Sight:
        sight = self._see(now)
        busy = sight.turn is not None and sight.state is not State.PROMPT
        return dataclasses.replace(sight, retrying=self._retrying) if busy and self._retrying else sight

    def _do(self, action: Action, now: float) -> Iterator[Action | Message]:
        """Do what the watch can do by itself; the rest is yielded."""
        from harnex.watch import actions as w

        self._journal.changed()
        if isinstance(action, w.Tell):
            self._journal.emit(action.event)
        elif isinstance(action, w.Say):
            yield self._nudge(action)
        elif isinstance(action, w.Check):
            self._check(action, now)
        elif isinstance(action, w.Notify):
            self._notify(action.kind, action.text, now)
        else:
            yield action

    def _nudge(self, action: Say) -> Message:
        """A message of our own, told to the log."""
        text = action.text
        task = self._texts.get(action.again) if action.again else None
        body = text if task is None else f"{text}\n\nThe task:\n\n{task}"
        message = Message(new_message_id(), body)
        if task is not None:
            self._texts[message.id] = task
        self.nudges.add(message.id)
        self._journal.emit(
            events.Nudge(
                reason=action.reason,
                message_id=message.id,
                text=text[: events.MSG_LIMIT],
                count=action.count,
                most=action.most,
                interrupted=action.interrupted,
            )
        )
        return message

    def _check(self, action: Check, now: float) -> None:
        from harnex.supervisor.jobs import Ended, Job

        spec, watch = self._spec, self.watch
        assert watch is not None
        self._checks += 1

        def done(ended: Ended) -> None:
            if self.watch is watch:
                watch.checked(ended.ok, ended.code, ended.took, self._journal.redactor.text(ended.output))

        log = os.path.join(paths.run_dir(spec.state, spec.run_id), f"{action.kind}-{self._checks}.log")
        try:
            job = Job(action.command, spec.cwd, self._env(), log, action.timeout, now, done=done)
        except OSError as e:
            done(Ended(126, 0.0, f"it can't be run: {e.strerror}"))
            return
        self._jobs.append(job)

    def _env(self) -> dict[str, str]:
        """For commands that people gave: their own environment, with the session's name."""
        spec = self._spec
        return {**os.environ, "HARNEX_ID": spec.id, "HARNEX_RUN_ID": spec.run_id, "HARNEX_CLI": spec.cli}

    # ---- people ----

    def _notify(self, kind: str, text: str, now: float) -> None:
        """Tell people, by what the policy names. A notifier that fails is a diagnostic."""
        watch = self.watch
        if watch is None or not (watch.policy.notify_cmd or watch.policy.notify_urls):
            return
        from harnex.supervisor import notify

        def failed(what: str) -> None:
            if not self._situation.end.done:
                self._journal.diagnose(what)

        redactor, verdict = self._journal.redactor, self._situation.status.verdict
        told = notify.message(self._spec, verdict, redactor, kind, redactor.text(text))
        self._jobs += notify.start(self._spec, watch.policy, told, now, failed)

    def ended(self, row: Clean) -> None:
        """The session is over, and `row` is its record. If the watch did not end it, people hear of it now."""
        if self.watch is not None and self.watch.phase != "over":
            words = f"the session ended: {row['reason']}" + (f" ({row['message']})" if row["message"] else "")
            self._notify("ended" if row["exit"] == errors.DONE else "failed", words, clock.monotonic())
        self._close()

    def _close(self) -> None:
        """The session is over: checks end with it, notifications find their own way."""
        for job in self._jobs:
            job.end()
        self._jobs.clear()
        if self._hook is not None:
            self._hook.close()

"""The watch: keeps an agent working, stops what runs away, and reports when the task is done. Pure.

The session feeds the watch with facts (turns, tools, calls, the screen, the agent's end). `step`
returns what to do now; `wake_at` is when time alone would change that. `now` is monotonic seconds.
Times that people and providers name are epoch seconds (`Sight.wall`). They are compared anew at
least once a minute, since a machine that slept has only one of the two clocks right.

    watching -- stall, loop --> cutting (an interrupt, until the turn is over) --> a message
             -- a turn ended well --> background (until nothing of the agent runs)
        --> checking (done-when, verify) --> done | a message | failed
             -- the provider refused --> waiting (until its reset, or a backoff) --> a message
             -- the agent's process ended --> down (a backoff) --> a new process --> a message
    any of these -- a dialog --> person, until the dialog is gone; then the phase before
    anything -- deadline, budget, what nobody can mend --> over (the session is stopped)

The types of what the watch sees and does are in `actions`. Each part keeps its state in a module of
its own: `checks`, `background`, `provider`, `restarts`, `dialogs`, `budget`, and the clocks in
`news` and `stalls`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harnex import errors, times
from harnex.machines.background import Work
from harnex.machines.turns import Closed
from harnex.model import events
from harnex.model.facts import State, ToolUse
from harnex.watch.actions import Action, Checking, Interrupt, Kill, Notify, Say, Sight, Stop, Tell
from harnex.watch.background import Waits
from harnex.watch.budget import GRACE_S, Bill, Budget, Spent
from harnex.watch.checks import Checks, Result
from harnex.watch.dialogs import STAND_S, Dialogs
from harnex.watch.news import Clocks, Loops
from harnex.watch.policy import Policy
from harnex.watch.provider import Lost, Provider, told
from harnex.watch.restarts import Restarts
from harnex.watch.stalls import kind_of, left_alone, person_there, stall, turn_due

Phase = Literal["watching", "cutting", "background", "checking", "waiting", "down", "person", "done", "over"]

# Seconds until an interrupt without a visible effect is pressed again; the slowest measured
# interrupt took 0.1 s.
CUT_AGAIN_S = 3.0
CUT_S = 10.0  # seconds until an interrupt is given up, where an interrupt is a key
WALL_S = 60.0  # seconds between two comparisons of a far time with the wall clock
START_S = 30.0  # seconds that a starting agent has at least before it counts as not ready


@dataclass(slots=True)
class Watch:
    """The machine; see the module's docstring.

    `permissions` decides about permission dialogs. An interrupt of this agent may take `cut_s`
    seconds, its start `start_s` seconds.
    """

    policy: Policy
    now: float
    permissions: str = "ask"
    cut_s: float = CUT_S
    start_s: float = START_S
    phase: Phase = "watching"
    clocks: Clocks = field(init=False)
    budget: Budget = field(init=False)
    loops: Loops = field(init=False)
    waits: Waits = field(init=False)
    checks: Checks = field(init=False)
    provider: Provider = field(init=False)
    restarts: Restarts = field(init=False)
    dialogs: Dialogs = field(default_factory=Dialogs)
    nudges: int = 0  # nudges since a turn ended well
    loop_nudges: int = 0
    tasked: bool = False  # the agent was given something to do
    _asked_tool: bool = False  # a tool started since the last call
    _closed: Closed | None = None
    _turn: int | None = None  # the turn that the clocks belong to
    _message: str | None = None  # the message that the turn answers, while nothing has come of it
    _loop: dict[str, object] | None = None
    _then: Say | None = None  # the message to send after the interrupt
    _since: float = 0.0  # since when the phase holds
    _back: Phase = "watching"  # the phase before `person`
    _presses: int = 0
    _idle_since: float | None = None
    _wake: float | None = None

    def __post_init__(self) -> None:
        self.clocks = Clocks.at(self.now)
        self.budget = Budget(self.policy)
        self.loops = Loops(self.policy.loop_after)
        self.waits = Waits(self.policy)
        self.checks = Checks(self.policy)
        self.provider = Provider(self.policy)
        self.restarts = Restarts(self.policy)
        self._since = self._idle_since = self.now

    @property
    def until(self) -> float | None:
        """What the watch waits for: epoch seconds; None if it waits for no time."""
        return self.waits.until if self.phase == "background" else self.provider.until

    @property
    def why(self) -> str:
        """Why the watch waits, in a word; "" if it does not wait."""
        return "background" if self.phase == "background" else self.provider.why

    # ---- facts ----

    def moved(self, now: float) -> None:
        """Note that the agent itself changed the screen."""
        self.clocks.moved(now)

    def went_on(self, what: str, now: float) -> None:
        """Note that something new came from the agent."""
        self.clocks.went_on(what, now)

    def tool(self, use: ToolUse, now: float) -> None:
        """Take a tool's start or end."""
        self.clocks.tool(use, now)
        self._message = None
        if use.status == "started":
            self._asked_tool = True
            self.budget.tool_started()
        self._loop = self.loops.tool(use) or self._loop

    def call(self, bill: Bill, last: bool | None, now: float) -> None:
        """Note that a model call ended.

        `last`: by its stop reason the call asks for no tool. None: the call names no stop reason
        (Codex); then a tool that began since the call before decides.
        """
        if last is None:
            last = not self._asked_tool
        self._asked_tool = False
        if not bill.cut:  # nothing came of a call that was cut off
            self.clocks.went_on("a model call ended", now)
            self._message = None
        self.budget.call(bill, last, now)

    def asked(self) -> None:
        """Note that a message came in, whoever sent it."""
        self.tasked = True

    def turn_opened(self, number: int, message: str | None, now: float) -> None:
        """Note that turn `number` opened.

        `message` is the message that the turn answers, if harnex delivered one.
        """
        self._message = message
        tools = self.clocks.tools
        self.clocks = Clocks.at(now)
        if self._turn == number:
            self.clocks.tools = tools
        self._turn, self._closed, self._idle_since, self.tasked = number, None, None, True
        self._loop = self.restarts.say = None
        self._asked_tool = False
        self.loops.turn()
        self.budget.turn_opened(number, now)
        self.dialogs.answered = 0
        self.checks.went_on()
        self.waits.turn_opened()
        self.provider.over()
        # A person, or the CLI itself, went on.
        if self.phase in ("waiting", "done", "person", "background"):
            self._to("checking" if self.checks.in_hand else "watching", now)

    def turn_closed(self, closed: Closed, now: float) -> None:
        """Note that a turn closed."""
        self.clocks.tools.clear()
        self._closed, self._idle_since = closed, now

    def background_ended(self, work: Work, told: bool, now: float) -> None:
        """Note that work ended that the agent had left running.

        `told`: the CLI reports the end to the agent, and a turn may begin.
        """
        self.waits.ended(work, told, now)

    def checked(self, ok: bool, code: int | None, took: float, output: str) -> None:
        """Note that the command of a `Check` ended. `code` None: the command took too long."""
        self.checks.ended(Result(ok, code, took, output))

    def gone(self, code: int | None, signal: int | None, mid_turn: bool, now: float, why: str = "") -> bool:
        """Note that the agent's process ended without a request; return whether the agent will be
        started again.

        `why`: the reason in words, if known.
        """
        if not self.policy.care or self.phase in ("over", "done") or self.phase == "down":
            return self.phase == "down"
        if code == 0 and signal is None and not mid_turn:
            return False  # the agent was told to exit
        if not self.restarts.left or self.budget.spent is not None:
            return False
        self._goes_down(why or (f"signal {signal}" if signal is not None else f"exit code {code}"), now)
        return True

    def restarted(self, fresh: bool, now: float, lost: str = "") -> None:
        """Note that the agent runs again.

        `fresh`: without its conversation; its task then waits to be typed. `lost`: the background
        work that ended with the old process, in words.
        """
        self.clocks = Clocks.at(now)
        self.dialogs.gone()
        self._turn, self._idle_since, self._closed = None, now, None
        self.waits.turn_opened()
        # If a check of the last turn still runs, or something was being waited for, there is
        # nothing to say yet.
        idle = (self.checks.in_hand and not self.checks.stale) or self.until is not None
        self.restarts.runs(self.tasked and not fresh and not idle, self._message, lost)
        self._to("checking" if self.checks.in_hand else "waiting" if self.until is not None else "watching", now)

    # ---- what follows ----

    def wake_at(self) -> float | None:
        """When time alone would change what `step` returns (monotonic seconds); None if never."""
        return self._wake

    def step(self, sight: Sight, now: float) -> list[Action]:
        """Return what to do now.

        Called after every wakeup; a second call at the same moment returns nothing new.
        """
        out: list[Action] = []
        for _ in range(8):  # one action may lead to the next
            before = (self.phase, len(out))
            self._step(sight, now, out)
            if (self.phase, len(out)) == before:
                break
        self._wake = self._next(sight, now)
        return out

    def _step(self, sight: Sight, now: float, out: list[Action]) -> None:
        policy = self.policy
        if self.phase == "over":
            return
        if policy.deadline is not None and sight.wall >= policy.deadline and self.phase != "done":
            self._stop(out, "timeout", errors.TIMEOUT, "the deadline has come, and the task is not done", "timeout")
            return
        if self._over_budget(sight, now, out):
            return
        if self.phase == "down":
            revive = self.restarts.due(now)
            out += [revive] if revive is not None else []
            return
        if sight.state in (State.STOPPING, State.EXITED):
            return
        if self._dialog(sight, now, out):
            return
        if self.phase == "cutting":
            self._cut(sight, now, out)
        elif self.phase == "checking":
            self._after_check(now, out)
        elif self.phase == "waiting":
            self._wait(sight, now, out)
        elif sight.turn is not None:
            self._in_turn(sight, now, out)
        else:
            self._between(sight, now, out)

    def _to(self, phase: Phase, now: float) -> None:
        self.phase, self._since = phase, now

    # ---- the ends ----

    def _stop(self, out: list[Action], reason: str, code: int, message: str, kind: str) -> None:
        self.phase = "over"
        self.provider.over()
        out += [Notify(kind, message), Stop(reason, code, message)]

    def _fail(self, out: list[Action], message: str) -> None:
        out.append(Tell(events.Watch(phase="failed", exit_code=errors.FAILED, message=message)))
        self._stop(out, "failure", errors.FAILED, message, "failed")

    def _escalate(self, out: list[Action], reason: str, message: str, evidence: dict[str, Any] | None = None) -> None:
        out.append(Tell(events.Escalated(reason=reason, message=message, stopped=True, evidence=evidence or {})))
        self._stop(out, "failure", errors.PERSON_NEEDED, message, "person")

    def _spend(self, out: list[Action], spent: Spent) -> None:
        event, words = self.spent_words(spent)
        out.append(Tell(event))
        self._stop(out, "budget", errors.BUDGET, words, "budget")

    def spent_words(self, spent: Spent) -> tuple[events.Budget, str]:
        """A spent budget as an event, and in words."""
        runs = self.budget.before.runs + 1
        over = f", over {runs} runs" if runs > 1 else ""
        words = f"the budget is spent: {spent.used:,} of {spent.limit:,} {spent.kind}{over}"
        event = events.Budget(kind=spent.kind, limit=spent.limit, used=spent.used, runs=runs, cut=self.budget.cut)
        return event, words

    def _over_budget(self, sight: Sight, now: float, out: list[Action]) -> bool:
        budget, policy = self.budget, self.policy
        unknown = budget.unknown
        if policy.limits_calls and sight.gap:
            unknown = f"{policy.limits} can't be kept: {sight.gap}"
        elif sight.unseen and (policy.max_turns is not None or policy.turn_timeout is not None):
            limit = "--turn-timeout" if policy.max_turns is None else "--max-turns"
            unknown = f"{limit} can't be kept: {sight.unseen}"
        if unknown:
            self._escalate(out, "budget", unknown)
            return True
        spent = budget.spent
        if sight.turn is None:
            over = spent if spent is not None and spent.over else None
            spent = budget.more_turns(now) if sight.pending else over
        elif spent is not None and not spent.goes_on and now < spent.since + GRACE_S:
            return False  # that may have been the last call of the turn
        if spent is None:
            return False
        self._spend(out, spent)
        return True

    def _say(self, out: list[Action], say: Say, now: float) -> None:
        """Send the message, if the budget has room for another turn."""
        spent = self.budget.more_turns(now)
        if spent is not None:
            self._spend(out, spent)
            return
        out.append(say)
        self.loops.turn()
        self._idle_since = now

    # ---- dialogs ----

    def _dialog(self, sight: Sight, now: float, out: list[Action]) -> bool:
        """Deal with a dialog; return True while a dialog is up."""
        if sight.state is not State.BLOCKED:
            self.dialogs.gone()
            if self.phase == "person":
                self.clocks = Clocks.at(now)
                self._presses = 0
                self._to(self._back, now)
            return False
        if not self.dialogs.due(now) or self.phase == "person" or sight.answering:
            return True
        policy = self.policy
        answer = self.dialogs.answer(sight, self.permissions, self.restarts.count > 0, now) if policy.care else None
        if answer is not None:
            out.append(answer)
            return True
        options = "; ".join(f"{n}. {words}" for n, words in enumerate(sight.options, 1))
        message = f"a {sight.dialog or 'unknown'} dialog waits for a person"
        evidence = {"dialog": sight.dialog, "options": list(sight.options)}
        if policy.care:
            out.append(Tell(events.Escalated(reason="dialog", message=message, stopped=False, evidence=evidence)))
        out.append(Notify("person", f"{message}: {options}" if options else message))
        self._back = self.phase
        self._to("person", now)
        return True

    # ---- while a turn runs ----

    def _in_turn(self, sight: Sight, now: float, out: list[Action]) -> None:
        policy, clocks = self.policy, self.clocks
        if self.phase == "done":
            self._to("watching", now)
        if policy.turn_timeout is not None and now >= clocks.turn_since + policy.turn_timeout:
            out.append(Tell(stall("turn_timeout", policy.turn_timeout, sight, clocks, now)))
            words = f"turn {sight.turn} took longer than {times.duration(policy.turn_timeout)}"
            self._stop(out, "timeout", errors.TIMEOUT, words, "timeout")
            return
        if not policy.care:
            return
        if self._loop is not None:
            self._in_loop(sight, now, out)
            return
        clocks.retries(bool(sight.retrying), now)
        due = turn_due(policy, clocks, sight)
        if due is not None and now >= due and not person_there(sight, now):
            self._stalled(kind_of(policy, clocks, now), policy.stall_after, sight, now, out)

    def _stalled(self, kind: str, after: float | None, sight: Sight, now: float, out: list[Action]) -> None:
        event = stall(kind, after, sight, self.clocks, now)
        out.append(Tell(event))
        most = self.policy.max_resumes
        if self.nudges >= most:
            tried = f", and {self.nudges} nudges did not help" if self.nudges else ""
            self._escalate(out, "stall", f"the agent stands still ({kind}){tried}", event.evidence)
            return
        self.nudges += 1
        self._cut_for(Say(kind, self.policy.nudge_text, self.nudges, most), sight, now, out)

    def _in_loop(self, sight: Sight, now: float, out: list[Action]) -> None:
        evidence, self._loop = dict(self._loop or {}), None
        out.append(Tell(events.Stall(kind="loop", turn=sight.turn, evidence=evidence)))
        if self.loop_nudges:
            words = f"the agent goes round in circles ({evidence.get('what')}: {evidence.get('tool')})"
            self._escalate(out, "loop", words, evidence)
            return
        self.loop_nudges += 1
        text = (
            f"You are going round in circles: {evidence.get('what')} {evidence.get('times')} times in a row "
            f"({evidence.get('tool')}). Stop repeating it, think about what it shows, and take another way."
        )
        self._cut_for(Say("loop", text, 1, 1), sight, now, out)

    def _cut_for(self, say: Say, sight: Sight, now: float, out: list[Action]) -> None:
        """Interrupt the turn, then send the message."""
        if sight.turn is None and sight.state is State.PROMPT:
            self._say(out, say, now)
            return
        self._then, self._presses = say, 1
        self._to("cutting", now)
        out.append(Interrupt())

    def _cut(self, sight: Sight, now: float, out: list[Action]) -> None:
        say = self._then
        if sight.turn is None and sight.state is State.PROMPT:
            closed, self._closed = self._closed, None
            self._to("watching", now)
            if closed is not None and closed.end.outcome != "interrupted":
                self._closed = closed  # the turn ended by itself at the last moment
            elif say is not None:
                self._say(out, replace(say, interrupted=True, again=self._message), now)
        elif now >= self._since + self.cut_s:
            event = stall("deaf", self.cut_s, sight, self.clocks, now)
            out.append(Tell(event))
            self._revive_or_escalate("the agent does not react to an interrupt", event.evidence, now, out)
        elif now >= self._since + CUT_AGAIN_S * self._presses:
            self._presses += 1
            out.append(Interrupt())

    def _revive_or_escalate(self, why: str, evidence: dict[str, Any], now: float, out: list[Action]) -> None:
        if not self.restarts.left:
            self._escalate(out, "stall", why, evidence)
            return
        self._goes_down(why, now)
        out.append(Kill())

    def _goes_down(self, why: str, now: float) -> None:
        self.restarts.begin(why, now)
        self._closed = None
        self._to("down", now)

    # ---- between turns ----

    def _between(self, sight: Sight, now: float, out: list[Action]) -> None:
        if sight.state is not State.PROMPT:
            self._not_ready(sight, now, out)
            return
        if sight.pending or (sight.settling and self.policy.limits_calls):
            return
        say = self.restarts.take()
        if say is not None:
            self._say(out, say, now)
            return
        closed, self._closed = self._closed, None
        if closed is None:
            idle_at = self._idle_at(sight)
            if idle_at is not None and now >= idle_at and not person_there(sight, now):
                self._stalled("idle", self.policy.stall_after, sight, now, out)
        elif closed.end.outcome == "completed":
            if self._left_work(closed, sight, now, out):
                return
            self.nudges = 0
            self.provider.well()
            self._check_or_done(None, now, out)
        elif closed.end.outcome == "failed":
            self._failed(closed, sight, now, out)

    def _left_work(self, closed: Closed, sight: Sight, now: float, out: list[Action]) -> bool:
        """Whether the end of this turn is not judged yet.

        Work of the agent may still run, or may have just ended.
        """
        holds, told = self.waits.holds(sight.background, sight.looking, sight.wall, now)
        out += [Tell(event) for event in told]
        policy = self.policy
        # With `done_when`, that command says whether the task is done. With limits alone, the watch
        # says nothing.
        tells = (policy.care or policy.auto_stop or bool(policy.verify)) and not policy.done_when
        say = self.waits.news(now) if tells else None
        phase: Phase = "background" if holds and say is None else "watching"
        if self.phase != phase:
            self._to(phase, now)
        if say is not None:
            self._say(out, say, now)
        elif holds:
            self._closed = closed
        return holds or say is not None

    def _idle_at(self, sight: Sight) -> float | None:
        """When to wake an agent that was given a task and does nothing; None if never."""
        if not self.policy.care or not self.tasked or self.phase == "done" or self._idle_since is None:
            return None
        if sight.pending or self._closed is not None or self.policy.stall_after is None:
            return None
        return self._idle_since + self.policy.stall_after

    def _not_ready_at(self, sight: Sight) -> float | None:
        if not self.policy.care or self.policy.stall_after is None or self.phase in ("done", "person"):
            return None
        if not (sight.pending or self.tasked) or sight.state is State.BLOCKED:
            return None
        return max(self._since, self._idle_since or 0.0) + max(self.start_s, self.policy.stall_after)

    def _not_ready(self, sight: Sight, now: float, out: list[Action]) -> None:
        at = self._not_ready_at(sight)
        if at is not None and now >= at and not person_there(sight, now):
            event = stall("not_ready", self.policy.stall_after, sight, self.clocks, now)
            out.append(Tell(event))
            words = f"the agent is {sight.state.value} and takes no message"
            self._revive_or_escalate(words, event.evidence, now, out)

    def _failed(self, closed: Closed, sight: Sight, now: float, out: list[Action]) -> None:
        policy = self.policy
        if not policy.care:
            self._failed_unwatched(closed, out)
            return
        what = self.provider.refused(closed, sight.wall)
        if isinstance(what, Lost):
            self._escalate(out, what.reason, what.message, what.evidence)
        elif isinstance(what, str):
            self._fail(out, what)
        else:
            self._begin_wait(what, now, out)

    def _failed_unwatched(self, closed: Closed, out: list[Action]) -> None:
        """Take a failed turn without `care`: only notify."""
        reason = closed.end.reason or "other"
        words = f"turn {closed.turn} failed ({reason}): {told(closed)}"
        if self.policy.auto_stop:
            self._fail(out, words)
        else:
            person = reason in ("auth", "credit", "context", "refused")
            out.append(Notify("limit" if reason == "usage_limit" else "person" if person else "failed", words))

    def _begin_wait(self, wait: events.LimitWait, now: float, out: list[Action]) -> None:
        out.append(Tell(wait))
        until, deadline = self.provider.until, self.policy.deadline
        if deadline is not None and until is not None and until >= deadline:
            message = f"{wait.reason}: it could go on at {wait.until}, after the deadline"
            self._stop(out, "timeout", errors.TIMEOUT, message, "timeout")
            return
        if wait.reason == "usage_limit":
            out.append(Notify("limit", f"{wait.message}; going on at {wait.until}"))
        self._to("waiting", now)

    def _wait(self, sight: Sight, now: float, out: list[Action]) -> None:
        until = self.provider.until
        if sight.turn is not None:
            self.provider.over()
            self._to("watching", now)
        elif until is not None and sight.wall >= until and sight.state is State.PROMPT:
            say = self.provider.go_on()
            self.provider.over()
            self._to("watching", now)
            if not sight.pending:
                self._say(out, say, now)

    # ---- complete? ----

    def _check_or_done(self, after: Checking | None, now: float, out: list[Action]) -> None:
        check = self.checks.begin(after)
        if check is None:
            self._done(now, out)
        else:
            self._to("checking", now)
            out.append(check)

    def _after_check(self, now: float, out: list[Action]) -> None:
        taken = self.checks.take()
        if taken is None:
            return
        kind, verdict, result, event = taken
        out.append(Tell(event))
        self._to("watching", now)
        if verdict == "passed":
            self._check_or_done(kind, now, out)
        elif verdict == "unrun":
            evidence = {"command": event.command, "code": result.code, "output": event.output}
            self._escalate(out, "check", self.checks.unrun(kind, result), evidence)
        elif verdict == "failed":
            correction = self.checks.correction(kind, result)
            if isinstance(correction, str):
                self._fail(out, correction)
            else:
                self._say(out, correction, now)
        # A stale check: the agent went on meanwhile. The check runs again when that turn is over.

    def _done(self, now: float, out: list[Action]) -> None:
        self._to("done", now)
        message = "the task is complete"
        out.append(Tell(events.Watch(phase="done", exit_code=errors.DONE, message=message)))
        if self.policy.auto_stop:
            self._stop(out, "success", errors.DONE, message, "done")
        else:
            out.append(Notify("done", message))

    # ---- time ----

    def _next(self, sight: Sight, now: float) -> float | None:
        """When to look again (monotonic seconds); None if time alone changes nothing.

        Never in the past: what is due but can't be done waits for something to happen.
        """
        policy = self.policy
        times: list[float | None] = []
        if self.phase == "over":
            return None
        if policy.deadline is not None and self.phase != "done":
            times.append(now + min(max(policy.deadline - sight.wall, 0.0), WALL_S))
        if self.phase == "down":
            times.append(self.restarts.at)
        elif sight.state is State.BLOCKED:
            if self.phase != "person" and self.dialogs.since is not None and not sight.answering:
                times.append(self.dialogs.since + STAND_S)
        elif self.phase == "waiting" and self.until is not None:
            left = self.until - sight.wall
            times.append(now + min(left, WALL_S) if left > 0 else None)
        elif self.phase == "cutting":
            times.append(min(self._since + CUT_AGAIN_S * self._presses, self._since + self.cut_s))
        elif self.phase != "checking" and sight.state not in (State.STOPPING, State.EXITED):
            times += self._clocks(sight, now)
        due = min((t for t in times if t is not None), default=None)
        return max(due, now + 0.05) if due is not None else None

    def _clocks(self, sight: Sight, now: float) -> list[float | None]:
        """When each of the clocks runs out; None for a clock that does not run."""
        if sight.turn is None:
            at = self._idle_at(sight) if sight.state is State.PROMPT else self._not_ready_at(sight)
            return [left_alone(at, sight, now), self.waits.due if self.phase == "background" else None]
        policy, spent = self.policy, self.budget.spent
        return [
            self.clocks.turn_since + policy.turn_timeout if policy.turn_timeout is not None else None,
            spent.since + GRACE_S if spent is not None else None,
            left_alone(turn_due(policy, self.clocks, sight) if policy.care else None, sight, now),
        ]

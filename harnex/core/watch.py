"""The watch: keeps an agent working, stops what runs away, and says when the task is done. Pure.

Fed with facts (turns, tools, calls, the screen, the agent's end); `step` says what to do now and `wake_at` when
time alone would change that. `now` is monotonic seconds; times that people and providers name are epoch seconds
(`Sight.wall`), compared anew at least once a minute, since a machine that slept has only one of them right.

    watching -- stall, loop --> cutting (an interrupt, until the turn is over) --> a message
             -- a turn ended well --> checking (done-when, verify) --> done | a message | failed
             -- the provider refused --> waiting (until its reset, or a backoff) --> a message
             -- the agent's process ended --> down (a backoff) --> a new process --> a message
             -- a dialog --> person, until it is gone
    anything -- deadline, budget, what nobody can mend --> over (the session is stopped)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harnex import errors, events
from harnex.core.turns import Closed
from harnex.core.watch_budget import GRACE_S, Budget, Spent
from harnex.core.watch_policy import Policy, duration
from harnex.core.watch_signs import Clocks, Loops
from harnex.model import State, ToolUse

Phase = Literal["watching", "cutting", "checking", "waiting", "down", "person", "done", "over"]

CUT_AGAIN_S = 3.0  # an interrupt that shows nothing is pressed again; the slowest that was measured took 0.1 s
CUT_S = 10.0  # and given up, where an interrupt is a key
WALL_S = 60.0  # how often a far time is compared with the wall clock
DIALOG_S = 2.0  # how long a dialog must stand: a person, or what was allowed in advance, may be answering it
START_S = 30.0  # an agent that starts is not ready for so long, at least
RESTART_MIN_S = 1.5  # rows of the old process are told from the new one's by their time, to a second
PERSON_S = 60.0  # a person who typed so lately is left alone
BACKOFF_MAX_S = 900.0
UNKNOWN_RESET_S = 900.0  # a usage limit that names no time is tried again after this
PASSING = ("rate_limit", "overloaded", "network", "other")  # errors that may be gone a moment later
REFUSED = {
    "auth": "the login or the key is not accepted",
    "credit": "the credit is used up",
    "context": "the conversation is too long for the model",
    "refused": "the provider refuses the request",
}


@dataclass(frozen=True, slots=True)
class Sight:
    """The session at one moment. `retrying`: the CLI's own word that it tries again; `person`: their last key."""

    state: State
    wall: float
    dialog: str = ""
    options: tuple[str, ...] = ()
    turn: int | None = None  # the open one
    pending: int = 0
    answering: bool = False  # harnex is answering the dialog, as it was told in advance
    retrying: str = ""
    person: float = -1e9
    reason: str = ""  # what decided the state


@dataclass(frozen=True, slots=True)
class Tell:
    event: events.Event


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Press what ends the turn."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message to the agent, and tell it as a `nudge`. `again`: the message of which nothing came, once more.

    Cut off before the first token, Claude Code takes the prompt back out of the conversation (measured: 2.1.329).
    """

    reason: str
    text: str
    count: int
    most: int
    interrupted: bool = False
    again: str | None = None
    force: bool = False  # type it although the agent looks busy


@dataclass(frozen=True, slots=True)
class Check:
    """Run a command; `checked` is told how it went."""

    kind: Literal["verify", "done_when"]
    command: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Revive:
    """Start the agent again; `restarted` is told when it runs."""

    reason: str
    attempt: int
    most: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End the agent's process at once: it is deaf, and another one takes its place."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the dialog that is up."""

    verb: Literal["approve", "deny"]
    dialog: str
    option: int | None
    by: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the session: why in the words of `exited`, the outcome's exit code, and words about it."""

    reason: str
    exit_code: int
    message: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell people: `kind` `person` `limit` `done` `failed` `budget` `timeout`."""

    kind: str
    text: str


Action = Tell | Interrupt | Say | Check | Kill | Revive | Answer | Stop | Notify


@dataclass(slots=True)
class Watch:
    """The machine; see the module's docstring. `permissions` decides about permission dialogs; an interrupt of this
    agent may take `cut_s`, its start `start_s`."""

    policy: Policy
    now: float
    permissions: str = "ask"
    cut_s: float = CUT_S
    start_s: float = START_S
    phase: Phase = "watching"
    clocks: Clocks = field(init=False)
    budget: Budget = field(init=False)
    loops: Loops = field(init=False)
    nudges: int = 0
    loop_nudges: int = 0
    restarts: int = 0
    retries: int = 0
    limits: int = 0
    verifies: int = 0
    undone: int = 0
    until: float | None = None  # epoch: what `waiting` waits for
    why: str = ""  # and why
    tasked: bool = False  # it was given something to do
    _closed: Closed | None = None
    _turn: int | None = None  # the turn that the clocks are of
    _message: str | None = None  # which it answers, while nothing came of it
    _loop: dict[str, object] | None = None
    _then: Say | None = None  # after the cut
    _since: float = 0.0  # of the phase
    _presses: int = 0
    _dialog_since: float | None = None
    _answered: int = 0
    _idle_since: float | None = None
    _checked: tuple[str, bool, int | None, float, str] | None = None
    _restart_at: float | None = None
    _reviving: str = ""
    _say_after_boot: Say | None = None
    _checking: str = ""
    _wake: float | None = None

    def __post_init__(self) -> None:
        self.clocks = Clocks.at(self.now)
        self.budget = Budget(self.policy)
        self.loops = Loops(self.policy.loop_after)
        self._since = self._idle_since = self.now

    # ---- facts ----

    def moved(self, now: float) -> None:
        """The screen changed, by the agent's own doing."""
        self.clocks.moved(now)

    def went_on(self, what: str, now: float) -> None:
        """Something new came from the agent."""
        self.clocks.went_on(what, now)

    def tool(self, use: ToolUse, now: float) -> None:
        self.clocks.tool(use, now)
        self._message = None
        if use.status == "started":
            self.budget.tool_started()
        self._loop = self.loops.tool(use) or self._loop

    def call(self, tokens: int | None, cost: float | None, model: str | None, last: bool, now: float) -> None:
        self.clocks.went_on("a model call ended", now)
        self._message = None
        self.budget.call(tokens, cost, model, last, now)

    def asked(self) -> None:
        """A message came in, of whomever."""
        self.tasked = True

    def turn_opened(self, number: int, message: str | None, now: float) -> None:
        self._message = message
        tools = self.clocks.tools
        self.clocks = Clocks.at(now)
        if self._turn == number:
            self.clocks.tools = tools
        self._turn, self._closed, self._idle_since, self.tasked = number, None, None, True
        self._say_after_boot = None
        self.loops.turn()
        self._loop = None
        self.budget.turn_opened(number, now)
        if self.phase in ("waiting", "done", "person"):
            self._to("watching", now)  # a person, or the CLI itself, went on

    def turn_closed(self, closed: Closed, now: float) -> None:
        self.clocks.tools.clear()
        self._closed, self._idle_since = closed, now

    def checked(self, ok: bool, code: int | None, took: float, output: str) -> None:
        """The command of a `Check` ended; `code` None: it took too long."""
        self._checked = (self._checking, ok, code, took, output)

    def gone(self, code: int | None, signal: int | None, mid_turn: bool, now: float, why: str = "") -> bool:
        """The agent's process ended, and nobody asked for it: will it be started again? `why`: in words, if known."""
        if not self.policy.care or self.phase in ("over", "done") or self.phase == "down":
            return self.phase == "down"
        if code == 0 and signal is None and not mid_turn:
            return False  # it was told to exit
        if self._reviving:
            reason = self._reviving
        else:
            reason = why or (f"signal {signal}" if signal is not None else f"exit code {code}")
            if self.restarts >= self.policy.max_resumes or self.budget.spent is not None:
                return False
            self.restarts += 1
        self._closed = None
        self._reviving = reason
        self._restart_at = now + max(RESTART_MIN_S, self.policy.restart_after * 2 ** (self.restarts - 1))
        self._to("down", now)
        return True

    def restarted(self, fresh: bool, now: float) -> None:
        """It runs again. `fresh`: without its conversation (then its task waits to be typed)."""
        self.clocks = Clocks.at(now)
        self._turn, self._idle_since, self._dialog_since, self._closed = None, now, None, None
        reason, self._reviving = self._reviving, ""
        if self.tasked and not fresh:
            text = f"You were started again after a crash ({reason}). {self.policy.nudge_text}"
            self._say_after_boot = Say("restart", text, self.restarts, self.policy.max_resumes, again=self._message)
        self._to("watching", now)

    # ---- what follows ----

    def wake_at(self) -> float | None:
        return self._wake

    def step(self, sight: Sight, now: float) -> list[Action]:
        """What to do now. Called after every wakeup; the same moment twice does nothing twice."""
        out: list[Action] = []
        for _ in range(8):  # one thing may lead to the next
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
            if self._restart_at is not None and now >= self._restart_at:
                self._restart_at = None
                out.append(Revive(self._reviving, self.restarts, policy.max_resumes))
            return
        if sight.state in (State.STOPPING, State.EXITED):
            return
        if self._dialog(sight, now, out):
            return
        if self.phase == "cutting":
            self._cut(sight, now, out)
        elif self.phase == "checking":
            self._after_check(sight, now, out)
        elif self.phase == "waiting":
            self._wait(sight, now, out)
        elif sight.turn is not None:
            self._in_turn(sight, now, out)
        else:
            self._between(sight, now, out)

    def _to(self, phase: Phase, now: float) -> None:
        self.phase, self._since = phase, now
        if phase != "waiting":
            self.until, self.why = None, ""

    # ---- the ends ----

    def _stop(self, out: list[Action], reason: str, code: int, message: str, kind: str) -> None:
        self.phase = "over"
        self.until, self.why = None, ""
        out += [Notify(kind, message), Stop(reason, code, message)]

    def _fail(self, out: list[Action], message: str) -> None:
        out.append(Tell(events.Watch(phase="failed", exit_code=errors.FAILED, message=message)))
        self._stop(out, "failure", errors.FAILED, message, "failed")

    def _escalate(self, out: list[Action], reason: str, message: str, evidence: dict[str, Any] | None = None) -> None:
        out.append(Tell(events.Escalated(reason=reason, message=message, stopped=True, evidence=evidence or {})))
        self._stop(out, "failure", errors.PERSON_NEEDED, message, "person")

    def _spend(self, out: list[Action], spent: Spent) -> None:
        out.append(Tell(events.Budget(kind=spent.kind, limit=spent.limit, used=spent.used)))
        words = f"the budget is spent: {spent.used:,} of {spent.limit:,} {spent.kind}"
        self._stop(out, "budget", errors.BUDGET, words, "budget")

    def _over_budget(self, sight: Sight, now: float, out: list[Action]) -> bool:
        budget = self.budget
        if budget.unknown:
            self._escalate(out, "budget", budget.unknown)
            return True
        spent = budget.spent
        if spent is None or sight.turn is None:
            return False
        if not spent.goes_on and now < spent.since + GRACE_S:
            return False  # it may have been the last call of the turn
        self._spend(out, spent)
        return True

    def _say(self, out: list[Action], say: Say, now: float) -> bool:
        """Send it, if the budget has room for another turn."""
        spent = self.budget.more_turns(now)
        if spent is not None:
            self._spend(out, spent)
            return False
        out.append(say)
        self.loops.turn()
        self._idle_since = now
        return True

    # ---- dialogs ----

    def _dialog(self, sight: Sight, now: float, out: list[Action]) -> bool:
        """True while a dialog is up."""
        if sight.state is not State.BLOCKED:
            self._dialog_since = None
            if self.phase == "person":
                self.clocks = Clocks.at(now)
                self._to("watching", now)
            return False
        if self._dialog_since is None:
            self._dialog_since = now
        if self.phase == "person" or sight.answering or not self.policy.care or now < self._dialog_since + DIALOG_S:
            return True
        answer = self._policy_answer(sight)
        if answer is not None and self._answered < 50:
            self._answered += 1
            self._dialog_since = now + DIALOG_S  # it takes a moment; then it is another dialog, or asked for anew
            out.append(answer)
            return True
        options = "; ".join(f"{n}. {words}" for n, words in enumerate(sight.options, 1))
        message = f"a {sight.dialog or 'unknown'} dialog waits for a person"
        evidence = {"dialog": sight.dialog, "options": list(sight.options)}
        out.append(Tell(events.Escalated(reason="dialog", message=message, stopped=False, evidence=evidence)))
        out.append(Notify("person", f"{message}: {options}" if options else message))
        self._to("person", now)
        return True

    def _policy_answer(self, sight: Sight) -> Answer | None:
        """`bypass` allows what is asked; `auto` never asks, so what would be asked is refused; limits are waited for."""
        if sight.dialog == "permission" and self.permissions == "bypass":
            return Answer("approve", "permission", None, "--permissions bypass")
        if sight.dialog == "permission" and self.permissions == "auto":
            return Answer("deny", "permission", None, "--permissions auto")
        wanted = {"limit": ("wait", "keep current", "stop"), "resume": ("full", "as is", "as-is")}.get(sight.dialog, ())
        if sight.dialog == "resume" and not self.restarts:
            wanted = ()
        for n, words in enumerate(sight.options, 1):
            if any(word in words.lower() for word in wanted):
                return Answer("approve", sight.dialog, n, "the watch")
        return None

    # ---- while a turn runs ----

    def _in_turn(self, sight: Sight, now: float, out: list[Action]) -> None:
        policy, clocks = self.policy, self.clocks
        if self.phase == "done":
            self._to("watching", now)
        if policy.turn_timeout is not None and now >= clocks.turn_since + policy.turn_timeout:
            out.append(Tell(self._stall("turn_timeout", policy.turn_timeout, sight, now)))
            words = f"turn {sight.turn} took longer than {duration(policy.turn_timeout)}"
            self._stop(out, "timeout", errors.TIMEOUT, words, "timeout")
            return
        if not policy.care:
            return
        if self._loop is not None:
            self._in_loop(sight, now, out)
            return
        due = self._stall_at(sight)
        if due is None or now < due or now < sight.person + PERSON_S:
            return
        after = policy.stall_after or 0.0
        silent = now - max(clocks.output, clocks.turn_since)
        self._stalled("no_output" if silent >= after else "no_progress", after, sight, now, out)

    def _stall_at(self, sight: Sight) -> float | None:
        """When the open turn will have stood still for too long. A tool that runs and the CLI's own retries are why
        nothing comes: they excuse it, but not for ever."""
        after = self.policy.stall_after
        if after is None:
            return None
        excused = bool(self.clocks.tools or sight.retrying)
        return max(self.clocks.progress, self.clocks.turn_since) + (
            max(after, self.policy.patience) if excused else after
        )

    def _stall(self, kind: str, after: float | None, sight: Sight, now: float) -> events.Stall:
        clocks = self.clocks
        evidence: dict[str, Any] = {
            "state": sight.state.value,
            "says": sight.reason,
            "silent_s": round(now - clocks.output, 1),
            "no_progress_s": round(now - clocks.progress, 1),
            "turn_s": round(now - clocks.turn_since, 1) if sight.turn is not None else None,
            "last_progress": clocks.what,
            "tools": [f"{name} for {now - since:.0f} s" for name, since in clocks.tools.values()],
            "retrying": sight.retrying or None,
        }
        return events.Stall(kind=kind, turn=sight.turn, after_s=after, evidence=evidence)

    def _stalled(self, kind: str, after: float | None, sight: Sight, now: float, out: list[Action]) -> None:
        stall = self._stall(kind, after, sight, now)
        out.append(Tell(stall))
        most = self.policy.max_resumes
        if self.nudges >= most:
            tried = f", and {self.nudges} nudges did not help" if self.nudges else ""
            self._escalate(out, "stall", f"the agent stands still ({kind}){tried}", stall.evidence)
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
        """Interrupt the turn, then say it."""
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
                self._closed = closed  # it ended by itself, at the last moment
            elif say is not None:
                self._say(out, replace(say, interrupted=True, again=self._message), now)
        elif now >= self._since + self.cut_s:
            stall = self._stall("deaf", self.cut_s, sight, now)
            out.append(Tell(stall))
            self._revive_or_escalate("the agent does not react to an interrupt", stall.evidence, now, out)
        elif now >= self._since + CUT_AGAIN_S * self._presses:
            self._presses += 1
            out.append(Interrupt())

    def _revive_or_escalate(self, why: str, evidence: dict[str, Any], now: float, out: list[Action]) -> None:
        if self.restarts >= self.policy.max_resumes:
            self._escalate(out, "stall", why, evidence)
            return
        self.restarts += 1
        self._reviving = why
        self._closed, self._restart_at = None, now + max(RESTART_MIN_S, self.policy.restart_after)
        self._to("down", now)
        out.append(Kill())

    # ---- between turns ----

    def _between(self, sight: Sight, now: float, out: list[Action]) -> None:
        policy = self.policy
        if sight.state is not State.PROMPT:
            self._not_ready(sight, now, out)
            return
        if sight.pending:
            return
        if self._say_after_boot is not None:
            say, self._say_after_boot = self._say_after_boot, None
            self._say(out, say, now)
            return
        closed, self._closed = self._closed, None
        if closed is None:
            idle_at = self._idle_at(sight)
            if idle_at is not None and now >= idle_at and now >= sight.person + PERSON_S:
                self._stalled("idle", policy.stall_after, sight, now, out)
            return
        if closed.end.outcome == "completed":
            self.nudges = self.retries = self.limits = 0
            self._complete(now, out)
        elif closed.end.outcome == "failed":
            self._failed(closed, sight, now, out)

    def _idle_at(self, sight: Sight) -> float | None:
        """When an agent that was given a task and does nothing is to be woken."""
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
        if at is not None and now >= at and now >= sight.person + PERSON_S:
            stall = self._stall("not_ready", self.policy.stall_after, sight, now)
            out.append(Tell(stall))
            words = f"the agent is {sight.state.value} and takes no message"
            self._revive_or_escalate(words, stall.evidence, now, out)

    def _failed(self, closed: Closed, sight: Sight, now: float, out: list[Action]) -> None:
        end, policy = closed.end, self.policy
        said = (end.detail or end.last_message).strip().splitlines()
        words = said[0][:300] if said else ""
        reason = end.reason or "other"
        if not policy.care:
            if policy.auto_stop:
                self._fail(out, f"turn {closed.turn} failed ({reason}): {words}")
            return
        if reason in REFUSED:
            self._escalate(out, reason, f"{REFUSED[reason]}: {words}", {"turn": closed.turn, "message": words})
        elif reason == "usage_limit":
            self.limits += 1
            until = _epoch(end.retry_at)
            source = "agent" if until is not None else "backoff"
            if until is None:
                until = sight.wall + UNKNOWN_RESET_S
            elif until % 60 == 0:
                until += policy.limit_slack
            if self.limits > 1:  # the time has come, and the limit is still there
                until = max(until, sight.wall + min(30.0 * 2**self.limits, BACKOFF_MAX_S))
            self._begin_wait("usage_limit", max(until, sight.wall), source, self.limits, words, sight, now, out)
        else:
            self.retries += 1
            if self.retries > policy.max_retries:
                self._fail(out, f"turn {closed.turn} failed ({reason}) after {policy.max_retries} retries: {words}")
                return
            pause = min(policy.retry_after * 2 ** (self.retries - 1), BACKOFF_MAX_S)
            until = max(sight.wall + pause, _epoch(end.retry_at) or 0.0)
            self._begin_wait(reason, until, "backoff", self.retries, words, sight, now, out)

    # ---- waiting ----

    def _begin_wait(
        self,
        reason: str,
        until: float,
        source: str,
        attempt: int,
        words: str,
        sight: Sight,
        now: float,
        out: list[Action],
    ) -> None:
        wait = until - sight.wall
        out.append(
            Tell(
                events.LimitWait(
                    reason=reason,
                    until=iso(until),
                    source=source,
                    attempt=attempt,
                    wait_s=round(wait, 1),
                    message=words,
                )
            )
        )
        deadline = self.policy.deadline
        if deadline is not None and until >= deadline:
            message = f"{reason}: it could go on at {iso(until)}, after the deadline"
            self._stop(out, "timeout", errors.TIMEOUT, message, "timeout")
            return
        if reason == "usage_limit":
            out.append(Notify("limit", f"{words}; going on at {iso(until)}"))
        self._to("waiting", now)
        self.until, self.why = until, reason

    def _wait(self, sight: Sight, now: float, out: list[Action]) -> None:
        assert self.until is not None
        if sight.turn is not None:
            self._to("watching", now)
        elif sight.wall >= self.until and sight.state is State.PROMPT:
            why = self.why
            self._to("watching", now)
            if sight.pending:
                return
            limit = why == "usage_limit"
            what = "The usage limit is over" if limit else f"The provider could not answer ({why}); that may be over"
            text = f"{what}. Please go on with the task until it is done."
            count, most = (self.limits, self.limits) if limit else (self.retries, self.policy.max_retries)
            self._say(out, Say(why, text, count, most), now)

    # ---- complete? ----

    def _complete(self, now: float, out: list[Action]) -> None:
        policy = self.policy
        if policy.done_when and self._checking != "done_when":
            self._check("done_when", policy.done_when, now, out)
        elif policy.verify and self._checking != "verify":
            self._check("verify", policy.verify, now, out)
        else:
            self._done(now, out)

    def _check(self, kind: Literal["verify", "done_when"], command: str, now: float, out: list[Action]) -> None:
        self._checking, self._checked = kind, None
        self._to("checking", now)
        out.append(Check(kind, command, self.policy.verify_timeout))

    def _after_check(self, sight: Sight, now: float, out: list[Action]) -> None:
        if self._checked is None:
            return
        (kind, ok, code, took, output), self._checked = self._checked, None
        policy = self.policy
        tries = self.verifies if kind == "verify" else self.undone
        command = policy.verify if kind == "verify" else policy.done_when
        out.append(
            Tell(
                events.Verify(
                    kind=kind,
                    command=command or "",
                    ok=ok,
                    code=code,
                    duration_s=round(took, 3),
                    attempt=tries + 1,
                    most=policy.verify_max + 1,
                    output=output[:2000],
                )
            )
        )
        if sight.turn is not None:  # somebody went on meanwhile: it is checked again when that turn is over
            self._checking = ""
            self._to("watching", now)
            return
        self._to("watching", now)
        if ok:
            if kind == "done_when" and policy.verify:
                self._check("verify", policy.verify, now, out)
            else:
                self._checking = ""
                self._done(now, out)
            return
        self._checking = ""
        how = "took too long" if code is None else f"exit code {code}"
        if tries >= policy.verify_max:
            self._fail(out, f"`{command}` fails after {tries} corrections ({how})")
            return
        if kind == "verify":
            self.verifies += 1
            text = f"The check `{command}` fails ({how}). Please mend it. It printed:\n\n{output}"
        else:
            self.undone += 1
            text = f"The task is not done yet: `{command}` says so ({how}). {policy.nudge_text}"
            text += f" It printed:\n\n{output}" if output.strip() else ""
        self._say(out, Say(kind, text, tries + 1, policy.verify_max), now)

    def _done(self, now: float, out: list[Action]) -> None:
        self._to("done", now)
        self._checking = ""
        message = "the task is complete"
        out.append(Tell(events.Watch(phase="done", exit_code=errors.DONE, message=message)))
        if self.policy.auto_stop:
            self._stop(out, "success", errors.DONE, message, "done")
        else:
            out.append(Notify("done", message))

    # ---- time ----

    def _next(self, sight: Sight, now: float) -> float | None:
        """When to look again. Never in the past: what is due and can't be done waits for something to happen."""
        policy = self.policy
        times: list[float | None] = []
        if self.phase == "over":
            return None
        if policy.deadline is not None and self.phase != "done":
            times.append(now + min(max(policy.deadline - sight.wall, 0.0), WALL_S))
        if self.phase == "waiting" and self.until is not None:
            left = self.until - sight.wall
            times.append(now + min(left, WALL_S) if left > 0 else None)
        elif self.phase == "down":
            times.append(self._restart_at)
        elif self.phase == "cutting":
            times.append(min(self._since + CUT_AGAIN_S * self._presses, self._since + self.cut_s))
        elif sight.state is State.BLOCKED:
            if self.phase != "person" and policy.care and self._dialog_since is not None and not sight.answering:
                times.append(self._dialog_since + DIALOG_S)
        elif self.phase != "checking" and sight.state not in (State.STOPPING, State.EXITED):
            if sight.turn is not None:
                if policy.turn_timeout is not None:
                    times.append(self.clocks.turn_since + policy.turn_timeout)
                if self.budget.spent is not None:
                    times.append(self.budget.spent.since + GRACE_S)
                times.append(_left_alone(self._stall_at(sight) if policy.care else None, sight, now))
            elif sight.state is State.PROMPT:
                times.append(_left_alone(self._idle_at(sight), sight, now))
            else:
                times.append(_left_alone(self._not_ready_at(sight), sight, now))
        due = min((t for t in times if t is not None), default=None)
        return max(due, now + 0.05) if due is not None else None


def _left_alone(at: float | None, sight: Sight, now: float) -> float | None:
    """A clock that ran out while a person types is looked at when they have stopped."""
    if at is None or at > now:
        return at
    return max(at, sight.person + PERSON_S)


def _epoch(text: str | None) -> float | None:
    """Epoch seconds of the times that adapters give."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None
    except ValueError:
        return None


def iso(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

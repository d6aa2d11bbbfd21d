"""Answer the open dialog: for `approve` and `deny`, and for dialogs that the
person allowed in advance."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from harnex import clock, errors
from harnex.errors import HarnexError, UsageError
from harnex.launch.spec import Spec
from harnex.machines.answering import Answering, Verb, describe, target_of
from harnex.machines.status import Status
from harnex.model import events, protocol
from harnex.model.facts import State
from harnex.model.records import Json
from harnex.supervisor.agent import Agent
from harnex.supervisor.control import Peer
from harnex.supervisor.journal import Journal

# The dialogs that may be answered in advance, and what allowed each of them.
IN_ADVANCE = {"trust": "--trust", "bypass-warning": "--permissions bypass", "update": "harnex"}
KEEP = re.compile(
    r"(?:use|keep) (?:the )?(?:existing|current) model", re.IGNORECASE
)  # declines an offer of another model
REVIEW = re.compile(r"Submit answers?$")
# As GONE_S, for an answer that a slow command gives.
COMMAND_GONE_S = 45.0
Done = Callable[[HarnexError | None], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer to a dialog.

    `option` is the option's number (from 1), `text` the answer in words; each only if the verb does
    not say it all. `by` is who answers.
    """

    verb: Verb
    option: int | None = None
    text: str | None = None
    by: str = "?"


class Answers:
    """Presses at most one answer at a time, and calls `done` with the result."""

    def __init__(self, spec: Spec, journal: Journal, agent: Callable[[], Agent], status: Status) -> None:
        self._spec, self._journal, self._agent, self._status = spec, journal, agent, status
        self._current: Answering | None = None
        self._done: Done | None = None
        # The answer to a question, while its review is handed in.
        self._said: Answering | None = None
        # The dialog on the screen, with its options.
        self._shown: tuple[str, tuple[str, ...]] | None = None
        self._painted_at: float | None = None
        self._in_advance = {"update"}
        if spec.trust:
            self._in_advance.add("trust")
        if spec.permissions == "bypass":
            self._in_advance.add("bypass-warning")

    def begin(self, wanted: Wanted, seen: str | None, done: Done | None = None, since: str | None = None) -> None:
        """Start to answer the open dialog. Raises HarnexError if another dialog is open.

        `seen` is the dialog that the caller saw, and `since` when it came up; None accepts any.
        `done` is called later, with a HarnexError or None.
        """
        self._check(wanted, seen, since)
        verdict, agent = self._status.verdict, self._agent()
        verb, option, text = wanted.verb, wanted.option, wanted.text
        now = clock.monotonic()
        current = Answering(verb, verdict.dialog, option, text, wanted.by, now)
        try:
            facts = agent.reader.answer(verb, option, text)
        except ValueError as e:
            raise self._refusal(str(e), "see: harnex status") from None
        self._current, self._done = current, done
        # A command answers: the dialog has gone when the agent no longer reports it.
        if facts is not None:
            current.options, current.pressed_at, current.gone_s = verdict.options, now, COMMAND_GONE_S
            if verdict.options:
                current.target = option - 1 if option else 0 if verb == "approve" else len(verdict.options) - 1
            agent.learn(facts, now)

    def _refusal(self, why: str, hint: str) -> HarnexError:
        words = f"session {self._spec.id}, {self._status.verdict.dialog} dialog: {why}"
        return HarnexError(words, hint, errors.USAGE)

    def _check(self, wanted: Wanted, seen: str | None, since: str | None) -> None:
        """Raise HarnexError if the answer can't be for the open dialog."""
        verdict, name = self._status.verdict, self._spec.id
        look = f"look: harnex pane --id {name}"
        if verdict.state is not State.BLOCKED:
            raise HarnexError(
                f"session {name} shows no dialog now (it is {verdict.state.value})", "see: harnex status, harnex pane"
            )
        if verdict.view is not None:
            raise HarnexError(
                f"session {name} shows no dialog: a person left {verdict.reason}",
                f"close it in: harnex attach --id {name}",
            )
        if seen is not None and verdict.dialog != seen:
            words = f"session {name} shows another dialog now: {verdict.dialog}, not {seen}"
            raise HarnexError(words, look, errors.PERSON_NEEDED)
        if since is not None and since != self._status.since:
            words = (
                f"session {name} shows another {verdict.dialog} dialog now: it came up at {self._status.since}, "
                f"not at {since}"
            )
            raise HarnexError(words, look, errors.PERSON_NEEDED)
        if self._current is not None:
            raise HarnexError(f"session {name}: the dialog is being answered already", "see: harnex status")
        if self._painted():
            try:
                target_of(wanted.verb, verdict.options, wanted.option, wanted.text)
            except ValueError as e:
                raise self._refusal(str(e), "choose with --option N") from None

    def asked(self, peer: Peer, request: Json) -> None:
        """Handle the request `answer`, of `approve` and `deny`. Raises HarnexError."""
        verb, option, text = request.get("verb"), request.get("option"), request.get("text")
        if verb not in ("approve", "deny") or not isinstance(option, int | None) or not isinstance(text, str | None):
            raise UsageError("that is no answer", "see: harnex approve --help")
        if text is not None and (why := protocol.too_long(text)):
            raise UsageError(why, protocol.TOO_LONG_HINT)
        dialog = str(request.get("dialog") or self._status.verdict.dialog)
        since = str(request["since"]) if request.get("since") else None

        def done(error: HarnexError | None) -> None:
            peer.on_closed = None
            if error is not None:
                peer.fail(error)
            else:
                peer.reply({"ok": True, **self._spec.names(), "dialog": dialog, "verb": verb, "exit_code": errors.DONE})

        self.begin(Wanted(verb, option, text, str(request.get("by") or "?")), dialog, done, since)
        if self._done is done:
            # The peer stays: its connection counts among those that are held.
            peer.on_closed = _nobody_waits

    def refused(self, why: str) -> None:
        """Note that the answer could not be given."""
        if self._current is not None:
            self._finish(why)

    @property
    def under_way(self) -> bool:
        """Whether an answer is being pressed."""
        return self._current is not None

    @property
    def in_hand(self) -> bool:
        """Whether harnex will answer the open dialog by itself, as allowed in
        advance: no person is needed."""
        verdict = self._status.verdict
        if verdict.state is not State.BLOCKED:
            return False
        current = self._current
        answering = current is not None and current.by in IN_ADVANCE.values() and current.dialog == verdict.dialog
        return answering or self._in_advance_answer() is not None

    def _in_advance_answer(self) -> int | None:
        """Return the option that was chosen in advance for the open dialog: its
        number, 0 for yes, or None.

        An offer of another model (Codex 0.9x to 0.12x) is declined: the person chose
        a model, or has a default.
        """
        verdict = self._status.verdict
        if verdict.state is not State.BLOCKED or verdict.dialog not in self._in_advance:
            return None
        if verdict.dialog != "update":
            return 0
        return next((n for n, words in enumerate(verdict.options, 1) if KEEP.match(words)), None)

    def step(self, now: float) -> None:
        """Press the keys that are due."""
        verdict = self._status.verdict
        self._see(now)
        if self._current is None:
            option = self._in_advance_answer()
            if option is not None and self._painted():
                # Only once: a dialog that comes back wants a person.
                self._in_advance.discard(verdict.dialog)
                by = IN_ADVANCE[verdict.dialog]
                try:
                    self.begin(Wanted("approve", option or None, by=by), verdict.dialog)
                except HarnexError as e:
                    self._journal.diagnose(e.message)
            return
        answer = self._current
        gone = verdict.state is not State.BLOCKED or verdict.dialog != answer.dialog
        if answer.pressed_at is not None:
            other = verdict.options and answer.options and verdict.options != answer.options
            if gone or other or verdict.asks_else(answer.asks):
                if not gone and self._said is None and answer.verb == "approve" and _is_review(verdict.options):
                    # Claude Code 2.0.30 shows the answers once more for review: hand them in.
                    self._said = answer
                    self._current = Answering("approve", answer.dialog, 1, None, answer.by, now)
                    return
                self._finish(None)
                return
            if now > answer.pressed_at + answer.gone_s:
                self._finish("it was answered, but the dialog is still there")
                return
        elif gone:
            self._finish("the dialog went away before it was answered")
            return
        elif verdict.asks_else(answer.asks):
            self._finish("another dialog came up")
            return
        answer.asks = answer.asks or verdict.asks
        keys = answer.step(self._agent().terminal.view, verdict.dialog, verdict.options, self._painted_at, now)
        if answer.failed:
            self._finish(answer.failed)
        elif keys:
            self._agent().type(keys)

    def _see(self, now: float) -> None:
        """Note since when the open dialog has been on the screen."""
        verdict = self._status.verdict
        shown = (verdict.dialog, verdict.options) if self._painted() else None
        if shown != self._shown:
            self._shown, self._painted_at = shown, None if shown is None else now

    def _painted(self) -> bool:
        seen = self._agent().activity.on_screen()
        return seen is not None and seen.state is State.BLOCKED

    def _finish(self, problem: str | None) -> None:
        answer, done = self._current, self._done
        assert answer is not None
        answer = self._said or answer
        self._current = self._done = self._said = None
        if problem is None:
            words = answer.text or (answer.options[answer.target] if answer.target is not None else "")
            self._journal.emit(
                events.Approval(
                    dialog=answer.dialog,
                    options=answer.options,
                    answer=words or answer.verb,
                    verb=answer.verb,
                    by=answer.by,
                )
            )
        else:
            self._journal.diagnose(f"the {answer.dialog} dialog could not be answered: {problem}")
        if done is not None:
            error = None
            if problem is not None:
                error = HarnexError(
                    f"session {self._spec.id}, {answer.dialog} dialog: {problem}",
                    f"options: {describe(answer.options) or 'none'}; look: harnex pane --id {self._spec.id}",
                    errors.PERSON_NEEDED,
                )
            done(error)

    def wake_at(self, now: float) -> float | None:
        return self._current.wake_at(now) if self._current is not None else None


def _is_review(options: tuple[str, ...]) -> bool:
    """Whether a dialog shows the answers once more before they are handed in.

    A half-painted dialog has no options yet.
    """
    return bool(options) and REVIEW.match(options[0]) is not None


def _nobody_waits() -> None:
    """The caller of the answer has left: the answer is still given."""

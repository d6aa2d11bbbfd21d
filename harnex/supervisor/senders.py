"""Messages that clients send, and the clients that wait for the result (`harnex send`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harnex import clock, errors
from harnex.errors import HarnexError, UsageError
from harnex.launch.spec import Spec
from harnex.machines import waiting
from harnex.machines.inbox import Message
from harnex.machines.status import Situation
from harnex.machines.turns import Closed
from harnex.machines.waiting import Standing
from harnex.model import protocol
from harnex.model.records import BackgroundWork, Json, SendReply
from harnex.supervisor.control import Peer
from harnex.supervisor.delivery import Delivery, new_message_id
from harnex.supervisor.ending import EXIT_CODE_OF
from harnex.supervisor.waiters import dialog_hint, seconds

# An agent that stays at its prompt for so long after it took a message does not answer it.
NO_TURN_S = 10.0


@dataclass(slots=True)
class _Sender:
    """A `send` whose caller waits until the message is delivered (`done`) or answered (`idle`)."""

    peer: Peer
    message: Message
    until: str
    begun: float
    deadline: float | None
    note: str = ""  # what `force` does to the running turn
    accepted: bool = False
    accepted_at: float = 0.0
    turn: int | None = None
    closed: Closed | None = None


class Senders:
    """Answers the request `send`, at once or when its message got as far as the caller wants."""

    def __init__(
        self,
        spec: Spec,
        situation: Situation,
        delivery: Delivery,
        standing: Callable[[], Standing],
        background: Callable[[], list[BackgroundWork]],
    ) -> None:
        """`background` returns what the agent left running, without secrets."""
        self._spec, self._situation, self._delivery = spec, situation, delivery
        self._standing, self._background = standing, background
        self._senders: list[_Sender] = []

    def send(self, peer: Peer, request: Json) -> None:
        """Handle the request `send`. Raises HarnexError for a message that can't be taken."""
        spec, now = self._spec, clock.monotonic()
        text, timeout, until = request.get("text"), seconds(request.get("timeout")), request.get("until", "done")
        force = bool(request.get("force"))
        self._check(text, force)
        deadline = now + timeout if timeout is not None else None
        message = Message(
            new_message_id(),
            text,
            submit=request.get("submit", True) is not False,
            force=force,
            sender=request.get("from"),
            deadline=deadline,
        )
        replaces = self._delivery.force_says if force else ""
        self._delivery.take(message, acknowledged=until == "queued")
        if until == "queued":
            reply = {"ok": True, **spec.names(), "message_id": message.id, "status": "queued"}
            standing = self._standing()
            note = replaces
            if standing.needs_person:
                note = f"a {standing.dialog} dialog is up: the message is typed when it is gone"
            peer.reply(reply | ({"note": note} if note else {}))
            return
        sender = _Sender(peer, message, until, now, deadline, replaces)
        self._senders.append(sender)
        peer.on_closed = lambda: self._left(sender)

    def _check(self, text: object, force: bool) -> None:
        spec, verdict = self._spec, self._situation.status.verdict
        if text is not None and not isinstance(text, str):
            raise UsageError("the message is not text")
        if text is not None and (why := protocol.too_long(text)):
            raise UsageError(why, protocol.TOO_LONG_HINT)
        if self._situation.end.under_way:
            raise HarnexError(f"session {spec.id} is ending", "start another one with: harnex run")
        if spec.headless:
            raise HarnexError(
                f"session {spec.id} is headless: it takes one prompt, and no message",
                "a session that does: harnex run",
            )
        if force and verdict.state.value == "blocked" and verdict.view is None:
            raise HarnexError(
                f"session {spec.id} shows a {verdict.dialog} dialog: a message would answer it",
                dialog_hint(spec.id),
                errors.PERSON_NEEDED,
            )

    def _left(self, sender: _Sender) -> None:
        """The caller is gone (Ctrl-C): withdraw a message that was not typed yet, so
        that no ghost is delivered."""
        if sender in self._senders:
            self._senders.remove(sender)
            message = self._delivery.inbox.withdraw(sender.message.id)
            if message is not None:
                message.error = "its sender went away"
                self._delivery.moved(message)

    # ---- what becomes of them ----

    def moved(self, message: Message, over: bool) -> None:
        """A message got a new status (`over`: its last one): answer the
        senders that wait for it."""
        for sender in [s for s in self._senders if s.message.id == message.id]:
            if message.status in ("failed", "expired"):
                code = errors.TIMEOUT if message.status == "expired" else errors.FAILED
                end = self._situation.end
                # The exit code of a spent budget, of a person who is needed, or
                # of the session's timeout.
                code = end.exit_code or EXIT_CODE_OF.get(end.reason or "", errors.DONE) or code
                self._answer(sender, False, code, message.error or message.status)
            elif over:
                sender.accepted_at = clock.monotonic()
                # Or typed, if this agent shows no more than that.
                sender.accepted = True
                if sender.until == "done" or message.status == "typed":
                    self._answer(sender, True, errors.DONE)
                else:
                    turn = self._situation.turns.open
                    sender.turn = turn.number if turn is not None else None

    def turn_closed(self, closed: Closed) -> None:
        """A turn ended: note it for the senders that wait for the end of theirs."""
        for sender in self._senders:
            # The turn may end before there is proof that the message was taken.
            if closed.message_id == sender.message.id or (sender.accepted and closed.turn == sender.turn):
                sender.closed = closed

    def tick(self, standing: Standing, now: float) -> None:
        """Answer the senders whose turn has ended or whose time is up."""
        for sender in list(self._senders):
            self._tick(sender, standing, now)

    def deadlines(self, now: float) -> list[float]:
        """Return when `tick` is due.

        Whether a turn follows at all is judged once, at that time; later a change of
        the state wakes the loop.
        """
        times = [s.deadline for s in self._senders if s.deadline is not None]
        judged = [s.accepted_at + NO_TURN_S for s in self._senders if s.accepted and s.closed is None]
        return times + [at for at in judged if at > now]

    def end(self) -> None:
        """The session has ended."""
        for sender in list(self._senders):
            self._answer(sender, False, errors.FAILED, "the session ended", "see: harnex history")

    def _tick(self, sender: _Sender, standing: Standing, now: float) -> None:
        name = self._spec.id
        if self._turned_away(sender, standing):
            return
        if sender.accepted and sender.closed is not None and standing.state.value in ("prompt", "exited"):
            verdict = waiting.outcome_of(sender.closed)
            self._answer(sender, verdict.exit_code == errors.DONE, verdict.exit_code, verdict.error)
        elif sender.until == "idle" and sender.accepted and standing.state.value == "blocked":
            words = f"a {standing.dialog} dialog waits for a person"
            self._answer(sender, False, errors.PERSON_NEEDED, words, dialog_hint(name, " Then: harnex wait."))
        elif sender.accepted and sender.closed is None and standing.settled and now >= sender.accepted_at + NO_TURN_S:
            words = "the agent took the message, but no turn followed"
            self._answer(sender, False, errors.FAILED, words, f"look: harnex pane --id {name}")
        elif sender.deadline is not None and now >= sender.deadline:
            words = (
                "the agent took the message, but the turn did not end in time"
                if sender.accepted
                else "the message was typed, but the agent has not taken it yet"
            )
            self._answer(sender, False, errors.TIMEOUT, words, "go on waiting with: harnex wait --until task_complete")

    def _turned_away(self, sender: _Sender, standing: Standing) -> bool:
        """A dialog is up before the agent got the message: withdraw the message, and
        tell the sender why at once.

        Nothing would type the message before a person has answered, and a message that was reported
        as not sent must not arrive later.
        """
        if sender.accepted or not standing.needs_person:
            return False
        message = self._delivery.inbox.withdraw(sender.message.id)
        if message is None:
            return False  # Enter was pressed: the result shows in a moment
        message.error = f"a {standing.dialog} dialog waits for a person: the message was not sent"
        hint = dialog_hint(self._spec.id, " Then send again.")
        self._answer(sender, False, errors.PERSON_NEEDED, message.error, hint)
        self._delivery.moved(message)
        return True

    def _answer(self, sender: _Sender, ok: bool, code: int, error: str = "", hint: str = "") -> None:
        self._senders.remove(sender)
        sender.peer.on_closed = None
        reply: SendReply = {
            "ok": ok,
            "id": self._spec.id,
            "run_id": self._spec.run_id,
            "message_id": sender.message.id,
            "status": sender.message.status,
            "exit_code": code,
        }
        if sender.until == "idle":
            reply["state"] = self._situation.status.verdict.state.value
            if sender.closed is not None:
                reply["turn"] = sender.closed.turn
                reply["outcome"] = sender.closed.end.outcome
                reply["last_message"] = sender.closed.end.last_message
            reply["background"] = self._background()
            reply["waited_s"] = round(clock.monotonic() - sender.begun, 3)
        notes = [words for words in (sender.note, sender.message.note) if words]
        if notes:
            reply["note"] = "; ".join(notes)
        if error:
            reply["error"], reply["hint"] = error, hint
        sender.peer.reply(reply)

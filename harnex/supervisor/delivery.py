"""The inbox at work: messages in, keys out, and what became of them told to the log and to the senders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from harnex import clock
from harnex.agents.common.message_text import PASTE_END, PASTE_START
from harnex.errors import HarnexError
from harnex.machines.inbox import Gate, Hand, Inbox, Message, Progress, Write
from harnex.machines.leaving import Leaving, Surroundings
from harnex.machines.turns import Closed
from harnex.model import events
from harnex.model.facts import State, Submitted
from harnex.store import undelivered

if TYPE_CHECKING:
    from harnex.supervisor.session import Session


def new_message_id() -> str:
    return "m-" + os.urandom(6).hex()


class Delivery:
    """Wires the inbox to the session's terminal."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.inbox = Inbox(lambda text: session.adapter.typing(text, session.version))
        self._leaving = Leaving()
        # Taken, but their turn runs: an agent that is killed now may not have kept them in its conversation.
        self._answered: list[Message] = []

    def take(self, message: Message, acknowledged: bool = False, first: bool = False) -> None:
        """A message came in: keep it, log it and queue it. `acknowledged`: its sender is told so, and leaves; `first`:
        it goes before those that wait."""
        spec, text = self._session.spec, message.text or ""
        row = {"id": message.id, "text": message.text, "submit": message.submit, "from": message.sender}
        try:
            undelivered.put(spec.state, spec.run_id, row, self._session.redactor.text, first, acknowledged)
        except (OSError, HarnexError) as e:
            self._session.journal.diagnose(f"a message can't be kept for the case of a crash: {e}")
        self._session.emit(
            events.Send(
                message_id=message.id,
                msg=text[: events.MSG_LIMIT],
                msg_truncated=len(text) > events.MSG_LIMIT,
                forced=message.force,
                sender=message.sender,
            )
        )
        if first:
            self.inbox.queue.appendleft(message)
        else:
            self.inbox.put(message)
        self._session.watcher.asked(message)
        self._session.emit(events.Delivery(message_id=message.id, status="queued"))
        self._session.journal.changed()

    def take_kept(self) -> None:
        """Take the first message, and what the run that this one goes on with could not deliver."""
        spec = self._session.spec
        for row in undelivered.rows(spec.state, spec.run_id):
            text = spec.context if row["id"] == spec.context_id else row["text"]
            if row.get("redacted") and row["id"] != spec.context_id:
                self._session.journal.diagnose(f"message {row['id']} held a secret, which was not kept: send it again")
                undelivered.drop(spec.state, spec.run_id, row["id"])
                continue
            self.take(Message(row["id"], text, row.get("submit") is not False, sender=row.get("from")))

    def gate(self) -> Gate:
        """What delivery must know of the session now."""
        draft = (
            self._session.reader.draft(self._session.terminal.view)
            if self.inbox.has_work and self._session.terminal.screen
            else None
        )
        screen = self._session.activity.on_screen()
        return Gate(
            state=State.UNKNOWN if self._session.changes.held or self._reads_no_keys else self._session.verdict.state,
            on_screen=screen.state if screen else None,
            draft=draft,
            reads_draft=self._session.reader.reads_draft,
            person_typed=self._session.person_typed,
            open_turn=self._session.turns.open is not None,
            may_type_unknown=self._session.reader.may_type_unknown,
            declared=self._session.activity.declared,
            proves=self._session.reader.proves_prompts(),
            view=screen.view.name if screen and screen.view else "",
            output_at=self._session.activity.last_output,
        )

    @property
    def _reads_no_keys(self) -> bool:
        """Whether a message waits, and the agent has given its terminal back (Ctrl-Z)."""
        session = self._session
        return self.inbox.has_work and session.reader.reads_draft and session.child.echoes

    def _around(self) -> Surroundings:
        session = self._session
        return Surroundings(self.inbox.pending > 0, session.requests.has_viewers, session.person_typed)

    @property
    def will_leave(self) -> bool:
        """Whether what a person left open over the prompt is going to be closed without one, by harnex or by itself."""
        now = clock.monotonic()
        self._leaving.see(self._session.verdict.view, now)  # it may have come up since the last step
        return self._leaving.will_leave(self._around()) or self._leaving.passes(now)

    def _leave_view(self, now: float) -> None:
        session, given_up = self._session, self._leaving.gave_up
        self._leaving.see(session.verdict.view, now)
        if name := self._leaving.left():
            session.journal.diagnose(f"{name} was open in the agent's terminal and was left, so that it takes messages")
        keys = self._leaving.step(self._around(), now)
        if keys:
            session.type(keys)
        if self._leaving.gave_up and not given_up and session.verdict.view is not None:
            session.journal.diagnose(f"{session.verdict.view.name} is open in the agent's terminal and can't be left")

    @property
    def held_by(self) -> str | None:
        """Why messages wait and are not typed now, for people; None: none waits, or one is being typed."""
        verdict = self._session.verdict
        if not self.inbox.queue or (self.inbox.current is not None and verdict.view is None):
            return None
        if verdict.view is not None:
            return verdict.reason
        if verdict.state is State.BLOCKED:
            return f"a {verdict.dialog} dialog is open"
        if verdict.state is not State.PROMPT:
            return f"the agent is {verdict.state.value}"
        return "the agent reads no keys now" if self._reads_no_keys else "a draft is in its box"

    def wake_at(self, now: float) -> float | None:
        times = (self.inbox.wake_at(self.gate(), now), self._leaving.wake_at(self._around()))
        return min((t for t in times if t is not None), default=None)

    def step(self, now: float) -> None:
        """Do what is due."""
        self._leave_view(now)
        if self.inbox.has_work:
            self.act(self.inbox.step(self.gate(), now))

    def act(self, actions: Iterable[Write | Hand | Progress]) -> None:
        """Press what the inbox wants pressed, and tell what became of its messages."""
        actions = list(actions)
        for number, action in enumerate(actions):
            if isinstance(action, Write):
                if why := self._session.type(self._pasteable(action.data)):
                    self.act(self._unwritten(actions[number + 1 :], why))
                    return
                if self.inbox.submitted is not None:
                    self._session.turns.claim(self.inbox.submitted)
                    self._session.take(self._session.reader.submitted(), clock.monotonic())
                continue
            if isinstance(action, Hand):
                self._session.turns.claim(self.inbox.submitted)
                self._session.take(self._session.reader.deliver(action.text), clock.monotonic())
                continue
            message = action.message
            if message.status == "accepted" and self._session.turns.claimed and not self._session.activity.declared:
                # It left the box, and nothing but the screen is there to tell of its turn, which may be over.
                now = clock.monotonic()
                self._session.activity.took_message()
                self._session.take([Submitted("box", message.text or "")], now)
            if message.status == "typed" and message.submit and action.over:
                self._session.measured.typed()
            failed = message.status in ("failed", "expired")
            if failed and self._session.turns.open is None:
                self._session.turns.claim(None)
            # A crash between the two must leave neither one that was taken back nor one that was taken and is not told.
            if failed and action.over:
                self._drop(message)
            if message.status != message.told:
                message.told = message.status
                note = message.note if message.status == "typed" else None
                self._session.emit(
                    events.Delivery(message_id=message.id, status=message.status, error=message.error, note=note)
                )
            if message.status == "accepted" and message.submit and not message.force:
                self._answered.append(message)
            elif action.over:
                self._drop(message)
            self._session.requests.message_moved(message, action.over)
            self._session.journal.changed()

    def _unwritten(self, rest: list[Write | Hand | Progress], why: str) -> list[Write | Hand | Progress]:
        """The agent's terminal takes no keys: the messages that they were for have failed."""
        told = [action for action in rest if isinstance(action, Progress)]
        for action in told:
            action.message.status, action.message.error = "failed", action.message.error or why
        return [*(Progress(action.message) for action in told), *self.inbox.refused(why)]

    def _pasteable(self, data: bytes) -> bytes:
        """A program that never asked for bracketed paste would take the brackets for keys."""
        if self._session.adapter.name == "generic" and not self._session.terminal.scanner.modes.bracketed_paste:
            return data.replace(PASTE_START, b"").replace(PASTE_END, b"")
        return data

    def turn_closed(self, closed: Closed) -> None:
        """What the turn was about has been dealt with, unless the agent died of it."""
        if closed.end.source != "process":
            self._forget()

    def say_again(self) -> None:
        """The conversation is lost: what was asked in it and not answered goes before what waits still.

        A nudge means nothing without it: then, and if nothing is left to say, it is the task that is said again.
        """
        watcher, lost, queue = self._session.watcher, self._answered, self.inbox.queue
        self._answered = []
        for message in reversed(lost):
            if message.id in watcher.nudges:
                self._drop(message)
                continue
            message.status = message.told = "queued"
            queue.appendleft(message)
            self._session.emit(events.Delivery(message_id=message.id, status="queued"))
        task = watcher.first
        needed = not queue or any(message.id in watcher.nudges for message in lost)
        if task and needed and all(message.text != task for message in queue):
            self.take(Message(new_message_id(), task), first=True)

    def _forget(self) -> None:
        for message in self._answered:
            self._drop(message)
        self._answered.clear()

    def fail_all(self, why: str, keep: bool = False) -> None:
        """The session is over: nothing more will be typed. `keep`: a run that goes on with this one may."""
        for message in self.inbox.fail_all(why):
            self.moved(message, keep)
        if not keep:
            self._forget()

    def moved(self, message: Message, keep: bool = False) -> None:
        """A message got its last status outside of the inbox's own steps."""
        if not keep:
            self._drop(message)
        self._session.emit(events.Delivery(message_id=message.id, status=message.status, error=message.error))
        self._session.requests.message_moved(message)
        self._session.journal.changed()

    def _drop(self, message: Message) -> None:
        undelivered.drop(self._session.spec.state, self._session.spec.run_id, message.id)

"""The inbox at work: messages in, keys out, and what became of them told to the log and to the senders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from harnex import clock, events
from harnex.adapters._base import PASTE_END, PASTE_START
from harnex.core.inbox import Gate, Hand, Inbox, Message, Progress, Write
from harnex.model import Submitted

if TYPE_CHECKING:
    from harnex.supervisor.session import Session


def new_message_id() -> str:
    return "m-" + os.urandom(6).hex()


class Delivery:
    """Wires the inbox to the session's terminal."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.inbox = Inbox(lambda text: session.adapter.typing(text, session.version))

    def take(self, message: Message) -> None:
        """A message came in: log it and queue it."""
        text = message.text or ""
        self._session.emit(
            events.Send(
                message_id=message.id,
                msg=text[: events.MSG_LIMIT],
                msg_truncated=len(text) > events.MSG_LIMIT,
                forced=message.force,
                sender=message.sender,
            )
        )
        self.inbox.put(message)
        self._session.emit(events.Delivery(message_id=message.id, status="queued"))
        self._session.journal.changed()

    def gate(self) -> Gate:
        """What delivery must know of the session now."""
        draft = (
            self._session.reader.draft(self._session.terminal.view)
            if self.inbox.pending and self._session.terminal.screen
            else None
        )
        screen = self._session.activity.on_screen()
        return Gate(
            state=self._session.verdict.state,
            on_screen=screen.state if screen else None,
            draft=draft,
            reads_draft=self._session.reader.reads_draft,
            person_typed=self._session.person_typed,
            open_turn=self._session.turns.open is not None,
            may_type_unknown=self._session.reader.may_type_unknown,
            declared=self._session.activity.declared,
        )

    def step(self, now: float) -> None:
        """Do what is due."""
        if self.inbox.pending:
            self.act(self.inbox.step(self.gate(), now))

    def act(self, actions: Iterable[Write | Hand | Progress]) -> None:
        """Press what the inbox wants pressed, and tell what became of its messages."""
        for action in actions:
            if isinstance(action, Write):
                self._session.type(self._pasteable(action.data))
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
            if message.status in ("failed", "expired") and self._session.turns.open is None:
                self._session.turns.claim(None)
            if message.status != message.told:
                message.told = message.status
                self._session.emit(events.Delivery(message_id=message.id, status=message.status, error=message.error))
            self._session.requests.message_moved(message, action.over)
            self._session.journal.changed()

    def _pasteable(self, data: bytes) -> bytes:
        """A program that never asked for bracketed paste would take the brackets for keys."""
        if self._session.adapter.name == "generic" and not self._session.terminal.scanner.modes.bracketed_paste:
            return data.replace(PASTE_START, b"").replace(PASTE_END, b"")
        return data

    def fail_all(self, why: str) -> None:
        """The session is over: nothing more will be typed."""
        for message in self.inbox.fail_all(why):
            self.moved(message)

    def moved(self, message: Message) -> None:
        """A message got its last status outside of the inbox's own steps."""
        self._session.emit(events.Delivery(message_id=message.id, status=message.status, error=message.error))
        self._session.requests.message_moved(message)
        self._session.journal.changed()

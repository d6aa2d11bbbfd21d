"""The inbox at work: messages come in, keys go out, and the log and the senders learn
what became of the messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harnex import clock
from harnex.agents.common.message_text import PASTE_END, PASTE_START
from harnex.machines.inbox import Gate, Hand, Inbox, Message, Progress, Write
from harnex.machines.leaving import Leaving, Surroundings
from harnex.machines.status import Situation
from harnex.machines.turns import Closed
from harnex.model import events
from harnex.model.facts import State, Submitted
from harnex.model.records import KeptMessage
from harnex.supervisor.agent import Agent
from harnex.supervisor.journal import Journal
from harnex.supervisor.viewers import Viewers


def new_message_id() -> str:
    return "m-" + os.urandom(6).hex()


@dataclass(frozen=True, slots=True)
class Heard:
    """Callbacks about messages."""

    came: Callable[[Message], None]
    typed: Callable[[], None]  # a message was typed, and this agent shows no more than that
    moved: Callable[[Message, bool], None]  # a message got another status; True: its last one


class Delivery:
    """Wires the inbox to the agent's terminal."""

    def __init__(
        self, journal: Journal, agent: Callable[[], Agent], situation: Situation, viewers: Viewers, heard: Heard
    ) -> None:
        self._journal, self._agent, self._viewers, self._heard = journal, agent, viewers, heard
        self._status, self._turns = situation.status, situation.turns
        self.inbox = Inbox(lambda text: agent().typing(text))
        self._leaving = Leaving()
        # Accepted messages whose turn still runs: an agent that is killed
        # now may not have kept them.
        self._answered: list[Message] = []

    def take(self, message: Message, acknowledged: bool = False, first: bool = False) -> None:
        """Keep, log and queue a new message.

        `acknowledged`: its sender gets a reply and leaves. `first`: the message
        goes before those that wait.
        """
        text = message.text or ""
        row: KeptMessage = {"id": message.id, "text": message.text, "submit": message.submit, "from": message.sender}
        self._journal.keep_message(row, first, acknowledged)
        self._journal.emit(
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
        self._heard.came(message)
        self._journal.emit(events.Delivery(message_id=message.id, status="queued"))
        self._journal.changed()

    def take_kept(self) -> None:
        """Take the first message, and the messages that the run that this one
        resumes could not deliver."""
        spec = self._journal.spec
        for row in self._journal.kept_messages():
            text = spec.context if row["id"] == spec.context_id else row["text"]
            if row.get("redacted") and row["id"] != spec.context_id:
                self._journal.diagnose(f"message {row['id']} held a secret, which was not kept: send it again")
                self._journal.drop_message(row["id"])
                continue
            self.take(Message(row["id"], text, row.get("submit") is not False, sender=row.get("from")))

    def gate(self) -> Gate:
        """Return what delivery must know about the session now."""
        agent = self._agent()
        reader, activity, terminal = agent.reader, agent.activity, agent.terminal
        draft = reader.draft(terminal.view) if self.inbox.has_work and terminal.screen else None
        screen = activity.on_screen()
        return Gate(
            state=State.UNKNOWN if self._status.changes.held or self._reads_no_keys else self._status.verdict.state,
            on_screen=screen.state if screen else None,
            draft=draft,
            reads_draft=reader.reads_draft,
            person_typed=self._viewers.person_typed,
            open_turn=self._turns.open is not None,
            may_type_unknown=reader.may_type_unknown,
            declared=activity.declared,
            proves=reader.proves_prompts(),
            view=screen.view.name if screen and screen.view else "",
            output_at=activity.last_output,
        )

    @property
    def _reads_no_keys(self) -> bool:
        """Whether a message waits while the agent has given its terminal back (Ctrl-Z)."""
        agent = self._agent()
        return self.inbox.has_work and agent.reader.reads_draft and agent.child.echoes

    def _around(self) -> Surroundings:
        return Surroundings(self.inbox.pending > 0, self._viewers.has_writers, self._viewers.person_typed)

    @property
    def will_leave(self) -> bool:
        """Whether harnex will close what a person left open over the prompt,
        or it goes away by itself."""
        now = clock.monotonic()
        # The view may have come up since the last step.
        self._leaving.see(self._status.verdict.view, now)
        return self._leaving.will_leave(self._around()) or self._leaving.passes(now)

    def _leave_view(self, now: float) -> None:
        view, given_up = self._status.verdict.view, self._leaving.gave_up
        self._leaving.see(view, now)
        if name := self._leaving.left():
            self._journal.diagnose(f"{name} was open in the agent's terminal and was left, so that it takes messages")
        keys = self._leaving.step(self._around(), now)
        if keys:
            self._agent().type(keys)
        if self._leaving.gave_up and not given_up and view is not None:
            self._journal.diagnose(f"{view.name} is open in the agent's terminal and can't be left")

    @property
    def force_says(self) -> str:
        """What a forced message does to the running turn, in words; ""
        if there is nothing to say."""
        return self._agent().reader.force_says if self._turns.open is not None else ""

    @property
    def held_by(self) -> str | None:
        """Why messages wait and are not typed now, for people.

        None if no message waits, or one is being typed.
        """
        verdict = self._status.verdict
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
        """Press the keys that the inbox wants, and report what became of its messages."""
        actions = list(actions)
        for number, action in enumerate(actions):
            if isinstance(action, Write):
                if why := self._agent().type(self._pasteable(action.data)):
                    self.act(self._unwritten(actions[number + 1 :], why))
                    return
                if self.inbox.submitted is not None:
                    self._turns.claim(self.inbox.submitted)
                    self._agent().learn(self._agent().reader.submitted(), clock.monotonic())
                continue
            if isinstance(action, Hand):
                self._turns.claim(self.inbox.submitted)
                self._agent().learn(self._agent().reader.deliver(action.text), clock.monotonic())
                continue
            message = action.message
            if message.status == "accepted" and self._turns.claimed and not self._agent().activity.declared:
                # The message left the box, and only the screen can show its turn,
                # which may have ended already.
                now = clock.monotonic()
                self._agent().activity.took_message()
                self._agent().learn([Submitted("box", message.text or "")], now)
            if message.status == "typed" and message.submit and action.over:
                self._heard.typed()
            failed = message.status in ("failed", "expired")
            if failed and self._turns.open is None:
                self._turns.unclaim(message.id)
            # The order matters in a crash between the two steps: a message that was taken back must
            # not stay kept, and one that was taken must not go unreported.
            if failed and action.over:
                self._drop(message)
            if message.status != message.told:
                message.told = message.status
                note = message.note if message.status == "typed" else None
                self._journal.emit(
                    events.Delivery(message_id=message.id, status=message.status, error=message.error, note=note)
                )
            if message.status == "accepted" and message.submit and not message.force:
                self._answered.append(message)
            elif action.over:
                self._drop(message)
            self._heard.moved(message, action.over)
            self._journal.changed()

    def _unwritten(self, rest: list[Write | Hand | Progress], why: str) -> list[Write | Hand | Progress]:
        """The agent's terminal takes no keys: the messages of these keys have failed."""
        told = [action for action in rest if isinstance(action, Progress)]
        for action in told:
            action.message.status, action.message.error = "failed", action.message.error or why
        return [*(Progress(action.message) for action in told), *self.inbox.refused(why)]

    def _pasteable(self, data: bytes) -> bytes:
        """Return keys without paste brackets for a program that never asked for bracketed paste.

        Such a program would take the brackets for keys.
        """
        if self._agent().adapter.name == "generic" and not self._agent().terminal.scanner.modes.bracketed_paste:
            return data.replace(PASTE_START, b"").replace(PASTE_END, b"")
        return data

    def turn_closed(self, closed: Closed) -> None:
        """The turn's messages were dealt with, unless the agent died in the turn."""
        if closed.end.source != "process":
            self._forget()

    def requeue(self) -> None:
        """The agent's process is gone: a message that was typed and not taken is typed again."""
        message = self.inbox.current
        if message is not None:
            self.inbox.current = None
            message.status = message.told = "queued"
            self.inbox.queue.appendleft(message)

    def say_again(self, task: str | None, nudges: set[str]) -> None:
        """The conversation is lost: unanswered messages go before those that still wait.

        A nudge means nothing without the conversation (`nudges` are the ids of ours). If one was
        lost, or nothing is left to say, the `task` is said again.
        """
        lost, queue = self._answered, self.inbox.queue
        self._answered = []
        for message in reversed(lost):
            if message.id in nudges:
                self._drop(message)
                continue
            message.status = message.told = "queued"
            message.deadline = None  # the deadline was met: the message was taken in time once
            queue.appendleft(message)
            self._journal.emit(events.Delivery(message_id=message.id, status="queued"))
        needed = not queue or any(message.id in nudges for message in lost)
        if task and needed and all(message.text != task for message in queue):
            self.take(Message(new_message_id(), task), first=True)

    def _forget(self) -> None:
        for message in self._answered:
            self._drop(message)
        self._answered.clear()

    def fail_all(self, why: str, keep: bool = False) -> None:
        """The session has ended: nothing more is typed.

        `keep`: a run that resumes this one may say the messages.
        """
        for message in self.inbox.fail_all(why):
            self.moved(message, keep)
        if not keep:
            self._forget()

    def moved(self, message: Message, keep: bool = False) -> None:
        """Report a message that got its last status outside of the inbox's own steps."""
        if not keep:
            self._drop(message)
        self._journal.emit(events.Delivery(message_id=message.id, status=message.status, error=message.error))
        self._heard.moved(message, True)
        self._journal.changed()

    def _drop(self, message: Message) -> None:
        self._journal.drop_message(message.id)

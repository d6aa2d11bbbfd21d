"""Delivery: one message at a time, typed only where a message belongs, and accepted only by
evidence.

Pure. Call `step` whenever something changed. `step` returns what to do (`Write`, `Hand`) and what
became of a message (`Progress`). `wake_at` is when time alone would matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harnex.agents.contract import Typing
from harnex.model.facts import State, letters

Status = Literal["queued", "typed", "accepted", "expired", "failed"]
# Seconds for a draft to leave the input box. Claude Code 1 and 2.0 merge the clearing keys and the
# paste if both are sent together.
CLEAR_S = 0.5
# Seconds that the input box is left to a person at the keyboard, after their last key.
PERSON_S = 5.0
# Seconds after Enter at which an empty input box means that the agent took the text, where nothing
# declares the state.
LEFT_S = 0.3
# Seconds that proof may take once the text has left the box, where the agent records every prompt.
PROOF_S = 15.0
MIXES_MAX = 4  # How often a text is cleared and typed again that ended up beside a draft.
SUBMITS = 5  # How often Enter is pressed for a text that is still in the box.
# Seconds to wait for an agent that has written nothing since Enter: the agent may be suspended.
HUNG_S = 60.0


@dataclass(slots=True)
class Message:
    """A message on its way to the agent.

    `text` None: only press Enter (`--submit-only`). `submit`: press Enter after the text. `force`:
    type the message even into a running turn. `deadline` (monotonic seconds): withdraw the message
    if it is still not typed. `error` says why the message failed or expired.
    """

    id: str
    text: str | None
    submit: bool = True
    force: bool = False
    sender: str | None = None
    deadline: float | None = None
    status: Status = "queued"
    error: str | None = None
    note: str | None = None  # what arrives differently from what was sent
    told: Status = "queued"  # the status last written to the log


@dataclass(frozen=True, slots=True)
class Gate:
    """What delivery must know about the session now. `draft` None: no input box can be seen."""

    state: State
    on_screen: State | None  # what the screen says: a dialog may be painted that nothing declares
    draft: str | None
    reads_draft: bool  # the adapter can read the input box at all
    person_typed: float  # when a person last pressed a key (monotonic)
    open_turn: bool
    may_type_unknown: bool  # nothing ever reports this program's state: quiet output is enough
    declared: bool = True  # the agent declares its state: wait for the agent's own proof
    proves: bool = False  # the agent records every prompt it takes: an empty box alone is no proof
    # What a person left open over the prompt ("shell mode"): nothing is typed into it.
    view: str = ""
    output_at: float = 1e18  # when the agent last wrote anything (monotonic)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes to write to the agent's terminal."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Hand:
    """A text to give to the agent in the adapter's own way (`Typing.handed`)."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The new status of a message, already set in `message.status`. `over`: the status is final."""

    message: Message
    over: bool = True


Action = Write | Hand | Progress


class Inbox:
    """The queue, and the message being delivered.

    `typing_for` returns the adapter's recipe for a text.
    """

    def __init__(self, typing_for: Callable[[str], Typing]) -> None:
        self._typing_for = typing_for
        self.queue: deque[Message] = deque()
        self.current: Message | None = None
        self._typing: Typing | None = None
        self._phase: Literal["clear", "echo", "accept"] = "echo"
        self._since = 0.0
        self._submits = 0
        self._draft_before: str | None = None
        self._clears = self._mixes = 0
        self._stubborn = False  # clearing changes the draft, but does not empty the box
        self._retype = False
        self._echoed_at: float | None = None
        # Keys that clear a withdrawn message's text from the box, and since when.
        self._left: tuple[bytes, float] | None = None

    @property
    def has_work(self) -> bool:
        """Whether `step` may have something to do."""
        return self.pending > 0 or self._left is not None

    @property
    def pending(self) -> int:
        """The number of messages that are not yet accepted, failed or expired."""
        return len(self.queue) + (self.current is not None)

    @property
    def submitted(self) -> str | None:
        """The id of the message that waits for proof after Enter; None if there is none."""
        return self.current.id if self.current is not None and self._phase == "accept" else None

    def put(self, message: Message) -> None:
        """Queue a message. A forced message goes before those that wait for the prompt."""
        if message.force:
            self.queue.appendleft(message)
        else:
            self.queue.append(message)

    def withdraw(self, message_id: str) -> Message | None:
        """Take back a message that is not typed yet, or whose Enter a dialog prevented.

        Returns the message; None if the message is unknown or can no longer be taken back.
        """
        current = self.current
        if current is not None and current.id == message_id and self._retype and self._typing is not None:
            self.current, self._left = None, (self._typing.clear, self._since)
            current.status = "expired"
            return current
        for message in self.queue:
            if message.id == message_id:
                self.queue.remove(message)
                message.status = "expired"
                return message
        return None

    def fail_all(self, why: str) -> list[Message]:
        """Return all messages that are left, as failed or expired.

        The session is over, and nothing more is typed. `why` becomes each message's `error`.
        """
        left = ([self.current] if self.current else []) + list(self.queue)
        for message in left:
            message.status = "failed" if message is self.current else "expired"
            message.error = why
        self.current = None
        self.queue.clear()
        return left

    def accepted(self, text: str = "") -> list[Action]:
        """Note that the agent took a prompt: the submitted message, if one waits for proof.

        A person in `attach` may have pressed the Enter. Then `text`, the agent's record of the
        prompt, proves the message.
        """
        if self.current is None:
            return []
        ours = self._phase == "echo" and bool(text) and letters(text) == letters(self.current.text or "")
        return self._finish("accepted") if self._phase == "accept" or ours else []

    def refused(self, why: str) -> list[Action]:
        """Fail the current message: it could not be given to the agent."""
        if self.current is None:
            return []
        self.current.error = why
        return self._finish("failed")

    def step(self, gate: Gate, now: float) -> list[Action]:
        """Return what to do now, in order. Messages whose deadline has passed expire."""
        out: list[Action] = []
        for message in [m for m in self.queue if m.deadline is not None and now >= m.deadline]:
            self.queue.remove(message)
            why = "it showed a dialog" if gate.on_screen is State.BLOCKED else f"it was {gate.state.value}"
            message.status, message.error = "expired", f"it could not be typed in time: {why}"
            out.append(Progress(message))
        if self.current is not None:
            out += self._advance(gate, now)
        elif self._left is not None:
            out += self._tidy(gate, now)
        if self.current is None and self.queue and self._may_type(self.queue[0], gate, now):
            out += self._begin(self.queue.popleft(), gate, now)
        return out

    def wake_at(self, gate: Gate, now: float) -> float | None:
        """When time alone may give `step` something to do (monotonic seconds); None if never."""
        times = [m.deadline for m in self.queue if m.deadline is not None]
        if self.current is not None and self._typing is not None and not self._retype:
            limit = {"clear": CLEAR_S, "echo": self._typing.echo_s, "accept": self._patience(self._typing, gate)}
            times.append(max(self._since + limit[self._phase], now + 0.05))
            if self._phase == "echo" and self._echoed_at is not None:
                times.append(self._echoed_at + self._typing.settle_s)
            if self._phase == "accept":
                if not gate.declared and not gate.proves:
                    times.append(max(self._since + LEFT_S, now + 0.05))
                times.append(self._since + HUNG_S)
        elif self.queue and now < gate.person_typed + PERSON_S:
            times.append(gate.person_typed + PERSON_S)
        return min(times, default=None)

    def _patience(self, typing: Typing, gate: Gate) -> float:
        """Seconds to wait for proof before Enter is pressed again or the message fails."""
        if gate.draft == "" and (gate.proves or self._echoed_at is None):
            # An empty box proves nothing: the agent's own record is to come.
            return max(typing.accept_s, PROOF_S)
        if not gate.draft:
            return typing.accept_s
        return typing.again_s if typing.again_s is not None and self._submits == 1 else typing.accept_s

    def _may_type(self, message: Message, gate: Gate, now: float) -> bool:
        if gate.state in (State.STARTING, State.STOPPING, State.EXITED, State.BLOCKED):
            return False
        if gate.on_screen is State.BLOCKED or gate.view:
            return False
        if message.force:
            return True
        if gate.state is State.UNKNOWN and gate.may_type_unknown:
            return True
        if gate.state is not State.PROMPT or gate.open_turn:
            return False
        if gate.reads_draft and gate.draft is None:
            return False
        return not (gate.draft and now < gate.person_typed + PERSON_S)

    def _tidy(self, gate: Gate, now: float) -> list[Action]:
        """Clear a withdrawn message's text once one could be typed; a person's draft stays."""
        assert self._left is not None
        keys, since = self._left
        if gate.person_typed > since or self.queue:
            self._left = None  # (the next message clears the box)
        elif gate.state is State.PROMPT and not (gate.on_screen is State.BLOCKED or gate.view or gate.open_turn):
            self._left = None
            return [Write(keys)] if gate.draft and keys else []
        return []

    def _begin(self, message: Message, gate: Gate, now: float) -> list[Action]:
        if self.current is not message:
            self._mixes = 0
        self.current, self._left = message, None
        self._since, self._submits, self._retype, self._echoed_at = now, 0, False, None
        self._draft_before = gate.draft
        self._typing = self._typing_for(message.text or "")
        message.note = "; ".join(self._typing.notes) or None
        if self._typing.handed:
            return self._hand(message)
        if message.text is None:
            message.status = "typed"
            out: list[Action] = [Write(self._typing.submit), Progress(message)]
            self.current = None
            return out
        if gate.draft and self._typing.clear:
            self._phase, self._clears, self._stubborn = "clear", 1, False
            return [Write(self._typing.clear)]
        return self._paste(gate, now)

    def _paste(self, gate: Gate, now: float) -> list[Action]:
        assert self._typing is not None
        self._phase, self._since, self._draft_before = "echo", now, gate.draft
        return [Write(self._typing.paste)]

    def _hand(self, message: Message) -> list[Action]:
        if message.text is None or not message.submit:
            return self.refused("this agent has no input box: it takes whole messages only")
        message.status, self._phase = "typed", "accept"
        return [Progress(message, over=False), Hand(message.text)]

    def _advance(self, gate: Gate, now: float) -> list[Action]:
        message, typing = self.current, self._typing
        assert message is not None and typing is not None
        if typing.handed:
            return [] if now < self._since + typing.accept_s else self.refused("no proof came that the agent took it")
        if self._phase == "accept":
            return self._accept(message, typing, gate, now)
        if gate.state is State.BLOCKED or gate.on_screen is State.BLOCKED or gate.view:
            # A dialog came up: the typed text may have gone into the dialog, or be lost.
            self._retype = True
            self._since = now
            return []
        if gate.person_typed > self._since and not self._retype:
            # A person is at the keyboard: the text in the box may no longer be only the message.
            self._retype = True
        if self._retype:
            return self._begin(message, gate, now) if self._may_type(message, gate, now) else []
        return self._clear(typing, gate, now) if self._phase == "clear" else self._echo(message, typing, gate, now)

    def _clear(self, typing: Typing, gate: Gate, now: float) -> list[Action]:
        """Wait for the draft to leave the box. What no key changes is the box's own placeholder."""
        steps = (typing.clear, *typing.clear_more)
        if not gate.draft:
            return self._paste(gate, now)
        if now < self._since + CLEAR_S:
            return []
        self._stubborn = self._stubborn or gate.draft != self._draft_before
        if self._clears < len(steps) * (2 if self._stubborn else 1):
            keys = steps[self._clears % len(steps)]
            self._clears += 1
            self._since, self._draft_before = now, gate.draft
            return [Write(keys)]
        if self._stubborn:
            return self.refused(f"the draft in the agent's input box can't be cleared: {gate.draft[:60]!r}")
        return self._paste(gate, now)

    def _echo(self, message: Message, typing: Typing, gate: Gate, now: float) -> list[Action]:
        """Wait until the text shows in the box, then press Enter."""
        echoed = gate.reads_draft and bool(gate.draft) and gate.draft != self._draft_before
        if not echoed:
            self._echoed_at = None
        elif self._echoed_at is None:
            self._echoed_at = now
        settled = self._echoed_at is not None and now >= self._echoed_at + typing.settle_s
        if not settled and now < self._since + typing.echo_s:
            return []
        if self._mixed(message, gate):
            # A busy machine may not have shown yet that the keys cleared the draft.
            self._mixes += 1
            if self._mixes < MIXES_MAX:
                return self._begin(message, gate, now)
            return [Write(typing.clear), *self.refused("it would have been sent with a draft that can't be cleared")]
        out: list[Action] = []
        if message.status == "queued":
            message.status = "typed"
            out.append(Progress(message, over=not message.submit))
        if not message.submit:
            self.current = None
            return out
        self._phase, self._since, self._submits = "accept", now, 1
        return [*out, Write(typing.submit)]

    def _mixed(self, message: Message, gate: Gate) -> bool:
        """Whether the box holds the old draft beside the message: nobody meant to send both."""
        before, shown, text = (letters(t or "") for t in (self._draft_before, gate.draft, message.text))
        return bool(before) and text != shown and shown in (before + text, text + before)

    def _accept(self, message: Message, typing: Typing, gate: Gate, now: float) -> list[Action]:
        """After Enter, look for proof that the agent took the text. A frozen screen is no proof."""
        frozen = gate.output_at < self._since
        empty = gate.reads_draft and gate.draft == ""
        # The text was seen in the box, and has left it.
        left = empty and self._echoed_at is not None
        if empty and not frozen and gate.state is State.BUSY:
            # Forced into a running turn: the text went to the agent's own queue.
            return self._finish("accepted")
        if left and not gate.declared and not gate.proves:
            return self._finish("accepted") if now >= self._since + LEFT_S else []
        if frozen and gate.reads_draft:
            if now < self._since + HUNG_S:
                return []
            message.error = f"the agent has shown no sign of life for {HUNG_S:.0f} s: it may still take the text"
            return self._finish("failed")
        if now < self._since + self._patience(typing, gate):
            return []
        if gate.state is State.BLOCKED or gate.on_screen is State.BLOCKED:
            return self._finish("accepted")  # the agent reacted with a dialog
        if gate.draft and gate.reads_draft:
            if self._submits < SUBMITS:
                self._submits += 1
                self._since = now
                return [Write(typing.submit)]
            message.error = "the agent did not take it: the text stayed in its input box, and was cleared"
            return [Write(typing.clear), *self._finish("failed")]
        if gate.reads_draft and gate.draft is None:
            message.error = "no evidence that the agent took it: its input box is not to be seen"
            return self._finish("failed")
        if gate.reads_draft and not left:
            message.error = "no evidence that the agent took it: the text was never seen in its input box"
            return self._finish("failed")
        # The box is empty again: the agent took the text. For a program whose box can't be read,
        # `typed` is all that is known.
        return self._finish("accepted" if gate.reads_draft else "typed")

    def _finish(self, status: Status) -> list[Action]:
        message = self.current
        assert message is not None
        message.status = status
        self.current = None
        return [Progress(message)]

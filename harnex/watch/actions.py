"""What a watch sees and what it does: the types that `watch/watch.py` and the supervisor share.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harnex.machines.background import Work
from harnex.model import events
from harnex.model.facts import State

Checking = Literal["verify", "done_when"]


@dataclass(frozen=True, slots=True)
class Sight:
    """The session at one moment.

    `wall` is epoch seconds. `retrying` is the CLI's own line that it tries again. `person` is when
    a person last pressed a key (monotonic seconds). `gap` says why the model calls are not being
    counted; `settling` means that calls of the last turn may still come. `unseen` says why not even
    turns can be counted.
    """

    state: State
    wall: float
    dialog: str = ""
    options: tuple[str, ...] = ()
    turn: int | None = None  # the number of the open turn
    pending: int = 0
    answering: bool = False  # harnex is answering the dialog, as allowed in advance
    retrying: str = ""
    person: float = -1e9
    reason: str = ""  # what decided the state
    background: tuple[Work, ...] = ()  # what the agent left running
    looking: bool = False  # what the last turn left running is not known yet
    gap: str = ""
    settling: bool = False
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Tell:
    """Write an event."""

    event: events.Event


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Press the keys that end the turn."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message to the agent, and report it as a `nudge`.

    `again` is the earlier message to send once more, because nothing came of it: cut off before the
    first token, Claude Code takes the prompt back out of the conversation (measured: 2.1.329).
    """

    reason: str
    text: str
    count: int
    most: int
    interrupted: bool = False
    again: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Run a command. Its result comes back through `checked`."""

    kind: Checking
    command: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Revive:
    """Start the agent again. `restarted` is called when the new process runs."""

    reason: str
    attempt: int
    most: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End the agent's process at once: it does not react, and another process takes its place."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the dialog that is up."""

    verb: Literal["approve", "deny"]
    dialog: str
    option: int | None
    by: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the session.

    `reason` is that of `exited`, `exit_code` that of the outcome; `message` is for people.
    """

    reason: str
    exit_code: int
    message: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Notify people. `kind` is one of `person` `limit` `done` `failed` `budget` `timeout`."""

    kind: str
    text: str


Action = Tell | Interrupt | Say | Check | Kill | Revive | Answer | Stop | Notify

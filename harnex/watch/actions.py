"""What a watch sees and what it does: the shapes that `watch/watch.py` and the supervisor share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harnex.machines.background import Work
from harnex.model import events
from harnex.model.facts import State

Checking = Literal["verify", "done_when"]


@dataclass(frozen=True, slots=True)
class Sight:
    """The session at one moment. `retrying`: the CLI's own word that it tries again; `person`: their last key.

    `gap`: why the model calls are not being counted, in words; `settling`: those of the last turn may still come.
    `unseen`: why not even turns can be counted.
    """

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
    background: tuple[Work, ...] = ()  # what the agent left running
    looking: bool = False  # it is not known yet what the last turn left running
    gap: str = ""
    settling: bool = False
    unseen: str = ""


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


@dataclass(frozen=True, slots=True)
class Check:
    """Run a command; `checked` is told how it went."""

    kind: Checking
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

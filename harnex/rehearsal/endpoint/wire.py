"""What both wire formats share: what a call is, what an answer is made of, and what it costs.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harnex.rehearsal.endpoint.pace import words
from harnex.rehearsal.endpoint.script import Step


@dataclass(frozen=True)
class Call:
    """A model call as the CLI made it.

    `kind`: `main` (the conversation that the script is for), `agent` (a sub-agent), or `side`
    (titles, topics, warm-ups, quota probes, summaries: never scripted). `why` says what a side call
    is. `first` is the first prompt of the conversation, `instance` distinguishes its sub-agents,
    `texts` are all user texts, oldest first. `tools` are the tools on offer: name -> their
    declaration.
    """

    kind: Literal["main", "agent", "side"]
    model: str
    stream: bool
    tools: Mapping[str, Mapping[str, Any]]
    texts: tuple[str, ...] = ()
    first: str = ""
    instance: str = ""
    why: str = ""
    cwd: str = ""
    stops: tuple[str, ...] = ()  # the answer ends before the first of these texts
    # Everything that was said to the model, to find tools that are only announced in words.
    said: str = ""


@dataclass(frozen=True)
class Usage:
    """What a call costs, in tokens.

    `input` includes cached and written tokens, `output` includes the reasoning.
    """

    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int

    def normalised(self) -> dict[str, int]:
        """The tokens under harnex's own names."""
        return {
            "input_tokens": self.input,
            "cache_read_tokens": self.cache_read,
            "cache_write_tokens": self.cache_write,
            "output_tokens": self.output,
            "reasoning_tokens": self.reasoning,
        }


def usage_of(n: int, step: Step, writes_in_input: bool = True) -> Usage:
    """The usage of call `n`. Every number differs at every call, so that a miscount shows.

    `writes_in_input`: the provider reports cache writes (Anthropic). Otherwise there are none
    unless the script sets them.
    """
    read, reasoning = 1000 + 10 * n, 3 + n
    write = 7 * n if writes_in_input else 0
    own = step.usage
    read, write = own.get("cache_read_tokens", read), own.get("cache_write_tokens", write)
    reasoning = own.get("reasoning_tokens", reasoning)
    return Usage(
        own.get("input_tokens", 100 + n + read + write),
        read,
        write,
        own.get("output_tokens", 20 + n + reasoning),
        reasoning,
    )


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    data: dict[str, Any]
    words: int = 0  # how many words of the answer the event carries

    def encode(self) -> bytes:
        return f"event: {self.data['type']}\ndata: {json.dumps(self.data)}\n\n".encode()


@dataclass(frozen=True)
class Pause:
    """Wait for `seconds`."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """The connection breaks here."""


Part = Event | Pause | Cut


@dataclass(frozen=True)
class ToolCall:
    """A tool call in the CLI's own words. `input` is a str for a freeform tool."""

    name: str
    input: dict[str, Any] | str
    namespace: str = ""


@dataclass
class Made:
    """The tool calls of a step for one CLI.

    `words` had to be said instead of calls, for the reasons in `notes`.
    """

    calls: list[ToolCall] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class HttpError:
    """An error response: `body` is JSON."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    type: str


def spoken(pieces: Iterable[str], pause: float, event_of: Any) -> Iterator[Part]:
    """The pieces of a text, each as `event_of(piece)`, with a pause for each word of the piece.

    Lazy.
    """
    for piece in pieces:
        count = len(words(piece))
        yield Event(event_of(piece), count)
        if pause:
            yield Pause(pause * count)


def pinged(parts: Iterable[Part], every: float, ping: Mapping[str, Any]) -> Iterator[Part]:
    """The parts, with a `ping` event after each `every` seconds of a longer pause (0: no pings).

    Lazy.
    """
    for part in parts:
        left = part.seconds if isinstance(part, Pause) else 0.0
        while every and left > every:
            yield Pause(every)
            yield Event(dict(ping))
            left -= every
        yield Pause(left) if isinstance(part, Pause) else part


def shell_write(path: str, content: str) -> str:
    """A shell command that writes the file, whatever its content."""
    return f'mkdir -p -- "$(dirname -- {quote(path)})" && printf %s {quote(content)} > {quote(path)}'


def quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"

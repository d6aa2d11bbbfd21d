"""How a scripted answer comes: its delays, the size of its pieces, and what it reports of its
usage.

Pure. A `Pace` is what a script sets, for one step or (at the script's top) for all steps; a field
that is None is not set. `draw` makes a `Drawn` from a `Pace`, with one number for each range, for
one call. A call's numbers follow from the seed and the call's number alone, so that a run can be
repeated.

The defaults are what public captures of the two APIs show (recorded streams of pydantic-ai,
llm-anthropic and of Claude Code itself, 2025 and 2026):

- Anthropic's `message_start` has an `output_tokens` of 1 to 4, and of 22 to 31 where the answer
  begins with a tool: in both cases a placeholder. The final usage comes in `message_delta`, after
  the last block has ended.
- Anthropic's pieces are a word at first, then 2 to 60 characters, cut in the middle of words as
  well; a tool's input begins with an empty piece. OpenAI's pieces are tokens: 1 to 8 characters.
- A `ping` follows the start of the first block; more pings may follow whenever nothing else does.
- OpenAI's `usage` is null until `response.completed`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Literal, get_args

Span = tuple[float, float]  # (from, to)
Sent = Literal["full", "output_only", "late", "start_only", "none"]
PACE_KEYS = ("first_byte", "usage_delay", "chunk", "ping", "usage_sent", "usage_steps")
PING_S = 10.0
PIECES = 2000  # the most pieces that a text is cut into
STEPS = 20
WORDS = re.compile(r"\s*\S+\s*|\s+")


@dataclass(frozen=True)
class Pace:
    """What a script says about how answers come.

    `first_byte`: seconds of silence before the answer. `usage_delay`: seconds between the last
    block and the final usage. `ping`: seconds of silence inside an answer after which a ping comes.
    `chunk`: characters in a piece; 0 means all in one piece. `usage_sent`: where the numbers are
    reported. `usage_steps`: how many `message_delta` events report the output, each with more.
    """

    first_byte: Span | None = None
    usage_delay: Span | None = None
    chunk: Span | None = None
    ping: Span | None = None
    usage_sent: Sent | None = None
    usage_steps: int | None = None

    def over(self, other: Pace) -> Pace:
        """This pace, with the fields that are not set taken from `other`."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return Pace(**{name: getattr(other, name) if value is None else value for name, value in mine.items()})


UNSAID = Pace()


class Drawn:
    """A `Pace` for one call: numbers instead of ranges."""

    def __init__(self, pace: Pace, seed: str) -> None:
        dice = Random(seed)
        self.first_byte = _between(dice, pace.first_byte, 0.0)
        self.usage_delay = _between(dice, pace.usage_delay, 0.0)
        self.ping = _between(dice, pace.ping, PING_S)
        self.usage_sent: Sent = pace.usage_sent or "full"
        self.usage_steps = pace.usage_steps or 1
        self._chunk = pace.chunk
        self._dice = dice

    def placeholder(self, tool_first: bool, final: int) -> int:
        """The `output_tokens` of `message_start`.

        It is never the final number, so a reader that takes it for the final one is found out.
        """
        found = self._dice.randint(20, 31) if tool_first else self._dice.randint(1, 4)
        return found if found != final else found + 1

    def pieces(self, text: str, usual: Span, pause: float = 0.0) -> list[str]:
        """The text in pieces; joined they are the text.

        The pieces have the script's size. Without one, they are words if there is a pause after
        each word, and otherwise have the usual size.
        """
        if pause and self._chunk is None:
            return words(text)
        low, high = self._chunk or usual
        if not high:
            return [text] if text else []
        low, least = max(1.0, low), len(text) / PIECES
        out, at = [], 0
        while at < len(text):
            size = math.ceil(max(self._dice.uniform(low, max(low, high)), least))
            out.append(text[at : at + size])
            at += size
        return out


def words(text: str) -> list[str]:
    """The text in pieces of one word with the space around it; joined they are the text."""
    return WORDS.findall(text)


def _between(dice: Random, span: Span | None, default: float) -> float:
    return default if span is None else dice.uniform(*span)


def parse_pace(data: Mapping[str, Any], where: str) -> Pace:
    """The keys of PACE_KEYS that are in `data`.

    Raises ValueError with one line that says which key is wrong, and why.
    """
    sent, steps = data.get("usage_sent"), data.get("usage_steps")
    if sent is not None and (not isinstance(sent, str) or sent not in get_args(Sent)):
        raise ValueError(f"{where}usage_sent: {sent!r} is not one of {', '.join(get_args(Sent))}")
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= STEPS):
        raise ValueError(f"{where}usage_steps: {steps!r} is not a whole number from 1 to {STEPS}")
    return Pace(
        first_byte=_span(data, "first_byte", "seconds", where),
        usage_delay=_span(data, "usage_delay", "seconds", where),
        chunk=_span(data, "chunk", "characters", where),
        ping=_span(data, "ping", "seconds", where),
        usage_sent=sent,  # type: ignore[arg-type]
        usage_steps=steps,
    )


def _span(data: Mapping[str, Any], key: str, unit: str, where: str) -> Span | None:
    if key not in data:
        return None
    value = data[key]
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2 or not all(map(_is_number, ends)) or ends[0] > ends[1]:
        raise ValueError(f"{where}{key}: {value!r} is not a number of {unit} from 0, or [least, most]")
    return float(ends[0]), float(ends[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0

"""One answer of the scripted model while it is sent, and its record for the billing log."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

from harnex.rehearsal.endpoint import anthropic_tools, openai, openai_tools
from harnex.rehearsal.endpoint.pace import Drawn
from harnex.rehearsal.endpoint.script import Step
from harnex.rehearsal.endpoint.wire import Call, Event, HttpError, Made, Part, ToolCall, Usage, usage_of

HAND_BACK = "SubagentHandback"


class Answer:
    """One answer while it is sent, and its record for the billing log."""

    def __init__(self, wire: ModuleType, call: Call, step: Step, number: int, drawn: Drawn) -> None:
        self.wire, self.call, self.step, self.drawn = wire, call, step, drawn
        unique = uuid.uuid4().hex[:12]
        self.request_id = f"req_{number:06d}{unique}"
        self.id = f"{'resp' if wire is openai else 'msg'}_{number:06d}{unique}"
        self.usage: Usage = usage_of(number, step)
        if drawn.usage_sent not in ("full", "late") and not step.think and "reasoning_tokens" not in step.usage:
            # A model that does not report its thinking did not think.
            self.usage = replace(self.usage, reasoning=0)
        self.made: Made = (
            openai_tools.make(step.tools, call) if wire is openai else anthropic_tools.make(step.tools, call)
        )
        if call.kind == "agent" and not self.made.calls and HAND_BACK in call.tools and step.text:
            # In auto mode a sub-agent of 2.1.329 must hand in its report, and is asked again until
            # it does.
            self.made.calls.append(ToolCall(HAND_BACK, {"message": step.text}))
        self.problem = self._problem()
        self.status = self.problem.status if self.problem else 0
        self.finished = False
        self._started = False
        self._words = 0
        self._ended = ""  # the type of the last event, which says how the model's answer ended

    def _problem(self) -> HttpError | None:
        if self.step.failure is not None:
            found: HttpError | None = self.wire.error(self.step.failure, self.request_id)
            return found
        if self.step.usage_limit is not None:
            now, at = int(time.time()), self.step.usage_limit
            limit: HttpError = self.wire.usage_limit(int(at if at > 1e9 else now + at), now, self.request_id)
            return limit
        return None

    def parts(self) -> Iterator[Part]:
        """The parts of the streamed answer. Lazy."""
        parts: Iterator[Part] = self.wire.stream(self.step, self.made, self.id, self.call.model, self.usage, self.drawn)
        return parts

    def whole(self) -> dict[str, Any]:
        """The JSON body of the unstreamed answer."""
        made, drawn = self.made, self.drawn
        body: dict[str, Any] = self.wire.whole(self.step, made, self.id, self.call.model, self.usage, drawn)
        return body

    def sent(self, event: Event) -> None:
        """Note that an event was sent."""
        self._started = True
        self._words += event.words
        self._ended = str(event.data["type"])

    @property
    def failed(self) -> bool:
        """Whether the stream itself said that the answer failed."""
        return self._ended in ("response.failed", "error")

    @property
    def billed(self) -> bool:
        """Whether the provider bills the answer: something was said.

        A failed answer of OpenAI has no usage; a failed answer of Anthropic reported its input at
        the start.
        """
        return self._started and self._ended != "response.failed"

    def row(self) -> dict[str, Any]:
        """The fields of the call's record in the billing log.

        `usage` has the provider's own shape; null if nothing was billed. A call that was cut off is
        billed for what was said: its input, and a token for each word, not the numbers of
        `message_start`.
        """
        billed, usage = self.billed, self.usage
        if billed and not self.finished:
            usage = Usage(usage.input, usage.cache_read, usage.cache_write, max(1, self._words), 0)
        error = self.problem.type if self.problem else None
        if self.failed and self.step.failure:
            error = self.step.failure.type or self.step.failure.name
        empty = dict.fromkeys(usage.normalised())
        return {
            "id": self.id if self._started else None,
            "request_id": self.request_id,
            "status": self.status or None,
            "error": error,
            "finished": self.finished,
            "stop_reason": self.wire.stop_reason(self.step, self.made) if self.finished else None,
            "tools": [c.name for c in self.made.calls],
            "notes": self.made.notes,
            "usage": self.wire.usage_json(usage) if billed else None,
            **(usage.normalised() if billed else empty),
        }

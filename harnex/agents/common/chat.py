"""What one model call asked and was answered, as an OpenAI-style chat: built from a log, row by row. Pure.

The messages of a call are those before its answer; the next call's begin with all of them and the answer. A
compaction (or going back to an earlier prompt) begins a new chain: `chain` counts them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

FINISH = {  # Anthropic's words in OpenAI's
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}


@dataclass(slots=True)
class Answer:
    """One call's answer, and where in which chain it stands."""

    chain: int
    at: int  # how many messages were there before it
    messages: list[dict[str, Any]]  # the chain's, which grows
    message: dict[str, Any]
    reasoning: str = ""
    stop_reason: str | None = None
    attempts: int | None = None
    missing: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """`request` (what was asked), `response`, and what is asked for most of both."""
        stop = self.stop_reason or ("tool_calls" if self.message.get("tool_calls") else None)
        return {
            "request": self.messages[: self.at],
            "response": self.message,
            "message_count": self.at,
            "response_text": self.message["content"],
            "reasoning_text": self.reasoning,
            "finish_reason": FINISH.get(stop, stop) if stop else None,
            "attempts": self.attempts,
            "chain": self.chain,
            "missing": list(self.missing),
        }


class Chat(Protocol):
    """Reads one file as a chat, row by row. `answers`: by the ids of their calls."""

    answers: dict[str, Answer]

    def row(self, row: dict[str, Any]) -> None: ...


@dataclass(slots=True)
class Chains:
    """The conversation so far."""

    chain: int = 1
    messages: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, messages: list[dict[str, Any]]) -> None:
        """A new chain, with what it begins with."""
        if self.messages:
            self.chain += 1
        self.messages = list(messages)

    def say(self, role: str, content: str, **more: Any) -> dict[str, Any]:
        message = {"role": role, "content": content, **more}
        self.messages.append(message)
        return message


def tool_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}

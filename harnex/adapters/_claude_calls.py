"""Model calls out of Claude Code's transcript rows: each once, with final numbers (DESIGN section 8).

A call is one row per content block with one `message.id`, each repeating the usage, the early ones
perhaps with a partial `output_tokens`. The last row of an id wins (measured: 1,351 of 1,351 calls).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harnex.model import ModelCall

PREVIEW = 200


@dataclass(slots=True)
class _Call:
    """A model call whose rows are still coming. The last row of an id wins (measured: 1,351 of 1,351)."""

    id: str
    model: str | None
    usage: dict[str, Any]
    stop_reason: str | None
    text: str


class Calls:
    """Collects rows and gives out a call when nothing more of it can come."""

    def __init__(self, early_rows: bool = False) -> None:
        self._early_rows = early_rows  # rows may be written before the call's end is known (2.1.20): see `_finished`
        self._open: dict[str, _Call] = {}  # by agent: subagents write at the same time
        self._told: set[str] = set()
        self.last_text = ""

    def row(self, message: dict[str, Any], agent: str) -> Iterable[ModelCall]:
        """Take an assistant row's message."""
        call_id, usage = message.get("id"), message.get("usage")
        if not isinstance(call_id, str) or not isinstance(usage, dict):
            return
        call = self._open.get(agent)
        if call is not None and call.id != call_id:
            yield from self.over(False, agent)
            call = None
        if call is None:
            call = _Call(call_id, _word(message.get("model")), usage, None, "")
            self._open[agent] = call
        text = "".join(str(b.get("text") or "") for b in blocks(message.get("content")) if b.get("type") == "text")
        call.usage = usage
        call.stop_reason = _word(message.get("stop_reason")) or call.stop_reason
        if text:
            call.text = f"{call.text}\n{text}".strip()
            if agent == "main":
                self.last_text = call.text
            if call.stop_reason not in (None, "tool_use"):
                yield from self.over(False, agent)  # nothing follows the last words of a message

    def over(self, aborted: bool, agent: str | None = None, only_stopped: bool = False) -> Iterable[ModelCall]:
        """Give out what is open (of one agent, or of all). `only_stopped`: leave calls that have no stop reason yet;
        2.0 and later write a tool's result between the rows of one call."""
        for name in [agent] if agent else list(self._open):
            call = self._open.get(name)
            if call is None or (only_stopped and call.stop_reason is None):
                continue
            del self._open[name]
            if call.id not in self._told:
                self._told.add(call.id)
                yield _finished(call, name, aborted, self._early_rows)


def _finished(call: _Call, agent: str, aborted: bool, early_rows: bool) -> ModelCall:
    """A call that was cut off has no final output: its rows hold what its start said (measured: 22 of 22).

    Nor has any call in a version that writes its rows before the end is known (2.1.20; not 2.0.77, not 2.1.80):
    without a stop reason the output is what the start said.
    """
    partial = aborted and call.stop_reason is None
    final = call.stop_reason is not None or not (aborted or early_rows)
    fresh, read, written = (
        _number(call.usage.get(k)) for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    given = None if fresh is None else fresh + (read or 0) + (written or 0)
    out = _number(call.usage.get("output_tokens")) if final else None
    details = call.usage.get("output_tokens_details")
    thinking = _number(details.get("thinking_tokens")) if isinstance(details, dict) else None
    return ModelCall(
        call.id,
        call.model,
        agent,
        input_tokens=given,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=out,
        reasoning_tokens=thinking if final else None,
        total_tokens=None if given is None or out is None else given + out,
        stop_reason=call.stop_reason,
        partial=partial,
        text_preview=call.text[:PREVIEW],
    )


def blocks(content: Any) -> list[dict[str, Any]]:
    """A message's content as blocks, whichever of its two forms it has."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

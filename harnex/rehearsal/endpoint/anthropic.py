"""The Anthropic Messages format, as Claude Code uses it: reads a request, writes an answer. Pure.

How to tell the calls of Claude Code apart was measured on 1.0.128, 2.0.77, 2.1.80, 2.1.197 and
2.1.329. Sub-agents carry `x-claude-code-agent-id` and `cc_is_subagent=true` from 2.1.197 on. Before
that (2.1.80, too) they are the calls that have tools, but not the tool that starts sub-agents, and
whose system prompt is not that of the main thread.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harnex.rehearsal.endpoint.pace import Drawn, Span
from harnex.rehearsal.endpoint.script import Failure, Step
from harnex.rehearsal.endpoint.wire import Call, Cut, Event, HttpError, Made, Part, Pause, Usage, pinged, spoken

MAIN_PROMPTS = ("You are an interactive", "working with the user toward their goals")
# Auto mode's check of each action.
MONITOR = "You are a security monitor for autonomous AI coding agents"
# Claude Code 2.1 asks after a turn what the person may type next, with all tools on offer.
SUGGESTION = "[SUGGESTION MODE:"
SUMMARY = ("Your task is to create a detailed summary", "tasked with summarizing conversations")
UNMARKED = re.compile(r"claude-cli/(\d+)\.(\d+)\.(\d+)")
MARKED_FROM = (2, 1, 197)  # the change came somewhere after 2.1.80
CWD = re.compile(r"[Ww]orking directory: ([^\n]+)")
_STATUS = {
    "auth": 401,
    "credit": 400,
    "forbidden": 403,
    "context": 400,
    "rate_limit": 429,
    "server": 500,
    "overloaded": 529,
}
_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 500: "api_error",
    504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
_MESSAGES = {
    "credit": "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits.",
    "context": "prompt is too long: 205123 tokens > 200000 maximum",
    401: "invalid x-api-key",
    403: "Your API key does not have permission to use the specified resource.",
    429: "This request would exceed your organization's rate limit. Please try again later.",
    500: "Internal server error",
    529: "Overloaded",
}


def read(body: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
    """The call that a request makes. `headers` has lower-case names."""
    messages = [m for m in body.get("messages") or [] if isinstance(m, dict)]
    tools = {t["name"]: t for t in body.get("tools") or [] if isinstance(t, dict) and "name" in t}
    system = _text(body.get("system"), all_blocks=True)
    texts = tuple(t for m in messages if m.get("role") == "user" for t in _user_texts(m.get("content")))
    last = _text(messages[-1].get("content"), all_blocks=True) if messages else ""
    agent_id = headers.get("x-claude-code-agent-id", "")
    everything = "\n".join([system, *(_text(m.get("content"), all_blocks=True) for m in messages)])
    found = CWD.search(everything)
    first = texts[0] if texts else ""
    kind, why = "main", ""
    if MONITOR in system and not tools:
        kind, why = "side", "monitor-severity" if "<severity>" in last else "monitor"
    elif not any("input_schema" in t for t in tools.values()):
        kind, why = "side", "no tools"
    elif body.get("max_tokens") == 1:
        kind, why = "side", "quota probe"
    elif first == "Warmup":
        kind, why = "side", "warm-up"
    elif any(words in system or words in last or words in "".join(texts[-1:]) for words in SUMMARY):
        kind, why = "side", "summary"
    elif last.startswith(SUGGESTION):
        kind, why = "side", "suggestion"
    elif agent_id or "cc_is_subagent=true" in system or _unmarked_agent(headers, tools, system):
        kind = "agent"
    return Call(
        kind=kind,  # type: ignore[arg-type]
        model=str(body.get("model", "")),
        stream=bool(body.get("stream")),
        tools=tools,
        texts=texts,
        first=first,
        instance=agent_id or hashlib.sha256(first.encode()).hexdigest()[:16],
        why=why,
        cwd=found.group(1).strip() if found else "",
        stops=tuple(s for s in body.get("stop_sequences") or [] if isinstance(s, str) and s),
        said=everything,
    )


def _unmarked_agent(headers: Mapping[str, str], tools: Mapping[str, Any], system: str) -> bool:
    """Whether the call is a sub-agent's, from a Claude Code that does not mark sub-agents."""
    found = UNMARKED.match(headers.get("user-agent", ""))
    unmarked = found is not None and tuple(map(int, found.groups())) < MARKED_FROM
    starts_agents = "Task" in tools or "Agent" in tools
    return unmarked and not starts_agents and not any(words in system for words in MAIN_PROMPTS)


def _text(content: Any, all_blocks: bool = False) -> str:
    if isinstance(content, str):
        return content
    blocks = [b for b in content or [] if isinstance(b, dict)] if isinstance(content, list) else []
    return "\n".join(str(b.get("text", "")) for b in blocks if b.get("type") == "text" or all_blocks)


def _user_texts(content: Any) -> list[str]:
    """The prompts in a user message: its texts, without what the CLI itself inserts."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return []
    texts = [str(b.get("text", "")) for b in content if isinstance(b, dict) and b.get("type") == "text"]
    return [t for t in texts if not t.lstrip().startswith("<system-reminder>")]


def usage_json(usage: Usage, output: int | None = None) -> dict[str, Any]:
    """The usage in the API's shape: `input_tokens` leaves cached tokens out."""
    return {
        "input_tokens": max(0, usage.input - usage.cache_read - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.output if output is None else output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "service_tier": "standard",
    }


def _first_usage(usage: Usage, made: Made, step: Step, drawn: Drawn) -> dict[str, Any]:
    """The usage that `message_start` reports; its output is a placeholder."""
    if drawn.usage_sent == "none":
        return {}
    tool_first = bool(made.calls) and not step.think and not _answer_text(step, made)
    told = usage_json(usage, drawn.placeholder(tool_first, usage.output))
    del told["output_tokens_details"]
    if drawn.usage_sent == "late":
        told.update({name: 0 for name in told if name.endswith("_tokens")}, cache_creation=None)
    return told


def _later_usage(usage: Usage, drawn: Drawn, output: int) -> dict[str, Any]:
    """The usage that `message_delta` reports: the sums so far."""
    if drawn.usage_sent in ("none", "start_only"):
        return {}
    if drawn.usage_sent == "output_only":
        return {"usage": {"output_tokens": output}}
    told = usage_json(usage, output)
    if output != usage.output:
        del told["output_tokens_details"]
    return {"usage": told}


def stop_reason(step: Step, made: Made) -> str:
    return step.stop_reason or ("tool_use" if made.calls else "end_turn")


TEXT: Span = (2, 40)  # characters in a piece
INPUT: Span = (8, 80)


def stream(step: Step, made: Made, message_id: str, model: str, usage: Usage, drawn: Drawn) -> Iterator[Part]:
    """The parts of a streamed answer. Lazy."""
    if step.hang is not None:
        yield Pause(step.hang)
        yield Cut()
        return
    yield from pinged(_events(step, made, message_id, model, usage, drawn), drawn.ping, {"type": "ping"})


def _events(step: Step, made: Made, message_id: str, model: str, usage: Usage, drawn: Drawn) -> Iterator[Part]:
    first = _first_usage(usage, made, step, drawn)
    yield Event({"type": "message_start", "message": _message(message_id, model, [], None, first)})
    for index, block in enumerate(_blocks(step, made, message_id)):
        yield from _block(index, block, step, drawn)
        if step.drop is not None or step.failure is not None:
            break
        yield Event({"type": "content_block_stop", "index": index})
    if step.failure is not None:
        problem = error_body(step.failure)[1]
        yield Event({"type": "error", "error": problem})
        return
    if step.drop is not None:
        yield Cut()
        return
    steps = drawn.usage_steps
    for n in range(1, steps):
        output = max(1, usage.output * n // steps)
        delta: dict[str, str | None] = {"stop_reason": None, "stop_sequence": None}
        yield Event({"type": "message_delta", "delta": delta, **_later_usage(usage, drawn, output)})
        yield Pause(drawn.usage_delay / steps)
    yield Pause(drawn.usage_delay / steps)
    delta = {"stop_reason": stop_reason(step, made), "stop_sequence": None}
    yield Event({"type": "message_delta", "delta": delta, **_later_usage(usage, drawn, usage.output)})
    yield Event({"type": "message_stop"})


def _block(index: int, block: dict[str, Any], step: Step, drawn: Drawn) -> Iterator[Part]:
    """The parts of a content block without its end. Lazy."""
    kind = block["type"]
    start = dict(block)
    if kind == "thinking":
        start.update(thinking="", signature="")
    elif kind == "text":
        start["text"] = ""
    else:
        start["input"] = {}
    yield Event({"type": "content_block_start", "index": index, "content_block": start})
    if not index:
        yield Event({"type": "ping"})

    def delta(kind: str, name: str, value: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: value}}

    if kind == "thinking":
        pieces = drawn.pieces(step.think, TEXT, step.pause)
        yield from spoken(pieces, step.pause, lambda w: delta("thinking_delta", "thinking", w))
        yield Event(delta("signature_delta", "signature", block["signature"]))
    elif kind == "text":
        pieces = drawn.pieces(block["text"], TEXT, step.pause)
        yield from spoken(pieces, step.pause, lambda w: delta("text_delta", "text", w))
    else:
        pieces = ["", *drawn.pieces(json.dumps(block["input"]), INPUT)]
        yield from spoken(pieces, 0.0, lambda w: delta("input_json_delta", "partial_json", w))


def whole(step: Step, made: Made, message_id: str, model: str, usage: Usage, drawn: Drawn) -> dict[str, Any]:
    """The answer in one piece."""
    blocks = _blocks(step, made, message_id)
    told = {} if drawn.usage_sent == "none" else usage_json(usage)
    return _message(message_id, model, blocks, stop_reason(step, made), told)


def _answer_text(step: Step, made: Made) -> str:
    if step.drop is not None:
        return step.drop
    if step.failure is not None:
        return step.failure.in_stream or ""
    return "\n".join([t for t in (step.text, *made.words) if t])


def _blocks(step: Step, made: Made, message_id: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if step.think:
        blocks.append({"type": "thinking", "thinking": step.think, "signature": "c2NyaXB0ZWQ="})
    if text := _answer_text(step, made):
        blocks.append({"type": "text", "text": text})
    tail = message_id[-12:]
    for i, call in enumerate(made.calls):
        given = call.input if isinstance(call.input, dict) else {"input": call.input}
        blocks.append({"type": "tool_use", "id": f"toolu_{tail}{i:02d}", "name": call.name, "input": given})
    return blocks


def _message(
    message_id: str, model: str, content: list[dict[str, Any]], stop: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def error_body(failure: Failure) -> tuple[int, dict[str, Any]]:
    """The status and the `error` object of a failure."""
    status = failure.status or _STATUS[failure.name]
    kind = failure.type or _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    message = failure.message or _MESSAGES.get(failure.name) or _MESSAGES.get(status) or f"scripted error {status}"
    return status, {"type": kind, "message": message}


def error(failure: Failure, request_id: str) -> HttpError | None:
    """An error in the API's shape; None if the error comes inside the stream."""
    if failure.in_stream is not None:
        return None
    status, problem = error_body(failure)
    headers = {"request-id": request_id}
    if failure.retry_after is not None:
        headers["retry-after"] = f"{failure.retry_after:g}"
    body = {"type": "error", "error": problem, "request_id": request_id}
    return HttpError(status, body, headers, str(problem["type"]))


def usage_limit(resets_at: int, now: int, request_id: str) -> HttpError:
    """The subscription's limit: a 429 whose headers say that the five-hour window is used up.

    `resets_at` and `now` are epoch seconds.
    """
    message = "This request would exceed your account's rate limit. Please try again later."
    _, problem = error_body(Failure(429, message=message))
    prefix = "anthropic-ratelimit-unified"
    headers = {
        "request-id": request_id,
        f"{prefix}-status": "rejected",
        f"{prefix}-reset": str(resets_at),
        f"{prefix}-representative-claim": "five_hour",
        f"{prefix}-5h-status": "rejected",
        f"{prefix}-5h-reset": str(resets_at),
        f"{prefix}-fallback": "unavailable",
        "retry-after": str(max(1, resets_at - now)),
        "x-should-retry": "false",
    }
    return HttpError(429, {"type": "error", "error": problem, "request_id": request_id}, headers, "usage_limit")

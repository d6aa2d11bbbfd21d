"""The OpenAI Responses format, as Codex uses it: reads a request, writes an answer. Pure.

Measured on Codex 0.80, 0.104, 0.145 and 0.169. The purpose of a call is in `x-codex-turn-metadata`
(from 0.145 on: `thread_source`, `agent_name`, `request_kind`) and in `x-openai-subagent`. From
0.145 on the newest models get their tools inside the input (`additional_tools`), in namespaces, and
most tools only inside `exec`, a tool that takes JavaScript (see openai_tools.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harnex.rehearsal.endpoint.pace import Drawn, Span
from harnex.rehearsal.endpoint.script import Failure, Step
from harnex.rehearsal.endpoint.wire import Call, Cut, Event, HttpError, Made, Part, Pause, ToolCall, Usage, spoken

INSERTED = (
    "<environment_context>",
    "# AGENTS.md instructions",
    "<user_instructions>",
    "<turn_aborted>",
    "<subagent_notification>",
)
SUMMARY = "CONTEXT CHECKPOINT COMPACTION"
_STATUS = {"auth": 401, "forbidden": 403, "server": 500, "overloaded": 503, "rate_limit": 429}
_CODES = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Request not allowed."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: ("server_error", "server_error", "The server had an error while processing your request."),
    503: ("server_error", "server_is_overloaded", "Our servers are currently overloaded. Please try again later."),
    529: ("server_error", "server_is_overloaded", "Our servers are currently overloaded. Please try again later."),
}
# Errors that the real service reports inside a stream that began well.
_IN_STREAM = {
    "context": ("context_length_exceeded", "Your input exceeds the context window of this model."),
    "credit": ("insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
}


def read(body: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
    """The call that a request makes. `headers` has lower-case names."""
    given = body.get("input")
    items = [i for i in given if isinstance(i, dict)] if isinstance(given, list) else []
    if isinstance(given, str):
        items = [{"type": "message", "role": "user", "content": given}]
    tools: dict[str, Mapping[str, Any]] = {}
    _collect(body.get("tools"), "", tools)
    for item in items:
        if item.get("type") == "additional_tools":
            _collect(item.get("tools"), "", tools)
    meta = _metadata(body, headers)
    source = str(meta.get("thread_source") or "")
    agent_name = str(meta.get("agent_name") or "")
    subagent = headers.get("x-openai-subagent", "")
    texts = tuple(t for i in items for t in _user_texts(i))
    # In the newest versions a sub-agent's task comes as a message of another agent.
    tasks = [t for i in items if i.get("type") == "agent_message" for t in _texts(i)]
    kind, why = "main", ""
    request_kind = str(meta.get("request_kind") or "turn")
    if source == "thread_title" or (not tools and not subagent):
        kind, why = "side", source or "no tools"
    elif "compact" in request_kind or subagent == "compact" or (texts and SUMMARY in texts[-1]):
        kind, why = "side", "summary"
    elif source == "subagent" or subagent or agent_name not in ("", "/root"):
        kind = "agent"
    thread = str(meta.get("thread_id") or headers.get("thread-id") or headers.get("session_id") or "")
    return Call(
        kind=kind,  # type: ignore[arg-type]
        model=str(body.get("model", "")),
        stream=bool(body.get("stream")),
        tools=tools,
        texts=texts,
        first="\n".join([agent_name, *tasks, *texts]) if kind == "agent" else (texts[0] if texts else ""),
        instance=thread,
        why=why,
        said=str(body.get("instructions") or ""),
    )


def _metadata(body: Mapping[str, Any], headers: Mapping[str, str]) -> Mapping[str, Any]:
    inside = body.get("client_metadata")
    raw = headers.get("x-codex-turn-metadata") or (inside or {}).get("x-codex-turn-metadata") or "{}"
    try:
        meta = json.loads(raw)
    except (ValueError, TypeError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _collect(declared: Any, namespace: str, into: dict[str, Mapping[str, Any]]) -> None:
    """Collect tools by name, with their namespace as "namespace".

    The first declaration of a name stays.
    """
    for tool in declared if isinstance(declared, list) else []:
        if not isinstance(tool, dict):
            continue
        if tool.get("type") == "namespace":
            _collect(tool.get("tools"), str(tool.get("name", "")), into)
        elif name := str(tool.get("name") or tool.get("type") or ""):
            into.setdefault(name, {**tool, "namespace": namespace})


def _texts(item: Mapping[str, Any]) -> list[str]:
    content = item.get("content")
    if isinstance(content, str):
        return [content]
    # Sub-agents get their task as "encrypted" text, which this server never encrypted.
    return [str(c.get("text") or c.get("encrypted_content") or "") for c in content or [] if isinstance(c, dict)]


def _user_texts(item: Mapping[str, Any]) -> list[str]:
    if item.get("role") != "user":
        return []
    return [t for t in _texts(item) if t and not t.lstrip().startswith(INSERTED)]


def usage_json(usage: Usage) -> dict[str, Any]:
    """The usage in the API's shape.

    `input_tokens` includes the cached tokens, `output_tokens` the reasoning.
    """
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def stop_reason(step: Step, made: Made) -> str:
    return step.stop_reason or "completed"


def answer_text(step: Step, made: Made) -> str:
    if step.drop is not None:
        return step.drop
    if step.failure is not None:
        return step.failure.in_stream or ""
    return "\n".join([t for t in (step.text, *made.words) if t])


TOKENS: Span = (1, 8)  # characters in a piece


def stream(step: Step, made: Made, response_id: str, model: str, usage: Usage, drawn: Drawn) -> Iterator[Part]:
    """The parts of a streamed answer. Lazy."""
    if step.hang is not None:
        yield Pause(step.hang)
        yield Cut()
        return
    number = 0
    for part in _events(step, made, response_id, model, usage, drawn):
        if isinstance(part, Event):
            yield replace(part, data={**part.data, "sequence_number": number})
            number += 1
        else:
            yield part


def _events(step: Step, made: Made, response_id: str, model: str, usage: Usage, drawn: Drawn) -> Iterator[Part]:
    shell: dict[str, Any] = {
        "id": response_id,
        "object": "response",
        "status": "in_progress",
        "model": model,
        "output": [],
        "usage": None,
    }
    yield Event({"type": "response.created", "response": dict(shell)})
    yield Event({"type": "response.in_progress", "response": dict(shell)})
    tail, output = response_id[-12:], list[dict[str, Any]]()
    if step.think:
        yield from _reasoning(step, tail, output, drawn)
    text = answer_text(step, made)
    if text or step.drop is not None:
        yield from _message(step, text, tail, output, drawn)
    if step.failure is not None:
        code, message = _IN_STREAM.get(step.failure.name) or _CODES.get(_status(step.failure), _CODES[500])[1:]
        problem = {"code": step.failure.type or code, "message": step.failure.message or message}
        yield Event({"type": "response.failed", "response": {**shell, "status": "failed", "error": problem}})
        return
    if step.drop is not None:
        yield Cut()
        return
    for i, call in enumerate(made.calls):
        yield from _tool(call, f"{tail}{i:02d}", output, drawn)
    yield Pause(drawn.usage_delay)
    ended = {**shell, "output": output, "usage": _told(usage, drawn)}
    if step.stop_reason in ("incomplete", "max_output_tokens", "content_filter"):
        why = "max_output_tokens" if step.stop_reason == "incomplete" else step.stop_reason
        ended.update(status="incomplete", incomplete_details={"reason": why})
        yield Event({"type": "response.incomplete", "response": ended})
    else:
        yield Event({"type": "response.completed", "response": {**ended, "status": "completed"}})


def _told(usage: Usage, drawn: Drawn) -> dict[str, Any] | None:
    """The usage that the end of an answer reports."""
    if drawn.usage_sent in ("none", "start_only"):
        return None
    whole = usage_json(usage)
    return {k: v for k, v in whole.items() if drawn.usage_sent != "output_only" or not k.endswith("_details")}


def _reasoning(step: Step, tail: str, output: list[dict[str, Any]], drawn: Drawn) -> Iterator[Part]:
    index = len(output)
    item: dict[str, Any] = {"type": "reasoning", "id": f"rs_{tail}", "summary": [], "encrypted_content": "c2NyaXB0ZWQ="}
    yield _item("added", index, item)
    at = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    part = {"type": "summary_text", "text": ""}
    yield Event({"type": "response.reasoning_summary_part.added", **at, "part": part})
    kind = "response.reasoning_summary_text.delta"
    pieces = drawn.pieces(step.think, TOKENS, step.pause)
    yield from spoken(pieces, step.pause, lambda w: {"type": kind, **at, "delta": w})
    yield Event({"type": "response.reasoning_summary_text.done", **at, "text": step.think})
    item = {**item, "summary": [{"type": "summary_text", "text": step.think}]}
    yield _item("done", index, item)
    output.append(item)


def _message(step: Step, text: str, tail: str, output: list[dict[str, Any]], drawn: Drawn) -> Iterator[Part]:
    index = len(output)
    item: dict[str, Any] = {
        "type": "message",
        "id": f"msg_{tail}",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    yield _item("added", index, item)
    at = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield Event({"type": "response.content_part.added", **at, "part": {"type": "output_text", "text": ""}})
    pieces = drawn.pieces(text, TOKENS, step.pause)
    yield from spoken(pieces, step.pause, lambda w: {"type": "response.output_text.delta", **at, "delta": w})
    if step.drop is not None or step.failure is not None:
        return
    said = {"type": "output_text", "text": text, "annotations": []}
    yield Event({"type": "response.output_text.done", **at, "text": text})
    yield Event({"type": "response.content_part.done", **at, "part": said})
    item = {**item, "status": "completed", "content": [said]}
    yield _item("done", index, item)
    output.append(item)


def _tool(call: ToolCall, tail: str, output: list[dict[str, Any]], drawn: Drawn) -> Iterator[Part]:
    index, item = len(output), _call_item(call, tail)
    field = "input" if item["type"] == "custom_tool_call" else "arguments"
    kind = "custom_tool_call_input" if field == "input" else "function_call_arguments"
    at = {"item_id": item["id"], "output_index": index}
    yield _item("added", index, {**item, field: "", "status": "in_progress"})
    pieces = drawn.pieces(item[field], TOKENS)
    yield from spoken(pieces, 0.0, lambda w: {"type": f"response.{kind}.delta", **at, "delta": w})
    yield Event({"type": f"response.{kind}.done", **at, field: item[field]})
    yield _item("done", index, item)
    output.append(item)


def whole(step: Step, made: Made, response_id: str, model: str, usage: Usage, drawn: Drawn) -> dict[str, Any]:
    """The answer in one piece."""
    last: dict[str, Any] = {}
    for part in stream(step, made, response_id, model, usage, drawn):
        if isinstance(part, Event):
            last = part.data
    return dict(last["response"])


def _item(what: str, index: int, item: dict[str, Any]) -> Event:
    return Event({"type": f"response.output_item.{what}", "output_index": index, "item": item})


def _call_item(call: ToolCall, tail: str) -> dict[str, Any]:
    namespace = {"namespace": call.namespace} if call.namespace else {}
    common = {"call_id": f"call_{tail}", "name": call.name, "status": "completed", **namespace}
    if isinstance(call.input, str):
        return {"type": "custom_tool_call", "id": f"ctc_{tail}", **common, "input": call.input}
    return {"type": "function_call", "id": f"fc_{tail}", **common, "arguments": json.dumps(call.input)}


def error(failure: Failure, request_id: str) -> HttpError | None:
    """An error in the API's shape; None if the error comes inside the stream (see `stream`)."""
    if failure.name in _IN_STREAM or failure.in_stream is not None:
        return None
    status = _status(failure)
    kind, code, message = _CODES.get(status, ("invalid_request_error", "", f"scripted error {status}"))
    headers = {"x-request-id": request_id}
    if failure.retry_after is not None:
        headers["retry-after"] = f"{failure.retry_after:g}"
    kind = failure.type or kind
    problem = {"message": failure.message or message, "type": kind, "param": None, "code": code or None}
    return HttpError(status, {"error": problem}, headers, failure.type or code or kind)


def _status(failure: Failure) -> int:
    return failure.status or _STATUS.get(failure.name, 400)


def usage_limit(resets_at: int, now: int, request_id: str) -> HttpError:
    """The plan's limit, in the shape from which Codex makes "You've hit your usage limit".

    `resets_at` and `now` are epoch seconds.
    """
    left = max(1, resets_at - now)
    problem = {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "plus",
        "resets_at": resets_at,
        "resets_in_seconds": left,
    }
    headers = {
        "x-request-id": request_id,
        "x-codex-primary-used-percent": "100",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(resets_at),
        "x-codex-primary-reset-after-seconds": str(left),
    }
    return HttpError(429, {"error": problem}, headers, "usage_limit")

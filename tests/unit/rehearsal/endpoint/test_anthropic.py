"""rehearsal/endpoint/anthropic.py: its answers read back by a small client, and held against the bill."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from harnex.rehearsal.endpoint import anthropic
from tests.unit.rehearsal.endpoint._bench import CLAUDE_TOOLS, STEP, Endpoint, anthropic_answer
from tests.unit.rehearsal.endpoint._bench import endpoint as endpoint  # the fixture

pytestmark = pytest.mark.timeout(20)


# ---- the Anthropic format ----


def test_an_anthropic_answer_is_the_script_and_the_bill_is_the_answer(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint({**STEP, "pause": 0.001}, STEP)
    status, events, headers = server.claude(system="Working directory: /w\nmore")
    message = anthropic_answer(events)
    assert (status, events[-1]["type"]) == (200, "message_stop")
    assert [b["type"] for b in message["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert message["content"][0]["thinking"] == "let me see"
    assert message["content"][1]["text"] == "one  two\nthree"
    assert message["content"][3]["input"] == {"file_path": "/w/f.txt", "content": "x"}
    assert message["stop_reason"] == "tool_use"
    whole = server.claude(stream=False, system="Working directory: /w\nmore")[1]
    assert [b.get("input") for b in whole["content"]] == [b.get("input") for b in message["content"]]
    rows = server.rows(count=2)
    assert [r["usage"] for r in rows] == [message["usage"], whole["usage"]]
    assert [r["id"] for r in rows] == [message["id"], whole["id"]]
    assert [(r["kind"], r["step"], r["finished"], r["status"]) for r in rows] == [
        ("main", n, True, 200) for n in (0, 1)
    ]
    for row in rows:
        usage = row["usage"]
        parts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        assert row["input_tokens"] == sum(usage[k] for k in parts)
        assert row["output_tokens"] == usage["output_tokens"]
        assert usage["cache_creation"]["ephemeral_5m_input_tokens"] == row["cache_write_tokens"]
    assert headers["request-id"] == rows[0]["request_id"]
    assert rows[0]["usage"] != rows[1]["usage"]


@pytest.mark.parametrize(
    ("body", "headers", "kind"),
    [
        ({}, {}, "main"),
        ({"tools": []}, {}, "side"),
        ({"max_tokens": 1}, {}, "side"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Warmup"}]}]}, {}, "side"),
        ({"system": "You are tasked with summarizing conversations."}, {}, "side"),
        ({}, {"x-claude-code-agent-id": "a1"}, "agent"),
        ({"system": [{"type": "text", "text": "x; cc_is_subagent=true;"}]}, {}, "agent"),
        ({"tools": [{"name": "Bash", "input_schema": {}}]}, {"user-agent": "claude-cli/2.0.77 (x)"}, "agent"),
        ({"tools": [{"name": "Bash", "input_schema": {}}]}, {"user-agent": "claude-cli/2.1.80 (x)"}, "agent"),
        ({"tools": [{"name": "Agent", "input_schema": {}}]}, {"user-agent": "claude-cli/2.1.80 (x)"}, "main"),
        ({"tools": [{"name": "Bash", "input_schema": {}}]}, {"user-agent": "claude-cli/2.1.197 (x)"}, "main"),
        (
            {"tools": [{"name": "Bash", "input_schema": {}}], "system": "You are an interactive CLI tool"},
            {"user-agent": "claude-cli/1.0.128"},
            "main",
        ),
    ],
)
def test_claude_calls_are_told_apart(body: dict[str, Any], headers: dict[str, str], kind: str) -> None:
    full = {"model": "m", "tools": CLAUDE_TOOLS, "messages": [{"role": "user", "content": "hello"}], **body}
    assert anthropic.read(full, headers).kind == kind


def test_the_cli_s_own_reminders_are_no_prompt() -> None:
    said = [{"type": "text", "text": t} for t in ("<system-reminder>\nx", "the prompt")]
    call = anthropic.read({"messages": [{"role": "user", "content": said}], "tools": CLAUDE_TOOLS}, {})
    assert call.texts == ("the prompt",)


# ---- errors, silence, cut connections ----


@pytest.mark.parametrize(
    ("step", "status", "kind"),
    [
        ({"error": 529}, 529, "overloaded_error"),
        ({"error": "overloaded"}, 529, "overloaded_error"),
        ({"error": 401}, 401, "authentication_error"),
        ({"error": "credit"}, 400, "invalid_request_error"),
        ({"error": "context"}, 400, "invalid_request_error"),
        ({"error": 429, "type": "own", "message": "words"}, 429, "own"),
        ({"usage_limit": {"resets_at": 60}}, 429, "rate_limit_error"),
    ],
)
def test_anthropic_errors(endpoint: Callable[..., Endpoint], step: dict[str, Any], status: int, kind: str) -> None:
    server = endpoint({**step, "retry_after": 3} if "error" in step else step)
    got, body, headers = server.claude()
    assert (got, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["error"]["message"]
    assert headers["retry-after"] == ("3" if "error" in step else "60")
    (row,) = server.rows(count=1)
    assert (row["status"], row["usage"], row["input_tokens"], row["finished"]) == (status, None, None, False)
    assert row["error"]
    if "usage_limit" in step:
        reset = int(headers["anthropic-ratelimit-unified-reset"])
        assert 50 < reset - time.time() <= 61

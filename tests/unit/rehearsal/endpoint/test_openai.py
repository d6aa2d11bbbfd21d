"""rehearsal/endpoint/openai.py: its answers read back by a small client, and held against the bill."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harnex.rehearsal.endpoint import openai
from tests.unit.rehearsal.endpoint._bench import CODEX_TOOLS, STEP, Endpoint
from tests.unit.rehearsal.endpoint._bench import endpoint as endpoint  # the fixture

pytestmark = pytest.mark.timeout(20)


# ---- the OpenAI format ----


def test_an_openai_answer_is_the_script_and_the_bill_is_the_answer(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint({**STEP, "tools": [{"bash": "echo hi"}, {"write": ["f", "x\n"]}, {"todo": ["t"]}]})
    status, events, _ = server.codex()
    last = events[-1]["response"]
    items = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert (status, events[-1]["type"]) == (200, "response.completed")
    assert last["output"] == items
    assert [i["type"] for i in items] == ["reasoning", "message", "function_call", "custom_tool_call", "function_call"]
    assert "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == "one  two\nthree"
    assert json.loads(items[2]["arguments"])["cmd"] == "echo hi"
    assert items[3]["input"] == "*** Begin Patch\n*** Add File: f\n+x\n*** End Patch\n"
    (row,) = server.rows(count=1)
    usage = last["usage"]
    assert row["usage"] == usage
    assert (row["id"], row["kind"], row["finished"]) == (last["id"], "main", True)
    assert row["input_tokens"] == usage["input_tokens"]
    assert row["cache_read_tokens"] == usage["input_tokens_details"]["cached_tokens"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize(
    ("meta", "more", "kind"),
    [
        ({"thread_source": "user"}, {}, "main"),
        ({"thread_source": "thread_title"}, {}, "side"),
        ({}, {"tools": []}, "side"),
        ({"thread_source": "subagent"}, {}, "agent"),
        ({"agent_name": "/root/x"}, {}, "agent"),
        ({"agent_name": "/root"}, {}, "main"),
        ({"request_kind": "compaction"}, {}, "side"),
        (
            {},
            {"tools": [], "input": [{"type": "additional_tools", "tools": [{"type": "custom", "name": "exec"}]}]},
            "main",
        ),
    ],
)
def test_codex_calls_are_told_apart(meta: dict[str, str], more: dict[str, Any], kind: str) -> None:
    body = {"model": "g", "tools": CODEX_TOOLS, "input": "hello", **more}
    assert openai.read(body, {"x-codex-turn-metadata": json.dumps(meta)}).kind == kind
    assert openai.read({**body, "client_metadata": {"x-codex-turn-metadata": json.dumps(meta)}}, {}).kind == kind


def test_a_codex_sub_agent_is_known_by_its_task(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint("main", agents={"ALPHA": ["sub"]})
    task = {"type": "agent_message", "content": [{"type": "encrypted_content", "encrypted_content": "do ALPHA"}]}
    meta = {"x-codex-turn-metadata": json.dumps({"thread_source": "subagent", "thread_id": "t2"})}
    events = server.codex(headers=meta, input=[task])[1]
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "sub"
    assert server.rows(count=1)[0]["kind"] == "agent:ALPHA"


# ---- errors, silence, cut connections ----


@pytest.mark.parametrize(
    ("step", "status", "key"),
    [
        ({"error": 401}, 401, "invalid_api_key"),
        ({"error": 429}, 429, "rate_limit_exceeded"),
        ({"error": "overloaded"}, 503, "server_is_overloaded"),
        ({"usage_limit": {"resets_at": 2000000000}}, 429, "usage_limit_reached"),
    ],
)
def test_openai_errors(endpoint: Callable[..., Endpoint], step: dict[str, Any], status: int, key: str) -> None:
    server = endpoint(step)
    got, body, _ = server.codex()
    assert got == status
    assert key in (body["error"].get("code"), body["error"]["type"])
    if "usage_limit" in step:
        assert body["error"]["resets_at"] == 2000000000


@pytest.mark.parametrize(("name", "code"), [("context", "context_length_exceeded"), ("credit", "insufficient_quota")])
def test_openai_errors_inside_the_stream(endpoint: Callable[..., Endpoint], name: str, code: str) -> None:
    server = endpoint({"error": name})
    events = server.codex()[1]
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["code"] == code
    (row,) = server.rows(count=1)
    assert (row["error"], row["usage"], row["finished"]) == (name, None, False)

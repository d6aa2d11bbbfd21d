"""The scripted endpoint: scripts, both wire formats read back by a small client, and the bill held against the answer."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.rehearsal.__main__ import load
from harnex.rehearsal.endpoint import anthropic, anthropic_tools, openai, openai_tools
from harnex.rehearsal.endpoint.billing import BillingLog
from harnex.rehearsal.endpoint.pace import UNSAID, Drawn
from harnex.rehearsal.endpoint.script import DONE, Player, ScriptError, parse
from harnex.rehearsal.endpoint.server import Rehearsal
from harnex.rehearsal.endpoint.wire import Call, Cut, Event, Made, quote, usage_of, words

pytestmark = pytest.mark.timeout(20)
ROOT = Path(__file__).parents[4]
CLAUDE_TOOLS = [{"name": n, "input_schema": {}} for n in ("Bash", "Write", "Read", "Agent", "AskUserQuestion", "Task")]
CODEX_TOOLS = [
    {"type": "function", "name": "exec_command", "parameters": {}},
    {"type": "custom", "name": "apply_patch"},
    {"type": "function", "name": "update_plan", "parameters": {}},
]


class Endpoint:
    """A running endpoint and what it logged."""

    def __init__(self, rehearsal: Rehearsal, log: Path) -> None:
        self.rehearsal, self._log = rehearsal, log

    def rows(self, event: str = "call", count: int = 0) -> list[dict[str, Any]]:
        """The rows of the log, once there are so many: an answer's row follows its last byte."""
        deadline = time.monotonic() + 5
        while True:
            rows = [json.loads(line) for line in self._log.read_text().splitlines()]
            rows = [r for r in rows if r["event"] == event]
            if len(rows) >= count or time.monotonic() > deadline:
                return rows
            time.sleep(0.005)

    def post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[int, Any, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.rehearsal.port, timeout=10)
        try:
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **(headers or {})})
            response = connection.getresponse()
            if response.headers.get("content-type") == "text/event-stream":
                return response.status, read_events(response), response.headers
            return response.status, json.loads(response.read()), response.headers
        finally:
            connection.close()

    def claude(self, prompt: str = "do it", headers: dict[str, str] | None = None, **more: Any) -> tuple[int, Any, Any]:
        body = {"model": "m", "stream": True, "tools": CLAUDE_TOOLS, "messages": [{"role": "user", "content": prompt}]}
        return self.post("/v1/messages?beta=true", {**body, **more}, headers)

    def codex(self, prompt: str = "do it", headers: dict[str, str] | None = None, **more: Any) -> tuple[int, Any, Any]:
        said = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}]
        return self.post(
            "/v1/responses", {"model": "g", "stream": True, "tools": CODEX_TOOLS, "input": said, **more}, headers
        )


def read_events(response: Any) -> list[dict[str, Any]]:
    """The events of a stream; a broken connection ends the list with {"type": "BROKEN"}."""
    out: list[dict[str, Any]] = []
    try:
        for block in response.read().decode().split("\n\n"):
            if block:
                name, data = block.split("\n", 1)
                out.append(json.loads(data.removeprefix("data: ")))
                assert name == f"event: {out[-1]['type']}"
    except (http.client.HTTPException, ConnectionError):
        out.append({"type": "BROKEN"})
    return out


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Callable[..., Endpoint]]:
    running: list[Rehearsal] = []

    def start(*calls: Any, **more: Any) -> Endpoint:
        log = tmp_path / f"bill{len(running)}.jsonl"
        rehearsal = Rehearsal(parse({"calls": list(calls), **more}), BillingLog(str(log), str(tmp_path / "bodies")))
        rehearsal.start()
        running.append(rehearsal)
        return Endpoint(rehearsal, log)

    yield start
    for rehearsal in running:
        rehearsal.stop()


# ---- scripts ----


@pytest.mark.parametrize(
    ("script", "words_of_error"),
    [
        ({"calls": [{"txt": "x"}]}, "calls[0]: unknown key 'txt'; allowed: text"),
        ({"call": []}, "script: unknown key 'call'"),
        ({"calls": {}}, "calls: dict where a list of steps is needed"),
        ({"calls": [{}]}, "calls[0]: says nothing"),
        ({"calls": [{"error": 200}]}, "calls[0].error: 200 is not a status from 400 to 599"),
        ({"calls": [{"error": "nope"}]}, "one of auth, credit"),
        ({"calls": [{"error": 500, "times": 0}]}, "calls[0].times"),
        ({"calls": [{"text": "x", "times": 2}]}, "calls[0].times: only allowed together with error"),
        ({"calls": [{"error": 500, "hang": 1}]}, "can't be in one step"),
        ({"calls": [{"text": "x", "hang": 1}]}, "hang can't be in one step with text"),
        ({"calls": [{"text": "x", "pause": -1}]}, "calls[0].pause: -1 is not a number of seconds"),
        ({"calls": [{"text": "x", "pause": float("nan")}]}, "calls[0].pause"),
        ({"calls": ["ok", {"tools": [{"bsh": "x"}]}]}, "calls[1].tools[0]: unknown tool 'bsh'; allowed: bash, write"),
        ({"calls": [{"tools": [{"bash": 1}]}]}, "calls[0].tools[0].bash: int where a string is needed"),
        ({"calls": [{"tools": [{"write": ["a"]}]}]}, 'must be ["path", "content"]'),
        ({"calls": [{"tools": [{"ask": {"question": "?", "options": ["A"]}}]}]}, "two strings or more"),
        ({"calls": [{"text": "x", "usage": {"input_tokens": -1}}]}, "calls[0].usage.input_tokens"),
        ({"calls": [{"usage_limit": {"reset": 1}}]}, "unknown key 'reset'; allowed: resets_at"),
        ({"agents": {"a": ["x", 3]}}, "agents['a'][1]: int where"),
        ({"agents": {"": []}}, "must not be empty"),
        ({"default": {"text": 1}}, "default.text"),
        ({"monitor": "maybe"}, "monitor: 'maybe' is not one of block, allow"),
        ("x", "script: str where an object"),
    ],
)
def test_a_bad_script_says_which_entry_and_what_is_allowed(script: Any, words_of_error: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(script)
    assert words_of_error in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_bundled_scripts_are_good() -> None:
    scripts = sorted((ROOT / "recipes" / "rehearsal").glob("*.json"))
    assert scripts
    for path in scripts:
        load(str(path))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["calls", "text", "tools", "bash", "error", "times", "ask", "usage"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_script_or_a_script_error(data: Any) -> None:
    problem = ""
    try:
        Player(parse(data)).take()
    except ScriptError as error:
        problem = str(error)
    assert "\n" not in problem


def test_steps_are_taken_in_order_and_errors_stay() -> None:
    script = parse({"calls": ["a", {"error": 529, "times": 2}, "b"], "agents": {"x": ["s"], "xy": ["t"]}})
    player = Player(script)
    assert [player.take()[1] for _ in range(5)] == [0, 1, 1, 2, None]
    assert player.take()[0].text == DONE
    assert player.agent_named("say xyz") == "xy"
    assert player.agent_named("nothing") is None
    assert [player.take("x", i)[0].text for i in ("1", "2", "1")] == ["s", "s", DONE]


@given(st.text())
def test_words_lose_nothing(text: str) -> None:
    assert "".join(words(text)) == text


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_shell_quoting_is_exact(text: str) -> None:
    assert subprocess.run(["/bin/sh", "-c", f"printf %s {quote(text)}"], capture_output=True).stdout == text.encode()


# ---- the Anthropic format ----


def anthropic_answer(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that the events make, put together as the documentation says."""
    message: dict[str, Any] = {}
    parts: dict[int, str] = {}
    for event in events:
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
        elif kind == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
        elif kind == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            for key in ("text", "thinking", "signature"):
                if key in delta:
                    block[key] += delta[key]
            if "partial_json" in delta:
                parts[event["index"]] = parts.get(event["index"], "") + delta["partial_json"]
        elif kind == "content_block_stop" and event["index"] in parts:
            message["content"][event["index"]]["input"] = json.loads(parts[event["index"]])
        elif kind == "message_delta":
            message.update(event["delta"])
            message["usage"].update(event["usage"])
    return message


STEP = {"think": "let me see", "text": "one  two\nthree", "tools": [{"bash": "echo hi"}, {"write": ["f.txt", "x"]}]}


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


def test_a_usage_of_the_script_is_what_is_billed(endpoint: Callable[..., Endpoint]) -> None:
    own = {
        "input_tokens": 150000,
        "cache_read_tokens": 0,
        "cache_write_tokens": 5,
        "output_tokens": 9,
        "reasoning_tokens": 2,
    }
    server = endpoint({"text": "x", "usage": own}, {"text": "x", "usage": own})
    server.claude()
    server.codex()
    rows = server.rows(count=2)
    assert all({k: r[k] for k in own} == own for r in rows)
    assert rows[0]["usage"]["input_tokens"] == 149995
    assert rows[1]["usage"]["input_tokens"] == 150000


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


@pytest.mark.parametrize(
    ("script", "stops", "text"),
    [
        ({}, ["</block>"], "<block>yes"),
        ({"monitor": "allow"}, ["</block>"], "<block>no"),
        ({}, [], "<block>yes</block>"),
    ],
)
def test_auto_mode_s_monitor_blocks_unless_the_script_allows(
    endpoint: Callable[..., Endpoint], script: dict[str, Any], stops: list[str], text: str
) -> None:
    server = endpoint("never taken", **script)
    system = "You are a security monitor for autonomous AI coding agents."
    answer = server.claude(stream=False, tools=[], system=system, stop_sequences=stops)[1]
    assert answer["content"][0]["text"].startswith(text)
    assert answer["stop_reason"] == ("stop_sequence" if stops else "end_turn")
    assert [(r["kind"], r["why"], r["step"]) for r in server.rows(count=1)] == [("side", "monitor", None)]
    asked = server.claude("Respond with <severity>N</severity>", stream=False, tools=[], system=system)[1]
    assert f"<severity>{0 if script else 100}</severity>" in asked["content"][0]["text"]


def test_the_cli_s_own_reminders_are_no_prompt() -> None:
    said = [{"type": "text", "text": t} for t in ("<system-reminder>\nx", "the prompt")]
    call = anthropic.read({"messages": [{"role": "user", "content": said}], "tools": CLAUDE_TOOLS}, {})
    assert call.texts == ("the prompt",)


def test_tools_that_are_not_on_offer_become_shell_or_words() -> None:
    step = parse([{"tools": [{"write": ["a b", "it's"]}, {"ask": {"question": "Q", "options": ["A", "B"]}}]}]).calls[0]
    call = Call("main", "m", True, {"Bash": {}}, cwd="/w")
    made = anthropic_tools.make(step.tools, call)
    assert [c.name for c in made.calls] == ["Bash"]
    assert made.words == ["Q (A / B)"]
    assert len(made.notes) == 2


def test_side_calls_and_sub_agents_never_take_a_step(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint("first", "second", agents={"ALPHA": ["sub one", "sub two"]})
    texts = []
    for more in ({"tools": []}, {}, {"headers": {"x-claude-code-agent-id": "1"}, "prompt": "go ALPHA"}, {}):
        texts.append(anthropic_answer(server.claude(**more)[1])["content"][0]["text"])
    assert texts == ["Scripted session", "first", "sub one", "second"]
    other = server.claude("beta", {"x-claude-code-agent-id": "2"})[1]
    assert "done" in anthropic_answer(other)["content"][0]["text"]
    assert [r["kind"] for r in server.rows(count=5)] == ["side", "main", "agent:ALPHA", "main", "agent:?"]


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


def test_code_mode_gets_its_tools_inside_exec() -> None:
    declared = {
        "exec": {"type": "custom", "description": "### `exec_command`\n### `apply_patch`", "namespace": "functions"}
    }
    step = parse([{"tools": [{"bash": 'echo "hi"'}, {"write": ["f", "x\n"]}, {"todo": ["t"]}]}]).calls[0]
    made = openai_tools.make(step.tools, Call("main", "g", True, declared))
    assert [(c.name, c.namespace) for c in made.calls] == [("exec", "functions")] * 2
    assert 'tools.exec_command({"cmd": "echo \\"hi\\""' in made.calls[0].input
    assert "tools.apply_patch(" in made.calls[1].input
    assert made.words == ["- t"]


def test_a_file_that_a_patch_cannot_say_is_written_by_the_shell() -> None:
    tools = {"shell_command": {}, "apply_patch": {"type": "custom"}}
    made = openai_tools.make(
        parse([{"tools": [{"write": ["f", "no newline"]}]}]).calls[0].tools, Call("main", "g", True, tools)
    )
    assert [c.name for c in made.calls] == ["shell_command"]
    assert made.notes


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


@pytest.mark.parametrize("api", ["claude", "codex"])
def test_a_drop_says_some_words_and_breaks_off(endpoint: Callable[..., Endpoint], api: str) -> None:
    server = endpoint({"drop": "some words", "pause": 0.001})
    connection = socket.create_connection(("127.0.0.1", server.rehearsal.port), timeout=5)
    body = {"model": "m", "stream": True, "tools": CLAUDE_TOOLS, "messages": [{"role": "user", "content": "x"}]}
    path = "/v1/messages"
    if api == "codex":
        path, body = "/v1/responses", {"model": "m", "stream": True, "tools": CODEX_TOOLS, "input": "x"}
    raw = json.dumps(body).encode()
    connection.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(raw), raw))
    got = b""
    while data := connection.recv(65536):
        got += data
    connection.close()
    assert b"some " in got
    assert b"words" in got
    assert not got.endswith(b"0\r\n\r\n")
    (row,) = server.rows(count=1)
    assert row["finished"] is False
    assert row["input_tokens"] > 0
    assert row["output_tokens"] == 2  # a token a word


@contextmanager
def asking(server: Endpoint) -> Iterator[socket.socket]:
    """A client that has asked and waits; gives its socket once the headers are there."""
    body = {"model": "m", "stream": True, "tools": CLAUDE_TOOLS, "messages": [{"role": "user", "content": "x"}]}
    raw = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", server.rehearsal.port), timeout=5) as connection:
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(raw), raw))
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(65536)
        assert b"200" in got
        yield connection


def test_a_hang_ends_when_the_client_goes_away(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint({"hang": 600})
    with asking(server):
        assert server.rows() == []
    (row,) = server.rows(count=1)
    assert (row["finished"], row["usage"], row["status"]) == (False, None, 200)


@pytest.mark.parametrize("step", [{"hang": 600}, {"text": "a b c d", "pause": 100}])
def test_shutdown_wakes_every_wait(endpoint: Callable[..., Endpoint], step: dict[str, Any]) -> None:
    server = endpoint(step)
    with asking(server):
        started = time.monotonic()
        server.rehearsal.stop()
        assert time.monotonic() - started < 1.5
        assert [r["finished"] for r in server.rows(count=1)] == [False]


def test_a_final_refusal_is_the_same_without_the_stream(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint({"error": "credit"}, {"error": 529}, "three", "four")
    asked = [server.claude(stream=s)[0] for s in (True, False, True, False, True)]
    assert asked == [400, 400, 529, 200, 200]
    assert [r["step"] for r in server.rows(count=5)] == [0, 0, 1, 2, 3]


def test_a_silent_start_is_silent(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint({"text": "x", "first_byte": 0.3})
    started = time.monotonic()
    server.claude()
    assert time.monotonic() - started >= 0.3


# ---- the log, the crowd, the program ----


def test_the_log_shows_the_prompt_whole_and_once(endpoint: Callable[..., Endpoint], tmp_path: Path) -> None:
    server = endpoint("x")
    prompt = "päste " * 1000
    server.claude(prompt)
    (row,) = server.rows("request", 1)
    digest = hashlib.sha256(prompt.encode()).hexdigest()
    assert (row["prompt_chars"], row["prompt_sha256"], row["prompt_head"]) == (len(prompt), digest, prompt[:200])
    assert [p["sha256"] for p in row["prompts"]] == [digest]
    body = json.loads((tmp_path / "bodies" / f"{row['call']:06d}.json").read_text())
    assert body["messages"][0]["content"] == prompt


def test_fifty_clients_at_once_take_a_step_each(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint(*[{"text": f"answer {n}", "pause": 0.002} for n in range(50)])
    answers: list[str] = []
    gate = threading.Barrier(50)

    def ask() -> None:
        gate.wait()
        answers.append(anthropic_answer(server.claude()[1])["content"][0]["text"])

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert sorted(answers) == sorted(f"answer {n}" for n in range(50))
    rows = server.rows(count=50)
    assert sorted(r["step"] for r in rows) == list(range(50))
    assert len({r["input_tokens"] for r in rows}) == 50
    assert len({r["id"] for r in rows}) == 50


def test_the_rest_of_the_api_is_harmless(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint("x")
    assert server.post("/v1/messages/count_tokens", {"messages": []})[1]["input_tokens"] > 0
    assert server.post("/api/event_logging/batch", {"events": []})[:2] == (200, {})
    connection = http.client.HTTPConnection("127.0.0.1", server.rehearsal.port, timeout=5)
    for method, path in (("GET", "/v1/models"), ("HEAD", "/"), ("GET", "/x")):
        connection.request(method, path)
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.request("POST", "/v1/messages", "[1]")
    assert connection.getresponse().status == 400
    connection.close()
    assert server.rows() == []


def start_program(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harnex.rehearsal", *args]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("how", ["stdin", "term"])
def test_the_program_says_where_it_listens_and_ends_when_asked(tmp_path: Path, how: str) -> None:
    script = tmp_path / "s.json"
    script.write_text('{"calls": [{"hang": 600}]}')
    program = start_program(str(script), "--log", str(tmp_path / "log"))
    assert program.stdin is not None
    assert program.stdout is not None
    said = json.loads(program.stdout.readline())
    assert said["base_url"] == f"http://127.0.0.1:{said['port']}"
    if how == "stdin":
        program.stdin.close()
    else:
        program.send_signal(signal.SIGTERM)
    assert program.wait(5) == 0
    assert oct(os.stat(tmp_path / "log").st_mode & 0o777) == "0o600"


def test_the_program_checks_scripts(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"calls": ["x"]}')
    bad.write_text('{"calls": [{"txt": "x"}]}')
    for path, code in ((good, 0), (bad, 2), (tmp_path / "missing.json", 2)):
        program = start_program("--check", str(path))
        _, err = program.communicate(timeout=10)
        assert program.returncode == code
        assert len(err.splitlines()) == (1 if code else 0)


def test_a_stream_is_made_of_events_only() -> None:
    """`drop` ends with a cut and nothing after it, in both formats."""
    step = parse([{"drop": "words"}]).calls[0]
    for wire in (anthropic, openai):
        parts = list(wire.stream(step, Made(), "msg_000001aaaabbbbcccc", "m", usage_of(1, step), Drawn(UNSAID, "1")))
        assert isinstance(parts[-1], Cut)
        assert all(isinstance(p, Event) for p in parts[:-1])

"""For the tests of the scripted endpoint: a small client, and the endpoint as a fixture."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harnex.rehearsal.endpoint.billing import BillingLog
from harnex.rehearsal.endpoint.script import parse
from harnex.rehearsal.endpoint.server import Rehearsal

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

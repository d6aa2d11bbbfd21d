"""rehearsal/endpoint/server.py: silence, cut connections, the crowd and the log."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rehearsal.endpoint._bench import CLAUDE_TOOLS, CODEX_TOOLS, Endpoint, anthropic_answer
from tests.unit.rehearsal.endpoint._bench import endpoint as endpoint  # the fixture

pytestmark = pytest.mark.timeout(20)


# ---- the Anthropic format ----


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


# ---- errors, silence, cut connections ----


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

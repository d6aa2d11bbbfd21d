"""How the scripted agent asks its model: over HTTP from the endpoint, or from its own script."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from harnex import times
from harnex.rehearsal.endpoint import anthropic, anthropic_tools
from harnex.rehearsal.endpoint.pace import Drawn
from harnex.rehearsal.endpoint.script import Player
from harnex.rehearsal.endpoint.wire import Call, Event, HttpError, Pause, usage_of

MODEL = "demo-model-1"
TOOLS = ("Bash", "Write", "Read", "AskUserQuestion", "ExitPlanMode", "TodoWrite", "Task")
LOST = "Connection lost mid-response. The response above may be incomplete."
SYSTEM = "You are an interactive scripted agent. Working directory: "


class Interrupted(Exception):
    """The person stopped the turn."""


class ModelError(Exception):
    """The model's answer is an error.

    `reason` is one of facts.FAILURE_REASONS. `again`: another try may help, `after` this many
    seconds.
    """

    def __init__(self, text: str, reason: str, again: bool = False, after: float | None = None) -> None:
        super().__init__(text)
        self.text, self.reason, self.again, self.after = text, reason, again, after
        self.retry_at: int | None = None


class Cancel:
    """A turn's off switch. Code that blocks registers an action that wakes it."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []

    def __call__(self) -> None:
        self._set.set()
        with self._lock:
            actions = list(self._actions)
        for action in actions:
            with suppress(OSError):
                action()

    @property
    def requested(self) -> bool:
        return self._set.is_set()

    def check(self) -> None:
        if self._set.is_set():
            raise Interrupted

    def wait(self, seconds: float) -> None:
        """Wait. Raises Interrupted if the switch is thrown meanwhile."""
        if self._set.wait(seconds):
            raise Interrupted

    def doing(self, action: Callable[[], None]) -> None:
        """Call `action` when the switch is thrown (at once, if the switch was thrown already)."""
        with self._lock:
            self._actions.append(action)
        if self.requested:
            action()

    def done(self, action: Callable[[], None]) -> None:
        with self._lock, suppress(ValueError):
            self._actions.remove(action)


class Backend(Protocol):
    def events(self, messages: list[dict[str, Any]], agent: str, cancel: Cancel) -> Iterator[dict[str, Any]]:
        """The events of one answer. Lazy. Raises ModelError and Interrupted."""
        ...


@dataclass
class Endpoint:
    """The Anthropic Messages API at `url`."""

    url: str
    cwd: str
    timeout: float = 300.0

    def events(self, messages: list[dict[str, Any]], agent: str, cancel: Cancel) -> Iterator[dict[str, Any]]:
        at = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(at.hostname or "127.0.0.1", at.port or 80, timeout=self.timeout)

        def hang_up() -> None:
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)

        body = {
            "model": MODEL,
            "max_tokens": 32000,
            "stream": True,
            "system": SYSTEM + self.cwd,
            "messages": messages,
            "tools": [{"name": name, "input_schema": {"type": "object"}} for name in TOOLS],
        }
        headers = {"content-type": "application/json", "user-agent": "harnex-demo/1"}
        if agent != "main":
            headers["x-claude-code-agent-id"] = agent
        if os.environ.get("HARNEX_DEMO_KEY_FILE"):
            with open(os.environ["HARNEX_DEMO_KEY_FILE"], encoding="utf-8") as f:
                headers["x-api-key"] = f.read().strip()
        started = False
        try:
            connection.connect()
            cancel.doing(hang_up)
            connection.request("POST", f"{at.path.rstrip('/')}/v1/messages", json.dumps(body), headers)
            response = connection.getresponse()
            if response.status != 200:
                raise _model_error(response.status, response.read(), dict(response.getheaders()))
            for event in read_sse(response):
                started = True
                _check_error(event)
                yield event
                if event.get("type") == "message_stop":
                    return
            raise ConnectionError("the stream ended early")
        except (OSError, http.client.HTTPException) as error:
            cancel.check()
            if started:
                raise ModelError(LOST, "network") from None
            raise ModelError(f"Connection error ({type(error).__name__})", "network", again=True) from None
        finally:
            cancel.done(hang_up)
            connection.close()


def read_sse(lines: Any) -> Iterator[dict[str, Any]]:
    """The events of a server-sent stream, given as an iterable of byte lines. Lazy."""
    data: list[str] = []
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line.startswith("data:"):
            data.append(line[5:].lstrip())
        elif not line and data:
            event = json.loads("\n".join(data))
            data = []
            if isinstance(event, dict):
                yield event


def _check_error(event: dict[str, Any]) -> None:
    """Raise ModelError for an error inside a stream that began well."""
    if event.get("type") == "error":
        problem = event.get("error") or {}
        reason = "overloaded" if problem.get("type") == "overloaded_error" else "other"
        raise ModelError(f"API Error: {problem.get('message')}", reason, again=True)


def _model_error(status: int, raw: bytes, headers: dict[str, str]) -> ModelError:
    try:
        message = str(json.loads(raw)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = raw[:200].decode("utf-8", "replace")
    low = {k.lower(): v for k, v in headers.items()}
    reset = low.get("anthropic-ratelimit-unified-reset")
    if low.get("anthropic-ratelimit-unified-status") == "rejected":
        at = times.local(int(reset or 0), "%H:%M")
        error = ModelError(f"You've hit your limit · resets {at}", "usage_limit")
        error.retry_at = int(reset or 0) or None
        return error
    reasons = {401: "auth", 402: "credit", 403: "auth", 429: "rate_limit", 503: "overloaded", 529: "overloaded"}
    reason = reasons.get(status, "other")
    if "credit balance" in message:
        reason = "credit"
    elif "prompt is too long" in message:
        reason = "context"
    again = (status in (408, 409, 429) or status >= 500) and low.get("x-should-retry") != "false"
    after = low.get("retry-after")
    return ModelError(f"API Error: {status} {message}", reason, again, float(after) if after else None)


@dataclass
class Scripted:
    """Answers from a script of the same format, within the agent: no server, no network."""

    player: Player
    cwd: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def events(self, messages: list[dict[str, Any]], agent: str, cancel: Cancel) -> Iterator[dict[str, Any]]:
        number = next(self._numbers)
        first = str(messages[0]["content"])
        named = None if agent == "main" else self.player.agent_named(first) or ""
        step, _ = self.player.take(named, agent)
        drawn = Drawn(step.pace.over(self.player.script.pace), f"{self.player.script.seed}:{number}")
        cancel.wait(drawn.first_byte)
        problem: HttpError | None = None
        if step.failure is not None:
            problem = anthropic.error(step.failure, f"req_{number:06d}")
        elif step.usage_limit is not None:
            now, at = int(time.time()), step.usage_limit
            problem = anthropic.usage_limit(int(at if at > 1e9 else now + at), now, f"req_{number:06d}")
        if problem is not None:
            raise _model_error(problem.status, json.dumps(problem.body).encode(), dict(problem.headers))
        tools: dict[str, dict[str, Any]] = {name: {"input_schema": {}} for name in TOOLS}
        call = Call("main", MODEL, True, tools, cwd=self.cwd)
        made = anthropic_tools.make(step.tools, call)
        message_id = f"msg_{number:06d}demo{os.getpid():06x}"
        for part in anthropic.stream(step, made, message_id, MODEL, usage_of(number, step), drawn):
            if isinstance(part, Event):
                cancel.check()
                _check_error(part.data)
                yield part.data
            elif isinstance(part, Pause):
                cancel.wait(part.seconds)
            else:
                raise ModelError(LOST, "network")

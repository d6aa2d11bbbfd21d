"""The scripted model endpoint: HTTP on 127.0.0.1, in threads. Every wait can be woken.

A thread that waits (a slow word, a silence, a hang) polls its client's socket and a pipe that
`stop` closes. So the thread learns at once that the client has gone or that the server ends.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import select
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from types import ModuleType
from typing import Any, ClassVar, Self

from harnex.rehearsal.endpoint import anthropic, openai
from harnex.rehearsal.endpoint.answer import Answer
from harnex.rehearsal.endpoint.billing import BillingLog, key_fields, prompt_fields
from harnex.rehearsal.endpoint.listener import Gone, Listener
from harnex.rehearsal.endpoint.pace import UNSAID, Drawn, Pace
from harnex.rehearsal.endpoint.script import Player, Script, Step
from harnex.rehearsal.endpoint.side import side_answer
from harnex.rehearsal.endpoint.wire import Call, Cut, Event, Pause

MAX_BODY = 64 << 20
IDLE_S = 300.0  # seconds after which a connection without traffic is closed


class Rehearsal:
    """The endpoint.

    `start` listens and serves in threads, `stop` ends all of them; `base_url` is for the CLI.

    `pace`: how answers come where the script does not set it. `seed`: the seed of everything
    random.
    """

    def __init__(
        self, script: Script, log: BillingLog, port: int = 0, pace: Pace = UNSAID, seed: int | None = None
    ) -> None:
        self.player = Player(script)
        self.pace = script.pace.over(pace)
        known = script.seed if script.seed is not None else seed
        self.seed = known if known is not None else random.SystemRandom().randrange(10**6)
        self.log = log
        self.numbers = itertools.count(1)
        # The last final refusal: (who asked, the step, its index).
        self.refused: tuple[Any, Step, int | None] | None = None
        # `ended` becomes readable when `stop` closes the other end
        self.ended, self._end = os.pipe()
        self._http = Listener(("127.0.0.1", port), _handler(self))
        self.port = int(self._http.server_address[1])
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True)

    def start(self) -> None:
        self.log.row("endpoint", seed=self.seed)
        self._thread.start()

    def stop(self, wait_s: float = 2.0) -> None:
        """Wake every waiting thread and stop listening.

        Waits up to `wait_s` seconds until the running answers are logged.
        """
        if self._end < 0:
            return
        os.close(self._end)
        self._end = -1
        self._http.shutdown()
        self._http.server_close()
        deadline = time.monotonic() + wait_s
        while self._http.busy and time.monotonic() < deadline:
            self._http.quiet.wait(0.05)
        self.log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _handler(rehearsal: Rehearsal) -> type[_Handler]:
    return type("Handler", (_Handler,), {"rehearsal": rehearsal})


class _Handler(BaseHTTPRequestHandler):
    rehearsal: ClassVar[Rehearsal]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "harnex-rehearsal", ""
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: requests are logged as records, not on stderr."""

    # ---- requests ----

    def do_HEAD(self) -> None:
        self._send(200, {}, body=b"")

    def do_GET(self) -> None:
        path = self._path()
        if path.endswith("/models"):
            self._json(200, {"object": "list", "data": [], "models": [], "has_more": False})
        else:
            self._json(200, {})

    def do_POST(self) -> None:
        path = self._path()
        raw = self._body()
        if raw is None:
            return
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            problem = {"type": "invalid_request_error", "message": "not a JSON object"}
            self._json(400, {"type": "error", "error": problem})
        elif path.endswith("/messages/count_tokens"):
            self._json(200, {"input_tokens": max(1, len(raw) // 4)})
        elif path.endswith("/v1/messages"):
            self._model_call("messages", anthropic, body, raw)
        elif path.endswith("/responses/compact"):
            self._json(200, {"id": "resp_compact", "object": "response.compaction", "output": body.get("input") or []})
        elif path.endswith("/responses"):
            self._model_call("responses", openai, body, raw)
        else:
            self._json(200, {})  # telemetry and the like

    do_PUT = do_PATCH = do_DELETE = do_POST

    def _path(self) -> str:
        return self.path.partition("?")[0].rstrip("/")

    def _body(self) -> bytes | None:
        """The request's body; None if it was refused, and an error was sent."""
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return self._chunks()
        try:
            length = int(self.headers.get("content-length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True
            self._json(413, {"type": "error", "error": {"type": "request_too_large", "message": "too large"}})
            return None
        return self.rfile.read(length)

    def _chunks(self) -> bytes | None:
        parts, total = [], 0
        while True:
            try:
                size = int(self.rfile.readline(64).partition(b";")[0], 16)
            except ValueError:
                size = MAX_BODY + 1
            total += size
            if total > MAX_BODY or size < 0:
                self.close_connection = True
                self._json(413, {"type": "error", "error": {"type": "request_too_large", "message": "too large"}})
                return None
            parts.append(self.rfile.read(size))
            self.rfile.readline(8)
            if not size:
                return b"".join(parts)

    # ---- model calls ----

    def _model_call(self, api: str, wire: ModuleType, body: dict[str, Any], raw: bytes) -> None:
        rehearsal = self.rehearsal
        headers = {k.lower(): v for k, v in self.headers.items()}
        call: Call = wire.read(body, headers)
        number = next(rehearsal.numbers)
        agent = rehearsal.player.agent_named(call.first) if call.kind == "agent" else None
        kind = call.kind if call.kind != "agent" else f"agent:{agent if agent is not None else '?'}"
        common = {"api": api, "call": number, "kind": kind, "model": call.model, "stream": call.stream}
        if call.why:
            common["why"] = call.why
        rehearsal.log.body(number, raw)
        keys = key_fields(headers)
        rehearsal.log.row("request", **common, instance=call.instance, **keys, **prompt_fields(call))
        step, index = self._step(call, agent)
        drawn = Drawn(step.pace.over(rehearsal.pace), f"{rehearsal.seed}:{number}")
        answer = Answer(wire, call, step, number, drawn)
        self._common = {**common, "step": index}
        self._billed: Answer | None = None
        self.server.working(1)  # type: ignore[attr-defined]
        try:
            self._give(answer)
        except (ConnectionError, TimeoutError, Gone):
            self.close_connection = True
        finally:
            self._bill(answer)
            self.server.working(-1)  # type: ignore[attr-defined]

    def _bill(self, answer: Answer) -> None:
        """Write the call's record, once.

        The record is written before the client can see that its answer is whole. So whoever then
        reads the log finds the call, and the records are in the order in which the calls ended.
        """
        if self._billed is not answer:
            self._billed = answer
            self.rehearsal.log.row("call", **self._common, **answer.row())

    def _step(self, call: Call, agent: str | None) -> tuple[Step, int | None]:
        player = self.rehearsal.player
        if call.kind == "side":
            return side_answer(call, player.script.monitor), None
        if call.kind == "agent" and agent is None:
            return Step(text="The scripted sub-agent is done."), None
        # Claude Code 1.x and 2.0 react to every refusal of a stream, also a final one, with the
        # same request unstreamed (measured). That request gets the same refusal, so that a script
        # means the same to all versions.
        asked = (call.kind, call.instance, hash(call.said))
        refused, self.rehearsal.refused = self.rehearsal.refused, None
        if refused is not None and refused[0] == asked and not call.stream:
            return refused[1], refused[2]
        step, index = player.take(agent, call.instance if agent is not None else "")
        if call.stream and step.final:
            self.rehearsal.refused = (asked, step, index)
        return step, index

    def _give(self, answer: Answer) -> None:
        self._wait(answer.drawn.first_byte)
        if answer.problem is not None:
            self._bill(answer)
            self._json(answer.problem.status, answer.problem.body, answer.problem.headers)
            return
        answer.status = 200
        headers = {"request-id": answer.request_id, "x-request-id": answer.request_id}
        if not answer.call.stream:
            self._whole(answer, headers)
            return
        self._send(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked", **headers})
        parts = answer.parts()
        part: Event | Pause | Cut | None = next(parts, None)
        while part is not None:
            following = next(parts, None)
            if isinstance(part, Event):
                data = part.encode()
                self._check()
                if following is None:
                    answer.sent(part)
                    answer.finished = not answer.failed
                    self._bill(answer)
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                if following is not None:
                    answer.sent(part)
            elif isinstance(part, Pause):
                self._wait(part.seconds)
            else:
                self._cut()
            part = following
        self.wfile.write(b"0\r\n\r\n")

    def _whole(self, answer: Answer, headers: Mapping[str, str]) -> None:
        parts = list(answer.parts())
        for part in parts:
            if isinstance(part, Pause):
                self._wait(part.seconds)
            elif isinstance(part, Cut):
                self._cut()
            else:
                answer.sent(part)
        answer.finished = True
        self._bill(answer)
        self._json(200, answer.whole(), headers)

    def _cut(self) -> None:
        """Break the connection in the middle of the answer. Raises Gone."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        raise Gone

    def _check(self) -> None:
        """Raise Gone if the client has closed its end (possibly long before a write fails)."""
        self._wait(0.0)

    def _wait(self, seconds: float) -> None:
        """Wait for `seconds`. Raises Gone as soon as the client goes away or the server ends."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.rehearsal.ended, select.POLLIN)
        poll.register(self.connection, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            ready = dict(poll.poll(max(0.0, left) * 1000))
            if self.rehearsal.ended in ready:
                raise Gone
            if ready:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    raise Gone
                poll.unregister(self.connection)  # the client is sending its next request already
            if left <= 0:
                return

    # ---- answers ----

    def _json(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self._send(status, {"content-type": "application/json", **(headers or {})}, data)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

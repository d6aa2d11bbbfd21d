"""Codex's own files, read for their calls: rollouts, and captured `codex exec --json` output, told apart by their rows.

The calls of a rollout are put together by `_codex_calls.Calls`, as in a live session.

A fork up to 0.145 begins with its parent's rows, restamped: they are the parent's calls. They end with the first turn
whose id (a UUIDv7, which carries the time of its making) is younger than the thread; where turns have no ids (before
0.101) with the first row that is a second younger than the head.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harnex.adapters._codex_calls import TOOL_CALLS, TOOL_OUTPUTS, Calls, writes_late
from harnex.adapters._codex_rollout import made_at
from harnex.adapters._log import PLAIN, Log, Logged, seconds
from harnex.model import ModelCall

COPY_S = 1.0
# The kind of a row, or of what is in it where that is told first: `event_msg` and `response_item`.
HEAD = re.compile(rb"\{" + PLAIN + rb'"type":"([a-z_]+)"(?:,"payload":\{"type":"([a-z_]+)")?')
WANTED = frozenset(
    (b"session_meta", b"turn_context", b"event_msg", b"token_usage_record", b"token_count", b"task_started")
)
SPOKEN = ("agent_message", "user_message", "item_completed")
ITEMS = ("message", "reasoning", *TOOL_CALLS, *TOOL_OUTPUTS)  # read for their stamps


class CodexLog(Log):
    head: re.Pattern[bytes] | None = HEAD
    wanted = WANTED

    def __init__(self, full: bool) -> None:
        self._full = full
        if full:
            self.wanted |= {name.encode() for name in (*SPOKEN, *ITEMS)}
        self.session = ""
        self.turns: list[str] = []
        self.difference: str | None = None
        self._calls = Calls()
        self._agent = "main"
        self._cwd = ""
        self._at = ""
        self._made: float | None = None
        self._copied = False
        self._named = False  # turns have ids
        self._exec: _Exec | None = None

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        payload = row.get("payload")
        if not isinstance(payload, dict):
            if self._exec is None and not self.session and isinstance(row.get("type"), str):
                self._exec, self.head = _Exec(), None
            if self._exec is not None:
                yield from self._exec.row(row)
            return
        self._at = str(row.get("timestamp") or self._at)
        kind, name = row.get("type"), payload.get("type")
        if self._full:
            self._calls.timed(kind, name, payload, self._at)
        if kind == "session_meta":
            self._meta(payload)
        elif kind == "turn_context":
            self._calls.model = payload.get("model") or self._calls.model
            self._cwd = str(payload.get("cwd") or self._cwd)
            self._turn_named(payload.get("turn_id"))
        elif kind == "event_msg" and name == "task_started":
            self._turn_named(payload.get("turn_id"))
        if self._copied and not self._named:
            now = seconds(self._at)
            self._copied = now is None or self._made is None or now - self._made < COPY_S
        if kind == "token_usage_record":
            yield from self._tell(
                self._calls.record(payload, self._copied, self._agent, self._at if self._full else "")
            )
        elif kind == "event_msg" and name == "token_count":
            yield from self._tell(
                self._calls.tokens(payload, self._copied, self._agent, self._at if self._full else "")
            )
        elif kind == "event_msg" and name in SPOKEN:
            self._message(str(name), payload)

    def _meta(self, p: dict[str, Any]) -> None:
        thread = str(p.get("id") or p.get("session_id") or "")
        if self.session:
            self._copied = self._copied or thread != self.session
            return
        self.session = self._calls.thread = thread
        self._calls.late_items = writes_late(p.get("cli_version"))
        self._cwd = str(p.get("cwd") or "")
        self._made = made_at(thread) or seconds(p.get("timestamp") or self._at)
        self._copied = bool(p.get("forked_from_id"))
        origin = p.get("source")
        if isinstance(origin, dict) and "subagent" in origin:
            self._agent = str(p.get("agent_nickname") or p.get("agent_role") or p.get("agent_path") or thread)
            spawn = origin["subagent"].get("thread_spawn") if isinstance(origin["subagent"], dict) else None
            if isinstance(spawn, dict) and spawn.get("parent_thread_id"):
                self.session = str(spawn["parent_thread_id"])  # the session is the parent's

    def _turn_named(self, turn_id: object) -> None:
        made = made_at(str(turn_id))
        if made is None:
            return
        self._named = True
        if self._copied and self._made is not None:
            self._copied = made < self._made

    def _message(self, name: str, p: dict[str, Any]) -> None:
        text, mine = "", False
        if name == "item_completed":
            item = p.get("item")
            if isinstance(item, dict) and item.get("type") in ("AgentMessage", "UserMessage"):
                mine = item["type"] == "UserMessage"
                parts = item.get("content")
                text = "".join(str(c.get("text") or "") for c in parts or () if isinstance(c, dict))
        else:
            mine, text = name == "user_message", str(p.get("message") or "")
        if mine and not self._copied and self._agent == "main":
            self.turns.append(self._at)
        if text:
            self._calls.said = "" if mine else text

    def _tell(self, calls: Iterator[ModelCall]) -> Iterator[Logged]:
        for call in calls:
            turn = (len(self.turns) or None) if self._full and self._agent == "main" else None
            yield Logged(call, self._at, self.session, self._cwd, turn)

    def end(self) -> Iterator[Logged]:
        if self._exec is not None:
            self.difference = self._exec.difference()
            return
        self.difference = self._calls.difference()
        yield from ()


class _Exec:
    """`codex exec --json`: totals of turns only, so that each turn is one call.

    `turn.completed.usage` is of the process up to 0.77, and over the whole thread from 0.80 on: a thread that goes on
    in the same file adds up, and one that falls has begun anew (measured, field notes on headless runs).
    """

    def __init__(self) -> None:
        self._calls = Calls()
        self._turn = 0
        self._open = 0  # turns that began and did not tell what they used: they failed, or were cut off

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        kind = row.get("type")
        if kind == "thread.started":
            thread = str(row.get("thread_id") or "")
            if thread != self._calls.thread:
                self._calls = Calls()
            self._calls.thread = thread
        elif kind == "turn.started":
            self._turn += 1
            self._open += 1
        elif kind == "turn.completed" and isinstance(row.get("usage"), dict):
            self._open -= 1
            usage = dict(row["usage"])
            if all(isinstance(usage.get(k), int) for k in ("input_tokens", "output_tokens")):
                usage.setdefault("total_tokens", usage["input_tokens"] + usage["output_tokens"])
            if not any(v for v in usage.values() if isinstance(v, int)):
                return  # no usage in the answers: zeros
            for call in self._calls.tokens({"info": {"total_token_usage": usage}}, False, "main"):
                yield Logged(call, "", self._calls.thread, "", self._turn or None)

    def difference(self) -> str | None:
        if self._open <= 0:
            return None
        return f"{self._open} of {self._turn} turns did not end well: this stream does not tell what they used, their rollout does"

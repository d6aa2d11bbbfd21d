"""Claude Code's own files, read for their calls: transcripts (and sub-agents' beside them), and captured output of
`claude -p` (`claude/capture.py`), which is told apart by its rows.

The calls are put together by `claude/calls.py.Calls`, as in a live session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from harnex.agents.claude.calls import AGENT_TOOLS, Calls, agent_name, asks, blocks, uncounted
from harnex.agents.claude.capture import Capture
from harnex.agents.common.logfile import ESCAPED_LETTER, PLAIN, Log, Logged
from harnex.model.facts import ModelCall

HEAD = re.compile(rb"\{" + PLAIN + rb'"type":"([a-z_-]+)"')
INTERRUPT = "[Request interrupted by user"
ENDS = (b"stop_hook_summary", b"turn_duration")  # subtypes of the rows that end a turn


class ClaudeLog(Log):
    """One file. `types` (sub-agent's id -> its type) is shared by the files of a project: a parent names its own."""

    head: re.Pattern[bytes] | None = HEAD
    wanted = frozenset((b"assistant", b"user", b"api-request", b"system"))
    doubtful = frozenset((b"user", b"api-request", b"system"))

    def __init__(self, types: dict[str, str], full: bool) -> None:
        self._full = full
        self.session = ""
        self.turns: list[str] = []  # stamps of the prompts of the main conversation
        self._types = types
        self._calls = Calls()
        self._when: dict[str, tuple[str, str]] = {}  # of open calls: stamp, directory
        self._kinds: dict[str, str] = {}  # calls of sub-agents: tool call -> type
        self._capture: Capture | None = None
        self._last = ("", "")

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        captured = "session_id" in row or row.get("type") == "result"
        if self._capture is None and not self.session and captured and "sessionId" not in row:
            self._capture = Capture()
            self.head = None
        if self._capture is not None:
            yield from self._capture.row(row)
            return
        kind = row.get("type")
        if row.get("sessionId"):
            self.session = str(row["sessionId"])
        if kind == "assistant":
            yield from self._assistant(row)
        elif kind == "user":
            yield from self._user(row)
        elif kind == "api-request":
            self._calls.requested(agent_name(row, self._types), str(row.get("id")), str(row.get("timestamp") or ""))
        elif kind == "system" and str(row.get("subtype")).encode() in ENDS:
            yield from self._tell(self._calls.finished(("main",)))

    def _assistant(self, row: dict[str, Any]) -> Iterator[Logged]:
        message = row.get("message")
        if not isinstance(message, dict):
            return
        agent = agent_name(row, self._types)
        if row.get("isApiErrorMessage"):
            yield from self._tell(self._calls.over(True, agent))
            self._calls.refused(agent)
            return
        if message.get("model") == "<synthetic>":
            return
        call_id = self._calls.key(row, agent)
        if call_id is None:
            return
        self._when[call_id] = self._last = (str(row.get("timestamp") or ""), str(row.get("cwd") or ""))
        if isinstance(message.get("content"), list):
            for block in message["content"]:
                if isinstance(block, dict) and block.get("type") == "tool_use" and block.get("name") in AGENT_TOOLS:
                    given = block.get("input")
                    self._kinds[str(block.get("id"))] = str((given or {}).get("subagent_type") or "")
        yield from self._tell(self._calls.row(call_id, row, agent, timed=self._full))

    def _user(self, row: dict[str, Any]) -> Iterator[Logged]:
        message = row.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        found = blocks(content)
        agent = agent_name(row, self._types)
        told = row.get("toolUseResult")
        if isinstance(told, dict) and isinstance(told.get("agentId"), str):
            for block in found:
                if kind := self._kinds.get(str(block.get("tool_use_id"))):
                    self._types[told["agentId"]] = kind
        results = any(b.get("type") == "tool_result" for b in found)
        text = "\n".join(str(b.get("text") or "") for b in found if b.get("type") == "text")
        if text.startswith(INTERRUPT):
            yield from self._tell(self._calls.over(True, agent))
            self._calls.refused(agent)
            return
        if results or asks(row, text):
            self._calls.given(agent, row.get("timestamp"))
        if not results and asks(row, text):
            for _ in self._calls.prompted(agent, str(row.get("timestamp") or "")):
                pass  # that an answer was interrupted is no call
        if not results and agent == "main" and asks(row, text) and not row.get("isCompactSummary"):
            self.turns.append(str(row.get("timestamp") or ""))

    def end(self) -> Iterator[Logged]:
        if self._capture is not None:
            yield from self._capture.end()
            self.difference = "; ".join(self._capture.words) or None
            return
        yield from self._tell(self._calls.over(True))
        if self._calls.nameless:
            self.difference = uncounted(self._calls.nameless)

    def needs(self, line: bytes) -> bool:
        """Results of tools are most bytes of a transcript, and say nothing of calls, unless one is open that has no stop
        reason: an interruption decides what is known of it. For turns and durations all is read."""
        if self._full:
            return True
        if not self._calls.unstopped():
            return False
        return b"interrupted" in line or any(e in line for e in ENDS) or ESCAPED_LETTER.search(line) is not None

    def _tell(self, calls: Iterable[ModelCall]) -> Iterator[Logged]:
        for call in calls:
            at, cwd = self._when.pop(call.call_id, self._last)
            turn = (len(self.turns) or None) if self._full and call.agent == "main" else None
            yield Logged(call, at, self.session, cwd, turn)

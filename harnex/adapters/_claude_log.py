"""Claude Code's own files, read for their calls: transcripts (and sub-agents' beside them), and captured
`claude -p --output-format stream-json` output, which is told apart by its rows.

The calls are put together by `_claude_calls.Calls`, as in a live session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from harnex.adapters._claude_calls import AGENT_TOOLS, Calls, agent_name, asks, blocks, tokens
from harnex.adapters._claude_totals import by_model
from harnex.adapters._log import ESCAPED_LETTER, PLAIN, Log, Logged
from harnex.model import ModelCall

HEAD = re.compile(rb"\{" + PLAIN + rb'"type":"([a-z_-]+)"')
INTERRUPT = "[Request interrupted by user"
EARLY_ROWS_SINCE = (2, 1)


class ClaudeLog(Log):
    """One file. `types` (sub-agent's id -> its type) is shared by the files of a project: a parent names its own."""

    head: re.Pattern[bytes] | None = HEAD
    wanted = frozenset((b"assistant", b"user", b"api-request"))
    doubtful = frozenset((b"user", b"api-request"))

    def __init__(self, types: dict[str, str], full: bool) -> None:
        self._full = full
        self.session = ""
        self.turns: list[str] = []  # stamps of the prompts of the main conversation
        self._types = types
        self._calls = Calls()
        self._version: str | None = None
        self._when: dict[str, tuple[str, str]] = {}  # of open calls: stamp, directory
        self._kinds: dict[str, str] = {}  # calls of sub-agents: tool call -> type
        self._stream: _Stream | None = None
        self._last = ("", "")

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        if self._stream is None and not self.session and "session_id" in row and "sessionId" not in row:
            self._stream = _Stream()
            self.head = None
        if self._stream is not None:
            yield from self._stream.row(row)
            return
        kind = row.get("type")
        if row.get("sessionId"):
            self.session = str(row["sessionId"])
        if kind == "assistant":
            yield from self._assistant(row)
        elif kind == "user":
            yield from self._user(row)
        elif kind == "api-request":
            self._calls.requested(agent_name(row, self._types), str(row.get("id")))

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
        version = row.get("version")
        if version != self._version:
            self._version = version
            numbers = tuple(int(n) for n in re.findall(r"\d+", str(version or ""))[:3])
            self._calls.early_rows = not numbers or numbers >= EARLY_ROWS_SINCE
        call_id = message.get("id")
        if isinstance(call_id, str):
            self._when[call_id] = self._last = (str(row.get("timestamp") or ""), str(row.get("cwd") or ""))
        if isinstance(message.get("content"), list):
            for block in message["content"]:
                if isinstance(block, dict) and block.get("type") == "tool_use" and block.get("name") in AGENT_TOOLS:
                    given = block.get("input")
                    self._kinds[str(block.get("id"))] = str((given or {}).get("subagent_type") or "")
        at = str(row.get("timestamp") or "") if self._full else ""
        yield from self._tell(self._calls.row(message, agent, str(row.get("requestRef") or ""), at))

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
        if not results and agent == "main" and asks(row, text) and not row.get("isCompactSummary"):
            self.turns.append(str(row.get("timestamp") or ""))

    def end(self) -> Iterator[Logged]:
        if self._stream is not None:
            yield from self._stream.end()
            self.difference = self._stream.difference()
            return
        yield from self._tell(self._calls.over(True))

    def needs(self, line: bytes) -> bool:
        """Results of tools are most bytes of a transcript, and say nothing of calls, unless one is open that has no stop
        reason: an interruption decides what is known of it. For turns and durations all is read."""
        if self._full:
            return True
        if not self._calls.unstopped():
            return False
        return b"interrupted" in line or ESCAPED_LETTER.search(line) is not None

    def _tell(self, calls: Iterable[ModelCall]) -> Iterator[Logged]:
        for call in calls:
            at, cwd = self._when.pop(call.call_id, self._last)
            turn = (len(self.turns) or None) if self._full and call.agent == "main" else None
            yield Logged(call, at, self.session, cwd, turn)


class _Stream:
    """`stream-json`: an `assistant` row per content block, from 2.1 on with the `output_tokens` that the start of the
    message said; the final ones are in `message_delta` (`--include-partial-messages`). Without those, a turn's
    `result` tells what its main conversation used: it goes to the last call of that, marked `cumulative`.
    """

    def __init__(self) -> None:
        self._session, self._cwd, self._early = "", "", True
        self._messages: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}  # id -> agent, message, usage
        self._text: dict[str, str] = {}
        self._final: set[str] = set()
        self._now: dict[str, str] = {}
        self._pieces: set[str] = set()  # messages of which the pieces are told: their end is, too
        self._told: set[str] = set()
        self._turn = 1
        self._sum = [0, 0]  # input, output of the calls that were told
        self._own: list[int] | None = None  # the same by `modelUsage`, which runs on

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        kind = row.get("type")
        self._session = str(row.get("session_id") or self._session)
        agent = str(row.get("parent_tool_use_id") or "main")
        if kind == "system" and row.get("subtype") == "init":
            self._cwd = str(row.get("cwd") or "")
            numbers = tuple(int(n) for n in re.findall(r"\d+", str(row.get("claude_code_version") or ""))[:3])
            self._early = not numbers or numbers >= EARLY_ROWS_SINCE
        elif kind == "assistant" and isinstance(row.get("message"), dict):
            self._message(agent, row["message"])
        elif kind == "stream_event" and isinstance(row.get("event"), dict):
            self._event(agent, row["event"])
        elif kind == "result":
            yield from self._over(row.get("usage"))
            self._turn += 1
            if isinstance(row.get("modelUsage"), dict) and self._early:
                models = by_model(row["modelUsage"]).values()
                self._own = [
                    sum(m[name] for m in models) for name in ("input_tokens", "output_tokens")
                ]  # 1.0 and 2.0 count calls in it that no row tells: titles

    def _message(self, agent: str, message: dict[str, Any]) -> None:
        call_id, usage = message.get("id"), message.get("usage")
        if not isinstance(call_id, str) or not isinstance(usage, dict) or message.get("model") == "<synthetic>":
            return
        for block in blocks(message.get("content")):
            if block.get("type") == "text":
                self._text[call_id] = f"{self._text.get(call_id, '')}\n{block.get('text') or ''}".strip()
        if call_id not in self._final:
            self._messages[call_id] = (agent, message, usage)
            if message.get("stop_reason") or not (self._early or call_id in self._pieces):
                self._final.add(call_id)

    def _event(self, agent: str, event: dict[str, Any]) -> None:
        message = event.get("message")
        if event.get("type") == "message_start" and isinstance(message, dict):
            self._now[agent] = str(message.get("id"))
            self._pieces.add(str(message.get("id")))
            self._message(agent, message)
        elif event.get("type") == "message_delta" and isinstance(event.get("usage"), dict):
            known = self._messages.get(self._now.get(agent, ""))
            if known is not None:
                delta = event.get("delta") if isinstance(event.get("delta"), dict) else {}
                message = {**known[1], "stop_reason": (delta or {}).get("stop_reason")}
                self._messages[self._now[agent]] = (agent, message, {**known[2], **event["usage"]})
                self._final.add(self._now[agent])

    def _over(self, total: Any) -> Iterator[Logged]:
        """A turn is over: its calls. `total` is what its main conversation used, if that is told."""
        mine = [(i, v) for i, v in self._messages.items() if i not in self._told]
        vague = [i for i, (agent, _, _) in mine if agent == "main" and i not in self._final]
        output = total.get("output_tokens") if isinstance(total, dict) else None
        if vague and isinstance(output, int):
            for call_id, (agent, _, usage) in mine:
                if agent == "main" and call_id in self._final:
                    output -= usage.get("output_tokens") or 0
        for call_id, (agent, message, usage) in mine:
            self._told.add(call_id)
            final, source = call_id in self._final, "stream"
            if (
                vague
                and call_id == vague[-1]
                and call_id not in self._pieces
                and isinstance(output, int)
                and output >= 0
            ):
                usage, final, source = {**usage, "output_tokens": output}, True, "cumulative"
            stop = message.get("stop_reason")
            numbers = tokens(usage, final)
            self._sum[0] += numbers["input_tokens"] or 0
            self._sum[1] += numbers["output_tokens"] or 0
            text = self._text.get(call_id, "")[:200]
            yield Logged(
                ModelCall(
                    call_id,
                    model=message.get("model"),
                    agent=agent,
                    stop_reason=stop if isinstance(stop, str) else None,
                    source=source,
                    partial=not final and (total is None or call_id in self._pieces),
                    text_preview=text,
                    raw=usage,
                    **numbers,
                ),
                "",
                self._session,
                self._cwd,
                self._turn,
            )

    def end(self) -> Iterator[Logged]:
        """No `result`: the program was cut off."""
        yield from self._over(None)

    def difference(self) -> str | None:
        """What the program counted itself, where that is not the sum: of sub-agents the stream tells too little (up to
        2.1.197 not their last answer)."""
        if self._own is None and any(agent != "main" for agent, _, _ in self._messages.values()):
            return "of sub-agents this stream does not tell every call: their transcripts do"
        if self._own is None or self._own == self._sum:
            return None
        words = (
            f"{name} {own:,} (the calls: {told:,})"
            for name, own, told in zip(("input_tokens", "output_tokens"), self._own, self._sum, strict=True)
            if own != told
        )
        return f"the calls are not the program's own total, its transcript knows them all: {', '.join(words)}"

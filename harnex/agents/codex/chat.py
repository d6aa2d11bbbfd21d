"""Codex's rollout as a chat. It holds the instructions, messages, tool calls and their outputs; of the reasoning only
the summaries (the rest is encrypted), and not the definitions of the tools.
"""

from __future__ import annotations

import json
from typing import Any

from harnex.agents.codex.calls import TOOL_CALLS, TOOL_OUTPUTS
from harnex.agents.codex.log import CodexLog
from harnex.agents.codex.turns import writes_late
from harnex.agents.common.chat import Answer, Chains, tool_call


class CodexBodies:
    """The conversation of one thread. Calls are numbered as `CodexLog` does it; an answer is the items between two
    requests. Up to 0.58 they are written after the call was counted, each tool call with its output behind it."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self._log = CodexLog(full=False)
        self._chains = Chains()
        self._open: Answer | None = None  # items of an answer come
        self._uncounted: list[Answer] = []
        self._late = False  # items come after the count
        self._awaited = ""  # then: the call that was counted, and whose items come
        self._encrypted = False
        self._instructed = False

    def row(self, row: dict[str, Any]) -> None:
        payload, kind = row.get("payload"), row.get("type")
        if not isinstance(payload, dict):
            return
        if kind == "session_meta":
            self._late = writes_late(payload.get("cli_version"))
        if kind == "session_meta" and not self._chains.messages:
            base = payload.get("base_instructions") or payload.get("instructions")
            text = base.get("text") if isinstance(base, dict) else base
            if isinstance(text, str) and text:
                self._instructed = True
                self._chains.say("system", text)
        elif kind == "response_item":
            self._item(str(payload.get("type")), payload)
        elif kind == "compacted":
            self._compacted(payload)
        for logged in self._log.row(row):
            # The answer that was recorded last and not counted is this call's: 0.145 counts it after the tools.
            answer = self._uncounted.pop() if self._uncounted else None
            self._uncounted.clear()
            if answer is not None:
                self.answers[logged.call.call_id] = answer
            self._open = None
            self._awaited = logged.call.call_id if self._late else ""

    def _item(self, name: str, p: dict[str, Any]) -> None:
        if name == "message" and p.get("role") != "assistant":
            self._open = None
            self._chains.say(str(p.get("role") or "user"), _text(p.get("content")))
        elif name in TOOL_OUTPUTS:
            if not self._late:
                self._open = None
            self._chains.say("tool", _text(p.get("output")), tool_call_id=str(p.get("call_id") or p.get("id")))
        elif name == "message":
            answer = self._answer()
            answer.message["content"] = f"{answer.message['content']}\n{_text(p.get('content'))}".lstrip("\n")
        elif name == "reasoning":
            answer = self._answer()
            told = [_text(p.get("summary")), _text(p.get("content"))]
            answer.reasoning = "\n".join(t for t in (answer.reasoning, *told) if t)
            self._encrypted = self._encrypted or bool(p.get("encrypted_content"))
            answer.missing = self._missing()
        elif name in TOOL_CALLS:
            given = p.get("arguments") or p.get("input") or p.get("action") or ""
            arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            call = tool_call(str(p.get("call_id") or p.get("id")), str(p.get("name") or name), arguments)
            self._answer().message.setdefault("tool_calls", []).append(call)

    def _answer(self) -> Answer:
        if self._open is None:
            at = len(self._chains.messages)
            said = self._chains.say("assistant", "")
            self._open = Answer(self._chains.chain, at, self._chains.messages, said, missing=self._missing())
            if self._awaited:
                self.answers[self._awaited], self._awaited = self._open, ""
            elif not self._late:
                self._uncounted.append(self._open)
        return self._open

    def _missing(self) -> tuple[str, ...]:
        missing = ["definitions of the tools", "stop reason", "attempts"]
        if self._encrypted:
            missing.append("reasoning (encrypted: only its summary)")
        if not self._instructed:
            missing.insert(0, "system prompt")
        return tuple(missing)

    def _compacted(self, p: dict[str, Any]) -> None:
        self._open, self._awaited = None, ""
        system = [m for m in self._chains.messages[:1] if m["role"] == "system"]
        self._chains.begin(system)
        kept = p.get("replacement_history")
        if isinstance(kept, list):
            for item in kept:
                if isinstance(item, dict) and item.get("type") == "message":
                    self._chains.say(str(item.get("role") or "user"), _text(item.get("content")))
        elif p.get("message"):
            self._chains.say("user", str(p["message"]))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = content.get("content") if "content" in content else [content]
        return _text(content) if not isinstance(content, dict) else json.dumps(content, ensure_ascii=False)
    if not isinstance(content, list):
        return ""
    parts = []
    for part in content:
        if isinstance(part, dict):
            text = part.get("text")
            parts.append(text if isinstance(text, str) else f"[{part.get('type')}]")
    return "\n".join(parts)

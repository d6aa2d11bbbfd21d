"""Claude Code's transcript as a chat. What it holds: prompts, answers, reasoning, results of tools; from 2.1.3xx on
also what the program adds (`attachment` rows, as rendered) and the system prompt (`api-request-shape`).
"""

from __future__ import annotations

import json
from typing import Any

from harnex.agents.claude.calls import agent_name, blocks
from harnex.agents.common.chat import Answer, Chains, tool_call


class ClaudeBodies:
    """The conversation of one agent (`main`, or as `agent_name` names it) in one file."""

    def __init__(self, agent: str, types: dict[str, str]) -> None:
        self.answers: dict[str, Answer] = {}
        self._agent = agent
        self._types = types
        self._chains = Chains()
        self._lengths: dict[str, int] = {}  # after which row there were how many messages
        self._system = False
        self._rendered = False
        self._requests: list[str] = []

    def row(self, row: dict[str, Any]) -> None:
        kind = row.get("type")
        if kind == "api-request-shape":
            self._shape(row)
            return
        if agent_name(row, self._types) != self._agent:
            return
        message = row.get("message")
        if kind == "assistant" and isinstance(message, dict):
            if not row.get("isApiErrorMessage") and message.get("model") != "<synthetic>":
                self._assistant(row, message)
        elif kind == "user" and isinstance(message, dict):
            self._user(row, message)
        elif kind == "attachment" and isinstance(row.get("rendered"), list):
            self._rendered = True
            text = "\n".join(str(p.get("content") or "") for p in row["rendered"] if isinstance(p, dict))
            if text:
                self._chains.say(str(row.get("renderedRole") or "user"), text)
        elif kind == "system" and row.get("subtype") == "compact_boundary":
            self._chains.begin([])
        elif kind == "api-request":
            self._requests.append(str(row.get("id")))
        if isinstance(row.get("uuid"), str):
            self._lengths[row["uuid"]] = len(self._chains.messages)

    def _shape(self, row: dict[str, Any]) -> None:
        """The system prompt: once, in front of everything, and only as long as nothing was asked."""
        shape = row.get("shape")
        parts = shape.get("system") if isinstance(shape, dict) else None
        if self._system or self.answers or not isinstance(parts, list):
            return
        self._system = True
        text = "\n".join(str(p.get("text") or "") for p in parts if isinstance(p, dict))
        self._chains.messages.insert(0, {"role": "system", "content": text})
        self._lengths = {uuid: n + 1 for uuid, n in self._lengths.items()}

    def _assistant(self, row: dict[str, Any], message: dict[str, Any]) -> None:
        call_id = str(message.get("id"))
        answer = self.answers.get(call_id)
        if answer is None or answer.messages is not self._chains.messages:
            at = len(self._chains.messages)
            said = self._chains.say("assistant", "")
            answer = Answer(self._chains.chain, at, self._chains.messages, said, missing=self._missing())
            reference = str(row.get("requestRef") or "")
            if reference in self._requests:
                answer.attempts = self._requests.index(reference) + 1
            self._requests.clear()
            self.answers[call_id] = answer
        for block in blocks(message.get("content")):
            kind = block.get("type")
            if kind == "text" and block.get("text"):
                answer.message["content"] = f"{answer.message['content']}\n{block['text']}".lstrip("\n")
            elif kind == "thinking" and block.get("thinking"):
                answer.reasoning = f"{answer.reasoning}\n{block['thinking']}".lstrip("\n")
            elif kind == "tool_use":
                given = json.dumps(block.get("input"), ensure_ascii=False)
                call = tool_call(str(block.get("id")), str(block.get("name")), given)
                answer.message.setdefault("tool_calls", []).append(call)
        stop = message.get("stop_reason")
        answer.stop_reason = stop if isinstance(stop, str) else answer.stop_reason

    def _missing(self) -> tuple[str, ...]:
        missing = [] if self._system else ["system prompt"]
        if not self._rendered:
            missing.append("what the program added to the prompts")
        return (*missing, "definitions of the tools")

    def _user(self, row: dict[str, Any], message: dict[str, Any]) -> None:
        if row.get("isVisibleInTranscriptOnly") and not row.get("isCompactSummary"):
            return
        found = blocks(message.get("content"))
        results = [b for b in found if b.get("type") == "tool_result"]
        if row.get("isCompactSummary"):
            self._chains.begin([])
        elif not results:
            self._rewound(row)
        for block in results:
            self._chains.say("tool", text_of(block.get("content")), tool_call_id=str(block.get("tool_use_id")))
        texts = [_said(b) for b in found if b.get("type") != "tool_result"]
        if any(texts):
            self._chains.say("user", "\n".join(t for t in texts if t))

    def _rewound(self, row: dict[str, Any]) -> None:
        """A prompt that goes on from an earlier message, with other prompts since then: those are forgotten."""
        kept = self._lengths.get(str(row.get("parentUuid")))
        if kept is not None and any(m["role"] == "user" for m in self._chains.messages[kept:]):
            self._chains.begin(self._chains.messages[:kept])


def text_of(content: Any) -> str:
    """A result's content as text."""
    return "\n".join(_said(b) for b in blocks(content))


def _said(block: dict[str, Any]) -> str:
    if block.get("type") == "text":
        return str(block.get("text") or "")
    return f"[{block.get('type')}]"  # a picture, a document: the log holds it, a chat of texts does not

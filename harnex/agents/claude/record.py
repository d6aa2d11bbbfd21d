"""Claude Code's transcript, for another agent that runs Claude Code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harnex import times
from harnex.agents.claude import screen
from harnex.agents.claude.calls import UNTOLD
from harnex.agents.claude.reader import ClaudeReader
from harnex.agents.common.record import EARLY_S, Record, glob_escaped
from harnex.model.facts import (
    Background,
    Compacted,
    Fact,
    FindFile,
    ModelCall,
    Remark,
    SubAgent,
    Submitted,
    ToolUse,
    TurnEnded,
)

UNTOLD_REMARK = Remark(UNTOLD)


class ClaudeRecord(Record):
    """`~/.claude/projects/<cwd>/<session>.jsonl`, and those of sub-agents beside it."""

    readable = True

    def __init__(self, began: float) -> None:
        super().__init__(began)
        self._before: set[str] = set()  # messages that were whole before the run
        self._reader = ClaudeReader(None)
        self._path = ""  # of the session's directory of sub-agents
        self._followed: set[str] = set()
        self._text = ""

    @staticmethod
    def wrote(row: dict[str, Any]) -> bool:
        return "message" in row and "payload" not in row

    def find(self, home: str, env: dict[str, str], session: str) -> Iterable[Fact]:
        root = env.get("CLAUDE_CONFIG_DIR") or f"{home}/.claude"
        self._path = f"{glob_escaped(root)}/projects/*/{session}"
        yield FindFile("record", paths=(f"{self._path}.jsonl",))  # old rows are told by their times

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        self.rows += 1
        main = not row.get("isSidechain")
        message = row.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        found = [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []
        old = (times.seconds(row.get("timestamp")) or self._began) < self._began
        if old and row.get("type") == "api-request":
            return  # what became of it was told by who saw it
        ids = (row.get("uuid"), row.get("id"), message.get("id") if isinstance(message, dict) else None)
        for name in (name for name in ids if isinstance(name, str)):
            (self._before.add if old else self._before.discard)(name)
        for fact in self._reader.row("transcript" if source == "record" else "subagent", row):
            if isinstance(fact, Submitted):
                self._prompt(row, fact.text)
                self._text = ""
            elif isinstance(fact, TurnEnded):
                if main and fact.outcome != "completed":
                    self.said = fact
            elif isinstance(fact, ModelCall):
                yield from self._call(fact)
            elif (
                isinstance(fact, ToolUse | Compacted | SubAgent | Background | Remark)
                and not old
                and fact != UNTOLD_REMARK
            ):
                yield fact
        if main and row.get("type") == "assistant" and isinstance(message, dict):
            self._assistant(message, found, bool(row.get("isApiErrorMessage")))
        if main and row.get("type") == "user":
            if any(b.get("type") == "tool_result" for b in found):
                self.question, self.asked, self._text = None, "", ""
            yield from self._subagent(row.get("toolUseResult"))

    def _call(self, call: ModelCall) -> Iterator[Fact]:
        """A call of this run. One without a row is named by the row that asked for it."""
        if call.call_id.removeprefix("open-") not in self._before:
            yield call
            if call.output_tokens is None and not call.partial:
                yield UNTOLD_REMARK

    def _assistant(self, message: dict[str, Any], found: list[dict[str, Any]], failed: bool) -> None:
        self.answered = True
        if failed or message.get("model") == "<synthetic>":
            return
        text = "".join(str(b.get("text") or "") for b in found if b.get("type") == "text")
        self._text = text or self._text
        for block in found:
            if block.get("type") == "tool_use":
                given = block.get("input")
                self.asked = f"{block.get('name')} {_first(given)}".strip()
                self.question = given if block.get("name") == "AskUserQuestion" and isinstance(given, dict) else None
                self.said = None  # it goes on
        if message.get("stop_reason") not in (None, "tool_use"):
            self.said = TurnEnded("record", "completed", self._text)

    def end(self, prompted_at: float, complete: bool = False) -> TurnEnded | None:
        found = super().end(prompted_at)
        if found is None and complete and self._text and not self.asked and self.prompted >= prompted_at - EARLY_S:
            # Versions that write rows before the end is known leave the stop reason out (2.1.20).
            return TurnEnded("record", "completed", self._text)
        return found

    def over(self) -> Iterable[Fact]:
        """Told as the row that ends a turn in the CLI's own transcript."""
        yield from self._told(self._reader.row("transcript", {"type": "system", "subtype": "turn_duration"}))

    def cut(self, died: bool) -> Iterable[Fact]:
        yield from self._told(self._reader.cut(died))

    def ended(self) -> Iterable[Fact]:
        yield from self._told(self._reader.ended())

    def _told(self, facts: Iterable[Fact]) -> Iterator[Fact]:
        for fact in facts:
            if isinstance(fact, ModelCall):
                yield from self._call(fact)
            elif isinstance(fact, Remark) and fact != UNTOLD_REMARK:
                yield fact

    def classify(self, text: str) -> tuple[str, str | None]:
        return screen.classify("", None, text)

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        return self._reader.whose_tool(env, apart)

    def _subagent(self, result: Any) -> Iterator[Fact]:
        """A sub-agent's own transcript has its calls; Paseo passes no hooks on that would name it."""
        agent = result.get("agentId") if isinstance(result, dict) else None
        if isinstance(agent, str) and re.fullmatch(r"[\w-]+", agent) and agent not in self._followed:
            self._followed.add(agent)
            yield FindFile("subagent", paths=(f"{self._path}/subagents/agent-{agent}.jsonl",))


def _first(given: Any) -> str:
    """The one word of a tool's input that tells most."""
    if isinstance(given, dict):
        for key in ("command", "file_path", "url", "query", "description"):
            if isinstance(given.get(key), str):
                return str(given[key])[:200]
    return ""


RECORD = ClaudeRecord

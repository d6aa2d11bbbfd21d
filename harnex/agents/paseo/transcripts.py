"""What Paseo's agents write themselves: the transcript of Claude Code, the rollout of Codex.

Paseo's own word on the end of a turn can't be believed: for Claude Code every API failure is `idle`, `completed` and
`finished` (measured: 400, 401, 429, 529, a cut connection). The provider's record tells it, and holds the exact
tokens; Paseo's `LastUsage` is the last call only for Codex, and zero while a turn of Claude runs.

A `Record` turns rows into calls and tools, and keeps what they say of the turn since the last prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harnex import times
from harnex.agents.claude import screen
from harnex.agents.claude.calls import UNTOLD
from harnex.agents.claude.reader import ClaudeReader
from harnex.agents.codex import screen as codex_screen
from harnex.agents.codex.background import Left, whose_tool
from harnex.agents.codex.rollout import Rollout, unfound
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
EARLY_S = 0.001  # times have milliseconds; a record dates the prompt 9 to 50 ms after Paseo does (measured)


class Record:
    """One agent's record. The defaults say nothing."""

    readable = False

    def __init__(self) -> None:
        self.said: TurnEnded | None = None  # the last word on the turn since the last prompt
        self.prompted = 0.0  # when that prompt was recorded, epoch seconds
        self.prompt = ""
        self.answered = False  # something came after it
        self.rows = 0
        self.question: dict[str, Any] | None = None  # the input of an AskUserQuestion that is open
        self.asked = ""  # the name and input of the tool that is open

    def find(self, home: str, env: dict[str, str], session: str) -> Iterable[Fact]:
        """Where the record of this provider session is. It may be older than the run."""
        return ()

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        return ()

    def again(self, source: str, row: dict[str, Any]) -> Iterator[Fact]:
        """A row of a run that is over, with what the state file told meanwhile: prompts and the ends of turns."""
        before, said = self.prompted, self.said
        yield from self.row(source, row)
        if self.prompted != before:
            yield Submitted("record", self.prompt)
        if self.said is not None and self.said is not said:
            yield self.said

    def over(self) -> Iterable[Fact]:
        """The turn is over: no more rows of its last call can come."""
        return ()

    def cut(self, died: bool) -> Iterable[Fact]:
        """The turn was interrupted, or its program `died`, and the record does not say so: the call that was open."""
        return ()

    def ended(self) -> Iterable[Fact]:
        """The provider's program is gone: calls that were open, and what its record says of itself, as without Paseo."""
        return ()

    def end(self, prompted_at: float, complete: bool = False) -> TurnEnded | None:
        """How the turn ended that Paseo dates `prompted_at`; None: the record does not say (yet). `complete`: no more
        rows of it will come."""
        return self.said if self.prompted >= prompted_at - EARLY_S else None

    def classify(self, text: str) -> tuple[str, str | None]:
        """The reason of a failure by the provider's words, and when to try again."""
        return "other", None

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        """As `Reader.whose_tool`, for the provider's tools."""
        return ""

    def _prompt(self, row: dict[str, Any], text: str) -> None:
        self.prompt = text
        self.said, self.answered, self.question, self.asked = None, False, None, ""
        self.prompted = times.seconds(row.get("timestamp")) or self.prompted


class ClaudeRecord(Record):
    """`~/.claude/projects/<cwd>/<session>.jsonl`, and those of sub-agents beside it."""

    readable = True

    def __init__(self, began: float) -> None:
        super().__init__()
        self._began = began
        self._before: set[str] = set()  # messages that were whole before the run
        self._reader = ClaudeReader(None)
        self._path = ""  # of the session's directory of sub-agents
        self._followed: set[str] = set()
        self._text = ""

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


class CodexRecord(Record):
    """`$CODEX_HOME/sessions/Y/M/D/rollout-*-<session>.jsonl`, and those of the threads that it started."""

    readable = True

    def __init__(self, began: float) -> None:
        super().__init__()
        self._began = began
        self._root = ""
        self._left = Left()
        self._rollouts: dict[str, Rollout] = {"record": Rollout("record", began=began, left=self._left)}

    def find(self, home: str, env: dict[str, str], session: str) -> Iterable[Fact]:
        self._root = glob_escaped(env.get("CODEX_HOME") or f"{home}/.codex") + "/sessions/*/*/*"
        yield FindFile("record", paths=(f"{self._root}/rollout-*{session}.jsonl",))  # old rows are told by their times

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        rollout = self._rollouts.get(source)
        if rollout is None:
            agent = source.partition(":")[2]
            rollout = self._rollouts[source] = Rollout(source, began=self._began, agent=agent, left=self._left)
        self.rows += 1
        for fact in rollout.row(row):
            if isinstance(fact, FindFile):
                # The threads belong to a daemon that is none of our children: found by name instead.
                yield FindFile(fact.source, paths=(f"{self._root}/{fact.held}",))
            elif isinstance(fact, ModelCall | ToolUse | Compacted | SubAgent | Background | Remark):
                if rollout.main and isinstance(fact, ToolUse):
                    self.asked = f"{fact.tool} {fact.input_preview}" if fact.status == "started" else ""
                yield fact
            elif rollout.main and isinstance(fact, Submitted):
                self._prompt(row, fact.text)
            elif rollout.main and isinstance(fact, TurnEnded):
                self.said = fact
            # What else a rollout says (its state, its session) Paseo says itself.
        if rollout.main and rollout.unclear is not None and self.said is None:
            # Up to 0.104 a failed turn says no more than that it has no last message.
            self.said = TurnEnded("record", "failed", reason="other", detail="the turn ended without an answer")

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        agents = {rollout.thread: rollout.agent for rollout in self._rollouts.values() if rollout.thread}
        return whose_tool(env, apart, None, agents)

    def classify(self, text: str) -> tuple[str, str | None]:
        return codex_screen.failure(text), None

    def cut(self, died: bool) -> Iterable[Fact]:
        return self.ended() if died else ()  # an interruption is in the rollout

    def ended(self) -> Iterable[Fact]:
        for rollout in self._rollouts.values():
            yield from (f for f in rollout.gone() if isinstance(f, ModelCall | Remark))
        yield from unfound(self._rollouts)


class Unread(Record):
    """The record of a provider that harnex can't read. Paseo's words on its failures are read as if Codex had said them."""

    def classify(self, text: str) -> tuple[str, str | None]:
        return codex_screen.failure(text), None


def record_for(provider: str, began: float) -> Record:
    """By the family of a provider: custom ones (`claude-old`) extend one of these."""
    if provider.startswith("claude"):
        return ClaudeRecord(began)
    if provider.startswith("codex"):
        return CodexRecord(began)
    return Unread()


def record_of(row: dict[str, Any], began: float) -> Record:
    """By a row of it."""
    return CodexRecord(began) if "payload" in row else ClaudeRecord(began) if "message" in row else Unread()


def glob_escaped(path: str) -> str:
    """A path that stands for itself in a glob."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def _first(given: Any) -> str:
    """The one word of a tool's input that tells most."""
    if isinstance(given, dict):
        for key in ("command", "file_path", "url", "query", "description"):
            if isinstance(given.get(key), str):
                return str(given[key])[:200]
    return ""

"""What `claude -p --output-format stream-json --verbose` prints. Measured on 1.0.128, 2.0.77, 2.1.197 and 2.1.329.

- One `assistant` row per content block, each with the message's id and usage; with the `output_tokens` that the start of
  the message said, in 2.1 always, before that unless the provider sent the final ones at once. Final numbers are in `stream_event/message_delta` (`--include-partial-messages`), for the
  main conversation only; of sub-agents, and of calls that 1.0 and 2.0 make without streaming after three errors, only
  in the transcripts, which are followed, too. Whichever is final first counts (`common/ledger.py`).
- `result`: `usage` is the main conversation's stream, `modelUsage` everything by model (`claude/totals.py`), side calls of 1.0 and 2.0
  (titles, shell prefixes) included, but not their calls without streaming. It is of the process so far; a resumed
  2.1.329 goes on with the totals of the conversation, and tells its own in `model_usage_since_last_result`.
- An API error is a `result` with `is_error` (and `subtype: success`), the words in `result`, the status in
  `api_error_status` (2.1). No `result`: not finished, whatever the exit code.
- `system/api_retry` (2.1) tells of each failed attempt of the call that comes next; it does not say whose, so with a
  sub-agent at work it is nobody's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from harnex.agents.claude import screen as screen
from harnex.agents.claude.calls import AGENT_TOOLS, UNTOLD, blocks, input_preview, tokens
from harnex.agents.claude.reader import ClaudeReader
from harnex.agents.claude.totals import Seen, by_model, plain
from harnex.agents.common.ledger import Ledger, difference
from harnex.agents.common.remainder import FIELDS, Sums
from harnex.agents.contract import PREVIEW, Reader, Version
from harnex.model.facts import (
    AgentSession,
    Background,
    Compacted,
    Fact,
    FinalAnswer,
    FindFile,
    Follow,
    ModelCall,
    Observation,
    Printed,
    Remark,
    State,
    SubAgent,
    Submitted,
    TodoList,
    ToolUse,
    TurnEnded,
)

SYNTHETIC = "<synthetic>"
_CREATED = re.compile(r"Task #(\d+)")
_TODO_STATUS = ("pending", "in_progress", "completed")


class ClaudeStream(Reader):
    """Reads the stream (source `stream`), and the records of a `ClaudeReader` for the calls in them."""

    marks_tools = True

    def __init__(self, version: Version | None) -> None:
        self._version = version
        self._records = ClaudeReader(version)
        self._ledger = Ledger()
        self._begun = False
        self._resulted = False  # and nothing of the agent came since
        self._session = ""
        self._model: str | None = None
        self._starts: dict[str, dict[str, Any]] = {}  # messages under way, by whose they are
        self._held: dict[str, ModelCall] = {}  # calls that the transcript told before the stream was through with them
        self._agents: dict[str, str] = {}  # a sub-agent's tool call -> its type
        self._working: set[str] = set()  # sub-agents at work
        self._tools: dict[str, tuple[str, Any]] = {}  # tool calls that run: name, input
        self._retries = 0
        self._attempted: set[str] = set()  # messages whose first row was seen
        self._todos: dict[str, list[str]] = {}  # TaskCreate's list: id -> text, status
        self._text = ""  # what the agent said last
        self._error = ""  # the CLI's own name of an API error
        self._totals: dict[str, Sums] = {}  # by model
        self._usage: Sums = {}  # of the main conversation, summed over the results
        self._failed = False  # it tells of an error: its totals may hold the placeholder of an answer that broke off
        self._uncounted: set[str] = set()  # messages that ended without a usage: what rows say of it is the start's
        self._ended = False

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        self._begun = self._resulted = self._ended = self._failed = False
        self._totals, self._usage = {}, {}
        self._ledger.start()
        for fact in self._records.spawned(pid, env, cwd):
            if (isinstance(fact, Follow) and fact.source != "session") or isinstance(fact, FindFile):
                yield fact
        yield Observation("stream", State.STARTING, "the process runs")

    def keeps(self, row: dict[str, Any]) -> bool:
        """Pieces of blocks come again whole; and cut up as they are, no secret in them could be found."""
        event = row.get("event")
        return not (isinstance(event, dict) and str(event.get("type")).startswith("content_block_"))

    # ---- rows ----

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        if source != "stream":
            yield from self._recorded(self._records.row(source, row))
            return
        kind = row.get("type")
        if kind == "system":
            yield from self._system(row)
        elif kind == "stream_event":
            yield from self._piece(row)
        elif kind == "assistant":
            yield from self._assistant(row)
        elif kind == "user":
            yield from self._user(row)
        elif kind == "result":
            yield from self._result(row)

    def found(self, source: str, path: str) -> Iterable[Fact]:
        return self._recorded(self._records.found(source, path))

    def _recorded(self, facts: Iterable[Fact]) -> Iterator[Fact]:
        """Of the CLI's own records the calls count, and what the stream has no word for: the rest it tells sooner."""
        for fact in facts:
            if isinstance(fact, ModelCall):
                if any(started["id"] == fact.call_id for started in self._starts.values()):
                    self._held[fact.call_id] = fact  # the stream says more (reasoning) in a moment
                else:
                    yield from self._ledger.take(self._counted(fact))
            elif isinstance(fact, Follow | FindFile | Remark | Compacted | SubAgent | Background) and fact != Remark(
                UNTOLD
            ):
                yield fact

    def _counted(self, call: ModelCall) -> ModelCall:
        if call.call_id not in self._uncounted:
            return call
        return replace(call, output_tokens=None, reasoning_tokens=None, total_tokens=None)

    def _begin(self) -> Iterator[Fact]:
        if not self._begun or self._resulted:  # after a result the agent may go on by itself (2.1.329: a task ended)
            self._begun, self._resulted = True, False
            yield Submitted("stream")
            yield Observation("stream", State.BUSY, "a turn runs")

    def _system(self, row: dict[str, Any]) -> Iterator[Fact]:
        subtype = row.get("subtype")
        if subtype == "init":
            session = row.get("session_id")
            if isinstance(session, str) and session:
                self._session = session
                yield AgentSession(session)
                yield from self._recorded(self._records.begun(session))
            self._model = _word(row.get("model")) or self._model
            yield from self._begin()
        elif subtype == "api_retry":
            attempt = row.get("attempt")
            self._retries = attempt if isinstance(attempt, int) and not self._working else 0
            status = row.get("error_status") or ""
            yield Printed(f"  API error {status} {row.get('error') or ''}: trying again ({attempt})".replace("  ", " "))
        elif subtype == "task_started" and row.get("tool_use_id"):
            self._agents[str(row["tool_use_id"])] = str(row.get("subagent_type") or "subagent")
        if str(subtype).startswith("task_"):
            yield from self._records.tasks.stream(row, *self._tools.get(str(row.get("tool_use_id")), ("", None)))

    def _piece(self, row: dict[str, Any]) -> Iterator[Fact]:
        event, whose = row.get("event"), str(row.get("parent_tool_use_id") or "")
        if not isinstance(event, dict):
            return
        kind = event.get("type")
        if kind == "message_start" and isinstance(event.get("message"), dict):
            message = event["message"]
            started = {"id": message.get("id"), "model": message.get("model"), "usage": message.get("usage") or {}}
            self._starts[whose] = {**started, "stop": None, "text": "", "counted": False}
            self._first_row(str(message.get("id")), whose)
            yield from self._ledger.take(self._call(self._starts[whose], whose, final=False, cut=True))
        elif kind == "message_delta" and whose in self._starts:
            started, delta = self._starts[whose], event.get("delta") or {}
            usage: dict[str, Any] = event.get("usage") or {}
            # Counts that a delta leaves out or has as 0 are those of the start, as the CLI itself takes them.
            more = {k: v for k, v in usage.items() if v is not None and (v or k.startswith("output"))}
            started["usage"] = {**started["usage"], **more}
            started["stop"] = _word(delta.get("stop_reason")) or started["stop"]
            started["counted"] = started["counted"] or bool(usage.get("output_tokens"))
        elif kind == "message_stop" and whose in self._starts:
            # 2.1.329 says `message_stop` also of a stream that broke or was interrupted: then without a stop reason.
            started = self._starts.pop(whose)
            whole = started["stop"] is not None
            call = self._call(started, whose, final=whole and started["counted"], cut=not whole)
            if whole and not started["counted"]:
                self._uncounted.add(call.call_id)
            yield from self._ledger.take(call)
            if (held := self._held.pop(call.call_id, None)) is not None:
                yield from self._ledger.take(self._counted(held))

    def _first_row(self, call_id: str, whose: str) -> None:
        """The first word of a message: the retries that were told since the last one were for it."""
        if call_id not in self._attempted:
            self._attempted.add(call_id)
            if self._retries and not self._working:
                self._ledger.attempts[call_id] = self._retries + 1
            if not whose:
                self._retries = 0

    def _call(self, started: dict[str, Any], whose: str, final: bool, cut: bool = False) -> ModelCall:
        return ModelCall(
            str(started["id"]),
            model=_word(started["model"]),
            agent=self._agents.get(whose, "subagent") if whose else "main",
            stop_reason=started["stop"],
            source="stream",
            partial=cut,
            text_preview=started["text"][:PREVIEW],
            raw=started["usage"] or None,
            **tokens(started["usage"], final),
        )

    def _assistant(self, row: dict[str, Any]) -> Iterator[Fact]:
        message, whose = row.get("message"), str(row.get("parent_tool_use_id") or "")
        if not isinstance(message, dict):
            return
        if not whose:  # a sub-agent in the background works on after the result
            yield from self._begin()
        content = blocks(message.get("content"))
        text = "\n".join(str(b.get("text") or "") for b in content if b.get("type") == "text")
        if message.get("model") == SYNTHETIC:
            self._error = str(row.get("error") or "") or self._error
            return
        call_id = str(message.get("id"))
        self._first_row(call_id, whose)
        started = self._starts.get(whose)
        if started is not None and started["id"] == call_id:
            started["text"] = f"{started['text']}\n{text}".strip()
        else:
            self._starts.pop(whose, None)  # that stream broke, and this is the answer to another attempt
        if whose not in self._starts and isinstance(message.get("usage"), dict):
            seen = {"id": call_id, "model": message.get("model"), "usage": message["usage"], "text": text}
            yield from self._ledger.take(self._call({**seen, "stop": message.get("stop_reason")}, whose, final=False))
        if text:
            if not whose:
                self._text = text
            yield Printed(f"{'  ' if whose else ''}● {text}")
        for block in content:
            if block.get("type") == "tool_use":
                yield from self._tool(block, whose)

    def _tool(self, block: dict[str, Any], whose: str) -> Iterator[Fact]:
        call_id, name, given = str(block.get("id")), str(block.get("name")), block.get("input")
        if call_id in self._tools:
            return
        self._tools[call_id] = (name, given)
        given = given if isinstance(given, dict) else {}
        if name in AGENT_TOOLS:
            self._agents.setdefault(call_id, str(given.get("subagent_type") or "subagent"))
            self._working.add(call_id)
        preview = input_preview(given)
        yield ToolUse(call_id, name, "started", preview)
        yield Printed(f"{'  ' if whose else ''}▸ {name}: {preview}")
        if name == "TodoWrite" and isinstance(given.get("todos"), list):
            items = [t for t in given["todos"] if isinstance(t, dict)]
            yield TodoList(tuple((str(t.get("content") or ""), _status(t.get("status"))) for t in items))

    def _user(self, row: dict[str, Any]) -> Iterator[Fact]:
        message = row.get("message")
        for block in blocks(message.get("content") if isinstance(message, dict) else None):
            call_id = str(block.get("tool_use_id"))
            if block.get("type") != "tool_result" or call_id not in self._tools:
                continue
            name, given = self._tools.pop(call_id)
            self._working.discard(call_id)
            failed = bool(block.get("is_error"))
            yield ToolUse(call_id, name, "failed" if failed else "completed")
            whose = str(row.get("parent_tool_use_id") or "")
            agent = self._agents.get(whose, "subagent") if whose else "main"
            yield from self._records.tasks.result(name, given, row.get("tool_use_result"), agent)
            if name in ("TaskCreate", "TaskUpdate") and not failed and isinstance(given, dict):
                yield from self._todo(name, given, block.get("content"))

    def _todo(self, name: str, given: dict[str, Any], said: Any) -> Iterator[Fact]:
        """The list of 2.1: entries are made and changed one by one, and numbered by the tool's answer."""
        if name == "TaskCreate":
            found = _CREATED.search(said if isinstance(said, str) else json.dumps(said))
            if found is None:
                return
            self._todos[found[1]] = [str(given.get("subject") or given.get("description") or ""), "pending"]
        elif (entry := self._todos.get(str(given.get("taskId")))) is not None:
            if given.get("status") == "deleted":
                del self._todos[str(given.get("taskId"))]
            elif given.get("status"):
                entry[1] = _status(given["status"])
        yield TodoList(tuple((text, status) for text, status in self._todos.values()))

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        return self._records.whose_tool(env, apart)

    # ---- the end ----

    def _result(self, row: dict[str, Any]) -> Iterator[Fact]:
        yield from self._begin()
        self._resulted = True
        self._failed = bool(row.get("is_error")) or str(row.get("subtype") or "").startswith("error")
        self._sum(row)
        text = row.get("result")
        said = text if isinstance(text, str) else ""
        subtype = str(row.get("subtype") or "")
        structured = row.get("structured_output")
        cut = self._starts.pop("", None)  # a message that was begun and not ended: 2.0 takes its piece for the answer
        if subtype == "error_during_execution" and not said:
            detail = "; ".join(map(str, row.get("errors") or ())) or "the run was cut short"
            yield TurnEnded("stream", "interrupted", self._text, detail=detail)
        elif row.get("is_error") or subtype.startswith("error"):
            status = row.get("api_error_status")
            reason, retry_at = screen.classify(self._error, status if isinstance(status, int) else None, said)
            detail = said or subtype.replace("_", " ")
            yield TurnEnded("stream", "failed", reason=reason, detail=detail, retry_at=retry_at)
        elif row.get("stop_reason") == "refusal":
            yield TurnEnded("stream", "failed", reason="refused", detail=said or "the model refused")
        elif cut is not None:
            yield TurnEnded(
                "stream",
                "failed",
                reason="network",
                detail=f"the connection was cut in the middle of the answer: {said}",
            )
        else:
            yield FinalAnswer(said, None if structured is None else json.dumps(structured, ensure_ascii=False))
            yield TurnEnded("stream", "completed", said)
        if said and said != self._text:
            yield Printed(said)
        self._error = ""

    def _sum(self, row: dict[str, Any]) -> None:
        """The CLI's own totals: `usage` is of this result alone, `modelUsage` of the process so far."""
        usage = row.get("usage")
        if isinstance(usage, dict):
            call = self._call({"id": "", "model": None, "usage": usage, "stop": None, "text": ""}, "", final=True)
            for name in FIELDS:
                value = getattr(call, name)
                if value is not None:
                    self._usage[name] = self._usage.get(name, 0) + value
        since = row.get("model_usage_since_last_result")  # 2.1.329, where a resumed process goes on with older totals
        if not isinstance(since, dict):
            self._totals = {}  # those of the process so far: the last one counts
        for model, sums in by_model(since if isinstance(since, dict) else row.get("modelUsage")).items():
            old = self._totals.get(model, {})
            self._totals[model] = {key: value + old.get(key, 0) for key, value in sums.items()}

    def ended(self) -> Iterable[Fact]:
        """The process is gone: calls that were cut off, and the sums held against each other. Once a process."""
        if self._ended:
            return
        self._ended = True
        self._starts.clear()
        yield from self._recorded(self._last_calls())
        for held in self._held.values():
            yield from self._ledger.take(self._counted(held))
        self._held.clear()
        if not self._failed:
            yield from self._ledger.fill(self._usage, f"{self._session}-total", self._model)
        yield from self._ledger.settle(self._usage, lambda call: call.agent == "main")
        for model, total in self._totals.items():
            yield from self._ledger.settle(total, lambda call, model=model: plain(call.model or "") == model)  # type: ignore[misc]
        for fact in self._ledger.close(cut=not self._resulted):
            yield fact
            if isinstance(fact, ModelCall) and fact.output_tokens is None and not fact.partial:
                yield Remark(UNTOLD)
        if words := "; ".join(self._differences()):
            yield Remark(f"the calls that were seen differ from Claude Code's own totals: {words}")

    def _last_calls(self) -> Iterator[Fact]:
        """What the records know besides, now that they are over. An answer without a row in the transcript (`open-…`) is
        one that the stream itself tells of. With a result every sub-agent was done, before there were background ones."""
        whole = self._resulted and not self._failed and self._version is not None and self._version < (2, 1)
        for fact in self._records.ended():
            if isinstance(fact, ModelCall):
                if fact.call_id.startswith("open-"):
                    continue
                fact = replace(fact, partial=fact.partial and not whole)
            yield fact

    def _differences(self) -> Iterator[str]:
        calls = self._ledger.told.values()
        seen = Seen()
        for call in calls:
            seen.add(call)
        yield from seen.differences(self._totals)
        main = [call for call in calls if call.agent == "main"]
        if not self._totals and not any(call.partial for call in main):
            known = self._ledger.sums("main")
            mine = {n: known.get(n, 0) for n in FIELDS if None not in [getattr(call, n) for call in main]}
            if words := difference(mine, self._usage):
                yield words


def _status(word: Any) -> str:
    return word if word in _TODO_STATUS else "pending"


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

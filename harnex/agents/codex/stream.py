"""What `codex exec --json` prints. Measured on 0.80, 0.104, 0.145 and 0.169.

`thread.started`, `turn.started`, `item.*` (messages, commands, changes of files, a to-do list), `error` (retries, and
the last one), `turn.completed` with the usage, `turn.failed`. The usage is of the main thread alone (no sub-agents),
per process up to 0.77 and over the whole thread, earlier resumes included, from 0.80 on. Calls one by one are in the
thread's rollout, and sub-agents' in theirs; without a rollout (`--ephemeral`) the usage is one call. Of a call that was
cut off nothing is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from harnex import times
from harnex.agents.codex import screen as screens
from harnex.agents.codex.background import Left, whose_tool
from harnex.agents.codex.calls import UNBEGUN, UNTOLD
from harnex.agents.codex.copied import made_at
from harnex.agents.codex.rollout import Rollout, unfound
from harnex.agents.common.ledger import Ledger, difference
from harnex.agents.common.remainder import Sums
from harnex.agents.contract import PREVIEW, Reader, Version
from harnex.model.facts import (
    AgentSession,
    Background,
    Compacted,
    Fact,
    FinalAnswer,
    FindFile,
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

PER_PROCESS_UNTIL: Version = (0, 78)  # 0.77 starts its totals anew in each process, 0.80 does not
USAGE = {
    "input_tokens": "input_tokens",  # OpenAI's holds the cached ones already
    "cached_input_tokens": "cache_read_tokens",
    "cache_write_input_tokens": "cache_write_tokens",
    "output_tokens": "output_tokens",
    "reasoning_output_tokens": "reasoning_tokens",
}
TOOLS = ("command_execution", "file_change", "mcp_tool_call", "web_search", "collab_tool_call")
FAILED = ("failed", "declined", "error")


class CodexStream(Reader):
    """Reads the stream (source `stream`), and the rollouts for the calls in them."""

    marks_tools = True

    def __init__(self, version: Version | None) -> None:
        self._version = version
        self._left = Left(version)
        self._ledger = Ledger()
        self._rollouts: dict[str, Rollout] = {}
        self._home = ""
        self._thread = ""
        self._begun = False
        self._resulted = False  # and no turn began since
        self._message = ""
        self._error = ""
        self._base: Sums | None = {}  # the thread's total when this process began; None: not known
        self._total: Sums = {}  # the thread's total as the stream told it last
        self._turns = 0
        self._open = False  # a turn runs
        self._running: set[str] = set()  # tools at work
        self._ended = False

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        self._home = env.get("CODEX_HOME") or f"{env.get('HOME', '').rstrip('/')}/.codex"
        self._begun = self._resulted = self._ended = self._open = False
        self._running.clear()
        self._base = dict(self._total) if self._thread else {}
        self._ledger.start()
        yield Observation("stream", State.STARTING, "the process runs")

    # ---- the stream ----

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        if source != "stream":
            yield from self._recorded(source, row)
            return
        kind, item = row.get("type"), row.get("item")
        if kind == "thread.started":
            yield from self._started(str(row.get("thread_id") or ""))
        elif kind == "turn.started":
            yield from self._begin()
            self._open = True
        elif kind in ("item.started", "item.updated", "item.completed") and isinstance(item, dict):
            yield from self._item(str(kind), item)
        elif kind == "error":
            self._error = str(row.get("message") or "")
            yield Printed(f"  {self._error}")
        elif kind == "turn.failed":
            yield from self._begin()
            self._resulted = True
            error = row.get("error")
            self._open = False
            message = str(error.get("message") if isinstance(error, dict) else error or self._error)
            yield self._failure(message)
        elif kind == "turn.completed":
            yield from self._begin()
            self._resulted = True
            self._turns += 1
            self._open = False
            usage = row.get("usage")
            self._total = _numbers(usage) if isinstance(usage, dict) else self._total
            yield FinalAnswer(self._message)
            yield TurnEnded("stream", "completed", self._message)

    def _started(self, thread: str) -> Iterator[Fact]:
        if not thread:
            return
        made = made_at(thread)
        if thread != self._thread and made is not None and made < self.began:
            self._base = None  # an older conversation goes on: what it used before is in its rollout
        if thread not in self._rollouts:
            self._rollouts[thread] = Rollout("rollout", self.began, self.zone, left=self._left)
            yield self._find(thread)
        self._thread = thread
        yield AgentSession(thread)
        yield from self._begin()

    def _find(self, thread: str) -> FindFile:
        """A thread's file: what the process holds open, or by its name in the folder of the day on which it began."""
        name = f"rollout-*{thread}.jsonl"
        days: tuple[str, ...] = ()
        if (made := made_at(thread)) is not None:
            day = datetime.fromtimestamp(made, UTC)
            days = tuple((day + timedelta(days=n)).strftime("%Y/%m/%d") for n in (0, -1, 1))
        return FindFile(thread, name, tuple(f"{_escaped(self._home)}/sessions/{day}/{name}" for day in days))

    def _begin(self) -> Iterator[Fact]:
        if not self._begun or self._resulted:
            self._begun, self._resulted = True, False
            self._message = self._error = ""
            yield Submitted("stream")
            yield Observation("stream", State.BUSY, "a turn runs")

    def _failure(self, message: str) -> TurnEnded:
        rollout = self._rollouts.get(self._thread)
        if rollout is not None:
            return rollout.failed(message, source="stream")
        return TurnEnded("stream", "failed", self._message, screens.failure(message), message)

    def _item(self, kind: str, item: dict[str, Any]) -> Iterator[Fact]:
        what, key = str(item.get("type")), f"{self._thread[-12:]}-{item.get('id')}"
        if what == "agent_message" and kind == "item.completed":
            self._message, self._error = str(item.get("text") or ""), ""
            yield Printed(f"● {self._message}")
        elif what == "todo_list":
            if kind == "item.completed":
                return  # the list as it was, told once more at the end of the turn
            items = [i for i in item.get("items") or () if isinstance(i, dict)]
            yield TodoList(
                tuple((str(i.get("text") or ""), "completed" if i.get("completed") else "pending") for i in items)
            )
        elif what == "error" and kind == "item.completed":
            yield Printed(f"  {item.get('message')}")
        elif what in TOOLS:
            name, preview = _tool(what, item)
            self._error = ""
            if kind == "item.started":
                self._running.add(key)
                yield ToolUse(key, name, "started", preview)
                yield Printed(f"▸ {name}: {preview}")
            elif kind == "item.completed":
                self._running.discard(key)
                failed = item.get("status") in FAILED or item.get("exit_code") not in (None, 0)
                yield ToolUse(key, name, "failed" if failed else "completed", preview)
            if what == "collab_tool_call":
                for thread in item.get("receiver_thread_ids") or ():
                    yield from self._sub_agent(str(thread))

    def _sub_agent(self, thread: str) -> Iterator[Fact]:
        if thread and thread not in self._rollouts:
            self._rollouts[thread] = Rollout(thread, self.began, self.zone, agent="sub-agent", left=self._left)
            yield self._find(thread)

    # ---- rollouts ----

    def _recorded(self, source: str, row: dict[str, Any]) -> Iterator[Fact]:
        """Of the CLI's own records the calls count, and what the stream has no word for: the rest it tells sooner."""
        rollout = self._rollouts.get(source)
        if rollout is None:
            return
        payload, at = row.get("payload"), times.seconds(row.get("timestamp"))
        if self._base is None and source == self._thread and isinstance(payload, dict):
            info = payload.get("info")
            if at is not None and at < self.began and isinstance(info, dict):
                before = info.get("total_token_usage")
                self._earlier = _numbers(before) if isinstance(before, dict) else {}
        for fact in rollout.row(row):
            if isinstance(fact, ModelCall) and (fact.input_tokens, fact.output_tokens) != (0, 0):  # a refused request
                yield from self._ledger.take(fact)
            elif isinstance(fact, Compacted | SubAgent | Background) or (
                isinstance(fact, Remark) and fact.text == UNBEGUN
            ):
                yield fact
            elif isinstance(fact, FindFile):
                yield from self._sub_agent(fact.source.removeprefix("rollout:"))

    _earlier: Sums | None = None  # the total that a resumed thread's rollout had before this run

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        agents = {rollout.thread: rollout.agent for rollout in self._rollouts.values() if rollout.thread}
        return whose_tool(env, apart, self._version, agents)

    def hint(self, words: str) -> str:
        return "harnex exec --trust allows it for this run" if "--skip-git-repo-check" in words else ""

    def ended(self) -> Iterable[Fact]:
        """The process is gone: what the stream's total holds that no rollout told, or where they differ. Once."""
        if self._ended:
            return
        self._ended = True
        if self._turns:
            yield from self._settle()
        for thread, rollout in self._rollouts.items():
            if thread != self._thread:
                for call in rollout.cut():
                    yield from self._ledger.take(call)
        main = self._rollouts.get(self._thread)
        told = main is not None and main.aborted  # that the turn was interrupted, and then what was open
        if self._open and not self._running and not self._error and not told:
            # A turn that was cut off with no tool at work: a model call was under way, of which no record tells.
            model = main.calls.model if main is not None else None
            open_call = ModelCall(f"{self._thread}-open", model=model, source="stream", partial=True)
            yield from self._ledger.take(open_call)
        yield from unfound(self._rollouts, (t for t in self._rollouts if t != self._thread))
        for fact in self._ledger.close(self._open):
            yield fact
            if isinstance(fact, ModelCall) and fact.output_tokens is None and not fact.partial:
                yield Remark(UNTOLD)

    def _settle(self) -> Iterator[Fact]:
        base = self._base if self._base is not None else self._earlier
        sure = base is not None
        per_process = self._version is not None and self._version < PER_PROCESS_UNTIL
        if base is None or per_process or any(self._total.get(k, 0) < v for k, v in base.items()):
            base = {}  # not known, or the total fell: a new base
        theirs = {key: value - base.get(key, 0) for key, value in self._total.items()}
        rollout = self._rollouts.get(self._thread)
        model = rollout.calls.model if rollout is not None else None
        seen = self._ledger.sums("main")
        if not seen:
            yield from self._ledger.fill(theirs, f"{self._thread}-total-{self._turns}", model, sure)
        elif sure and (found := difference(seen, theirs)):
            yield Remark(f"the calls that were seen differ from Codex's own total of the thread: {found}")


def _numbers(usage: Mapping[str, Any]) -> Sums:
    return {mine: usage[k] for k, mine in USAGE.items() if isinstance(usage.get(k), int)}


def _tool(what: str, item: Mapping[str, Any]) -> tuple[str, str]:
    """A tool's name and the words of its input that tell most."""
    if what == "command_execution":
        return "shell", str(item.get("command") or "")[:PREVIEW]
    if what == "file_change":
        changes = [c for c in item.get("changes") or () if isinstance(c, dict)]
        return "patch", ", ".join(f"{c.get('kind')} {c.get('path')}" for c in changes)[:PREVIEW]
    if what == "mcp_tool_call":
        given = json.dumps(item.get("arguments"), ensure_ascii=False)
        return f"{item.get('server')}.{item.get('tool')}", given[:PREVIEW]
    if what == "web_search":
        return what, str(item.get("query") or "")[:PREVIEW]
    return str(item.get("tool") or what), str(item.get("prompt") or "")[:PREVIEW]


def _escaped(path: str) -> str:
    """A path in which nothing is a pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)

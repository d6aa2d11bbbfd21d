"""Codex without a terminal (`codex exec --json`): how it is started, and what it prints. Measured on 0.80, 0.104,
0.145 and 0.169.

The stream has `thread.started`, `turn.started`, `item.*` (messages, commands, changes of files, a to-do list), `error`
(retries, and the last one), `turn.completed` with the usage, `turn.failed`. The usage is of the main thread alone (no
sub-agents), per process up to 0.77 and over the whole thread, earlier resumes included, from 0.80 on. Calls one by one
are in the thread's rollout, and sub-agents' in theirs; without a rollout (`--ephemeral`) the usage is one call.
"""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from harnex.adapters import _codex_launch as launching
from harnex.adapters import _codex_screen as screens
from harnex.adapters._base import (
    SCHEMA_WORDS,
    HeadlessRequest,
    Launch,
    LaunchRequest,
    Reader,
    Rehearsal,
    Source,
    StopStep,
    Version,
)
from harnex.adapters._codex_rollout import Rollout, made_at, seconds
from harnex.adapters._ledger import Ledger, Sums, difference
from harnex.adapters.codex import CodexAdapter
from harnex.model import (
    AgentSession,
    Fact,
    FinalAnswer,
    FindOpenFile,
    ModelCall,
    Observation,
    Printed,
    Remark,
    State,
    Submitted,
    TodoList,
    ToolUse,
    TurnEnded,
)

PREVIEW = 200
PER_PROCESS_UNTIL: Version = (0, 78)  # 0.77 starts its totals anew in each process, 0.80 does not
SCHEMA_ON_RESUME_SINCE: Version = (0, 145)  # `exec resume` of 0.104 does not know --output-schema
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

    def __init__(self, version: Version | None) -> None:
        self._version = version
        self._ledger = Ledger()
        self._rollouts: dict[str, Rollout] = {}
        self._began = 0.0
        self._home = ""
        self._thread = ""
        self._begun = False
        self._message = ""
        self._error = ""
        self._base: Sums | None = {}  # the thread's total when this process began; None: not known
        self._total: Sums = {}  # the thread's total as the stream told it last
        self._turns = 0
        self._open = False  # a turn runs
        self._running: set[str] = set()  # tools at work
        self._ended = False

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        if not self._began:  # as in `CodexReader`: rows from before this run are history
            self._began = datetime.now(UTC).timestamp() - 1.0
        self._home = env.get("CODEX_HOME") or f"{env.get('HOME', '').rstrip('/')}/.codex"
        self._begun = self._ended = self._open = False
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
            error = row.get("error")
            self._open = False
            message = str(error.get("message") if isinstance(error, dict) else error or self._error)
            yield self._failure(message)
        elif kind == "turn.completed":
            yield from self._begin()
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
        if thread != self._thread and made is not None and made < self._began:
            self._base = None  # an older conversation goes on: what it used before is in its rollout
        if thread not in self._rollouts:
            self._rollouts[thread] = Rollout("rollout", self._began)
            yield self._find(thread)
        self._thread = thread
        yield AgentSession(thread)
        yield from self._begin()

    def _find(self, thread: str) -> FindOpenFile:
        """A thread's file: what the process holds open, or by its name in the folder of the day on which it began."""
        name = f"rollout-*{thread}.jsonl"
        days: tuple[str, ...] = ()
        if (made := made_at(thread)) is not None:
            day = datetime.fromtimestamp(made, UTC)
            days = tuple((day + timedelta(days=n)).strftime("%Y/%m/%d") for n in (0, -1, 1))
        return FindOpenFile(thread, name, tuple(f"{_escaped(self._home)}/sessions/{day}/{name}" for day in days))

    def _begin(self) -> Iterator[Fact]:
        if not self._begun:
            self._begun = True
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
            self._rollouts[thread] = Rollout(thread, self._began, agent="sub-agent")
            yield self._find(thread)

    # ---- rollouts ----

    def _recorded(self, source: str, row: dict[str, Any]) -> Iterator[Fact]:
        """Of the CLI's own records only the calls count: what happens, the stream tells, and sooner."""
        rollout = self._rollouts.get(source)
        if rollout is None:
            return
        payload, at = row.get("payload"), seconds(row.get("timestamp"))
        if self._base is None and source == self._thread and isinstance(payload, dict):
            info = payload.get("info")
            if at is not None and at < self._began and isinstance(info, dict):
                before = info.get("total_token_usage")
                self._earlier = _numbers(before) if isinstance(before, dict) else {}
        for fact in rollout.row(row):
            if isinstance(fact, ModelCall) and (fact.input_tokens or fact.output_tokens):  # else: a refused request
                yield from self._ledger.take(fact)
            elif isinstance(fact, FindOpenFile):
                yield from self._sub_agent(fact.source.removeprefix("rollout:"))

    _earlier: Sums | None = None  # the total that a resumed thread's rollout had before this run

    def hint(self, words: str) -> str:
        return "harnex exec --trust allows it for this run" if "--skip-git-repo-check" in words else ""

    def ended(self) -> Iterable[Fact]:
        """The process is gone: what the stream's total holds that no rollout told, or where they differ. Once."""
        if self._ended:
            return
        self._ended = True
        if self._turns:
            yield from self._settle()
        if self._open and not self._running and not self._error:
            # A turn that was cut off with no tool at work: a model call was under way, of which no record tells.
            model = rollout.model if (rollout := self._rollouts.get(self._thread)) is not None else None
            open_call = ModelCall(f"{self._thread}-open", model=model, source="stream", partial=True)
            yield from self._ledger.take(open_call)
        yield from self._ledger.close()

    def _settle(self) -> Iterator[Fact]:
        base = self._base if self._base is not None else self._earlier
        sure = base is not None
        per_process = self._version is not None and self._version < PER_PROCESS_UNTIL
        if base is None or per_process or any(self._total.get(k, 0) < v for k, v in base.items()):
            base = {}  # not known, or the total fell: a new base
        theirs = {key: value - base.get(key, 0) for key, value in self._total.items()}
        rollout = self._rollouts.get(self._thread)
        model = rollout.model if rollout is not None else None
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


def _options(args: list[str]) -> list[str]:
    """The person's own options, without a subcommand and its own."""
    found = (args[first:end] for name, _, first, end in launching.flags(args) if name not in ("--last", "--all"))
    return [word for words in found for word in words]


class CodexExec(CodexAdapter):
    """`codex exec --json`, with the stream as its one source of state."""

    sources: tuple[Source, ...] = (Source("stream", 1),)

    def launch(self, request: LaunchRequest) -> Launch:
        assert isinstance(request, HeadlessRequest)
        args = list(request.args)
        given = {name for name, _, _, _ in launching.flags(args)}
        notes: list[str] = []
        ours = ["-c", "features.daemon_auto_start=false", "-c", "check_for_update_on_startup=false"]
        own: list[str] = [] if "--json" in given else ["--json"]
        if request.model and not given & {"-m", "--model"}:
            own += ["-m", request.model]
        permissions, became, note = launching.permission_args(request, headless=True)
        own += permissions
        if request.permissions == "ask" and not permissions and became == "the CLI's default":
            note = (
                "ask: nobody can be asked in a headless run: commands stay in Codex's own default sandbox (read-only, or "
                "workspace-write where your configuration trusts the directory); --permissions auto or bypass allows more"
            )
        if note:
            notes.append(note)
        if (request.trust or request.permissions == "bypass") and "--skip-git-repo-check" not in given:
            own.append("--skip-git-repo-check")
        prompt, tail = request.prompt, ""
        files: dict[str, str] = {}
        if request.system is not None:
            prompt = f"{request.system}\n\n{prompt}"
            notes.append("--system-file: Codex takes no instructions beside its own; they stand in front of the prompt")
        resumes = launching.subcommand(request.args)[0] in launching.INTERACTIVE
        shaped: list[str] = []
        if request.schema is not None:
            files[request.schema_path] = json.dumps(request.schema, ensure_ascii=False)
            shaped = ["--output-schema", request.schema_path]
            if resumes and (request.version is None or request.version < SCHEMA_ON_RESUME_SINCE):
                shaped = []
                tail = SCHEMA_WORDS + files[request.schema_path]
                notes.append("--schema: this Codex has no option for it when it resumes; the prompt asks for it")
        argv = (request.command, *ours, "exec", *own, *shaped, *args, "-")
        again = (request.command, *ours, "exec", *own, *_options(args), "resume", "{session}", "-")
        return Launch(
            argv,
            launching._environment(request),
            files,
            permissions=became,
            notes=tuple(notes),
            stdin=prompt + tail,
            again=again,
        )

    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        """As on a terminal, the directory of a rehearsal is trusted; here that takes a flag outside of git."""
        found = super().rehearsal(base_url, home, cwd, version)
        return found and dataclasses.replace(found, args=(*found.args, "--skip-git-repo-check"))

    def reader(self, version: Version | None) -> CodexStream:  # type: ignore[override]
        return CodexStream(version)

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        """SIGINT: the rollout gets its `turn_aborted`, and the program ends in 0.2 s."""
        return (StopStep("interrupt (INT)", signal=int(signal.SIGINT), grace_s=3.0),)


ADAPTER = CodexExec()

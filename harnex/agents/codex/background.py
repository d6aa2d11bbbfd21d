"""What Codex's rollout tells of work in the background. Measured on 0.104, 0.145 and 0.169.

- `exec_command` answers `Process running with session ID N` when its command outlasts `yield_time_ms`: the command runs on in
  a background terminal, also when the turn is over. 0.169 writes an item `CommandExecution` with that id when it ends. Older
  ones write nothing, unless the agent asks by `write_stdin` (`Process exited with code`): the process table tells.
- In code mode (0.145 on, newest models) scripts call the same tools, and the rollout has what the script prints: there only
  the process table tells of a start, too.
- `spawn_agent` returns at once, in every version. The thread's own rollout tells of its turns, and the parent's has a
  `<subagent_notification>` when they end.
- Codex never wakes the agent: neither a terminal nor a sub-agent that ends begins a turn.
- Tools have CODEX_THREAD_ID in their environment (0.104 on), which names the thread. MCP servers get an environment of a few
  variables, without the run's marker. Older tools (0.58, 0.80) are in process groups of their own, and have the marker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harnex.agents.contract import Version
from harnex.model.facts import Background

THREAD = "CODEX_THREAD_ID"
ITEMS_SINCE: Version = (0, 169)  # not in 0.145; those in between were not looked at
THREAD_SINCE: Version = (0, 104)  # not in 0.80; those in between were not looked at
_RUNS = re.compile(r"^Process running with session ID (\d+)", re.MULTILINE)
_EXITED = re.compile(r"^Process exited with code (-?\d+)", re.MULTILINE)
_UNKNOWN = re.compile(r"(?i)unknown (?:process|session)")
_NOTE = re.compile(r"<subagent_notification>\s*(\{.*?\})\s*</subagent_notification>", re.DOTALL)
OVER = {"completed": "completed", "errored": "failed", "failed": "failed", "shutdown": "killed", "not_found": "killed",
        "interrupted": "killed", "declined": "failed"}  # fmt: skip


def whose_tool(env: Mapping[str, str], apart: bool, version: Version | None, agents: Mapping[str, str]) -> str:
    """`agents`: threads by their names."""
    thread = env.get(THREAD)
    if thread:
        return agents.get(thread, "main")
    old = version is not None and version < THREAD_SINCE
    return "main" if old and apart and "HARNEX_RUN_ID" in env else ""


class Left:
    """What the threads of one Codex leave running; `agent` is the name of the thread that it is told of."""

    def __init__(self, version: Version | None = None) -> None:
        self._sure = version is not None and version >= ITEMS_SINCE
        self._given: dict[str, tuple[str, dict[str, Any]]] = {}
        self._running: dict[str, Background] = {}
        self._noted: set[str] = set()  # threads whose first end was told by their parent: their own file is found late

    def called(self, call_id: str, tool: str, given: object) -> None:
        """A tool call begins."""
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except ValueError:
                given = {}
        self._given[call_id] = (tool, given if isinstance(given, dict) else {})

    def answered(self, call_id: str, output: object, agent: str) -> Iterator[Background]:
        """Its result."""
        tool, given = self._given.pop(call_id, ("", {}))
        text = output if isinstance(output, str) else json.dumps(output)
        if tool == "exec_command" and (found := _RUNS.search(text[:2000])) is not None:
            yield from self._start(f"terminal-{found[1]}", "shell", str(given.get("cmd") or ""), agent)
        elif tool == "write_stdin":
            exited = _EXITED.search(text[:2000])
            if exited is not None or _UNKNOWN.search(text[:200]):
                how = "" if exited is None else "completed" if exited[1] == "0" else "failed"
                yield from self._end(f"terminal-{given.get('session_id')}", how)
        elif tool == "spawn_agent":
            told = _json(text)
            if isinstance(told.get("agent_id"), str):
                yield from self._start(told["agent_id"], "agent", str(given.get("message") or ""), agent)
        elif tool in ("wait_agent", "wait", "close_agent"):
            states = _json(text).get("status")
            for thread, status in states.items() if isinstance(states, dict) else ():
                yield from self._parent_says(str(thread), _how(status))

    def item(self, item: Mapping[str, Any]) -> Iterator[Background]:
        """An `item_completed` (0.169)."""
        if item.get("type") == "CommandExecution" and item.get("process_id") is not None:
            code = item.get("exit_code")
            how = OVER.get(str(item.get("status")), "") if code is None else "completed" if code == 0 else "failed"
            yield from self._end(f"terminal-{item['process_id']}", how)

    def message(self, text: str) -> Iterator[Background]:
        """A message in the conversation: a sub-agent's end."""
        for note in _NOTE.findall(text):
            told = _json(note)
            yield from self._parent_says(str(told.get("agent_path")), _how(told.get("status")))

    def _parent_says(self, thread: str, how: str) -> Iterator[Background]:
        if thread in self._running:
            self._noted.add(thread)
        yield from self._end(thread, how)

    def begins(self, thread: str) -> str:
        """A sub-agent begins a turn: its work's id, "" if its end is known already."""
        if thread not in self._noted:
            self._running.setdefault(thread, Background(thread, "started", "agent"))
            return thread
        return ""

    def ends(self, thread: str) -> str:
        """A sub-agent ended a turn; it may be given another."""
        self._noted.discard(thread)
        return thread if self._running.pop(thread, None) is not None else ""

    def _start(self, work: str, kind: Any, command: str, agent: str) -> Iterator[Background]:
        if work not in self._running:
            words = " ".join(command.split())
            self._running[work] = fact = Background(work, "started", kind, words, agent, sure=self._sure)
            yield fact

    def _end(self, work: str, how: str) -> Iterator[Background]:
        fact = self._running.pop(work, None)
        if fact is not None:
            yield Background(work, "ended", fact.kind, fact.command, fact.agent, how)


def _json(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _how(status: object) -> str:
    """`{"completed": "its answer"}`, or one word."""
    word = next(iter(status), "") if isinstance(status, dict) else status
    return OVER.get(str(word), "")

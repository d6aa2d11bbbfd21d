"""What Claude Code records of work in the background. Measured on 1.0.128, 2.0.77, 2.1.197 and 2.1.329.

- It starts in a tool's result, in the transcript's row (`toolUseResult`) and in the PostToolUse hook (`tool_response`):
  `backgroundTaskId` of Bash (asked for, moved by Ctrl-B, or moved at its timeout: 2.0.77), `taskId` of Monitor (2.1.329),
  `isAsync` with `agentId` of a sub-agent (2.0.77 on). Headless: the same in `tool_use_result` of the stream's row.
- It ends with a `<task-notification>` that has a `<status>`: written first as `queue-operation`, then given to the agent, who
  begins a turn (2.0.77 on, within 0.1 s). A notification without a status is an event of a monitor. 1.0.128 has none: there
  the process table tells of the end, and the agent is not woken.
- The Stop hook of 2.1 lists what runs (`background_tasks`), and the timers that will wake the agent (`session_crons`).
- KillShell, TaskStop: their result ends it. BashOutput, TaskOutput: their result tells a `status`.
- Tools have CLAUDECODE in their environment (all four versions). MCP servers, hooks and status lines do not up to 2.0.77;
  from 2.1 on they have it, too, together with CLAUDE_PROJECT_DIR, which tools lack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harnex.agents.contract import Version
from harnex.model.facts import Background

ENDS_SINCE: Version = (2, 0, 77)  # the oldest that was seen to record an end
KILLS = ("KillShell", "KillBash", "TaskStop")
ASKS = ("BashOutput", "TaskOutput", "AgentOutputTool")
OVER = {"completed": "completed", "failed": "failed", "killed": "killed", "stopped": "killed", "cancelled": "killed"}
KINDS = {"shell": "shell", "subagent": "agent", "monitor": "monitor"}
STREAM_KINDS = {"local_bash": "shell", "local_agent": "agent"}
_NOTE = re.compile(r"<task-notification>(.*?)(?:</task-notification>|\Z)", re.DOTALL)
_ID = re.compile(r"<task-id>\s*([^<\s]+)\s*</task-id>")
_STATUS = re.compile(r"<status>\s*(\w+)\s*</status>")
_WAITS = "is waiting on its own background work"  # of a sub-agent: it is told as completed, and goes on later


def whose_tool(env: Mapping[str, str]) -> str:
    """A sub-agent's tools can't be told from the main agent's."""
    return "main" if env.get("CLAUDECODE") == "1" and "CLAUDE_PROJECT_DIR" not in env else ""


class Tasks:
    """Turns records into `Background` facts, each start and end once."""

    def __init__(self, version: Version | None) -> None:
        self._sure = version is None or version >= ENDS_SINCE
        self.running: dict[str, Background] = {}
        self._over: set[str] = set()  # a start may be read twice, in a hook and in a row, and the second time late

    def result(self, tool: str, given: Any, response: Any, agent: str) -> Iterator[Background]:
        """A tool's result, as the hook or the row has it."""
        given = given if isinstance(given, dict) else {}
        if not isinstance(response, dict):
            return
        if tool in KILLS:
            for key in ("task_id", "shell_id"):
                yield from self._end(given.get(key), "killed")
            return
        if tool in ASKS:
            yield from self._asked(given, response)
            return
        shell, monitor = response.get("backgroundTaskId"), response.get("taskId")
        command = str(given.get("command") or given.get("description") or "")
        if isinstance(shell, str):
            yield from self._start(shell, "shell", command, agent)
        elif response.get("isAsync") and isinstance(response.get("agentId"), str):
            words = str(given.get("prompt") or response.get("prompt") or given.get("description") or "")
            yield from self._start(response["agentId"], "agent", words, agent)
        elif isinstance(monitor, str) and "timeoutMs" in response:
            yield from self._start(monitor, "monitor", command, agent)

    def _asked(self, given: dict[str, Any], response: dict[str, Any]) -> Iterator[Background]:
        task = response.get("task")
        told = task if isinstance(task, dict) else response
        if (how := OVER.get(str(told.get("status")))) is not None:
            for key in ("task_id", "bash_id", "shell_id", "agentId"):
                yield from self._end(given.get(key), how)

    def said(self, text: str, told: bool = True) -> Iterator[Background]:
        """Words that may hold notifications. `told`: they go to the main agent, who begins a turn on them."""
        if "<task-id>" not in text:
            return
        for note in _NOTE.findall(text):
            work, status = _ID.search(note), _STATUS.search(note)
            how = OVER.get(status[1]) if status is not None else None
            if work is not None and how is not None:
                again = _WAITS in note  # 2.1.329: the same id notifies again
                yield from self._end(work[1], how, told, again)

    def listed(self, tasks: Any, timers: Any) -> Iterator[Background]:
        """A Stop hook's lists: all that runs now. They begin what is not known yet, and end what is missing in them."""
        if not isinstance(tasks, list):
            return
        seen = set()
        for task in tasks:
            if isinstance(task, dict) and isinstance(task.get("id"), str):
                seen.add(task["id"])
                kind = KINDS.get(str(task.get("type")), "task")
                yield from self._start(
                    task["id"], kind, str(task.get("command") or task.get("description") or ""), "main"
                )
        for timer in timers if isinstance(timers, list) else ():
            if isinstance(timer, dict) and isinstance(timer.get("id"), str):
                work = f"timer-{timer['id']}"
                seen.add(work)
                self._over.discard(work)
                words = f"{timer.get('schedule') or ''} {timer.get('prompt') or ''}".strip()
                yield from self._start(work, "timer", words, "main")
        for work in [w for w in self.running if w not in seen]:
            yield from self._end(work, "completed" if self.running[work].kind == "timer" else "")

    def stream(self, row: dict[str, Any], tool: str, given: Any) -> Iterator[Background]:
        """A `system/task_*` row of the stream; `tool` and its input are of the call that the task is of.

        2.1.329 says of each task whether it is in the background. 2.1.197 tells of all, and says nothing of that: there
        the tool's result tells (`result`).
        """
        work, subtype = row.get("task_id"), row.get("subtype")
        patch = row.get("patch")
        if not isinstance(work, str):
            return
        if subtype == "task_started":
            kind = STREAM_KINDS.get(str(row.get("task_type")), "task")
            if row.get("is_backgrounded") is True:
                given = given if isinstance(given, dict) else {}
                words = given.get("command") or given.get("prompt") or row.get("description") or ""
                yield from self._start(work, "monitor" if tool == "Monitor" else kind, str(words), "main")
        elif subtype == "task_notification":
            yield from self._end(work, OVER.get(str(row.get("status")), ""), told=True)
        elif subtype == "task_updated" and isinstance(patch, dict) and str(patch.get("status")) in OVER:
            yield from self._end(work, OVER[str(patch["status"])], told=True)

    def _start(self, work: str, kind: Any, command: str, agent: str) -> Iterator[Background]:
        if work in self.running or work in self._over:
            return
        fact = Background(work, "started", kind, " ".join(command.split()), agent, sure=self._sure)
        self.running[work] = fact
        yield fact

    def _end(self, work: Any, how: str, told: bool = False, again: bool = False) -> Iterator[Background]:
        fact = self.running.pop(work, None) if isinstance(work, str) else None
        if fact is None:
            return
        if not again:
            self._over.add(fact.work_id)
        yield Background(fact.work_id, "ended", fact.kind, fact.command, fact.agent, how, told)


def notes_of(row: dict[str, Any], content: Any) -> Iterable[str]:
    """The words of a transcript's row in which notifications come."""
    kind = row.get("type")
    if kind == "queue-operation":
        # `remove` with `delivered_to_agent`: it was a sub-agent's; its enqueuing was read before.
        return (str(row.get("content") or ""),) if row.get("operation") == "enqueue" else ()
    if kind == "attachment":
        attached = row.get("attachment")
        return (str(attached.get("prompt") or ""),) if isinstance(attached, dict) else ()
    return (content,) if kind == "user" and isinstance(content, str) else ()

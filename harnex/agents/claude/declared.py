"""What Claude Code declares of its own state: OSC 7501, `sessions/<pid>.json`, the background tasks of a Stop hook."""

from __future__ import annotations

import re
from typing import Any

from harnex.agents.common.status_protocol import AT_REST, SOURCE, parse
from harnex.model.facts import Observation, Retracted, State

# The words that 2.1.329 itself takes for a permission or a question (its program text); "dialog open" is any menu.
WAITING_FOR = {
    "permission prompt": "permission",
    "sandbox request": "permission",
    "worker request": "permission",
    "goal proposal": "permission",
    "input needed": "question",
}
DIALOG_OF_TOOL = {"AskUserQuestion": "question", "ExitPlanMode": "plan", "EnterPlanMode": "plan"}
# 2.1.329: `1 shell, 1 monitor still running`. With sub-agents at work it says no such words.
_AT_REST = re.compile(r"^\d+ (?:shell|monitor)s?(?:, \d+ (?:shell|monitor)s?)* still running$")


def program_status(body: str) -> Observation | Retracted | None:
    """The fact of an OSC 7501 body; None if it says nothing of the session.

    The dialog is named as it is declared: Claude Code declares a tool's own dialog as a `permission`, too.
    """
    told = parse(body)
    state, message = told.state, told.message
    if told.task:
        return None
    if state == "working":
        if _AT_REST.search(message):
            return Observation(SOURCE, State.PROMPT, f"OSC 7501 working: only {message}")
        return Observation(SOURCE, State.BUSY, "OSC 7501 working")
    if state in AT_REST:
        return Observation(SOURCE, State.PROMPT, f"OSC 7501 {state}")
    if state == "clear":
        return Retracted(SOURCE)
    if state == "blocked":
        if told.kind == "auth":
            # After a 401 (2.1.329): no dialog, the box takes messages, and the session file says idle 13 ms later.
            return Observation(SOURCE, State.PROMPT, f"OSC 7501 blocked by auth: {message[:80]}")
        dialog = told.kind if told.kind in ("permission", "question", "plan") else "other"
        if message == "trust this folder":
            dialog = "trust"  # 2.1.329 declares it as a permission, 70 ms before it is painted
        return Observation(SOURCE, State.BLOCKED, f"OSC 7501 blocked: {message[:80]}", dialog)
    return None


def session_status(document: dict[str, Any]) -> Observation | None:
    """Of `sessions/<pid>.json`; None: its status is none that is known."""
    status, waiting = document.get("status"), str(document.get("waitingFor") or "")
    if status == "busy":
        return Observation("session", State.BUSY, "session file: busy")
    if status in ("idle", "shell"):
        # `shell`: at rest, with a shell command in the background.
        return Observation("session", State.PROMPT, f"session file: {status}")
    if status == "waiting":
        tool = waiting.removeprefix("approve ")  # 2.1.120: `approve Bash`
        dialog = WAITING_FOR.get(waiting, "other" if tool == waiting else DIALOG_OF_TOOL.get(tool, "permission"))
        return Observation("session", State.BLOCKED, f"session file: waiting for {waiting or 'a person'}", dialog)
    return None


def speaks_again(tasks: Any) -> bool:
    """Whether one of a Stop hook's `background_tasks` will: a subagent or a workflow at work, not a shell or a monitor."""
    return isinstance(tasks, list) and any(_is_running_agent(task) for task in tasks)


def _is_running_agent(task: Any) -> bool:
    if not isinstance(task, dict):
        return False
    kind = str(task.get("type") or task.get("kind") or "")
    return ("agent" in kind or kind == "workflow") and str(task.get("status") or "running") in (
        "running",
        "pending",
        "queued",
    )

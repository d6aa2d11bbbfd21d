"""Tool calls in Claude Code's words, as far as the request offers the tools. Pure."""

from __future__ import annotations

import re
from typing import Any

from harnex.rehearsal.endpoint.script import Tool
from harnex.rehearsal.endpoint.wire import Call, Made, ToolCall, quote, shell_write


def make(tools: tuple[Tool, ...], call: Call) -> Made:
    """The tool calls of a step in the words of the CLI that asks."""
    made = Made()
    offered = call.tools
    for tool in tools:
        kind, value = tool.kind, tool.value
        if kind == "raw":
            made.calls.append(ToolCall(value["name"], value.get("input", {})))
        elif kind == "bash":
            _bash(made, value, "run a command")
        elif kind == "write":
            path = _absolute(value[0], call.cwd)
            if "Write" in offered:
                made.calls.append(ToolCall("Write", {"file_path": path, "content": value[1]}))
            else:
                _fall_back(made, kind, "Write", shell_write(path, value[1]))
        elif kind == "read":
            path = _absolute(value, call.cwd)
            if "Read" in offered:
                made.calls.append(ToolCall("Read", {"file_path": path}))
            else:
                _fall_back(made, kind, "Read", f"cat -- {quote(path)}")
        elif kind == "ask":
            options = [{"label": o, "description": o} for o in value["options"]]
            question = {"question": value["question"], "header": "Question", "multiSelect": False, "options": options}
            words = f"{value['question']} ({' / '.join(value['options'])})"
            _if_offered(made, call, kind, ("AskUserQuestion",), {"questions": [question]}, words)
        elif kind == "agent":
            args = {
                "description": value.get("description") or "a scripted task",
                "prompt": value["prompt"],
                "subagent_type": value.get("type") or "general-purpose",
            }
            schema = (offered.get("Agent") or offered.get("Task") or {}).get("input_schema") or {}
            if "run_in_background" in (schema.get("properties") or {}):
                args["run_in_background"] = bool(value.get("background"))
            _if_offered(made, call, kind, ("Agent", "Task"), args, value["prompt"])
        elif kind == "plan":
            _if_offered(made, call, kind, ("ExitPlanMode",), {"plan": value}, value)
        elif "TodoWrite" not in offered and "TaskCreate" in offered:
            for item in value:
                args = {"subject": item["text"], "description": item["text"], "activeForm": item["text"]}
                made.calls.append(ToolCall("TaskCreate", args))
        else:
            todos = [{"content": i["text"], "status": i["status"], "activeForm": i["text"]} for i in value]
            words = "\n".join(f"- {i['text']}" for i in value)
            _if_offered(made, call, kind, ("TodoWrite",), {"todos": todos}, words)
    return made


def _bash(made: Made, command: str, description: str) -> None:
    made.calls.append(ToolCall("Bash", {"command": command, "description": description}))


def _fall_back(made: Made, kind: str, wanted: str, command: str) -> None:
    made.notes.append(f"{kind}: {wanted} is not on offer, Bash was used")
    _bash(made, command, kind)


def _if_offered(made: Made, call: Call, kind: str, names: tuple[str, ...], args: dict[str, Any], words: str) -> None:
    """Use the first tool that is on offer; otherwise say it in words.

    A tool that is only announced counts as on offer (2.1.329 defers some).
    """
    for name in names:
        if name in call.tools or re.search(rf"^{name}$", call.said, re.MULTILINE):
            made.calls.append(ToolCall(name, args))
            return
    made.notes.append(f"{kind}: {' or '.join(names)} is not on offer, it was said in words")
    made.words.append(words)


def _absolute(path: str, cwd: str) -> str:
    return path if path.startswith("/") or not cwd else f"{cwd.rstrip('/')}/{path}"

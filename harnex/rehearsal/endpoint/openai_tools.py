"""Tool calls in Codex's words: a step of the script becomes what the tools of the request allow.

Pure. Codex 0.80 offers `shell_command`, 0.104 `exec_command`, both with `apply_patch` as a freeform
tool. From 0.145 on the newest models see only `exec`, which runs JavaScript, with the other tools
inside as `tools.NAME(...)`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from harnex.rehearsal.endpoint.script import Tool
from harnex.rehearsal.endpoint.wire import Call, Made, ToolCall, quote, shell_write

LONG_MS = 600_000  # milliseconds that a shell command may take (Codex's own default is 10 s)
YIELD_MS = 30_000  # most milliseconds that exec_command waits before it answers "still running"

# A command that outlasts YIELD_MS is polled until it ends: one scripted tool call is one command,
# run to its end.
_SHELL_JS = """\
// @exec: {"yield_time_ms": %d}
let r = await tools.exec_command(%s);
let out = r.output;
while (r.session_id !== undefined && r.session_id !== null && r.exit_code === undefined) {
  r = await tools.write_stdin({session_id: r.session_id, chars: "", yield_time_ms: %d});
  out += r.output;
}
text(out);
"""


def make(tools: tuple[Tool, ...], call: Call) -> Made:
    """The tool calls of a step in the words of the Codex that asks."""
    made = Made()
    for tool in tools:
        kind, value = tool.kind, tool.value
        if kind == "bash":
            _shell(made, call, value)
        elif kind == "write":
            _write(made, call, *value)
        elif kind == "read":
            _shell(made, call, f"cat -- {quote(value)}")
        elif kind == "ask":
            options = [{"label": o, "description": o} for o in value["options"]]
            question = {"id": "scripted", "header": "Question", "question": value["question"], "options": options}
            words = f"{value['question']} ({' / '.join(value['options'])})"
            _function(made, call, kind, "request_user_input", {"questions": [question]}, words)
        elif kind == "agent":
            _agent(made, call, value)
        elif kind == "plan":
            made.notes.append("plan: Codex has no such tool, it was said in words")
            made.words.append(f"<proposed_plan>\n{value}\n</proposed_plan>")
        elif kind == "todo":
            plan = [{"step": i["text"], "status": i["status"]} for i in value]
            _function(made, call, kind, "update_plan", {"plan": plan}, "\n".join(f"- {i['text']}" for i in value))
        else:
            given = value.get("input", {})
            if value["name"] in call.tools or not _in_exec(call, value["name"]):
                made.calls.append(ToolCall(value["name"], given, _namespace(call, value["name"])))
            else:
                _js(made, call, f"text(await tools.{value['name']}({json.dumps(given)}));")
    return made


def _shell(made: Made, call: Call, command: str) -> None:
    offered = call.tools
    if "exec_command" in offered:
        args: dict[str, Any] = {"cmd": command, "yield_time_ms": YIELD_MS}
        made.calls.append(ToolCall("exec_command", args, _namespace(call, "exec_command")))
    elif "shell_command" in offered:
        made.calls.append(ToolCall("shell_command", {"command": command, "timeout_ms": LONG_MS}))
    elif "shell" in offered:
        made.calls.append(ToolCall("shell", {"command": ["bash", "-lc", command], "timeout_ms": LONG_MS}))
    elif "exec" in offered:
        args = {"cmd": command, "yield_time_ms": YIELD_MS}
        _js(made, call, _SHELL_JS % (LONG_MS, json.dumps(args), YIELD_MS))
    else:
        made.notes.append("bash: no shell tool is on offer, it was said in words")
        made.words.append(f"$ {command}")


def _write(made: Made, call: Call, path: str, content: str) -> None:
    """Write with apply_patch where possible: a patch has whole lines only, and at least one."""
    declared = call.tools.get("apply_patch")
    in_exec = declared is None and _in_exec(call, "apply_patch")
    missing = declared is None and not in_exec
    if missing or not content.endswith("\n"):
        why = "apply_patch is not on offer" if missing else "a patch can't end without a newline"
        made.notes.append(f"write: {why}, the shell was used")
        _shell(made, call, shell_write(path, content))
        return
    lines = "".join(f"+{line}\n" for line in content[:-1].split("\n"))
    patch = f"*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\n"
    if declared is None:
        _js(made, call, f"text(await tools.apply_patch({json.dumps(patch)}));")
    elif declared.get("type") == "custom":
        made.calls.append(ToolCall("apply_patch", patch, _namespace(call, "apply_patch")))
    else:
        made.calls.append(ToolCall("apply_patch", {"input": patch}, _namespace(call, "apply_patch")))


def _agent(made: Made, call: Call, value: dict[str, Any]) -> None:
    declared = call.tools.get("spawn_agent") or {}
    known = (declared.get("parameters") or {}).get("properties") or {}
    name = re.sub(r"[^a-z0-9]+", "_", (value.get("description") or "scripted task").lower()).strip("_") or "task"
    args = {"message": value["prompt"], "task_name": name, "fork_turns": "none"}
    if value.get("type"):
        args["agent_type"] = value["type"]
    args = {k: v for k, v in args.items() if k in known or k == "message"}
    _function(made, call, "agent", "spawn_agent", args, value["prompt"])
    if "spawn_agent" in call.tools and "wait_agent" in call.tools and not value.get("background"):
        # As in Claude Code: the call ends when the sub-agent ends.
        made.calls.append(ToolCall("wait_agent", {"timeout_ms": LONG_MS}, _namespace(call, "wait_agent")))


def _function(made: Made, call: Call, kind: str, name: str, args: dict[str, Any], words: str) -> None:
    if name in call.tools:
        made.calls.append(ToolCall(name, args, _namespace(call, name)))
    elif _in_exec(call, name):
        _js(made, call, f"text(await tools.{name}({json.dumps(args)}));")
    else:
        made.notes.append(f"{kind}: {name} is not on offer, it was said in words")
        made.words.append(words)


def _js(made: Made, call: Call, source: str) -> None:
    made.calls.append(ToolCall("exec", source, _namespace(call, "exec")))


def _in_exec(call: Call, name: str) -> bool:
    return f"### `{name}`" in str(call.tools.get("exec", {}).get("description", ""))


def _namespace(call: Call, name: str) -> str:
    return str(call.tools.get(name, {}).get("namespace", ""))

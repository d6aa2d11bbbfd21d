"""codex/background.py: terminals and sub-agents in the background, as the rollout tells of them."""

from __future__ import annotations

import json
from typing import Any

from harnex.agents.catalogue import adapter_for
from harnex.agents.contract import Reader
from harnex.model.facts import Background

# ---- what the CLIs record ----


class Codex:
    def __init__(self, version: tuple[int, ...] = (0, 169)) -> None:
        self.reader: Reader = adapter_for("codex").reader(version)
        self.row("session_meta", id="th-1", cli_version=".".join(map(str, version)))
        self.event("task_started", turn_id="1")

    def row(self, kind: str, **payload: Any) -> list[Background]:
        rows = self.reader.row("rollout", {"timestamp": "2026-11-21T06:00:00Z", "type": kind, "payload": payload})
        return [f for f in rows if isinstance(f, Background)]

    def event(self, kind: str, **payload: Any) -> list[Background]:
        return self.row("event_msg", type=kind, **payload)

    def call(self, tool: str, given: dict[str, Any], output: str) -> list[Background]:
        self.row("response_item", type="function_call", call_id="c", name=tool, arguments=json.dumps(given))
        return self.row("response_item", type="function_call_output", call_id="c", output=output)


RUNS = "Chunk ID: 8\nWall time: 0.5 seconds\nProcess running with session ID 4711\nOutput:\n"
EXITED = "Chunk ID: 9\nWall time: 0.5 seconds\nProcess exited with code {}\nOutput:\n"


def test_a_terminal_of_codex() -> None:
    codex = Codex()
    assert codex.call("exec_command", {"cmd": "ls"}, EXITED.format(0)) == []
    (begun,) = codex.call("exec_command", {"cmd": "make test"}, RUNS)
    assert (begun.kind, begun.command, begun.agent, begun.sure) == ("shell", "make test", "main", True)
    assert codex.call("write_stdin", {"session_id": 4711, "chars": ""}, RUNS) == []
    (ended,) = codex.call("write_stdin", {"session_id": 4711, "chars": ""}, EXITED.format(2))
    assert (ended.work_id, ended.how, ended.told) == (begun.work_id, "failed", False)
    old = Codex((0, 104))
    assert not old.call("exec_command", {"cmd": "make"}, RUNS)[0].sure


def test_the_item_that_ends_a_terminal() -> None:
    """0.169 writes it when the turn is long over."""
    codex = Codex()
    codex.call("exec_command", {"cmd": "make test"}, RUNS)
    codex.event("task_complete", turn_id="1", last_agent_message="I wait.")
    item = {"type": "CommandExecution", "process_id": "4711", "status": "completed", "exit_code": 0}
    (ended,) = codex.event("item_completed", item=item)
    assert ended.how == "completed"
    assert codex.event("item_completed", item={**item, "process_id": "4712"}) == []


def test_a_sub_agent_of_codex() -> None:
    thread = "01a220d1-6076-7142-a490-b6d95444461a"
    codex = Codex()
    (begun,) = codex.call("spawn_agent", {"message": "look"}, json.dumps({"agent_id": thread, "nickname": "Gibbs"}))
    assert (begun.kind, begun.command, begun.work_id) == ("agent", "look", thread)
    note = f'<subagent_notification>\n{{"agent_path":"{thread}","status":{{"completed":"found"}}}}\n</subagent_notification>'
    (ended,) = codex.row("response_item", type="message", role="user", content=[{"type": "input_text", "text": note}])
    assert (ended.how, ended.told) == ("completed", False)


# ---- whose tools ----


def test_whose_tool_of_codex() -> None:
    marked = {"CODEX_THREAD_ID": "th-1", "HARNEX_RUN_ID": "r"}
    assert Codex().reader.whose_tool(marked, False) == "main"
    assert Codex().reader.whose_tool({"HARNEX_RUN_ID": "r"}, True) == "", "its own helpers"
    old = Codex((0, 80)).reader
    assert old.whose_tool({"HARNEX_RUN_ID": "r"}, True) == "main"
    assert old.whose_tool({"HARNEX_RUN_ID": "r"}, False) == "", "the program itself, its notify command"
    assert old.whose_tool({}, True) == "", "an MCP server gets next to no environment"

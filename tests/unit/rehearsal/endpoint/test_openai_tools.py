"""rehearsal/endpoint/openai_tools.py: tool calls in Codex's words."""

from __future__ import annotations

import pytest

from harnex.rehearsal.endpoint import openai_tools
from harnex.rehearsal.endpoint.script import parse
from harnex.rehearsal.endpoint.wire import Call

pytestmark = pytest.mark.timeout(20)


def test_code_mode_gets_its_tools_inside_exec() -> None:
    declared = {
        "exec": {"type": "custom", "description": "### `exec_command`\n### `apply_patch`", "namespace": "functions"}
    }
    step = parse([{"tools": [{"bash": 'echo "hi"'}, {"write": ["f", "x\n"]}, {"todo": ["t"]}]}]).calls[0]
    made = openai_tools.make(step.tools, Call("main", "g", True, declared))
    assert [(c.name, c.namespace) for c in made.calls] == [("exec", "functions")] * 2
    assert 'tools.exec_command({"cmd": "echo \\"hi\\""' in made.calls[0].input
    assert "tools.apply_patch(" in made.calls[1].input
    assert made.words == ["- t"]


def test_a_file_that_a_patch_cannot_say_is_written_by_the_shell() -> None:
    tools = {"shell_command": {}, "apply_patch": {"type": "custom"}}
    made = openai_tools.make(
        parse([{"tools": [{"write": ["f", "no newline"]}]}]).calls[0].tools, Call("main", "g", True, tools)
    )
    assert [c.name for c in made.calls] == ["shell_command"]
    assert made.notes

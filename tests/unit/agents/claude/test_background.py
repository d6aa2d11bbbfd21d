"""claude/background.py: work in the background, as Claude Code records it."""

from __future__ import annotations

from typing import Any

import pytest

from harnex.agents.catalogue import adapter_for, headless_for
from harnex.agents.contract import Reader
from harnex.model.facts import Background

NOTE = (
    "<task-notification>\n<task-id>{}</task-id>\n<output-file>/tmp/x</output-file>\n<status>{}</status>\n"
    '<summary>Background command "tests" completed (exit code 0)</summary>\n</task-notification>'
)


# ---- what the CLIs record ----


class Claude:
    """A reader that is fed with rows as Claude Code writes them; what it tells of the background."""

    def __init__(self, version: tuple[int, ...] = (2, 1, 329)) -> None:
        self.reader: Reader = adapter_for("claude").reader(version)
        self.calls = 0
        self.take("hooks", {"hook_event_name": "SessionStart", "session_id": "s", "source": "startup"})

    def take(self, source: str, row: dict[str, Any]) -> list[Background]:
        return [f for f in self.reader.row(source, row) if isinstance(f, Background)]

    def call(self, tool: str, given: dict[str, Any], result: Any, **more: Any) -> list[Background]:
        """A tool call and its result, as the transcript has them."""
        self.calls += 1
        call_id = f"t{self.calls}"
        message = {
            "id": "m1",
            "role": "assistant",
            "content": [{"type": "tool_use", "id": call_id, "name": tool, "input": given}],
        }
        self.take("transcript", {"type": "assistant", "message": message})
        content = [{"type": "tool_result", "tool_use_id": call_id, "content": "…"}]
        row = {"type": "user", "message": {"role": "user", "content": content}, "toolUseResult": result, **more}
        return self.take("transcript", row)

    def shell(self, work: str = "b1", command: str = "make test") -> list[Background]:
        return self.call(
            "Bash", {"command": command, "run_in_background": True}, {"stdout": "", "backgroundTaskId": work}
        )

    def note(self, work: str, status: str, operation: str = "enqueue") -> list[Background]:
        row = {"type": "queue-operation", "operation": operation, "content": NOTE.format(work, status)}
        return self.take("transcript", row)


@pytest.mark.parametrize(
    ("status", "how"), [("completed", "completed"), ("failed", "failed"), ("killed", "killed"), ("stopped", "killed")]
)
def test_a_notification_ends_it_and_wakes_the_agent(status: str, how: str) -> None:
    claude = Claude()
    assert len(claude.shell()) == 1
    (ended,) = claude.note("b1", status)
    assert (ended.status, ended.how, ended.told, ended.command) == ("ended", how, True, "make test")
    prompt = {"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": NOTE.format("b1", status)}
    assert claude.take("hooks", prompt) == [], "the same end once more"
    assert claude.shell() == [], "a row that is read late begins nothing again"


def test_what_is_no_end() -> None:
    """An event of a monitor, a notification of other work, a sub-agent that will go on."""
    claude = Claude()
    claude.shell()
    event = "<task-notification>\n<task-id>b1</task-id>\n<summary>Monitor event</summary>\n<event>one</event>\n</task-notification>"
    assert claude.take("transcript", {"type": "queue-operation", "operation": "enqueue", "content": event}) == []
    assert claude.note("b2", "completed") == []
    assert claude.note("b1", "completed", "remove") == []
    assert (
        claude.take("transcript", {"type": "user", "message": {"role": "user", "content": "<task-id>b1</task-id>"}})
        == []
    )


def test_the_lists_of_the_stop_hook_are_the_truth() -> None:
    """They begin what was not seen to begin, end what is missing in them, and name the timers that will wake the agent."""
    claude = Claude()
    claude.shell("b1")
    stop = {"hook_event_name": "Stop", "session_id": "s", "last_assistant_message": "x"}
    tasks = [{"id": "b2", "type": "shell", "status": "running", "command": "npm run dev"}]
    crons = [{"id": "c1", "schedule": "*/5 * * * *", "recurring": False, "prompt": "look again"}]
    told = claude.take("hooks", {**stop, "background_tasks": tasks, "session_crons": crons})
    assert [(w.status, w.kind, w.command) for w in told] == [
        ("started", "shell", "npm run dev"),
        ("started", "timer", "*/5 * * * * look again"),
        ("ended", "shell", "make test"),
    ]
    told = claude.take("hooks", {**stop, "background_tasks": tasks, "session_crons": []})
    assert [(w.status, w.kind, w.how) for w in told] == [("ended", "timer", "completed")]
    assert claude.take("hooks", stop) == [], "2.0 has no lists: that says nothing"


@pytest.mark.parametrize(
    ("tool", "given", "result", "how"),
    [
        ("KillShell", {"shell_id": "b1"}, {"message": "killed"}, "killed"),
        ("TaskStop", {"task_id": "b1"}, {"message": "stopped"}, "killed"),
        ("BashOutput", {"bash_id": "b1"}, {"shellId": "b1", "status": "completed"}, "completed"),
        ("TaskOutput", {"task_id": "b1"}, {"task": {"task_id": "b1", "status": "failed"}}, "failed"),
        ("BashOutput", {"bash_id": "b1"}, {"shellId": "b1", "status": "running"}, None),
        ("TaskOutput", {"task_id": "b2"}, {"task": {"status": "completed"}}, None),
    ],
)
def test_tools_that_look_after_it(tool: str, given: dict[str, Any], result: dict[str, Any], how: str | None) -> None:
    claude = Claude()
    claude.shell()
    ended = claude.call(tool, given, result)
    assert [(w.how, w.told) for w in ended] == ([] if how is None else [(how, False)])


def test_who_began_it() -> None:
    claude = Claude()
    claude.take("hooks", {"hook_event_name": "SubagentStart", "session_id": "s", "agent_id": "a1", "agent_type": "Explore",
                          "transcript_path": "/x/s.jsonl"})  # fmt: skip
    hook = {
        "hook_event_name": "PostToolUse", "session_id": "s", "agent_id": "a1", "agent_type": "Explore",
        "tool_name": "Bash", "tool_use_id": "t9", "tool_input": {"command": "make", "run_in_background": True},
        "tool_response": {"backgroundTaskId": "b7"},
    }  # fmt: skip
    (work,) = claude.take("hooks", hook)
    assert (work.agent, work.command) == ("Explore:a1", "make")


def test_1_0_has_no_ids_of_tools_in_its_hooks() -> None:
    claude = Claude((1, 0, 128))
    hook = {"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_input": {"command": "make"},
            "tool_response": {"backgroundTaskId": "1"}}  # fmt: skip
    (work,) = claude.take("hooks", hook)
    assert (work.command, work.sure) == ("make", False), "it records no end"
    assert Claude().shell()[0].sure


@pytest.mark.parametrize("flag", [True, False, None])
def test_the_stream_of_a_headless_run(flag: bool | None) -> None:
    """2.1.329 says which tasks are in the background; 2.1.197 tells of all, and its tool results say it."""
    reader = headless_for("claude").reader((2, 1, 329))
    row: dict[str, Any] = {"type": "system", "subtype": "task_started", "task_id": "b1", "tool_use_id": "t1",
                           "task_type": "local_bash", "description": "tests"}  # fmt: skip
    if flag is not None:
        row["is_backgrounded"] = flag
    begun = [f for f in reader.row("stream", row) if isinstance(f, Background)]
    assert [w.command for w in begun] == (["tests"] if flag else [])
    note = {"type": "system", "subtype": "task_notification", "task_id": "b1", "status": "stopped"}
    ended = [f for f in reader.row("stream", note) if isinstance(f, Background)]
    assert [w.how for w in ended] == (["killed"] if flag else [])


# ---- whose tools ----


@pytest.mark.parametrize(
    ("env", "whose"),
    [
        ({"CLAUDECODE": "1", "GIT_EDITOR": "true"}, "main"),
        ({"CLAUDECODE": "1", "CLAUDE_PROJECT_DIR": "/w"}, ""),  # an MCP server, a hook, a status line: 2.1
        ({"CLAUDE_PROJECT_DIR": "/w"}, ""),  # the same: 2.0
        ({"HOME": "/"}, ""),
    ],
)
def test_whose_tool_of_claude(env: dict[str, str], whose: str) -> None:
    for reader in (adapter_for("claude").reader((2, 1, 329)), headless_for("claude").reader((2, 1, 329))):
        assert reader.marks_tools and reader.whose_tool(env, True) == whose

"""Background work: what the CLIs record of it, what the process table shows, and what becomes of both."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.catalogue import adapter_for, headless_for
from harnex.agents.claude.declared import program_status
from harnex.agents.contract import Reader
from harnex.machines import background as b
from harnex.model.facts import Background, Fact, Observation, State
from harnex.supervisor import tool_processes

CORPUS = Path(__file__).parents[2] / "corpus"
NOTE = (
    "<task-notification>\n<task-id>{}</task-id>\n<output-file>/tmp/x</output-file>\n<status>{}</status>\n"
    '<summary>Background command "tests" completed (exit code 0)</summary>\n</task-notification>'
)


# ---- what the CLIs record ----


def recorded(path: Path) -> list[Background]:
    """The background facts of a recorded session, as the reader tells them."""
    about = json.loads((path / "case.json").read_text())
    version = tuple(int(n) for n in about["version"].split("."))
    reader = adapter_for(about["cli"]).reader(version)
    facts: list[Fact] = []
    for line in gzip.decompress((path / "stream.jsonl.gz").read_bytes()).splitlines():
        item = json.loads(line)
        if item["kind"] == "spawn":
            facts += reader.spawned(item["pid"], item["env"], item["cwd"])
        elif item["kind"] == "row":
            facts += reader.row(item["source"], item["row"])
    return [f for f in facts if isinstance(f, Background)]


@pytest.mark.parametrize(
    "case",
    [
        "claude/1.0.128/run-background-shell",
        "claude/2.1.197/run-background-shell",
        "claude/2.1.329/run-background-shell",
        "codex/0.104.0/run-background-shell",
        "codex/0.145.0/run-background-shell",
        "codex/0.169.0/run-background-shell",
    ],
)
def test_a_shell_that_outlives_its_turn(case: str) -> None:
    """Told once, though hook and transcript both have it; nothing says that it ended, since it did not."""
    (work,) = recorded(CORPUS / case)
    assert (work.status, work.kind, work.command, work.agent) == ("started", "shell", "sleep 25", "main")


@pytest.mark.parametrize("version", ["2.1.197", "2.1.329"])
def test_a_sub_agent_that_works_on(version: str) -> None:
    begun, ended = recorded(CORPUS / f"claude/{version}/run-background-agent")
    assert (begun.status, begun.kind, begun.command) == ("started", "agent", "Do the PART of the work")
    assert (ended.status, ended.work_id, ended.how, ended.told) == ("ended", begun.work_id, "completed", True)


def test_a_monitor_and_a_shell() -> None:
    works = recorded(CORPUS / "claude/2.1.329/run-background-monitor")
    assert sorted((w.status, w.kind, w.command) for w in works) == [
        ("started", "monitor", "sleep 25"),
        ("started", "shell", "sleep 26"),
    ]


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*/run-*")), ids=lambda p: "/".join(p.parts[-3:]))
def test_nothing_else_is_work_in_the_background(path: Path) -> None:
    """Every recorded session of both CLIs: foreground tools, sub-agents that are waited for, dialogs, failures."""
    if not (path / "stream.jsonl.gz").exists() or "background" in path.name:
        return
    works = recorded(path)
    if path.name == "run-sub-agent":  # 2.1.329 puts it into the background by itself, Codex always does
        assert all(w.kind == "agent" for w in works)
    else:
        assert works == []


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


def test_whose_tool_of_codex() -> None:
    marked = {"CODEX_THREAD_ID": "th-1", "HARNEX_RUN_ID": "r"}
    assert Codex().reader.whose_tool(marked, False) == "main"
    assert Codex().reader.whose_tool({"HARNEX_RUN_ID": "r"}, True) == "", "its own helpers"
    old = Codex((0, 80)).reader
    assert old.whose_tool({"HARNEX_RUN_ID": "r"}, True) == "main"
    assert old.whose_tool({"HARNEX_RUN_ID": "r"}, False) == "", "the program itself, its notify command"
    assert old.whose_tool({}, True) == "", "an MCP server gets next to no environment"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("1 shell still running", State.PROMPT),
        ("2 shells, 1 monitor still running", State.PROMPT),
        ("1 monitor still running", State.PROMPT),
        ("1 agent still running", State.BUSY),
        ("running the tests, 1 shell still running", State.BUSY),
    ],
)
def test_what_osc_7501_says_of_the_background(said: str, state: State) -> None:
    from base64 import b64encode

    seen = program_status(f"state=working:app=claude-code:msg={b64encode(said.encode()).decode()}")
    assert isinstance(seen, Observation) and seen.state is state


# ---- the machine ----


class Table:
    """A process table that the test moves; `now` in seconds."""

    def __init__(self) -> None:
        self.work = b.Backgrounds()
        self.now = 100.0
        self.processes: dict[int, b.Process] = {}
        self.said: list[b.Change] = []

    def runs(self, pid: int, command: str, parent: int = 1, detached: bool = False) -> None:
        self.processes[pid] = b.Process(pid, f"{pid}@x", parent, command, "main", 1000.0 + self.now, detached)

    def records(self, work: str, command: str, kind: str = "shell", sure: bool = False) -> None:
        fact = Background(work, "started", kind, command, sure=sure)  # type: ignore[arg-type]
        self.said += self.work.take(fact, 1000.0 + self.now)

    def look(self, seconds: float = 0.0) -> list[tuple[str, str, str]]:
        self.now += seconds
        changes = self.work.look(self.processes.values(), self.now)
        self.said += changes
        return [(c.status, c.work.command, c.how) for c in changes]

    @property
    def running(self) -> list[str]:
        return [w.command for w in self.work.running.values()]


def test_a_process_that_no_record_names_counts_when_it_lives_on() -> None:
    """A tool that was killed needs a moment to be gone."""
    t = Table()
    t.runs(10, "/bin/bash -lc make watch")
    t.runs(11, "sleep 0.1")
    t.runs(12, "node x.js", parent=10)
    assert t.look() == [] and t.work.unsure
    assert t.work.wake_at() == pytest.approx(t.now + b.PROOF_S)
    del t.processes[11]
    assert t.look(b.PROOF_S) == [("started", "make watch", "")], (
        "one work, whatever it started; named without its shell"
    )
    assert not t.work.unsure
    del t.processes[10]
    assert t.look(5) == [], "what it started is of it, and lives"
    del t.processes[12]
    assert t.look(5) == [("ended", "make watch", "gone")]


def test_a_recorded_command_is_not_told_twice() -> None:
    t = Table()
    t.records("b1", "make test && echo 'it is done'")
    t.runs(10, "/bin/bash -c -l source /x/snapshot.sh && eval 'make test && echo '\"'\"'it is done'\"'\"'' < /dev/null")
    t.runs(11, "make test", parent=10)
    assert t.look() == [] and t.look(5) == []
    assert t.running == ["make test && echo 'it is done'"]
    t.processes.clear()
    assert t.look(1) == [], "the CLI's own word on its end is waited for"
    assert t.look(b.GONE_S) == [("ended", "make test && echo 'it is done'", "gone")]


def test_a_program_that_changes_its_own_name_is_still_that_command() -> None:
    t = Table()
    t.records("b1", "npm start")
    t.runs(10, "next-server (v14)")
    assert t.look() == [] and t.look(5) == []
    t.runs(20, "tail -f log", detached=True)
    assert t.look() == [] and t.look(b.PROOF_S) == [("started", "tail -f log", "")]


def test_where_the_cli_records_ends_its_word_is_believed() -> None:
    """No process of it was ever seen (it hides, or there is none): it runs until the CLI says otherwise."""
    t = Table()
    t.records("b1", "make", sure=True)
    t.records("b2", "sh x")
    assert t.look() == [] and t.look(b.UNSEEN_S - 1) == []
    assert t.look(1) == [("ended", "sh x", "gone")], "of this one nothing would tell"
    assert t.look(10_000) == [] and t.running == ["make"]
    ended = t.work.take(Background("b1", "ended", how="completed", told=True), 0.0)
    assert [(c.how, c.told) for c in ended] == [("completed", True)]


def test_sub_agents_at_work_have_tools_of_their_own() -> None:
    t = Table()
    t.records("a1", "look around", "agent")
    t.runs(10, "grep -r x")
    assert t.look() == [] and t.look(30) == [] and t.running == ["look around"]
    t.work.take(Background("a1", "ended"), 0.0)
    assert t.look(0.1) == []
    assert t.look(b.PROOF_S) == [("started", "grep -r x", "")], "it outlived the agent"


def test_a_turn_makes_the_table_mean_nothing() -> None:
    t = Table()
    t.runs(10, "make")
    t.look()
    t.work.turn_opened()
    assert not t.work.unsure and t.work.wake_at() is None


@pytest.mark.parametrize("in_turn", [False, True])
def test_the_last_look_knows_what_was_left_running(in_turn: bool) -> None:
    """In the middle of a turn an attached process is of the tool at work; a detached one was left behind."""
    t = Table()
    t.runs(10, "pytest")
    t.runs(11, "python -m http.server", detached=True)
    begun = t.work.look_last(t.processes.values(), t.now, in_turn)
    assert [c.work.command for c in begun] == (
        ["python -m http.server"] if in_turn else ["pytest", "python -m http.server"]
    )
    killed = t.work.all_gone()
    assert [(c.status, c.how) for c in killed] == [("ended", "killed")] * len(begun)
    assert t.running == []


def test_a_shell_that_outlives_a_cli_that_called_it_killed() -> None:
    """Claude Code 2.0.77, headless: the same command, by its own words, not by what the shell was given."""
    t = Table()
    t.records("b1", "make test")
    t.work.take(Background("b1", "ended", how="killed"), 0.0)
    t.runs(10, "/bin/bash -c -l source /x/snapshot.sh && eval 'make test' \\< /dev/null", detached=True)
    (begun,) = t.work.orphaned(t.processes.values(), t.now)
    assert (begun.status, begun.work.command) == ("started", "make test")


@given(st.data())
def test_each_work_begins_and_ends_once(data: st.DataObject) -> None:
    """Whatever comes in whatever order: every end is of something that began, and nothing begins twice before it ended."""
    t = Table()
    open_: set[str] = set()

    def check(changes: Iterable[b.Change]) -> None:
        for change in changes:
            key = change.work.work_id
            assert (key in open_) is (change.status == "ended")
            (open_.remove if change.status == "ended" else open_.add)(key)

    for _ in range(data.draw(st.integers(1, 30))):
        what = data.draw(st.sampled_from(("record", "end", "process", "gone", "look", "turn", "orphaned", "last")))
        number = data.draw(st.integers(1, 4))
        if what == "record":
            kind = data.draw(st.sampled_from(("shell", "agent", "monitor", "timer", "task")))
            fact = Background(f"w{number}", "started", kind, f"command{number}", sure=number % 2 == 0)
            check(t.work.take(fact, 0.0))
        elif what == "end":
            check(t.work.take(Background(f"w{number}", "ended", how="completed"), 0.0))
        elif what == "process":
            t.runs(number, f"sh -c command{number}", parent=data.draw(st.integers(0, 4)), detached=number == 3)
        elif what == "gone":
            t.processes.pop(number, None)
        elif what == "turn":
            t.work.turn_opened()
        elif what == "orphaned":
            check(t.work.orphaned(t.processes.values(), t.now))
        elif what == "last":
            check(t.work.look_last(t.processes.values(), t.now, number % 2 == 0))
        else:
            t.now += data.draw(st.sampled_from((0.0, 0.5, 2.0, 11.0)))
            check(t.work.look(t.processes.values(), t.now))
        assert open_ == set(t.work.running)
    check(t.work.all_gone())
    assert open_ == set()


# ---- the process table itself ----


def test_the_table_of_this_machine() -> None:
    """A marked process is found with its command, its age and its parent; one that no tool marked is not."""
    env = {"HARNEX_RUN_ID": "the-run", "TOOL": "main", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "start_new_session": True}
    marked = subprocess.Popen(command, env=env, **options)
    helper = subprocess.Popen(command, env={**env, "TOOL": ""}, **options)
    other = subprocess.Popen(command, env={**env, "HARNEX_RUN_ID": "another"}, **options)
    seen: list[bool] = []

    def whose(env: Any, apart: bool) -> str:
        seen.append(apart)
        return str(env.get("TOOL") or "")

    try:
        (found,) = tool_processes.tools("the-run", 1 << 30, whose)
        assert (found.pid, found.agent, found.detached) == (marked.pid, "main", True)
        assert found.command == " ".join(command) and seen == [True, True]
        import time

        assert abs(found.since - time.time()) < 60
    finally:
        for process in (marked, helper, other):
            process.communicate()

"""Work in the background of the real CLIs: what is known of it, who waits for it, what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import Agent

pytestmark = pytest.mark.timeout(150)
MCP = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    told = {}
    if asked["method"] == "initialize":
        told = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "t", "version": "1"}}
    elif asked["method"] == "tools/list":
        told = {"tools": []}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}), flush=True)
"""


def shell(agent: Agent, command: str) -> dict[str, Any]:
    """The CLI's own way to leave a command running."""
    if agent.cli == "claude":
        given = {"command": command, "description": "tests", "run_in_background": True}
        return {"raw": {"name": "Bash", "input": given}}
    return {"raw": {"name": "exec_command", "input": {"cmd": command, "yield_time_ms": 300}}}


def gate(agent: Agent) -> tuple[str, Path]:
    path = agent.place.base / "gate"  # (`until`: 2.0.77 puts a backslash before `!`)
    return f"until test -e '{path}'; do sleep 0.1; done; echo passed > result.txt", path


def mcp_server(agent: Agent) -> tuple[str, ...]:
    """Arguments that give the CLI an MCP server: a child that is no work of the agent."""
    script = agent.place.base / "mcp.py"
    script.write_text(MCP)
    if agent.cli == "codex":
        return ("-c", 'mcp_servers.t.command="python3"', "-c", f'mcp_servers.t.args=["{script}"]')
    path = agent.place.base / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"t": {"command": "python3", "args": [str(script)]}}}))
    return ("--mcp-config", str(path))


def waits(agent: Agent, seconds: float = 30) -> dict[str, Any]:
    """Until the watch waits for something; the record then."""
    return dict(agent.place.until(lambda: (r := agent.record("bg"))["waiting"] and r, seconds, "the watch waits"))


@pytest.mark.newest
def test_tests_in_the_background_are_waited_for(agent: Agent) -> None:
    """`I wait for the tests` is no end. Claude Code goes on by itself when they have ended; Codex has to be told."""
    command, path = gate(agent)
    calls = ({"text": "They run.", "tools": [shell(agent, command)]}, "I wait for the tests.", "The tests passed.")
    run = ("--watch", "--auto-stop", "--context", "Run the tests.")
    agent.start("bg", *calls, run=run, args=mcp_server(agent))
    record = waits(agent)
    assert (record["state"], record["waiting"]["for"]) == ("prompt", "background")
    (work,) = record["background"]
    assert (work["kind"], work["command"], work["by"]) == ("shell", command, "main")
    path.touch()
    end = agent.place.json("wait", "--id", "bg", "--until", "exited", "--timeout", "60")["exit"]
    assert (end["reason"], end["killed"]) == ("success", [])
    assert (agent.place.work / "result.txt").read_text() == "passed\n"
    rows = agent.check_ended("bg")
    assert [r["last_message"] for r in rows if r["type"] == "task_complete"] == [
        "I wait for the tests.",
        "The tests passed.",
    ]
    assert [r["status"] for r in rows if r["type"] == "background"] == ["started", "ended"]
    assert [r["reason"] for r in rows if r["type"] == "nudge"] == ([] if agent.cli == "claude" else ["background"])


@pytest.mark.newest
def test_what_never_ends_is_named_when_it_was_killed(agent: Agent) -> None:
    """A server, and processes that no record names. The MCP server of the CLI is neither."""
    detached = "(nohup sleep 381 >/dev/null 2>&1 &); setsid sleep 382 >/dev/null 2>&1 & echo started"
    calls = ({"text": "It runs.", "tools": [shell(agent, "sleep 383 && true"), {"bash": detached}]}, "It serves.")
    run = ("--auto-stop", "--background-wait", "3s", "--context", "Serve.")
    agent.start("bg", *calls, run=run, args=mcp_server(agent))
    end = agent.place.json("wait", "--id", "bg", "--until", "exited", "--timeout", "60")["exit"]
    assert (end["reason"], end["code"]) == ("success", 0)  # Claude Code 2.1 asks `Background work is running` first
    killed = {work["command"]: work["kind"] for work in end["killed"]}
    expected = {"sleep 383 && true": "shell", "sleep 382": "process", "sleep 381": "process"}
    if agent.cli == "codex":
        del expected["sleep 381"]  # Codex ends what is in its tool's process group
    assert killed == expected
    rows = agent.check_ended("bg")
    assert rows[-1]["killed"] == end["killed"]
    said = [r["message"] for r in rows if r["type"] == "watch" and r["phase"] == "background"]
    assert any(words.startswith("still running after 3s") and "sleep 383" in words for words in said)


@pytest.mark.newest
def test_a_sub_agent_in_the_background_is_waited_for(agent: Agent) -> None:
    """2.0.77 and Codex are at their prompt while it works; Claude Code from 2.1 on is busy."""
    if agent.cli == "codex" and not agent.newest:
        pytest.skip("0.104 has no sub-agents")
    place = agent.place
    tool = {"agent": {"prompt": "Do the PART of the work", "description": "a part", "background": True}}
    step = {"text": "Working.", "tools": [{"bash": f"until test -e '{place.base / 'gate'}'; do sleep 0.1; done"}]}
    script = place.script({"tools": [tool]}, "I wait for it.", "It is done.", agents={"PART": [step, "Found."]})
    words = ("run", agent.cli, "--detach", "--id", "bg", "--rehearse", script, "--permissions", "bypass", "--watch")
    agent.run_ids["bg"] = place.json(*words, "--auto-stop", "--context", "Go.")["run_id"]
    place.until(lambda: agent.record("bg")["background"], 40, "the sub-agent works")
    if agent.cli == "codex" or not agent.newest:
        assert [w["kind"] for w in waits(agent)["background"]] == ["agent"]
    (place.base / "gate").touch()
    end = place.json("wait", "--id", "bg", "--until", "exited", "--timeout", "60")["exit"]
    assert (end["reason"], end["killed"]) == ("success", [])
    assert agent.events("bg", "task_complete")[-1]["last_message"] == "It is done."


@pytest.mark.newest
def test_a_headless_cli_that_does_not_exit(agent: Agent) -> None:
    """Seen of both: the result is there, and the process stays for ever."""
    wrapper = agent.bin / agent.cli
    wrapper.write_text(
        f'#!/bin/sh\ncase "$1" in --version|-v) exec "{agent.program}" "$@";; esac\n"{agent.program}" "$@"\nsleep 384\n'
    )
    wrapper.chmod(0o755)
    agent.env["PATH"] = f"{agent.bin}:{agent.env['PATH']}"
    words = ("exec", agent.cli, "--id", "stays", "--cli-version", agent.version, "--permissions", "bypass")
    command = agent.place.start(*words, "--rehearse", agent.place.script("Understood."), "Say it.")
    assert command.stdout is not None
    assert command.stdout.readline() == "Understood.\n"
    assert command.poll() is None and agent.record("stays")["last_outcome"]["outcome"] == "completed"
    _, err = command.communicate(timeout=60)
    assert command.returncode == 0 and "did not exit within 10 s" in err
    assert [r["reason"] for r in agent.place.json("history", "--json")] == ["success"]


@pytest.mark.newest
def test_a_headless_run_says_what_became_of_its_background(agent: Agent) -> None:
    """2.1.329 waits and goes on; 2.0.77 leaves it alone, and harnex waits for it; Codex ends it as it exits."""
    command = "sleep 3; echo passed > result.txt"
    calls = ({"text": "They run.", "tools": [shell(agent, command)]}, "I wait.", "They passed.")
    words = (
        "exec",
        agent.cli,
        "--id",
        "bg",
        "--permissions",
        "bypass",
        "--rehearse",
        agent.place.script(*calls),
        "Test.",
    )
    done = agent.place.run(*words, timeout=100)
    assert done.returncode == 0, done.stderr
    made = (agent.place.work / "result.txt").exists()
    goes_on = agent.cli == "claude" and agent.newest
    assert done.stdout == ("They passed.\n" if goes_on else "I wait.\n")
    (row,) = agent.place.json("history", "--json")
    assert made is (agent.cli == "claude")
    assert [work["command"] for work in row["killed"]] == ([] if made else [command])
    assert made or f"ended with the run: shell {command}" in done.stderr

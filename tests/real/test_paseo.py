"""The real Paseo with the real Claude Code and Codex in rehearsal: needs `paseo` on the PATH, else it says so and skips.

Run with 0.1.65-beta.5 (f3de568, built from its source). What the model server billed is the truth for the calls; what
`paseo` itself and the processes say afterwards is the truth for the endings.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest

from harnex.agents.catalogue import adapter_for
from tests.e2e.conftest import HARNEX, Harnex
from tests.real import agents
from tests.real.conftest import TOKENS, late_usage

pytestmark = pytest.mark.timeout(480)  # Node takes a second to start, and twenty on a machine that is swamped
PROVIDERS = {"claude": "claude/claude-opus-4-6", "codex": "codex/gpt-5.1-codex"}
SLOW = {"text": " ".join(f"word{n}" for n in range(60)), "pause": 3}


class Paseo:
    """Sessions of one place, with the newest pinned provider CLIs on the PATH."""

    def __init__(self, place: Harnex, program: str) -> None:
        self.place = place
        self.program = program
        bins = [str(agents.program(cli, agents.VERSIONS[cli][0]).parent) for cli in PROVIDERS]
        place.env["PATH"] = ":".join([*bins, str(Path(program).parent), os.environ["PATH"]])
        place.env["IS_SANDBOX"] = "1"  # for a daemon that a test starts as root
        self.run_ids: dict[str, str] = {}

    def start(self, name: str, cli: str, *calls: Any, run: tuple[str, ...] = ()) -> dict[str, Any]:
        script = self.place.script("ready", *calls)
        words = ("run", "paseo", "--provider", PROVIDERS[cli], "--detach", "--id", name, "--rehearse", script)
        reply = dict(self.place.json(*words, *run))
        self.run_ids[name] = reply["run_id"]
        self.wait(name, "prompt")
        return reply

    def wait(self, name: str, until: str, code: int = 0) -> dict[str, Any]:
        done = self.place.run("wait", "--id", name, "--until", until, "--timeout", "150", timeout=180)
        assert done.returncode == code, done.stdout
        return dict(json.loads(done.stdout))

    def send(self, name: str, text: str, *more: str, code: int = 0) -> dict[str, Any]:
        words = ("send", "--id", name, "--message", text, "--timeout", "150", *more)
        done = self.place.run(*words, timeout=180)
        assert done.returncode == code, done.stdout
        return dict(json.loads(done.stdout))

    def ends(self, name: str) -> list[tuple[str, str]]:
        rows = self.place.events(name)
        return [(r.get("outcome", "completed"), r.get("reason", "")) for r in rows if r["type"] in ENDS]

    def cut(self, name: str) -> list[str]:
        """What is told of an answer of which there is no record: a call without numbers, or words."""
        rows = self.place.events(name)
        calls = [r for r in rows if r["type"] == "call" and r["partial"]]
        assert all(r["output_tokens"] is None and r["total_tokens"] is None for r in calls)
        words = [r["what"] for r in rows if r["type"] == "diagnostic" and "interrupted before" in r["what"]]
        return ["call"] * len(calls) + ["words"] * len(words)

    def home(self, name: str) -> Path:
        return self.place.state / "runs" / self.run_ids[name] / "paseo"

    def left(self) -> list[list[str]]:
        """What still runs of Paseo and its agents, all of them programs of Node."""
        return [psutil.Process(pid).cmdline() for word in ("node ", "bin/paseo") for pid in self.place.running(word)]

    def check_calls(self, name: str) -> None:
        """Every call that was billed is there once, with its numbers."""
        path = self.place.state / "runs" / self.run_ids[name] / "rehearsal.jsonl"
        log = [json.loads(line) for line in path.read_text().splitlines()]
        billed = {r["id"]: r for r in log if r["event"] == "call" and r["kind"] == "main" and r["finished"]}
        calls = self.place.events(name, "call")
        assert [c["call_id"] for c in calls] == list(billed)
        for call in calls:
            assert {n: call[n] for n in TOKENS if call[n] is not None} == {
                n: billed[call["call_id"]][n] for n in TOKENS if call[n] is not None
            }


ENDS = ("task_complete", "turn_failed")


@pytest.fixture
def paseo(harnex: Harnex, request: pytest.FixtureRequest) -> Paseo:
    program = shutil.which("paseo")
    if program is None:
        pytest.skip("there is no `paseo` on the PATH (npm install -g @getpaseo/cli); its double is tested in tests/e2e")
    for cli in PROVIDERS:
        if not agents.installed(cli, agents.VERSIONS[cli][0]):
            pytest.skip(f"{cli} {agents.VERSIONS[cli][0]} is not installed: python tests/real/agents.py")
    late_usage(harnex.env, request)
    return Paseo(harnex, program)


def test_claude_two_turns_a_permission_a_question_a_failure(paseo: Paseo) -> None:
    outside = paseo.place.base / "outside"
    paseo.start(
        "c",
        "claude",
        {"text": "one", "tools": [{"bash": "echo hi"}]},
        "First answer.",
        {"text": "two", "tools": [{"bash": f"touch {outside}"}]},
        "After the permission.",
        {"tools": [{"ask": {"question": "Which one?", "options": ["A", "B"]}}]},
        "Thanks.",
        {"error": 400, "message": "scripted refusal", "times": 9},
    )
    assert paseo.send("c", '--first\n"turn" $HOME', "--wait-for-idle")["last_message"] == "First answer."
    blocked = paseo.send("c", "second", "--wait-for-idle", code=4)
    assert blocked["state"] == "blocked"
    assert not outside.exists()
    paseo.place.json("approve", "--id", "c")
    assert paseo.wait("c", "task_complete")["last_outcome"]["message"] == "After the permission."
    assert outside.exists()
    paseo.send("c", "third", "--wait-for-idle", code=4)
    record = paseo.place.json("status", "--json")[0]
    assert (record["dialog"], record["options"]) == ("question", ["A", "B"])
    paseo.place.json("approve", "--id", "c", "--option", "2")
    assert paseo.wait("c", "task_complete")["last_outcome"]["message"] == "Thanks."
    failed = paseo.send("c", "fourth", "--wait-for-idle", code=1)
    assert failed["outcome"] == "failed"
    paseo.check_calls("c")
    paseo.place.json("stop", "--id", "c")
    assert [e[0] for e in paseo.ends("c")] == ["completed", "completed", "completed", "failed"]
    assert paseo.left() == []


def test_codex_two_turns_and_a_failure(paseo: Paseo) -> None:
    """A 400 puts the agent into `error`: `send` would then fail and deliver all the same."""
    paseo.start(
        "x",
        "codex",
        {"tools": [{"bash": "echo hi"}]},
        "First.",
        {"error": 400, "message": "scripted refusal"},
        "Second.",
        run=BYPASS,
    )
    assert paseo.send("x", "one", "--wait-for-idle")["last_message"] == "First."
    assert paseo.send("x", "two", "--wait-for-idle", code=1)["outcome"] == "failed"
    assert paseo.send("x", "three", "--wait-for-idle")["last_message"] == "Second."
    paseo.check_calls("x")
    assert len(paseo.place.events("x", "turn_started")) == 3
    path = paseo.place.state / "runs" / paseo.run_ids["x"] / "rehearsal.jsonl"
    asked = [r for r in map(json.loads, path.read_text().splitlines()) if r["event"] == "request"]
    assert len(asked[-1]["prompts"]) == 4  # the conversation went on: the opening, one, two, three
    paseo.place.json("stop", "--id", "x")
    assert paseo.left() == []


BYPASS = ("--permissions", "bypass")


@pytest.mark.parametrize("cli", list(PROVIDERS))
def test_stop_in_the_middle_of_a_turn(paseo: Paseo, cli: str) -> None:
    """Claude's stop leaves a turn that never ends; it is climbed over, and nothing stays."""
    paseo.start("s", cli, SLOW, run=BYPASS)
    paseo.send("s", "work")
    paseo.wait("s", "busy")
    assert paseo.place.json("stop", "--id", "s", timeout=80)["reason"] == "stopped"
    assert paseo.ends("s") == [("interrupted", "interrupted")]
    assert paseo.cut("s") in (["call"], ["words"])  # whether the answer had begun depends on the machine
    assert paseo.left() == []
    assert paseo.place.running(cli) == []


def test_a_killed_daemon_ends_the_session_and_its_turn_is_failed(paseo: Paseo) -> None:
    paseo.start("k", "claude", SLOW, run=BYPASS)
    paseo.send("k", "work")
    paseo.wait("k", "busy")
    for process in daemon_processes(paseo.home("k")):
        process.kill()
    assert paseo.wait("k", "task_complete", code=1)["state"] == "exited"
    assert paseo.ends("k") == [("failed", "other")]
    assert paseo.cut("k") == ["call"]
    assert paseo.place.events("k", "exited")[0]["reason"] == "killed"
    assert paseo.place.running("claude") == []  # orphans would finish the turn, tools included


def test_a_hung_daemon_is_unknown_and_never_done(paseo: Paseo) -> None:
    paseo.start("h", "claude", SLOW, "after", run=BYPASS)
    paseo.send("h", "work")
    paseo.wait("h", "busy")
    held = daemon_processes(paseo.home("h"))
    for process in held:
        process.suspend()
    try:
        rows = paseo.place.until(
            lambda: [r for r in paseo.place.events("h", "state") if r["state"] == "unknown"], 60, "unknown"
        )
        assert "does not answer" in rows[-1]["reason"]
        assert paseo.ends("h") == []
    finally:
        for process in held:
            process.resume()
    paseo.wait("h", "busy")
    paseo.place.json("stop", "--id", "h", timeout=80)


def test_a_killed_supervisor_leaves_no_daemon(paseo: Paseo) -> None:
    reply = paseo.start("l", "claude", SLOW, run=BYPASS)
    os.kill(reply["supervisor_pid"], signal.SIGKILL)
    paseo.place.run("status")
    paseo.place.until(lambda: not paseo.left(), 15)
    assert paseo.place.json("history", "--json")[0]["reason"] == "supervisor_lost"


def test_watched_a_daemon_that_dies_is_started_again_and_its_agent_goes_on(paseo: Paseo) -> None:
    """The whole job: the task, a crash in the middle of it, the same agent and conversation again, the check, the end."""
    script = paseo.place.script("ready", {"tools": [{"bash": "echo hi"}]}, SLOW, "All done.")
    words = ("run", "paseo", "--provider", PROVIDERS["claude"], "--id", "w", "--rehearse", script, *BYPASS)
    watch = ("--watch", "--preset", "impl", "--auto-stop", "--verify", "test -d .", "--context", "the task")
    person = paseo.place.start(*words, *watch)
    record = paseo.place.until(lambda: [r for r in paseo.place.json("status", "--json") if r["calls"] == 2], 200)[0]
    paseo.run_ids["w"] = record["run_id"]
    for process in daemon_processes(paseo.home("w")):
        process.kill()
    out, err = person.communicate(timeout=240)
    assert person.returncode == 0, out + err
    assert [e[0] for e in paseo.ends("w")] == ["failed", "completed"]
    assert paseo.cut("w") == ["call"]
    assert {c["attempts"] for c in paseo.place.events("w", "call") if not c["partial"]} == {1}
    [restart] = paseo.place.events("w", "restart")
    assert (restart["resumed"], "daemon" in restart["reason"]) == (True, True)
    path = paseo.place.state / "runs" / paseo.run_ids["w"] / "rehearsal.jsonl"
    asked = [
        r for r in map(json.loads, path.read_text().splitlines()) if r["event"] == "request" and r["kind"] == "main"
    ]
    sha = hashlib.sha256(b"the task").hexdigest()
    assert sha in [p["sha256"] for p in asked[-1]["prompts"]]  # it knows what it was asked before
    assert paseo.left() == []


def test_the_view_takes_ctrl_c_as_an_interrupt(paseo: Paseo) -> None:
    paseo.start("v", "codex", SLOW, "After.", run=BYPASS)
    paseo.send("v", "work")
    paseo.wait("v", "busy")
    person = pexpect.spawn(HARNEX, ["attach", "--id", "v"], cwd=str(paseo.place.work), env=paseo.place.env, timeout=60)
    person.expect("word0")
    person.send("\x03")
    person.expect("interrupting the turn")
    paseo.wait("v", "task_complete", code=1)
    assert paseo.ends("v") == [("interrupted", "interrupted")]
    assert paseo.send("v", "go on", "--wait-for-idle")["last_message"] == "After."
    person.expect("After")
    person.send("\x1cd")
    person.expect(pexpect.EOF)
    person.close()
    paseo.place.json("stop", "--id", "v", timeout=80)


@pytest.fixture
def daemon(paseo: Paseo) -> Iterator[tuple[str, Path]]:
    """Somebody's own daemon, with a scripted model behind it; its address, and its home."""
    place = paseo.place
    home = place.base / "own" / ".paseo"
    home.mkdir(parents=True)
    port = free_port()
    script = place.script("made by hand", "First.", SLOW, "Second.", "Third.")
    endpoint = subprocess.Popen(
        [sys.executable, "-m", "harnex.rehearsal", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=place.env,
    )
    assert endpoint.stdout is not None
    url = json.loads(endpoint.stdout.readline())["base_url"]
    env = dict(place.env)
    for cli in PROVIDERS:
        rehearsal = adapter_for(cli).rehearsal(url, str(home.parent), str(place.work), None)
        assert rehearsal is not None
        for name, value in rehearsal.env.items():
            env.pop(name, None)
            env |= {name: value} if value is not None else {}
        for path, text in rehearsal.files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
    env["PASEO_HOME"] = place.env["PASEO_HOME"] = str(home)
    place.env["HOME"] = str(home.parent)
    config = adapter_for("paseo").__class__.__module__  # the product's own private configuration, on a port
    from harnex.agents.paseo.adapter import _config

    assert config == "harnex.agents.paseo.adapter"
    (home / "config.json").write_text(json.dumps(_config(f"127.0.0.1:{port}")))
    words = [paseo.program, "daemon", "start", "--no-relay", "--no-inject-mcp"]
    subprocess.run(words, env=env, check=True, capture_output=True, timeout=60)
    host = f"127.0.0.1:{port}"
    place.until(lambda: cli_json(paseo, host, "ls") is not None, 60, "the daemon answers")
    yield host, home
    subprocess.run(
        [paseo.program, "daemon", "stop", "--json", "--home", str(home)], env=env, capture_output=True, timeout=60
    )
    endpoint.kill()
    endpoint.communicate()


def test_adopted_on_somebodys_daemon_which_goes_on(paseo: Paseo, daemon: tuple[str, Path]) -> None:
    host, _ = daemon
    made = cli_json(
        paseo, host, "run", "--provider", PROVIDERS["claude"], "--title", "own", "--mode", "bypassPermissions",
        "--cwd", str(paseo.place.work), "--", "hello",
    )  # fmt: skip
    assert made is not None
    words = ("run", "paseo", "--paseo-host", host, "--adopt", made["agentId"], "--detach", "--id", "a")
    paseo.place.json(*words)
    paseo.wait("a", "prompt")
    assert paseo.place.events("a", "call") == []  # what was before is not this run's
    assert paseo.send("a", "one", "--wait-for-idle")["last_message"] == "First."
    assert len(paseo.place.events("a", "call")) == 1
    paseo.send("a", "slow")
    paseo.wait("a", "busy")
    replaced = paseo.send("a", "instead", "--force", "--wait-for-idle")
    assert "cancels the running turn" in replaced["note"]
    assert paseo.ends("a") == [("completed", ""), ("interrupted", "interrupted"), ("completed", "")]
    paseo.place.json("stop", "--id", "a")
    left = cli_json(paseo, host, "inspect", made["agentId"])
    assert left is not None
    assert (left["Status"], left["Archived"]) == ("idle", False)
    again = paseo.place.run("run", "paseo", "--paseo-host", host, "--adopt", "0-0-0-0-0", "--detach", "--id", "b")
    assert again.returncode == 1
    assert "there is no agent 0-0-0-0-0" in again.stdout


def cli_json(paseo: Paseo, host: str, *words: str) -> Any:
    """What `paseo` itself says; None: it failed."""
    done = subprocess.run(
        [paseo.program, words[0], "--json", "--host", host, *words[1:]],
        env=paseo.place.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def daemon_processes(home: Path) -> list[psutil.Process]:
    root = psutil.Process(json.loads((home / "paseo.pid").read_text())["pid"])
    return [root, *(p for p in root.children() if "node" in p.name())]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])

"""Sessions on the double of Paseo, and somebody's own daemon: what the end-to-end tests of Paseo share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Harnex

ROOT = Path(__file__).parents[2]
SLOW = ["text", " ".join(f"w{n}" for n in range(400)), 1.0]


class Paseo:
    """Sessions on the double; `cli` is its own word, as a naive program would take it."""

    def __init__(self, place: Harnex) -> None:
        self.place = place
        bin_dir = place.base / "bin"
        bin_dir.mkdir()
        program = bin_dir / "paseo"
        program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.paseo.cli "$@"\n')
        program.chmod(0o755)
        self.calls_file = place.base / "calls.jsonl"
        place.env |= {
            "PATH": f"{bin_dir}:{os.environ['PATH']}",
            "DOUBLE_SPEED": "20",
            "DOUBLE_CALLS": str(self.calls_file),
        }
        self.runs: dict[str, dict[str, Any]] = {}

    def start(self, name: str, cli: str = "claude", *more: str, mode: str = "bypass") -> None:
        words = ("run", "paseo", "--provider", f"{cli}/some-model", "--detach", "--id", name, "--permissions", mode)
        self.runs[name] = self.place.json(*words, *more)
        self.place.ok("wait", "--id", name, "--until", "prompt", "--timeout", "30")

    def send(self, name: str, *steps: Any, code: int = 0, more: tuple[str, ...] = ("--wait-for-idle",)) -> Any:
        words = ("send", "--id", name, "--message", f"Do it. SCRIPT:{json.dumps(steps)}", "--timeout", "40", *more)
        done = self.place.run(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def ends(self, name: str) -> list[str]:
        kinds = ("task_complete", "turn_failed")
        return [r.get("outcome", "completed") for r in self.place.events(name) if r["type"] in kinds]

    def cut(self, name: str) -> list[str]:
        """What is told of an answer of which there is no record: a call without numbers, or words."""
        rows = self.place.events(name)
        calls = [r for r in rows if r["type"] == "call" and r["partial"]]
        assert all(r["output_tokens"] is None and r["total_tokens"] is None for r in calls)
        words = [r["what"] for r in rows if r["type"] == "diagnostic" and "interrupted before" in r["what"]]
        return ["call"] * len(calls) + ["words"] * len(words)

    def home(self, name: str) -> Path:
        return self.place.state / "runs" / self.runs[name]["run_id"] / "paseo"

    def agent(self, name: str) -> dict[str, Any]:
        return dict(json.loads(next(self.home(name).glob("agents/*/*.json")).read_text()))

    def cli(self, name: str, *words: str) -> Any:
        listen = json.loads((self.home(name) / "config.json").read_text())["daemon"]["listen"]
        env = {**self.place.env, "PASEO_HOST": listen, "PASEO_HOME": str(self.home(name))}
        done = subprocess.run(
            ["paseo", *words, "--json"], env=env, capture_output=True, text=True, timeout=20, check=False
        )
        return json.loads(done.stdout) if done.stdout else json.loads(done.stderr)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def daemon(self, name: str) -> psutil.Process:
        return psutil.Process(json.loads((self.home(name) / "paseo.pid").read_text())["pid"])

    def busy(self, name: str, *steps: Any) -> None:
        self.send(name, *steps, more=())
        self.place.ok("wait", "--id", name, "--until", "busy", "--timeout", "10")

    def state(self, name: str) -> str:
        return str(next(r for r in self.place.json("status", "--json") if r["id"] == name)["state"])

    def until_state(self, name: str, state: str, seconds: float = 20) -> None:
        self.place.until(lambda: self.state(name) == state, seconds, f"{state}, not {self.state(name)}")


@pytest.fixture
def paseo(harnex: Harnex) -> Paseo:
    return Paseo(harnex)


@pytest.fixture
def own(paseo: Paseo) -> Any:
    """A daemon that is not harnex's, with an agent on it: (host, agent id, `paseo` there)."""
    home = paseo.place.base / "home" / ".paseo"
    env = {**paseo.place.env, "PASEO_HOME": str(home)}
    # Below those that clients get: one that asks for it while nobody listens may be connected to itself.
    port = 20000 + os.getpid() % 10000
    host = f"127.0.0.1:{port}"

    def there(*words: str) -> Any:
        done = subprocess.run(["paseo", *words], env=env, capture_output=True, text=True, timeout=20, check=False)
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else None

    def begin() -> None:
        there("daemon", "start", "--port", str(port))
        paseo.place.until(lambda: there("ls", "--json", "--host", host) is not None, 40)

    home.mkdir(parents=True)
    begin()
    words = (
        "run",
        "--json",
        "--host",
        host,
        "--provider",
        "claude/m",
        "--title",
        "own",
        "--cwd",
        str(paseo.place.work),
    )
    made = there(*words, "--mode", "bypassPermissions", "hello")
    yield host, made["agentId"], there, begin, home
    there("daemon", "stop", "--json")


Own = tuple[str, str, Callable[..., Any], Callable[[], None], Path]

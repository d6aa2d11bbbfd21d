"""End-to-end tests run the installed `harnex` command, with the scripted TUI as the agent.

Every test has a state directory and a work tree of its own. After each test nothing may be
left: no session, no process that carries the test's marker, no socket. What is left is
ended, and fails the test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

HARNEX = os.path.join(os.path.dirname(sys.executable), "harnex")
MARKER = "HARNEX_TEST_MARK"


def hear_interrupts() -> None:
    """Reset SIGINT in the child: a shell's background job (a CI runner) has
    its children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Harnex:
    """Runs commands in one place. `work` is the repository, `state` the state directory."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.work = base / "wörk tree"
        (self.work / ".git").mkdir(parents=True)
        self.state = base / "state"
        self.mark = f"{os.getpid()}-{base.name}-{time.monotonic_ns()}"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("HARNEX_", "TMUX", "CLAUDE", "CODEX"))}
        self.env |= {
            "HARNEX_STATE_DIR": str(self.state),
            "HOME": str(base / "home"),
            "TERM": "xterm-256color",
            MARKER: self.mark,
            # The tests have tmux servers of their own, never the one that a person works in.
            "TMUX_TMPDIR": str(base),
        }
        (base / "home").mkdir()
        self.program = [HARNEX]

    def customize(self, code: str) -> None:
        """Run this code at the start of every Python process of harnex, by a virtual environment on
        top of the installed one.

        harnex's own processes ignore PYTHONPATH, so a `sitecustomize` there would not reach them.
        """
        venv = self.base / "venv"
        site = venv / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
        site.mkdir(parents=True)
        (venv / "bin").mkdir()
        base = os.path.realpath(sys.executable)
        (venv / "bin" / "python").symlink_to(base)
        (venv / "pyvenv.cfg").write_text(f"home = {os.path.dirname(base)}\ninclude-system-site-packages = false\n")
        (site / "installed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        (site / "sitecustomize.py").write_text(code)
        self.program = [str(venv / "bin" / "python"), HARNEX]

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, and check nothing."""
        settings: dict[str, Any] = {
            "cwd": self.work,
            "env": self.env,
            "capture_output": True,
            "text": True,
            "timeout": 50,
            "stdin": subprocess.DEVNULL,
            "preexec_fn": hear_interrupts,
        }
        settings |= options
        if "input" in settings:
            settings.pop("stdin")
        return subprocess.run([*self.program, *words], check=False, **settings)

    def ok(self, *words: str, **options: Any) -> str:
        """Run one command that must succeed. Returns its output."""
        done = self.run(*words, **options)
        assert done.returncode == 0, f"harnex {words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return str(done.stdout)

    def json(self, *words: str, **options: Any) -> Any:
        return json.loads(self.ok(*words, **options))

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start one command in the background."""
        settings: dict[str, Any] = {
            "cwd": self.work,
            "env": self.env,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.DEVNULL,
            "text": True,
            "preexec_fn": hear_interrupts,
        }
        return subprocess.Popen([*self.program, *words], **(settings | options))

    def trust(self, text: str) -> None:
        """Write this file into the repository, with the consent of its person."""
        (self.work / ".harnex.toml").write_text(text)
        self.ok("trust")

    def script(self, *calls: Any, **more: Any) -> str:
        """Write a rehearsal script with these answers."""
        path = self.base / f"script-{time.monotonic_ns()}.json"
        path.write_text(json.dumps({"calls": list(calls), **more}))
        return str(path)

    def agent(
        self, session_id: str, *calls: Any, run: tuple[str, ...] = (), tui: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Start the scripted TUI, detached and rehearsed, and wait for its prompt.

        Returns the reply of `run`.
        """
        script = self.script(*calls)
        log = str(self.base / f"{session_id}.truth")
        reply = self.json(
            "run", "demo", "--detach", "--id", session_id, "--rehearse", script, *run, "--", "--log", log, *tui
        )
        return dict(reply)

    def truth(self, session_id: str) -> list[dict[str, Any]]:
        """Return what the scripted TUI itself wrote about its states and
        the prompts that it took."""
        path = self.base / f"{session_id}.truth"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def prompts(self, session_id: str) -> list[str]:
        return [row["text"] for row in self.truth(session_id) if row.get("event") == "accepted"]

    def events(self, session_id: str, kind: str | None = None) -> list[dict[str, Any]]:
        out = self.ok("events", "--snapshot", "--id", session_id)
        rows = [json.loads(line) for line in out.splitlines()]
        return [r for r in rows if kind is None or r["type"] == kind]

    def marked(self) -> list[psutil.Process]:
        """Return the living processes of this test."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARKER) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def running(self, word: str) -> list[int]:
        """Return the pids of this test's processes with `word` in their command line."""
        found = []
        for process in self.marked():
            try:
                if word in " ".join(process.cmdline()):
                    found.append(process.pid)
            except psutil.Error:
                continue  # the process has just ended
        return found

    def until(self, condition: Callable[[], Any], seconds: float = 15.0, what: str = "") -> Any:
        """Poll for a condition that no command can wait for.

        Fails loudly if the condition does not come.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"did not come within {seconds} s: {what or condition}")


def leftovers(place: Harnex) -> list[str]:
    """Return what is left after a test, in words. Ends the processes."""
    words = []
    subprocess.run(["tmux", "kill-server"], env=place.env, capture_output=True, check=False)
    end = time.monotonic() + 3.0
    while (processes := place.marked()) and time.monotonic() < end:
        time.sleep(0.05)
    for process in processes:
        try:
            words.append(f"process {process.pid}: {' '.join(process.cmdline())[:250]}")
            os.kill(process.pid, signal.SIGKILL)
        except (psutil.Error, OSError):
            continue
    if place.state.is_dir() and os.access(place.state, os.R_OK | os.X_OK):
        words += [f"session file {p.name}" for p in place.state.glob("sessions/*.json")]
        words += [f"socket {p.name}" for p in place.state.glob("sock/*")]
    return words


@pytest.fixture
def harnex(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Harnex]:
    """A place to run harnex in.

    A test that passes must have stopped its live sessions, or they end here.
    """
    place = Harnex(tmp_path)
    yield place
    out = place.run("status", "--all", "--json") if place.state.exists() else None
    if out is not None and out.returncode == 0:
        for record in json.loads(out.stdout or "[]"):
            place.run("stop", "--force", "--id", record["run_id"])
    words = leftovers(place)
    allowed = request.node.get_closest_marker("leaves")
    if words and allowed is None:
        pytest.fail("left behind: " + "; ".join(words))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaves: this test leaves something behind on purpose (garbage in a registry)")

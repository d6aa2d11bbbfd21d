"""The real Codex and Claude Code in rehearsal: each test runs with every pinned version of each CLI.

The model is scripted, on loopback; the CLI's home is private to the run. The endpoint's log says what
was asked and billed, when: that is the truth that harnex is held against.

In the modules of `LATE` the final usage of an answer comes up to a second late, as with the real providers
(`HARNEX_TEST_LATE=1`: in all; `0`: in none; it costs half a second a model call). How late follows from a seed that a test
which fails prints; `HARNEX_TEST_SEED` takes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from harnex.rehearsal.__main__ import DEFAULTS
from tests.e2e.conftest import HARNEX, Harnex
from tests.e2e.conftest import harnex as harnex  # the fixture
from tests.real import agents

LATE = ("test_usage", "test_exec", "test_main_job")
SEED = int(os.environ.get("HARNEX_TEST_SEED") or random.SystemRandom().randrange(10**6))
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")

SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")


class Agent:
    """One real CLI, in one `Harnex` place."""

    def __init__(self, place: Harnex, cli: str, version: str) -> None:
        self.place = place
        self.cli = cli
        self.version = version
        self.numbers = tuple(map(int, version.split(".")))
        self.program = agents.program(cli, version)
        self.bin = place.base / "bin"
        self.bin.mkdir()
        self.env = place.env
        self.env["PATH"] = f"{self.program.parent}:{os.environ['PATH']}"
        self.run_ids: dict[str, str] = {}

    @property
    def newest(self) -> bool:
        """Whether it does what the newest does. (Which versions a test is played with is the mark `newest`.)"""
        return self.numbers >= tuple(map(int, agents.VERSIONS[self.cli][0].split(".")))

    @property
    def early(self) -> bool:
        """Whether it may record a call before its output is known: then that is null, or proven by a total."""
        return self.cli == "claude" and self.numbers < (2, 1, 197)

    def wrapped(self, before: str) -> tuple[str, ...]:
        """Put shell lines in front of the CLI; the options that `run` then needs."""
        wrapper = self.bin / self.cli
        wrapper.write_text(f'#!/bin/sh\n{before}\nexec "{self.program}" "$@"\n')
        wrapper.chmod(0o755)
        self.env["PATH"] = f"{self.bin}:{self.program.parent}:{os.environ['PATH']}"
        return ("--cli-version", self.version)

    def start(
        self, session_id: str, *calls: Any, run: tuple[str, ...] = (), args: tuple[str, ...] = (), bypass: bool = True
    ) -> dict[str, Any]:
        """Start it detached, in rehearsal with this script; the reply of `run`."""
        words = ["run", self.cli, "--detach", "--id", session_id, "--rehearse", self.place.script(*calls)]
        words += ["--permissions", "bypass" if bypass else "ask", *run]
        reply: dict[str, Any] = self.place.json(*words, *(("--", *args) if args else ()))
        self.run_ids[session_id] = str(reply["run_id"])
        return reply

    def send(self, session_id: str, text: str, *more: str) -> dict[str, Any]:
        """Send a message and wait for its answer."""
        words = ("send", "--id", session_id, "--message", text, "--wait-for-idle", "--timeout", "40", *more)
        return dict(self.place.json(*words))

    def wait(self, session_id: str, until: str, timeout: float = 30) -> dict[str, Any]:
        return dict(self.place.json("wait", "--id", session_id, "--until", until, "--timeout", str(timeout)))

    def stop(self, session_id: str) -> dict[str, Any]:
        return dict(self.place.json("stop", "--id", session_id))

    def record(self, session_id: str) -> dict[str, Any]:
        """What `status` says of it."""
        rows = [r for r in self.place.json("status", "--json") if r["id"] == session_id]
        assert len(rows) == 1, f"{session_id} is not live"
        return dict(rows[0])

    def events(self, session_id: str, *kinds: str) -> list[dict[str, Any]]:
        rows = self.place.events(session_id)
        return [r for r in rows if not kinds or r["type"] in kinds]

    def until_event(self, session_id: str, kind: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait until `count` events of a type, with these fields, are in the log; the last one of them.

        Follows `events`, as a script would.
        """
        command = self.place.start("events", "--follow", "--id", session_id, "--type", kind)
        timer = threading.Timer(30, command.kill)
        timer.start()
        try:
            assert command.stdout is not None
            for line in command.stdout:
                row = dict(json.loads(line))
                if all(row.get(k) == v for k, v in fields.items()):
                    count -= 1
                    if count <= 0:
                        return row
        finally:
            timer.cancel()
            command.kill()
            command.communicate()
        raise AssertionError(f"no {kind} event with {fields} came")

    def log(self, run: str, event: str, kind: str = "main") -> list[dict[str, Any]]:
        """Rows of the endpoint's log: `request` as they came, `call` as they ended. `run`: id or run_id."""
        path = self.place.state / "runs" / self.run_ids.get(run, run) / "rehearsal.jsonl"
        rows = [json.loads(line) for line in path.read_text().split("\n") if line]
        return [r for r in rows if r["event"] == event and r["kind"] == kind]

    def check_ended(self, session_id: str) -> list[dict[str, Any]]:
        """Nothing of it is left, and its record is whole; its events."""
        place = self.place
        rows = self.events(session_id)
        assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
        assert (rows[0]["type"], rows[-1]["type"]) == ("started", "exited")
        assert [r["type"] for r in rows].count("exited") == 1
        run_id = rows[0]["run_id"]
        assert [r for r in place.json("status", "--json", "--all") if r["run_id"] == run_id] == []
        assert list(place.state.glob(f"sock/*{run_id}*")) == []
        assert self.of_run(run_id) == []
        assert len([r for r in place.json("history", "--json") if r["run_id"] == run_id]) == 1
        return rows

    def of_run(self, run_id: str) -> list[str]:
        """Command lines of living processes of a run."""
        found = []
        for process in self.place.marked():
            try:
                if process.environ().get("HARNEX_RUN_ID") == run_id:
                    found.append(" ".join(process.cmdline())[:200])
            except Exception:
                continue
        return found

    def windows(self) -> list[str]:
        """Names of the windows on the test's own tmux server; none: it has ended, too."""
        words = ["tmux", "list-windows", "-a", "-F", "#{window_name}"]
        return subprocess.run(words, env=self.env, capture_output=True, text=True, check=False).stdout.split()

    def tmux(self, *words: str) -> str:
        """A command on the test's own tmux server."""
        done = subprocess.run(["tmux", *words], env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Person:
    """Somebody at a terminal: runs a harnex command there, reads everything, types as people do."""

    def __init__(self, place: Harnex, *words: str) -> None:
        self.seen = b""
        self._place = place
        self._child = pexpect.spawn(
            HARNEX, list(words), env=place.env, cwd=str(place.work), dimensions=(40, 120), timeout=None
        )
        self._child.delaybeforesend = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self.seen += self._child.read_nonblocking(65536, timeout=None)
            except (pexpect.EOF, OSError, ValueError):
                return

    def press(self, keys: bytes) -> None:
        self._child.send(keys)

    def answers(self, keys: bytes, session_id: str) -> None:
        """Press what answers the dialog, as people do: again, while it is still there.

        Claude Code 2.1.329 takes no key for a moment after it painted a dialog (measured: 0.3 s and more).
        """

        def left() -> bool:
            words = ("status", "--json", "--id", session_id)
            return bool(self._place.json(*words)[0]["state"] != "blocked")

        for _ in range(5):
            self.press(keys)
            with contextlib.suppress(AssertionError):
                self._place.until(left, 2)
                return
        raise AssertionError(f"the dialog of {session_id} is still there:\n{self.text[-2000:]}")

    def type(self, text: str, session_id: str) -> None:
        """Key by key, with the pauses that a person makes; then Enter, when the text is to be seen.

        Keys that come together with Enter are taken for a paste by both CLIs.
        """
        for letter in text:
            self.press(letter.encode())
            time.sleep(0.04)
        self._place.until(lambda: text in self._place.ok("pane", "--id", session_id), what=f"{text!r} in the box")
        self.press(b"\r")

    @property
    def text(self) -> str:
        """What it printed so far, without the control sequences; blanks count once."""
        return " ".join(SEQUENCES.sub(" ", self.seen.decode("utf-8", "replace")).split())

    def sees(self, words: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < end, f"{words!r} is not to be seen:\n{self.text[-2000:]}"
            time.sleep(0.05)

    def detach(self) -> None:
        self.press(b"\x1cd")
        assert self.leaves() == 0

    def leaves(self, seconds: float = 20) -> int:
        """Wait for the command's end; its exit code."""
        self._reader.join(seconds)
        assert not self._reader.is_alive(), f"it goes on:\n{self.text[-2000:]}"
        self._child.close()
        assert self._child.exitstatus is not None, f"ended by signal {self._child.signalstatus}"
        return int(self._child.exitstatus)

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader.is_alive():
            self._child.close(force=True)


def late_usage(env: dict[str, str], request: pytest.FixtureRequest) -> None:
    """The endpoints of this test send the usage late, if its module is one of those."""
    wanted = os.environ.get("HARNEX_TEST_LATE")
    if wanted == "1" or (wanted != "0" and request.module.__name__.rpartition(".")[2] in LATE):
        print(f"the endpoint's seed: HARNEX_TEST_SEED={SEED}")
        env[DEFAULTS] = json.dumps({"usage_delay": [0, 1], "seed": SEED})


@pytest.fixture(params=agents.PINNED, ids=lambda p: f"{p[0]}-{p[1]}")
def agent(harnex: Harnex, request: pytest.FixtureRequest) -> Agent:
    """Every pinned CLI in turn."""
    cli, version = request.param
    if not agents.installed(cli, version):
        pytest.skip(f"{cli} {version} is not installed: python tests/real/agents.py")
    if shutil.which("node") is None:
        pytest.skip("node is not on the PATH")
    late_usage(harnex.env, request)
    return Agent(harnex, cli, version)


def stamp(path: Path) -> str:
    """A shell command that appends the time to a file."""
    return f"date +%s.%N >> '{path}'"

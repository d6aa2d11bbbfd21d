"""Records a real agent CLI in a scripted scenario, with the true state at every moment: the
corpus of `test_corpus.py`.

    python -m tests.record claude 2.1.329 short-answer [--columns 80 --rows 24]
    python -m tests.record codex 0.104.0 --all

The binaries are those of tests/real (`$HARNEX_TEST_CACHE` or ~/.cache/harnex-tests). A case is the
folder `tests/corpus/<cli>/<version>/<scenario>[-80x24]/`:

- `stream.jsonl`: all that a Reader could see, in order of time: `output` (text, or `b64`), `row`
  and `document` (with their source), `find` (from then on the file of that source is open), and
  beside them `input`, `label`, `exit`. The first line is `spawn`. Long strings inside rows are cut.
- `case.json`, and `screen.txt`: the last screen and what is true of it, in the form of the older,
  simpler cases.
- `session.cast`: the output once more, for a person to play.

A file of more than 6 KB is gzipped. Labels come from the script, the keys that were pressed and the
endpoint's own times. They come from the screen only if nothing else can know: when the box was
first painted, and when a dialog came up before everything else. The regular expressions below read
the screen for that, not those of the agents' readers.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harnex.agents.catalogue import adapter_for
from harnex.agents.contract import LaunchRequest, Permissions, Reader
from harnex.launch.environment import apply_env
from harnex.launch.files import write_files
from harnex.model.facts import Fact, FindFile, Follow
from harnex.rehearsal.endpoint.billing import BillingLog
from harnex.rehearsal.endpoint.script import parse
from harnex.rehearsal.endpoint.server import Rehearsal
from harnex.supervisor import evidence as evidence_module
from harnex.supervisor.child import Child
from harnex.supervisor.evidence import Evidence, descendants
from harnex.supervisor.feed import Terminal

CORPUS = Path(__file__).parent / "corpus"
GZIP_OVER = 6_000
STRING_MAX = 400
VERSIONS = {
    "codex": ("0.80.0", "0.104.0", "0.145.0", "0.169.0"),
    "claude": ("1.0.128", "2.0.77", "2.1.197", "2.1.329"),
}
PLACE = "/tmp/hxrec"
OUTSIDE = "/srv/hxrec-made.txt"
ENTER, ESC, DOWN = b"\r", b"\x1b", b"\x1b[B"

CLAUDE_RULE = re.compile(r"^[─━▔]{8}")
DIALOG_EYES = {  # the words by which a person recognises a dialog
    "permission": r"Do you want to (?:proceed|create|make)|Would you like to (?:run|make)",
    "question": r"☐ |Question 1/1",
    "plan": r"Would you like to proceed\?|Exit plan mode\?|Ready to code",
    "trust": r"Do you trust|Trust this folder|Accessing workspace|You are running Codex in",
    "login": r"Sign in with ChatGPT|Select login method",
    "api-key": r"Detected a custom API key",
    "bypass-warning": r"Bypass Permissions mode",
    "resume": r"(?i)resume (?:a previous )?session|Modified +Created",
    "other": r"(?i)select (?:a )?model|switch between|Choose (?:a )?model",
}


class NoScript:
    """Stands for the product's own recording: this module makes its own."""

    raw = True
    behind = False

    def output(self, at: float, data: bytes) -> None: ...
    def resized(self, at: float, columns: int, rows: int) -> None: ...
    def note_skipped(self, at: float, size: int) -> None: ...
    def close(self) -> None: ...


class Log(BillingLog):
    """The endpoint's log, kept with monotonic times."""

    def __init__(self) -> None:
        super().__init__(None)
        self.rows: list[tuple[float, str, dict[str, Any]]] = []

    def row(self, event: str, **fields: Any) -> None:
        self.rows.append((time.monotonic(), event, fields))


class Tap(Reader):
    """Passes everything on to the adapter's own reader, which names the files, and
    writes down what comes by."""

    def __init__(self, inner: Reader, note: Callable[..., None]) -> None:
        self.inner, self.note = inner, note

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        self.note("row", source=source, row=cut(row))
        return self.inner.row(source, row)

    def document(self, source: str, document: dict[str, Any] | None) -> Iterable[Fact]:
        self.note("document", source=source, document=cut(document))
        return self.inner.document(source, document)


class Finder(Evidence):
    """Notes when a wanted file could be found."""

    note: Callable[..., None]

    def _find(self, now: float, force: bool) -> list[Fact]:
        before = list(self._finds)
        facts = super()._find(now, force)
        for found in before:
            if found not in self._finds:
                self.note("find", source=found.source, pattern=found.held)
        return facts


def cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= STRING_MAX else value[:STRING_MAX] + "…"
    if isinstance(value, list):
        return [cut(v) for v in value[:40]]
    if isinstance(value, dict):
        # Codex's catalogue of instructions and Claude Code's lists of tools
        # say nothing about the state.
        return {k: cut(v) for k, v in value.items() if k not in ("base_instructions", "tools", "attachment", "env")}
    return value


class Failed(Exception):
    """The scenario did not go as it should."""


class Stage:
    """One session of a real CLI: drives it, watches it, labels it."""

    def __init__(self, cli: str, version: str, columns: int, rows: int) -> None:
        self.cli, self.version_text = cli, version
        self.version = tuple(int(n) for n in version.split("."))
        self.size = (columns, rows)
        self.adapter = adapter_for(cli)
        cache = os.environ.get("HARNEX_TEST_CACHE") or os.path.expanduser("~/.cache/harnex-tests")
        self.command = f"{cache}/{cli}-{version}/node_modules/.bin/{cli}"
        self.base = self._own_place()
        self.home, self.cwd = f"{self.base}/home", f"{self.base}/work"
        self.turns: list[dict[str, str]] | None = []
        self.child: Child | None = None
        self.endpoint: Rehearsal | None = None
        self._reset()

    def _own_place(self) -> str:
        os.makedirs(PLACE, exist_ok=True)
        for letter in "abcdefgh":
            place = f"{PLACE}/{letter}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(place, 0o700)
                for name in ("home", "work", "evidence"):
                    os.mkdir(f"{place}/{name}", 0o700)
                return place
        raise Failed(f"{PLACE} is full: remove it")

    def _reset(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.begun = time.monotonic()
        self.last_output = self.begun
        self.exited_at: float | None = None
        self.idle_since: float | None = None
        self.screens: list[tuple[float, Any]] = []

    # ---- start and end ----

    def start(
        self,
        calls: list[Any],
        permissions: Permissions = "ask",
        args: tuple[str, ...] = (),
        agents: dict[str, Any] | None = None,
        env: dict[str, str | None] | None = None,
        change: Callable[[dict[str, str]], None] | None = None,
        default: str = "The script is used up.",
        keep_home: bool = False,
    ) -> None:
        self.log = Log()
        self.endpoint = Rehearsal(parse({"calls": calls, "agents": agents or {}, "default": default}), self.log)
        self.endpoint.start()
        rehearsal = self.adapter.rehearsal(self.endpoint.base_url, self.home, self.cwd, self.version)
        assert rehearsal is not None
        files = dict(rehearsal.files)
        if change:
            change(files)
        plain = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SHELL": "/bin/bash",
            "USER": "dev",
            "TZ": "UTC",
            "npm_config_registry": "http://127.0.0.1:9/",  # no program here asks the network
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        child_env = apply_env(apply_env(plain, rehearsal.env), env or {})
        launch = self.adapter.launch(
            LaunchRequest(
                command=self.command,
                args=(*rehearsal.args, *args),
                version=self.version,
                cwd=self.cwd,
                env=child_env,
                permissions=permissions,
                trust=False,
                evidence_dir=f"{self.base}/evidence",
                new_session_id=str(uuid.uuid4()),
                as_root=os.geteuid() == 0,
                read_text=lambda path: files.get(path),
            )
        )
        if not keep_home or self.cli == "codex":
            write_files(files)
        shutil.rmtree(f"{self.base}/evidence")
        os.mkdir(f"{self.base}/evidence", 0o700)
        write_files(dict(launch.files))
        child_env = apply_env(child_env, launch.env)
        columns, rows = self.size
        self._reset()
        self.terminal = Terminal(columns, rows, NoScript(), self.begun)  # type: ignore[arg-type]
        wall = time.time()
        self.child = Child(launch.argv, child_env, self.cwd, columns, rows)
        reader = self.adapter.reader(self.version)
        self.evidence = Finder(Tap(reader, self.note), lambda: descendants(self.child.pid), self.begun)  # type: ignore[union-attr]
        self.evidence.note = self.note
        self.reader = reader
        names = ("HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "HARNEX_CLAUDE_HOOKS", "HARNEX_CODEX_EVIDENCE")
        env_said = {n: child_env[n] for n in names if n in child_env}
        self.note("spawn", pid=self.child.pid, cwd=self.cwd, wall=round(wall, 3), env=env_said)
        reader.began = wall
        self._follow(reader.spawned(self.child.pid, child_env, self.cwd))
        self.label("starting", "spawned", uncertain=0.0)

    def _follow(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            if isinstance(fact, Follow | FindFile):
                self.evidence.take(fact)

    def end(self) -> None:
        """Kill the CLI and clear up; the recording has ended before."""
        if self.child is not None:
            pids = descendants(self.child.pid)
            for pid in reversed(pids):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            for _ in range(100):
                if self.child.reap():
                    break
                time.sleep(0.02)
            self.child.close()
            self.child = None
        if self.endpoint is not None:
            self.endpoint.stop()
            self.endpoint = None

    def close(self) -> None:
        self.end()
        with contextlib.suppress(OSError):
            os.unlink(OUTSIDE)
        _kill_those_in(self.base)
        shutil.rmtree(self.base, ignore_errors=True)

    # ---- what happens ----

    def note(self, kind: str, t: float | None = None, **fields: Any) -> None:
        at = (time.monotonic() if t is None else t) - self.begun
        self.items.append({"t": round(max(0.0, at), 4), "kind": kind, **fields})

    def label(
        self,
        state: str,
        why: str,
        dialog: str = "",
        t: float | None = None,
        uncertain: float = 0.5,
        unknown: bool = False,
    ) -> None:
        """Label the true state from `t` (monotonic; default: now) on.

        The state is not checked for `uncertain` seconds. `unknown`: the state
        `unknown` is accepted, too.
        """
        more: dict[str, Any] = {"dialog": dialog} if dialog else {}
        if unknown:
            more["unknown"] = True
        self.note("label", t, state=state, why=why, uncertain=uncertain, **more)

    def step(self) -> None:
        """Wait a moment for output, and take all that is there."""
        child = self.child
        assert child is not None
        if not child.at_eof:
            select.select([child.fd], [], [], 0.008)
        else:
            time.sleep(0.008)
        data = child.read() if not child.at_eof else b""
        now = time.monotonic()
        if data:
            self.last_output = now
            try:
                said = {"data": data.decode()}
            except UnicodeDecodeError:
                said = {"b64": base64.b64encode(data).decode()}
            self.note("output", now, **said)
            scanned = self.terminal.output(data, now)
            child.write(scanned.replies)
            for code, body in scanned.oscs:
                self._follow(self.reader.osc(code, body))
        if self.terminal.settle(now):
            self._follow(self.reader.screen(self.terminal.view))
            self.screens.append((now - self.begun, self.terminal.view))
            idle = self.looks_idle()
            self.idle_since = (self.idle_since or now) if idle else None
        self._follow(self.evidence.poll(now, force=True))
        child.flush()
        if child.at_eof and child.reap() and self.exited_at is None:
            self.exited_at = now
            self.note("exit", now, code=child.code, signal=child.signal)

    def pump(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()

    def wait(self, done: Callable[[], Any], what: str, timeout: float = 20.0) -> Any:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.step()
            found = done()
            if found:
                return found
            if self.exited_at is not None and what != "exit":
                raise Failed(f"it exited while waiting for {what}:\n{self.text()}")
        raise Failed(f"waited in vain for {what}:\n{self.text()}")

    # ---- eyes ----

    def text(self) -> str:
        return "\n".join(self.terminal.view.lines)

    def sees(self, pattern: str) -> bool:
        return re.search(pattern, self.text()) is not None

    def looks_idle(self) -> bool:
        """Whether a box to type into is painted, and no dialog."""
        lines = self.terminal.view.lines
        if self.cli == "claude":
            return any(
                CLAUDE_RULE.match(a) and re.match(r"^[>❯!](?:[\s\u00a0]|$)", b) for a, b in itertools.pairwise(lines)
            )
        if self.terminal.view.cursor_hidden or self.sees(r"(?m)model: +loading|^ {5}loading$"):
            return False
        return any(re.match(r"^[›!](?: |$)(?!\d\.)", line) for line in lines)

    def ready(self, timeout: float = 25.0, rest: float = 0.8) -> None:
        """Wait until the box has stood there for a while.

        The label `prompt` starts when the box was painted.
        """
        self.wait(lambda: self.idle_since and time.monotonic() > self.idle_since + 0.7, "the box", timeout)
        assert self.idle_since is not None
        self.label("prompt", "the box was painted first", t=self.idle_since)
        self.pump(rest)

    # ---- hands ----

    def keys(self, data: bytes) -> float:
        assert self.child is not None
        self.note("input", data=data.decode())
        self.child.write(data)
        self.evidence.stir(time.monotonic())
        return time.monotonic()

    def type(self, text: str, each: float = 0.04) -> None:
        for letter in text:
            self.keys(letter.encode())
            self.pump(each)

    def paste(self, text: str) -> None:
        self.keys(b"\x1b[200~" + text.encode() + b"\x1b[201~")
        # On a loaded machine 1.x and 2.0 would take an early Enter for text.
        with contextlib.suppress(Failed):
            self.wait(lambda: self.sees(re.escape(text[:20])), "the echo", 3.0)
        self.pump(0.4)

    def send(self, text: str = "please begin") -> None:
        self.paste(text)
        at = self.keys(ENTER)
        self.label("busy", "Enter on a message", t=at)

    def interrupt(self) -> None:
        """Press Esc, or Ctrl-C for an old Codex that hides its status line and takes no Esc."""
        key = ESC
        if self.cli == "codex" and self.version < (0, 169) and not self.sees(r"(?m)^[•◦] .*esc to int"):
            key = b"\x03"
        at = self.keys(key)
        self.label("prompt", "interrupted by a key", t=at)
        self.turns_add("interrupted")

    # ---- the endpoint ----

    def main_rows(self, event: str = "call", agents: bool = False) -> list[tuple[float, dict[str, Any]]]:
        kinds = ("main", "agent") if agents else ("main",)
        return [(t, f) for t, e, f in list(self.log.rows) if e == event and f["kind"].partition(":")[0] in kinds]

    def answered(self, count: int, timeout: float = 30.0) -> float:
        """Return when the `count`th finished answer to a main call was complete."""

        def done() -> float | None:
            found = [t for t, f in self.main_rows() if f["finished"]]
            return found[count - 1] if len(found) >= count else None

        return float(self.wait(done, f"answer {count}", timeout))

    def asked(self, count: int, timeout: float = 20.0) -> None:
        self.wait(lambda: len(self.main_rows("request")) >= count, f"request {count}", timeout)

    def gave_up(self, quiet: float = 3.0, timeout: float = 40.0) -> float:
        """Return the end of the last main call after which the CLI asked no
        more for `quiet` seconds."""

        def done() -> float | None:
            calls, asked = self.main_rows(agents=True), self.main_rows("request", agents=True)
            over = calls and len(calls) == len(asked) and time.monotonic() > calls[-1][0] + quiet
            return calls[-1][0] if over else None

        return float(self.wait(done, "the CLI to give up", timeout))

    def still_in_call(self, count: int) -> None:
        """Check that the tool still runs: nothing was asked since."""
        if len(self.main_rows("request")) != count:
            raise Failed("the tool is over already")

    def turns_add(self, outcome: str, reason: str = "") -> None:
        if self.turns is not None:
            self.turns.append({"outcome": outcome, **({"reason": reason} if reason else {})})

    def finish(self, count: int, rest: float = 2.6, timeout: float = 30.0) -> None:
        """Label the end of the turn that ends with the `count`th answer."""
        at = self.answered(count, timeout)
        self.label("prompt", f"the endpoint's last byte of answer {count}", t=at)
        self.turns_add("completed")
        self.pump(rest)

    def fails(self, reason: str = "", quiet: float = 3.0) -> None:
        at = self.gave_up(quiet)
        self.label("prompt", "the endpoint's last refusal", t=at)
        self.turns_add("failed", reason)

    # ---- dialogs ----

    def dialog(self, name: str, at: float, rest: float = 1.6, eyes: str = "") -> None:
        """Label a dialog that must be open from `at` on.

        Waits until the dialog is painted, and a while longer.
        """
        # Claude Code 2.1.329 paints a dialog at most 0.59 s after it exists.
        late = 0.9 if self.cli == "claude" and self.version >= (2, 1, 300) else 0.5
        self.wait(lambda: self.sees(eyes or DIALOG_EYES[name]) and not self.looks_idle(), f"dialog {name}", 10)
        if self.version < {"claude": (2, 1), "codex": (0, 163)}[self.cli]:
            # Nothing can be answered before this moment: 1.x and 2.0 first ask a model about the
            # command, and Codex 0.145 holds an approval back for a second after the last key
            # (0.169, too, but 0.169 declares the approval at once).
            late = max(late, round(time.monotonic() - at + 0.3, 2))
        self.label("blocked", "the tool that must ask was called", dialog=name, t=at, uncertain=late)
        self.pump(rest)

    def dialog_at_start(self, name: str, rest: float = 2.0, timeout: float = 20.0) -> None:
        self.wait(lambda: self.sees(DIALOG_EYES[name]), f"dialog {name}", timeout)
        self.label("blocked", "the dialog was painted", dialog=name)
        self.pump(rest)

    def choose(self, down: int = 0, state: str = "busy", why: str = "the dialog was answered") -> float:
        for _ in range(down):
            self.keys(DOWN)
            self.pump(0.25)
        at = self.keys(ENTER)
        self.label(state, why, t=at)
        return at


def _kill_those_in(place: str) -> None:
    """Kill tools in sessions of their own: all processes that still work in our directory."""
    for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()]:
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/cwd").startswith(place + "/"):
                os.kill(pid, signal.SIGKILL)


# ---- scenarios ----

Scenario = Callable[[Stage], None]
SCENARIOS: dict[str, Scenario] = {}
CLIS: dict[str, tuple[str, ...]] = {}
SINCE: dict[str, dict[str, tuple[int, ...]]] = {}
NARROW: set[str] = set()
WORDS = "First words of the answer and then more of them and a few more"


def scenario(*clis: str, narrow: bool = False, **since: tuple[int, ...]) -> Callable[[Scenario], Scenario]:
    """Register a scenario. `narrow`: also record at 80x24.

    `claude=(2, 0)`: only from that version on.
    """

    def add(make: Scenario) -> Scenario:
        name = make.__name__.replace("_", "-")
        SCENARIOS[name], CLIS[name], SINCE[name] = make, clis or ("claude", "codex"), since
        if narrow:
            NARROW.add(name)
        return make

    return add


def names_for(cli: str, version: tuple[int, ...]) -> list[str]:
    return [n for n in SCENARIOS if cli in CLIS[n] and version >= SINCE[n].get(cli, ())]


@scenario(narrow=True)
def idle_start(s: Stage) -> None:
    s.start(["hello"])
    s.ready(rest=3.0)


@scenario()
def typed_draft(s: Stage) -> None:
    s.start(["hello"])
    s.ready()
    s.type("half a draft that nobody sends")
    s.pump(2.5)


@scenario(narrow=True)
def short_answer(s: Stage) -> None:
    s.start(["Here is the answer.", "And the second one."])
    s.ready()
    s.send()
    s.finish(1, rest=1.5)
    s.send("and again")
    s.finish(2)


@scenario(narrow=True)
def stalled_stream(s: Stage) -> None:
    """Silences of more than 2 s between the words of an answer."""
    s.start([{"text": "One.\n\nTwo.\n\nThree.", "pause": 2.3}])
    s.ready()
    s.send()
    s.finish(1)


@scenario()
def slow_stream(s: Stage) -> None:
    s.start([{"text": "A first line of the answer.\n\nAnd a second one.\n\n" + WORDS, "pause": 0.22}])
    s.ready()
    s.send()
    s.finish(1)


@scenario(narrow=True)
def silent_thinking(s: Stage) -> None:
    s.start([{"text": "At last.", "first_byte": 6}])
    s.ready()
    s.send()
    s.finish(1)


@scenario()
def reasoning(s: Stage) -> None:
    s.start([{"think": "**Weighing it**\n\nI must think about this with care", "text": "Done.", "pause": 0.3}])
    s.ready()
    s.send()
    s.finish(1)


@scenario(narrow=True)
def shell_tool(s: Stage) -> None:
    s.start([{"text": "I run it.", "tools": [{"bash": "sleep 3; echo done"}]}, "It ran."], "bypass")
    s.ready()
    s.send()
    s.finish(2)


@scenario()
def several_tools(s: Stage) -> None:
    tools = [{"bash": "sleep 1; echo one"}, {"write": ["two.txt", "two\n"]}, {"bash": "echo three"}]
    s.start([{"tools": tools}, {"text": "More.", "tools": [{"bash": "sleep 1"}]}, "All done."], "bypass")
    s.ready()
    s.send()
    s.finish(3)


@scenario()
def long_output(s: Stage) -> None:
    command = "for i in $(seq 1 60); do echo line $i of a long output; sleep 0.03; done"
    s.start([{"tools": [{"bash": command}]}, {"text": "\n".join(f"Line {n}." for n in range(50))}], "bypass")
    s.ready()
    s.send()
    s.finish(2)


def _shell_that_asks(s: Stage) -> dict[str, Any]:
    if s.cli == "claude":
        return {"bash": "touch made.txt; sleep 1"}
    name = "shell_command" if s.version < (0, 104) else "exec_command"
    command = "touch made.txt; sleep 1"
    given = {
        "cmd": command,
        "command": command,
        "sandbox_permissions": "require_escalated",
        "with_escalated_permissions": True,
        "justification": "It has to be made",
    }
    return {"raw": {"name": name, "input": given}}


def _edit_that_asks(s: Stage) -> dict[str, Any]:
    if s.cli == "claude":
        return {"write": ["notes.txt", "a line\n"]}
    # Codex asks only outside of the workspace, and /tmp counts as inside; a patch in a
    # command is taken for a patch.
    command = f"apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {OUTSIDE}\n+a line\n*** End Patch\nEOF\n"
    name = "shell_command" if s.version < (0, 104) else "exec_command"
    return {"raw": {"name": name, "input": {"cmd": command, "command": command}}}


def _refuse(s: Stage) -> None:
    """Say no to a permission: the last option, which ends the turn in both CLIs."""
    at = s.keys(ESC)
    s.label("prompt", "the dialog was refused", t=at)
    s.turns_add("interrupted")
    s.pump(2.6)


@scenario(narrow=True)
def permission_shell_yes(s: Stage) -> None:
    s.start([{"text": "I make it.", "tools": [_shell_that_asks(s)]}, "It is made."])
    s.ready()
    s.send()
    s.dialog("permission", s.answered(1))
    s.choose()
    s.finish(2)


@scenario()
def permission_shell_no(s: Stage) -> None:
    s.start([{"text": "I make it.", "tools": [_shell_that_asks(s)]}, "It is made."])
    s.ready()
    s.send()
    s.dialog("permission", s.answered(1))
    _refuse(s)


@scenario()
def permission_edit_yes(s: Stage) -> None:
    s.start([{"tools": [_edit_that_asks(s)]}, "Written."])
    s.ready()
    s.send()
    s.dialog("permission", s.answered(1))
    s.choose()
    s.finish(2)


@scenario(narrow=True)
def permission_edit_no(s: Stage) -> None:
    s.start([{"tools": [_edit_that_asks(s)]}, "Written."])
    s.ready()
    s.send()
    s.dialog("permission", s.answered(1))
    _refuse(s)


@scenario(claude=(2, 0), codex=(0, 104))
def question(s: Stage) -> None:
    args = ("-c", "features.default_mode_request_user_input=true") if s.cli == "codex" else ()
    s.start([{"tools": [{"ask": {"question": "Which colour?", "options": ["Red", "Blue"]}}]}, "Red it is."], args=args)
    s.ready()
    if s.cli == "codex" and s.version < (0, 145):
        s.keys(b"\x1b[Z")  # only in plan mode
        s.pump(0.6)
    s.send()
    s.dialog("question", s.answered(1))
    s.choose()
    s.finish(2)


@scenario("claude")
def plan_approval(s: Stage) -> None:
    s.start([{"tools": [{"plan": "1. Look.\n2. Leap."}]}, "I go on."], args=("--permission-mode", "plan"))
    s.ready()
    s.send()
    s.dialog("plan", s.answered(1))
    s.choose()
    s.finish(2)


def _untrusted(files: dict[str, str]) -> None:
    for path, text in files.items():
        files[path] = re.sub(r"(?m)^\[projects.*\n(?:\w.*\n)*", "", text)
        if path.endswith(".claude.json"):
            files[path] = text.replace('"hasTrustDialogAccepted": true', '"hasTrustDialogAccepted": false')


@scenario(narrow=True)
def trust(s: Stage) -> None:
    # Codex 0.169 asks only if there is something to trust.
    os.makedirs(f"{s.cwd}/.codex")
    Path(f"{s.cwd}/.codex/config.toml").touch()
    s.start(["Trusted."], change=_untrusted)
    s.dialog_at_start("trust")
    if s.cli == "claude" and s.version > (2, 1, 197):
        s.keys(DOWN)
        s.pump(0.3)
    at = s.keys(ENTER)
    s.label("starting", "trusted", t=at, uncertain=0.6)
    s.idle_since = None
    s.ready()
    s.send()
    s.finish(1)


def _no_login(files: dict[str, str]) -> None:
    for path, text in files.items():
        files[path] = text.replace('model_provider = "rehearsal"\n', "")


@scenario("codex", narrow=True)
def login(s: Stage) -> None:
    s.start(["never"], change=_no_login)
    s.dialog_at_start("login", rest=3.0)


@scenario("claude")
def login_menu(s: Stage) -> None:
    """No credentials: a message fails, and `/login` opens the menu."""
    s.start(["never"], env={"ANTHROPIC_API_KEY": None})
    s.ready()
    s.paste("hello there")
    at = s.keys(ENTER)
    s.label("busy", "Enter on a message, and at once refused", t=at, uncertain=0.5, unknown=True)
    s.label("prompt", "no credentials: refused without a call", t=at + 0.05, uncertain=1.5)
    s.turns_add("failed", "auth")
    s.pump(3.5)
    s.type("/login")
    s.pump(0.4)
    s.dialog("login", s.keys(ENTER), rest=2.0)


@scenario("claude", narrow=True)
def api_key(s: Stage) -> None:
    def change(files: dict[str, str]) -> None:
        path = f"{s.home}/.claude.json"
        config = json.loads(files[path])
        del config["customApiKeyResponses"]
        files[path] = json.dumps(config)

    s.start(["never"], change=change)
    s.dialog_at_start("api-key", rest=3.0)


@scenario("claude")
def bypass_warning(s: Stage) -> None:
    def change(files: dict[str, str]) -> None:
        for path in files:
            config = json.loads(files[path])
            config.pop("bypassPermissionsModeAccepted", None)
            config.pop("skipDangerousModePermissionPrompt", None)
            files[path] = json.dumps(config)

    s.start(["Free."], "bypass", args=("--dangerously-skip-permissions",), change=change)
    s.dialog_at_start("bypass-warning")
    s.keys(DOWN)
    s.pump(0.3)
    s.label("starting", "accepted", t=s.keys(ENTER), uncertain=0.6)
    s.idle_since = None
    s.ready()
    s.send()
    s.finish(1)


@scenario()
def retry_529(s: Stage) -> None:
    s.start([{"error": 529, "times": 2, "retry_after": 1}, "After all."])
    s.ready()
    s.send()
    s.finish(1)


@scenario()
def error_400(s: Stage) -> None:
    # Claude Code 2.1.329 asks once more, in another way, and takes that answer.
    s.start([{"error": 400, "times": 9}])
    s.ready()
    s.send()
    s.fails()


@scenario()
def error_401(s: Stage) -> None:
    s.start([{"error": 401, "times": 99}], env={"CLAUDE_CODE_MAX_RETRIES": "1"})
    s.ready()
    s.send()
    s.fails("auth", quiet=4.0)


@scenario()
def usage_limit(s: Stage) -> None:
    s.start([{"usage_limit": {"resets_at": 7200}}] * 9, env={"CLAUDE_CODE_MAX_RETRIES": "1"})
    s.ready()
    s.send()
    s.fails(quiet=4.0)


@scenario()
def dropped_stream(s: Stage) -> None:
    s.start([{"drop": "The answer begins and then"}, "The whole answer."])
    s.ready()
    s.send()
    at = s.gave_up()
    s.label("prompt", "the connection was cut, or the endpoint's last byte of a second try", t=at)
    # Claude Code 2.1.197 asks again if little was said before the cut.
    again = any(f["finished"] for _, f in s.main_rows())
    # These versions take the part that came for the answer.
    if again or (s.cli == "claude" and s.version < (2, 1)):
        s.turns_add("completed")
    else:
        s.turns_add("failed", "network")


@scenario(narrow=True)
def hang_interrupt(s: Stage) -> None:
    s.start([{"hang": 60}, "After the interrupt."])
    s.ready()
    s.send()
    s.asked(1)
    s.pump(3.0)
    s.interrupt()
    s.pump(3.0)


@scenario(narrow=True)
def stream_interrupt(s: Stage) -> None:
    s.start([{"text": "Some lines of it.\n\nAnd more.\n\n" + WORDS * 4, "pause": 0.2}, "And on."])
    s.ready()
    s.send()
    s.asked(1)
    s.pump(3.5)
    s.interrupt()
    s.pump(3.0)


@scenario()
def tool_interrupt(s: Stage) -> None:
    # Claude Code 2.1.329 refuses to run a lone `sleep 30`.
    command = "for i in $(seq 30); do sleep 1; done"
    s.start([{"tools": [{"bash": command}]}, "And on."], "bypass")
    s.ready()
    s.send()
    s.answered(1)
    s.pump(2.5)
    s.still_in_call(1)
    s.interrupt()
    s.pump(3.0)


@scenario()
def queued_message(s: Stage) -> None:
    """A second message while the first is answered."""
    s.turns = None  # versions differ in whether the second message is a turn of its own
    s.start([{"text": WORDS, "pause": 0.2}, {"text": "To the second message.", "pause": 0.3}])
    s.ready()
    s.send()
    s.asked(1)
    s.pump(0.8)
    s.paste("the second message")
    s.keys(ENTER)
    s.asked(2)  # Codex 0.169 breaks the first answer off
    s.label("prompt", "the endpoint's last byte", t=s.gave_up(2.6))


@scenario()
def draft_while_busy(s: Stage) -> None:
    s.start([{"text": "A line.\n\n" + WORDS, "pause": 0.25}])
    s.ready()
    s.send()
    s.asked(1)
    s.pump(0.6)
    s.type("typed while it works")
    s.finish(1)


@scenario(codex=(0, 104))
def background_shell(s: Stage) -> None:
    """A shell command in the background outlives the turn: the agent is at its prompt."""
    if s.cli == "claude":
        given = {"command": "sleep 25", "description": "wait", "run_in_background": True}
        tool = {"raw": {"name": "Bash", "input": given}}
    else:
        command = "sleep 25"
        tool = {"raw": {"name": "exec_command", "input": {"cmd": command, "yield_time_ms": 1000}}}
    s.start([{"tools": [tool]}, "It runs in the background."], "bypass")
    s.ready()
    s.send()
    s.finish(2, rest=3.5)


@scenario("claude", claude=(2, 1, 329))
def background_monitor(s: Stage) -> None:
    """A shell and a monitor outlive the turn: OSC 7501 says `working` at
    the prompt, and names both."""
    given = {"command": "sleep 25", "description": "wait", "timeout_ms": 60000, "persistent": False}
    shell = {"command": "sleep 26", "description": "wait", "run_in_background": True}
    tools = [{"raw": {"name": "Monitor", "input": given}}, {"raw": {"name": "Bash", "input": shell}}]
    s.start([{"tools": tools}, "Both run in the background."], "bypass")
    s.ready()
    s.send()
    s.finish(2, rest=3.5)


@scenario(codex=(0, 145))
def sub_agent(s: Stage) -> None:
    steps = [{"text": "The part is done.", "first_byte": 2.5}]
    agent = {"agent": {"prompt": "Do the PART of the work", "description": "a part"}}
    s.start([{"tools": [agent]}, {"text": "All of it is done.", "first_byte": 0.5}], "bypass", agents={"PART": steps})
    s.ready()
    s.send()
    if s.cli == "codex":  # what is left of the agent starts no turn of its own
        s.finish(2)
        return
    s.answered(2)
    # Claude Code 2.1.329 puts the agent into the background by itself: then
    # its report is answered, too.
    s.label("prompt", "the endpoint's last byte of all", t=s.gave_up(2.8))
    s.turns_add("completed")


@scenario("claude", claude=(2, 1))
def background_agent(s: Stage) -> None:
    """The turn's words are said; the agent works on in the background, and reports."""
    steps = [{"text": "The part is done.", "first_byte": 4.0}]
    agent = {"agent": {"prompt": "Do the PART of the work", "description": "a part", "background": True}}
    s.start([{"tools": [agent]}, "It is at work.", "It has reported."], "bypass", agents={"PART": steps})
    s.ready()
    s.send()
    s.finish(3)


@scenario()
def todo_list(s: Stage) -> None:
    todo = [{"text": "Look around", "status": "in_progress"}, {"text": "Leap"}]
    s.start([{"text": "A list.", "tools": [{"todo": todo}]}, {"text": WORDS, "pause": 0.15}], "bypass")
    s.ready()
    s.send()
    s.answered(1)
    # Claude Code 2.1.329 has no such tool, so the turn is one answer there.
    at = s.gave_up(2.6)
    s.label("prompt", "the endpoint's last byte of the last answer", t=at)
    s.turns_add("completed")


def _compacting(s: Stage) -> float:
    rows = [(t, e, f) for t, e, f in list(s.log.rows) if t > s.compact_at]  # type: ignore[attr-defined]
    asked = sum(e == "request" for _, e, _ in rows)
    over = [t for t, e, f in rows if e == "call"]
    return over[-1] if asked and len(over) == asked and time.monotonic() > over[-1] + 2.6 else 0.0


@scenario()
def compaction(s: Stage) -> None:
    s.turns = None  # versions differ in whether a compaction counts as a turn
    s.start(["A first answer.", {"text": "A summary of it all.", "first_byte": 2.0, "pause": 0.2}])
    s.ready()
    s.send()
    s.finish(1, rest=1.2)
    s.type("/compact")
    s.pump(0.5)
    s.compact_at = s.keys(ENTER)  # type: ignore[attr-defined]
    s.label("busy", "Enter on /compact", t=s.compact_at, uncertain=0.7)  # type: ignore[attr-defined]
    at = s.wait(lambda: _compacting(s), "the compaction", 30)
    s.label("prompt", "the summary was whole", t=at, uncertain=0.8)


@scenario("claude")
def shell_mode(s: Stage) -> None:
    s.turns = None
    s.start(["never"])
    s.ready()
    at = s.keys(b"!")
    s.label("blocked", "`!` as the first key: shell mode", dialog="other", t=at, uncertain=0.9)
    s.type("sleep 3; date > made.txt")
    s.pump(0.3)
    at = s.keys(ENTER)
    s.label("busy", "Enter on a command of shell mode", t=at)
    s.wait(lambda: os.path.exists(f"{s.cwd}/made.txt"), "the command", 10)
    s.label("prompt", "the command has ended", uncertain=0.8)
    s.pump(2.6)


@scenario()
def menu(s: Stage) -> None:
    s.start(["never"])
    s.ready()
    s.type("/model")
    s.pump(0.5)
    at = s.keys(ENTER)
    s.label("blocked", "Enter on /model", dialog="other", t=at, uncertain=0.9)
    s.wait(lambda: s.sees(DIALOG_EYES["other"]) and not s.looks_idle(), "the menu", 10)
    s.pump(1.8)
    at = s.keys(ESC)
    s.wait(s.looks_idle, "the box")
    # The CLI needs a while until it takes Esc for a key (2.1.329: 0.74 s).
    s.label("prompt", "the menu was left", t=at, uncertain=round(time.monotonic() - at + 0.4, 2))
    s.pump(2.4)


@scenario()
def resume_picker(s: Stage) -> None:
    s.start(["A first conversation."])
    s.ready()
    s.send("remember this")
    s.answered(1)
    s.pump(2.0)
    s.end()
    s.start(["Resumed."], args=("--resume",) if s.cli == "claude" else ("resume",), keep_home=True)
    s.turns = []
    s.dialog_at_start("resume")
    s.keys(ENTER)
    s.label("starting", "a conversation was picked", uncertain=0.6)
    s.idle_since = None
    s.ready()
    s.send()
    s.finish(1)


@scenario()
def exits(s: Stage) -> None:
    s.start(["Good-bye."])
    s.ready()
    s.send()
    s.finish(1, rest=1.0)
    s.type("/exit" if s.cli == "claude" else "/quit")
    s.pump(0.5)
    at = s.keys(ENTER)
    s.wait(lambda: s.exited_at is not None, "exit", 10)
    s.label("exited", "Enter on the command that ends it", t=at, uncertain=0.0)


@scenario()
def killed_while_busy(s: Stage) -> None:
    s.start([{"text": WORDS, "pause": 0.5}])
    s.ready()
    s.send()
    s.asked(1)
    s.pump(2.0)
    assert s.child is not None
    s.child.kill(signal.SIGKILL)
    for pid in descendants(s.child.pid):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    s.wait(lambda: s.exited_at is not None, "exit", 10)
    s.label("exited", "the process was killed", uncertain=0.0)
    s.turns_add("failed")


# ---- writing ----


def write_text(path: Path, text: str) -> None:
    """Write the data as `path`, or gzipped beside it if long. The other one is removed."""
    packed = path.with_name(path.name + ".gz")
    data = text.encode()
    if len(data) > GZIP_OVER:
        packed.write_bytes(gzip.compress(data, 9, mtime=0))
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(data)
        packed.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    packed = path.with_name(path.name + ".gz")
    return gzip.decompress(packed.read_bytes()).decode() if packed.exists() else path.read_text()


def save(s: Stage, name: str, into: Path) -> int:
    """Write the case. Returns its size."""
    if s.exited_at is None:
        s.note("end")
    items = sorted(s.items, key=lambda x: x["t"])
    allow_for_slow_starts(items)
    labels = [x for x in items if x["kind"] == "label"]
    # The last moment of rest: the older tests compare the screen reader with it.
    last = [x for x in labels if x["state"] in ("prompt", "blocked")][-1]
    until = min((x["t"] for x in items if x["t"] > last["t"] and x["kind"] in ("label", "input")), default=1e9)
    view = [v for t, v in s.screens if t < until][-1]
    about = {
        "cli": s.cli,
        "version": s.version_text,
        "scenario": name,
        "columns": s.size[0],
        "rows": s.size[1],
        "state": last["state"],
        "dialog": last.get("dialog", ""),
        "title": view.title,
        "cursor": list(view.cursor),
        "cursor_hidden": view.cursor_hidden,
        "alternate": view.alternate,
        "end": labels[-1]["state"],
        "turns": s.turns,
        "sources": sources_in(items),
    }
    stream = "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in items)
    # Do not add a "timestamp": a recording should not change when nothing else does.
    cast = [json.dumps({"version": 2, "width": s.size[0], "height": s.size[1], "title": f"{s.cli} {name}"})]
    for x in items:
        if x["kind"] == "output":
            data = x["data"] if "data" in x else base64.b64decode(x["b64"]).decode("utf-8", "replace")
            cast.append(json.dumps([x["t"], "o", data], ensure_ascii=False))
    texts = {
        "stream.jsonl": stream,
        "session.cast": "\n".join(cast) + "\n",
        "screen.txt": "\n".join(view.lines) + "\n",
        "case.json": json.dumps(about, ensure_ascii=False) + "\n",
    }
    into.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        text = clean(text, s.base)
        leaks = [w for w in _private() if w in text]
        if leaks:
            raise Failed(f"{file} would tell {leaks}")
        write_text(into / file, text)
    return sum(p.stat().st_size for p in into.iterdir())


def allow_for_slow_starts(items: list[dict[str, Any]]) -> None:
    """Widen the labels of messages that the CLI took late (1.x and 2.0 on a loaded machine).

    The CLI shows and records nothing before it takes a message.
    """

    def taken(x: dict[str, Any]) -> bool:
        if x["kind"] != "row":
            return False
        return x["row"].get("hook_event_name") == "UserPromptSubmit" or x["source"] in ("transcript", "rollout")

    for label in items:
        if label["kind"] == "label" and label["why"] == "Enter on a message":
            after = [x["t"] - label["t"] for x in items if x["t"] > label["t"] and taken(x)]
            if after and 0.3 < after[0] < 2.0:
                label["uncertain"] = max(label["uncertain"], round(after[0] + 0.2, 2))


def sources_in(items: list[dict[str, Any]]) -> list[str]:
    """Return the sources that said anything."""
    seen = {str(x["source"]).partition(":")[0] for x in items if x["kind"] in ("row", "document")}
    said = "".join(x.get("data", "") for x in items if x["kind"] == "output")
    if "\x1b]7501;state" in said:
        seen.add("osc7501")
    if "\x1b]0;" in said or "\x1b]2;" in said:
        seen.add("title")
    return sorted(seen)


def clean(text: str, base: str) -> str:
    """Replace our place by a neutral one of the same length, also in a name
    that the CLI made of a path."""
    neutral = f"{PLACE}/a"
    for a, b in ((base, neutral), (base.replace("/", "-"), neutral.replace("/", "-"))):
        text = text.replace(a, b)
    return text


def _private() -> list[str]:
    here = [socket.gethostname(), str(Path(__file__).parents[1]), os.path.expanduser("~") + "/"]
    cache = os.environ.get("HARNEX_TEST_CACHE")
    return [w for w in [*here, cache or ""] if len(w) > 3]


def record(cli: str, version: str, name: str, columns: int, rows: int) -> bool:
    suffix = "" if (columns, rows) == (120, 40) else f"-{columns}x{rows}"
    into = CORPUS / cli / version / f"run-{name}{suffix}"
    stage = Stage(cli, version, columns, rows)
    begun = time.monotonic()
    try:
        SCENARIOS[name](stage)
        size = save(stage, name, into)
        print(f"ok   {cli} {version} {name}{suffix} {size} B {time.monotonic() - begun:.1f} s", flush=True)
        return True
    except Exception as e:
        words = str(e) if isinstance(e, Failed) else traceback.format_exc()
        print(f"FAIL {cli} {version} {name}{suffix}: {words}", flush=True)
        return False
    finally:
        stage.close()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.record", description="Record a real CLI for the corpus.")
    parser.add_argument("cli", choices=sorted(VERSIONS))
    parser.add_argument("version")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--all", action="store_true", help="every scenario of this version, in both sizes")
    parser.add_argument("--missing", action="store_true", help="with --all: only those that are not there yet")
    options = parser.parse_args(argv)
    # A short interval shows when a file could be found; replays look as often as the product.
    evidence_module.FIND_EVERY_S = 0.05
    version = tuple(int(n) for n in options.version.split("."))
    known = names_for(options.cli, version)
    unknown = [n for n in options.scenarios if n not in known]
    if unknown or not (options.all or options.scenarios):
        print(f"scenarios of {options.cli} {options.version}: {', '.join(known)}", file=sys.stderr)
        return 2
    todo = [(n, options.columns, options.rows) for n in options.scenarios]
    if options.all:
        todo = [(n, 120, 40) for n in known] + [(n, 80, 24) for n in known if n in NARROW]
    if options.missing:
        at = CORPUS / options.cli / options.version
        todo = [
            (n, c, r)
            for n, c, r in todo
            if not (at / f"run-{n}{'' if (c, r) == (120, 40) else f'-{c}x{r}'}" / "case.json").exists()
        ]
    threading.excepthook = lambda args: None  # a client of the endpoint that was killed raises here
    done = [record(options.cli, options.version, n, c, r) for n, c, r in todo]
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Paseo's command line: how it is called, and what its answers mean. Pure.

Measured on 0.1.65-beta.5 (field/paseo.md, and 383 recorded calls):

- The exit code proves nothing: `run`, `send` and `wait` exit 0 for errors, `stop` exits 0 when it stopped nothing.
- With `--json` an error is a JSON object on stderr; errors of the options are plain text.
- Without an explicit host the CLI falls back to `localhost:6767`, which may be somebody else's daemon.
- A host may hold a password (`tcp://HOST?password=…`): that goes by `PASEO_HOST`, never by argv.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from harnex.model.facts import CommandResult, RunCommand

TIMEOUT_S = 60.0  # of a hung daemon the CLI says so itself after 16 s; a busy machine takes 20 s to start Node
STOP_TIMEOUT_S = 60.0
# Its own words for a daemon that is not there, hangs, or went away meanwhile.
_LOST_CODES = ("DAEMON_NOT_RUNNING",)
_LOST_WORDS = ("Transport closed", "Cannot connect", "Timeout waiting for message", "connect ECONNREFUSED")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the CLI. `lost`: the daemon gave none. `words`: its error, for a person."""

    ok: bool
    data: Any = None
    words: str = ""
    lost: bool = False

    def get(self, key: str) -> Any:
        return self.data.get(key) if isinstance(self.data, dict) else None


def read(result: CommandResult) -> Reply:
    """What an exit code, stdout and stderr mean together."""
    if result.code is None:
        return Reply(False, words=result.problem, lost=not result.problem.startswith("can't run"))
    if result.code == 0:
        try:
            return Reply(True, json.loads(result.out))
        except ValueError:
            return Reply(True, words=result.out.strip()[:500])
    code, words = "", (result.err.strip() or result.out.strip() or f"exit code {result.code}")[:2000]
    try:
        error = json.loads(result.err)["error"]
        code, words = str(error.get("code") or ""), str(error.get("message") or words)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    lost = code in _LOST_CODES or any(w in words for w in _LOST_WORDS)
    return Reply(False, None, words, lost)


def secret_host(host: str) -> bool:
    return "password=" in host


def shown_host(host: str) -> str:
    """The host without its password."""
    return host.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Cli:
    """The program and the daemon that it talks to."""

    program: str
    host: str

    @property
    def _host(self) -> tuple[str, ...]:
        return () if secret_host(self.host) else ("--host", self.host)

    def call(self, name: str, *words: str, timeout_s: float = TIMEOUT_S, after_s: float = 0.0) -> RunCommand:
        """`paseo WORDS --json --host HOST`, known by `name`. The host goes first: words may end in `-- TEXT`."""
        verbs = 2 if words[0] in ("permit", "agent") else 1
        return RunCommand(
            name, (self.program, *words[:verbs], "--json", *self._host, *words[verbs:]), timeout_s, after_s
        )

    def find(self, label: str, after_s: float = 0.0) -> RunCommand:
        return self.call("find", "ls", "-a", "--label", label, after_s=after_s)

    def inspect(self, agent: str, after_s: float = 0.0) -> RunCommand:
        return self.call("inspect", "inspect", agent, after_s=after_s)

    def look(self, agent: str, after_s: float) -> RunCommand:
        """`inspect` by another name, so that one that is under way already is not taken for it."""
        return self.call("look", "inspect", agent, after_s=after_s)

    def wait(self, agent: str) -> RunCommand:
        """Loads the agent, and shows its last items; what it says of the state proves nothing."""
        return self.call("wait", "wait", "--timeout", "5s", agent)

    def send(self, agent: str, path: str, text: str) -> RunCommand:
        """By file: an argument could be read by others, ends at 128 KiB, and may look like an option."""
        call = self.call("send", "send", "--no-wait", "--prompt-file", path, agent, timeout_s=90.0)
        return RunCommand(call.name, call.argv, call.timeout_s, file=(path, text))

    def attach(self) -> tuple[str, ...]:
        return (self.program, "attach", *self._host)

    def start_daemon(self) -> RunCommand:
        """Home and address come from `PASEO_HOME` and its config.json. Exit 0 is no sign that it answers."""
        return RunCommand("daemon-start", (self.program, "daemon", "start", "--no-relay", "--no-inject-mcp"), 90.0)

    def stop_daemon(self, home: str) -> RunCommand:
        """`--home` names the very daemon: never the one of the user's own home."""
        return RunCommand("daemon-stop", (self.program, "daemon", "stop", "--json", "--home", home), STOP_TIMEOUT_S)

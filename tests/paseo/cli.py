"""A double of Paseo's CLI 0.1.65-beta.5 for the tests: shapes, exit codes, streams and traps, by the recordings.

    python -m tests.paseo.cli run -d --json --provider claude/M --title T -- PROMPT

It supports what `SUPPORTED` names; `test_paseo_double.py` holds it against the recorded calls. Its daemon is `daemon.py`.
Times are divided by `$DOUBLE_SPEED` (default 20); `$DOUBLE_LATENCY` is what each call costs at least (Node: 1 s).
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

VERSION = "0.1.65-beta.5"
SPEED = float(os.environ.get("DOUBLE_SPEED", "20"))
NOT_RUNNING = "Start the daemon with: paseo daemon start"
MANY = "*"
FLAG, VALUE = 0, 1
COMMON = {"--json": FLAG, "--host": VALUE}
# Options and arguments (`?` optional) of each command, as Commander knows them.
SUPPORTED: dict[str, tuple[dict[str, int], tuple[str, ...]]] = {
    "ls": ({"-a": FLAG, "--all": FLAG, "--label": VALUE}, ()),
    "run": (
        {
            "-d": FLAG, "--detach": FLAG, "--title": VALUE, "--provider": VALUE, "--model": VALUE, "--mode": VALUE,
            "--cwd": VALUE, "--label": VALUE, "--wait-timeout": VALUE, "--thinking": VALUE,
        },
        ("prompt",),
    ),
    "send": ({"--prompt": VALUE, "--prompt-file": VALUE, "--no-wait": FLAG}, ("id", "prompt?")),
    "wait": ({"--timeout": VALUE}, ("id",)),
    "inspect": ({}, ("id",)),
    "stop": ({"--all": FLAG}, ("id?",)),
    "archive": ({"--force": FLAG}, ("id",)),
    "delete": ({"--all": FLAG}, ("id?",)),
    "logs": ({"-f": FLAG, "--tail": VALUE, "--filter": VALUE, "--since": VALUE}, ("id",)),
    "attach": ({}, ("id",)),
    "permit ls": ({}, ()),
    "permit allow": ({"--all": FLAG, "--input": VALUE}, ("agent", "req_id?")),
    "permit deny": ({"--all": FLAG, "--message": VALUE, "--interrupt": FLAG}, ("agent", "req_id?")),
    "agent reload": ({}, ("id",)),
    "daemon start": (
        {"--listen": VALUE, "--port": VALUE, "--home": VALUE, "--no-relay": FLAG, "--no-inject-mcp": FLAG, "--no-mcp": FLAG},
        (),
    ),
    "daemon stop": ({"--home": VALUE}, ()),
    "daemon status": ({"--home": VALUE}, ()),
}  # fmt: skip


class Failed(Exception):
    """An error of the CLI. `code` "": plain text, whatever the format."""

    def __init__(self, code: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details

    def text(self, as_json: bool) -> str:
        if not self.code:
            return self.message + "\n"
        if not as_json:
            return f"Error: {self.message}\n" + (f"{self.details}\n" if self.details else "")
        error = {"code": self.code, "message": self.message}
        return json.dumps({"error": error | ({"details": self.details} if self.details else {})}, indent=2) + "\n"


def parse(argv: list[str]) -> tuple[str, dict[str, Any], list[str]]:
    """The command, its options, its arguments; errors as Commander's."""
    name = " ".join(argv[:2]) if argv and argv[0] in ("permit", "agent", "daemon") else (argv[0] if argv else "")
    if name not in SUPPORTED:
        raise Failed("", f"error: unknown command '{name}'")
    known, wanted = SUPPORTED[name]
    known = {**known, **COMMON}
    options: dict[str, Any] = {"--label": []}
    words, rest, given = [], argv[len(name.split()) :], iter(())
    given = iter(rest)
    for word in given:
        if word == "--":
            words += list(given)
        elif word.startswith("-") and len(word) > 1:
            option, equals, value = word.partition("=")
            if option not in known:
                raise Failed("", f"error: unknown option '{option}'")
            if known[option] == FLAG:
                options[option] = True
                continue
            if not equals:
                found = next(given, None)
                if found is None:
                    raise Failed("", f"error: option '{option} <value>' argument missing")
                value = found
            if option == "--label":
                options["--label"].append(value)
            else:
                options[option] = value
        else:
            words.append(word)
    for n, argument in enumerate(wanted):
        if n >= len(words) and not argument.endswith("?"):
            raise Failed("", f"error: missing required argument '{argument}'")
    return name, options, words


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m|h)?", text)
    if found is None:
        details = f"Invalid duration format: {text}. Use formats like: 5m, 30s, 1h, 2h30m"
        raise Failed("INVALID_TIMEOUT", "Invalid timeout value", details)
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[found[2]]


def home_of(options: dict[str, Any]) -> Path:
    return Path(options.get("--home") or os.environ.get("PASEO_HOME") or Path.home() / ".paseo")


def configured(home: Path) -> str:
    try:
        listen = json.loads((home / "config.json").read_text())["daemon"]["listen"]
    except (OSError, ValueError, KeyError):
        listen = "127.0.0.1:6767"
    return str(os.environ.get("PASEO_LISTEN") or listen)


def address(host: str) -> tuple[int, Any]:
    if host.startswith("unix://"):
        return socket.AF_UNIX, host[7:]
    name, _, port = host.partition("?")[0].removeprefix("tcp://").rpartition(":")
    return socket.AF_INET, (name or "127.0.0.1", int(port))


def connect(options: dict[str, Any]) -> tuple[socket.socket, str]:
    """To the explicit host only; without one, at last to localhost:6767 (which may be anybody's)."""
    explicit = options.get("--host") or os.environ.get("PASEO_HOST")
    hosts = [explicit] if explicit else [configured(home_of(options)), "localhost:6767"]
    why = ""
    for host in hosts:
        family, where = address(host)
        s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(15 / SPEED)
        try:
            s.connect(where)
            s.sendall(b'{"command":"hello"}\n')
            if not s.recv(1):
                raise ConnectionError("closed")
        except TimeoutError:
            why = "Connection timed out"
        except OSError:
            shown = where if isinstance(where, str) else f"127.0.0.1:{where[1]}"
            why = f"connect ECONNREFUSED {shown}"
        else:
            s.settimeout(None)
            return s, hosts[0]
        s.close()
    raise Failed("DAEMON_NOT_RUNNING", f"Cannot connect to daemon at {hosts[0]}: {why}", NOT_RUNNING)


FAILED_AS = {
    "run": ("AGENT_CREATE_FAILED", "Failed to create agent"),
    "send": ("SEND_FAILED", "Failed to send message"),
    "wait": ("WAIT_FAILED", "Failed to wait for agent"),
    "inspect": ("INSPECT_FAILED", "Failed to inspect agent"),
    "stop": ("STOP_AGENT_FAILED", "Failed to stop agent(s)"),
    "delete": ("DELETE_AGENT_FAILED", "Failed to delete agent(s)"),
    "permit allow": ("ALLOW_PERMISSION_FAILED", "Failed to allow permission"),
    "permit deny": ("DENY_PERMISSION_FAILED", "Failed to deny permission"),
    "archive": ("ARCHIVE_FAILED", "Failed to archive agent"),
}


def checked(name: str, options: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """What is said before the daemon is asked; the request to it."""
    if name == "run":
        if not words[0].strip():
            raise Failed("MISSING_PROMPT", "A prompt is required", "Usage: paseo agent run [options] <prompt>")
        if not options.get("--provider"):
            details = "Pass --provider <provider> or --provider <provider>/<model>"
            raise Failed("MISSING_PROVIDER", "Provider is required", details)
    if name == "wait" and options.get("--timeout"):
        options["timeout_s"] = seconds(options["--timeout"])
    if name == "run" and options.get("--wait-timeout"):
        options["timeout_s"] = seconds(options["--wait-timeout"])
    if name == "permit deny" and len(words) < 2 and not options.get("--all"):
        details = "Usage: paseo permit deny <agent> <req_id> | --all"
        raise Failed("MISSING_ARGUMENT", "Request ID is required unless --all is specified", details)
    if name == "send":
        given = [options.get("--prompt"), options.get("--prompt-file"), words[1] if len(words) > 1 else None]
        if sum(g is not None for g in given) > 1:
            words_ = "Provide exactly one of prompt argument, --prompt, or --prompt-file"
            raise Failed("CONFLICTING_PROMPT_INPUT", words_)
        text = given[0] or given[2]
        if given[1] is not None:
            try:
                text = Path(given[1]).read_text("utf-8")
            except OSError as e:
                why = f"ENOENT: no such file or directory, open '{e.filename}'"
                raise Failed("PROMPT_FILE_READ_ERROR", f"Failed to read prompt file: {given[1]}", why) from None
        if not text or not text.strip():
            usage = "Usage: paseo agent send [options] <id> [prompt] | --prompt <text> | --prompt-file <path>"
            raise Failed("MISSING_PROMPT", "A prompt is required", usage)
        words = [words[0], text]
    return {"command": name, "options": options, "words": words, "cwd": os.getcwd()}


def ask(name: str, options: dict[str, Any], words: list[str]) -> int:
    request = checked(name, options, words)
    if name == "run" and any("=" not in label for label in options["--label"]):
        connection, _ = connect(options)
        label = next(label for label in options["--label"] if "=" not in label)
        raise Failed("INVALID_LABEL", f"Invalid label format: {label}", "Labels must be in key=value format")
    connection, _ = connect(options)
    with connection, connection.makefile("rw") as stream:
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        if asked := os.environ.get("DOUBLE_ASKED"):  # whoever waits for that may go on
            with open(asked, "a") as f:
                f.write(name + "\n")
        while True:
            try:
                line = stream.readline()
            except OSError:
                line = ""
            if not line:
                if name in ("attach", "logs"):
                    return 0  # silently
                code, before = FAILED_AS.get(name, ("FAILED", "Failed"))
                raise Failed(code, f"{before}: Transport closed (code 1006)")
            row = json.loads(line)
            if "text" in row:
                sys.stdout.write(row["text"])
                sys.stdout.flush()
                continue
            if row.get("warning"):
                sys.stderr.write(row["warning"] + "\n")
            if "error" in row:
                code, message, details = row["error"]
                if code == "":  # of the daemon: each command has its own words for it
                    code, before = FAILED_AS.get(name, ("FAILED", f"Failed to {_verb(name)}"))
                    message = f"{before}: {message}"
                if name in ("logs", "attach"):
                    raise Failed("", f"Error: {message}")
                raise Failed(code, message, details)
            if row.get("data") is not None:
                sys.stdout.write(json.dumps(row["data"], indent=2, ensure_ascii=False) + "\n")
            return 0


def _verb(name: str) -> str:
    return {"logs": "get logs", "attach": "attach to agent"}.get(name, name)


# ---- the daemon, from outside ----


def pid_of(home: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((home / "paseo.pid").read_text()))
    except (OSError, ValueError):
        return None


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def daemon(name: str, options: dict[str, Any]) -> int:
    home = home_of(options)
    info = pid_of(home)
    up = info is not None and alive(info["pid"])
    if name == "daemon start":
        if up:
            sys.stderr.write("Daemon failed to start in background (exit code 1).\n\nRecent daemon logs:\n")
            return 1
        home.mkdir(parents=True, exist_ok=True)
        listen = options.get("--listen") or (
            f"127.0.0.1:{options['--port']}" if "--port" in options else configured(home)
        )
        root = Path(__file__).resolve().parents[2]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.paseo.daemon", str(home), listen],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(home / "daemon.log", "a"),  # noqa: SIM115
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(root), "PASEO_HOME": str(home)},
        )
        time.sleep(1.2 / SPEED)
        sys.stdout.write(f"Daemon starting in background (PID {process.pid}).\nLogs: {home}/daemon.log\n")
        return 0
    if name == "daemon stop":
        if info is None or not up:
            row = {"action": "not_running", "home": str(home), "pid": "-", "message": "Daemon is not running"}
        else:
            os.kill(info["pid"], signal.SIGTERM)
            while alive(info["pid"]):
                time.sleep(0.02)
            unix = not re.search(r":\d+$", info["listen"])
            words = "daemon listen target is not TCP, falling back to owner PID signal"
            row = {
                "action": "stopped",
                "home": str(home),
                "pid": str(info["pid"]),
                "message": words if unix else "Daemon stopped gracefully",
            }
        sys.stdout.write(json.dumps(row, indent=2) + "\n")
        return 0
    state, own = "running" if up else "stale_pid" if info else "stopped", info or {}
    reachable = False
    if up:
        try:
            connect({"--host": configured(home)})[0].close()
            reachable = True
        except Failed:
            state = "unresponsive"
    row = {
        "serverId": "srv_double",
        "localDaemon": state,
        "connectedDaemon": "reachable" if reachable else "unreachable",
        "home": str(home),
        "listen": configured(home),
        "hostname": own.get("hostname"),
        "pid": own.get("pid"),
        "startedAt": own.get("startedAt"),
        "owner": "0@vm" if own else None,
        "logPath": f"{home}/daemon.log",
        "runningAgents": 0 if reachable else None,
        "idleAgents": 0 if reachable else None,
        "daemonNode": "node" if own else "-",
        "cliNode": sys.executable,
        "cliVersion": VERSION,
        "daemonVersion": VERSION if reachable else None,
        "desktopManaged": False,
        "providers": [{"label": "Claude", "path": "/usr/local/bin/claude", "version": "2.1.197 (Claude Code)"}],
    }
    sys.stdout.write(json.dumps(row, indent=2) + "\n")
    return 0


def main(argv: list[str]) -> int:
    time.sleep(float(os.environ.get("DOUBLE_LATENCY", "0")))
    log = os.environ.get("DOUBLE_CALLS")  # what was called, for the tests
    if log:
        with open(log, "a") as f:
            f.write(json.dumps(argv) + "\n")
    if argv == ["--version"]:
        print(VERSION)
        return 0
    try:
        name, options, words = parse(argv)
        if name.startswith("daemon"):
            return daemon(name, options)
        return ask(name, options, words)
    except Failed as e:
        sys.stderr.write(e.text("--json" in argv))
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main(sys.argv[1:]))

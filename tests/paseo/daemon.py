"""The daemon of the double: agents that play the script in their prompts, with Paseo's state file and its traps.

A prompt may hold `SCRIPT:[STEP, ...]`, each a list: `["text", WORDS, PAUSE]`, `["bash", CMD]` (run for real; asks for
permission unless it is an `echo`, or the mode allows all), `["ask", QUESTION, OPTIONS]`, `["error", STATUS, NAME]`,
`["drop", WORDS]`. The agent's "provider" is a sleeping process that can be killed, and writes the provider's record.
`$DOUBLE_PHANTOM=0` makes a stop of Claude clean (2.1.71), `$DOUBLE_SPEED` divides every time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.paseo.cli import SPEED, address

PHANTOM = os.environ.get("DOUBLE_PHANTOM", "1") == "1"
MODES = {
    "claude": {
        "default": "Always Ask",
        "acceptEdits": "Accept File Edits",
        "plan": "Plan Mode",
        "bypassPermissions": "Bypass",
    },
    "codex": {"auto": "Default Permissions", "full-access": "Full Access"},
}
DEFAULT_MODEL = {"claude": "claude-opus-4-6", "codex": "gpt-6.1-sol"}
LOCK = threading.RLock()
ZEROS = {"InputTokens": 0, "OutputTokens": 0, "CachedTokens": 0, "CostUsd": 0}
WORDS = {400: "Bad Request", 401: "Unauthorized"}
ERRORS = {401: "authentication_failed", 429: "rate_limit", 529: "server_error"}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class Cancelled(Exception):
    pass


class Error(Exception):
    def __init__(self, code: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.reply = {"error": [code, message, details]}


class Agent:
    """One agent: its snapshot (the state file), its turn, its provider's process and record."""

    def __init__(self, daemon: Daemon, record: dict[str, Any], loaded: bool) -> None:
        self.daemon, self.record, self.loaded = daemon, record, loaded
        self.family = "claude" if record["provider"].startswith("claude") else "codex"
        self.pending: list[dict[str, Any]] = []
        self.usage: dict[str, Any] | None = None
        self.cost = 0.0
        self._log_file = Path(daemon.home) / "logs" / f"{record['id']}.json"
        self.log: list[str] = json.loads(self._log_file.read_text()) if self._log_file.exists() else []
        self.turn: object | None = None
        self.answers: dict[str, Any] = {}
        self.last_call: dict[str, Any] | None = None
        self.tool = ""  # the id of the last tool call
        self.turn_id = ""
        self.spoke = False  # something came from the model in this turn
        self.process: subprocess.Popen[bytes] | None = None
        self.changed = threading.Condition(LOCK)

    # ---- the state file ----

    @property
    def status(self) -> str:
        return str(self.record["lastStatus"])

    def save(self, status: str | None = None, **more: Any) -> None:
        """Replaced at each transition, never partial."""
        with LOCK:
            if status is not None:
                self.record["lastStatus"] = status
            self.record |= {**more, "updatedAt": now(), "lastActivityAt": now()}
            path = self.path
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
            temporary.write_text(json.dumps(self.record, indent=2))
            temporary.replace(path)
            self._log_file.parent.mkdir(exist_ok=True)
            self._log_file.write_text(json.dumps([w for w in self.log if not w.startswith("[System Error]")]))
            self.changed.notify_all()

    @property
    def path(self) -> Path:
        folder = self.record["cwd"].strip("/").replace("/", "-")
        return Path(self.daemon.home) / "agents" / folder / f"{self.record['id']}.json"

    # ---- the provider ----

    def load(self) -> None:
        """`logs`, `wait`, `attach` and `send` load a closed agent; that wipes `lastError`."""
        if self.loaded:
            return
        self.loaded = True
        self.record.pop("lastError", None)
        self.usage, self.cost = None, 0.0
        if self.family == "claude":
            self.log.insert(0, "[Task Notification] Background task notification")
        self.save("idle")

    def live(self) -> None:
        if self.process is None or self.process.poll() is not None:
            name = "claude-double" if self.family == "claude" else "codex-double app-server"
            self.process = subprocess.Popen([name, "100000"], executable="/bin/sleep")
            threading.Thread(target=self._watch, args=(self.process,), daemon=True).start()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with LOCK:
            if process is not self.process or self.turn is None or code != -signal.SIGKILL:
                return
            turn, self.turn = self.turn, None
            if self.family == "claude":
                self.usage = dict(ZEROS)
                self.save("error", lastError="Claude Code process terminated by signal SIGKILL")
            else:
                self.turn = turn  # nobody notices that Codex died: running for ever
                self.answers["dead"] = True

    def end_process(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def record_row(self, **row: Any) -> None:
        session = self.record["persistence"]["sessionId"]
        home = Path(os.environ.get("HOME", "/"))
        if self.family == "claude":
            folder = re.sub(r"[^A-Za-z0-9]", "-", self.record["cwd"])
            root = Path(os.environ.get("CLAUDE_CONFIG_DIR") or home / ".claude")
            path = root / "projects" / folder / f"{session}.jsonl"
        else:
            root = Path(os.environ.get("CODEX_HOME") or home / ".codex")
            path = root / "sessions" / "2026" / "11" / "20" / f"rollout-2026-11-20T00-00-00-{session}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a") as f:
            own = {"uuid": str(uuid.uuid4())} if self.family == "claude" else {}
            f.write(json.dumps({"timestamp": now(), **own, **row}) + "\n")

    def event(self, kind: str, **payload: Any) -> None:
        self.record_row(type="event_msg", payload={"type": kind, **payload})

    # ---- turns ----

    def prompt(self, text: str) -> None:
        """Take a prompt: a running turn is cancelled and replaced."""
        with LOCK:
            if self.answers.pop("dead", None):
                self.turn = None
                self.save("error", lastError="A foreground turn is already active")
                raise Error("", "A foreground turn is already active")
            self.cancel(phantom=False)
            failed = self.status == "error"
            self.record["archivedAt"] = None
            self.live()
            self.turn = turn = object()
            self.log.append(f"[User] {text}")
            self.spoke = False
            if self.family == "codex" or failed:
                self._session()
            self.save("running", lastUserMessageAt=now(), requiresAttention=False, attentionReason=None)
            self.record.pop("lastError", None)
            threading.Thread(target=self._play, args=(turn, text), daemon=True).start()
        if failed:
            raise Error("", f"Agent {self.record['id']} failed to start")  # and yet it was delivered

    def _session(self) -> None:
        if self.record["persistence"] is None or not self.record["persistence"]["sessionId"]:
            self.record["persistence"] = {"provider": self.record["provider"], "sessionId": str(uuid.uuid4())}
            if self.family == "codex":
                self.record_row(type="session_meta", payload={"id": self.record["persistence"]["sessionId"]})

    def _play(self, turn: object, text: str) -> None:
        found = re.search(r"SCRIPT:(\[.*\])", text, re.DOTALL)
        steps = json.loads(found[1]) if found else [["text", "ok"]]
        error = None
        try:
            if self.family == "claude":
                self._pause(turn, 0.7)  # the session's id comes late
                with LOCK:
                    self._session()
                    self.save()
                self.record_row(type="user", message={"role": "user", "content": text})
            else:
                self.turn_id = str(uuid.uuid4())
                self.event("task_started", turn_id=self.turn_id)
                self.event("user_message", message=text)
            self.usage, self.last_call = None, None
            for n, step in enumerate(steps):
                error = self._step(turn, step, last=n == len(steps) - 1)
                if error is not None:
                    break
        except Cancelled:
            return
        with LOCK:
            if self.turn is not turn:
                return
            self.turn = None
            self.usage = self.last_call if self.family == "codex" else self.usage or dict(ZEROS)
            if self.family == "codex":
                words = next((w for w in reversed(self.log) if not w.startswith("[")), None)
                more = {"error": {"message": error}} if error else {}
                self.event("task_complete", turn_id=self.turn_id, last_agent_message=None if error else words, **more)
            if error and self.family == "codex":
                self.log.append(f"[System Error] {error}")
                self.save("error", lastError=error, requiresAttention=True, attentionReason="error")
            else:
                self.save("idle", requiresAttention=True, attentionReason="finished")

    def _pause(self, turn: object, seconds: float) -> None:
        end = time.monotonic() + seconds / SPEED
        with LOCK:
            while self.turn is turn and (self.answers.get("dead") or time.monotonic() < end):
                self.changed.wait(min(0.05, max(0.001, end - time.monotonic())))
            if self.turn is not turn:
                raise Cancelled

    def _step(self, turn: object, step: list[Any], last: bool) -> str | None:
        """One answer of the model; the error that ends the turn."""
        kind = step[0]
        self.spoke = self.spoke or kind != "error"
        if kind == "text":
            self.log.append("")
            for word in step[1].split():
                self.log[-1] = f"{self.log[-1]} {word}".strip()
                self._pause(turn, step[2] if len(step) > 2 else 0.0)
            self._call(turn, [{"type": "text", "text": step[1]}], "end_turn" if last else "tool_use")
        elif kind == "bash":
            self.log.append("Working on it.")
            self.log.append(f"[Shell] {step[1]}")
            mode = self.record["lastModeId"]
            asks = (mode == "default" and not step[1].startswith(("echo", "env", "sleep"))) or (
                len(step) > 2 and mode == "auto"
            )
            given = {"command": step[1]}
            self._call(
                turn,
                [{"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:12]}", "name": "Bash", "input": given}],
                "tool_use",
            )
            allowed = not asks or self._permit(
                turn, "Bash" if self.family == "claude" else "CodexBash", step[2] if len(step) > 2 else {}
            )
            if allowed:
                self._shell(turn, step[1])
            self._result("done" if allowed else "denied", not allowed)
        elif kind == "ask":
            self.log.append("[AskUserQuestion]")
            options = [{"label": o, "description": o} for o in step[2]]
            given = {"questions": [{"question": step[1], "header": "Pick", "multiSelect": False, "options": options}]}
            self._call(
                turn,
                [
                    {
                        "type": "tool_use",
                        "id": f"toolu_{uuid.uuid4().hex[:12]}",
                        "name": "AskUserQuestion",
                        "input": given,
                    }
                ],
                "tool_use",
            )
            self._permit(turn, "AskUserQuestion", {})
            answers = (self.answers.get("input") or {}).get("answers")
            self._result(
                f"answers: {json.dumps(answers)}" if answers else "The user did not answer the questions.", False
            )
        elif kind in ("error", "drop"):
            return self._fail(turn, step)
        return None

    def _fail(self, turn: object, step: list[Any]) -> str:
        """The words of the error; none for Claude, which Paseo does not see fail."""
        status = step[1] if step[0] == "error" else None
        name = str(step[2]) if len(step) > 2 else "error"
        if self.family == "codex":
            self._pause(turn, {401: 6.0, 429: 0.2, 529: 25.0}.get(status or 0, 1.0))
            return (
                f"unexpected status {status} {WORDS.get(int(status), '<unknown status code>')}: scripted {name}"
                if status
                else "stream disconnected before completion"
            )
        self._pause(turn, 180.0 if status in (401, 429, 529) else 0.2)  # silent retries
        words = f"API Error: {status} scripted {name}" if status else "API Error: Connection closed mid-response."
        words = f"Failed to authenticate. {words}" if status == 401 else words
        self.log.append(words)
        self.record_row(
            type="assistant", isApiErrorMessage=True, apiErrorStatus=status, error=ERRORS.get(status or 0, "unknown"),
            message={"id": str(uuid.uuid4()), "model": "<synthetic>", "content": [{"type": "text", "text": words}]},
        )  # fmt: skip
        return ""  # the turn is over, and it will be `idle`, `completed` and `finished`

    def _shell(self, turn: object, command: str) -> None:
        process = subprocess.Popen(["/bin/sh", "-c", command], cwd=self.record["cwd"], stdout=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                self._pause(turn, 0.02 * SPEED)
        except Cancelled:
            process.kill()
            process.wait()
            raise

    def _result(self, text: str, failed: bool) -> None:
        if self.family == "claude":
            block = {"type": "tool_result", "tool_use_id": self.tool, "content": text, "is_error": failed}
            self.record_row(type="user", message={"role": "user", "content": [block]})
        else:
            payload = {"type": "function_call_output", "call_id": "call", "output": text}
            self.record_row(type="response_item", payload=payload)

    def _permit(self, turn: object, tool: str, about: dict[str, Any]) -> bool:
        """`running` all the while: only the pending list tells."""
        request = {"id": f"permission-{uuid.uuid4()}", "tool": tool, "description": about.get("justification", "-")}
        with LOCK:
            self.answers.pop("input", None)
            self.pending.append(request)
            self.changed.notify_all()
            while request["id"] not in self.answers:
                if self.turn is not turn:
                    raise Cancelled
                self.changed.wait(0.05)
            return bool(self.answers.pop(request["id"]))

    def _call(self, turn: object, content: list[dict[str, Any]], stop: str) -> None:
        """A model call: numbers as of the lab's endpoint, in the record, in the bill, and in Paseo's own way."""
        with LOCK:
            if self.turn is not turn:
                raise Cancelled
            self.tool = next((str(b["id"]) for b in content if b["type"] == "tool_use"), self.tool)
            n = self.daemon.bill()
            fresh, written, read, out = 100 + n, 7 * n, 1000 + 10 * n, 20 + n
            usage = {
                "input_tokens": fresh,
                "cache_creation_input_tokens": written,
                "cache_read_input_tokens": read,
                "output_tokens": out,
            }
            if self.family == "claude":
                call = f"msg_{n:06d}"
                message = {
                    "id": call,
                    "model": self.record["config"]["model"],
                    "content": content,
                    "usage": usage,
                    "stop_reason": stop,
                }
                self.record_row(type="assistant", message=message)
                old = self.usage or {"InputTokens": 0, "OutputTokens": 0, "CachedTokens": 0}
                self.cost += 0.001
                self.usage = {  # this turn's sum; the cost is the process's
                    "InputTokens": old["InputTokens"] + fresh, "OutputTokens": old["OutputTokens"] + out,
                    "CachedTokens": old["CachedTokens"] + read, "CostUsd": self.cost,
                }  # fmt: skip
            else:
                call = f"resp_{n:06d}"
                given = {
                    "input_tokens": fresh + read,
                    "cached_input_tokens": read,
                    "output_tokens": out,
                    "total_tokens": fresh + read + out,
                }
                self.record_row(type="token_usage_record", payload={"response_id": call, "usage": given})
                text = "".join(b.get("text", "") for b in content)
                if text:
                    self.event("agent_message", message=text)
                self.last_call = {
                    "InputTokens": fresh + read,
                    "OutputTokens": out,
                    "CachedTokens": read,
                    "CostUsd": 0,
                }  # last only
            self.daemon.billed(call, fresh + read + (written if self.family == "claude" else 0), out)

    def cancel(self, phantom: bool) -> bool:
        """End the turn that runs; with `phantom` Claude's late message opens one that never ends."""
        with LOCK:
            running = self.turn is not None
            if not running and self.status != "running":
                return False
            was_phantom = self.turn == "phantom"
            self.turn = None
            self.pending.clear()
            self.usage = dict(ZEROS) if self.family == "claude" else None
            self.changed.notify_all()
            if running and not was_phantom and self.record["persistence"] and not self.answers.get("dead"):
                if self.family == "claude":
                    self.record_row(
                        type="user",
                        message={
                            "role": "user",
                            "content": [{"type": "text", "text": "[Request interrupted by user]"}],
                        },
                    )
                else:
                    self.event("turn_aborted", reason="interrupted")
            self.save("idle", requiresAttention=True, attentionReason="finished")
            if phantom and PHANTOM and self.family == "claude" and running and not was_phantom:
                self.turn = "phantom"
                self.save("running")
            return True

    def wait(self, timeout: float | None) -> str:
        """`idle`, `error`, `permission`, `timeout`; a daemon that goes down says idle."""
        end = time.monotonic() + timeout / SPEED if timeout else None
        with LOCK:
            while True:
                if self.daemon.down:
                    return "idle"
                if self.pending:
                    return "permission"
                if self.status in ("idle", "closed", "error"):
                    return "idle" if self.status == "closed" else self.status
                if end is not None and time.monotonic() >= end:
                    return "timeout"
                self.changed.wait(0.05)


class Daemon:
    def __init__(self, home: str, listen: str) -> None:
        self.home, self.listen, self.down = home, listen, False
        self.started = now()
        self.agents: dict[str, Agent] = {}
        for path in sorted(Path(home).glob("agents/*/*.json")):
            record = json.loads(path.read_text())
            agent = self.agents[record["id"]] = Agent(self, record, loaded=False)
            if record["lastStatus"] not in ("running", "closed"):  # a stale `running` stays what it is
                agent.record["lastStatus"] = "closed"
        self._calls = len(self._bill.read_text().splitlines()) if self._bill.exists() else 0

    @property
    def _bill(self) -> Path:
        return Path(self.home) / "bill.jsonl"

    def bill(self) -> int:
        self._calls += 1
        return self._calls

    def billed(self, call: str, given: int, out: int) -> None:
        with open(self._bill, "a") as f:
            f.write(json.dumps({"call_id": call, "input_tokens": given, "output_tokens": out}) + "\n")

    def find(self, name: str) -> Agent:
        found = [a for i, a in self.agents.items() if i.startswith(name) or a.record["title"] == name] if name else []
        if len(found) != 1:
            raise Error("", f"Agent not found: {name}")
        return found[0]

    def stop(self) -> None:
        """Graceful: clients that wait are told success, files say `closed`."""
        with LOCK:
            self.down = True
            for agent in self.agents.values():
                agent.turn = None
                agent.changed.notify_all()
                agent.end_process()
                if agent.loaded:
                    agent.save("closed")
        time.sleep(0.1)

    # ---- commands: the data to print ----

    def do(self, name: str, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        return getattr(self, "do_" + name.replace(" ", "_"))(options, words, cwd)

    def do_ls(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        rows = []
        for agent in sorted(self.agents.values(), key=lambda a: str(a.record["createdAt"]), reverse=True):
            r = agent.record
            labels = [f"{k}={v}" for k, v in r["labels"].items()]
            if (r.get("archivedAt") and not (options.get("-a") or options.get("--all"))) or not set(
                options["--label"]
            ) <= set(labels):
                continue
            rows.append({
                "id": r["id"], "shortId": r["id"][:7], "name": r["title"], "provider": f"{r['provider']}/{r['config']['model']}",
                "thinking": "auto", "status": r["lastStatus"], "cwd": r["cwd"], "created": "just now",
            })  # fmt: skip
        return rows

    def do_run(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        provider, _, model = options["--provider"].partition("/")
        failed = "AGENT_CREATE_FAILED"
        if provider in ("copilot", "opencode", "codex-missing", "claude-missing"):
            raise Error(
                failed,
                f"Failed to create agent: Provider '{provider}' is not available. Available providers: claude, codex. ",
            )
        family = provider.split("-")[0]
        if family not in MODES:
            raise Error(
                failed, f"Failed to create agent: Unknown provider '{provider}'. Configured providers: claude, codex"
            )
        cwd = options.get("--cwd") or cwd
        if not os.path.isdir(cwd):
            raise Error(failed, f"Failed to create agent: Working directory does not exist: {cwd}")
        mode = options.get("--mode") or next(iter(MODES[family]))
        if mode not in MODES[family]:
            raise Error(
                failed, f"Failed to create agent: Invalid mode '{mode}' for {family.title()} provider. Valid modes: ..."
            )
        title = options.get("--title") or words[0][:60]
        if title == "slow":
            time.sleep(60 / SPEED)
        model = options.get("--model") or model or DEFAULT_MODEL[family]
        record = {
            "id": str(uuid.uuid4()), "provider": provider, "cwd": cwd, "createdAt": now(), "updatedAt": now(),
            "lastActivityAt": now(), "lastUserMessageAt": None, "title": title,
            "labels": dict(label.split("=", 1) for label in options["--label"]), "lastStatus": "idle", "lastModeId": mode,
            "config": {"title": title, "modeId": mode, "model": model},
            "runtimeInfo": {"provider": provider, "sessionId": None, "model": model, "modeId": mode, "extra": {}},
            "features": [], "persistence": None, "requiresAttention": False, "attentionReason": None,
            "attentionTimestamp": None, "internal": False,
        }  # fmt: skip
        agent = self.agents[record["id"]] = Agent(self, record, loaded=True)
        agent.save("idle")
        time.sleep(0.02)
        agent.prompt(words[0])
        status = "created"
        if not (options.get("-d") or options.get("--detach")):
            status = {"idle": "completed"}.get(end := agent.wait(options.get("timeout_s")), end)
        return {"agentId": record["id"], "status": status, "provider": provider, "cwd": cwd, "title": title}

    def do_send(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        agent = self.find(words[0])
        agent.load()
        agent.prompt(words[1])
        known = agent.record["id"]
        if options.get("--no-wait"):
            return {"agentId": known, "status": "sent", "message": "Message sent, not waiting for completion"}
        end = agent.wait(None)
        if end == "permission":
            return {"agentId": known, "status": end, "message": "Agent is waiting for permission"}
        message = "Agent completed processing the message" if end == "idle" else str(agent.record.get("lastError"))
        return {"agentId": known, "status": "completed" if end == "idle" else end, "message": message}

    def do_wait(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        try:
            agent = self.find(words[0])
        except Error as e:
            return {"agentId": words[0], "status": "error", "message": e.reply["error"][1]}  # with exit code 0
        agent.load()
        end = agent.wait(options.get("timeout_s"))
        recent = "\nLast 5 activity items:\n" + "\n".join(agent.log[-5:]) if agent.log else ""
        message = {
            "idle": f"Agent is idle.{recent}",
            "error": str(agent.record.get("lastError")),
            "permission": "Agent is waiting for permission: tool",
            "timeout": f"Agent did not finish within {options.get('timeout_s')} seconds. Run `paseo wait` again.{recent}",
        }[end]
        return {"agentId": agent.record["id"], "status": end, "message": message}

    def do_inspect(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        agent = self.find(words[0])
        r = agent.record
        modes = [{"id": k, "label": v} for k, v in MODES[agent.family].items()] if agent.loaded else []
        mid_turn = agent.family == "claude" and r["lastStatus"] == "running" and agent.spoke
        usage = dict(ZEROS) if mid_turn else agent.usage
        return {
            "Id": r["id"], "Name": r["title"], "Provider": r["provider"], "Model": r["config"]["model"],
            "Thinking": "auto" if agent.family == "claude" else "low", "Status": r["lastStatus"],
            "Archived": bool(r.get("archivedAt")), "ArchivedAt": r.get("archivedAt"), "Mode": r["lastModeId"],
            "Cwd": r["cwd"], "CreatedAt": r["createdAt"], "UpdatedAt": r["updatedAt"], "LastUsage": usage,
            "Capabilities": {"Streaming": agent.loaded, "Persistence": True, "DynamicModes": agent.loaded, "McpServers": agent.loaded},
            "AvailableModes": modes,
            "PendingPermissions": [{"id": p["id"], "tool": p["tool"]} for p in agent.pending],
            "Worktree": None, "ParentAgentId": None,
        }  # fmt: skip

    def do_stop(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        agent = self.find(words[0])
        if agent.status == "running" and not agent.loaded:
            time.sleep(15 / SPEED)
            raise Warn(f"Warning: Failed to stop agent {agent.record['id'][:7]}: Timeout waiting for message (15000ms)",
                       {"stoppedCount": 0, "agentIds": []})  # fmt: skip
        done = agent.status == "running" and not agent.answers.get("dead") and agent.cancel(phantom=True)
        return {"stoppedCount": int(done), "agentIds": [agent.record["id"]] if done else []}

    def do_archive(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        try:
            agent = self.find(words[0])
        except Error as e:
            raise Error("AGENT_NOT_FOUND", e.reply["error"][1], 'Use "paseo ls" to list available agents') from None
        r, short = agent.record, agent.record["id"][:7]
        if r.get("archivedAt"):
            raise Error(
                "AGENT_ALREADY_ARCHIVED", f"Agent {short} is already archived", f"Archived at: {r['archivedAt']}"
            )
        if agent.status == "running" and not options.get("--force"):
            raise Error(
                "AGENT_RUNNING", f"Agent {short} is currently running", "Use --force to archive a running agent"
            )
        agent.cancel(phantom=False)
        agent.end_process()
        agent.loaded, agent.usage = False, None
        agent.save("closed", archivedAt=now(), requiresAttention=False, attentionReason=None)
        return {"agentId": r["id"], "status": "archived", "archivedAt": r["archivedAt"]}

    def do_delete(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        agent = self.find(words[0])
        agent.cancel(phantom=False)
        agent.end_process()
        with contextlib.suppress(OSError):
            agent.path.unlink()
        del self.agents[agent.record["id"]]
        return {"deletedCount": 1, "agentIds": [agent.record["id"]]}

    def do_agent_reload(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        agent = self.find(words[0])
        agent.cancel(phantom=False)
        agent.answers.clear()
        agent.end_process()
        agent.loaded = True
        agent.record.pop("lastError", None)
        agent.save("idle")
        return {"agentId": agent.record["id"], "status": "reloaded", "timelineSize": len(agent.log)}

    def do_permit_ls(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        return [
            {"id": p["id"][:8], "agentId": a.record["id"], "agentShortId": a.record["id"][:7], "name": p["tool"], "description": p["description"]}
            for a in self.agents.values() for p in a.pending
        ]  # fmt: skip

    def do_permit_allow(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        given = json.loads(options["--input"]) if options.get("--input") else None
        return self._permit(words, True, "allowed", given, False)

    def do_permit_deny(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        return self._permit(words, False, "denied", None, bool(options.get("--interrupt")))

    def _permit(self, words: list[str], answer: bool, result: str, given: Any, interrupt: bool) -> Any:
        agent = self.find(words[0])
        short = agent.record["id"][:7]
        with LOCK:
            if not agent.pending:
                raise Error("NO_PENDING_PERMISSIONS", f"No pending permissions for agent {short}")
            chosen = [p for p in agent.pending if len(words) < 2 or p["id"].startswith(words[1])]
            if not chosen:
                raise Error("PERMISSION_NOT_FOUND", f"Permission request not found: {words[1]}")
            for p in chosen:
                agent.pending.remove(p)
                agent.answers[p["id"]] = answer
            agent.answers["input"] = given
            if interrupt:
                agent.turn, agent.usage = None, dict(ZEROS)
                agent.save(
                    "error", lastError="[ede_diagnostic] result_type=user last_content_type=n/a stop_reason=tool_use"
                )
            agent.changed.notify_all()
        return [
            {
                "requestId": p["id"][:8],
                "agentId": agent.record["id"],
                "agentShortId": short,
                "name": p["tool"],
                "result": result,
            }
            for p in chosen
        ]

    def do_logs(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        agent = self.find(words[0])
        agent.load()
        lines = [] if options.get("--filter") in ("errors", "permissions") else list(agent.log)
        if options.get("--filter") == "tools":
            lines = [line for line in lines if line.startswith("[Shell]") and agent.family == "claude"]
        lines = lines[-int(options["--tail"]) :] if options.get("--tail") else lines
        raise Text(
            "\n".join(lines) + "\n" if lines else "No activity to display.\n", agent if options.get("-f") else None
        )

    def do_attach(self, options: dict[str, Any], words: list[str], cwd: str) -> Any:
        agent = self.find(words[0])
        agent.load()
        head = f"Attaching to agent {agent.record['id'][:7]}...\n(Press Ctrl+C to detach)\n\n\n"
        raise Text(head + "".join(line + "\n" for line in agent.log), agent)


class Warn(Exception):
    def __init__(self, words: str, data: Any) -> None:
        super().__init__(words)
        self.reply = {"warning": words, "data": data}


class Text(Exception):
    """Plain text; then, following, what comes: without any line for the end of a turn."""

    def __init__(self, text: str, follow: Agent | None) -> None:
        super().__init__(text)
        self.text, self.follow = text, follow


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        daemon: Daemon = self.server.owner  # type: ignore[attr-defined]
        with contextlib.suppress(OSError, ValueError):
            self.rfile.readline()
            self.wfile.write(b"\n")
            self.wfile.flush()
            line = self.rfile.readline()
            if not line:
                return
            request = json.loads(line)
            try:
                data = daemon.do(request["command"], request["options"], request["words"], request["cwd"])
                reply = {"data": data}
            except (Error, Warn) as e:
                reply = e.reply
            except Text as e:
                self._say({"text": e.text})
                seen = len(e.follow.log) if e.follow else 0
                while e.follow is not None and not daemon.down:
                    time.sleep(0.05)
                    for line_ in e.follow.log[seen:]:
                        self._say({"text": line_ + "\n"})
                    seen = max(seen, len(e.follow.log))
                reply = {"data": None}
            self._say(reply)

    def _say(self, row: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(row).encode() + b"\n")
        self.wfile.flush()


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        raise


def main() -> None:
    home, listen = sys.argv[1], sys.argv[2]
    daemon = Daemon(home, listen)
    family, where = address(listen)
    Server.address_family = family
    if family == socket.AF_UNIX:
        with contextlib.suppress(OSError):
            os.unlink(where)
    server = Server(where, Handler)
    server.owner = daemon  # type: ignore[attr-defined]
    shown = where if isinstance(where, str) else listen
    info = {"pid": os.getpid(), "startedAt": daemon.started, "hostname": "vm", "uid": os.getuid(), "listen": shown}
    (Path(home) / "paseo.pid").write_text(json.dumps(info))

    def leave(*_: object) -> None:
        threading.Thread(target=lambda: (daemon.stop(), server.shutdown())).start()

    signal.signal(signal.SIGTERM, leave)
    server.serve_forever(0.05)
    (Path(home) / "paseo.pid").unlink(missing_ok=True)
    if family == socket.AF_UNIX:
        Path(where).unlink(missing_ok=True)


if __name__ == "__main__":
    main()

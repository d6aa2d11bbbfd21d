"""The scripted agent's work: a turn with its model calls, retries, tools and sub-agents, in a
thread of its own.

The agent reports what happens to the terminal part by `post(kind, **fields)`, and appends its
evidence as it goes.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harnex.rehearsal.tui.model import Backend, Cancel, Interrupted, ModelError

RETRIES = 4
TOOL = "HARNEX_DEMO_TOOL"  # marks the processes of tools with the agent that they belong to
PREVIEW = 200


class Rows:
    """A JSONL file that records are appended to; with `path` "" nothing is written."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else -1

    def __call__(self, event: str, **fields: Any) -> None:
        if self._fd < 0:
            return
        row = {"event": event, "t": round(time.monotonic(), 4), "wall": round(time.time(), 4), **fields}
        data = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        with self._lock:
            os.write(self._fd, data)


@dataclass(frozen=True)
class Dialog:
    """A question to the person.

    The first option is the default; `answer` takes an index, or None for Esc.
    """

    kind: str
    title: str
    options: tuple[str, ...]
    detail: str = ""
    answer: queue.SimpleQueue[int | None] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True)
class TurnEnd:
    outcome: str
    last_message: str = ""
    reason: str = ""
    detail: str = ""
    retry_at: int | None = None


@dataclass
class _Reply:
    """One model answer as it comes in."""

    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    final: bool = False  # the usage is that of the whole answer
    blocks: list[dict[str, Any]] = field(default_factory=list)
    partial_json: dict[int, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "\n".join(b["text"] for b in self.blocks if b["type"] == "text")


@dataclass
class Agent:
    """The conversation. `run` does one turn."""

    backend: Backend
    post: Callable[..., None]
    evidence: Rows
    ask_permission: bool = False
    orphan: bool = False
    kept: str = ""  # the file that keeps the conversation; "": none
    records: bool = True  # report commands in the background
    messages: list[dict[str, Any]] = field(default_factory=list)
    children: set[int] = field(default_factory=set)
    _tool_numbers: Any = field(default_factory=lambda: itertools.count(1))
    _always: bool = False

    def run(self, prompt: str, cancel: Cancel) -> TurnEnd:
        """Answer a prompt. Never raises: the returned end says how the turn ended."""
        before = len(self.messages)
        self.messages.append({"role": "user", "content": prompt})
        self._save()
        try:
            end = TurnEnd("completed", self._converse(self.messages, "main", cancel))
            self._save()
            return end
        except Interrupted:
            end = TurnEnd("interrupted")
        except ModelError as error:
            end = TurnEnd("failed", "", error.reason, error.text, error.retry_at)
        except Exception as error:  # the demo agent's own mistake: shown, not hidden in a thread
            end = TurnEnd("failed", "", "other", f"{type(error).__name__}: {error}")
        # A tool call without its result would spoil the next request: only the prompt of the turn
        # is kept.
        del self.messages[before + 1 :]
        self.messages.append({"role": "assistant", "content": [{"type": "text", "text": f"[{end.outcome}]"}]})
        self._save()
        return end

    def _save(self) -> None:
        if not self.kept:
            return
        with suppress(OSError):
            os.makedirs(os.path.dirname(self.kept), 0o700, exist_ok=True)
            with open(self.kept + ".tmp", "w", encoding="utf-8", errors="backslashreplace") as f:
                json.dump(self.messages, f)
            os.replace(self.kept + ".tmp", self.kept)

    def load(self) -> int:
        """Continue the kept conversation; return how many messages it has."""
        with suppress(OSError, ValueError), open(self.kept, encoding="utf-8") as f:
            self.messages = json.load(f)
        said = len(self.messages)
        if said % 2:  # the process died in the middle of a turn
            self.messages.append({"role": "assistant", "content": [{"type": "text", "text": "[cut off]"}]})
        return said

    def _converse(self, messages: list[dict[str, Any]], agent: str, cancel: Cancel) -> str:
        while True:
            reply = self._call(messages, agent, cancel)
            messages.append({"role": "assistant", "content": reply.blocks or [{"type": "text", "text": ""}]})
            wanted = [b for b in reply.blocks if b["type"] == "tool_use"]
            if not wanted:
                return reply.text
            results = []
            for block in wanted:
                text, failed = self._tool(block, agent, cancel)
                result = {"type": "tool_result", "tool_use_id": block["id"], "content": text}
                results.append({**result, "is_error": True} if failed else result)
            messages.append({"role": "user", "content": results})

    # ---- model calls ----

    def _call(self, messages: list[dict[str, Any]], agent: str, cancel: Cancel) -> _Reply:
        started = time.monotonic()
        for attempt in itertools.count(1):
            reply = _Reply()
            try:
                for event in self.backend.events(messages, agent, cancel):
                    self._take(reply, event, agent)
                self._log_call(reply, agent, started, attempt, partial=False)
                return reply
            except (Interrupted, ModelError) as error:
                if reply.id:
                    self._log_call(reply, agent, started, attempt, partial=True)
                if isinstance(error, Interrupted) or not error.again or attempt > RETRIES:
                    raise
                wait = error.after if error.after is not None else min(0.25 * 2 ** (attempt - 1), 4.0)
                self.evidence("retry", attempt=attempt, message=error.text, wait_s=wait)
                self.post("retry", text=f"{error.text} · retrying in {wait:g}s · attempt {attempt}/{RETRIES}")
                cancel.wait(wait)
                self.post("retry", text="")
        raise AssertionError("unreachable")

    def _take(self, reply: _Reply, event: dict[str, Any], agent: str) -> None:
        kind = event.get("type")
        if kind == "message_start":
            reply.id, reply.model = event["message"]["id"], event["message"]["model"]
            reply.usage = dict(event["message"].get("usage") or {})
        elif kind == "content_block_start":
            reply.blocks.append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            block, delta = reply.blocks[event["index"]], event["delta"]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
                if agent == "main":
                    self.post("text", text=delta["text"])
            elif delta["type"] == "thinking_delta":
                block["thinking"] += delta["thinking"]
            elif delta["type"] == "signature_delta":
                block["signature"] = delta["signature"]
            else:
                index = event["index"]
                reply.partial_json[index] = reply.partial_json.get(index, "") + delta["partial_json"]
        elif kind == "content_block_stop":
            block = reply.blocks[event["index"]]
            if block["type"] == "tool_use":
                block["input"] = json.loads(reply.partial_json.get(event["index"]) or "{}")
            elif agent == "main":
                self.post("block", kind_of=block["type"], text=block.get("thinking", ""))
        elif kind == "message_delta":
            reply.stop_reason = event["delta"].get("stop_reason")
            told = event.get("usage") or {}
            reply.final = reply.stop_reason is not None and told.get("output_tokens") is not None
            # Counts that a delta leaves out, or reports as 0, keep their value from the start.
            reply.usage.update({k: v for k, v in told.items() if v or k.startswith("output")})

    def _log_call(self, reply: _Reply, agent: str, started: float, attempt: int, partial: bool) -> None:
        usage, final = reply.usage, reply.final and not partial
        read, write = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
        given = (usage.get("input_tokens") or 0) + (read or 0) + (write or 0)
        self.evidence(
            "call",
            id=reply.id,
            model=reply.model,
            agent=agent,
            input_tokens=given or None,  # no call has an input of 0: nothing was reported
            cache_read_tokens=read if given else None,
            cache_write_tokens=write if given else None,
            output_tokens=usage.get("output_tokens") if final else None,
            reasoning_tokens=(usage.get("output_tokens_details") or {}).get("thinking_tokens") if final else None,
            stop_reason=reply.stop_reason,
            attempts=attempt,
            duration_s=round(time.monotonic() - started, 3),
            partial=partial,
            text=reply.text[:PREVIEW],
            raw=usage,
        )

    # ---- tools ----

    def _tool(self, block: dict[str, Any], agent: str, cancel: Cancel) -> tuple[str, bool]:
        name, given, call_id = block["name"], block["input"], block["id"]
        preview = _preview(given)
        if name == "Bash" and self.ask_permission and not self._always:
            self._permission(given.get("command", ""), cancel)
        self.evidence("tool", call_id=call_id, tool=name, status="started", input=preview)
        self.post("tool", text=f"{name}({preview})")
        started = time.monotonic()
        text, failed = "interrupted", True
        try:
            text, failed = self._do(name, given, agent, cancel)
        finally:
            took = round(time.monotonic() - started, 3)
            status = "failed" if failed else "completed"
            self.evidence("tool", call_id=call_id, tool=name, status=status, input=preview, duration_s=took)
        self.post("result", text=text)
        return text, failed

    def _permission(self, command: str, cancel: Cancel) -> None:
        options = ("Yes", "Yes, and don't ask again", "No, and tell the agent what to do differently")
        answer = self._ask(Dialog("permission", "Do you want to run this command?", options, command), cancel)
        if answer is None or answer == 2:
            raise Interrupted
        self._always = answer == 1

    def _ask(self, dialog: Dialog, cancel: Cancel) -> int | None:
        cancel.check()

        def wake() -> None:
            dialog.answer.put(None)

        self.post("dialog", dialog=dialog)
        cancel.doing(wake)
        try:
            return dialog.answer.get()
        finally:
            cancel.done(wake)

    def _do(self, name: str, given: dict[str, Any], agent: str, cancel: Cancel) -> tuple[str, bool]:
        cancel.check()
        try:
            if name == "Bash" and given.get("run_in_background"):
                return self._background(given["command"], agent), False
            if name == "Bash":
                return self._bash(given["command"], cancel)
            if name == "Write":
                with open(given["file_path"], "w", encoding="utf-8") as f:
                    f.write(given["content"])
                return f"Wrote {len(given['content'])} characters", False
            if name == "Read":
                with open(given["file_path"], encoding="utf-8", errors="replace") as f:
                    return f.read(100_000), False
            if name == "AskUserQuestion":
                question = given["questions"][0]
                labels = tuple(o["label"] for o in question["options"])
                answer = self._ask(Dialog("question", question["question"], labels), cancel)
                if answer is None:
                    raise Interrupted
                return f"The user answered: {labels[answer]}", False
            if name == "ExitPlanMode":
                plan = Dialog("plan", "Would you like to proceed?", ("Yes", "No, keep planning"), given["plan"])
                if self._ask(plan, cancel) != 0:
                    raise Interrupted
                return "The user approved the plan", False
            if name == "TodoWrite":
                marks = {"completed": "☒", "in_progress": "◐"}
                return "\n".join(f"{marks.get(i['status'], '☐')} {i['content']}" for i in given["todos"]), False
            if name == "Task":
                number = next(self._tool_numbers)
                return self._converse([{"role": "user", "content": given["prompt"]}], f"agent-{number}", cancel), False
        except (OSError, KeyError, IndexError, TypeError) as error:
            return f"{type(error).__name__}: {error}", True
        return f"No such tool: {name}", True

    def _bash(self, command: str, cancel: Cancel) -> tuple[str, bool]:
        """Really run the command.

        Ordinary tools end with the turn and the agent. Orphans have their own session, and do not
        end.
        """
        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, TOOL: "main"},
            start_new_session=self.orphan,
            process_group=None if self.orphan else 0,
        )
        self.children.add(child.pid)
        out: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(child.stdout, out), daemon=True)
        reader.start()
        try:
            while child.poll() is None:
                cancel.wait(0.02)
            reader.join(0.5)  # a background child of the command may keep the pipe open for ever
        except Interrupted:
            if not self.orphan:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            raise
        finally:
            if child.returncode is not None:
                self.children.discard(child.pid)
        text = b"".join(out).decode("utf-8", "replace").rstrip("\n")
        if child.returncode:
            text += f"\nExit code {child.returncode}"
        return text, child.returncode != 0

    def _background(self, command: str, agent: str) -> str:
        """Start the command and let it run. A thread reports its end."""
        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, TOOL: agent},
            start_new_session=True,
        )
        self.children.add(child.pid)
        work = f"b{next(self._tool_numbers)}"
        if self.records:
            self.evidence("background", work=work, status="started", command=command, agent=agent)

        def watch() -> None:
            code = child.wait()
            self.children.discard(child.pid)
            self.post("background", work=work, command=command, code=code)

        threading.Thread(target=watch, daemon=True).start()
        return f"Running in the background with ID {work}"

    def help(self, command: str) -> None:
        """Start a process that belongs to the agent itself."""
        pipe = subprocess.DEVNULL
        self.children.add(subprocess.Popen(command.split(), stdin=pipe, stdout=pipe, stderr=pipe, process_group=0).pid)

    def kill_children(self) -> None:
        """End the tools together with the agent."""
        for pid in () if self.orphan else tuple(self.children):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def _preview(given: dict[str, Any]) -> str:
    """The first words of a tool's input."""
    value = next(iter(given.values()), "")
    if isinstance(value, list):
        value = next((str(v.get("question") or v.get("content") or "") for v in value if isinstance(v, dict)), "")
    return str(value)[:PREVIEW]


def _drain(pipe: Any, out: list[bytes]) -> None:
    with suppress(OSError, ValueError):
        while data := os.read(pipe.fileno(), 65536):
            out.append(data)

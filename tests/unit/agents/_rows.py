"""Rows as Claude Code and Codex write them, and a file of such rows read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harnex.agents.catalogue import logs_for
from harnex.agents.common.logfile import Logged
from harnex.usage import logs

THREAD = "01a1fdfe-a761-7962-8efe-52d44533db7d"  # made 2026-11-21T12:04:46.945Z


def use(n: int, **more: int) -> dict[str, int]:
    return {"input_tokens": 10 * n, "output_tokens": n, "total_tokens": 11 * n, **more}


def count(total: dict[str, int] | None, last: dict[str, int] | None = None) -> dict[str, Any]:
    info = {"total_token_usage": total, "last_token_usage": last} if total or last else None
    return {"type": "token_count", "info": info}


def read(path: Path, cli: str, full: bool = False) -> tuple[list[Logged], logs.Report]:
    report = logs.Report(str(path))
    return list(logs.read(str(path), logs_for(cli).readers([str(path)], logs.FILES)(0, full), report)), report


def said(
    call_id: str, kind: str = "text", stop: str | None = "end_turn", out: int = 5, agent: str = "", **more: Any
) -> dict[str, Any]:
    block = (
        {"type": "text", "text": "words"} if kind == "text" else {"type": kind, "id": f"t-{call_id}", "name": "Bash"}
    )
    row: dict[str, Any] = {
        "parentUuid": None,
        "isSidechain": bool(agent),
        "sessionId": "s",
        "cwd": "/w",
        "version": "2.1.329",
        "timestamp": "2026-11-21T12:00:00.000Z",
        "type": "assistant",
        "message": {
            "id": call_id,
            "model": "m",
            "role": "assistant",
            "content": [block],
            "stop_reason": stop,
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": out},
        },
    }
    return {**row, **({"agentId": agent} if agent else {}), **more}


def user(content: Any, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": content}
    return {
        "isSidechain": False,
        "sessionId": "s",
        "type": "user",
        "timestamp": "2026-11-21T12:00:01.000Z",
        "message": message,
        **more,
    }


def write(path: Path, *rows: dict[str, Any] | str, compact: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    separators = (",", ":") if compact else None
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r, separators=separators)) + "\n" for r in rows))
    return path


def rollout(*rows: tuple[str, dict[str, Any]], **meta: Any) -> list[dict[str, Any]]:
    head = ("session_meta", {"id": THREAD, "cwd": "/w", **meta})
    stamp = "2026-11-21T12:04:47.081Z"
    return [{"timestamp": stamp, "type": kind, "payload": payload} for kind, payload in (head, *rows)]


def turn(turn_id: str) -> tuple[str, dict[str, Any]]:
    return "turn_context", {"turn_id": turn_id, "model": "gpt-5"}


def spoke(call_id: str, block: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    """A row of an answer with this block, or these words."""
    row = said(call_id, **more)
    row["message"]["content"] = [{"type": "text", "text": block} if isinstance(block, str) else block]
    return row


def at(seconds: float) -> str:
    return f"2026-11-21T12:00:{seconds:06.3f}Z"


def item(name: str, seconds: float, **payload: Any) -> dict[str, Any]:
    return {"timestamp": at(seconds), "type": "response_item", "payload": {"type": name, **payload}}


def event(payload: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {"timestamp": at(seconds), "type": "event_msg", "payload": payload}


def head(version: str) -> dict[str, Any]:
    return {"timestamp": at(0), "type": "session_meta", "payload": {"id": THREAD, "cli_version": version}}


ORDERS = {
    "0.128.0": [  # counted before its tools ran
        event({"type": "task_started"}, 1), item("reasoning", 3), item("function_call", 4, call_id="c1"),
        event(count(use(1), use(1)), 4.1), item("function_call_output", 9, call_id="c1"),
        item("message", 11, role="assistant"), event(count(use(3), use(2)), 11.2),
    ],
    "0.145.0": [  # counted after them
        event({"type": "task_started"}, 1), item("reasoning", 3), item("function_call", 3.5, call_id="c1"),
        item("function_call_output", 3.7, call_id="c1"), item("function_call", 4, call_id="c2"),
        item("function_call_output", 9, call_id="c2"), event(count(use(1), use(1)), 9.1),
        item("message", 11, role="assistant"), event(count(use(3), use(2)), 11.2),
    ],
    "0.58.0": [  # counted, then written
        event({"type": "user_message"}, 1), event(count(use(1), use(1)), 4), item("reasoning", 8),
        item("function_call", 9, call_id="c1"), item("function_call_output", 9, call_id="c1"),
        item("function_call", 9, call_id="c2"), item("function_call_output", 9, call_id="c2"),
        event(count(use(3), use(2)), 11), item("message", 12, role="assistant"),
    ],
}  # fmt: skip

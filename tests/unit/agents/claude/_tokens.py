"""For the tests of what is known of a call's tokens: rows, readers and files, and what they tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harnex.agents.claude.reader import ClaudeReader
from harnex.model.facts import Fact, ModelCall, Remark
from harnex.usage.sources import Files
from tests.unit.agents._rows import at, said

EARLY = {"stop": None, "out": 3}  # a row that was written before the final usage had come


def facts(live: ClaudeReader, *rows: dict[str, Any]) -> list[Fact]:
    return [fact for row in rows for fact in live.row("transcript", row)]


def files(path: Path, full: bool = True) -> tuple[list[dict[str, Any]], Files]:
    source = Files("claude", [str(path)])
    return list(source.records(full)), source


def init(version: str = "2.0.77", **more: Any) -> dict[str, Any]:
    return {"type": "system", "subtype": "init", "session_id": "s", "cwd": "/w", "claude_code_version": version, **more}


def row(call_id: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    message = said(call_id, **more)["message"]
    return {"type": "assistant", "session_id": "s", "parent_tool_use_id": parent, "message": message}


def result(calls: int = 1, out: int = 50, session: str = "s", **more: Any) -> dict[str, Any]:
    used = {"input_tokens": 3 * calls, "cache_read_input_tokens": 4 * calls, "output_tokens": out}
    return {"type": "result", "subtype": "success", "session_id": session, "result": "Done.", "usage": used, **more}


def request(name: str, second: float) -> dict[str, Any]:
    return {"type": "api-request", "id": name, "sessionId": "s", "timestamp": at(second)}


def told(found: list[Fact]) -> list[tuple[str, str | int | None]]:
    kinds = {ModelCall: "call", Remark: "words"}
    return [
        (kinds[type(f)], getattr(f, "call_id", None) or getattr(f, "text", None)) for f in found if type(f) in kinds
    ]

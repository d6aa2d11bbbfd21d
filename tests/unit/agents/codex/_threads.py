"""For the tests of Codex's own files: rows of threads and captures, and what their files tell together."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from harnex.times import seconds
from harnex.usage.sources import Files
from tests.unit.agents._rows import count, use


def uuid7(minute: int) -> str:
    """The id of what was made then."""
    digits = f"{round(1000 * (seconds('2026-11-21T12:00:00Z') or 0)) + 60_000 * minute:012x}"
    return f"{digits[:8]}-{digits[8:]}-7962-8efe-52d44533db7d"


PARENT, CHILD, OTHER = uuid7(0), uuid7(10), uuid7(20)


def at(second: float, minute: int = 0) -> str:
    return f"2026-11-21T12:{minute:02}:{second:06.3f}Z"


def row(stamp: str, kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": stamp, "type": kind, "payload": payload}


def head(thread: str, stamp: str, **more: Any) -> dict[str, Any]:
    return row(stamp, "session_meta", id=thread, timestamp=stamp, cwd="/w", cli_version="0.95.0", **more)


def counts(stamps: list[str], *calls: int, before: int = 0) -> list[dict[str, Any]]:
    """Counts of calls of so many tokens, with their running total."""
    totals = [before + n for n in itertools.accumulate(calls)]
    return [row(stamp, "event_msg", **count(use(t), use(n))) for stamp, t, n in zip(stamps, totals, calls, strict=True)]


def told(paths: list[Path], full: bool = True) -> tuple[list[tuple[str, int | None]], list[str]]:
    """The calls of these files (thread, input), and what was said of the files."""
    files = Files("codex", [str(p) for p in paths])
    found = [(r["session"], r["input_tokens"]) for r in files.records(full)]
    return found, [word for report in files.reports for word in report.words()]


def spent(n: int, new: bool = True) -> dict[str, int]:
    """A total of n hundred tokens given, as the stream tells it."""
    told = {"input_tokens": 100 * n, "cached_input_tokens": 80 * n, "output_tokens": 10 * n}
    return {**told, "reasoning_output_tokens": n} if new else told


def run(thread: str, *totals: int, new: bool = True) -> list[dict[str, Any]]:
    """What the processes of one thread print, one after the other."""
    rows: list[dict[str, Any]] = []
    for n in totals:
        rows += [{"type": "thread.started", "thread_id": thread}, {"type": "turn.started"}]
        rows.append({"type": "turn.completed", "usage": spent(n, new)})
    return rows


CALL, OUTPUT = ({"type": name, "call_id": "c"} for name in ("function_call", "function_call_output"))


def script(version: str, *rows: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    meta = row(at(0), "session_meta", id=PARENT, cwd="/w", cli_version=version)
    return [meta, *(row(at(1 + n), kind, **payload) for n, (kind, payload) in enumerate(rows))]


def say(name: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "event_msg", {"type": name, **more}


def item(payload: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return "response_item", {**payload, **more}


START, STOP = say("task_started", turn_id="t"), say("turn_aborted", reason="interrupted")
DONE, EMPTY = say("task_complete", last_agent_message="x"), ("event_msg", count(None))
ONE, TWO = ("event_msg", count(use(1), use(1))), ("event_msg", count(use(3), use(2)))


def collab(status: str, *threads: str) -> dict[str, Any]:
    found = {"id": "i", "type": "collab_tool_call", "tool": "spawn_agent", "receiver_thread_ids": threads}
    return {"type": f"item.{status}", "item": found}

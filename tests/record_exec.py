"""Records headless runs of the real CLIs: python -m tests.record_exec CLI VERSION [CASE...]

A case is `tests/corpus/<cli>/<version>/exec-<case>/`: `stream.jsonl` (what the CLI printed),
`records.jsonl` (the records that it wrote of the same run, `{"source", "row"}` in the order of
their times), `billed.jsonl` (the endpoint's own log) and `about.json`. Nothing of this machine is
kept: places are `/work` and `/home`, and long lists of tools are cut.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Harnex
from tests.real import agents

CORPUS = Path(__file__).parent / "corpus"
BILLED = (
    "id", "kind", "model", "finished", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "stop_reason",
)  # fmt: skip
JOB: dict[str, Any] = {
    "calls": [
        {"think": "First the file.", "text": "On it.", "tools": [{"bash": "echo made > made.txt"}, {"bash": "echo 2"}]},
        {"error": 529, "times": 2},
        {
            "text": "Somebody else counts.",
            "tools": [
                {"agent": {"prompt": "ZEBRA count things", "description": "count"}},
                {"todo": [{"text": "first", "status": "completed"}, {"text": "second", "status": "in_progress"}]},
            ],
        },
        {"think": "And now?", "text": "I look.", "tools": [{"bash": "cat made.txt; exit 3"}]},
        {"text": "The file is made."},
    ],
    "agents": {"ZEBRA": [{"text": "One.", "tools": [{"bash": "echo 1"}]}, {"text": "Counted."}]},
}
CASES: dict[str, dict[str, Any]] = {
    "job": JOB,
    "refused": {"calls": [{"error": "auth", "times": 99}]},
    "torn": {"calls": [{"drop": "half of an"}] * 30},
    "killed": {"calls": [{"text": "One.", "tools": [{"bash": "echo 1"}]}, {"text": "word " * 20, "pause": 60}]},
}


def record(cli: str, version: str, name: str) -> Path:
    with tempfile.TemporaryDirectory() as base:
        place = Harnex(Path(base))
        place.env["PATH"] = f"{agents.program(cli, version).parent}:{place.env['PATH']}"
        script = Path(base) / "script.json"
        script.write_text(json.dumps(CASES[name]))
        words = ["exec", cli, "please make the file", "--permissions", "bypass", "--id", "case", "--quiet"]
        command = place.start(*words, "--rehearse", str(script), "--env", "CLAUDE_CODE_MAX_RETRIES=2")
        if name == "killed":
            place.until(lambda: place.run("status").returncode == 0 and "case" in place.run("status").stdout, 30)
            log = place.until(lambda: next(iter(place.state.glob("runs/*/rehearsal.jsonl")), None))
            place.until(lambda: log.read_text().count('"request"') > log.read_text().count('"event": "call"') >= 1, 30)
            place.until(lambda: '"call"' in place.ok("events", "--snapshot", "--id", "case", "--type", "call"), 30)
            import os
            import time

            time.sleep(1.0)  # the first words of the last answer come meanwhile
            os.kill(json.loads(place.ok("status", "--json"))[0]["pid"], 9)
        command.communicate(timeout=120)
        run = next(iter(place.state.glob("runs/*")))
        folder = CORPUS / cli / version / f"exec-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        names = {str(run / "home"): "/home", str(run): "/run", str(place.work): "/work", base: "/base"}
        names |= {re.sub(r"[^A-Za-z0-9]", "-", str(place.work)): "-work"}

        def clean(text: str) -> str:
            for path in sorted(names, key=len, reverse=True):
                text = text.replace(json.dumps(path)[1:-1], names[path]).replace(path, names[path])
            return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", text)

        stream = [json.loads(line) for line in (run / "evidence/stream.jsonl").read_text().splitlines()]
        _write(folder / "stream.jsonl", map(_short, stream), clean)
        rows = sorted(_records(run), key=lambda r: str(r["row"].get("timestamp") or ""))
        _write(folder / "records.jsonl", rows, clean)
        log_rows = [json.loads(line) for line in (run / "rehearsal.jsonl").read_text().splitlines()]
        bill = [{k: r.get(k) for k in BILLED} for r in log_rows if r["event"] == "call" and r["id"]]
        _write(folder / "billed.jsonl", bill, clean)
        about = {"cli": cli, "version": version, "case": name, "exit": command.returncode}
        (folder / "about.json").write_text(json.dumps(about) + "\n")
        place.run("stop", "--force", "--id", "case")
        return folder


def _short(row: dict[str, Any]) -> dict[str, Any]:
    for key in ("tools", "slash_commands", "agents", "skills", "plugins", "capabilities", "terminal_slash_commands"):
        if isinstance(row.get(key), list):
            row[key] = row[key][:2]
    return row


def _records(run: Path) -> list[dict[str, Any]]:
    """Return the rows of hooks, transcripts and rollouts that say something about calls."""
    out = []
    home = run / "home"
    for path in [*home.glob(".claude/projects/*/*.jsonl"), *home.glob(".claude/projects/*/*/subagents/*.jsonl")]:
        source = "subagent" if "agent-" in path.name else "transcript"
        for row in map(json.loads, path.read_text().splitlines()):
            if row.get("type") in ("assistant", "user", "system"):
                out.append({"source": source, "row": _bare(row)})
    for path in home.glob(".codex/sessions/*/*/*/*.jsonl"):
        thread = path.stem[-36:]
        for row in map(json.loads, path.read_text().splitlines()):
            payload = row.get("payload") or {}
            if row.get("type") == "session_meta":
                kept = ("id", "session_id", "source", "agent_nickname", "agent_role", "timestamp", "originator")
                row["payload"] = {k: payload[k] for k in kept if k in payload}
            elif row.get("type") == "turn_context":
                row["payload"] = {"model": payload.get("model")}
            elif payload.get("type") not in (
                "token_count", "task_started", "task_complete", "user_message", "agent_message", "turn_aborted", "error",
                "function_call", "function_call_output", "collab_agent_spawn_end",
            ) and row.get("type") != "token_usage_record":  # fmt: skip
                continue
            out.append({"source": thread, "row": row})
    return out


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    for key in ("toolUseResult", "snapshot", "attachment", "thinkingMetadata"):
        row.pop(key, None)
    message = row.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        for block in content:
            if isinstance(block, dict) and isinstance(block.get("content"), str | list):
                block["content"] = "…"
    return row


def _write(path: Path, rows: Any, clean: Any) -> None:
    path.write_text("".join(clean(json.dumps(row, ensure_ascii=False)) + "\n" for row in rows))


if __name__ == "__main__":
    for case in sys.argv[3:] or CASES:
        print(record(sys.argv[1], sys.argv[2], case), flush=True)

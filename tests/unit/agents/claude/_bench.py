"""For the tests of Claude Code's adapter: what was recorded in `tests/corpus/claude`, and how it is fed to a reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harnex.agents.claude.reader import ClaudeReader
from harnex.agents.contract import LaunchRequest
from harnex.model.facts import Observation, ScreenView

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "claude"
CASES = sorted(p.parent for p in CORPUS.glob("*/*/case.json"))
VERSIONS = ("1.0.128", "2.0.77", "2.1.197", "2.1.329")
V1, V2, V3, V4 = ((1, 0, 128), (2, 0, 77), (2, 1, 197), (2, 1, 329))


def number(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))


def view_of(case: Path, title: str | None = None) -> ScreenView:
    about = json.loads((case / "case.json").read_text())
    lines = tuple(line.rstrip() for line in (case / "screen.txt").read_text().split("\n"))
    return ScreenView(lines, columns=about["columns"], title=about["title"] if title is None else title)


def case(version: str, name: str) -> ScreenView:
    return view_of(CORPUS / version / name)


def seen(reader: ClaudeReader, view: ScreenView) -> Observation:
    (fact,) = reader.screen(view)
    assert isinstance(fact, Observation)
    return fact


def request(**changes: Any) -> LaunchRequest:
    given: dict[str, Any] = {
        "command": "/usr/bin/claude",
        "args": (),
        "version": V4,
        "cwd": "/repo",
        "env": {"PATH": "/bin"},
        "permissions": "ask",
        "trust": False,
        "evidence_dir": "/runs/x/evidence",
        "new_session_id": "11111111-2222-3333-4444-555555555555",
        "as_root": False,
        "read_text": lambda path: None,
    }
    return LaunchRequest(**{**given, **changes})


def reader(version: tuple[int, ...] = (2, 1, 329)) -> ClaudeReader:
    found = ClaudeReader(version)
    list(found.spawned(7, {"HOME": "/h", "HARNEX_CLAUDE_HOOKS": "/e/hooks.jsonl"}, "/w"))
    start = {"hook_event_name": "SessionStart", "source": "startup", "session_id": "s", "transcript_path": "/h/s.jsonl"}
    list(found.row("hooks", start))
    return found

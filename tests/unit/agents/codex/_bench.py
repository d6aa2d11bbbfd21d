"""For the tests of Codex's adapter: what was recorded in `tests/corpus/codex`, and how it is fed to a reader."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harnex.agents.codex.adapter import CodexReader
from harnex.agents.contract import Version
from harnex.model.facts import Fact, Observation, ScreenView, TurnEnded

CORPUS = Path(__file__).parents[3] / "corpus" / "codex"
VERSIONS = ("0.80.0", "0.104.0", "0.145.0", "0.169.0")


def version_of(text: str) -> Version:
    return tuple(map(int, text.split(".")))


def load(case: Path) -> tuple[dict[str, Any], ScreenView]:
    told = json.loads((case / "case.json").read_text())
    lines = (case / "screen.txt").read_text().split("\n")[: told["rows"]]
    view = ScreenView(
        tuple(line.rstrip() for line in lines),
        (told["cursor"][0], told["cursor"][1]),
        told["cursor_hidden"],
        told["columns"],
        told["title"],
    )
    return told, view


def case(version: str, name: str) -> ScreenView:
    return load(CORPUS / version / name)[1]


def rows(version: str, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / version / f"{name}.jsonl").read_text().splitlines()]


def feed(reader: CodexReader, source: str, rows: Iterable[dict[str, Any]]) -> list[Fact]:
    return [fact for row in rows for fact in reader.row(source, row)]


def states(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    return [(f.state.value, f.dialog) for f in facts if isinstance(f, Observation)]


def old_rows(*payloads: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"type": "session_meta", "payload": {"id": "t1", "source": "cli"}}
    kinds = ("user_message", "agent_message", "token_count", "turn_aborted")
    return [
        head,
        *({"type": "event_msg" if p["type"] in kinds else "response_item", "payload": p} for p in payloads),
    ]


def counted(n: int) -> dict[str, Any]:
    usage = {"input_tokens": n, "output_tokens": n, "total_tokens": 2 * n}
    return {"type": "token_count", "info": {"total_token_usage": usage, "last_token_usage": usage}}


ASKED = {"type": "user_message", "message": "go"}
SAID = {"type": "message", "role": "assistant", "content": []}


def ends(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    return [(f.outcome, f.last_message) for f in facts if isinstance(f, TurnEnded)]

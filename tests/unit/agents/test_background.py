"""Work in the background in recorded sessions of the real CLIs (tests/corpus): begun and ended once each."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from harnex.agents.catalogue import adapter_for
from harnex.model.facts import Background, Fact

CORPUS = Path(__file__).parents[2] / "corpus"


def recorded(path: Path) -> list[Background]:
    """The background facts of a recorded session, as the reader tells them."""
    about = json.loads((path / "case.json").read_text())
    version = tuple(int(n) for n in about["version"].split("."))
    reader = adapter_for(about["cli"]).reader(version)
    facts: list[Fact] = []
    for line in gzip.decompress((path / "stream.jsonl.gz").read_bytes()).splitlines():
        item = json.loads(line)
        if item["kind"] == "spawn":
            facts += reader.spawned(item["pid"], item["env"], item["cwd"])
        elif item["kind"] == "row":
            facts += reader.row(item["source"], item["row"])
    return [f for f in facts if isinstance(f, Background)]


@pytest.mark.parametrize(
    "case",
    [
        "claude/1.0.128/run-background-shell",
        "claude/2.1.197/run-background-shell",
        "claude/2.1.329/run-background-shell",
        "codex/0.104.0/run-background-shell",
        "codex/0.145.0/run-background-shell",
        "codex/0.169.0/run-background-shell",
    ],
)
def test_a_shell_that_outlives_its_turn(case: str) -> None:
    """Told once, though hook and transcript both have it; nothing says that it ended, since it did not."""
    (work,) = recorded(CORPUS / case)
    assert (work.status, work.kind, work.command, work.agent) == ("started", "shell", "sleep 25", "main")


@pytest.mark.parametrize("version", ["2.1.197", "2.1.329"])
def test_a_sub_agent_that_works_on(version: str) -> None:
    begun, ended = recorded(CORPUS / f"claude/{version}/run-background-agent")
    assert (begun.status, begun.kind, begun.command) == ("started", "agent", "Do the PART of the work")
    assert (ended.status, ended.work_id, ended.how, ended.told) == ("ended", begun.work_id, "completed", True)


def test_a_monitor_and_a_shell() -> None:
    works = recorded(CORPUS / "claude/2.1.329/run-background-monitor")
    assert sorted((w.status, w.kind, w.command) for w in works) == [
        ("started", "monitor", "sleep 25"),
        ("started", "shell", "sleep 26"),
    ]


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*/run-*")), ids=lambda p: "/".join(p.parts[-3:]))
def test_nothing_else_is_work_in_the_background(path: Path) -> None:
    """Every recorded session of both CLIs: foreground tools, sub-agents that are waited for, dialogs, failures."""
    if not (path / "stream.jsonl.gz").exists() or "background" in path.name:
        return
    works = recorded(path)
    if path.name == "run-sub-agent":  # 2.1.329 puts it into the background by itself, Codex always does
        assert all(w.kind == "agent" for w in works)
    else:
        assert works == []

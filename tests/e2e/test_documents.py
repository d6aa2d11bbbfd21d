"""The page for agents is played as it stands, with the bundled agent in the place of Codex and Claude Code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import HARNEX, Harnex

PAGE = (Path(__file__).parents[2] / "AGENTS-GUIDE.md").read_text()


def section(heading: str) -> str:
    """A section's first shell block."""
    block = re.search(rf"^## {heading}\n.*?```sh\n(.*?)```", PAGE, re.S | re.M)
    assert block, f"there is no script under '{heading}'"
    return block[1].replace("harnex run codex", "harnex run demo")


def bash(harnex: Harnex, script: str) -> list[str]:
    """Run it as one script that stops at the first error; what it printed."""
    env = {**harnex.env, "PATH": f"{os.path.dirname(HARNEX)}:{os.environ['PATH']}"}
    words = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(words, cwd=harnex.work, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def play(harnex: Harnex, heading: str) -> list[str]:
    return bash(harnex, section(heading))


def told(reply: dict[str, Any], keys: str) -> bool:
    """Whether the page and the reply agree on what it holds."""
    assert f"`{{{keys}}}`" in PAGE, f"the page does not say {keys}"
    return set(keys.split(", ")) <= set(reply)


needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="there is no jq on the PATH")


def test_the_loop(harnex: Harnex) -> None:
    run, wait, send, usage, stop = map(json.loads, play(harnex, "The loop"))
    assert told(run, "ok, id, run_id, pid, state, events_path")
    assert told(wait, "ok, id, run_id, state, turn, waited_s, last_outcome")
    assert told(send, "ok, message_id, status, outcome, last_message")
    assert (wait["turn"], send["outcome"], stop["reason"]) == (1, "completed", "stopped")
    assert len(usage["calls"]) == 2


@needs_jq
def test_what_happened(harnex: Harnex) -> None:
    play(harnex, "The loop")
    rows = [json.loads(line) for line in play(harnex, "What happened")]
    assert [row["type"] for row in rows[:2]] == ["task_complete", "task_complete"]
    assert set(rows[-1]) == {"id", "exit", "reason", "tokens", "git"}


@needs_jq
def test_when_it_asks_something(harnex: Harnex) -> None:
    harnex.agent("helper", {"text": "a", "tools": [{"bash": "true"}]}, "Done.", tui=("--permission",))
    harnex.ok("send", "--id", "helper", "--message", "Go.", "--no-wait")
    harnex.ok("wait", "--id", "helper", "--until", "blocked", "--timeout", "10")
    look, approve, *_ = section("When it asks something").splitlines()
    approve = approve.replace("--option 2", "--option 1")
    (reply,) = bash(harnex, f"{look}\n{approve}")
    assert json.loads(reply)["ok"]
    harnex.ok("wait", "--id", "helper", "--until", "task_complete", "--timeout", "10")
    assert harnex.run(*approve.split()[1:-2], "--seen", "2026-11-21T00:00:00.000Z").returncode != 0, "it is gone"

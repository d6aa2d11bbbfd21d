"""The documents' examples run unchanged.

The page for agents is played with the bundled agent instead of Codex and Claude Code. The tutorial
of the guide and the first five minutes of the README name the bundled agent themselves.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import HARNEX, Harnex

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "AGENTS-GUIDE.md").read_text()
GUIDE = (ROOT / "GUIDE.md").read_text()
README = (ROOT / "README.md").read_text()


def section(heading: str) -> str:
    """Return a section's first shell block."""
    block = re.search(rf"^## {heading}\n.*?```sh\n(.*?)```", PAGE, re.S | re.M)
    assert block, f"there is no script under '{heading}'"
    return block[1].replace("harnex run codex", "harnex run demo")


def bash(harnex: Harnex, script: str) -> list[str]:
    """Run the commands as one script that stops at the first error. Returns what it printed."""
    env = {**harnex.env, "PATH": f"{os.path.dirname(HARNEX)}:{os.environ['PATH']}"}
    words = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(words, cwd=harnex.work, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def play(harnex: Harnex, heading: str) -> list[str]:
    return bash(harnex, section(heading))


def told(reply: dict[str, Any], keys: str) -> bool:
    """Whether the page and the reply agree on the reply's keys."""
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


def test_the_tutorial(harnex: Harnex) -> None:
    """Each step prints what the guide shows.

    `…` stands for any text, and on a line of its own for any lines.
    """
    tutorial = GUIDE[GUIDE.index("\n# Tutorial") : GUIDE.index("\n# How to")]
    steps = re.findall(r"```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?", tutorial, re.S)
    assert len(steps) > 8
    ends = "--- the end of a step ---"
    script = "".join(f"{commands}echo '{ends}'\n" for commands, _ in steps)
    printed = "\n".join([*bash(harnex, script), ""]).split(f"{ends}\n")
    assert printed.pop() == ""
    for (commands, shown), output in zip(steps, printed, strict=True):
        pattern = "".join(
            "(?s:.*)" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
            for line in shown.splitlines()
        )
        assert not shown or re.fullmatch(pattern, output), f"{commands}\n{output}\ndoes not look like\n{shown}"


@needs_jq
def test_the_first_five_minutes(harnex: Harnex) -> None:
    minutes = README[README.index("## The first five minutes") : README.index("With a real agent")]
    _, commands = re.findall(r"```sh\n(.*?)```", minutes, re.S)
    run, send, *rest, stop = bash(harnex, commands)
    assert json.loads(run)["state"] == "prompt"
    assert json.loads(send)["outcome"] == "completed"
    assert "● The page is written." in rest
    assert json.loads(stop)["reason"] == "stopped"
    assert (harnex.work / "page.txt").read_text() == "Hello\n"


@needs_jq
def test_the_picture_shows_what_harnex_does_now(harnex: Harnex) -> None:
    words = [sys.executable, str(ROOT / "docs" / "picture.py"), "--check"]
    done = subprocess.run(words, env=harnex.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

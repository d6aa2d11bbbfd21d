"""Every recipe runs, rehearsed, as a person would run it; each has a page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .conftest import Harnex

RECIPES = Path(__file__).parents[2] / "recipes"


def run(harnex: Harnex, name: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    copied = Path(harnex.ok("recipes", "copy", name).strip())
    env = {**harnex.env, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"], **more}
    return subprocess.run(
        [str(copied), *words], env=env, cwd=harnex.work, capture_output=True, text=True, timeout=50, check=False
    )


def task(harnex: Harnex) -> str:
    path = harnex.base / "the täsk.md"
    path.write_text("Please do it.\nThoroughly.\n")
    return str(path)


def test_every_recipe_has_a_page_and_is_listed_and_tested(harnex: Harnex) -> None:
    names = {p.stem for p in RECIPES.glob("*.sh")}
    assert names == {p.stem for p in RECIPES.glob("*.md")}
    listed = harnex.ok("recipes").splitlines()
    assert {line.split()[0] for line in listed} == names
    assert all(len(line.split()) > 4 for line in listed)
    this = Path(__file__).read_text()
    assert all(f'run(harnex, "{name}"' in this for name in names)


def test_one_task(harnex: Harnex) -> None:
    script = harnex.script({"text": "a", "tools": [{"bash": "echo x > made.txt"}]}, {"text": "It is done."})
    done = run(harnex, "one-task", "demo", task(harnex), "--rehearse", script)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["last_message"] == "It is done."
    assert (harnex.work / "made.txt").exists()
    assert harnex.json("status", "--json") == []


def test_one_task_that_fails(harnex: Harnex) -> None:
    script = harnex.script({"error": 400, "times": 30})
    done = run(harnex, "one-task", "demo", task(harnex), "--rehearse", script)
    assert done.returncode == 1
    assert json.loads(done.stdout)["type"] == "turn_failed"


def test_ask_all(harnex: Harnex) -> None:
    script = harnex.script({"text": "An answer."})
    done = run(harnex, "ask-all", task(harnex), "demo", HARNEX_RUN_OPTIONS=f"--rehearse {script}")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["last_message"] for line in done.stdout.splitlines()] == ["An answer."]

"""rehearsal/__main__.py: the endpoint as a program, its defaults, and the bundled scripts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harnex.rehearsal.__main__ import DEFAULTS, load

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(20)


# ---- the program ----


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[dict[str, Any], str], subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(script: dict[str, Any], defaults: str) -> subprocess.Popen[str]:
        path = tmp_path / "s.json"
        path.write_text(json.dumps(script))
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "harnex.rehearsal", str(path), "--log", str(tmp_path / "log")],
                cwd=ROOT,
                env={**os.environ, DEFAULTS: defaults},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return running[-1]

    yield start
    for child in running:
        child.kill()
        child.communicate()


def test_defaults_come_from_the_environment_and_the_seed_is_said(tmp_path: Path, program: Callable[..., Any]) -> None:
    child = program({"calls": ["x"]}, '{"usage_delay": [0, 1], "seed": 41}')
    assert json.loads(child.stdout.readline())["seed"] == 41
    first = json.loads((tmp_path / "log").read_text().splitlines()[0])
    assert (first["event"], first["seed"]) == ("endpoint", 41)
    child = program({"calls": ["x"], "seed": 5}, '{"seed": 41}')
    assert json.loads(child.stdout.readline())["seed"] == 5
    for bad, why in (("{", "is not JSON"), ('{"usage": 1}', "unknown key 'usage'")):
        child = program({"calls": ["x"]}, bad)
        _, err = child.communicate(timeout=10)
        assert child.returncode == 2
        assert DEFAULTS in err and why in err


# ---- scripts ----


def test_the_bundled_scripts_are_good() -> None:
    scripts = sorted((ROOT / "recipes" / "rehearsal").glob("*.json"))
    assert scripts
    for path in scripts:
        load(str(path))


# ---- the log, the crowd, the program ----


def start_program(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harnex.rehearsal", *args]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("how", ["stdin", "term"])
def test_the_program_says_where_it_listens_and_ends_when_asked(tmp_path: Path, how: str) -> None:
    script = tmp_path / "s.json"
    script.write_text('{"calls": [{"hang": 600}]}')
    program = start_program(str(script), "--log", str(tmp_path / "log"))
    assert program.stdin is not None
    assert program.stdout is not None
    said = json.loads(program.stdout.readline())
    assert said["base_url"] == f"http://127.0.0.1:{said['port']}"
    if how == "stdin":
        program.stdin.close()
    else:
        program.send_signal(signal.SIGTERM)
    assert program.wait(5) == 0
    assert oct(os.stat(tmp_path / "log").st_mode & 0o777) == "0o600"


def test_the_program_checks_scripts(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"calls": ["x"]}')
    bad.write_text('{"calls": [{"txt": "x"}]}')
    for path, code in ((good, 0), (bad, 2), (tmp_path / "missing.json", 2)):
        program = start_program("--check", str(path))
        _, err = program.communicate(timeout=10)
        assert program.returncode == code
        assert len(err.splitlines()) == (1 if code else 0)

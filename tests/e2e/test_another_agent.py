"""An agent CLI that another package adds: the package is installed beside harnex, and
harnex names nothing of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Harnex

HERE = Path(__file__).parent / "parrot"
KNOWN = "codex, claude, paseo, demo, generic"


def install(site: Path, name: str, entry: str) -> None:
    """Write what an installer writes for a package with this entry point."""
    about = site / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[harnex.agents]\n{entry}\n")


@pytest.fixture
def site(harnex: Harnex) -> Path:
    """Return the packages of a fresh virtual environment with harnex in it.

    The program `parrot` is on the PATH.
    """
    harnex.customize("")
    programs = harnex.base / "bin"
    programs.mkdir()
    (programs / "parrot").write_text(f"#!{sys.executable}\n" + (HERE / "parrot.py").read_text())
    (programs / "parrot").chmod(0o755)
    harnex.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    return next((harnex.base / "venv" / "lib").glob("python3*/site-packages"))


@pytest.fixture
def parrot(harnex: Harnex, site: Path) -> Harnex:
    shutil.copytree(HERE / "harnex_parrot", site / "harnex_parrot")
    install(site, "harnex_parrot", "parrot = harnex_parrot.kind:KIND")
    return harnex


def screen(harnex: Harnex) -> str:
    path = harnex.base / "screen"
    path.write_text("HELLO\nparrot> \n")
    return str(path)


def checks(harnex: Harnex) -> dict[str, Any]:
    return {check["what"]: check for check in json.loads(harnex.run("doctor", "--json").stdout)["checks"]}


def test_it_is_run_and_its_calls_are_read_live_and_from_its_own_files(parrot: Harnex) -> None:
    parrot.ok("run", "parrot", "--detach", "--id", "p", "--parrot-tone", "loud")
    sent = parrot.json("send", "--id", "p", "--message", "hello", "--wait-for-idle", "--timeout", "30")
    assert sent["ok"], sent
    row = parrot.json("status", "--json")[0]
    assert (row["cli"], row["cli_version"], row["state"]) == ("parrot", "3.1.4", "prompt")
    parrot.until(lambda: parrot.events("p", "call"), what="the call in the log")
    parrot.ok("stop", "--id", "p")
    live = parrot.json("usage", "--id", "p", "--json")
    assert [(c["cli"], c["input_tokens"], c["output_tokens"]) for c in live["calls"]] == [("parrot", 6, 5)]
    body = parrot.json("usage", "--id", "p", "--call", "1", "--bodies", "--json")
    assert (body["request"], body["response_text"]) == ([{"role": "user", "content": "hello"}], "HELLO")
    own = parrot.json("usage", "--from", "parrot", "--json")
    same = ("call_id", "model", "total_tokens", "repo")
    assert [[c[k] for k in same] for c in own["calls"]] == [[c[k] for k in same] for c in live["calls"]]
    assert own["totals"]["cost_usd"] == pytest.approx(live["totals"]["cost_usd"]) and own["totals"]["cost_usd"] > 0


def test_its_screens_and_its_version_are_known(parrot: Harnex) -> None:
    found = parrot.json("detect", "--cli", "parrot", screen(parrot))
    assert (found["state"], found["source"]) == ("prompt", "screen")
    assert (checks(parrot)["parrot"]["status"], checks(parrot)["parrot"]["found"].split(",")[0]) == ("ok", "3.1.4")
    assert "[claude|codex|parrot]" in parrot.ok("usage", "--help")


def test_without_the_package_it_is_any_other_program(harnex: Harnex, site: Path) -> None:
    refused = harnex.run("detect", "--cli", "parrot", screen(harnex))
    assert (refused.returncode, "known: " + KNOWN in refused.stderr) == (2, True)
    assert "is not one of 'claude', 'codex'" in harnex.run("usage", "--from", "parrot").stderr
    assert "No such option" in harnex.run("run", "parrot", "--detach", "--parrot-tone", "loud").stderr
    assert "parrot" not in checks(harnex)
    harnex.ok("run", "parrot", "--detach", "--id", "p")
    assert harnex.json("status", "--json")[0]["cli_version"] is None
    harnex.ok("stop", "--id", "p")


def test_a_broken_package_is_named_and_stops_nothing_else(parrot: Harnex, site: Path) -> None:
    install(site, "harnex_wreck", "wreck = harnex_wreck:KIND")
    found = checks(parrot)
    assert (found["wreck"]["status"], found["parrot"]["status"]) == ("error", "ok")
    assert "harnex_wreck" in found["wreck"]["found"] and "ModuleNotFoundError" in found["wreck"]["found"]
    refused = parrot.run("run", "wreck", "--detach")
    assert (refused.returncode, "harnex_wreck" in refused.stderr) == (1, True)
    assert "wreck" not in parrot.ok("usage", "--help")
    parrot.ok("run", "demo", "--detach", "--id", "d", "--rehearse", parrot.script("Done."))
    parrot.ok("stop", "--id", "d")

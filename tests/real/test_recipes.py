"""Every recipe with the real CLIs, rehearsed: the newest version of each."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.conftest import each
from tests.e2e import test_recipes as e2e
from tests.e2e.conftest import Harnex
from tests.real import agents
from tests.real.conftest import late_usage

pytestmark = pytest.mark.timeout(150)
OPTIONS = "--permissions bypass"
NEWEST = [(cli, versions[0]) for cli, versions in agents.VERSIONS.items()]
ONE_CLI = {
    "ask-all": e2e.play_ask_all,
    "one-task": e2e.play_one_task,
    "queue": e2e.play_queue,
    "worktrees": e2e.play_worktrees,
    "ci": e2e.play_ci,
    "fire-and-watch": e2e.play_fire_and_watch,
}


@pytest.fixture
def place(harnex: Harnex, request: pytest.FixtureRequest) -> Harnex:
    """With both CLIs on the PATH."""
    for cli, version in NEWEST:
        if not agents.installed(cli, version):
            pytest.skip(f"{cli} {version} is not installed: python tests/real/agents.py")
    if shutil.which("node") is None:
        pytest.skip("node is not on the PATH")
    programs = [str(agents.program(cli, version).parent) for cli, version in NEWEST]
    harnex.env["PATH"] = os.pathsep.join([*programs, os.environ["PATH"]])
    late_usage(harnex.env, request)
    return harnex


@pytest.mark.parametrize("cli", each([cli for cli, _ in NEWEST], 2))
@pytest.mark.parametrize("name", ONE_CLI)
def test_a_recipe(place: Harnex, name: str, cli: str) -> None:
    ONE_CLI[name](place, cli, OPTIONS)


def test_a_chain_of_different_agents(place: Harnex) -> None:
    e2e.play_chain(place, ("codex", "claude", "codex"), OPTIONS)


def test_a_buddy_of_another_kind(place: Harnex) -> None:
    e2e.play_buddy(place, "codex", "claude", OPTIONS)
    for kind in ("codex", "claude"):
        assert kind in {row["cli"] for row in place.json("history", "--json")}

"""What a real agent writes into its repository runs nothing outside of it, and the agent keeps its person's environment."""

from __future__ import annotations

import pytest

from tests.real.conftest import Agent

pytestmark = [pytest.mark.timeout(150), pytest.mark.newest]


@pytest.mark.newest
def test_an_agent_does_not_leave_its_sandbox_by_the_next_watch(agent: Agent) -> None:
    """`.harnex.toml` is where every mode lets it write, and `verify` would run outside of its sandbox."""
    place = agent.place
    mark = place.base / "mark"
    text = f'[presets.impl]\\nverify = \\"touch {mark}\\"\\n[notify]\\ncmd = \\"touch {mark}\\"\\n'
    write = {"text": "Writing.", "tools": [{"bash": f'printf "{text}" > .harnex.toml'}]}
    agent.start("w", write, "Done.", "Done again.", run=("--context", "go"))
    agent.wait("w", "task_complete", 60)
    assert str(mark) in (place.work / ".harnex.toml").read_text()
    done = place.run("watch", "--id", "w", "--preset", "impl")
    assert done.returncode == 2 and "harnex trust" in done.stderr
    done = place.run("watch", "--id", "w")
    assert done.returncode == 0 and "is not trusted, left out: verify (presets.impl), cmd (notify)" in done.stderr
    agent.stop("w")
    assert not mark.exists()
    agent.check_ended("w")


@pytest.mark.newest
def test_shadows_on_pythonpath_reach_the_agents_tools_only(agent: Agent) -> None:
    place = agent.place
    shadows, seen = place.base / "shadows", place.work / "seen"
    shadows.mkdir()
    for name in ("psutil", "pexpect", "click", "json"):
        (shadows / f"{name}.py").write_text(
            f"open({str(place.base / 'ran')!r}, 'a').write('{name} ')\nraise ImportError\n"
        )
    agent.env["PYTHONPATH"] = str(shadows)
    agent.start(
        "w", {"text": "Looking.", "tools": [{"bash": 'printf %s "$PYTHONPATH" > seen'}]}, "Done.", "Done again."
    )
    agent.send("w", "go")
    assert seen.read_text() == str(shadows)
    place.ok("usage", "--id", "w")
    agent.stop("w")
    assert not (place.base / "ran").exists()
    agent.check_ended("w")

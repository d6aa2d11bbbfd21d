"""Paseo daemons that are not harnex's: agents that existed before, and daemons
whose files can't be read."""

from __future__ import annotations

import json
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import harnex as harnex  # the fixtures
from tests.paseo.place import SLOW, Own, Paseo
from tests.paseo.place import own as own
from tests.paseo.place import paseo as paseo

pytestmark = pytest.mark.timeout(120)


def adopt(paseo: Paseo, own: Own, name: str = "a", until: str = "prompt") -> Any:
    host, agent, *_ = own
    paseo.runs[name] = paseo.place.json(
        "run", "paseo", "--paseo-host", host, "--adopt", agent, "--detach", "--id", name
    )
    return paseo.place.json("wait", "--id", name, "--until", until, "--timeout", "30")


def tell(own: Own, *steps: Any) -> None:
    """Send a person's own message to the agent, before harnex comes."""
    host, agent, there, *_ = own
    assert there("send", "--json", "--host", host, "--no-wait", agent, f"Do it. SCRIPT:{json.dumps(steps)}")


def look(own: Own) -> Any:
    host, agent, there, *_ = own
    return there("inspect", "--json", "--host", host, agent)


# ---- agents that are there already ----


def test_adopted_in_the_middle_of_a_turn(paseo: Paseo, own: Own) -> None:
    """Naive: the agent's earlier calls are counted, or its running turn is not seen."""
    tell(own, ["bash", "echo before"], ["text", "one two three four five six seven eight", 40], ["text", "At last."])
    paseo.place.until(lambda: look(own)["Status"] == "running", 10)
    adopt(paseo, own, until="busy")
    paseo.place.ok("wait", "--id", "a", "--timeout", "60")
    assert paseo.ends("a") == ["completed"]
    assert paseo.place.events("a", "task_complete")[0]["last_message"] == "At last."
    bill = [json.loads(line) for line in (own[4] / "bill.jsonl").read_text().splitlines()]
    calls = [c["call_id"] for c in paseo.place.events("a", "call")]
    assert calls == [b["call_id"] for b in bill][-2:]  # the tool call came before
    paseo.place.ok("stop", "--id", "a")


def test_adopted_while_it_waits_for_an_answer(paseo: Paseo, own: Own) -> None:
    """Naive: busy for ever; or blocked, but by a question that nobody can read."""
    tell(own, ["ask", "Which?", ["A", "B"]], ["text", "Thanks."])
    paseo.place.until(lambda: look(own)["PendingPermissions"], 10)
    adopt(paseo, own, until="blocked")
    record = paseo.place.json("status", "--json")[0]
    assert (record["dialog"], record["options"]) == ("question", ["A", "B"])
    paseo.place.ok("approve", "--id", "a", "--option", "1")
    paseo.place.ok("wait", "--id", "a", "--timeout", "30")
    assert paseo.ends("a") == ["completed"]
    paseo.place.ok("stop", "--id", "a")


def test_adopted_when_archived_or_closed(paseo: Paseo, own: Own) -> None:
    """Trap: `closed` is not finished: a message loads the agent again."""
    host, agent, there, *_ = own
    there("archive", "--json", "--host", host, agent)
    assert look(own)["Status"] == "closed"
    adopt(paseo, own)
    assert paseo.ends("a") == []
    assert paseo.send("a", ["text", "Back."])["last_message"] == "Back."
    paseo.place.ok("stop", "--id", "a")


@pytest.mark.more
def test_adopted_in_error(paseo: Paseo, own: Own) -> None:
    host, _, there, *_ = own
    words = ("run", "--json", "--host", host, "--provider", "codex/m", "--title", "e", "--cwd", str(paseo.place.work))
    made = there(*words, 'x SCRIPT:[["error", 400, "bad"]]')
    mine = (host, made["agentId"], *own[2:])
    assert look(mine)["Status"] == "error"
    adopt(paseo, mine)
    assert paseo.ends("a") == []  # the failure came before
    assert paseo.send("a", ["text", "Fine."])["last_message"] == "Fine."
    paseo.place.ok("stop", "--id", "a")


@pytest.mark.more
def test_adopted_after_somebodys_stop(paseo: Paseo, own: Own) -> None:
    """Trap: the phantom turn of a stop before harnex came."""
    host, agent, there, *_ = own
    tell(own, SLOW)
    paseo.place.until(lambda: look(own)["Status"] == "running", 10)
    there("stop", "--json", "--host", host, agent)
    assert look(own)["Status"] == "running"
    adopt(paseo, own)
    assert paseo.send("a", ["text", "Back."])["last_message"] == "Back."
    paseo.place.ok("stop", "--id", "a")


def test_stopped_in_the_middle_of_a_turn_it_is_not_archived(paseo: Paseo, own: Own) -> None:
    adopt(paseo, own)
    paseo.busy("a", SLOW)
    paseo.place.ok("stop", "--id", "a")
    assert paseo.ends("a") == ["interrupted"]
    assert (look(own)["Status"], look(own)["Archived"]) == ("idle", False)


# ---- a daemon whose files can't be read ----


@pytest.fixture
def far(paseo: Paseo, own: Own) -> Own:
    """Somebody's daemon, as if on another machine."""
    paseo.place.env["PASEO_HOME"] = str(paseo.place.base / "nothing is here")
    return own


def begin(paseo: Paseo, far: Own, cli: str, mode: str = "bypass") -> None:
    words = ("run", "paseo", "--paseo-host", far[0], "--provider", f"{cli}/m", "--detach", "--id", "f")
    paseo.place.json(*words, "--permissions", mode)
    paseo.place.ok("wait", "--id", "f", "--until", "prompt", "--timeout", "40")


@pytest.mark.parametrize("cli", [pytest.param("claude", marks=pytest.mark.more), "codex"])
def test_without_files_an_answer_is_told_from_a_failure(paseo: Paseo, far: Own, cli: str) -> None:
    """Naive: idle is done; or nothing is ever known."""
    begin(paseo, far, cli)
    words = ["text", "All of it\nis done."]
    assert paseo.send("f", ["bash", "echo hi"], words)["last_message"] == "All of it is done."
    assert paseo.send("f", ["error", 400, "bad"], code=1)["outcome"] == "failed"
    paseo.send("f", ["bash", "echo hi"], ["error", 529, "overloaded"], code=1)
    assert paseo.place.events("f", "turn_failed")[-1]["reason"] == "overloaded"
    assert paseo.ends("f") == ["completed", "failed", "failed"]
    assert paseo.place.events("f", "call") == []  # unknown, and said so
    assert [d for d in paseo.place.events("f", "diagnostic") if "calls are not known" in d["what"]]
    paseo.place.ok("stop", "--id", "f")
    assert far[2]("ls", "--json", "--host", far[0]) != []  # the person's own agent is still there


@pytest.mark.more
def test_without_files_a_stop_of_others_is_never_done(paseo: Paseo, far: Own) -> None:
    begin(paseo, far, "codex")
    paseo.busy("f", ["text", "one two", 1e6])
    host, _, there, *_ = far
    agents = there("ls", "--json", "--host", host)
    there("stop", "--json", "--host", host, next(a["id"] for a in agents if a["name"] == "f"))
    done = paseo.place.run("wait", "--id", "f", "--timeout", "40")
    assert (done.returncode, paseo.ends("f")) == (1, ["failed"])
    assert "can't be known" in paseo.place.events("f", "turn_failed")[0]["message"]
    paseo.place.ok("stop", "--id", "f")


@pytest.mark.more
def test_without_files_a_permission_and_a_stop(paseo: Paseo, far: Own) -> None:
    begin(paseo, far, "claude", "ask")
    assert paseo.send("f", ["bash", "touch made"], ["text", "Made."], code=4)["state"] == "blocked"
    paseo.place.ok("approve", "--id", "f")
    paseo.place.ok("wait", "--id", "f", "--timeout", "40")
    assert (paseo.place.work / "made").exists()
    paseo.busy("f", SLOW)
    paseo.place.ok("stop", "--id", "f")
    assert paseo.ends("f") == ["completed", "interrupted"]


@pytest.mark.more
def test_without_files_a_daemon_that_goes_is_unknown(paseo: Paseo, far: Own) -> None:
    begin(paseo, far, "claude")
    paseo.busy("f", SLOW)
    daemon = psutil.Process(json.loads((far[4] / "paseo.pid").read_text())["pid"])
    for process in [*daemon.children(recursive=True), daemon]:
        process.kill()
    paseo.until_state("f", "unknown", 30)
    assert paseo.ends("f") == []
    refused = paseo.place.run("stop", "--id", "f")
    assert refused.returncode == 0
    assert paseo.ends("f") == ["interrupted"]
    words = " ".join(d["what"] for d in paseo.place.events("f", "diagnostic"))
    assert "is still on" in words and "could not be stopped" in words


# ---- a start that is broken off ----


@pytest.mark.more
def test_a_start_that_is_broken_off_leaves_no_agent(paseo: Paseo, own: Own) -> None:
    """`paseo run` is stopped while it runs: the agent that it still makes is archived."""
    host, mine, there, *_ = own
    words = ("run", "paseo", "--paseo-host", host, "--provider", "claude/m", "--detach", "--id", "b")
    begun = paseo.place.start(*words, "--description", "slow")  # the double takes 3 s for this
    paseo.place.until(lambda: len([c for c in paseo.calls() if c[0] == "run"]) == 2, 20)
    paseo.place.ok("stop", "--id", "b")
    begun.communicate(timeout=30)
    assert [a["id"] for a in there("ls", "--json", "--host", host)] == [mine]
    assert [a["id"] for a in there("ls", "-a", "--json", "--host", host)] != [mine]

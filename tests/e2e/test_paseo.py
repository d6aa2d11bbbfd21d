"""Paseo from the command line, with the double of its CLI (`tests/paseo`), which has
the traps of the real one.

Each test names its trap (field notes, sections 2 and 4), the naive reading that falls into
the trap, and checks ours.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Harnex
from tests.paseo.place import SLOW, Own, Paseo
from tests.paseo.place import own as own  # the fixtures
from tests.paseo.place import paseo as paseo


def test_the_main_job_with_explicit_everything(paseo: Paseo) -> None:
    """Trap: without host, title and model, Paseo takes another daemon, asks other models
    and chooses its own title."""
    paseo.start("a", "claude", "--description", "The title")
    reply = paseo.send("a", ["bash", "echo hi"], ["text", "All done."])
    assert (reply["outcome"], reply["last_message"]) == ("completed", "All done.")
    run = next(c for c in paseo.calls() if c[0] == "run")
    for option in ("-d", "--json", "--host", "--title", "--label", "--cwd", "--mode", "--provider"):
        assert option in run
    assert run[run.index("--title") + 1] == "The title"
    # No prompt in an argv.
    assert all("Do it" not in word for call in paseo.calls() for word in call)
    assert all("--host" in c for c in paseo.calls() if c[0] not in ("daemon", "--version"))
    bill = [json.loads(line) for line in (paseo.home("a") / "bill.jsonl").read_text().splitlines()]
    calls = paseo.place.events("a", "call")
    assert [(c["call_id"], c["input_tokens"], c["output_tokens"]) for c in calls] == [
        (b["call_id"], b["input_tokens"], b["output_tokens"]) for b in bill
    ]
    paseo.place.ok("stop", "--id", "a")
    assert paseo.place.running("tests.paseo") == []


def test_tokens_of_codex_are_not_its_last_usage(paseo: Paseo) -> None:
    """Trap: Codex's `LastUsage` is only the last call; the naive sum over
    turns loses the other calls."""
    paseo.start("x", "codex")
    paseo.send("x", ["bash", "echo hi"], ["text", "All done."])
    bill = [json.loads(line) for line in (paseo.home("x") / "bill.jsonl").read_text().splitlines()]
    assert sum(c["output_tokens"] for c in paseo.place.events("x", "call")) == sum(b["output_tokens"] for b in bill)
    naive = paseo.cli("x", "inspect", paseo.agent("x")["id"])["LastUsage"]
    assert naive["OutputTokens"] == bill[-1]["output_tokens"]
    paseo.place.ok("stop", "--id", "x")


@pytest.mark.parametrize(
    "step",
    [
        ["error", 400, "bad"],
        pytest.param(["error", 401, "auth"], marks=pytest.mark.more),
        ["error", 529, "overloaded"],
        pytest.param(["drop", "x"], marks=pytest.mark.more),
    ],
)
def test_a_failure_of_claude_is_never_completed(paseo: Paseo, step: list[Any]) -> None:
    """Trap: every API failure ends `idle`, `finished`, without lastError. Naive: idle is done."""
    paseo.start("f")
    reply = paseo.send("f", step, code=1)
    assert reply["outcome"] == "failed"
    naive = paseo.agent("f")
    assert (naive["lastStatus"], naive["attentionReason"]) == ("idle", "finished")
    assert "lastError" not in naive
    assert paseo.ends("f") == ["failed"]
    paseo.place.ok("stop", "--id", "f")


def test_a_message_after_an_error_is_sent_once(paseo: Paseo) -> None:
    """Trap: `send` to an agent in `error` exits 1 but still delivers.

    Naive: send the message again.
    """
    paseo.start("e", "codex")
    paseo.send("e", ["error", 400, "bad"], code=1)
    assert paseo.agent("e")["lastStatus"] == "error"
    assert paseo.send("e", ["text", "Fine now."])["last_message"] == "Fine now."
    assert len([c for c in paseo.calls() if c[0] == "send"]) == 2
    # It may start a new conversation.
    assert not [c for c in paseo.calls() if c[:2] == ["agent", "reload"]]
    assert paseo.ends("e") == ["failed", "completed"]
    paseo.place.ok("stop", "--id", "e")


def test_a_permission_is_blocked_though_it_says_running(paseo: Paseo, tmp_path: Path) -> None:
    """Trap: `running` with a permission pending, and ids cut in `permit ls`.

    Naive: busy for ever.
    """
    paseo.start("p", mode="ask")
    reply = paseo.send("p", ["bash", "touch made"], ["text", "Made."], code=4)
    assert reply["state"] == "blocked"
    assert paseo.agent("p")["lastStatus"] == "running"
    assert paseo.cli("p", "permit", "ls") != []
    paseo.place.ok("approve", "--id", "p")
    paseo.place.ok("wait", "--id", "p", "--timeout", "20")
    assert (paseo.place.work / "made").exists()
    paseo.send("p", ["bash", "touch other"], ["text", "Not made."], code=4)
    paseo.place.ok("deny", "--id", "p")
    paseo.place.ok("wait", "--id", "p", "--timeout", "20")
    assert not (paseo.place.work / "other").exists()
    assert paseo.ends("p") == ["completed", "completed"]
    paseo.place.ok("stop", "--id", "p")


def test_a_question_gets_its_answer(paseo: Paseo) -> None:
    """Trap: a bare `allow` tells the model that nobody answered, so the answer goes by --input."""
    paseo.start("q")
    assert paseo.send("q", ["ask", "Which?", ["A", "B"]], ["text", "Thanks."], code=4)["state"] == "blocked"
    # It must be clear which option is meant.
    assert paseo.place.run("approve", "--id", "q").returncode == 2
    paseo.place.ok("approve", "--id", "q", "--option", "2")
    paseo.place.ok("wait", "--id", "q", "--timeout", "20")
    allow = next(c for c in paseo.calls() if c[:2] == ["permit", "allow"])
    assert json.loads(allow[allow.index("--input") + 1])["answers"] == {"Which?": "B"}
    paseo.place.ok("stop", "--id", "q")


def test_a_stop_climbs_over_the_phantom(paseo: Paseo) -> None:
    """Trap: after `stop` Claude is `running` for ever.

    Naive: one stop, then wait for idle, which hangs.
    """
    paseo.start("s")
    paseo.busy("s", SLOW)
    assert paseo.place.json("stop", "--id", "s")["reason"] == "stopped"
    assert len([c for c in paseo.calls() if c[0] == "stop"]) == 2
    assert (paseo.ends("s"), paseo.cut("s")) == (["interrupted"], ["words"])
    assert paseo.place.running("double") == []


def test_somebody_elses_stop_is_no_running_for_ever(paseo: Paseo) -> None:
    """Trap: the same phantom, after a person stopped the agent in Paseo.

    Naive: busy until the morning.
    """
    paseo.start("g")
    paseo.busy("g", SLOW)
    agent = paseo.agent("g")["id"]
    paseo.place.until(lambda: paseo.agent("g")["persistence"], 10, "a session id")
    paseo.cli("g", "stop", agent)
    assert paseo.agent("g")["lastStatus"] == "running"
    done = paseo.place.run("wait", "--id", "g", "--timeout", "30")
    assert (done.returncode, paseo.ends("g")) == (1, ["interrupted"])
    assert paseo.send("g", ["text", "Back."])["last_message"] == "Back."
    paseo.place.ok("stop", "--id", "g")


def test_force_replaces_and_says_so(paseo: Paseo) -> None:
    """Trap: `send` to a busy agent cancels its turn.

    Without --force the message waits for the end of the turn.
    """
    paseo.start("r")
    paseo.busy("r", ["text", "one two three", 10])
    assert paseo.send("r", ["text", "Second."])["last_message"] == "Second."
    assert paseo.ends("r") == ["completed", "completed"]
    paseo.busy("r", SLOW)
    reply = paseo.send("r", ["text", "Instead."], more=("--force", "--wait-for-idle"))
    assert "cancels the running turn" in reply["note"]
    assert reply["last_message"] == "Instead."
    assert paseo.ends("r")[2:] == ["interrupted", "completed"]
    paseo.place.ok("stop", "--id", "r")


@pytest.mark.parametrize(
    ("cli", "word"), [("claude", "claude-double"), pytest.param("codex", "codex-double", marks=pytest.mark.more)]
)
def test_a_killed_provider_is_a_failed_turn(paseo: Paseo, cli: str, word: str) -> None:
    """Trap: Paseo never notices that Codex died (`running` for ever);
    about Claude it says `error`."""
    paseo.start("k", cli)
    paseo.busy("k", SLOW)
    paseo.place.until(lambda: paseo.place.running(word), 10, word)
    if cli == "codex":  # the agent must have been seen alive
        paseo.place.until(lambda: psutil.Process(paseo.place.running(word)[0]).create_time() + 5 < _now(), 15)
    os.kill(paseo.place.running(word)[0], signal.SIGKILL)
    done = paseo.place.run("wait", "--id", "k", "--timeout", "30")
    assert (done.returncode, paseo.ends("k"), paseo.cut("k")) == (1, ["failed"], ["call"])
    paseo.place.ok("wait", "--id", "k", "--until", "prompt", "--timeout", "20")
    assert paseo.send("k", ["text", "Alive."])["last_message"] == "Alive."
    paseo.place.ok("stop", "--id", "k")


def _now() -> float:
    import time

    return time.time()


def test_a_hung_daemon_is_unknown(paseo: Paseo) -> None:
    """Trap: the state file of a hung daemon keeps its last word.

    Naive: busy, or done after a failed call.
    """
    paseo.start("h")
    paseo.busy("h", SLOW)
    daemon = paseo.daemon("h")
    daemon.suspend()
    try:
        paseo.until_state("h", "unknown", 30)
        reason = [r for r in paseo.place.events("h", "state") if r["state"] == "unknown"][-1]["reason"]
        assert "does not answer" in reason
        assert paseo.ends("h") == []
    finally:
        daemon.resume()
    paseo.until_state("h", "busy", 30)
    paseo.place.ok("stop", "--id", "h")


def test_a_killed_private_daemon_ends_the_run(paseo: Paseo) -> None:
    """Trap: orphans go on, and the file says `running`.

    Naive: busy for ever. The turn failed, and no process stays.
    """
    paseo.start("d")
    paseo.busy("d", SLOW)
    paseo.place.until(lambda: _now() > paseo.daemon("d").create_time() + 8, 15)
    paseo.daemon("d").kill()
    done = paseo.place.run("wait", "--id", "d", "--timeout", "30")
    assert done.returncode == 1
    assert (paseo.ends("d"), paseo.place.events("d", "exited")[0]["reason"]) == (["failed"], "killed")
    assert paseo.cut("d") == ["call"]
    assert paseo.place.running("double") == []


def test_a_killed_supervisor_leaves_nothing(paseo: Paseo) -> None:
    paseo.start("l")
    os.kill(paseo.runs["l"]["supervisor_pid"], signal.SIGKILL)
    paseo.place.run("status")
    paseo.place.until(lambda: not paseo.place.running("tests.paseo") and not paseo.place.running("double"), 15)


# ---- somebody's own daemon ----


def test_adopt_and_leave_as_it_was(paseo: Paseo, own: Own) -> None:
    host, agent, there, _, _ = own
    paseo.place.json("run", "paseo", "--paseo-host", host, "--adopt", agent, "--detach", "--id", "a")
    paseo.place.ok("wait", "--id", "a", "--until", "prompt", "--timeout", "20")
    assert paseo.place.events("a", "call") == []
    assert paseo.send("a", ["text", "Adopted."])["last_message"] == "Adopted."
    paseo.place.ok("stop", "--id", "a")
    left = there("inspect", "--json", "--host", host, agent)
    assert (left["Status"], left["Archived"]) == ("idle", False)
    refused = paseo.place.run("run", "paseo", "--paseo-host", host, "--adopt", "no-such", "--detach", "--id", "b")
    assert (refused.returncode, "there is no agent no-such" in refused.stdout) == (1, True)


@pytest.mark.more
def test_a_daemon_that_is_stopped_and_started_interrupts_the_turn(paseo: Paseo, own: Own) -> None:
    """Trap: a graceful stop reports success to every waiting client. Naive: completed."""
    host, agent, there, begin, home = own  # noqa: RUF059
    paseo.place.json("run", "paseo", "--paseo-host", host, "--adopt", agent, "--detach", "--id", "a")
    paseo.place.ok("wait", "--id", "a", "--until", "prompt", "--timeout", "20")
    paseo.busy("a", SLOW)
    there("daemon", "stop", "--json")
    paseo.until_state("a", "unknown", 30)
    begin()
    done = paseo.place.run("wait", "--id", "a", "--timeout", "30")
    assert (done.returncode, paseo.ends("a")) == (1, ["interrupted"])
    assert paseo.send("a", ["text", "Again."])["last_message"] == "Again."
    paseo.place.ok("stop", "--id", "a")


def test_a_killed_and_restarted_daemon_leaves_no_stale_running(paseo: Paseo, own: Own) -> None:
    """Trap: after a SIGKILL and a start the file says `running` for ever,
    and stop and archive refuse."""
    host, agent, there, begin, home = own  # noqa: RUF059
    paseo.place.json("run", "paseo", "--paseo-host", host, "--adopt", agent, "--detach", "--id", "a")
    paseo.place.ok("wait", "--id", "a", "--until", "prompt", "--timeout", "20")
    paseo.busy("a", SLOW)
    daemon = psutil.Process(json.loads((home / "paseo.pid").read_text())["pid"])
    for process in [*daemon.children(recursive=True), daemon]:
        process.kill()
    begin()
    done = paseo.place.run("wait", "--id", "a", "--timeout", "40")
    # The words depend on which of the two deaths was seen first. The turn
    # neither goes on nor is done.
    assert (done.returncode, paseo.ends("a")) in [(1, ["interrupted"]), (1, ["failed"])]
    assert paseo.send("a", ["text", "Again."])["last_message"] == "Again."
    paseo.place.ok("stop", "--id", "a")


# ---- what is said at the start ----


def test_no_daemon_there_is_said(paseo: Paseo) -> None:
    """Trap: the CLI falls back to localhost:6767, which may be anybody's."""
    done = paseo.place.run("run", "paseo", "--paseo-host", "127.0.0.1:9", "--provider", "claude/m", "--detach")
    assert done.returncode == 1
    assert "no Paseo daemon answers at 127.0.0.1:9" in done.stdout


def test_a_provider_that_is_not_there_is_said(paseo: Paseo) -> None:
    done = paseo.place.run("run", "paseo", "--provider", "copilot/x", "--detach", "--id", "n")
    assert done.returncode == 1
    assert "Provider 'copilot' is not available" in done.stdout
    assert paseo.place.running("tests.paseo") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "which agent and which model?"),
        (("--provider", "claude"), "which agent and which model?"),
        (("--adopt", "x"), "--adopt needs the daemon"),
    ],
)
def test_what_is_missing_is_said(paseo: Paseo, words: tuple[str, ...], said: str) -> None:
    done = paseo.place.run("run", "paseo", "--detach", *words)
    assert (done.returncode, said in done.stdout) == (2, True), done.stdout


def test_without_the_program(harnex: Harnex) -> None:
    done = harnex.run("run", "paseo", "--provider", "claude/m", "--detach", env={**harnex.env, "PATH": "/usr/bin:/bin"})
    assert done.returncode == 1
    assert "npm install -g @getpaseo/cli" in done.stdout
    other = harnex.run("run", "demo", "--provider", "claude/m", "--detach")
    assert (other.returncode, "--provider is for: paseo" in other.stdout) == (2, True)

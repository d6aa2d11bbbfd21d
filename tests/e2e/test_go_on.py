"""`recover --resume`: an open task goes on by itself, a finished one does not, and a
watch resumes where it was."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.e2e.conftest import Harnex
from tests.paseo.place import SLOW as SLOW_WORDS
from tests.paseo.place import Paseo
from tests.paseo.place import paseo as paseo  # the fixture

pytestmark = pytest.mark.timeout(90)
SLOW = {"text": "Working on it.", "first_byte": 40}
SAID = "You were interrupted. Go on with: "


def kill(place: Harnex, victim: str = "supervisor_pid") -> dict[str, Any]:
    """Kill the supervisor or the agent of the only session. Returns its record."""
    (record,) = place.json("status", "--json")
    os.kill(record[victim], signal.SIGKILL)
    place.until(
        lambda: not [p for p in place.state.glob("sessions/*.lock") if p.name != ".lock"] or victim != "pid", 20
    )
    return dict(record)


def again(place: Harnex, *words: str) -> dict[str, Any]:
    told = place.json("recover", "--all", "--resume", "--json", *words)
    (reply,) = told["resumed"]
    assert told["ok"] and reply["ok"]
    return dict(reply)


def sent(place: Harnex, session_id: str = "x") -> list[str]:
    return [r["msg"] for r in place.events(session_id, "send")]


@pytest.mark.parametrize("victim", ["supervisor_pid", "pid"])
def test_a_task_that_was_cut_off_goes_on(harnex: Harnex, victim: str) -> None:
    harnex.agent("x", SLOW, "Done.", run=("--context", "Build the thing."))
    harnex.ok("wait", "--id", "x", "--until", "busy", "--timeout", "20")
    kill(harnex, victim)
    reply = again(harnex)
    assert reply["said"] == SAID + "Build the thing."
    waited = harnex.json("wait", "--id", "x", "--timeout", "20")
    assert waited["ok"] and waited["last_outcome"]["message"] == "Done."
    assert harnex.prompts("x") == ["Build the thing.", SAID + "Build the thing."]
    harnex.ok("stop", "--id", "x")


def test_the_line_in_the_guide_is_enough(harnex: Harnex) -> None:
    """The words that cron would use, and a watch that ends the session when its task is done."""
    harnex.agent("x", SLOW, "Done.", run=("--watch", "--auto-stop", "--context", "Build the thing."))
    harnex.ok("wait", "--id", "x", "--until", "busy", "--timeout", "20")
    kill(harnex)
    out = harnex.ok("recover", "--all", "--resume")
    assert f"told: {SAID}Build the thing." in out
    done = harnex.run("watch", "--id", "x")
    assert done.returncode == 0, done.stdout
    assert harnex.json("history", "--json")[-1]["reason"] == "success"


def test_nothing_is_said_if_nobody_wants_it(harnex: Harnex) -> None:
    harnex.agent("x", SLOW, "Done.", run=("--context", "Build the thing."))
    harnex.ok("wait", "--id", "x", "--until", "busy", "--timeout", "20")
    kill(harnex)
    assert again(harnex, "--no-continue")["said"] is None
    harnex.ok("wait", "--id", "x", "--until", "prompt", "--timeout", "20")
    assert sent(harnex) == []
    harnex.ok("stop", "--id", "x")
    for words in (("--no-continue",), ("--resume", "--no-continue", "--message", "m")):
        assert harnex.run("recover", *words).returncode == 2


def test_words_of_ones_own_take_its_place(harnex: Harnex) -> None:
    harnex.agent("x", SLOW, "Done.", run=("--context", "Build the thing."))
    harnex.ok("wait", "--id", "x", "--until", "busy", "--timeout", "20")
    kill(harnex)
    again(harnex, "--message", "Begin anew.")
    harnex.ok("wait", "--id", "x", "--timeout", "20")
    assert sent(harnex) == ["Begin anew."]
    harnex.ok("stop", "--id", "x")


@pytest.mark.parametrize("how", ["completed", "failed", "interrupted", "never"])
def test_nothing_is_said_to_an_agent_that_was_at_rest(harnex: Harnex, how: str) -> None:
    """The turn had ended, however it ended: that the agent was killed later is no
    reason to repeat the task."""
    first = {"completed": "Done.", "failed": {"error": "auth"}, "interrupted": SLOW}.get(how, "Done.")
    harnex.agent("x", first, "More.", run=() if how == "never" else ("--context", "Build the thing."))
    if how == "interrupted":
        harnex.ok("wait", "--id", "x", "--until", "busy", "--timeout", "20")
        _interrupt(harnex)
    harnex.run("wait", "--id", "x", "--until", "prompt" if how == "never" else "task_complete", "--timeout", "20")
    kill(harnex)
    assert again(harnex)["said"] is None
    harnex.ok("wait", "--id", "x", "--until", "prompt", "--timeout", "20")
    assert sent(harnex) == []
    if how == "completed":
        last = harnex.json("wait", "--id", "x", "--timeout", "20")["last_outcome"]
        assert (last["outcome"], last["message"]) == ("completed", "Done."), "what is known is not forgotten"
    harnex.ok("stop", "--id", "x")


def _interrupt(place: Harnex) -> None:
    """Interrupt the turn as a person's Esc would, by the supervisor's own request."""
    import socket

    (record,) = place.json("status", "--json")
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(record["socket"])
        s.sendall(json.dumps({"op": "interrupt"}).encode() + b"\n")
        assert json.loads(s.makefile().readline())["ok"]


def test_a_watch_judges_the_turn_that_ended_before_the_crash(harnex: Harnex) -> None:
    """The supervisor was killed while a check ran: the next supervisor runs the check
    again, and ends the session."""
    begun, gate = harnex.base / "begun", harnex.base / "gate"
    check = f"echo x >> '{begun}'; until test -e '{gate}'; do sleep 0.05; done"
    options = ("--auto-stop", "--verify", check, "--context", "Build the thing.")
    harnex.agent("x", "Done.", run=options)
    harnex.until(begun.exists)
    kill(harnex)
    assert again(harnex)["said"] is None
    harnex.until(lambda: begun.read_text().count("x") == 2, what="the check runs again")
    gate.touch()
    assert harnex.json("wait", "--id", "x", "--until", "exited", "--timeout", "30")["exit"]["reason"] == "success"
    assert sent(harnex) == []


def test_it_is_cut_off_twice(harnex: Harnex) -> None:
    """The words are repeated unchanged: no `interrupted` inside of another."""
    harnex.agent("x", SLOW, SLOW, "Done.", run=("--context", "Build the thing."))
    for _ in range(2):
        harnex.ok("wait", "--id", "x", "--until", "busy", "--timeout", "20")
        kill(harnex)
        assert again(harnex)["said"] == SAID + "Build the thing."
    assert harnex.json("wait", "--id", "x", "--timeout", "20")["ok"]
    harnex.ok("stop", "--id", "x")


def test_a_nudge_means_the_task(harnex: Harnex) -> None:
    """The answer to a nudge of the watch was cut off: the task is named, not the nudge."""
    options = ("--watch", "--stall-after", "1s", "--context", "Build the thing.")
    harnex.agent("x", SLOW, SLOW, "Done.", run=options)
    harnex.until(lambda: harnex.events("x", "nudge"), 30)
    harnex.until(lambda: len(harnex.events("x", "turn_started")) == 2, 30)
    kill(harnex)
    assert again(harnex)["said"] == SAID + "Build the thing."
    harnex.ok("stop", "--id", "x", "--force")


def test_a_long_task_is_not_said_whole_and_a_secret_not_at_all(harnex: Harnex) -> None:
    """The conversation has the whole task. A task that held a secret is not kept anywhere."""
    harnex.env["MY_API_KEY"] = "hunter2hunter2hunter2"
    harnex.agent("x", SLOW, SLOW, SLOW)
    for text, words in (
        ("long " * 2000, SAID + ("long " * 2000)[:2000] + "…"),
        ("use hunter2hunter2hunter2", "You were interrupted. Please go on with the task until it is done."),
    ):
        harnex.ok("send", "--id", "x", "--message", text)
        harnex.ok("wait", "--id", "x", "--until", "busy", "--timeout", "20")
        kill(harnex)
        again(harnex)
        harnex.until(lambda words=words: harnex.prompts("x")[-1] == words, 20, what="it is said")
        harnex.ok("stop", "--id", "x", "--force")
        if text.startswith("long"):
            harnex.agent("x", SLOW, SLOW, SLOW)


def test_an_agent_of_paseo_gets_its_task_again(paseo: Paseo) -> None:
    """The conversation died with its private daemon: what the agent was asked and had
    not answered is said again."""
    paseo.start("x")
    paseo.busy("x", SLOW_WORDS)
    kill(paseo.place)
    reply = again(paseo.place)
    assert (reply["said"], reply["messages"]) == (None, 1) and reply["how"].startswith("started anew")
    paseo.place.until(lambda: sent(paseo.place)[:1] and sent(paseo.place)[0].startswith("Do it."), 30)
    paseo.place.ok("wait", "--id", "x", "--until", "busy", "--timeout", "30")
    paseo.place.ok("stop", "--id", "x", "--force")

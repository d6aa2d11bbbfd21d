"""Background work of the scripted agent: what is known about it, who waits for it, and what
the agent hears of its end."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Harnex

pytestmark = pytest.mark.timeout(90)
SLEEP = "sleep 397"


def gate(place: Harnex) -> tuple[str, Path]:
    """Return a command that runs until a file exists, and that file."""
    path = place.base / "gate"
    return f"until test -e '{path}'; do sleep 0.05; done", path


def background(command: str) -> dict[str, Any]:
    return {
        "text": "It runs.",
        "tools": [{"raw": {"name": "Bash", "input": {"command": command, "run_in_background": True}}}],
    }


def detached(command: str) -> dict[str, Any]:
    """Return a step that starts a detached command by hand, as agents do: no
    record names the command."""
    return {
        "text": "It runs.",
        "tools": [{"bash": f"nohup sh -c {json.dumps(command)} >/dev/null 2>&1 & echo started"}],
    }


def record(place: Harnex) -> dict[str, Any]:
    (row,) = place.json("status", "--json")
    return dict(row)


def ended(place: Harnex) -> dict[str, Any]:
    return dict(place.json("wait", "--id", "w", "--until", "exited", "--timeout", "40")["exit"])


def history(place: Harnex) -> dict[str, Any]:
    return dict(place.json("history", "--json")[-1])


def until_waits(place: Harnex) -> dict[str, Any]:
    """Wait until the watch waits for running work.

    At first the watch does not know yet whether any work runs.
    """
    return dict(place.until(lambda: (r := record(place))["waiting"] and r, what="the watch waits"))


@pytest.mark.parametrize("how", ["recorded", "unrecorded", "detached"])
def test_auto_stop_waits_for_what_runs_in_the_background(harnex: Harnex, how: str) -> None:
    """However the agent starts the work, the session ends after the work has ended
    and the agent has seen that."""
    command, path = gate(harnex)
    begin = detached(command) if how == "detached" else background(command)
    tui = ("--no-record",) if how == "unrecorded" else ()
    harnex.agent("w", begin, "I wait for it.", "All done.", run=("--auto-stop", "--context", "go"), tui=tui)
    told = until_waits(harnex)
    assert (told["state"], told["waiting"]["for"]) == ("prompt", "background"), "it takes messages"
    (work,) = told["background"]
    assert work["by"] == "main" and command in work["command"]
    assert work["kind"] == ("shell" if how == "recorded" else "process")
    assert "1 in background" in harnex.ok("status")
    path.touch()
    assert ended(harnex)["reason"] == "success"
    rows = harnex.events("w", "background")
    assert [r["status"] for r in rows] == ["started", "ended"] and rows[0]["work_id"] == rows[1]["work_id"]
    assert rows[1]["how"] == ("completed" if how == "recorded" else "gone")
    (say,) = harnex.events("w", "nudge")
    assert say["reason"] == "background" and "Your background work has ended" in say["text"]
    assert [r["last_message"] for r in harnex.events("w", "task_complete")] == ["I wait for it.", "All done."]
    assert history(harnex)["killed"] == harnex.events("w", "exited")[0]["killed"] == []


def test_an_agent_that_wakes_by_itself_is_not_told(harnex: Harnex) -> None:
    command, path = gate(harnex)
    begin = background(command)
    harnex.agent("w", begin, "I wait.", "All done.", run=("--auto-stop", "--context", "go"), tui=("--wake",))
    until_waits(harnex)
    path.touch()
    assert ended(harnex)["reason"] == "success"
    assert harnex.events("w", "nudge") == []
    assert [r["last_message"] for r in harnex.events("w", "task_complete")] == ["I wait.", "All done."]


@pytest.mark.parametrize("begin", [background(SLEEP), detached(SLEEP)], ids=["recorded", "detached"])
def test_a_server_that_never_ends_does_not_pin_the_night(harnex: Harnex, begin: dict[str, Any]) -> None:
    options = ("--auto-stop", "--background-wait", "2s", "--verify", "true", "--context", "go")
    harnex.agent("w", begin, "It serves.", run=options)
    assert ended(harnex)["reason"] == "success"
    assert harnex.running(SLEEP) == []
    said = [r["message"] for r in harnex.events("w", "watch") if r["phase"] == "background"]
    assert [words.partition(":")[0] for words in said] == [
        "waiting for background work, 2s at most",
        "still running after 2s, and not waited for any longer",
    ]
    assert all(SLEEP in words for words in said)
    (exited,) = harnex.events("w", "exited")
    (killed,) = exited["killed"]
    assert (SLEEP in killed["command"], killed["by"]) == (True, "main")
    assert history(harnex)["killed"] == [killed]
    assert harnex.events("w", "background")[-1]["how"] == "killed"
    assert harnex.events("w", "verify")[0]["ok"], "then the task is judged as ever"
    assert "1 background killed" in harnex.ok("history")
    assert SLEEP in harnex.ok("watch", "--id", "w"), "the follower names it"


def test_nothing_is_waited_for_if_nobody_wants_it(harnex: Harnex) -> None:
    options = ("--auto-stop", "--background-wait", "0", "--context", "go")
    harnex.agent("w", background(SLEEP), "It serves.", run=options)
    assert ended(harnex)["reason"] == "success"
    assert [r["phase"] for r in harnex.events("w", "watch")] == ["on", "done"]
    assert SLEEP in harnex.events("w", "exited")[0]["killed"][0]["command"], "and it is named all the same"


def test_a_person_who_stops_waits_for_nothing_and_is_told(harnex: Harnex) -> None:
    harnex.agent("w", background(SLEEP), "It serves.", run=("--auto-stop", "--context", "go"))
    until_waits(harnex)
    reply = harnex.json("stop", "--id", "w")
    assert SLEEP in reply["killed"][0]["command"]
    assert harnex.running(SLEEP) == []


def test_a_stop_in_the_middle_of_a_turn_names_what_was_left_before(harnex: Harnex) -> None:
    """The tool that was at work is not named: it belongs to the turn."""
    harnex.agent("w", detached(SLEEP), {"text": "On.", "tools": [{"bash": "sleep 398"}]}, run=("--context", "go"))
    harnex.until(lambda: harnex.running("sleep 398"), what="its tool runs")
    killed = harnex.json("stop", "--id", "w")["killed"]
    assert [SLEEP in work["command"] for work in killed] == [True]


def test_the_processes_of_the_agent_itself_do_not_count(harnex: Harnex) -> None:
    """A helper of the CLI (an MCP server) carries the run's marker, but the marker alone does not
    make it a tool's process."""
    harnex.agent(
        "w", "Done.", run=("--auto-stop", "--background-wait", "30s", "--context", "go"), tui=("--helper", SLEEP)
    )
    assert ended(harnex)["reason"] == "success"
    assert harnex.events("w", "background") == []
    assert harnex.running(SLEEP) == []


def test_a_message_goes_to_an_agent_whose_work_is_waited_for(harnex: Harnex) -> None:
    command, path = gate(harnex)
    harnex.agent("w", background(command), "I wait.", "Noted.", "All done.", run=("--auto-stop", "--context", "go"))
    until_waits(harnex)
    sent = harnex.json("send", "--id", "w", "--message", "One more thing.", "--wait-for-idle", "--timeout", "20")
    assert sent["last_message"] == "Noted."
    until_waits(harnex)
    path.touch()
    assert ended(harnex)["reason"] == "success"
    assert harnex.prompts("w")[:2] == ["go", "One more thing."]


def test_wait_is_not_told_that_a_task_is_complete_that_is_waited_for(harnex: Harnex) -> None:
    command, path = gate(harnex)
    harnex.agent("w", background(command), "I wait.", "All done.", run=("--auto-stop", "--context", "go"))
    until_waits(harnex)
    assert harnex.run("wait", "--id", "w", "--timeout", "1").returncode == 124
    waiter = harnex.start("wait", "--id", "w", "--timeout", "30")
    path.touch()
    out, _ = waiter.communicate(timeout=40)
    assert json.loads(out)["ok"]


def test_a_done_when_that_is_met_needs_no_more_words(harnex: Harnex) -> None:
    command, path = gate(harnex)
    done = harnex.base / "done"
    options = ("--auto-stop", "--done-when", f"test -e '{done}'", "--context", "go")
    harnex.agent("w", background(f"{command}; touch '{done}'"), "I wait.", run=options)
    until_waits(harnex)
    path.touch()
    assert ended(harnex)["reason"] == "success"
    assert harnex.events("w", "nudge") == []


def test_what_a_crash_took_with_it_is_said_to_the_agent(harnex: Harnex) -> None:
    """The watch starts the agent again, in its conversation.

    The background work is gone, and the agent must know that.
    """
    harnex.agent("w", background(SLEEP), "I wait.", "I see.", run=("--watch", "--context", "go"))
    os.kill(until_waits(harnex)["pid"], signal.SIGKILL)
    (say,) = harnex.until(lambda: harnex.events("w", "nudge"), 30)
    assert say["reason"] == "restart" and SLEEP in say["text"]
    assert harnex.events("w", "background")[-1]["how"] == "killed"
    assert record(harnex)["background"] == []
    harnex.ok("stop", "--id", "w")
    assert history(harnex)["killed"] == []


def test_recovery_names_what_it_ended_and_the_next_run_says_it(harnex: Harnex) -> None:
    harnex.agent("w", background(SLEEP), "I wait.", "I see.", run=("--context", "go"))
    harnex.ok("wait", "--id", "w", "--timeout", "20")
    harnex.until(lambda: record(harnex)["background"])
    os.kill(record(harnex)["supervisor_pid"], signal.SIGKILL)
    told = harnex.json("recover", "--all", "--resume", "--json")
    (killed,) = history(harnex)["killed"]
    assert killed["command"] == SLEEP
    (reply,) = told["resumed"]
    assert "You were interrupted" in reply["said"] and SLEEP in reply["said"]
    assert harnex.json("wait", "--id", "w", "--timeout", "30")["ok"]
    harnex.ok("stop", "--id", "w")


def test_the_page_shows_it(harnex: Harnex) -> None:
    harnex.agent(
        "w", background(SLEEP), "It serves.", run=("--auto-stop", "--background-wait", "1s", "--context", "go")
    )
    ended(harnex)
    page = harnex.base / "page.html"
    harnex.ok("report", "--id", "w", "-o", str(page))
    text = page.read_text()
    assert "In the background" in text and SLEEP in text and "killed" in text


def test_the_option_alone_is_refused(harnex: Harnex) -> None:
    done = harnex.run("run", "demo", "--detach", "--background-wait", "5s")
    assert done.returncode == 2 and "--auto-stop or --watch" in done.stderr

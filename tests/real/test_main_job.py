"""The main job, on the real CLIs: start, prompt, a task with tools, complete, stop; from a shell, tmux and a terminal."""

from __future__ import annotations

import stat
from typing import Any

import psutil
import pytest

from tests.real.conftest import TOKENS, Agent, Person

pytestmark = pytest.mark.timeout(120)  # the old CLIs are slow on a busy machine

TASK = (
    {"think": "I should write the file first.", "text": "On it.", "tools": [{"bash": "echo made > made.txt"}]},
    {"text": "Now I look at it.", "tools": [{"bash": "cat made.txt"}]},
    {"text": "The file is made."},
)


def check_bill(agent: Agent, session_id: str, count: int) -> None:
    """Every model call once, in order, with the numbers that the endpoint billed, or null."""
    billed = [row for row in agent.log(session_id, "call") if row["finished"]]
    every = agent.events(session_id, "call")
    calls = [c for c in every if c["agent"] == "main"]
    assert len(calls) == count
    unknown = set()
    for call, bill in zip(calls, billed, strict=True):
        for name in TOKENS:
            if call[name] is None:
                unknown.add(name)
            else:
                assert call[name] == bill[name], (name, call, bill)
        assert not call["partial"]
    # What a version does not tell is null, never 0.
    if agent.cli == "claude":
        assert unknown <= ({"reasoning_tokens", "output_tokens"} if agent.early else {"reasoning_tokens"})
        assert all(c["output_tokens"] is not None for c in calls if c["stop_reason"])
    else:
        assert unknown == (set() if agent.newest else {"cache_write_tokens"})
    if agent.cli == "claude" or agent.newest:  # Codex's ids are not in its records before 0.145
        assert [c["call_id"] for c in calls] == [b["id"] for b in billed]
    # Claude Code 2.0 warms three sub-agents up at each start: real calls, that somebody pays.
    others = {b["id"]: b for b in agent.log(session_id, "call", "side") if b["finished"]}
    for call in every:
        if call["agent"] != "main":
            assert all(call[n] in (None, others[call["call_id"]][n]) for n in TOKENS)
    assert len({c["call_id"] for c in every}) == len(every)


def known(rows: list[dict[str, Any]]) -> tuple[int | None, int]:
    """The tokens of a run as far as they are known, and of how many calls they are not: a total of the CLI may tell
    together what their rows did not."""
    calls, rests = ([r for r in rows if r["type"] == kind] for kind in ("call", "usage_rest"))
    told = {i for r in rests for i in r["call_ids"]}
    outputs = [r["output_tokens"] for r in [*calls, *rests] if r["output_tokens"] is not None]
    untold = sum(c["output_tokens"] is None and c["call_id"] not in told for c in calls)
    return sum(outputs) + sum(c["input_tokens"] for c in calls) if outputs else None, untold


def check_turn(rows: list[dict[str, Any]], turn: int, message_id: str | None, last_message: str) -> None:
    started = [r for r in rows if r["type"] == "turn_started" and r["turn"] == turn]
    ended = [r for r in rows if r["type"] in ("task_complete", "turn_failed") and r["turn"] == turn]
    assert [(r["message_id"]) for r in started] == [message_id]
    assert [(r["type"], r.get("last_message")) for r in ended] == [("task_complete", last_message)]
    assert started[0]["seq"] < ended[0]["seq"]


def test_detached(agent: Agent) -> None:
    place = agent.place
    reply = agent.start("job", *TASK)
    assert reply["ok"] is True
    assert agent.wait("job", "prompt")["state"] == "prompt"
    sent = agent.send("job", "please make the file")
    assert (sent["status"], sent["outcome"], sent["last_message"]) == ("accepted", "completed", "The file is made.")
    assert agent.wait("job", "task_complete", 5)["turn"] == 1
    record = agent.record("job")
    assert (record["state"], record["turn"], record["cli_version"]) == ("prompt", 1, agent.version)
    assert (place.work / "made.txt").read_text() == "made\n"
    stopped = agent.stop("job")
    assert (stopped["ok"], stopped["reason"]) == (True, "stopped")
    rows = agent.check_ended("job")
    check_turn(rows, 1, sent["message_id"], "The file is made.")
    kinds = [r["type"] for r in rows]
    assert [kinds.count(k) for k in ("turn_started", "task_complete", "turn_failed")] == [1, 1, 0]
    assert [r["status"] for r in rows if r["type"] == "delivery"] == ["queued", "typed", "accepted"]
    check_bill(agent, "job", 3)
    history = place.json("history", "--json")[0]
    assert (history["id"], history["reason"], history["exit"], history["turns"]) == ("job", "stopped", 0, 1)
    calls = [r for r in rows if r["type"] == "call"]
    assert record["calls"] == history["calls"] == len(calls)
    assert (history["tokens"], history["tokens_unknown"]) == known(rows)
    for path in (place.state, *place.state.glob("runs/*"), *place.state.glob("runs/*/*")):
        if path.name == "home":
            continue  # the agent's own, inside a directory that is private
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{path} is open to others"


@pytest.mark.newest
def test_tmux(agent: Agent) -> None:
    place = agent.place
    script = place.script(*TASK)
    run = ("run", agent.cli, "--permissions", "bypass", "--rehearse", script)
    # "--id" is an option here, not the window's name.
    first = place.json(*run, "--tmux", "--id", "one")
    agent.run_ids["one"] = first["run_id"]
    assert (first["id"], first["mode"]) == ("one", "tmux")
    second = place.json(*run, "--id", "two", "--tmux", "nämed")
    agent.run_ids["two"] = second["run_id"]
    assert agent.windows() == ["one", "nämed"]
    assert {r["id"]: r["tmux"] for r in place.json("status", "--json")} == {
        "one": first["tmux"],
        "two": second["tmux"],
    }
    agent.wait("one", "prompt")
    sent = agent.send("one", "please make the file")
    assert sent["last_message"] == "The file is made."
    place.until(lambda: "The file is made." in agent.tmux("capture-pane", "-p", "-t", first["tmux"]))
    # Typed into the window, as a person does; the window then goes, the agent stays.
    agent.tmux("send-keys", "-t", first["tmux"], "-l", "and again")
    place.until(lambda: "and again" in agent.tmux("capture-pane", "-p", "-t", first["tmux"]))
    agent.tmux("send-keys", "-t", first["tmux"], "Enter")
    agent.until_event("one", "task_complete", turn=2)
    agent.tmux("kill-window", "-t", first["tmux"])
    assert agent.send("one", "are you there?")["turn"] == 3
    assert agent.stop("one")["reason"] == "stopped"
    rows = agent.check_ended("one")
    check_turn(rows, 1, sent["message_id"], "The file is made.")
    assert [r["message_id"] for r in rows if r["type"] == "turn_started" and r["turn"] == 2] == [None]
    check_bill(agent, "one", 5)
    agent.wait("two", "prompt")
    agent.stop("two")
    agent.check_ended("two")
    # A window closes when its session ends.
    place.until(lambda: agent.windows() == [])


@pytest.mark.newest
def test_foreground(agent: Agent) -> None:
    place = agent.place
    script = place.script(*TASK, {"text": "Second answer."})
    with Person(place, "run", agent.cli, "--id", "fg", "--permissions", "bypass", "--rehearse", script) as person:
        place.until(lambda: [r for r in place.json("status", "--json") if r["state"] == "prompt"], 30)
        agent.run_ids["fg"] = agent.record("fg")["run_id"]
        person.type("please make the file", "fg")
        done = agent.until_event("fg", "task_complete")
        assert (done["turn"], done["last_message"]) == (1, "The file is made.")
        person.sees("The file is made.")
        person.detach()
    assert agent.record("fg")["state"] == "prompt"
    with Person(place, "attach", "--id", "fg") as person:
        person.sees("The file is made.")  # redrawn on entry
        person.type("more", "fg")
        agent.until_event("fg", "task_complete", turn=2)
        person.type("/exit", "fg")
        assert person.leaves() == 0
    rows = agent.check_ended("fg")
    check_turn(rows, 1, None, "The file is made.")
    check_turn(rows, 2, None, "Second answer.")
    assert (rows[-1]["reason"], rows[-1]["code"]) == ("success", 0)
    check_bill(agent, "fg", 4)


def test_foreground_ends_with_the_agent(agent: Agent) -> None:
    """The exit code of `run` is that of the session."""
    place = agent.place
    with Person(place, "run", agent.cli, "--id", "gone", "--rehearse", place.script("never")) as person:
        place.until(lambda: [r for r in place.json("status", "--json") if r["state"] == "prompt"], 30)
        psutil.Process(agent.record("gone")["pid"]).kill()
        assert person.leaves() == 1
    assert agent.check_ended("gone")[-1]["reason"] == "killed"

"""Token truth on the real CLIs: every call once, each number as the endpoint billed it."""

from __future__ import annotations

import json
from typing import Any

import psutil
import pytest

from tests.real.conftest import TOKENS, Agent, Person

pytestmark = pytest.mark.timeout(180)  # the old CLIs are slow on a busy machine

SLOW = {"text": "\n\n".join(f"Line {n} of an answer." for n in range(100)), "pause": 0.06}


def work(n: int) -> dict[str, Any]:
    """Reasoning, words, two tools; billed with numbers that no other call has."""
    read, written = 2000 * n, 30 * n
    usage = {"cache_read_tokens": read, "cache_write_tokens": written, "output_tokens": 40 + n, "reasoning_tokens": n}
    return {
        "think": f"Step {n} wants two looks.",
        "text": f"Step {n}.",
        "tools": [{"bash": f"echo {n} one"}, {"bash": f"echo {n} two"}],
        "usage": {"input_tokens": read + written + 100 + n, **usage},
    }


def helper(name: str) -> dict[str, Any]:
    return {"agent": {"prompt": f"{name}: count the files", "description": name}}


def script(agent: Agent) -> str:
    """Three tasks: one with two errors that are retried, one that is interrupted, one with two sub-agents at once."""
    calls: list[Any] = [work(1), {"error": 529}, work(2), work(3), {"error": 500}, work(4), "First task done.", SLOW]
    calls += [{**work(6), "first_byte": 1.5}, work(7), work(8), work(9), work(10)]
    if agent.cli == "claude":
        calls.append({"text": "Two helpers.", "tools": [helper("alpha"), helper("beta")]})
    agents = {"alpha: count": [work(21), work(22), "Alpha counted."], "beta: count": [work(31), "Beta counted."]}
    path = agent.place.base / "usage.json"
    path.write_text(json.dumps({"calls": calls, "agents": agents if agent.cli == "claude" else {}}))
    return str(path)


def billed(agent: Agent, session_id: str) -> list[dict[str, Any]]:
    """What the endpoint billed for whole answers of the main conversation, then of sub-agents."""
    path = agent.place.state / "runs" / agent.run_ids[session_id] / "rehearsal.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    calls = [r for r in rows if r["event"] == "call" and r["finished"]]
    # Claude Code 2.0 warms sub-agents up at each start: calls, too. Titles and the like are in no record of any CLI.
    wanted = [r for r in calls if r["kind"] == "main" or r["kind"].startswith("agent:") or r.get("why") == "warm-up"]
    return sorted(wanted, key=lambda r: r["kind"] != "main")


def check(agent: Agent, calls: list[dict[str, Any]], bill: list[dict[str, Any]]) -> None:
    """Zero difference, in every field of every call. What was recorded too early is null."""
    assert len(calls) == len(bill)
    if agent.cli == "claude" or agent.newest:
        by_id = {b["id"]: b for b in bill}
        assert sorted(by_id) == sorted(c["call_id"] for c in calls)
        pairs = [(c, by_id[c["call_id"]]) for c in calls]
    else:  # Codex's ids are not in its records before 0.145
        pairs = list(zip(calls, bill, strict=True))
    for call, row in pairs:
        unknown = {name for name in TOKENS if call[name] is None}
        # Not recorded by Codex before 0.145, and by Claude Code from some 2.1 to 2.1.197.
        old = {"cache_write_tokens"} if agent.cli == "codex" else {"reasoning_tokens"}
        if agent.early and call["stop_reason"] is None:
            old |= {"output_tokens"}
        assert unknown <= (set() if agent.newest else old)
        assert {n: call[n] for n in TOKENS if n not in unknown} == {n: row[n] for n in TOKENS if n not in unknown}
        whole = row["input_tokens"] + row["output_tokens"]
        assert call["total_tokens"] == (None if "output_tokens" in unknown else whole)
        assert (call["agent"] == "main") == (row["kind"] == "main")


def test_every_call_once(agent: Agent) -> None:
    place = agent.place
    words = ["run", agent.cli, "--detach", "--id", "u", "--permissions", "bypass", "--rehearse", script(agent)]
    agent.run_ids["u"] = place.json(*words)["run_id"]
    agent.wait("u", "prompt")
    assert agent.send("u", "the first task", "--timeout", "90")["last_message"] == "First task done."
    asked = len(agent.log("u", "request"))
    place.ok("send", "--id", "u", "--message", "the second task")
    place.until(lambda: len(agent.log("u", "request")) > asked)
    with Person(place, "attach", "--id", "u") as person:
        person.sees("Line 3 of an" if agent.cli == "codex" or agent.newest else "interrupt")
        person.press(b"\x03" if agent.cli == "codex" and not agent.newest else b"\x1b")
        agent.until_event("u", "turn_failed")
        person.detach()
    agent.send("u", "the third task", "--timeout", "90")
    if agent.cli == "claude":  # 2.1.329 lets them go on behind a finished turn
        place.until(lambda: len(agent.log("u", "call", "agent:alpha: count")) == 3)
        place.until(lambda: len(agent.log("u", "call", "agent:beta: count")) == 2)
        agent.until_event("u", "call", text_preview="Alpha counted.")
        agent.until_event("u", "call", text_preview="Beta counted.")
    agent.wait("u", "prompt")
    agent.stop("u")
    agent.check_ended("u")
    bill = billed(agent, "u")
    assert sum(b["kind"] == "main" for b in bill) >= 11
    calls = [c for c in agent.events("u", "call") if not c["partial"]]
    check(agent, calls, bill)
    helpers = {c["agent"] for c in calls} - {"main"}
    helpers -= {"subagent"}  # 1.x and 2.0.0 give them no names; their tool's events tell of them
    told = [(r["agent"], r["status"]) for r in agent.events("u", "subagent")]
    assert sorted(told) == sorted((name, status) for name in helpers for status in ("started", "ended"))

    # How long each took, with its retries, until its last words: as the endpoint saw it, which sends the usage up to a
    # second behind them, but for what a busy machine adds.
    began = {r["call"]: r["t"] for r in agent.log("u", "request")}
    ended = [r for r in agent.log("u", "call") if r["status"] == 200 and r["finished"]]
    main = [c for c in calls if c["agent"] == "main"]
    for call, row in zip(main, ended, strict=True):
        assert call["duration_s"] is not None
        assert -1.2 < call["duration_s"] - (row["t"] - began[row["call"]]) < 8 + 10 * (call["attempts"] or 1)
    thinking = next(c for c in main if c["text_preview"].startswith("Step 6"))
    assert thinking["duration_s"] > 1.4  # the answer was that long in coming

    told = place.json("usage", "--id", "u", "--json")
    assert (told["id"], told["run_id"], told["cli"]) == ("u", agent.run_ids["u"], agent.cli)
    assert [c["call_id"] for c in told["calls"]] == [c["call_id"] for c in agent.events("u", "call")]
    cut = [c for c in told["calls"] if c["partial"]]  # only 2.1 writes anything of an answer that was interrupted
    assert agent.cli == "claude" or [c["turn"] for c in cut] == [
        2
    ]  # Codex writes nothing: that there was a call is known
    assert all(c["output_tokens"] is None and c["total_tokens"] is None for c in cut)
    assert agent.early or told["totals"]["total_tokens"] == sum(
        b["input_tokens"] + b["output_tokens"] for b in bill
    ) + sum(c["input_tokens"] or 0 for c in cut)
    proven = sum(len(r["call_ids"]) for r in told.get("rests", ()))
    unknown = len([c for c in told["calls"] if c["total_tokens"] is None]) - proven
    assert told["totals"]["unknown"].get("total_tokens", 0) == unknown
    assert [t["outcome"] for t in told["turns"]][:2] == ["completed", "interrupted"]
    assert sum(t["calls"] for t in told["turns"]) == len([c for c in told["calls"] if c["turn"] is not None])
    if agent.cli == "claude":
        helpers = {c["agent"] for c in calls if c["agent"].startswith("general-purpose")}
        assert len(helpers) == 2  # each has a name of its own
        assert {c["stop_reason"] for c in calls if c["agent"] == "main"} <= {"tool_use", "end_turn", None}

    # The CLI's own files tell the same.
    home = place.state / "runs" / agent.run_ids["u"] / "home"
    read = place.json("usage", "--from", agent.cli, str(home), "--json")
    assert read["problems"] == []
    ids = {c["call_id"] for c in calls}
    # Of a last row without a stop reason a file does not say whether the answer was cut off.
    whole = [c for c in read["calls"] if not c["partial"] or (agent.early and c["call_id"] in ids)]
    assert agent.cli == "claude" or len(read["calls"]) - len(whole) == 1
    check(agent, whole, bill)
    same = ("call_id", "model", "text_preview", "stop_reason", "attempts", "duration_s", "source", *TOKENS)
    assert {c["call_id"]: [c[k] for k in same] for c in whole} == {c["call_id"]: [c[k] for k in same] for c in calls}
    grouped = place.json("usage", "--from", agent.cli, str(home), "--json", "--by", "model")
    assert {k: grouped["totals"][k] for k in ("calls", *TOKENS)} == {k: read["totals"][k] for k in ("calls", *TOKENS)}

    # What was asked and answered: each call's messages begin with all of the one before.
    before: dict[str, list[Any]] = {}
    for call in [c for c in told["calls"] if not c["partial"]][-8:]:
        body = place.json("usage", "--id", "u", "--call", str(call["n"]), "--bodies", "--json")
        chat = [*body["request"], body["response"]]
        assert body["message_count"] == len(body["request"])
        assert body["response_text"].startswith(call["text_preview"][:40])
        assert ("wants two looks." in body["reasoning_text"]) == bool(call["text_preview"].startswith("Step"))
        last = before.get(call["agent"], [])
        assert chat[: len(last)] == last
        assert len(chat) > len(last)
        assert "definitions of the tools" in body["missing"]
        before[call["agent"]] = chat
    assert any(m["role"] == "user" and "the first task" in m["content"] for m in before["main"])
    assert any(m["role"] == "tool" and "10 two" in m["content"] for m in before["main"])


def test_killed_in_the_middle(agent: Agent) -> None:
    """What was finished is exact, or its absence is said; the call that was open is told, with nothing invented.

    With some delays of the usage Claude Code 2.1.329 writes a call down only after the next one has ended (seed 486740)."""
    place = agent.place
    agent.start("k", work(1), work(2), SLOW)
    agent.wait("k", "prompt")
    place.ok("send", "--id", "k", "--message", "go")
    place.until(lambda: len(agent.log("k", "request")) == 3, 40)
    agent.until_event("k", "call", agent="main")
    for process in [p := psutil.Process(agent.record("k")["pid"]), *p.children(recursive=True)]:
        process.kill()
    agent.until_event("k", "exited")
    calls = agent.events("k", "call")
    told = {c["call_id"] for c in calls}
    missing = [b["id"] for b in billed(agent, "k") if agent.cli == "claude" and b["id"] not in told]
    said = [e["what"] for e in agent.events("k", "diagnostic") if "recorded nowhere" in e["what"]]
    assert len(said) == bool(missing), (missing, said)
    check(agent, [c for c in calls if not c["partial"]], [b for b in billed(agent, "k") if b["id"] not in missing])
    cut = [c for c in calls if c["partial"]]
    assert [(c["agent"], c["output_tokens"], c["total_tokens"]) for c in cut] == [("main", None, None)]
    totals = place.json("usage", "--id", "k", "--json")["totals"]
    unknown = len([c for c in calls if c["output_tokens"] is None])
    some = unknown if unknown < len(calls) else None  # of none the output is known: the sum is null
    assert (totals["partial_calls"], totals["unknown"].get("output_tokens")) == (1, some)

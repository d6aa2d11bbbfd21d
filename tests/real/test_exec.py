"""`harnex exec` with the real CLIs: every token that was billed, every way to end, and its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import psutil
import pytest

from harnex.agents.claude.calls import UNTOLD
from tests.real.conftest import TOKENS, Agent

pytestmark = pytest.mark.timeout(120)  # the old CLIs are slow on a busy machine

PROMPT = "please count the wörds 'SECRETPLAN'"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["name", "count"],
    "additionalProperties": False,
}


def step(n: int) -> dict[str, Any]:
    tools = [{"bash": f"echo {n}"}, {"bash": f"echo again {n}"}]
    return {"think": f"Thought {n} is a long one.", "text": f"Step {n}.", "tools": tools}


def start(agent: Agent, session_id: str, script: str, *words: str) -> subprocess.Popen[str]:
    return agent.place.start(
        "exec", agent.cli, "-", "--id", session_id, "--permissions", "bypass", "--rehearse", script, *words,
        stdin=subprocess.PIPE,
    )  # fmt: skip


def give(command: subprocess.Popen[str], prompt: str = PROMPT) -> None:
    assert command.stdin is not None
    command.stdin.write(prompt)
    command.stdin.close()
    command.stdin = None


def run_id_of(agent: Agent, session_id: str) -> str:
    run_id = str(agent.events(session_id)[0]["run_id"])
    agent.run_ids[session_id] = run_id
    return run_id


def check_bill(agent: Agent, session_id: str, cut_off: int = 0) -> list[dict[str, Any]]:
    """Every finished call of the bill once, and to the token; what was cut off is partial. The calls.

    What a sub-agent recorded too early is null, and may be told as cut off by what ended the run."""
    path = agent.place.state / "runs" / run_id_of(agent, session_id) / "rehearsal.jsonl"
    log = [json.loads(line) for line in path.read_text().splitlines()]
    billed = [row for row in log if row["event"] == "call" and row["finished"]]
    calls = agent.events(session_id, "call")
    whole = [call for call in calls if not call["partial"] or (agent.early and call["agent"] != "main")]
    assert len(calls) - len(whole) == cut_off
    left = list(billed)
    for call in whole:
        named = [row for row in left if row["id"] == call["call_id"]]
        # Codex's ids are not in its records before 0.145: there it is the numbers, all of which differ.
        alike = named or [r for r in left if all(call[n] in (None, r[n]) for n in TOKENS)]
        if not alike and call["agent"] != "main" and call["output_tokens"] is None and agent.early:
            continue  # a sub-agent's that the end of the run cut off
        row = alike[0]
        left.remove(row)
        unknown = {name for name in TOKENS if call[name] is None}
        assert {name: call[name] for name in TOKENS if name not in unknown} == {
            name: row[name] for name in TOKENS if name not in unknown
        }
        old = {"reasoning_tokens"} if agent.cli == "claude" else {"cache_write_tokens"}
        if agent.early and call["agent"] != "main":
            old |= {"output_tokens"}
        assert unknown <= old
        assert not (agent.newest and unknown)
        whole_sum = row["input_tokens"] + row["output_tokens"]
        assert call["total_tokens"] == (None if "output_tokens" in unknown else whole_sum)
    assert [row for row in left if row["kind"] != "side"] == []  # titles and the like are in no record
    assert len({call["call_id"] for call in calls}) == len(calls)
    return calls


def test_every_call_to_the_token(agent: Agent) -> None:
    """12 calls and more, with reasoning, several tools each, two errors that are tried again, and a sub-agent."""
    helper = {"text": "Somebody else counts.", "tools": [{"agent": {"prompt": "ZEBRA count", "description": "count"}}]}
    before, after = [step(n) for n in range(5)], [step(n) for n in range(5, 10)]
    calls = [*before, {"error": 529, "times": 2}, *([helper] if agent.cli == "claude" else []), *after, "Counted: 3."]
    agents = {"ZEBRA": [{"text": "One.", "tools": [{"bash": "echo z"}]}, {"text": "It is 3."}]}
    script = agent.place.script(*calls, agents=agents)
    command = start(agent, "count", script, "--json", "--meta", '{"issue": 4}')
    give(command)
    out, err = command.communicate(timeout=90)
    assert command.returncode == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows == agent.check_ended("count")
    seen = check_bill(agent, "count")
    main = [call for call in seen if call["agent"] == "main"]
    assert len(main) == (12 if agent.cli == "claude" else 11)
    assert {call["turn"] for call in seen} == {1}
    if agent.cli == "claude" and agent.numbers >= (2, 1):
        assert [call["attempts"] for call in main].count(3) == 1
    # What its own totals hold beside (side calls) or leave out (calls without streaming) is said, once; else nothing.
    remarks = [row["what"] for row in rows if row["type"] == "diagnostic" and row["what"] != UNTOLD]
    assert len(remarks) == (1 if agent.cli == "claude" and agent.numbers < (2, 1) else 0), remarks
    assert [row["text"] for row in rows if row["type"] == "answer"] == ["Counted: 3."]
    assert [row["tool"] for row in rows if row["type"] == "tool" and row["status"] == "completed"].count(
        "Bash" if agent.cli == "claude" else "shell"
    ) >= 20
    assert agent.log("count", "request")[0]["prompt_head"].strip() == PROMPT
    (history,) = agent.place.json("history", "--json")
    assert (history["mode"], history["reason"], history["exit"], history["turns"]) == ("exec", "success", 0, 1)
    assert history["usage"]["output_tokens"] == sum(call["output_tokens"] or 0 for call in seen)
    assert (history["meta"], history["calls"]) == ({"issue": 4}, len(seen))
    assert "Step 3." in agent.place.ok("logs", "--id", "count")


def test_sub_agents_of_codex_are_counted(agent: Agent) -> None:
    """The stream does not hold their calls: their rollouts do. What was captured says so, and with the rollouts it is whole."""
    if agent.cli != "codex" or agent.numbers < (0, 128):
        pytest.skip("the others name them in their own records, or have none")
    helper = {"text": "Somebody else.", "tools": [{"agent": {"prompt": "ZEBRA count", "description": "count"}}]}
    calls = [helper, {"text": "I wait.", "tools": [{"bash": "sleep 3"}]}, *(f"Counted: 3 ({n})." for n in range(3))]
    agents = {"ZEBRA": [{"text": "One.", "tools": [{"bash": "echo z"}]}, {"text": "It is 3."}]}
    command = start(agent, "sub", agent.place.script(*calls, agents=agents))
    give(command)
    _, err = command.communicate(timeout=90)
    assert command.returncode == 0, err
    seen = check_bill(agent, "sub")
    assert [call["agent"] == "main" for call in seen].count(False) == 2
    assert agent.events("sub", "diagnostic") == []
    run = agent.place.state / "runs" / agent.run_ids["sub"]
    stream = str(run / "evidence" / "stream.jsonl")
    alone = agent.place.json("usage", "--from", "codex", stream, "--json")
    assert "calls of 1 sub-agent are not in this stream" in alone["problems"][0]["difference"]
    whole = agent.place.json("usage", "--from", "codex", stream, str(run / "home"), "--json")
    assert whole["problems"] == []
    assert {c["call_id"]: [c[n] for n in TOKENS] for c in whole["calls"]} == {
        c["call_id"]: [c[n] for n in TOKENS] for c in seen
    }


@pytest.fixture
def at_work(agent: Agent, request: pytest.FixtureRequest) -> subprocess.Popen[str]:
    """A run in the middle of its third answer."""
    if request.node.callspec.params.get("how") == "interrupt" and not agent.newest:
        pytest.skip("for harnex it is what `stop` is")
    words = " ".join(f"word{n}" for n in range(400))
    command = start(agent, "work", agent.place.script(step(1), step(2), {"text": words, "pause": 0.2}))
    give(command)
    agent.place.until(lambda: agent.place.state.exists() and agent.place.json("status", "--json"), 20)
    agent.until_event("work", "call", count=2, agent="main")
    run_id_of(agent, "work")
    agent.place.until(lambda: len(agent.log("work", "request")) == 3, 20)
    stream = agent.place.state / "runs" / agent.run_ids["work"] / "evidence" / "stream.jsonl"
    if agent.cli == "claude":
        agent.place.until(lambda: stream.read_text().count('"message_start"') == 3, 20, "the start of the third call")
    return command


def test_killed_in_mid_answer(agent: Agent, at_work: subprocess.Popen[str]) -> None:
    record = agent.record("work")
    assert (record["state"], record["mode"], record["calls"] or 0) >= ("busy", "exec", 2)
    for process in agent.place.marked():  # the prompt is on nobody's command line, ours apart, which had it on stdin
        assert "SECRETPLAN" not in " ".join(process.cmdline())
    refused = agent.place.run("send", "--id", "work", "--message", "more", "--timeout", "5")
    assert (refused.returncode, json.loads(refused.stdout)["ok"]) == (1, False)
    psutil.Process(record["pid"]).kill()
    out, err = at_work.communicate(timeout=30)
    assert (at_work.returncode, out) == (1, "")
    assert "SIGKILL" in err
    rows = agent.check_ended("work")
    assert (rows[-1]["reason"], rows[-1]["signal"]) == ("killed", signal.SIGKILL)
    assert [row["outcome"] for row in rows if row["type"] == "turn_failed"] == ["failed"]
    calls = check_bill(agent, "work", cut_off=1)
    assert [call["output_tokens"] for call in calls if call["partial"] and call["agent"] == "main"] == [None]


@pytest.mark.parametrize("how", ["stop", "interrupt"])
def test_stopped(agent: Agent, at_work: subprocess.Popen[str], how: str) -> None:
    if how == "stop":
        assert agent.stop("work")["reason"] == "stopped"
    else:
        at_work.send_signal(signal.SIGINT)
    out, _ = at_work.communicate(timeout=30)
    assert (at_work.returncode, out) == (130, "")
    rows = agent.check_ended("work")
    assert rows[-1]["reason"] == "stopped"
    assert [row["outcome"] for row in rows if row["type"] == "turn_failed"] == ["interrupted"]
    assert agent.place.json("history", "--json")[0]["exit"] == 130
    check_bill(agent, "work", cut_off=1)


@pytest.mark.newest
def test_timeout(agent: Agent) -> None:
    script = agent.place.script({"hang": 60})
    done = agent.place.run("exec", agent.cli, "go", "--id", "slow", "--timeout", "3", "--rehearse", script, "--trust")
    assert (done.returncode, done.stdout) == (124, "")
    assert agent.check_ended("slow")[-1]["reason"] == "timeout"


FAILURES = {"claude": [("auth", "auth"), (529, "overloaded")], "codex": [("rate_limit", "rate_limit"), (500, None)]}


@pytest.mark.parametrize("nth", [0, 1])
def test_a_failure_has_its_reason_and_exit_code_1(agent: Agent, nth: int) -> None:
    if nth and not agent.newest:
        pytest.skip("one of them will do: the old ones are slow")
    error, reason = FAILURES[agent.cli][nth]
    script = agent.place.script({"error": error, "times": 99})
    words = ("--env", "CLAUDE_CODE_MAX_RETRIES=1") if agent.cli == "claude" else ()
    done = agent.place.run("exec", agent.cli, "go", "--id", "bad", "--quiet", "--rehearse", script, *words)
    assert (done.returncode, done.stdout) == (1, "")
    rows = agent.check_ended("bad")
    (failed,) = [row for row in rows if row["type"] == "turn_failed"]
    assert failed["outcome"] == "failed"
    assert reason is None or failed["reason"] == reason
    assert failed["message"] and failed["message"][:40] in done.stderr
    assert rows[-1]["reason"] == "failure"
    assert [row for row in rows if row["type"] in ("task_complete", "answer")] == []


@pytest.mark.newest
def test_an_answer_that_does_not_fit_is_asked_for_once_more(agent: Agent) -> None:
    place = agent.place
    (place.base / "schema.json").write_text(json.dumps(SCHEMA))
    bad, good = json.dumps({"name": "x", "count": 0}), json.dumps({"name": "ü", "count": 7})
    # Newer Claude Code asks the model itself, by a tool, before it gives in.
    tool = {"tools": [{"raw": {"name": "StructuredOutput", "input": json.loads(good)}}]}
    native = agent.cli == "claude" and agent.numbers >= (2, 1, 197)
    script = place.script(*([bad, bad, tool, "Done."] if native else [bad, good]))
    words = ("exec", agent.cli, "go", "--id", "shape", "--schema", str(place.base / "schema.json"))
    done = place.run(*words, "--quiet", "--permissions", "bypass", "--rehearse", script)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(good)
    rows = agent.check_ended("shape")
    (answer,) = [row for row in rows if row["type"] == "answer"]
    assert (answer["valid"], answer["data"], answer["errors"]) == (True, json.loads(good), [])
    rounds = [row["turn"] for row in rows if row["type"] == "task_complete"]
    if native and not agent.newest and rounds == [1]:
        return  # 2.1.197 may ask the model itself as often as it takes
    assert rounds == [1, 2]
    assert "minimum" in next(row["msg"] for row in rows if row["type"] == "send" and row["seq"] > 3)
    check_bill(agent, "shape")


@pytest.mark.newest
def test_detached_and_waited_for(agent: Agent) -> None:
    if not agent.newest:
        pytest.skip("nothing of the CLI is in it")
    script = agent.place.script(step(1), {"text": "The whole answer.", "first_byte": 1.0})
    reply = agent.place.json("exec", agent.cli, "go", "--detach", "--id", "bg", "--rehearse", script, "--trust")
    assert (reply["ok"], reply["mode"]) == (True, "exec")
    assert agent.place.json("wait", "--id", "bg", "--timeout", "30")["last_outcome"]["outcome"] == "completed"
    waited = agent.place.json("wait", "--id", "bg", "--until", "task_complete")  # it has ended: its record says so
    assert (waited["ok"], waited["state"]) == (True, "exited")
    agent.check_ended("bg")


@pytest.mark.newest
def test_whoever_reads_it_may_leave(agent: Agent) -> None:
    """`harnex exec ... --json | head -1`: the run goes on to its end, and the exit code is that of the run."""
    if not agent.newest:
        pytest.skip("nothing of the CLI is in it")
    script = agent.place.script(step(1), {"text": "The whole answer.", "first_byte": 1.0})
    command = start(agent, "pipe", script, "--json")
    give(command)
    assert command.stdout is not None
    assert json.loads(command.stdout.readline())["type"] == "started"
    os.close(os.dup(command.stdout.fileno()))
    command.stdout.close()
    assert command.wait(30) == 0
    assert agent.check_ended("pipe")[-1]["reason"] == "success"

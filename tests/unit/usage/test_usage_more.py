"""Durations, totals of the CLIs' own, bodies of old versions, and sums that are the same however they are made."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harnex import paths
from harnex.agents.claude.calls import COMPACTED
from harnex.agents.claude.reader import NO_TRANSCRIPT, ClaudeReader
from harnex.agents.claude.totals import Seen
from harnex.agents.codex.calls import Calls
from harnex.agents.codex.chat import CodexBodies
from harnex.agents.codex.rollout import Rollout
from harnex.model.facts import Fact, FindFile, ModelCall, Remark
from harnex.redaction.files import Scrub, withhold
from harnex.redaction.redactor import Redactor
from harnex.supervisor.evidence import Evidence
from harnex.usage import forks, logs
from harnex.usage import sums as usage
from harnex.usage.prices import Prices
from harnex.usage.sources import Files
from tests.unit.usage.test_usage import THREAD, count, read, rollout, said, turn, use, user, write


def spoke(call_id: str, block: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    """A row of an answer with this block, or these words."""
    row = said(call_id, **more)
    row["message"]["content"] = [{"type": "text", "text": block} if isinstance(block, str) else block]
    return row


CORPUS = Path(__file__).parents[2] / "corpus"


def at(seconds: float) -> str:
    return f"2026-11-21T12:00:{seconds:06.3f}Z"


# ---- Claude Code, live ----


def reader(version: tuple[int, ...] = (2, 1, 329)) -> ClaudeReader:
    found = ClaudeReader(version)
    list(found.spawned(7, {"HOME": "/h", "HARNEX_CLAUDE_HOOKS": "/e/hooks.jsonl"}, "/w"))
    start = {"hook_event_name": "SessionStart", "source": "startup", "session_id": "s", "transcript_path": "/h/s.jsonl"}
    list(found.row("hooks", start))
    return found


def facts(found: ClaudeReader, *rows: dict[str, Any]) -> list[Fact]:
    return [fact for row in rows for fact in found.row("transcript", row)]


def remarks(found: list[Fact]) -> list[str]:
    return [f.text for f in found if isinstance(f, Remark)]


def result(tool: str, **more: Any) -> dict[str, Any]:
    return user([{"type": "tool_result", "tool_use_id": tool, "content": "x"}], **more)


def test_who_interrupts_a_tool_interrupts_no_answer() -> None:
    use_tool = spoke("a", {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}, stop="tool_use")
    found = facts(reader(), use_tool, result("t"), user("[Request interrupted by user for tool use]"))
    assert remarks(found) == []
    found = facts(reader(), use_tool, result("t"), user("[Request interrupted by user]"))
    assert len(remarks(found)) == 1  # there the model had been asked


def test_a_compaction_is_told_and_own_totals_are_held_against_the_calls() -> None:
    live = reader()
    assert remarks(facts(live, {"type": "system", "subtype": "compact_boundary", "content": "x"})) == [COMPACTED]
    facts(live, spoke("a", "words", stop="end_turn"))
    model = spoke("a", "words")["message"]["model"]

    def end(extra: int) -> list[str]:
        used = spoke("a", "words")["message"]["usage"]
        own = {
            "inputTokens": used["input_tokens"] + extra,
            "outputTokens": used["output_tokens"],
            "cacheReadInputTokens": used.get("cache_read_input_tokens", 0),
            "cacheCreationInputTokens": used.get("cache_creation_input_tokens", 0),
        }
        titles = {"inputTokens": 5, "outputTokens": 5}
        facts(live, {"type": "cost-state", "modelUsage": {f"{model}[1m]": own, "a-small-one": titles}})
        return remarks(list(live.ended()))

    assert end(0) == []  # what another model did (titles) is in no record, and is no difference
    assert "own totals" in end(70)[0]


@pytest.mark.parametrize("counts_it", [True, False], ids=["2.1.329", "2.1.250"])
def test_own_totals_may_leave_out_what_was_interrupted(counts_it: bool) -> None:
    whole, cut, compaction = (ModelCall("a", "m", input_tokens=n, output_tokens=n) for n in (100, 20, 7))
    seen = Seen()
    seen.add(whole)
    seen.add(replace(cut, call_id="b", output_tokens=None, partial=True))

    def total(more: int) -> dict[str, dict[str, int]]:
        return {"m": {"input_tokens": 100 + 20 * counts_it + more, "output_tokens": 100 + more}}

    assert list(seen.differences(total(0))) == []
    words = "input 120 against 127" if counts_it else "input 100 against 107, output 100 against 107"
    assert list(seen.differences(total(compaction.input_tokens or 0))) == [f"m: {words}"]


def test_a_conversation_that_goes_on_has_totals_of_before() -> None:
    live = ClaudeReader((2, 1, 329))
    list(live.row("hooks", {"hook_event_name": "SessionStart", "source": "resume", "transcript_path": "/h/s.jsonl"}))
    facts(live, spoke("a", "words", stop="end_turn"))
    facts(live, {"type": "cost-state", "modelUsage": {spoke("a", "x")["message"]["model"]: {"inputTokens": 10**9}}})
    assert remarks(list(live.ended())) == []


def test_without_hooks_and_an_id_nothing_is_found_and_that_is_spoke() -> None:
    live = ClaudeReader((1, 0, 60))
    assert remarks(list(live.spawned(7, {"HOME": "/h"}, "/w"))) == [NO_TRANSCRIPT]


def test_sub_agents_of_2_0_30_are_looked_for_and_named_by_their_prompt() -> None:
    live = ClaudeReader((2, 0, 30))
    start = {"hook_event_name": "SessionStart", "session_id": "s", "transcript_path": "/h/[x]/s.jsonl"}
    finds = [f for f in live.row("hooks", start) if isinstance(f, FindFile)]
    assert [(f.paths, f.every) for f in finds] == [(("/h/[[]x]/agent-*.jsonl",), True)]
    task = {"type": "tool_use", "id": "t", "name": "Task", "input": {"prompt": "count", "subagent_type": "Explore"}}
    side = {"isSidechain": True, "agentId": "a1"}
    facts(live, spoke("m", task, stop="tool_use"), user("count", **side, sessionId="s"))
    found = facts(live, spoke("x", "words", stop="end_turn", **side, sessionId="s"))
    assert [f.agent for f in found if isinstance(f, ModelCall)] == ["Explore:a1"]
    assert facts(live, spoke("y", "words", stop="end_turn", **side, sessionId="another")) == []


def test_every_file_that_matches_is_followed_once_it_is_written(tmp_path: Path) -> None:
    class Told(ClaudeReader):
        def row(self, source: str, row: dict[str, Any]) -> list[Fact]:
            return [Remark(f"{source} {row['n']}")]

    live = Told(None)
    old = tmp_path / "agent-old.jsonl"
    old.write_text('{"n": 0}\n')
    os.utime(old, (1, 1))
    live.began = old.stat().st_ctime
    evidence = Evidence(live, list, 0.0)
    evidence.take(FindFile("subagent", paths=(f"{tmp_path}/agent-*.jsonl",), every=True))
    assert remarks(evidence.poll(0.0, force=True)) == []
    for n in (1, 2):
        (tmp_path / f"agent-{n}.jsonl").write_text(f'{{"n": {n}}}\n')
        assert remarks(evidence.poll(float(n), force=True)) == [f"subagent {n}"]


# ---- durations ----


@pytest.mark.parametrize("live", [True, False])
def test_how_long_a_call_of_claude_code_took(tmp_path: Path, live: bool) -> None:
    rows = (
        user("go", timestamp=at(1)),
        spoke("a", "one", stop="tool_use", timestamp=at(3)),
        spoke("a", {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}, stop="tool_use", timestamp=at(3.5)),
        spoke("a", {"type": "tool_use", "id": "t2", "name": "Bash", "input": {}}, stop="tool_use", timestamp=at(4)),
        result("t1", timestamp=at(5)),
        result("t2", timestamp=at(9)),
        spoke("b", "done", stop="end_turn", timestamp=at(10.25)),
        spoke("c", "by itself", stop="end_turn", timestamp=at(30)),
    )
    if live:
        found = reader()
        told = [f for f in [*facts(found, *rows), *found.ended()] if isinstance(f, ModelCall)]
    else:
        told = [logged.call for logged in read(write(tmp_path / "s.jsonl", *rows), "claude", full=True)[0]]
    # What nobody was seen to ask for has no start.
    assert [(c.call_id, c.duration_s) for c in told] == [("a", 3.0), ("b", 1.25), ("c", None)]


def item(name: str, seconds: float, **payload: Any) -> dict[str, Any]:
    return {"timestamp": at(seconds), "type": "response_item", "payload": {"type": name, **payload}}


def event(payload: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {"timestamp": at(seconds), "type": "event_msg", "payload": payload}


def head(version: str) -> dict[str, Any]:
    return {"timestamp": at(0), "type": "session_meta", "payload": {"id": THREAD, "cli_version": version}}


ORDERS = {
    "0.128.0": [  # counted before its tools ran
        event({"type": "task_started"}, 1), item("reasoning", 3), item("function_call", 4, call_id="c1"),
        event(count(use(1), use(1)), 4.1), item("function_call_output", 9, call_id="c1"),
        item("message", 11, role="assistant"), event(count(use(3), use(2)), 11.2),
    ],
    "0.145.0": [  # counted after them
        event({"type": "task_started"}, 1), item("reasoning", 3), item("function_call", 3.5, call_id="c1"),
        item("function_call_output", 3.7, call_id="c1"), item("function_call", 4, call_id="c2"),
        item("function_call_output", 9, call_id="c2"), event(count(use(1), use(1)), 9.1),
        item("message", 11, role="assistant"), event(count(use(3), use(2)), 11.2),
    ],
    "0.58.0": [  # counted, then written
        event({"type": "user_message"}, 1), event(count(use(1), use(1)), 4), item("reasoning", 8),
        item("function_call", 9, call_id="c1"), item("function_call_output", 9, call_id="c1"),
        item("function_call", 9, call_id="c2"), item("function_call_output", 9, call_id="c2"),
        event(count(use(3), use(2)), 11), item("message", 12, role="assistant"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("version", ORDERS)
def test_how_long_a_call_of_codex_took(tmp_path: Path, version: str) -> None:
    rows = [head(version), *ORDERS[version]]
    live = Rollout("rollout", late_items=version == "0.58.0")
    told = [f for row in rows for f in live.row(row) if isinstance(f, ModelCall)]
    assert [c.duration_s for c in told] == [pytest.approx(3, abs=0.001), pytest.approx(2, abs=0.001)]
    logged, _ = read(write(tmp_path / f"rollout-{THREAD}.jsonl", *rows), "codex", full=True)
    assert [x.call.duration_s for x in logged] == [c.duration_s for c in told]


def test_tools_that_were_killed_make_no_answer_longer() -> None:
    calls = Calls()
    for row in [*ORDERS["0.145.0"][:4], event({"type": "task_started"}, 20), item("reasoning", 22)]:
        calls.timed(row["type"], row["payload"]["type"], row["payload"], row["timestamp"])
    assert [c.duration_s for c in calls.tokens(count(use(1), use(1)), False, "main", at(23))] == [2.0]


# ---- streams that were captured ----


def test_a_streamed_answer_that_was_cut_off_is_no_whole_one(tmp_path: Path) -> None:
    init = {"type": "system", "subtype": "init", "session_id": "s", "claude_code_version": "2.0.30"}
    row = spoke("a", "half", stop=None)
    start = {"type": "stream_event", "session_id": "s", "event": {"type": "message_start", "message": row["message"]}}
    stream = {"type": "assistant", "session_id": "s", "message": row["message"]}
    end = {"type": "result", "session_id": "s", "usage": {"output_tokens": 0}}
    calls, _ = read(write(tmp_path / "x.jsonl", init, start, stream, end), "claude")
    assert [(x.call.partial, x.call.output_tokens, x.call.total_tokens) for x in calls] == [(True, None, None)]
    calls, _ = read(write(tmp_path / "y.jsonl", init, stream, end), "claude")  # without the pieces: rows are final
    assert [x.call.partial for x in calls] == [False]


def test_a_stream_says_what_it_does_not_tell(tmp_path: Path) -> None:
    begun = {"type": "thread.started", "thread_id": THREAD}
    rows = (begun, {"type": "turn.started"}, {"type": "turn.failed", "error": {"message": "429"}})
    _, report = read(write(tmp_path / "c.jsonl", *rows), "codex")
    assert "1 of 1 turns did not end well" in report.difference
    row = {"type": "assistant", "session_id": "s", "parent_tool_use_id": "t", "message": spoke("a", "x")["message"]}
    _, report = read(write(tmp_path / "d.jsonl", {"type": "system", "session_id": "s"}, row), "claude")
    assert "sub-agents" in report.difference


# ---- bodies ----


def test_bodies_of_codex_that_writes_items_after_the_count() -> None:
    bodies = CodexBodies()
    for row in (head("0.58.0"), item("message", 0, role="user", content="go"), *ORDERS["0.58.0"]):
        bodies.row(row)
    first, second = (bodies.answers[f"{THREAD}-{n}"].fields() for n in (1, 2))
    assert [len(first["response"]["tool_calls"]), first["message_count"], second["message_count"]] == [2, 1, 4]
    assert [*first["request"], first["response"]] == second["request"][:2]


# ---- sums ----


def corpus(folder: Path) -> None:
    """Rollouts: two threads, a copy of one (each call counts once), and one that is torn."""
    other = THREAD[:-1] + "e"
    for n, thread in enumerate((THREAD, other, THREAD)):
        rows = rollout(turn(thread), *(("event_msg", count(use(10 * k), use(10))) for k in range(1, 40)))
        rows[0]["payload"]["id"] = thread
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        (folder / f"rollout-{n}-{thread}.jsonl").write_text(text + '{"torn' * (n == 1))
        os.utime(folder / f"rollout-{n}-{thread}.jsonl", (1000 + n, 1000 + n))


@pytest.mark.parametrize("by", ["session", "day", "model", "repo"])
@pytest.mark.parametrize("processes", [1, 3])
def test_sums_are_those_of_the_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, processes: int) -> None:
    corpus(tmp_path)
    found = logs.find([str(tmp_path)], "codex").files
    prices = Prices()
    slow, groups = Files("codex", found), usage.Groups(by)
    for record in slow.records(full=True):
        groups.add({**record, "cost_usd": prices.cost(record)})
    monkeypatch.setattr("harnex.usage.sources.FORK_FROM", 0)
    monkeypatch.setattr(forks, "cores", lambda: processes)
    fast = Files("codex", found)
    sums = fast.sums(by, prices, None, None)
    assert sums.rows() == groups.rows()
    assert sums.total.fields() == groups.total.fields()
    assert groups.total.calls == 2 * 39
    assert fast.repeated == slow.repeated == 39
    assert fast.problems() == slow.problems() != []


@pytest.mark.parametrize("cli", ["claude", "codex"])
def test_rows_that_are_passed_over_hold_no_call(cli: str) -> None:
    """On what the real CLIs wrote: the quick way, which parses few rows, tells what the thorough one does."""
    files = [str(p) for p in (CORPUS / cli).rglob("*.jsonl")]
    assert len(files) > 10

    def calls(full: bool) -> list[tuple[Any, ...]]:
        names = ("call_id", "model", "source", "partial", "session", *usage.TOKENS)
        return [tuple(r[n] for n in names) for r in Files(cli, files).records(full)]

    assert calls(True) == calls(False) != []


def test_a_process_that_dies_loses_nothing() -> None:
    first = os.getpid()

    def work(n: int) -> int:
        if os.getpid() != first:
            os._exit(3)
        return n * n

    assert forks.spread(work, 20, 4, lambda: None) == [n * n for n in range(20)]
    assert forks.spread(lambda n: n, 20_000, 2, lambda: None) == list(range(20_000))  # more than a pipe holds


def test_rates_are_remembered_until_the_list_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("genai_prices")
    state = str(paths.private_dir(str(tmp_path / "state")))
    record = {
        "model": "gpt-5", "cli": "codex", "ts": at(0), "raw": None,
        "input_tokens": 1000, "output_tokens": 10, "cache_read_tokens": 500, "cache_write_tokens": None,
    }  # fmt: skip
    first = Prices(state)
    cost = first.cost(record)
    first.remember()
    again = Prices(state)
    monkeypatch.setattr(again, "_loaded", lambda: pytest.fail("the library is not needed"))
    assert (again.cost(record), again.version) == (cost, first.version)
    file = tmp_path / "state" / "cache" / "prices.json"
    for bad in (b"{", file.read_bytes().replace(b'"list":["', b'"list":["/elsewhere')):
        file.write_bytes(bad)
        assert Prices(state).cost(record) == cost


# ---- secrets that nobody knows any more ----


def test_what_hooks_wrote_is_withheld_where_its_secrets_are_not_known(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    row = {
        "hook_event_name": "PostToolUse", "tool_name": "Bash", "prompt": "go on", "session_id": "s-1",
        "tool_input": {"command": 'echo "$X"\n'}, "tool_response": {"stdout": "Zq7-vendorless", "list": ["also this"]},
    }  # fmt: skip
    path = evidence / "hooks.jsonl"
    path.write_text(json.dumps(row) + '\n{"torn Zq7-vendorless')
    size = path.stat().st_size
    withhold(str(tmp_path))
    text = path.read_text()
    assert ("Zq7" in text, "also" in text, "echo" in text, path.stat().st_size) == (False, False, False, size)
    kept = json.loads(text.splitlines()[0])
    assert {k: kept[k] for k in ("hook_event_name", "tool_name", "prompt", "session_id")} == {
        k: row[k] for k in ("hook_event_name", "tool_name", "prompt", "session_id")
    }


def test_names_of_secrets_in_what_a_run_was_started_from_stay(tmp_path: Path) -> None:
    start = json.dumps({"secrets": ["BUILD_TOKEN"], "options": {"env": {"BUILD_TOKEN": None}}})
    (tmp_path / "start.json").write_text(start)
    assert Scrub(str(tmp_path), Redactor([])).finish(10)
    assert (tmp_path / "start.json").read_text() == start

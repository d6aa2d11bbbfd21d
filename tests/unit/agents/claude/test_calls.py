"""claude/calls.py: a number that is told is right, and what is unknown is null.

Rows are shaped as Claude Code wrote them to the rehearsal endpoint, and as public transcripts and captures have them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harnex.agents.claude.calls import UNRECORDED, UNTOLD, uncounted
from harnex.agents.claude.reader import ClaudeReader
from harnex.model.facts import Fact, ModelCall, Remark
from harnex.usage import sums as usage
from tests.unit.agents._rows import at, said, spoke, user, write
from tests.unit.agents.claude._bench import reader
from tests.unit.agents.claude._tokens import EARLY, facts, files, request, told

TOOL = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}


def calls(found: list[Fact]) -> list[tuple[str, int | None, bool]]:
    return [(f.call_id, f.output_tokens, f.partial) for f in found if isinstance(f, ModelCall)]


# ---- no stop reason: no output ----


@pytest.mark.parametrize("version", ["1.0.51", "1.0.128", "2.0.77", "2.1.30", "2.1.80", "2.1.329", ""])
@pytest.mark.parametrize("full", [True, False])
def test_without_a_stop_reason_the_output_is_unknown_in_every_version(tmp_path: Path, version: str, full: bool) -> None:
    rows = (
        user("go"),
        said("a", version=version, **EARLY),
        spoke("a", TOOL, version=version, **EARLY),
        user([{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]),
        said("b", out=12, version=version),
    )
    found, source = files(write(tmp_path / "s.jsonl", *rows), full)
    assert [(r["call_id"], r["input_tokens"], r["output_tokens"], r["total_tokens"], r["partial"]) for r in found] == [
        ("a", 7, None, None, False),
        ("b", 7, 12, 19, False),
    ]
    assert source.problems() == []
    live = ClaudeReader(tuple(map(int, version.split("."))) if version else None)
    told = [*facts(live, *rows), *live.ended()]
    assert calls(told) == [("a", None, False), ("b", 12, False)]
    assert [f.text for f in told if isinstance(f, Remark)] == [UNTOLD]


def test_a_later_row_with_a_stop_reason_tells_it(tmp_path: Path) -> None:
    rows = (said("a", **EARLY), spoke("a", TOOL, stop="tool_use", out=40), said("b", **EARLY), said("b", out=9))
    assert [r["output_tokens"] for r in files(write(tmp_path / "s.jsonl", *rows))[0]] == [40, 9]
    # 2.0 writes rows of a call behind the result of its first tool, and those may be older than the usage.
    rows = (spoke("a", TOOL, stop="tool_use", out=40), said("a", **EARLY))
    assert [r["output_tokens"] for r in files(write(tmp_path / "t.jsonl", *rows))[0]] == [40]


def test_a_placeholder_with_a_stop_reason_is_one_all_the_same(tmp_path: Path) -> None:
    """A gateway that sends the stop reason without a usage: 3 tokens for 50 words."""
    long = spoke("a", "word " * 50, out=3)
    short = spoke("b", "Done.", out=1)
    silent = spoke("c", "Done.", out=0)
    found, _ = files(write(tmp_path / "s.jsonl", long, short, silent))
    assert [r["output_tokens"] for r in found] == [None, 1, None]


def test_an_input_of_nothing_is_unknown(tmp_path: Path) -> None:
    """Some gateways tell the input at the end only: rows that were written before have zeros."""
    row = said("a", **EARLY)
    row["message"]["usage"] = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
    bare = said("b")
    del bare["message"]["usage"]
    found, _ = files(write(tmp_path / "s.jsonl", row, bare))
    assert [(r["call_id"], [r[n] for n in usage.TOKENS]) for r in found] == [("a", [None] * 6), ("b", [None] * 6)]


def test_reasoning_of_nothing_is_unknown_for_who_thought(tmp_path: Path) -> None:
    """2.1.329 writes a 0 where the provider tells no details."""
    rows = []
    for call_id, kind in (("a", "thinking"), ("b", "text")):
        row = said(call_id)
        row["message"]["content"].insert(0, {"type": kind, kind: "hm"})
        row["message"]["usage"]["output_tokens_details"] = {"thinking_tokens": 0}
        rows.append(row)
    assert [r["reasoning_tokens"] for r in files(write(tmp_path / "s.jsonl", *rows))[0]] == [None, 0]


def test_the_last_row_may_come_behind_the_hook_of_the_stop() -> None:
    """2.1.80: Stop is heard before the last row is written; the call is told with that one's numbers."""
    live = reader((2, 1, 80))
    stop = {"hook_event_name": "Stop", "session_id": "s", "last_assistant_message": "words"}
    summary = {"type": "system", "subtype": "stop_hook_summary"}
    thought = said("a", **EARLY)
    assert calls([*facts(live, user("go"), thought), *live.row("hooks", stop)]) == []
    assert calls(facts(live, said("a", out=50), summary)) == [("a", 50, False)]
    # Where the final numbers never come, the row of the end gives it out.
    assert calls([*facts(live, said("b", **EARLY)), *live.row("hooks", stop)]) == []
    assert calls(facts(live, summary)) == [("b", None, False)]
    assert calls(list(live.ended())) == []


def test_who_was_done_was_not_cut_off() -> None:
    live = reader((2, 0, 77))
    side = {"isSidechain": True, "agentId": "a1", "sessionId": "s"}
    hook = {"agent_id": "a1", "agent_type": "Explore", "transcript_path": "/h/s.jsonl", "session_id": "s"}
    list(live.row("hooks", {"hook_event_name": "SubagentStart", **hook}))
    facts(live, said("x", **EARLY, **side), said("y", **EARLY))
    list(live.row("hooks", {"hook_event_name": "SubagentStop", **hook}))
    assert calls(list(live.ended())) == [("x", None, False), ("y", None, True)]


def test_a_call_of_which_only_its_tools_were_heard_is_missing_and_that_is_said() -> None:
    """2.1.329, killed before it wrote the call down: the hooks of its tools are all that is left of it."""
    live = reader((2, 1, 329))
    hook = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "session_id": "s"}
    facts(live, user("go"), said("a", "tool_use", "tool_use"))
    list(live.row("hooks", {**hook, "tool_use_id": "t-a"}))  # its row was first
    list(live.row("hooks", {**hook, "tool_use_id": "t2"}))
    list(live.row("hooks", {**hook, "tool_use_id": "t3", "agent_id": "a1"}))  # a sub-agent's: its file may not be read
    remarks = [f.text for f in live.ended() if isinstance(f, Remark)]
    assert len(remarks) == 1 and "written down 1 tool call that it made" in remarks[0]
    live = reader((2, 1, 329))
    list(live.row("hooks", {**hook, "tool_use_id": "t-a"}))
    facts(live, user("go"), said("a", "tool_use", "tool_use"))
    assert [f for f in live.ended() if isinstance(f, Remark)] == []


# ---- rows without ids ----


def nameless(uuid: str | None, parent: str | None = None, **more: Any) -> dict[str, Any]:
    row = said("x", **more)
    del row["message"]["id"]
    return {**row, "uuid": uuid, "parentUuid": parent}


@pytest.mark.parametrize("full", [True, False])
def test_rows_without_a_message_id_are_counted_by_request_or_by_themselves(tmp_path: Path, full: bool) -> None:
    rows = (
        user("go", uuid="1"),
        nameless("2", "1", requestId="req_1", **EARLY),
        nameless("3", "2", requestId="req_1", out=40, stop="tool_use"),
        user([{"type": "tool_result", "tool_use_id": "t1", "content": "x"}], uuid="4"),
        nameless("5", "4", **EARLY),
        nameless("6", "5", out=12),  # the next block of the same answer
        user("again", uuid="7"),
        nameless("8", "7", out=12),
    )
    found, source = files(write(tmp_path / "s.jsonl", *rows), full)
    assert [(r["call_id"], r["output_tokens"]) for r in found] == [("req_1", 40), ("5", 12), ("8", 12)]
    assert source.problems() == []
    live = reader()
    assert calls([*facts(live, *rows), *live.ended()]) == [("req_1", 40, False), ("5", 12, False), ("8", 12, False)]


def test_rows_that_no_id_tells_apart_are_said_to_be_left_out(tmp_path: Path) -> None:
    rows = (nameless(None), nameless(None), said("a"))
    found, source = files(write(tmp_path / "s.jsonl", *rows))
    assert [r["call_id"] for r in found] == ["a"]
    assert [p["difference"] for p in source.problems()] == [uncounted(2)]
    assert "2 records with usage are not counted" in uncounted(2)
    live = reader()
    facts(live, *rows)
    assert [f.text for f in live.ended() if isinstance(f, Remark)] == [uncounted(2)]


# ---- interrupted before the first token ----


def test_a_request_without_an_answer_is_said_and_is_no_attempt_of_the_next_call() -> None:
    """2.1.329 leaves no row of such an interruption, and may write the next prompt behind its request."""
    live = reader()
    rows = (
        user("one", uuid="u1", timestamp=at(1)),
        request("r1", 2),
        request("r2", 12.1),
        user("two", uuid="u2", timestamp=at(12)),
        said("a", timestamp=at(13), requestRef="r2"),
    )
    found = facts(live, *rows)
    assert told(found) == [("words", UNRECORDED), ("call", "a")]
    assert [f.attempts for f in found if isinstance(f, ModelCall)] == [1]
    again = (request("r3", 20), request("r4", 25), said("b", timestamp=at(26), requestRef="r4"))
    found = facts(live, user("three", uuid="u3", timestamp=at(19)), *again)
    assert [f.attempts for f in found if isinstance(f, ModelCall)] == [2]

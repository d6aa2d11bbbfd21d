"""claude/reader.py: what hooks, the transcript and the title say of turns, tools and calls."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.claude.adapter import ADAPTER
from harnex.agents.claude.calls import COMPACTED
from harnex.agents.claude.reader import NO_TRANSCRIPT, ClaudeReader
from harnex.model.facts import (
    AgentSession,
    Fact,
    FindFile,
    Follow,
    ModelCall,
    Observation,
    Remark,
    Retracted,
    State,
    Submitted,
    ToolUse,
    TurnEnded,
)
from harnex.supervisor.evidence import Evidence
from tests.unit.agents._rows import at, read, spoke, user, write
from tests.unit.agents.claude._bench import V2, V3, V4, VERSIONS, case, number, reader

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "claude"


def rows(version: str, name: str) -> list[dict[str, Any]]:
    path = CORPUS / version / "records" / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def fed(version: str, source: str, name: str, reader: ClaudeReader | None = None) -> list[Fact]:
    reader = reader or ADAPTER.reader(number(version))
    return [fact for row in rows(version, name) for fact in reader.row(source, row)]


# -- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_billed_call_once_with_its_numbers(version: str) -> None:
    reader = ADAPTER.reader(number(version))
    facts = fed(version, "subagent", "subagents", reader) + fed(version, "transcript", "transcript", reader)
    calls = [f for f in facts if isinstance(f, ModelCall)]
    billed = json.loads((CORPUS / version / "records" / "billed.json").read_text())
    assert sorted(c.call_id for c in calls) == sorted(billed)
    for call in calls:
        usage = billed[call.call_id]
        fresh, read, written = (
            usage[k] for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        )
        assert call.input_tokens == fresh + read + written
        assert (call.cache_read_tokens, call.cache_write_tokens) == (read, written)
        if call.stop_reason is None:
            assert call.output_tokens is None  # cut off, or recorded too early: what was billed is not known, and not 1
        else:
            assert call.output_tokens == usage["output_tokens"]
            assert call.total_tokens == fresh + read + written + usage["output_tokens"]
    assert sum(c.partial for c in calls) == (1 if version == "2.1.329" else 0)
    assert sum(c.output_tokens is None for c in calls) <= 2


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_read_twice_count_once(version: str) -> None:
    reader = ADAPTER.reader(number(version))
    first = [f for f in fed(version, "transcript", "transcript", reader) if isinstance(f, ModelCall)]
    again = [f for f in fed(version, "transcript", "transcript", reader) if isinstance(f, ModelCall)]
    assert first
    assert again == []


def test_a_partial_number_of_an_early_row_is_not_counted() -> None:
    reader = ADAPTER.reader(V3)

    def row(kind: str, block: dict[str, Any], out: int, stop: str | None) -> dict[str, Any]:
        message = {"id": "msg_1", "model": "m", "content": [block], "stop_reason": stop}
        message["usage"] = {"input_tokens": 3, "output_tokens": out}
        return {"type": kind, "message": message}

    got = list(reader.row("transcript", row("assistant", {"type": "text", "text": "hm"}, 1, None)))
    got += reader.row("transcript", row("assistant", {"type": "tool_use", "id": "t", "name": "Bash"}, 40, "tool_use"))
    assert not [f for f in got if isinstance(f, ModelCall)]
    result = {"type": "tool_result", "tool_use_id": "t", "content": "x"}
    got = list(reader.row("transcript", {"type": "user", "message": {"content": [result]}}))
    (call,) = [f for f in got if isinstance(f, ModelCall)]
    assert (call.input_tokens, call.output_tokens, call.cache_read_tokens, call.partial) == (3, 40, None, False)


@pytest.mark.parametrize("version", ["1.0.128", "2.0.77"])
def test_old_turns_end_with_the_row_of_the_stop_hook(version: str) -> None:
    """Their Stop carries no message, and fires after an API error as well: the failure must come first."""
    ends = [f for f in fed(version, "transcript", "transcript") if isinstance(f, TurnEnded)]
    assert ends[0].outcome == "completed"
    assert ends[0].last_message.startswith("one two three")
    assert "interrupted" in [e.outcome for e in ends]
    failed = next(n for n, e in enumerate(ends) if e.outcome == "failed")
    assert "404" in ends[failed].detail
    assert (ends[failed + 1].outcome, ends[failed + 1].turn_key) == ("completed", ends[failed].turn_key)
    assert not [f for f in fed(version, "hooks", "hooks") if isinstance(f, TurnEnded)]


@pytest.mark.parametrize("version", ["2.1.197", "2.1.329"])
def test_new_turns_end_with_their_hooks(version: str) -> None:
    ends = [f for f in fed(version, "hooks", "hooks") if isinstance(f, TurnEnded)]
    assert [e.outcome for e in ends] == ["completed", "completed", "completed", "failed"]
    assert [e.last_message for e in ends[1:3]] == ["done", "picked"]
    assert len({e.turn_key for e in ends}) == 4
    rows_ = [f for f in fed(version, "transcript", "transcript") if isinstance(f, TurnEnded)]
    assert [e.outcome for e in rows_] == ["interrupted", "interrupted", "failed"]


@pytest.mark.parametrize("version", VERSIONS)
def test_hooks_tell_prompts_session_and_transcript(version: str) -> None:
    facts = fed(version, "hooks", "hooks")
    (session,) = [f for f in facts if isinstance(f, AgentSession)]
    (transcript,) = [f for f in facts if isinstance(f, Follow) and f.source == "transcript"]
    assert transcript.path.endswith(f"/{session.session_id}.jsonl")
    assert not transcript.from_end
    prompts = [f.text for f in facts if isinstance(f, Submitted)]
    assert prompts[0].startswith("say hi SCRIPT:")
    assert len(prompts) == sum(r["hook_event_name"] == "UserPromptSubmit" for r in rows(version, "hooks"))


@pytest.mark.parametrize("version", ["2.0.77", "2.1.197", "2.1.329"])
def test_hooks_tell_tools_and_dialogs(version: str) -> None:
    facts = fed(version, "hooks", "hooks")
    dialogs = [f.dialog for f in facts if isinstance(f, Observation) and f.state is State.BLOCKED]
    assert dialogs.count("question") == 1
    assert dialogs.count("permission") >= 2
    tools = [f for f in facts if isinstance(f, ToolUse)]
    assert ("Write", "completed") in [(t.tool, t.status) for t in tools]
    assert len({t.call_id for t in tools if t.status == "started"}) == sum(t.status == "started" for t in tools)


def test_tools_of_the_oldest_come_from_the_transcript() -> None:
    tools = [f for f in fed("1.0.128", "transcript", "transcript") if isinstance(f, ToolUse)]
    assert [(t.tool, t.status) for t in tools[:2]] == [("Bash", "started"), ("Bash", "failed")]
    assert not [f for f in fed("1.0.128", "hooks", "hooks") if isinstance(f, ToolUse)]


@pytest.mark.parametrize("version", VERSIONS)
def test_hooks_do_not_hold_busy_past_the_end_of_a_turn(version: str) -> None:
    reader = ADAPTER.reader(number(version))
    held = False
    for source, name in (("hooks", "hooks"), ("transcript", "transcript")):
        for fact in fed(version, source, name, reader):
            if isinstance(fact, (Observation, Retracted)) and fact.source == "hooks":
                held = isinstance(fact, Observation)
    assert not held


def test_an_interrupt_row_takes_back_what_the_hooks_said() -> None:
    reader = ADAPTER.reader(V2)
    facts = list(reader.row("hooks", {"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "x"}))
    assert [f.state for f in facts if isinstance(f, Observation)] == [State.BUSY]
    row = {"type": "user", "message": {"content": [{"type": "text", "text": "[Request interrupted by user]"}]}}
    facts = list(reader.row("transcript", row))
    assert Retracted("hooks") in facts
    assert [f.outcome for f in facts if isinstance(f, TurnEnded)] == ["interrupted"]


def test_hooks_keep_quiet_once_the_session_file_speaks() -> None:
    reader = ADAPTER.reader(V4)
    list(reader.spawned(42, {"HOME": "/h"}, "/repo"))
    list(reader.document("session", {"pid": 42, "status": "idle"}))
    facts = list(reader.row("hooks", {"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "x"}))
    assert not [f for f in facts if isinstance(f, Observation)]
    assert Submitted("hooks", "x") in facts


def test_background_agents_keep_a_turn_open() -> None:
    reader = ADAPTER.reader(V4)
    row = {"hook_event_name": "Stop", "session_id": "s", "last_assistant_message": "started", "background_tasks": []}
    agent = {"id": "a", "type": "subagent", "status": "running"}
    shell = {"id": "b", "type": "shell", "status": "running"}
    flow = {"id": "c", "type": "workflow", "status": "running"}
    for tasks, pending in (
        ([], False),
        ([shell], False),
        ([agent], True),
        ([shell, flow], True),
        ([{**agent, "status": "completed"}], False),
    ):
        (end,) = [f for f in reader.row("hooks", {**row, "background_tasks": tasks}) if isinstance(f, TurnEnded)]
        assert end.pending is pending


# -- session file, title, OSC --------------------------------------------------------------------


def test_title_at_rest_counts_only_after_it_was_seen_to_spin() -> None:
    reader = ADAPTER.reader(None)
    assert list(reader.osc(0, "✳ A topic that 2.0 sets once")) == []
    assert [f.state for f in reader.osc(0, "◐ x") if isinstance(f, Observation)] == [State.BUSY]
    assert [f.state for f in reader.osc(0, "✳ x") if isinstance(f, Observation)] == [State.PROMPT]
    assert list(reader.osc(0, "")) == [Retracted("title")]


# -- typing and stopping -------------------------------------------------------------------------


def test_a_mute_stop_is_known_by_itself_when_the_version_is_not() -> None:
    reader = ADAPTER.reader(None)
    fed("1.0.128", "hooks", "hooks", reader)
    ends = [f for f in fed("1.0.128", "transcript", "transcript", reader) if isinstance(f, TurnEnded)]
    assert [e.outcome for e in ends][:2] == ["completed", "interrupted"]


# -- what other versions showed --------------------------------------------------------------------


def test_rows_that_were_written_before_the_end_was_known() -> None:
    """2.1.20 never says a stop reason, and repeats the output of the call's start: it is not known."""
    usage = {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 2, "output_tokens": 1}
    content = [{"type": "text", "text": "Hello."}]
    message = {"id": "m1", "model": "x", "content": content, "stop_reason": None, "usage": usage}
    reader = ADAPTER.reader((2, 1, 20))
    list(reader.row("transcript", {"type": "assistant", "message": message}))
    (call,) = [f for f in reader.ended() if isinstance(f, ModelCall)]
    assert (call.input_tokens, call.output_tokens, call.total_tokens) == (15, None, None)


def test_a_prompt_that_left_no_word_was_interrupted() -> None:
    """2.1.120, Esc before the first token: the prompt is gone from the screen, and nothing was written."""
    reader = ADAPTER.reader((2, 1, 120))
    box = case("2.1.197", "idle")
    list(reader.row("hooks", {"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "go"}))
    end = reader.outcome(box)
    assert end is not None
    assert end.outcome == "interrupted"
    list(reader.row("hooks", {"hook_event_name": "Stop", "last_assistant_message": "x"}))
    assert reader.outcome(box) is None


def test_the_tool_that_waits_names_the_dialog() -> None:
    reader = ADAPTER.reader((2, 1, 120))

    def dialog(waiting: str) -> str:
        (fact,) = [
            f
            for f in reader.document("session", {"status": "waiting", "waitingFor": waiting})
            if isinstance(f, Observation)
        ]
        return fact.dialog

    assert dialog("approve Bash") == "permission"
    assert dialog("approve ExitPlanMode") == "plan"
    assert dialog("dialog open") == "other"
    list(reader.row("hooks", {"hook_event_name": "PreToolUse", "tool_name": "ExitPlanMode", "tool_use_id": "t"}))
    assert dialog("permission prompt") == "plan"


def test_a_stop_without_a_row_behind_it() -> None:
    """2.0.30: Stop says nothing, and no row follows it; the call's last row may be read before or after it."""
    usage = {"input_tokens": 3, "output_tokens": 9}
    content = [{"type": "text", "text": "Hello."}]
    message = {"id": "m1", "model": "x", "content": content, "stop_reason": None, "usage": usage}
    answer = ("transcript", {"type": "assistant", "message": message})
    stop = ("hooks", {"hook_event_name": "Stop", "session_id": "s"})
    for rows_ in ((answer, stop), (stop, answer)):
        reader = ADAPTER.reader((2, 0, 30))
        list(reader.row("hooks", {"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": "go"}))
        facts = [fact for source, row in rows_ for fact in reader.row(source, row)]
        assert [(f.call_id, f.output_tokens) for f in facts if isinstance(f, ModelCall)] == [("m1", None)]
        assert not any(isinstance(f, TurnEnded) for f in facts)
        end = reader.outcome(case("2.0.77", "idle"))
        assert end is not None
        assert (end.outcome, end.last_message) == ("completed", "Hello.")


# ---- Claude Code, live ----


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

"""Claude Code without its hooks: its transcript is looked for by the conversation's id, and follows what the id becomes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from harnex import times
from harnex.agents.claude import places as places
from harnex.agents.claude.adapter import ADAPTER
from harnex.agents.claude.reader import HOOKS_GONE, NO_HOOKS, ClaudeReader
from harnex.agents.claude.stream import ClaudeStream
from harnex.model.facts import AgentSession, Fact, FindFile, Follow, ModelCall, Remark, Submitted, TurnEnded
from tests.unit.agents.claude._bench import case, request

ID, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
HOOKS = "/run/hooks.jsonl"
BEGAN = 1_795_000_000.0


def started(version: tuple[int, ...] = (2, 1, 329), hooks: bool = True, **env: str) -> ClaudeReader:
    """A reader of a process that was told which conversation it begins."""
    reader = ClaudeReader(version)
    reader.began = BEGAN
    given = {"HOME": "/h", places.BEGINS: ID, **({places.HOOKS: HOOKS} if hooks else {}), **env}
    list(reader.spawned(7, given, "/w"))
    return reader


def sought(facts: Iterable[Fact]) -> list[str]:
    """The conversations that are looked for."""
    return [f.paths[0].rpartition("/")[2] for f in facts if isinstance(f, FindFile) and f.source == "transcript"]


def stamp(seconds: float) -> str:

    return times.iso(BEGAN + seconds)


def hook(event: str, **more: Any) -> dict[str, Any]:
    path = f"/h/.claude/projects/-w/{ID}.jsonl"
    return {"hook_event_name": event, "session_id": ID, "transcript_path": path, **more}


def user(text: str, at: float) -> dict[str, Any]:
    message = {"role": "user", "content": text}
    return {"type": "user", "message": message, "uuid": f"u{at}", "timestamp": stamp(at), "sessionId": ID}


def says(text: str, at: float) -> dict[str, Any]:
    usage = {"input_tokens": 5, "output_tokens": 3}
    content = [{"type": "text", "text": text}]
    message = {"id": f"m{at}", "model": "m", "content": content, "stop_reason": "end_turn", "usage": usage}
    return {"type": "assistant", "message": message, "uuid": f"a{at}", "timestamp": stamp(at), "sessionId": ID}


def of(kind: type, facts: Iterable[Fact]) -> list[Any]:
    return [f for f in facts if isinstance(f, kind)]


# ---- when it is looked for ----


def test_a_transcript_that_no_hook_names_is_looked_for_once_a_message_is_sent() -> None:
    reader = started()
    assert sought(reader.submitted()) == [f"{ID}.jsonl"]
    assert sought(reader.submitted()) == []


def test_hooks_that_speak_need_no_search() -> None:
    reader = started()
    list(reader.row("hooks", hook("SessionStart")))
    assert sought(reader.submitted()) == [] and sought(reader.screen(case("2.1.329", "busy-streaming"))) == []


def test_work_that_a_person_asked_for_in_the_terminal_is_looked_for_too() -> None:
    assert sought(started().screen(case("2.1.329", "busy-streaming"))) == [f"{ID}.jsonl"]


@pytest.mark.parametrize(
    ("args", "version", "env"),
    [
        ((), (2, 1, 329), {places.BEGINS: request().new_session_id}),
        (("--session-id", OTHER), (2, 1, 329), {places.BEGINS: OTHER}),
        (("--resume", OTHER), (2, 0, 77), {places.RESUMES: OTHER}),
        (("-r", OTHER), (2, 1, 329), {places.RESUMES: OTHER}),
        (("--resume", OTHER), (1, 0, 60), {}),  # it begins another file
        (("--resume", OTHER, "--fork-session"), (2, 1, 329), {}),
        (("--resume", "some words"), (2, 1, 329), {}),
        (("--continue",), (2, 1, 329), {}),
    ],
)
def test_the_conversation_that_a_start_names(args: tuple[str, ...], version: Any, env: dict[str, str]) -> None:
    launch = ADAPTER.launch(request(args=args, version=version))
    told = {k: v for k, v in launch.env.items() if k in (places.BEGINS, places.RESUMES)}
    assert told == env


def test_what_an_outer_session_was_told_is_not_passed_on() -> None:
    outer = dict.fromkeys(places.OURS, "/outer")
    launch = ADAPTER.launch(request(env={"HOME": "/h", **outer}, version=(1, 0, 60), args=("--continue",)))
    assert {name: launch.env[name] for name in places.OURS} == dict.fromkeys(places.OURS)


def test_rows_of_before_are_of_the_past_in_a_conversation_that_goes_on() -> None:
    (begun,) = of(FindFile, started().submitted())
    assert begun.since == 0.0
    reader = ClaudeReader((2, 1, 329))
    reader.began, reader.resumes = BEGAN, ID
    list(reader.spawned(7, {"HOME": "/h", places.BEGINS: ID, places.HOOKS: HOOKS}, "/w"))
    (resumed,) = of(FindFile, reader.submitted())
    assert resumed.since == BEGAN


def test_a_conversation_that_begins_anew_is_followed_where_the_session_file_names_it() -> None:
    """`/clear`, and what `--continue` goes on with."""
    reader = started()
    list(reader.submitted())
    facts = list(reader.document("session", {"pid": 7, "sessionId": OTHER, "status": "idle"}))
    assert sought(facts) == [f"{OTHER}.jsonl"] and AgentSession(OTHER) in facts
    continued = started(**{places.BEGINS: ""})
    list(continued.document("session", {"pid": 7, "sessionId": OTHER, "status": "idle"}))
    assert sought(continued.submitted()) == [f"{OTHER}.jsonl"]


# ---- where ----


def test_every_folder_of_every_configuration_directory_is_looked_in() -> None:
    (wanted,) = of(FindFile, started(**{places.CONFIG: "/c [1]", places.SETTINGS: "/s:/t"}).submitted())
    assert wanted.paths == (
        f"/c [[]1]/projects/*/{ID}.jsonl",
        f"/s/projects/*/{ID}.jsonl",
        f"/t/projects/*/{ID}.jsonl",
        f"$CLAUDE_CONFIG_DIR/projects/*/{ID}.jsonl",
        f"$HOME/.claude/projects/*/{ID}.jsonl",
    )


def test_the_directory_that_settings_name_is_known_from_the_start() -> None:
    files = {
        "/home/u/.claude/settings.json": {"env": {places.CONFIG: "/user"}},
        "/w/.claude/settings.local.json": {"env": {places.CONFIG: "/local", "X": 1}},
        "/w/.claude/settings.json": {"env": "none"},
        places.MANAGED: {"env": {places.CONFIG: "relative"}},
    }

    def read(path: str) -> str | None:
        return json.dumps(files[path]) if path in files else None

    given = replace(request(), env={"HOME": "/home/u"}, cwd="/w", read_text=read)
    own = replace(given, args=("--settings", json.dumps({"env": {places.CONFIG: "/own"}})))
    assert ADAPTER.launch(given).env[places.SETTINGS] == "/user:/local"
    assert ADAPTER.launch(own).env[places.SETTINGS] == "/own:/user:/local"


@pytest.mark.parametrize(
    ("version", "folder"), [((2, 1, 329), f"/p/-w/{ID}/subagents"), ((2, 0, 77), "/p/-w")], ids=["2.1", "2.0"]
)
def test_sub_agents_are_looked_for_beside_the_transcript(version: tuple[int, ...], folder: str) -> None:
    reader = started(version)
    list(reader.submitted())
    facts = list(reader.found("transcript", f"/p/-w/{ID}.jsonl"))
    (wanted,) = of(FindFile, facts)
    assert (wanted.paths, wanted.every, wanted.source) == ((f"{folder}/agent-*.jsonl",), True, "subagent")
    assert of(AgentSession, facts) == [AgentSession(ID)]


def test_a_hook_that_comes_late_names_the_same_file_once() -> None:
    reader = started()
    list(reader.submitted())
    path = hook("SessionStart")["transcript_path"]
    list(reader.found("transcript", path))
    assert of(Follow, reader.row("hooks", hook("SessionStart"))) == []


def test_a_headless_run_looks_for_the_conversation_that_its_stream_names() -> None:
    reader = ClaudeStream((2, 1, 329))
    assert of(FindFile, reader.spawned(7, {"HOME": "/h", places.BEGINS: ID, places.HOOKS: HOOKS}, "/w")) == []
    assert sought(reader.row("stream", {"type": "system", "subtype": "init", "session_id": OTHER})) == [
        f"{OTHER}.jsonl"
    ]
    (agents,) = of(FindFile, reader.found("transcript", f"/p/-w/{OTHER}.jsonl"))
    assert agents.source == "subagent"


# ---- what it tells ----


def test_without_hooks_the_transcript_tells_prompts_calls_and_the_last_words() -> None:
    reader = started()
    list(reader.submitted())
    facts = [*reader.row("transcript", user("do it", 1)), *reader.row("transcript", says("It is done.", 2))]
    assert of(Submitted, facts) == [Submitted("transcript", "do it")]
    assert [c.total_tokens for c in of(ModelCall, facts)] == [8]
    end = reader.outcome(case("2.1.329", "idle"))
    assert isinstance(end, TurnEnded) and (end.outcome, end.last_message) == ("completed", "It is done.")
    assert reader.recorded() == 2


def test_an_answer_that_is_read_before_its_prompt_is_kept() -> None:
    """2.1.197 writes the first rows of a file in another order."""
    reader = started()
    list(reader.row("transcript", says("It is done.", 2)))
    list(reader.row("transcript", user("do it", 1)))
    end = reader.outcome(case("2.1.329", "idle"))
    assert end is not None and end.last_message == "It is done."


def test_missing_hooks_are_told_once_a_turn_ran_and_once() -> None:
    reader = started()
    busy, idle = case("2.1.329", "busy-streaming"), case("2.1.329", "idle")
    told = [of(Remark, reader.screen(view)) for view in (idle, busy, idle, busy, idle)]
    assert told == [[], [], [Remark(NO_HOOKS)], [], []]
    heard = started()
    list(heard.row("hooks", hook("SessionStart")))
    assert [of(Remark, heard.screen(view)) for view in (idle, busy, idle)] == [[], [], []]


def test_hooks_that_are_switched_off_later_are_not_waited_for() -> None:
    """The agent writes a settings file, or a person switches them off in `/hooks`."""
    reader = started()
    rows: list[tuple[str, dict[str, Any]]] = [
        ("hooks", hook("UserPromptSubmit", prompt="first")),
        ("transcript", user("first", 1)),
        ("transcript", says("One.", 2)),  # and no Stop
    ]
    for source, row in rows:
        list(reader.row(source, row))
    end = reader.outcome(case("2.1.329", "idle"))
    assert end is not None and end.last_message == "One."
    facts = [*reader.row("transcript", user("second", 3)), *reader.row("transcript", says("Two.", 4))]
    assert of(Submitted, facts) == [Submitted("transcript", "second")] and of(Remark, facts) == []
    assert of(Remark, reader.row("transcript", user("third", 5))) == [Remark(HOOKS_GONE)]
    assert sought(reader.document("session", {"pid": 7, "sessionId": OTHER, "status": "idle"})) == [f"{OTHER}.jsonl"]


@pytest.mark.parametrize("order", ["in order", "the prompt last"])
def test_hooks_that_speak_are_not_taken_for_switched_off(order: str) -> None:
    reader = started()
    list(reader.row("hooks", hook("UserPromptSubmit", prompt="first")))
    rows = [user("<pasted_content id=1>\nfirst\n</pasted_content>", 1), says("One.", 2)]
    for row in rows if order == "in order" else reversed(rows):
        assert of(Submitted, reader.row("transcript", row)) == []
    list(reader.row("hooks", hook("Stop", last_assistant_message="One.", background_tasks=[])))
    list(reader.row("hooks", hook("UserPromptSubmit", prompt="second")))
    assert of(Submitted, reader.row("transcript", user("second", 3))) == []
    assert reader.proves_prompts()


def test_a_resumed_conversation_that_is_copied_is_no_sign_of_it() -> None:
    """1.0.128 copies the old rows into its new file, the answers with a new stamp."""
    reader = started((1, 0, 128))
    list(reader.row("hooks", hook("UserPromptSubmit", prompt="go on")))
    for row in (user("old", -9), says("Old.", 0.5), user("go on", 2)):
        assert of(Submitted, reader.row("transcript", row)) == []
    assert reader.proves_prompts()

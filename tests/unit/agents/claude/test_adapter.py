"""The Claude Code adapter against what was recorded from the real CLIs (tests/corpus/claude)."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.claude.adapter import ADAPTER, events_for, hook_command
from harnex.agents.claude.reader import ClaudeReader
from harnex.agents.claude.screen import classify
from harnex.agents.claude.views import CLEAR_LINES
from harnex.agents.common.message_text import PASTE_END, PASTE_START
from harnex.agents.contract import LaunchRequest
from harnex.model.facts import (
    FAILURE_REASONS,
    AgentSession,
    Fact,
    FindFile,
    Follow,
    ModelCall,
    Observation,
    Retracted,
    ScreenView,
    State,
    Submitted,
    ToolUse,
    TurnEnded,
)

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "claude"
CASES = sorted(p.parent for p in CORPUS.glob("*/*/case.json"))
VERSIONS = ("1.0.128", "2.0.77", "2.1.197", "2.1.329")
V1, V2, V3, V4 = ((1, 0, 128), (2, 0, 77), (2, 1, 197), (2, 1, 329))
OLD, NEW = (V1, V2), (V3, V4)


def number(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))


def view_of(case: Path, title: str | None = None) -> ScreenView:
    about = json.loads((case / "case.json").read_text())
    lines = tuple(line.rstrip() for line in (case / "screen.txt").read_text().split("\n"))
    return ScreenView(lines, columns=about["columns"], title=about["title"] if title is None else title)


def case(version: str, name: str) -> ScreenView:
    return view_of(CORPUS / version / name)


def seen(reader: ClaudeReader, view: ScreenView) -> Observation:
    (fact,) = reader.screen(view)
    assert isinstance(fact, Observation)
    return fact


def rows(version: str, name: str) -> list[dict[str, Any]]:
    path = CORPUS / version / "records" / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def fed(version: str, source: str, name: str, reader: ClaudeReader | None = None) -> list[Fact]:
    reader = reader or ADAPTER.reader(number(version))
    return [fact for row in rows(version, name) for fact in reader.row(source, row)]


def request(**changes: Any) -> LaunchRequest:
    given: dict[str, Any] = {
        "command": "/usr/bin/claude",
        "args": (),
        "version": V4,
        "cwd": "/repo",
        "env": {"PATH": "/bin"},
        "permissions": "ask",
        "trust": False,
        "evidence_dir": "/runs/x/evidence",
        "new_session_id": "11111111-2222-3333-4444-555555555555",
        "as_root": False,
        "read_text": lambda path: None,
    }
    return LaunchRequest(**{**given, **changes})


def settings_of(request_: LaunchRequest) -> dict[str, Any]:
    launch = ADAPTER.launch(request_)
    path = launch.argv[launch.argv.index("--settings") + 1]
    loaded = json.loads(launch.files[path])
    assert isinstance(loaded, dict)
    return loaded


# -- screens -------------------------------------------------------------------------------------


def test_the_corpus_covers_every_version() -> None:
    for version in VERSIONS:
        states = {json.loads((c / "case.json").read_text())["state"] for c in CASES if c.parent.name == version}
        assert states >= {"prompt", "busy", "blocked"}, version
        assert sum(c.parent.name == version for c in CASES) >= 15, version


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_recorded_screen(path: Path) -> None:
    about = json.loads((path / "case.json").read_text())
    fact = seen(ADAPTER.reader(number(path.parent.name)), view_of(path))
    assert (fact.state, fact.dialog) == (about["state"], about["dialog"]), fact.reason


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_a_screen_is_never_taken_for_a_prompt_without_its_box(path: Path) -> None:
    """Cut the box away (as a redraw would): whatever is left must not be a prompt."""
    view = view_of(path)
    cut = tuple(line for line in view.lines if not line.startswith(("───", "╭──", "╰──")))
    fact = seen(ADAPTER.reader(number(path.parent.name)), ScreenView(cut, columns=view.columns))
    assert fact.state is not State.PROMPT


@pytest.mark.parametrize("path", [c for c in CASES if "permission-" in c.name and "rejected" not in c.name], ids=str)
def test_permission_options_are_read_in_order(path: Path) -> None:
    if json.loads((path / "case.json").read_text())["state"] != "blocked":
        pytest.skip("not a dialog")
    fact = seen(ADAPTER.reader(None), view_of(path))
    assert fact.options[0] == "Yes"
    assert len(fact.options) >= 3
    assert fact.options[-1].startswith(("No", "Type here"))


def test_trust_defaults_to_no_in_the_newest() -> None:
    assert seen(ADAPTER.reader(V4), case("2.1.329", "trust")).options == ("No, exit", "Yes, I trust this folder")
    assert seen(ADAPTER.reader(V1), case("1.0.128", "trust")).options[0] == "Yes, proceed"


@pytest.mark.parametrize("version", VERSIONS)
def test_words_of_a_dialog_in_the_conversation_are_no_dialog(version: str) -> None:
    view = case(version, "idle-after-turn")
    talk = ("● Do you want to proceed?", "  ❯ 1. Yes", "    2. No", "  Do you trust the files in this folder?", "")
    box = next(n for n, line in enumerate(view.lines) if line.startswith("───"))
    fact = seen(ADAPTER.reader(None), ScreenView(view.lines[:box] + talk + view.lines[box:], columns=120))
    assert fact.state is State.PROMPT


def test_a_spinner_that_the_model_printed_is_no_spinner() -> None:
    view = case("2.1.197", "idle-after-turn")
    box = next(n for n, line in enumerate(view.lines) if line.startswith("───"))
    printed = ("● ✻ Cooking… (esc to interrupt)", "  ✻ Cooking… (3s · ↓ 12 tokens)", "")
    fact = seen(ADAPTER.reader(V3), ScreenView(view.lines[:box] + printed + view.lines[box:], columns=120))
    assert fact.state is State.PROMPT
    live = ("✻ Cooking… (3s · ↓ 12 tokens)", "")
    fact = seen(ADAPTER.reader(V3), ScreenView(view.lines[:box] + live + view.lines[box:], columns=120))
    assert fact.state is State.BUSY


@pytest.mark.parametrize(
    "line",
    [
        "✻ Waiting for 1 background agent to finish",
        "✻ API error · Retrying in 1s · attempt 1/10",
        "✻ 529 Overloaded · retrying in 3s · attempt 3/10",
        "* Bunning…",
        "* Compacting conversation… (2s · ↓ 15 tokens)",
        "     Retrying in 5 seconds… (attempt 4/10)",
    ],
)
def test_what_stands_above_the_box_while_it_works(line: str) -> None:
    rule = "─" * 80
    lines = ("❯ do it", "", line, "", rule, "❯\u00a0", rule, "  ? for shortcuts")
    assert seen(ADAPTER.reader(V3), ScreenView(lines, columns=80)).state is State.BUSY


def test_past_tense_is_rest() -> None:
    rule = "─" * 80
    for line in (
        "✻ Cooked for 10s",
        "✻ Cooked for 10s · done 10:36 PM",
        "✻ Conversation compacted · ctrl+o for history",
    ):
        lines = ("● done", "", line, "", rule, "❯\u00a0", rule, "  ? for shortcuts")
        assert seen(ADAPTER.reader(V3), ScreenView(lines, columns=80)).state is State.PROMPT


def test_nothing_but_the_title_shows_a_stream_with_a_draft() -> None:
    """2.1.329 at 80x24 while it streams and the box holds text: neither spinner nor footer."""
    path = CORPUS / "2.1.329" / "busy-typed-80x24"
    assert seen(ADAPTER.reader(V4), view_of(path, title="◐ Claude Code")).state is State.BUSY
    assert seen(ADAPTER.reader(V4), view_of(path, title="✳ Claude Code")).state is State.PROMPT


def test_the_footer_alone_can_tell_that_it_works() -> None:
    rule = "─" * 80
    for footer, state in (("  esc to interrupt · ← for agents", State.BUSY), ("  ? for shortcuts", State.PROMPT)):
        lines = ("● words", "", rule, "❯\u00a0", rule, footer)
        assert seen(ADAPTER.reader(V3), ScreenView(lines, columns=80)).state is state


def test_no_box_is_starting_first_and_unknown_later() -> None:
    reader = ADAPTER.reader(V3)
    blank = ScreenView(("", "loading", ""))
    assert seen(reader, blank).state is State.STARTING
    assert seen(reader, case("2.1.197", "idle")).state is State.PROMPT
    assert seen(reader, blank).state is State.UNKNOWN


def test_words_inside_a_permission_dialog_do_not_rename_it() -> None:
    view = case("2.1.197", "permission-bash")
    shown = "   echo 'usage limit: Select login method: Accessing workspace: Would you like to proceed?'"
    lines = tuple(shown if line.strip().startswith("touch ") else line for line in view.lines)
    assert shown in lines
    assert seen(ADAPTER.reader(V3), ScreenView(lines, columns=120)).dialog == "permission"


# -- draft and outcome ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_draft(version: str) -> None:
    reader = ADAPTER.reader(number(version))
    assert reader.draft(case(version, "idle-draft")) == "hello draft"
    assert reader.draft(case(version, "idle-after-turn")) == ""
    assert reader.draft(case(version, "permission-write")) is None


def test_draft_of_several_lines_and_placeholders() -> None:
    rule = "─" * 80
    reader = ADAPTER.reader(V4)
    assert reader.draft(ScreenView((rule, "❯\u00a0one", "  two", "    three", rule))) == "one\ntwo\n  three"
    for words in ('Try "refactor <filepath>"', "Press up to edit queued messages", "Once fixed, resend your message"):
        assert reader.draft(ScreenView((rule, f"❯\u00a0{words}", rule))) == ""


def test_a_draft_that_looks_like_a_menu_is_a_draft() -> None:
    rule = "─" * 80
    reader = ADAPTER.reader(V4)
    box = ScreenView((rule, "❯\u00a01. fix the tests", "  2. push", rule, "  ? for shortcuts"))
    assert reader.draft(box) == "1. fix the tests\n2. push"
    assert seen(reader, box).state is State.PROMPT
    menu = ScreenView((rule, "❯ 1. Yes", "  2. No", rule, " Enter to confirm · Esc to cancel"))
    assert reader.draft(menu) is None
    assert seen(reader, menu).state is State.BLOCKED


@pytest.mark.parametrize("version", VERSIONS)
def test_outcome_on_the_screen(version: str) -> None:
    reader = ADAPTER.reader(number(version))
    interrupted = reader.outcome(case(version, "interrupted-streaming"))
    assert interrupted is not None
    assert interrupted.outcome == "interrupted"
    failed = reader.outcome(case(version, "error-404"))
    assert failed is not None
    assert (failed.outcome, failed.reason) == ("failed", "other")
    assert reader.outcome(case(version, "idle-after-turn")) is None
    assert reader.outcome(case(version, "busy-streaming")) is None
    assert reader.outcome(case(version, "retry-early")) is None


@pytest.mark.parametrize("version", ["2.1.197", "2.1.329"])
def test_a_prompt_put_back_into_the_box_is_an_interrupted_turn(version: str) -> None:
    """Esc before the first token leaves no record in 2.1; the block above is an older turn's."""
    reader = ADAPTER.reader(number(version))
    prompt = 'SCRIPT:[["error",529,"overloaded_error",99]]'
    list(reader.row("hooks", {"hook_event_name": "UserPromptSubmit", "session_id": "s", "prompt": prompt}))
    end = reader.outcome(case(version, "interrupted-retry"))
    assert end is not None
    assert end.outcome == "interrupted"


@pytest.mark.parametrize(
    ("name", "status", "text", "reason"),
    [
        ("authentication_failed", None, "Invalid API key · Fix external API key", "auth"),
        ("", None, "Please run /login · API Error: 403 {}", "auth"),
        ("billing_error", None, "Credit balance too low · Add funds: https://x", "credit"),
        ("rate_limit", 429, "API Error: Request rejected (429) · slow down", "rate_limit"),
        ("rate_limit", 429, "You've hit your session limit · resets 3pm (UTC)", "usage_limit"),
        ("", None, "Claude AI usage limit reached|1761234567", "usage_limit"),
        ("server_error", 529, "API Error: 529 Overloaded. Try again", "overloaded"),
        ("unknown", None, "API Error: Connection closed mid-response. The response", "network"),
        ("unknown", None, "API Error: Connection error.", "network"),
        ("invalid_request", 400, "Prompt is too long", "context"),
        (
            "",
            None,
            "Claude Code is unable to respond to this request, which appears to violate our Usage Policy",
            "refused",
        ),
        ("server_error", 500, 'API Error: 500 {"type":"error"}', "other"),
        ("overloaded", None, "", "overloaded"),
        ("", 401, "", "auth"),
    ],
)
def test_reasons(name: str, status: int | None, text: str, reason: str) -> None:
    got, _ = classify(name, status, text)
    assert got == reason
    assert got in FAILURE_REASONS


def test_retry_at_out_of_the_old_form() -> None:
    assert classify("", None, "Claude AI usage limit reached|1761234567")[1] == "2025-10-23T15:49:27Z"
    assert classify("", None, "hit your limit · resets 3pm")[1] is None


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


@pytest.mark.parametrize(
    ("document", "state", "dialog"),
    [
        ({"status": "busy"}, State.BUSY, ""),
        ({"status": "idle"}, State.PROMPT, ""),
        ({"status": "shell"}, State.PROMPT, ""),
        ({"status": "waiting", "waitingFor": "permission prompt"}, State.BLOCKED, "permission"),
        ({"status": "waiting", "waitingFor": "input needed"}, State.BLOCKED, "question"),
        ({"status": "waiting", "waitingFor": "dialog open"}, State.BLOCKED, "other"),
    ],
)
def test_session_file(document: dict[str, Any], state: State, dialog: str) -> None:
    reader = ADAPTER.reader(V4)
    follows = list(reader.spawned(7, {"HOME": "/h"}, "/repo"))
    assert Follow("session", "/h/.claude/sessions/7.json", "document") in follows
    (fact,) = [f for f in reader.document("session", {"pid": 7, **document}) if isinstance(f, Observation)]
    assert (fact.state, fact.dialog) == (state, dialog)
    assert list(reader.document("session", None)) == [Retracted("session")]


def test_a_session_file_of_another_process_is_not_heard() -> None:
    reader = ADAPTER.reader(V4)
    list(reader.spawned(7, {"HOME": "/h"}, "/repo"))
    assert list(reader.document("session", {"pid": 8, "status": "idle"})) == []


def test_title_at_rest_counts_only_after_it_was_seen_to_spin() -> None:
    reader = ADAPTER.reader(None)
    assert list(reader.osc(0, "✳ A topic that 2.0 sets once")) == []
    assert [f.state for f in reader.osc(0, "◐ x") if isinstance(f, Observation)] == [State.BUSY]
    assert [f.state for f in reader.osc(0, "✳ x") if isinstance(f, Observation)] == [State.PROMPT]
    assert list(reader.osc(0, "")) == [Retracted("title")]


def test_program_status_protocol() -> None:
    reader = ADAPTER.reader(V4)
    (fact,) = reader.osc(7501, "state=blocked:kind=permission:msg=YXBwcm92ZSBCYXNo")
    assert isinstance(fact, Observation)
    assert (fact.state, fact.dialog) == (State.BLOCKED, "permission")
    assert "approve Bash" in fact.reason
    assert [f.state for f in reader.osc(7501, "state=working") if isinstance(f, Observation)] == [State.BUSY]
    assert [f.state for f in reader.osc(7501, "state=done") if isinstance(f, Observation)] == [State.PROMPT]
    assert list(reader.osc(7501, "state=clear")) == [Retracted("osc7501")]
    assert list(reader.osc(7501, "?")) == []


# -- start ---------------------------------------------------------------------------------------


def test_launch_fixes_the_session_and_leaves_nested_variables_behind() -> None:
    env = {"TMUX": "/tmp/t", "CLAUDECODE": "1", "CLAUDE_BG_PTY_AUTH": "x", "PATH": "/bin"}
    launch = ADAPTER.launch(request(env=env))
    assert launch.session_id == "11111111-2222-3333-4444-555555555555"
    assert launch.argv[launch.argv.index("--session-id") + 1] == launch.session_id
    assert {k for k, v in launch.env.items() if v is None} == {"TMUX", "CLAUDECODE", "CLAUDE_BG_PTY_AUTH"}
    assert launch.env["DISABLE_AUTOUPDATER"] == "1"


@pytest.mark.parametrize("args", [("--resume", "x"), ("-c",), ("--continue",), ("-r",), ("--session-id=abc",)])
def test_launch_leaves_the_persons_session_alone(args: tuple[str, ...]) -> None:
    launch = ADAPTER.launch(request(args=args))
    assert "11111111-2222-3333-4444-555555555555" not in launch.argv
    assert launch.session_id == ("abc" if "abc" in args[0] else None)


def test_launch_merges_the_persons_settings() -> None:
    own = {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "mine"}]}]}, "model": "x", "tui": "fullscreen"}
    for args, read in (
        (("--settings", json.dumps(own)), lambda path: None),
        (("--settings=s.json", "--debug"), {"/repo/s.json": json.dumps(own)}.get),
    ):
        settings = settings_of(request(args=args, read_text=read))
        assert (settings["model"], settings["tui"]) == ("x", "fullscreen")
        commands = [h["command"] for entry in settings["hooks"]["Stop"] for h in entry["hooks"]]
        assert commands[0] == "mine"
        assert "/runs/x/evidence/hooks.jsonl" in commands[1]
        assert ADAPTER.launch(request(args=args, read_text=read)).argv.count("--settings") == 1


def test_settings_that_cannot_be_read_are_passed_on() -> None:
    launch = ADAPTER.launch(request(args=("--settings", "gone.json")))
    assert launch.argv[-2:] == ("--settings", "gone.json")
    assert not launch.files
    assert launch.notes


def test_hook_events_by_version() -> None:
    """A name that a version does not know makes it drop the file (1.x) or ask (2.x)."""
    assert "PermissionRequest" not in events_for(V1)
    assert "StopFailure" not in events_for(V2)
    assert "PermissionRequest" in events_for(V2)
    assert "StopFailure" in events_for(V4)
    assert events_for(None) == events_for(V1)
    assert "tui" not in settings_of(request(version=V1))
    assert settings_of(request(version=V4))["tui"] == "default"


def test_permissions() -> None:
    assert "--permission-mode default" in " ".join(ADAPTER.launch(request()).argv)
    assert ADAPTER.launch(request(permissions="auto", version=V1)).permissions == "--permission-mode acceptEdits"
    assert ADAPTER.launch(request(permissions="auto", version=V4)).permissions == "--permission-mode dontAsk"
    own = ADAPTER.launch(request(args=("--permission-mode", "plan"), permissions="auto"))
    assert own.argv.count("--permission-mode") == 1
    assert own.permissions == "--permission-mode plan"
    for permissions in ("ask", "auto"):
        launch = ADAPTER.launch(request(permissions=permissions, as_root=True))
        assert "--dangerously-skip-permissions" not in launch.argv
        assert "IS_SANDBOX" not in launch.env
    bypass = ADAPTER.launch(request(permissions="bypass", as_root=True))
    assert "--dangerously-skip-permissions" in bypass.argv
    assert bypass.env["IS_SANDBOX"] == "1"
    assert bypass.notes
    assert settings_of(request(permissions="bypass"))["skipDangerousModePermissionPrompt"] is True
    assert "IS_SANDBOX" not in ADAPTER.launch(request(permissions="bypass")).env


def test_hook_command_appends_whole_lines_at_once(tmp_path: Path) -> None:
    place = tmp_path / 'it\'s a "dir" ü $HOME'
    place.mkdir()
    path = place / "hooks.jsonl"
    command = hook_command(str(path))

    def run(n: int) -> int:
        text = json.dumps({"n": n, "x": "y" * (n * 9000)}, indent=1 if n % 2 else None) + "\n" * (n % 3)
        done = subprocess.run(["sh", "-c", command], input=text.encode(), capture_output=True, check=False)
        assert not done.stdout
        assert not done.stderr
        return done.returncode

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(run, range(24))) == {0}
    got = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(row["n"] for row in got) == list(range(24))


def test_hook_command_never_stops_the_agent(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", hook_command(str(tmp_path / "gone" / "hooks.jsonl"))],
        input=b"{}",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# -- typing and stopping -------------------------------------------------------------------------


def pasted(text: str, version: tuple[int, ...] | None) -> str:
    paste = ADAPTER.typing(text, version).paste
    assert paste.startswith(PASTE_START)
    assert paste.endswith(PASTE_END)
    return paste[len(PASTE_START) : -len(PASTE_END)].decode()


@pytest.mark.parametrize("text", ["/help me", "!ls", "# remember", "@file", "&bg", "?", "/clear\nmore"])
def test_text_that_begins_like_a_command_is_guarded(text: str) -> None:
    for version in (V1, V2, V3):
        assert pasted(text, version).startswith(" " + text)
    # 2.1.329 trims white space before it looks for a command (measured); unknown versions are taken for newer.
    for newest in (V4, None):
        got = pasted(text, newest)
        assert got.startswith(("\u2800" if text[0] == "/" else " ") + text)


def test_text_that_ends_like_a_key_is_guarded() -> None:
    for version in (V1, V4):
        assert pasted("a \\", version) == "a \\ "
        assert pasted("see @src/fi", version) == "see @src/fi "
        assert pasted("exit", version) == "\u2800exit"
        assert pasted("plain\n text", version) == "plain\n text"


def test_a_large_text_is_one_paste() -> None:
    text = "line\n" * 40_000
    paste = ADAPTER.typing(text, V4).paste
    assert paste.count(PASTE_START) == paste.count(PASTE_END) == 1
    assert text.encode() in paste


def test_clear_takes_a_draft_of_several_lines() -> None:
    """Ctrl-U takes one line; Ctrl-L all of it in 1.x and 2.0, where the pair does nothing (measured)."""
    for version in OLD:
        assert ADAPTER.typing("x", version).clear == b"\x0c"
    for version in NEW:
        assert ADAPTER.typing("x", version).clear == b"\x15\x7f" * CLEAR_LINES


def test_stop_and_resume() -> None:
    steps = ADAPTER.stop_steps(State.BUSY, V4)
    assert steps[0].keys == b"\x1b"
    assert steps[0].until == "prompt"
    assert steps[-1].until == "exited"
    assert ADAPTER.resume_args("abc") == ("--resume", "abc")


def test_rehearsal_needs_nothing_of_the_person() -> None:
    rehearsal = ADAPTER.rehearsal("http://127.0.0.1:9", "/home/x", "/repo", V1)
    assert rehearsal is not None
    config = json.loads(rehearsal.files["/home/x/.claude.json"])
    key = rehearsal.env["ANTHROPIC_API_KEY"]
    assert key is not None
    assert config["customApiKeyResponses"]["approved"] == [key[-20:]]
    assert config["projects"]["/repo"]["hasTrustDialogAccepted"] is True
    assert config["projects"]["/repo"]["allowedTools"] == []  # 1.0.128 dies without
    assert rehearsal.env["HOME"] == "/home/x"
    assert rehearsal.env["CLAUDE_CODE_OAUTH_TOKEN"] is None


def test_a_mute_stop_is_known_by_itself_when_the_version_is_not() -> None:
    reader = ADAPTER.reader(None)
    fed("1.0.128", "hooks", "hooks", reader)
    ends = [f for f in fed("1.0.128", "transcript", "transcript", reader) if isinstance(f, TurnEnded)]
    assert [e.outcome for e in ends][:2] == ["completed", "interrupted"]


# -- what other versions showed --------------------------------------------------------------------


def test_an_answered_dialog_that_was_left_on_the_screen() -> None:
    """1.0.60 paints below it; between two paints the box is missing."""
    lines = (*case("1.0.60", "trust").lines, "", *(f"line {n}" for n in range(9)), "> the first task")
    reader = ADAPTER.reader((1, 0, 60))
    assert seen(reader, ScreenView(lines)).state is State.STARTING
    assert seen(reader, case("1.0.60", "idle")).state is State.PROMPT
    assert seen(reader, ScreenView(lines)).state is State.UNKNOWN


def test_before_settings_there_are_no_hooks() -> None:
    """`--settings` is an unknown option of 1.0.60, and ends it."""
    launch = ADAPTER.launch(request(version=(1, 0, 60)))
    assert "--settings" not in launch.argv
    assert launch.session_id in launch.argv
    env = {k: v for k, v in launch.env.items() if v is not None}
    facts = list(ADAPTER.reader((1, 0, 60)).spawned(7, {**env, "HOME": "/h"}, "/srv/a.b"))
    (wanted,) = [f for f in facts if isinstance(f, FindFile)]
    assert wanted.paths[0] == f"/h/.claude/projects/*/{launch.session_id}.jsonl" and not wanted.since
    assert "--settings" in ADAPTER.launch(request(version=(1, 0, 61))).argv


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


def test_nobody_is_there_to_be_given_suggestions() -> None:
    assert ADAPTER.launch(request()).env["CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION"] == "false"
    own = request(env={"CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION": "true"})
    assert "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION" not in ADAPTER.launch(own).env


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


RULE = "─" * 40


@pytest.mark.parametrize(
    ("above", "state", "dialog"),
    [
        (("Googling. (ctrl+c to interrupt", "a second line"), State.BUSY, ""),
        (("  (9m 21s · ↓ 13.7k tokens)",), State.BUSY, ""),
        (("an old one: esc to interrupt", "", "● All done."), State.PROMPT, ""),
        (("● I told it:", "  esc to interrupt"), State.PROMPT, ""),
        (("● It took (9m 21s · 500 tokens)",), State.PROMPT, ""),
        (("Do you want to make this edit to a.txt?", "❯ 1. Yes", "2. No (esc)"), State.BLOCKED, "permission"),
        (("❯ 1. Mend the parser", "  2. Do you want to make tests?"), State.PROMPT, ""),
        (("A question", "Press esc to cancel"), State.BLOCKED, "other"),
        (("● Then it says:", "  press esc to cancel"), State.PROMPT, ""),
    ],
)
def test_what_stands_above_the_box_counts_too(above: tuple[str, ...], state: State, dialog: str) -> None:
    view = ScreenView((*above, "", RULE, "❯\u00a0", RULE), columns=40)
    fact = seen(ADAPTER.reader((2, 1, 329)), view)
    assert (fact.state, fact.dialog) == (state, dialog)


def test_a_spinner_without_a_box_is_work() -> None:
    view = ScreenView(("✽ Tempering… (3s)", "  ⎿  a task"), columns=40)
    assert seen(ADAPTER.reader((2, 1, 329)), view).state is State.BUSY


def test_the_arguments_that_last() -> None:
    """What a person gave, for a conversation that goes on: without the prompt, which would be sent again."""

    def last(args: tuple[str, ...]) -> tuple[str, ...]:
        words = ADAPTER.resume_args("id", args)
        assert words[:2] == ("--resume", "id")
        return words[2:]

    assert last(("--model", "opus", "fix it")) == ("--model", "opus")
    assert last(("fix it", "--verbose")) == ("--verbose",)
    assert last(("--allowedTools", "Bash(ls)", "Edit", "--verbose", "go")) == (
        "--allowedTools",
        "Bash(ls)",
        "Edit",
        "--verbose",
    )
    assert last(("--resume", "abc", "--model=opus", "--", "go")) == ("--model=opus",)
    assert last(("-c", "go")) == ()
    assert last(("--session-id=1", "--append-system-prompt", "be brief", "x")) == ("--append-system-prompt", "be brief")


def test_options_of_a_narrow_terminal_may_lack_the_blank_behind_the_number() -> None:
    """2.1.30, 60 columns."""
    lines = (
        "─" * 60,
        " Bash command",
        "   sh -c 'echo a >> a.txt'",
        " Do you want to proceed?",
        " ❯ 1. Yes",
        "  2.Yes, and don't ask again for sh -c 'echo a >> a.txt'",
        "    commands in /tmp/a",
        "   3. No",
        "",
        " Esc to cancel · Tab to amend",
    )
    fact = seen(ADAPTER.reader((2, 1, 30)), ScreenView(lines, columns=60))
    assert fact.dialog == "permission"
    assert fact.options == ("Yes", "Yes, and don't ask again for sh -c 'echo a >> a.txt'", "No")

"""The Codex adapter against what the real CLI showed and wrote (`tests/corpus/codex/`), and its command lines.

A corpus case holds the true state; `screen_says` stands beside it where the screen alone can't know (an answer that
is being written hides the status line): there a better source has to say it.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.codex import screen as screens
from harnex.agents.codex.adapter import ADAPTER, CodexReader, plain
from harnex.agents.codex.launch import EVIDENCE, flags, subcommand, toml
from harnex.agents.common.message_text import PASTE_END, PASTE_START
from harnex.agents.contract import LaunchRequest, Version
from harnex.model.facts import (
    AgentSession,
    Fact,
    FindFile,
    Follow,
    ModelCall,
    Observation,
    Remark,
    Retracted,
    ScreenView,
    State,
    SubAgent,
    Submitted,
    ToolUse,
    TurnEnded,
)

CORPUS = Path(__file__).parents[3] / "corpus" / "codex"
CASES = sorted(p.parent for p in CORPUS.glob("*/*/case.json"))
VERSIONS = ("0.80.0", "0.104.0", "0.145.0", "0.169.0")


def version_of(text: str) -> Version:
    return tuple(map(int, text.split(".")))


def load(case: Path) -> tuple[dict[str, Any], ScreenView]:
    told = json.loads((case / "case.json").read_text())
    lines = (case / "screen.txt").read_text().split("\n")[: told["rows"]]
    view = ScreenView(
        tuple(line.rstrip() for line in lines),
        (told["cursor"][0], told["cursor"][1]),
        told["cursor_hidden"],
        told["columns"],
        told["title"],
    )
    return told, view


def case(version: str, name: str) -> ScreenView:
    return load(CORPUS / version / name)[1]


def rows(version: str, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / version / f"{name}.jsonl").read_text().splitlines()]


def feed(reader: CodexReader, source: str, rows: Iterable[dict[str, Any]]) -> list[Fact]:
    return [fact for row in rows for fact in reader.row(source, row)]


def screen(version: str, *lines: str, cursor: tuple[int, int] = (0, 0), hidden: bool = False) -> list[Fact]:
    reader = ADAPTER.reader(version_of(version))
    return list(reader.screen(ScreenView(lines, cursor, hidden)))


# ---- screens ----


def test_corpus_covers_the_states() -> None:
    for version in VERSIONS:
        states = {load(c)[0]["state"] for c in CASES if c.parent.name == version}
        assert {"prompt", "busy", "blocked"} <= states
        assert len([c for c in CASES if c.parent.name == version]) >= 8


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_screen_of_the_real_cli(path: Path) -> None:
    told, view = load(path)
    reader = ADAPTER.reader(version_of(path.parent.name))
    [seen] = [f for f in reader.screen(view) if isinstance(f, Observation)]
    assert (seen.state, seen.dialog) == (told.get("screen_says", told["state"]), told["dialog"])
    if told["state"] == "blocked":
        assert reader.draft(view) is None
        few = told["dialog"] in ("resume", "other") or path.name == "model_page"
        assert len(seen.options) >= (0 if few else 2)
    elif told["state"] != "starting":
        assert reader.draft(view) is not None
    if told.get("screen_says") and version_of(path.parent.name) >= (0, 117):
        list(reader.screen(case(path.parent.name, "thinking")))
        [title] = [f for f in reader.osc(0, told["title"]) if isinstance(f, Observation)]
        assert title.state is State.BUSY  # what the screen can't know, the title tells


@pytest.mark.parametrize("version", VERSIONS)
def test_how_the_last_turn_ended(version: str) -> None:
    reader = ADAPTER.reader(version_of(version))
    seen = {}
    for path in CASES:
        if path.parent.name == version:
            end = reader.outcome(load(path)[1])
            seen[path.name] = (end.outcome, end.reason) if end else None
    assert seen["error_429"] == ("failed", "rate_limit")
    assert seen["error_401"] == ("failed", "auth")
    assert seen["error_drop"] == ("failed", "network")
    assert seen["error_400"] == ("failed", "context")
    for name in ("interrupted", "interrupted_streaming", "permission_denied"):
        assert seen[name] == ("interrupted", "")
    for name in ("idle", "after_turn", "after_tool", "thinking", "streaming", "permission_exec"):
        assert seen[name] is None, name


@pytest.mark.parametrize("version", VERSIONS)
def test_drafts(version: str) -> None:
    reader = ADAPTER.reader(version_of(version))
    assert reader.draft(case(version, "idle")) == ""
    assert reader.draft(case(version, "idle_draft")) == "half a draft"
    assert reader.draft(case(version, "idle_after_ctrl_u")) == ""
    assert reader.draft(case(version, "idle_draft_lines")) == "a draft\nof two lines"


def test_an_unknown_placeholder_is_no_draft_but_a_typed_one_is() -> None:
    lines = ("", "› Some new placeholder", "", "  ? for shortcuts")
    reader = ADAPTER.reader((0, 150))
    assert reader.draft(ScreenView(lines, (1, 2))) == ""
    assert reader.draft(ScreenView(lines, (1, 22))) == "Some new placeholder"


def test_a_draft_that_looks_like_a_status_line_or_dialog_is_a_draft() -> None:
    lines = ("• done", "", "› • Working (3s • esc to interrupt)", "", "  ? for shortcuts")
    [seen] = screen("0.145.0", *lines, cursor=(2, 36))
    assert isinstance(seen, Observation)
    assert seen.state is State.PROMPT
    lines = ("Would you like to run the following command?", "  Press enter to confirm", "", "› 1. Yes", "", "  ? for")
    [seen] = screen("0.145.0", *lines, cursor=(3, 8))
    assert isinstance(seen, Observation)
    assert seen.state is State.PROMPT


def test_a_status_line_of_an_earlier_turn_is_history() -> None:
    lines = ("• Working (3s • esc to interrupt)", "› next question", "", "• answer", "", "› draft", "", "  foot")
    [seen] = screen("0.145.0", *lines, cursor=(5, 7))
    assert isinstance(seen, Observation)
    assert seen.state is State.PROMPT


def test_a_background_terminal_alone_is_not_work() -> None:
    line = "  1 background terminal running · /ps to view · /stop to close"
    [seen] = screen("0.169.0", "• done", "", line, "", "› Ask Codex to do anything", "", "  foot", cursor=(4, 2))
    assert isinstance(seen, Observation)
    assert seen.state is State.PROMPT


def test_an_unknown_dialog_blocks() -> None:
    [seen] = screen("0.169.0", "  A new kind of question", "", "› 1. Yes", "  2. No", "", "  enter", hidden=True)
    assert isinstance(seen, Observation)
    assert (seen.state, seen.dialog, seen.options) == (State.BLOCKED, "other", ("Yes", "No"))


def test_mcp_servers_that_boot() -> None:
    lines = ("", "• Booting MCP server: docs (2s • esc to interrupt)", "", "› Explain this codebase", "", "  foot")
    [seen] = screen("0.145.0", *lines, cursor=(3, 2))
    assert isinstance(seen, Observation)
    assert seen.state is State.STARTING


def test_failure_words_and_kinds() -> None:
    say = screens.failure
    assert say("■", {"response_too_many_failed_attempts": {"http_status_code": 429}}) == "rate_limit"
    assert say("x", {"http_connection_failed": {"http_status_code": 401}}) == "auth"
    assert say("x", "usage_limit_exceeded") == "usage_limit"
    assert say("You’ve hit your usage limit. Try again later.") == "usage_limit"
    assert say("Quota exceeded. Check your plan and billing details.") == "credit"
    assert say("Codex ran out of room in the model's context window.") == "context"
    assert say("unexpected status 529 : overloaded") == "overloaded"
    assert say("something else", "other") == "other"


def test_retry_at() -> None:
    assert screens.retry_at("Try again in 1 hour 30 minutes.", 0.0) == "1970-01-01T01:30:00.000Z"
    named = screens.retry_at("You've hit your usage limit. Try again at Nov 25th, 2026 3:45 PM.", 1795240000.0)
    assert named is not None
    assert named.startswith("2026-11-2")
    assert screens.retry_at("Try again later.", 0.0) is None


# ---- OSC ----


def states(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    return [(f.state.value, f.dialog) for f in facts if isinstance(f, Observation)]


def test_osc_7501() -> None:
    reader = ADAPTER.reader((0, 169))
    list(reader.screen(case("0.169.0", "thinking")))
    assert states(reader.osc(7501, "state=working:app=codex")) == [("busy", "")]
    assert states(reader.osc(7501, "state=blocked:kind=permission:app=codex")) == [("blocked", "permission")]
    assert states(reader.osc(7501, "state=blocked:kind=question:app=codex")) == [("blocked", "question")]
    assert states(reader.osc(7501, "state=blocked:app=codex")) == [("blocked", "permission")]  # 0.163
    assert states(reader.osc(7501, "state=done:app=codex")) == [("prompt", "")]
    assert states(reader.osc(7501, "state=error:app=codex")) == [("prompt", "")]
    assert Retracted("osc7501") in list(reader.osc(7501, "state=clear"))


def test_work_right_after_a_message_of_ours_is_a_turn() -> None:
    """0.169 without its rollout: the answer may be over before the screen shows the prompt."""
    reader = ADAPTER.reader((0, 169))
    list(reader.screen(case("0.169.0", "idle")))
    list(reader.submitted())
    assert states(reader.osc(7501, "state=working:app=codex")) == [("busy", "")]


def test_working_before_any_prompt_is_a_start_and_no_turn() -> None:
    """0.169 declares idle, working (40 ms), idle at each start."""
    reader = ADAPTER.reader((0, 169))
    list(reader.screen(case("0.169.0", "idle")))
    assert states(reader.osc(7501, "state=idle:app=codex")) == [("prompt", "")]
    assert states(reader.osc(7501, "state=working:app=codex")) == [("starting", "")]
    assert states(reader.screen(case("0.169.0", "idle"))) == [("prompt", "")]
    assert states(reader.osc(7501, "state=idle:app=codex")) == [("prompt", "")]


@pytest.mark.parametrize("by", ["status line", "prompt on the screen", "rollout"])
def test_the_first_turn_is_work(by: str) -> None:
    reader = ADAPTER.reader((0, 169))
    list(reader.screen(case("0.169.0", "idle")))
    assert states(reader.osc(7501, "state=working:app=codex")) == [("starting", "")]
    if by == "rollout":
        started = [r for r in rows("0.169.0", "rollout") if r["payload"].get("type") == "task_started"]
        facts = feed(reader, "rollout", started[:1])
    else:
        facts = list(reader.screen(case("0.169.0", "thinking" if by == "status line" else "streaming_lines")))
    assert Observation("osc7501", State.BUSY, "OSC 7501 state=working:app=codex") in facts
    assert states(reader.osc(7501, "state=done:app=codex")) == [("prompt", "")]
    assert states(reader.osc(7501, "state=working:app=codex")) == [("busy", "")]


def test_title() -> None:
    reader = ADAPTER.reader((0, 145))
    list(reader.screen(case("0.145.0", "thinking")))
    assert list(reader.osc(0, "my dir")) == []  # it never moved: it may be configured so
    assert states(reader.osc(0, "⠋ my dir")) == [("busy", "")]
    assert states(reader.osc(0, "[ ! ] Action Required | my dir")) == [("blocked", "other")]
    assert states(reader.osc(0, "[ . ] Action Required | my dir")) == [("blocked", "other")]
    assert states(reader.osc(0, "my dir")) == [("prompt", "")]


# ---- rows ----


@pytest.mark.parametrize("version", VERSIONS)
def test_every_call_once_with_the_billed_numbers(version: str) -> None:
    """Against the endpoint's log. A response that was cut (`drop`) never told its usage: nobody can record it. The first
    one is interrupted, then six are dropped: told, without numbers."""
    told = [f for f in feed(ADAPTER.reader(None), "rollout", rows(version, "rollout")) if isinstance(f, ModelCall)]
    cut = [c.partial for c in told if c.total_tokens is None]
    assert cut == [True] * 7
    assert told[0].partial
    calls = [c for c in told if not c.partial]
    billed = [row for row in rows(version, "billed") if row["step"] != "drop"]
    got = [
        (c.input_tokens, c.cache_read_tokens, c.output_tokens, c.reasoning_tokens, c.total_tokens, c.model)
        for c in calls
    ]
    want = [
        (
            u["input_tokens"],
            u["input_tokens_details"]["cached_tokens"],
            u["output_tokens"],
            u["output_tokens_details"]["reasoning_tokens"],
            u["total_tokens"],
            "gpt-5",
        )
        for u in (row["usage"] for row in billed)
    ]
    assert got == want
    assert len({c.call_id for c in calls}) == len(calls)
    if version == "0.169.0":
        assert [c.call_id for c in calls] == [row["id"] for row in billed]


@pytest.mark.parametrize("version", VERSIONS)
def test_turns_of_the_rollout(version: str) -> None:
    facts = feed(ADAPTER.reader(version_of(version)), "rollout", rows(version, "rollout"))
    assert len([f for f in facts if isinstance(f, AgentSession)]) == 1
    texts = [f.text for f in facts if isinstance(f, Submitted)]
    assert texts[0] == 'go SCRIPT:[["hang", 6]]'
    assert "a queued message" in texts
    ends = [f for f in facts if isinstance(f, TurnEnded)]
    assert [e.outcome for e in ends][:4] == ["interrupted", "completed", "completed", "completed"]
    assert ends[3].last_message == "The tool is done."
    assert len({e.turn_key for e in ends}) == len(ends)
    assert "" not in {e.turn_key for e in ends}
    if version_of(version) >= (0, 145):
        assert [e.reason for e in ends if e.outcome == "failed"] == ["rate_limit", "auth", "network", "context"]
    tools = [f for f in facts if isinstance(f, ToolUse)]
    assert [t.status for t in tools[:4]] == ["started", "completed", "started", "failed"]
    assert tools[0].input_preview == "sleep 4; echo tool done"
    assert tools[1].tool == tools[0].tool
    assert tools[1].duration_s == pytest.approx(4.07, abs=0.1)


@pytest.mark.parametrize("version", ["0.104.0", "0.145.0", "0.169.0"])
def test_notify_names_the_turns_of_the_rollout_and_no_others(version: str) -> None:
    reader = ADAPTER.reader(version_of(version))
    assert feed(reader, "notify", rows(version, "notify")) == []  # whose they are is not known yet
    ends = [f for f in feed(reader, "rollout", rows(version, "rollout")) if isinstance(f, TurnEnded)]
    told = [f for f in feed(reader, "notify", rows(version, "notify")) if isinstance(f, TurnEnded)]
    assert len(told) == 5  # 0.169 has 17 rows: 12 are of threads that make a title
    assert {t.turn_key for t in told} <= {e.turn_key for e in ends if e.outcome == "completed"}


def test_history_of_a_resumed_thread_is_not_told() -> None:
    old = rows("0.145.0", "rollout")
    reader = ADAPTER.reader((0, 145))
    reader.rollout.began = 1795240282.0  # 05:51:22: in the middle of the recording
    facts = feed(reader, "rollout", old)
    assert len([f for f in facts if isinstance(f, AgentSession)]) == 1
    assert not any(isinstance(f, Submitted) and "hang" in f.text for f in facts)
    calls = [f for f in facts if isinstance(f, ModelCall)]
    everything = [f for f in feed(ADAPTER.reader(None), "rollout", old) if isinstance(f, ModelCall)]
    assert 0 < len(calls) < len(everything)
    assert calls == everything[-len(calls) :]  # with the ids and numbers that they always have


def test_work_that_is_shown_of_a_turn_that_was_cut_off_is_none() -> None:
    """Measured with 0.104: resumed, it paints `Working` for ever of the turn that its killed process left open."""
    history = rows("0.104.0", "rollout")
    ends = [n for n, row in enumerate(history) if row["payload"].get("type") == "task_started"]
    history = history[: ends[1] + 1]  # one whole turn, and the start of another
    view = case("0.104.0", "thinking")

    def resumed(began: float) -> CodexReader:
        reader = ADAPTER.reader((0, 104))
        reader.began = began
        list(reader.spawned(1, {}, "/"))
        feed(reader, "rollout", history)
        return reader

    last = datetime.fromisoformat(history[-1]["timestamp"].replace("Z", "+00:00")).timestamp()
    assert states(resumed(last - 3600).screen(view))[-1] == ("busy", "")  # it is this process's own turn
    reader = resumed(last + 0.001)
    assert set(states(reader.screen(view))) == {("prompt", "")}
    assert states(reader.submitted()) == []
    assert states(reader.screen(view)) == [("busy", "")], "the message that is now being worked on"
    # However the clock was set since the start: what follows a row of this process is of this process.
    (busy,) = [f for f in feed(resumed(last - 0.001), "rollout", [
        {**history[-1], "timestamp": "2020-01-01T00:00:00.000Z", "payload": {"type": "task_started", "turn_id": "x"}}
    ]) if isinstance(f, Observation)]  # fmt: skip
    assert busy.state is State.BUSY


def test_the_parents_rows_in_a_fork_are_not_told() -> None:
    """Up to 0.145 a fork copies its parent's rows under new stamps; turn ids keep the time of their making."""
    parent = rows("0.145.0", "rollout")
    head = {"type": "session_meta", "timestamp": "2026-11-21T07:00:00.000Z", "payload": {"id": "fork", "source": "cli"}}
    copied = [{**row, "timestamp": "2026-11-21T07:00:00.001Z"} for row in parent]
    reader = ADAPTER.reader((0, 145))
    reader.rollout.began = 1795244400.0  # 07:00
    facts = feed(reader, "rollout", [head, *copied])
    assert facts == [AgentSession("fork")]
    turn = {"type": "task_started", "turn_id": "01a1fce8-0000-7000-8000-000000000000"}
    facts = feed(reader, "rollout", [{"type": "event_msg", "timestamp": "2026-11-21T07:01:00.000Z", "payload": turn}])
    assert states(facts) == [("busy", "")]


@pytest.mark.parametrize("version", ["0.145.0", "0.169.0"])
def test_sub_agents(version: str) -> None:
    reader = ADAPTER.reader(version_of(version))
    facts = feed(reader, "rollout", rows(version, "sub_parent"))
    asked = [f for f in facts if isinstance(f, FindFile)]
    assert len(asked) == 1
    child = rows(version, "sub_child")
    assert asked[0].held == f"rollout-*{child[0]['payload']['id']}.jsonl"
    facts = feed(reader, asked[0].source, child)
    assert {type(f) for f in facts} == {ModelCall, SubAgent}  # no state, no turn, no session of its own
    name = child[0]["payload"]["source"]["subagent"]["thread_spawn"]["agent_nickname"]
    assert [f.agent for f in facts if isinstance(f, ModelCall)] == [name]
    assert [f for f in facts if isinstance(f, SubAgent)] == [SubAgent(name, "started"), SubAgent(name, "ended")]


def test_a_sub_agents_file_found_first_is_not_taken_for_the_main_one() -> None:
    reader = ADAPTER.reader((0, 169))
    child, parent = rows("0.169.0", "sub_child"), rows("0.169.0", "sub_parent")
    facts = feed(reader, "rollout", child)
    assert not any(isinstance(f, AgentSession | TurnEnded | Observation) for f in facts)
    [find] = [f for f in facts if isinstance(f, FindFile)]
    assert find.held == f"rollout-*{parent[0]['payload']['id']}.jsonl"
    facts = feed(reader, find.source, parent)
    assert AgentSession(parent[0]["payload"]["id"]) in facts
    assert {f.source for f in facts if isinstance(f, Observation)} == {"rollout"}


def test_a_failed_turn_that_only_the_screen_explains() -> None:
    """0.104: `task_complete` with `last_agent_message: null`, and the reason only on the screen."""
    reader = ADAPTER.reader((0, 104))
    list(reader.screen(case("0.104.0", "idle")))
    facts: list[Fact] = []
    for row in rows("0.104.0", "rollout"):
        facts += reader.row("rollout", row)
        if "429" in str(row["payload"].get("message")):
            break
    after = rows("0.104.0", "rollout")
    end = next(i for i, r in enumerate(after) if "429" in str(r["payload"].get("message")))
    failed = next(r for r in after[end:] if r["payload"].get("type") == "task_complete")
    facts = list(reader.row("rollout", failed))
    assert states(facts) == [("prompt", "")]
    assert not any(isinstance(f, TurnEnded) for f in facts)  # the screen still shows what was before
    [told] = [f for f in reader.screen(case("0.104.0", "error_429")) if isinstance(f, TurnEnded)]
    assert (told.outcome, told.reason, told.turn_key) == ("failed", "rate_limit", failed["payload"]["turn_id"])


def test_a_failed_turn_without_any_row() -> None:
    """Up to 0.98 a failed turn leaves no end in the rollout: without the screen it would be busy for ever."""
    reader = ADAPTER.reader((0, 80))
    list(reader.screen(case("0.80.0", "permission_denied")))
    every = rows("0.80.0", "rollout")
    at = next(i for i, r in enumerate(every) if "429" in str(r["payload"].get("message")))
    facts = feed(reader, "rollout", every[: at + 1])
    assert states(facts)[-1] == ("busy", "")
    assert not any(isinstance(f, TurnEnded) for f in reader.screen(case("0.80.0", "thinking")))
    facts = list(reader.screen(case("0.80.0", "error_429")))
    assert ("prompt", "") in [(f.state.value, f.dialog) for f in facts if getattr(f, "source", "") == "rollout"]
    assert [(f.outcome, f.reason) for f in facts if isinstance(f, TurnEnded)] == [("failed", "rate_limit")]


def test_another_conversation_in_the_same_program_is_looked_for() -> None:
    """After `/new` the old file stays silent: two spells of work without a row, and the search begins again."""
    reader = ADAPTER.reader((0, 145))
    feed(reader, "rollout", rows("0.145.0", "rollout"))
    facts: list[Fact] = []
    for title in ("⠋ d", "d", "⠋ d", "d"):
        facts += reader.osc(0, title)
    assert FindFile("rollout", "rollout-*.jsonl") in facts
    assert Retracted("rollout") in facts
    new = feed(reader, "rollout", rows("0.145.0", "sub_parent"))
    assert [f.session_id for f in new if isinstance(f, AgentSession)] == [
        rows("0.145.0", "sub_parent")[0]["payload"]["id"]
    ]


# ---- launch ----


def request(**over: Any) -> LaunchRequest:
    base: dict[str, Any] = {
        "command": "/bin/codex",
        "args": (),
        "version": (0, 169, 0),
        "cwd": "/work/a \"q' é",
        "env": {"HOME": "/home/me", "TERM": "xterm-256color"},
        "permissions": "ask",
        "trust": False,
        "evidence_dir": "/run/ev",
        "new_session_id": "u",
        "as_root": False,
        "read_text": lambda path: None,
    }
    return LaunchRequest(**{**base, **over})


def configs(argv: tuple[str, ...]) -> dict[str, Any]:
    """The -c options of a command line as one table, as Codex reads them."""
    table: dict[str, Any] = {}
    for name, value, _, _ in flags(argv[1:]):
        if name == "-c":
            table.update(tomllib.loads(value))
    return table


def test_no_daemon_only_where_it_is_known() -> None:
    assert "--no-daemon" in ADAPTER.launch(request(version=(0, 156))).argv
    for version in ((0, 155), (0, 80), None):
        argv = ADAPTER.launch(request(version=version)).argv
        assert "--no-daemon" not in argv
        assert "features.daemon_auto_start=false" in argv


def test_trust_is_only_given_when_it_was_asked_for() -> None:
    assert "projects" not in configs(ADAPTER.launch(request()).argv)
    for over in ({"trust": True}, {"permissions": "bypass"}):
        table = configs(ADAPTER.launch(request(**over)).argv)
        assert table["projects"] == {"/work/a \"q' é": {"trust_level": "trusted"}}
    table = configs(ADAPTER.launch(request(trust=True, args=("-C", "/other"))).argv)
    assert list(table["projects"]) == ["/other"]


def test_permissions() -> None:
    assert not {"-a", "-s"} & set(ADAPTER.launch(request()).argv)
    auto = ADAPTER.launch(request(permissions="auto"))
    assert auto.permissions == "-a never -s workspace-write"
    assert "dangerously" not in " ".join(auto.argv)
    bypass = ADAPTER.launch(request(permissions="bypass"))
    assert "--dangerously-bypass-approvals-and-sandbox" in bypass.argv
    own = ADAPTER.launch(request(permissions="bypass", args=("-s", "read-only")))
    assert "dangerously" not in " ".join(own.argv)
    assert own.permissions == "-s read-only"
    assert any("your own" in note for note in own.notes)


def test_hooks_of_the_repository_are_never_trusted() -> None:
    for permissions in ("ask", "auto", "bypass"):
        argv = ADAPTER.launch(request(permissions=permissions, trust=True)).argv
        assert "--dangerously-bypass-hook-trust" not in argv


def test_subcommands_keep_their_place() -> None:
    argv = ADAPTER.launch(request(args=("resume", "ID", "-m", "gpt-5"), permissions="auto")).argv
    assert argv[-4:] == ("resume", "ID", "-m", "gpt-5")
    assert argv.index("--no-daemon") < argv.index("resume")
    assert subcommand(("-m", "resume", "fix the bug")) == ("", 3)
    assert subcommand(("-m", "x", "resume")) == ("resume", 2)
    assert ADAPTER.launch(request(args=("login", "status"))).argv == ("/bin/codex", "login", "status")


def test_exec_takes_the_permissions_it_understands() -> None:
    auto = ADAPTER.launch(request(args=("exec", "--json"), permissions="auto")).argv
    assert "-a" not in auto
    assert "--no-daemon" not in auto
    assert configs(auto)["approval_policy"] == "never"
    bypass = ADAPTER.launch(request(args=("exec", "--json"), permissions="bypass")).argv
    assert bypass.index("exec") < bypass.index("--dangerously-bypass-approvals-and-sandbox")


def test_the_variables_of_an_outer_codex_are_taken_away() -> None:
    env = {"HOME": "/h", "TERM": "dumb", "CODEX_THREAD_ID": "t", "CODEX_CI": "1", "NO_COLOR": "1", "CODEX_HOME": "/c"}
    change = ADAPTER.launch(request(env=env)).env
    assert {change[name] for name in ("CODEX_THREAD_ID", "CODEX_CI", "NO_COLOR")} == {None}
    assert "CODEX_HOME" not in change
    assert change["TERM"] == "xterm-256color"
    assert "NO_COLOR" not in ADAPTER.launch(request(env={"HOME": "/h", "TERM": "xterm", "NO_COLOR": "1"})).env


@pytest.mark.parametrize("where", ["config", "args"])
def test_notify_runs_the_persons_own_after_ours(where: str, tmp_path: Path) -> None:
    evidence = tmp_path / "an 'odd' dir"
    evidence.mkdir()
    own = ["/bin/sh", "-c", 'printf "%s|%s" "$0" "$1" > "$2"', "my own", "x y", str(tmp_path / "own")]
    line = "notify=" + toml(own)
    over: dict[str, Any] = {"evidence_dir": str(evidence)}
    if where == "config":
        over["read_text"] = lambda path: line if path == "/home/me/.codex/config.toml" else None
    else:
        over["args"] = ("-c", line, "-m", "gpt-5")
    launch = ADAPTER.launch(request(**over))
    assert launch.argv.count(line) == 0
    assert any("your notify" in note for note in launch.notes)
    program = configs(launch.argv)["notify"]
    said = json.dumps({"type": "agent-turn-complete", "last-assistant-message": 'a "b" $c \\n é'}, ensure_ascii=False)
    for _ in range(2):
        done = subprocess.run([*program, said], capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")
    assert (evidence / "notify.jsonl").read_text() == f"{said}\n{said}\n"
    assert (tmp_path / "own").read_text() == "my own|x y"
    assert list(evidence.iterdir()) == [evidence / "notify.jsonl"]
    found = list(ADAPTER.reader(None).spawned(1, {EVIDENCE: launch.env[EVIDENCE] or ""}, "/"))
    assert Follow("notify", f"{evidence}/notify.jsonl") in found


# ---- typing and stopping ----


def test_what_begins_like_a_command_is_typed_as_text() -> None:
    assert plain("/quit", (0, 169)) == " /quit"
    assert plain("  /quit", (0, 80)) == " /quit"
    assert plain("!ls", (0, 169)) == " !ls"
    assert plain("!ls", (0, 145)) == "\u2800!ls"  # behind a blank it still runs a shell command there
    assert plain("!ls", None) == "\u2800!ls"
    for text in ("#x", "@x y", "$x y", "?x", "plain", " two\nlines", "me@x"):
        assert plain(text, (0, 80)) == text
    for text in ("@x", "use $x", "look\n@src/a.py"):  # the list that they open would take the Enter
        assert plain(text, (0, 145)) == text + " "
    typing = ADAPTER.typing("a\x1b[201~\x03b\r\nc", (0, 169))
    assert typing.paste == PASTE_START + b"a[201~b\nc" + PASTE_END
    assert b"\x03" not in typing.clear  # on an empty composer it would end Codex
    assert ADAPTER.typing("x" * 200_000, (0, 169)).accept_s > 6


def test_interrupt() -> None:
    assert ADAPTER.interrupt(case("0.169.0", "streaming"), (0, 169)) == b"\x1b"
    assert ADAPTER.interrupt(case("0.145.0", "thinking"), (0, 145)) == b"\x1b"
    assert ADAPTER.interrupt(case("0.145.0", "permission_exec"), (0, 145)) == b"\x1b"
    hidden = ADAPTER.interrupt(case("0.145.0", "streaming_lines"), (0, 145))
    assert hidden.endswith(b"\x03")


def test_rehearsal_is_private_and_complete() -> None:
    rehearsal = ADAPTER.rehearsal("http://127.0.0.1:9/", "/h", '/w/"x', (0, 169))
    assert rehearsal is not None
    config = tomllib.loads(rehearsal.files["/h/.codex/config.toml"])
    assert config["model_providers"][config["model_provider"]]["base_url"] == "http://127.0.0.1:9/v1"
    assert config["projects"] == {'/w/"x': {"trust_level": "trusted"}}
    assert rehearsal.env["CODEX_HOME"] == "/h/.codex"
    assert rehearsal.env["OPENAI_API_KEY"] is None


# ---- what other versions showed ----


def test_a_page_that_wants_enter_is_no_start() -> None:
    """0.58 opens with a page about new models: it was `starting` for ever."""
    lines = ("", "> Some news of tomorrow", "", "  Read it.", "", "  Press enter to continue")
    [seen] = screen("0.58.0", *lines, cursor=(5, 25), hidden=True)
    assert isinstance(seen, Observation)
    assert (seen.state, seen.dialog) == (State.BLOCKED, "other")


def test_a_long_paste_is_no_command_and_its_draft_is_one() -> None:
    """0.169 folds a paste of more than 1,000 characters, trims it, refuses `/long` and puts the placeholder back."""
    assert plain("/long " + "z" * 5000, (0, 169)).startswith("\u2800/long")
    assert plain("/short", (0, 169)) == " /short"
    assert ADAPTER.reader((0, 169)).draft(case("0.169.0", "refused_command")) == "[Pasted Content 5000 chars]"


def old_rows(*payloads: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"type": "session_meta", "payload": {"id": "t1", "source": "cli"}}
    kinds = ("user_message", "agent_message", "token_count", "turn_aborted")
    return [
        head,
        *({"type": "event_msg" if p["type"] in kinds else "response_item", "payload": p} for p in payloads),
    ]


def counted(n: int) -> dict[str, Any]:
    usage = {"input_tokens": n, "output_tokens": n, "total_tokens": 2 * n}
    return {"type": "token_count", "info": {"total_token_usage": usage, "last_token_usage": usage}}


ASKED = {"type": "user_message", "message": "go"}
SAID = {"type": "message", "role": "assistant", "content": []}
CALL = {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}


def ends(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    return [(f.outcome, f.last_message) for f in facts if isinstance(f, TurnEnded)]


def test_a_tool_that_is_written_late_is_no_end() -> None:
    """0.58 writes a tool's call beside its output: until then the rows look like an answer's."""
    reader = ADAPTER.reader((0, 58))
    rows = old_rows(ASKED, {"type": "agent_message", "message": "I run it."}, counted(1))
    assert ends(feed(reader, "rollout", rows)) == []
    more = old_rows(SAID, CALL, OUTPUT, {"type": "agent_message", "message": "Done."}, counted(2))[1:]
    assert ends(feed(reader, "rollout", more)) == []
    told = {"type": "agent-turn-complete", "thread-id": "t1", "turn-id": "1", "last-assistant-message": "Done."}
    assert ends(reader.row("notify", told)) == [("completed", "Done.")]


def test_notify_may_be_read_before_the_rows_it_tells_of() -> None:
    reader = ADAPTER.reader((0, 58))
    assert ends(feed(reader, "rollout", old_rows(ASKED))) == []
    told = {"type": "agent-turn-complete", "thread-id": "t1", "turn-id": "1", "last-assistant-message": "Done."}
    assert ends(reader.row("notify", told)) == []
    rest = old_rows({"type": "agent_message", "message": "Done."}, counted(1), SAID)[1:]
    assert ends(feed(reader, "rollout", rest)) == [("completed", "Done.")]


def test_a_refusal_faster_than_the_row_of_its_prompt() -> None:
    """0.92 tells of a failed turn on the screen only, and may paint it before the prompt's row is read."""
    reader = ADAPTER.reader((0, 92))
    foot = ("", "\u203a Implement {feature}", "", "  100% context left")
    box = ScreenView(("  Tip: x", *foot), (2, 2))
    failed = ScreenView(("  Tip: x", "\u203a go", "", "\u25a0 unexpected status 400", *foot), (5, 2))
    assert ends(reader.screen(box)) == []
    assert ends(reader.screen(failed)) == []
    assert ends(feed(reader, "rollout", old_rows(ASKED))) == [("failed", "")]
    again = ScreenView((*failed.lines[:4], "\u203a go", "", "\u25a0 unexpected status 400", *foot), (8, 2))
    assert ends(reader.screen(failed)) == []
    assert ends(reader.screen(again)) == []
    assert ends(feed(reader, "rollout", old_rows(ASKED)[1:])) == [("failed", "")]


def test_a_prompt_that_was_put_back_is_a_draft() -> None:
    """0.137, interrupted before the first token: the cursor stands in front of it, as with a placeholder."""
    reader = ADAPTER.reader((0, 137))
    lines = ("\u25a0 Conversation interrupted", "", "\u203a the first task", "", "  gpt-5 default")
    assert reader.draft(ScreenView(lines, (2, 2))) == ""
    feed(reader, "rollout", old_rows({"type": "user_message", "message": "the first task"}))
    assert reader.draft(ScreenView(lines, (2, 2))) == "the first task"
    other = ("\u25a0 Conversation interrupted", "", "\u203a Summarize recent commits", "", "  gpt-5 default")
    assert reader.draft(ScreenView(other, (2, 2))) == ""


def test_working_that_is_left_behind_by_an_interrupt() -> None:
    """0.166, Esc while a tool runs that goes on in the background: OSC 7501 says `working` for ever."""
    reader = ADAPTER.reader((0, 166))
    list(reader.osc(7501, "state=working:app=codex"))
    feed(reader, "rollout", old_rows(ASKED))
    facts = feed(reader, "rollout", old_rows({"type": "turn_aborted", "reason": "interrupted"})[1:])
    assert Retracted("osc7501") in facts
    assert ends(facts) == [("interrupted", "")]


def test_the_tool_of_an_mcp_server_wants_permission() -> None:
    """Read from a file, where no cursor tells that the marked line is a choice and no composer."""
    lines = (
        "Field 1/1",
        'Allow the browser MCP server to run tool "new_page"?',
        "› 1. Allow                   Run the tool and continue.",
        "  2. Allow for this session  Run the tool and remember this choice for this session.",
        "  3. Cancel                  Cancel this tool call",
        "enter to submit | esc to cancel",
    )
    (fact,) = (f for f in screen("0.169.0", *lines) if isinstance(f, Observation))
    assert (fact.state, fact.dialog) == (State.BLOCKED, "permission")
    assert fact.options == ("Allow", "Allow for this session", "Cancel")


def test_a_thread_that_counts_otherwise_is_told_once() -> None:
    """What the CLI says that it used against what was counted: both numbers, one diagnostic."""
    reader = ADAPTER.reader((0, 169))
    good = rows("0.169.0", "rollout")
    feed(reader, "rollout", good)
    assert [f for f in reader.ended() if isinstance(f, Remark)] == []
    bad = json.loads(json.dumps(good))
    last = [r for r in bad if r["type"] == "token_usage_record"][-1]["payload"]
    last["thread_token_usage"]["output_tokens"] += 1000
    reader = ADAPTER.reader((0, 169))
    feed(reader, "rollout", bad)
    (remark,) = [f for f in reader.ended() if isinstance(f, Remark)]
    assert f"output_tokens {last['thread_token_usage']['output_tokens']:,}" in remark.text


def test_the_arguments_that_last() -> None:
    """What a person gave, for a conversation that goes on: without the prompt, which would be sent again."""

    def last(args: tuple[str, ...]) -> tuple[str, ...]:
        words = ADAPTER.resume_args("id", args)
        assert words[:2] == ("resume", "id")
        return words[2:]

    assert last(("-m", "gpt-5", "fix it")) == ("-m", "gpt-5")
    assert last(("resume", "--last", "-c", "a=1", "more")) == ("-c", "a=1")
    assert last(("--full-auto", "--", "-x")) == ("--full-auto",)
    assert last(("-cmodel=x", "--add-dir=/a b", "resume", "id-1")) == ("-cmodel=x", "--add-dir=/a b")


PLAN = (
    "  Implement this plan?",
    "",
    "› 1. Yes, implement this plan          Switch to Default and start coding",
    "  2. Yes, clear context and implement  Fresh thread with this plan",
    "  3. No, stay in Plan mode             Continue planning with the model",
    "",
    "  enter select · esc back",
)


def test_a_plan_is_the_last_word_of_its_turn_and_asks() -> None:
    """0.104 to 0.169 end such a turn without a message, and ask a moment after it."""
    reading = screens.read(ScreenView(PLAN, cursor_hidden=True))
    assert (reading.dialog, len(reading.options)) == ("plan", 3)
    reader = CodexReader((0, 163, 0))
    rows = (
        {"type": "task_started", "turn_id": "t1"},
        {"type": "item_completed", "item": {"type": "UserMessage", "content": [{"text": "plan it"}]}},
        {"type": "item_completed", "item": {"type": "Plan", "text": "# Plan"}},
        {"type": "task_complete", "turn_id": "t1", "last_agent_message": None},
    )
    facts = [f for row in rows for f in reader.row("rollout", {"type": "event_msg", "payload": row})]
    assert [(f.outcome, f.last_message) for f in facts if isinstance(f, TurnEnded)] == [("completed", "# Plan")]
    (said,) = [f for f in facts if isinstance(f, Observation) and f.state is State.PROMPT]
    assert said.settle_s > 0
    (idle,) = reader.osc(7501, "state=idle:app=codex")
    assert isinstance(idle, Observation)
    assert idle.settle_s > 0


def test_an_end_that_stayed_unclear_is_told_when_the_next_turn_begins() -> None:
    reader = CodexReader((0, 145, 0))
    rows = (
        {"type": "task_started", "turn_id": "t1"},
        {"type": "task_complete", "turn_id": "t1", "last_agent_message": None},
        {"type": "task_started", "turn_id": "t2"},
    )
    facts = [f for row in rows for f in reader.row("rollout", {"type": "event_msg", "payload": row})]
    assert [f.turn_key for f in facts if isinstance(f, TurnEnded)] == ["t1"]

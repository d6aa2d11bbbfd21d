"""codex/screen.py and the adapter's word on it, against recorded screens: state, draft, last turn.

A corpus case holds the true state; `screen_says` is what the screen alone can know.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harnex.agents.codex import screen as screens
from harnex.agents.codex.adapter import ADAPTER
from harnex.model.facts import Fact, Observation, ScreenView, State
from tests.unit.agents.codex._bench import VERSIONS, case, load, version_of

CORPUS = Path(__file__).parents[3] / "corpus" / "codex"
CASES = sorted(p.parent for p in CORPUS.glob("*/*/case.json"))


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


# ---- what other versions showed ----


def test_a_page_that_wants_enter_is_no_start() -> None:
    """0.58 opens with a page about new models: it was `starting` for ever."""
    lines = ("", "> Some news of tomorrow", "", "  Read it.", "", "  Press enter to continue")
    [seen] = screen("0.58.0", *lines, cursor=(5, 25), hidden=True)
    assert isinstance(seen, Observation)
    assert (seen.state, seen.dialog) == (State.BLOCKED, "other")


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

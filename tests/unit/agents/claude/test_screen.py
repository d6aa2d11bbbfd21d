"""claude/screen.py and the adapter's word on it, against recorded screens (tests/corpus/claude): state, draft, last turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harnex.agents.claude.adapter import ADAPTER
from harnex.agents.claude.screen import classify
from harnex.model.facts import FAILURE_REASONS, ScreenView, State
from tests.unit.agents.claude._bench import CASES, V3, V4, VERSIONS, case, number, seen, view_of

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "claude"


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


# -- what other versions showed --------------------------------------------------------------------


def test_an_answered_dialog_that_was_left_on_the_screen() -> None:
    """1.0.60 paints below it; between two paints the box is missing."""
    lines = (*case("1.0.60", "trust").lines, "", *(f"line {n}" for n in range(9)), "> the first task")
    reader = ADAPTER.reader((1, 0, 60))
    assert seen(reader, ScreenView(lines)).state is State.STARTING
    assert seen(reader, case("1.0.60", "idle")).state is State.PROMPT
    assert seen(reader, ScreenView(lines)).state is State.UNKNOWN


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

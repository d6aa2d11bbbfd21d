"""What a person opened over the prompt, read from the screen: blocked for who asks, the agent's own state behind it."""

from __future__ import annotations

import pytest

from harnex.agents.catalogue import adapter_for
from harnex.commands.detect import judge
from harnex.machines.activity import Activity
from harnex.model.facts import Observation, ScreenView, State, Suspended

RULE = "─" * 80


def claude(box: str, footer: str = "  ? for shortcuts", above: str = "● An answer.") -> ScreenView:
    return ScreenView((above, "", RULE, box, RULE, footer), columns=80, cursor_hidden=True)


def codex(*lines: str, cursor: tuple[int, int] = (2, 2), hidden: bool = False) -> ScreenView:
    return ScreenView(("• An answer.", "", *lines), cursor=cursor, cursor_hidden=hidden, columns=80)


CLAUDE = (
    ((2, 1, 329), claude("! ", "  ! for shell mode"), "shell mode", b"\x7f"),
    ((2, 1, 329), claude("! rm -r x", "  ! for shell mode"), "shell mode", b"\x15\x7f" * 100),
    ((2, 0, 77), claude("! rm -r x", "  ! for bash mode"), "shell mode", b"\x0c"),
    ((2, 0, 77), claude("& ", "  & to background"), "background mode", b"\x7f"),
    ((1, 0, 128), claude('# Add to memory. Try "Always use tabs"', "  # to memorize"), "memory mode", b"\x7f"),
    ((2, 1, 197), claude("❯ hello", "  search prompts: he"), "the history search", b"\x1b"),
    ((2, 1, 329), claude("❯ ", "  no matching prompt: zz  ⏸ manual mode on"), "the history search", b"\x1b"),
    (
        (2, 0, 77),
        ScreenView(("● An answer.", "", RULE, "  Showing detailed transcript · ctrl+o to toggle"), columns=80),
        "the transcript view",
        b"\x1b",
    ),
)
CODEX = (
    ((0, 169), codex("!", "", "  gpt-5 default", "            Shell mode"), "shell mode", b"\x7f"),
    ((0, 104), codex("› !", "", "            100% context left", cursor=(2, 3)), "shell mode", None),
    ((0, 169), codex("› hello", "", "  reverse-i-search: he  enter accept · esc cancel", cursor=(4, 22)), "the history search", b"\x1b"),
    ((0, 169), codex("› hi", "", "  gpt-5 · ~", "  reverse-i-search: he  enter accept · esc cancel", cursor=(5, 22)), "the history search", b"\x1b"),
    (
        (0, 169),
        codex(" ↑/↓ to scroll · pgup/pgdn to page", " q close · f3 find · esc browse prompts", hidden=True),
        "the transcript view",
        b"q",
    ),
    (
        (0, 104),
        ScreenView(("/ T R A N S C R I P T / / /", "", "› hi", " q to quit   esc to edit prev"), cursor_hidden=True),
        "the transcript view",
        b"q",
    ),
    (
        (0, 169),
        codex("Browsing transcript · ↑↓/jk scroll · ↵ rewind · esc back", hidden=True),
        "the list of prompts",
        b"\x1b",
    ),
)  # fmt: skip
CASES = [("claude", *case) for case in CLAUDE] + [("codex", *case) for case in CODEX]


@pytest.mark.parametrize(("cli", "version", "view", "name", "keys"), CASES)
def test_what_is_open_is_seen_and_how_it_is_left(
    cli: str, version: tuple[int, ...], view: ScreenView, name: str, keys: bytes | None
) -> None:
    adapter = adapter_for(cli)
    seen = [fact for fact in adapter.reader(version).screen(view) if isinstance(fact, Observation)]
    assert [fact.view.name for fact in seen if fact.view] == [name]
    if keys is not None:
        assert [fact.view.leave for fact in seen if fact.view] == [keys]
    verdict = judge(adapter, version, view)
    assert (verdict["state"], verdict["dialog"], verdict["reason"]) == ("blocked", "other", f"{name} is open")


@pytest.mark.parametrize(
    ("cli", "version", "view"),
    [
        ("claude", (2, 1, 329), claude("❯ ")),
        ("claude", (2, 1, 329), claude("❯ !ls is a text here", "")),
        ("claude", (2, 1, 329), claude("❯ ", above="! ls\n  ⎿  (no output)")),
        ("claude", (2, 1, 329), claude("❯ ", above="search prompts: the model may say this")),
        ("codex", (0, 169), codex("›  !ls with the guard of harnex", "", "  gpt-5 default", cursor=(2, 30))),
        ("codex", (0, 104), codex("› ⠀!ls with the guard", "", "   100% context left", cursor=(2, 30))),
        ("codex", (0, 169), codex("! ls", "  ran", "› Ask Codex to do anything", "", "  gpt-5", cursor=(4, 2))),
    ],
)
def test_what_only_looks_like_it_is_the_prompt(cli: str, version: tuple[int, ...], view: ScreenView) -> None:
    facts = adapter_for(cli).reader(version).screen(view)
    assert [fact.view for fact in facts if isinstance(fact, Observation)] == [None]


def test_vims_normal_mode_is_known_from_its_insert_mode() -> None:
    reader = adapter_for("claude").reader((2, 1, 329))

    def opened(footer: str) -> str | None:
        (seen,) = [f for f in reader.screen(claude("❯ ", footer)) if isinstance(f, Observation)]
        return seen.view.name if seen.view else None

    assert opened("  ? for shortcuts") is None  # nobody uses vim here, so far
    assert opened("  -- INSERT -- ⏸ manual mode on") is None
    assert opened("  ? for shortcuts") == "vim's normal mode"
    assert opened("  -- VISUAL --") == "vim's visual mode"
    assert opened("  -- INSERT --") is None


def test_a_suspended_claude_is_no_prompt_and_is_to_be_continued() -> None:
    lines = (
        *claude("❯ ").lines,
        "",
        "Claude Code is suspended. Run `fg` to bring it back.",
        "To undo typing, press ctrl+_.",
    )
    facts = list(adapter_for("claude").reader((2, 1, 329)).screen(ScreenView(lines, columns=80)))
    assert Suspended() in facts
    assert judge(adapter_for("claude"), (2, 1, 329), ScreenView(lines, columns=80))["state"] == "blocked"
    back = ScreenView((*lines, RULE, "❯ ", RULE, "  ? for shortcuts"), columns=80)
    assert Suspended() not in list(adapter_for("claude").reader((2, 1, 329)).screen(back))


def test_an_agent_that_works_behind_a_view_is_busy() -> None:
    adapter = adapter_for("claude")
    activity = Activity(adapter.sources, (2, 1, 329), 0.0)
    activity.observe(Observation("screen", State.PROMPT, "box"), 0.0)
    activity.observe(Observation("session", State.PROMPT, "status idle"), 0.0)
    assert activity.decide(5.0).state is State.PROMPT
    view = next(f for f in adapter.reader((2, 1, 329)).screen(claude("! ")) if isinstance(f, Observation))
    activity.observe(view, 6.0)
    activity.observe(Observation("session", State.BUSY, "status busy"), 6.0)
    assert (activity.decide(6.1).state, activity.decide(6.1).beneath) == (State.BUSY, State.BUSY)
    activity.observe(Observation("session", State.PROMPT, "status idle"), 9.0)
    rests = activity.decide(12.0)
    assert (rests.state, rests.dialog, rests.beneath) == (State.BLOCKED, "other", State.PROMPT)
    activity.observe(Observation("screen", State.PROMPT, "box"), 13.0)
    assert activity.decide(13.0).state is State.PROMPT

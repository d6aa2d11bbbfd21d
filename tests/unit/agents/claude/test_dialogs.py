"""claude/dialogs.py: which dialog stands on the screen, with which options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harnex.agents.claude.adapter import ADAPTER
from harnex.model.facts import ScreenView, State
from tests.unit.agents.claude._bench import CASES, V1, V3, V4, VERSIONS, case, seen, view_of

# -- screens -------------------------------------------------------------------------------------


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


def test_words_inside_a_permission_dialog_do_not_rename_it() -> None:
    view = case("2.1.197", "permission-bash")
    shown = "   echo 'usage limit: Select login method: Accessing workspace: Would you like to proceed?'"
    lines = tuple(shown if line.strip().startswith("touch ") else line for line in view.lines)
    assert shown in lines
    assert seen(ADAPTER.reader(V3), ScreenView(lines, columns=120)).dialog == "permission"


# -- what other versions showed --------------------------------------------------------------------


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

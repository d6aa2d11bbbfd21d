"""watch/news.py: news on the screen, the CLIs' own retries, loops."""

from __future__ import annotations

import pytest

from harnex.model.facts import ToolUse
from harnex.watch.news import Loops, Screen, retrying


def test_spinners_clocks_and_tips_are_no_news_and_tokens_are() -> None:
    screen = Screen()
    screen.look(("❯ do it", "● I look."))
    screen.turn()
    words = ("Computing", "Cooking", "Bunning", "Zigzagging")
    for n in range(40):
        frames = (
            f"{'·✢✳✶✻✽'[n % 6]} {words[n % 4]}… ({n}s · esc to interrupt)",
            f"{'⠋⠙⠹⠸'[n % 4]} Working ({n}s • esc to interrupt)",
            f"  ⎿  Tip: number {words[n % 4]} is good",
            f"✻ API error · Retrying in {n}s · attempt {n}/10",
            f"elapsed {n} s, {n * 7} %",
        )
        moved, new = screen.look(("❯ do it", "● I look.", *frames))
        assert moved and new is (n == 0), n
    assert screen.look(("✢ Computing… (3s · ↓ 12 tokens)",)) == (True, True)
    assert screen.look(("✳ Computing… (4s · ↓ 12 tokens)",)) == (True, False)
    assert screen.look(("✶ Computing… (5s · ↓ 30 tokens)",)) == (True, True)
    assert screen.look(("● And this is new.",)) == (True, True)


def test_a_redraw_for_somebody_who_looks_on_is_no_news() -> None:
    screen = Screen()
    screen.turn()
    assert screen.look(("a wider line than before",), news=False) == (False, False)
    assert screen.look(("a wider line than before", "")) == (True, False)


@pytest.mark.parametrize(
    "line",
    [
        "✻ API error · Retrying in 1s · attempt 1/10",
        "✻ 529 Overloaded · retrying in 3s · attempt 3/10",
        "     Retrying in 5 seconds… (attempt 4/10)",
        "• Reconnecting... 2/5 (3s • esc to interrupt)",
        "• Re-connecting... 1/5 (3s • esc to interrupt)",
        "• Reconnecting... waiting for network (63s • esc to interrupt)",
    ],
)
def test_the_clis_own_retries_are_seen(line: str) -> None:
    assert retrying(("❯ do it", line, "", "› Ask Codex to do anything"))
    assert not retrying(("● I am retrying the test now.", "› x"))


def use(tool: str, given: str, call_id: str, status: str = "started") -> ToolUse:
    return ToolUse(call_id, tool, status, given)  # type: ignore[arg-type]


def test_loops_of_one_two_and_three_calls_are_found_and_work_is_not() -> None:
    for period in (1, 2, 3):
        loops = Loops(4)
        found = [loops.tool(use("Bash", f"cmd {n % period}", f"c{n}")) for n in range(period * 4)]
        assert found[-1] is not None and found[:-1] == [None] * (period * 4 - 1)
    loops = Loops(4)
    for n in range(50):
        assert loops.tool(use("Edit", f"file {n}", f"e{n}")) is None
        assert loops.tool(use("Bash", "make test", f"b{n}")) is None
        assert loops.tool(use("Bash", "", f"b{n}", "failed" if n % 2 else "completed")) is None
    # Cut off, two inputs may differ behind what is seen.
    loops = Loops(3)
    assert [loops.tool(use("Edit", "x" * 200, f"x{n}")) for n in range(9)] == [None] * 9


def test_a_tool_that_always_fails_is_a_loop() -> None:
    loops = Loops(5)
    found = [loops.tool(use("Bash", "", f"f{n}", "failed")) for n in range(6)]
    assert found[-1] == {"tool": "Bash", "what": "the same tool fails", "times": 6} and found[:5] == [None] * 5

"""The state changes twenty times in any second at most, and the last word is never lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.machines.changes import BURST, EVERY_S, Changes


def play(times: list[float]) -> tuple[list[float], list[float], float | None]:
    """What a session does with a word at each of these times: when it changed, when a storm was told, and when what was
    held at last is due."""
    changes, changed, told = Changes(), list[float](), list[float]()

    def decide(now: float) -> None:
        if not changes.hold(now):
            changed.append(now)
            if changes.count(now):
                told.append(now)

    for now in times:
        while (due := changes.wake_at()) is not None and due <= now:
            decide(due)
        decide(now)
    return changed, told, changes.wake_at()


@given(st.lists(st.floats(0, 0.3), max_size=200), st.floats(0.001, 100))
def test_any_second_has_twenty_changes_at_most(gaps: list[float], scale: float) -> None:
    now, times = 100.0, []
    for gap in gaps:
        now += gap * scale
        times.append(now)
    changed, _, due = play(times)
    for at in changed:
        assert sum(at <= other < at + 1.0 for other in changed) <= 2 * BURST
    if times and changed[-1] < times[-1]:
        assert due is not None, "the last word waits"
        assert times[-1] < due <= times[-1] + EVERY_S + 1e-6


def test_a_few_changes_are_told_at_once() -> None:
    assert play([1.0] * BURST) == ([1.0] * BURST, [1.0], None)
    assert play([n * 0.2 for n in range(100)]) == ([n * 0.2 for n in range(100)], [], None)


def test_a_storm_is_told_once_and_the_next_one_again() -> None:
    storm = [n / 1000 for n in range(5000)]
    changed, told, _ = play([*storm, *(60 + at for at in storm)])
    assert [at < 10 for at in told] == [True, False]
    assert len(changed) == pytest.approx(2 * (BURST + 5 / EVERY_S), abs=4)

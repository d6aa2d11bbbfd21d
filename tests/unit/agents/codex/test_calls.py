"""codex/calls.py: each call once, out of counts and running totals."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.codex.calls import Calls
from tests.unit.agents._rows import ORDERS, at, count, event, item, use

# ---- Codex: running totals ----


def told(calls: Calls, *rows: dict[str, Any], past: bool = False) -> list[tuple[int | None, str]]:
    return [(c.total_tokens, c.source) for row in rows for c in calls.tokens(row, past, "main")]


def test_repeats_and_nothings_are_no_calls() -> None:
    calls = Calls()
    rows = (count(None), count(use(1), use(1)), count(use(1), use(1)), count(None), count(use(3), use(2)))
    assert told(calls, *rows, count(use(3), use(2))) == [(11, "rollout"), (22, "rollout")]
    assert calls.difference() is None


def test_a_call_that_was_never_written_is_in_the_next_total() -> None:
    calls = Calls()
    assert told(calls, count(use(1), use(1)), count(use(6), use(2))) == [
        (11, "rollout"),
        (33, "cumulative"),
        (22, "rollout"),
    ]
    assert calls.difference() is None


def test_only_totals() -> None:
    calls = Calls()
    rows = [count(use(n)) for n in (1, 1, 3, 2, 5)]  # 2: it fell, so it began anew
    assert told(calls, *rows) == [(11, "cumulative"), (22, "cumulative"), (22, "cumulative"), (33, "cumulative")]


def test_a_compaction_is_a_new_base() -> None:
    calls = Calls()
    zeros = dict.fromkeys(use(1), 0)
    assert told(calls, count(use(9), use(9)), count(use(4), zeros), count(use(6), use(2))) == [
        (99, "rollout"),
        (22, "rollout"),
    ]
    assert calls.difference() is None


def test_a_resumed_thread_counts_from_where_it_was() -> None:
    calls = Calls()
    assert told(calls, count(use(5), use(2)), past=True) == []
    assert told(calls, count(use(8), use(3))) == [(33, "rollout")]
    assert calls.difference() is None
    begun_anew = Calls()
    assert told(begun_anew, count(use(5), use(5)), past=True) == []
    assert told(begun_anew, count(use(1), use(1))) == [(11, "rollout")]


def test_a_total_that_is_not_the_sum_is_told_with_both_numbers() -> None:
    calls = Calls()
    calls.thread = "t"
    record = {"thread_id": "t", "response_id": "r1", "usage": use(1), "thread_token_usage": use(1)}
    assert [c.call_id for c in calls.record(record, False, "main")] == ["r1"]
    list(calls.record({**record, "response_id": "r2", "thread_token_usage": use(7)}, False, "main"))
    words = calls.difference()
    assert words is not None
    assert "total_tokens 77 (the calls: 22)" in words


@given(st.lists(st.tuples(st.integers(1, 5000), st.booleans(), st.booleans()), max_size=30))
def test_whatever_is_repeated_or_left_out_the_sum_is_the_total(steps: list[tuple[int, bool, bool]]) -> None:
    calls, total, got = Calls(), use(0), 0
    lost = False
    for n, repeated, left_out in steps:
        total = {k: v + use(n)[k] for k, v in total.items()}
        lost = left_out
        if left_out:
            continue
        row = count(dict(total), use(n))
        for _ in range(1 + repeated):
            got += sum(c.total_tokens or 0 for c in calls.tokens(row, False, "main"))
    if not lost and steps and any(not s[2] for s in steps):
        assert calls.difference() is None
        first = next(i for i, s in enumerate(steps) if not s[2])
        before = sum(use(n)["total_tokens"] for n, _, _ in steps[:first])  # a base: it may be an earlier run's
        assert got == total["total_tokens"] - before


# ---- durations ----


def test_tools_that_were_killed_make_no_answer_longer() -> None:
    calls = Calls()
    for row in [*ORDERS["0.145.0"][:4], event({"type": "task_started"}, 20), item("reasoning", 22)]:
        calls.timed(row["type"], row["payload"]["type"], row["payload"], row["timestamp"])
    assert [c.duration_s for c in calls.tokens(count(use(1), use(1)), False, "main", at(23))] == [2.0]

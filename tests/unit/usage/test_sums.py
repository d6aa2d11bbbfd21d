"""usage/sums.py: unknown is null, and every grouping sums to the total."""

from __future__ import annotations

import pytest

from harnex.usage import sums as usage
from harnex.usage.sums import Sums
from tests.unit.usage._bench import call

# ---- totals of the program's own ----


def test_calls_whose_tokens_are_unknown_are_counted() -> None:
    sums = Sums()
    for call_id in "ab":
        sums.take({"call_id": call_id, "input_tokens": 10})
    assert sums.used()["total_tokens"] is None
    assert usage.unknown_calls(sums.used()) == 2
    sums.take({"call_ids": "garbage", "output_tokens": True, "input_tokens": "x"})
    assert sums.used()["calls"] == 3


# ---- sums ----


def test_unknown_is_null_and_a_sum_of_some_says_so() -> None:
    sums = usage.Sums()
    sums.add(call(input_tokens=10, cache_read_tokens=5, cost_usd=0.5))
    sums.add(call(input_tokens=20, partial=True))
    fields = sums.fields()
    assert (fields["input_tokens"], fields["output_tokens"], fields["cost_usd"]) == (30, None, 0.5)
    assert fields["unknown"] == {"cache_read_tokens": 1, "cost_usd": 1}
    assert (fields["calls"], fields["partial_calls"]) == (2, 1)
    assert usage.Sums().fields()["cost_usd"] is None


def test_garbage_in_a_log_is_unknown() -> None:
    assert call(input_tokens="12", output_tokens=True)["input_tokens"] is None


@pytest.mark.parametrize("by", [b for b in usage.BY if b != "call"])
def test_every_grouping_sums_to_the_total(by: str) -> None:
    groups = usage.Groups(by)
    for n in range(20):
        fields = {"input_tokens": n, "model": f"m{n % 3}", "turn": n % 4 or None, "agent": "ab"[n % 2], "id": "x"}
        groups.add(call(**fields, ts=f"2026-11-{10 + n:02d}T12:00:00.000Z" if n else None))
    rows = groups.rows()
    assert sum(r["calls"] for r in rows) == groups.total.calls == 20
    assert sum(r["input_tokens"] for r in rows) == groups.total.fields()["input_tokens"] == 190
    assert all(set(usage.KEYS[by]) <= set(r) for r in rows)

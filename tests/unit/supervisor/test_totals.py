"""supervisor/totals.py: what a CLI's total proves is in the sums."""

from __future__ import annotations

from harnex.model.facts import ModelCall, Rest
from harnex.supervisor.totals import Totals


def test_what_is_proven_is_in_the_sums_and_in_no_call() -> None:
    totals = Totals()
    for call_id, out in (("a", None), ("b", None), ("c", 5)):
        whole = None if out is None else 10 + out
        totals.add(ModelCall(call_id, "m", input_tokens=10, output_tokens=out, total_tokens=whole), 1)
    before = totals.of_turn(1) or {}
    assert (before["output_tokens"], before["total_tokens"], before["unknown"]) == (
        5,
        35,  # all input, and the output that is known
        {"output_tokens": 2, "total_tokens": 2},
    )
    assert (totals.tokens, totals.unknown) == (35, 2)
    told = totals.rest(Rest(("a", "b"), "m", "main", 30, None, 50))
    assert (told.type, told.turn, told.call_ids) == ("usage_rest", 1, ("a", "b"))
    after = totals.of_turn(1) or {}
    assert (after["calls"], after["output_tokens"], after["total_tokens"], after["unknown"]) == (3, 35, 65, {})
    assert (totals.tokens, totals.unknown) == (65, 0)

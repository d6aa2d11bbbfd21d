"""usage/sources.py: files, summed and priced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harnex.usage import sums as usage
from harnex.usage.prices import Prices
from harnex.usage.sources import Files, cost
from harnex.usage.sums import Sums
from tests.unit.agents._rows import write
from tests.unit.agents.claude._tokens import EARLY, files, init, result, row

# ---- sums and costs of what is known together ----


def test_what_calls_used_together_costs_what_they_cost(tmp_path: Path) -> None:
    pytest.importorskip("genai_prices")
    prices = Prices()
    rows = [init(), *(row(call_id, **EARLY) for call_id in "ab"), result(2, 543)]
    for one in rows[1:3]:
        one["message"]["model"] = "claude-sonnet-4-5"
    found, _ = files(write(tmp_path / "s.jsonl", *rows))
    sums = Sums()
    for record in found:
        record["cost_usd"] = cost(record, prices)
        sums.add(record)
    each = {**found[0], "output_tokens": 1}
    one_more = (prices.cost({**each, "output_tokens": 1001}) or 0) - (prices.cost(each) or 0)
    want = 2 * ((prices.cost(each) or 0) - one_more / 1000) + 543 * one_more / 1000
    assert sums.fields()["cost_usd"] == pytest.approx(want, abs=1e-6)
    assert sums.fields()["unknown"] == {}
    assert [r["cost_usd"] is None for r in found] == [True, True, False]
    big = [{**found[0], "input_tokens": 300_000}]  # its output is dearer than that of the others
    assert prices.cost_of_rest(10, big) is None


@pytest.mark.parametrize("by", ["session", "model", "day", "agent", "repo"])
def test_sums_by_whatever_hold_what_is_proven(tmp_path: Path, by: str) -> None:
    path = write(tmp_path / "s.jsonl", init(), row("a", **EARLY), row("b", **EARLY), result(2, 543))
    groups = Files("claude", [str(path)]).sums(by, Prices(), None, None)
    assert [g["output_tokens"] for g in groups.rows()] == [543]
    assert groups.total.fields()["calls"] == 2


CORPUS = Path(__file__).parents[2] / "corpus"


# ---- sums ----


@pytest.mark.parametrize("cli", ["claude", "codex"])
def test_rows_that_are_passed_over_hold_no_call(cli: str) -> None:
    """On what the real CLIs wrote: the quick way, which parses few rows, tells what the thorough one does."""
    files = [str(p) for p in (CORPUS / cli).rglob("*.jsonl")]
    assert len(files) > 10

    def calls(full: bool) -> list[tuple[Any, ...]]:
        names = ("call_id", "model", "source", "partial", "session", *usage.TOKENS)
        return [tuple(r[n] for n in names) for r in Files(cli, files).records(full)]

    assert calls(True) == calls(False) != []

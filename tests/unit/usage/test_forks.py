"""usage/forks.py: sums are the same, however many processes make them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harnex.usage import forks, logs
from harnex.usage import sums as usage
from harnex.usage.prices import Prices
from harnex.usage.sources import Files
from tests.unit.agents._rows import THREAD, count, rollout, turn, use


def corpus(folder: Path) -> None:
    """Rollouts: two threads, a copy of one (each call counts once), and one that is torn."""
    other = THREAD[:-1] + "e"
    for n, thread in enumerate((THREAD, other, THREAD)):
        rows = rollout(turn(thread), *(("event_msg", count(use(10 * k), use(10))) for k in range(1, 40)))
        rows[0]["payload"]["id"] = thread
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        (folder / f"rollout-{n}-{thread}.jsonl").write_text(text + '{"torn' * (n == 1))
        os.utime(folder / f"rollout-{n}-{thread}.jsonl", (1000 + n, 1000 + n))


@pytest.mark.parametrize("by", ["session", "day", "model", "repo"])
@pytest.mark.parametrize("processes", [1, 3])
def test_sums_are_those_of_the_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, processes: int) -> None:
    corpus(tmp_path)
    found = logs.find([str(tmp_path)], "codex").files
    prices = Prices()
    slow, groups = Files("codex", found), usage.Groups(by)
    for record in slow.records(full=True):
        groups.add({**record, "cost_usd": prices.cost(record)})
    monkeypatch.setattr("harnex.usage.sources.FORK_FROM", 0)
    monkeypatch.setattr(forks, "cores", lambda: processes)
    fast = Files("codex", found)
    sums = fast.sums(by, prices, None, None)
    assert sums.rows() == groups.rows()
    assert sums.total.fields() == groups.total.fields()
    assert groups.total.calls == 2 * 39
    assert fast.repeated == slow.repeated == 39
    assert fast.problems() == slow.problems() != []


def test_a_process_that_dies_loses_nothing() -> None:
    first = os.getpid()

    def work(n: int) -> int:
        if os.getpid() != first:
            os._exit(3)
        return n * n

    assert forks.spread(work, 20, 4, lambda: None) == [n * n for n in range(20)]
    assert forks.spread(lambda n: n, 20_000, 2, lambda: None) == list(range(20_000))  # more than a pipe holds

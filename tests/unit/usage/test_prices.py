"""usage/prices.py: what calls cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from harnex import paths
from harnex.usage.prices import Prices
from tests.unit.agents._rows import at
from tests.unit.usage._bench import call

# ---- sums ----


def test_costs_are_the_librarys() -> None:
    library = pytest.importorskip("genai_prices")
    from harnex.usage.prices import Prices

    prices = Prices()
    assert library.__version__ in str(prices.version)
    ts = "2026-11-21T12:00:00.000Z"
    for tokens in (1000, 199_999, 200_000, 200_001, 700_000):
        for model, cli in (("claude-sonnet-4-5", "claude"), ("gpt-5", "codex")):
            record = call(model=model, input_tokens=tokens, cache_read_tokens=tokens // 2, output_tokens=77, ts=ts)
            for _ in range(2):  # by the library, then by its rates
                got = prices.cost({**record, "cli": cli})
            units = library.Usage(input_tokens=tokens, cache_read_tokens=tokens // 2, output_tokens=77)
            want = library.calc_price(units, model, provider_id={"claude": "anthropic", "codex": "openai"}[cli])
            assert got == pytest.approx(float(want.total_price), rel=1e-9)
    assert prices.cost({**call(model="nobody's", input_tokens=1, output_tokens=1), "cli": "codex"}) is None
    assert prices.cost({**call(model="gpt-5", input_tokens=1), "cli": "codex"}) is None  # its output is not known


def test_an_hour_in_the_cache_costs_more() -> None:
    pytest.importorskip("genai_prices")
    from harnex.usage.prices import Prices

    fields = {"model": "claude-sonnet-4-5", "input_tokens": 2000, "cache_write_tokens": 1000, "output_tokens": 0}
    raw = {"cache_creation": {"ephemeral_1h_input_tokens": 1000}}
    five, hour = (Prices().cost({**call(**fields, raw=r), "cli": "claude"}) for r in (None, raw))
    assert five is not None and hour is not None
    assert (five, hour) == (pytest.approx(0.003 + 0.00375), pytest.approx(0.003 + 0.006))


# ---- sums ----


def test_rates_are_remembered_until_the_list_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("genai_prices")
    state = str(paths.private_dir(str(tmp_path / "state")))
    record = {
        "model": "gpt-5", "cli": "codex", "ts": at(0), "raw": None,
        "input_tokens": 1000, "output_tokens": 10, "cache_read_tokens": 500, "cache_write_tokens": None,
    }  # fmt: skip
    first = Prices(state)
    cost = first.cost(record)
    first.remember()
    again = Prices(state)
    monkeypatch.setattr(again, "_loaded", lambda: pytest.fail("the library is not needed"))
    assert (again.cost(record), again.version) == (cost, first.version)
    file = tmp_path / "state" / "cache" / "prices.json"
    for bad in (b"{", file.read_bytes().replace(b'"list":["', b'"list":["/elsewhere')):
        file.write_bytes(bad)
        assert Prices(state).cost(record) == cost

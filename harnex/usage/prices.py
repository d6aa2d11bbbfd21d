"""What calls cost, by the price list of genai-prices (the extra `usage`), which is bundled with it: no network.

The library takes 0.2 s to load and 165 µs a call. Prices are linear between the steps of a list, so the rates of a
model, a day and a step are taken once, held against the library's own sum for the first call, and used for the rest;
they are remembered in `<state>/cache/prices.json` until the library changes, so that it is seldom loaded at all.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from harnex import jsonl, paths, times
from harnex.agents.catalogue import price_provider
from harnex.errors import HarnexError
from harnex.store import durable

REMEMBERED = 5000  # rates; with more the file begins anew


def remembered() -> Prices:
    """Prices for a command: remembered in the state directory, if there can be one."""
    try:
        return Prices(paths.state_dir())
    except HarnexError:
        return Prices()


def available() -> bool:
    """Whether there is a price list at all."""
    return find_spec("genai_prices") is not None


class Prices:
    """Costs in USD. `version` names the price list, None if there is none here: then every cost is unknown."""

    def __init__(self, state: str | None = None) -> None:
        """`state`: the state directory, where rates are remembered; None: nowhere."""
        self.version: str | None = None
        self._rates: dict[tuple[Any, ...], tuple[float, ...] | None] = {}
        self._steps: dict[tuple[Any, ...], tuple[int, ...] | None] = {}
        self._file = os.path.join(state, "cache", "prices.json") if state else ""
        self._known = 0
        self._library: Any = None
        spec = find_spec("genai_prices")
        if spec is None or not spec.origin:
            return
        self._list = _list(spec.origin)
        if not self._file or not self._recall():
            self.version = f"genai-prices {self._loaded().__version__}"

    def _loaded(self) -> Any:
        if self._library is None:
            import genai_prices

            self._library = genai_prices
        return self._library

    def _recall(self) -> bool:
        """Take over what was remembered of this very list."""
        try:
            with open(self._file, "rb") as f:
                told = jsonl.loads_dict(f.read())
        except OSError:
            return False
        if told is None or told.get("list") != self._list or not isinstance(told.get("version"), str):
            return False
        try:
            self._steps = {tuple(key): _tuple(steps) for key, steps in told["steps"]}
            self._rates = {tuple(key): _tuple(rates) for key, rates in told["rates"]}
        except (KeyError, TypeError, ValueError):
            self._steps, self._rates = {}, {}
            return False
        self.version = told["version"]
        self._known = len(self._steps) + len(self._rates)
        return True

    def remember(self) -> None:
        """Write down what is new, as far as that can be done."""
        if not self._file or self.version is None or len(self._steps) + len(self._rates) == self._known:
            return
        if len(self._rates) > REMEMBERED:
            self._steps, self._rates = {}, {}
        told = {
            "list": self._list,
            "version": self.version,
            "steps": [[list(key), steps] for key, steps in self._steps.items()],
            "rates": [[list(key), rates] for key, rates in self._rates.items()],
        }
        with contextlib.suppress(OSError, HarnexError):
            paths.subdir(os.path.dirname(os.path.dirname(self._file)), "cache")
            durable.replace(self._file, jsonl.dumps(told).encode(), through=False)

    def cost(self, record: dict[str, Any]) -> float | None:
        """Of one record; None if its numbers or the model's price are not known."""
        given, output, model = record["input_tokens"], record["output_tokens"], record["model"]
        if self.version is None or given is None or output is None or not model:
            return None
        read, written = record["cache_read_tokens"] or 0, record["cache_write_tokens"] or 0
        hour = _for_an_hour(record["raw"], written)
        if read + written > given:
            return None  # not a price list's business: these numbers contradict each other
        provider, at = price_provider(record["cli"]), record["ts"] or ""
        model_key = (model, provider, at[:10])
        if model_key not in self._steps:
            self._steps[model_key] = self._find_steps(model, provider, at)
        steps = self._steps[model_key]
        if steps is None:
            return None
        counts = (given - read - written, read, written - hour, hour, output)
        key = (*model_key, sum(given > s for s in steps))
        if given in steps or key not in self._rates:
            exact, rates = self._by_library(model, provider, at, counts)
            if given not in steps:
                own = _sum(rates, counts) if rates else None
                fits = own is not None and exact is not None and abs(own - exact) <= 1e-9 + 1e-6 * exact
                self._rates[key] = rates if fits else None
            return exact
        known = self._rates[key]
        return _sum(known, counts) if known else self._by_library(model, provider, at, counts)[0]

    def cost_of_rest(self, output: int | None, of: list[dict[str, Any]]) -> float | None:
        """Of calls of which only the sum of their outputs is known: the input of each, and that sum. None also where the
        price of output depends on the input of its call."""
        nothing = {"input_tokens": 0, "cache_read_tokens": None, "cache_write_tokens": None, "raw": None}
        parts = [self.cost({**record, "output_tokens": 0}) for record in of]
        parts += [self.cost({**record, **nothing, "output_tokens": output}) for record in of[:1]]
        steps = {s for key, found in self._steps.items() if of and key[0] == of[0]["model"] for s in found or ()}
        if not parts or any(r["input_tokens"] > s for r in of for s in steps if r["input_tokens"] is not None):
            return None
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def _find_steps(self, model: str, provider: str | None, at: str) -> tuple[int, ...] | None:
        """From how many input tokens on other prices hold; None: the model has no price."""
        priced = self._calc(model, provider, at, (1, 0, 0, 0, 0))
        if priced is None:
            return None
        steps = set()
        for name in vars(priced.model_price):
            for tier in getattr(getattr(priced.model_price, name), "tiers", ()):
                steps.add(int(tier.start))
        return tuple(sorted(steps))

    def _by_library(
        self, model: str, provider: str | None, at: str, counts: tuple[int, ...]
    ) -> tuple[float | None, tuple[float, ...] | None]:
        """The cost, and what one more token of each kind would cost."""
        priced = self._calc(model, provider, at, counts)
        if priced is None:
            return None, None
        exact = float(priced.total_price)
        rates = []
        for n in range(len(counts)):
            more = self._calc(model, provider, at, tuple(c + 1000 * (i == n) for i, c in enumerate(counts)))
            # A price list in which a step lies between these two does not fit the first call, and is not used.
            rates.append((float(more.total_price) - exact) / 1000 if more is not None else 0.0)
        return exact, tuple(rates)

    def _calc(self, model: str, provider: str | None, at: str, counts: tuple[int, ...]) -> Any:
        fresh, read, written, hour, output = counts
        fields = {"input_tokens": fresh + read + written + hour, "output_tokens": output}
        if read:
            fields["cache_read_tokens"] = read
        if written or hour:
            fields["cache_write_tokens"] = written + hour
        if hour:
            fields["cache_write_1h_tokens"] = hour
        try:
            when = datetime.fromtimestamp(times.parse_iso(at), UTC) if at else None
        except ValueError:
            when = None
        library = self._loaded()
        usage = library.Usage(**fields)
        try:
            return library.calc_price(usage, model, provider_id=provider, genai_request_timestamp=when)
        except (LookupError, ValueError):
            return None  # a model or a kind of token that the list does not know


def _list(origin: str) -> list[Any]:
    """What tells one price list from another: where the library is, and its data's size and time."""
    data = os.path.join(os.path.dirname(origin), "data.py")
    with contextlib.suppress(OSError):
        info = os.stat(data)
        return [data, info.st_size, info.st_mtime_ns]
    return [data, 0, 0]


def _tuple(values: Any) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _sum(rates: tuple[float, ...], counts: tuple[int, ...]) -> float:
    a, b, c, d, e = counts
    return rates[0] * a + rates[1] * b + rates[2] * c + rates[3] * d + rates[4] * e


def _for_an_hour(raw: object, written: int) -> int:
    """How many tokens were written to the cache for an hour, which costs more than for five minutes (Anthropic)."""
    parts = raw.get("cache_creation") if isinstance(raw, dict) else None
    hour = parts.get("ephemeral_1h_input_tokens") if isinstance(parts, dict) else None
    return hour if isinstance(hour, int) and 0 < hour <= written else 0

"""What a model call costs, for `--max-cost`: by the price list of genai-prices (the extra `usage`), bundled with it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from harnex.events import Call

PROVIDERS = {"claude": "anthropic", "codex": "openai"}


def available() -> bool:
    """Whether there is a price list at all."""
    return find_spec("genai_prices") is not None


def price(call: Call, cli: str) -> float | None:
    """US dollars of one call, None if its numbers or the model's price are not known."""
    if call.input_tokens is None or call.output_tokens is None or not call.model:
        return None
    try:
        import genai_prices
    except ImportError:
        return None
    # The list's input holds cached tokens, as ours does; a kind that is 0 need not have a price.
    tokens: dict[str, Any] = {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens}
    for name in ("cache_read_tokens", "cache_write_tokens"):
        if getattr(call, name):
            tokens[name] = getattr(call, name)
    try:
        found = genai_prices.calc_price(genai_prices.Usage(**tokens), call.model, provider_id=PROVIDERS.get(cli))
    except (LookupError, ValueError):
        return None  # a model, or a kind of token, that the list does not know
    return float(found.total_price)

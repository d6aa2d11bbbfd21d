"""What a model call costs, for `--max-cost`, by whatever price list this harnex has."""

from __future__ import annotations

from harnex.events import Call


def available() -> bool:
    """Whether there is a price list at all."""
    return False


def price(call: Call) -> float | None:
    """US dollars of one call, None if that is not known."""
    return None

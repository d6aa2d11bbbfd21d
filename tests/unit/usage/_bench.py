"""For the tests of sums."""

from __future__ import annotations

from typing import Any

from harnex.usage import sums as usage


def call(**fields: Any) -> dict[str, Any]:
    return usage.record({"ts": "2026-11-21T12:00:00.000Z", "model": "m", **fields}, cost_usd=fields.get("cost_usd"))

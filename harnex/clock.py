"""Times: UTC ISO-8601 with milliseconds in files, monotonic seconds inside. Light: on the hot path."""

from __future__ import annotations

import time

monotonic = time.monotonic
wall = time.time


def iso(seconds: float | None = None) -> str:
    """`2026-11-21T05:30:12.123Z` for an epoch time (default: now)."""
    at = wall() if seconds is None else seconds
    whole = int(at // 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((at - whole) * 1000):03d}Z"


def parse_iso(text: str) -> float:
    """Epoch seconds of an ISO-8601 time; one without a zone is local time. Raises ValueError."""
    from datetime import datetime

    return datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00")).timestamp()


def parse_duration(text: str) -> float:
    """Seconds in `90`, `90s`, `1.5m`, `2h`, `1d`. Raises ValueError."""
    text = text.strip().lower()
    factor = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:], 0)
    value = float(text[:-1] if factor else text) * (factor or 1)
    if not 0 <= value < 1e9:  # 31 years; the system's clocks overflow beyond
        raise ValueError(f"out of range: {text}")
    return value


def parse_moment(text: str) -> float:
    """Epoch seconds of an ISO time or of a duration ago (`2h`). Raises ValueError."""
    try:
        return wall() - parse_duration(text)
    except ValueError:
        return parse_iso(text)


def age(seconds: float) -> str:
    """A duration as a person says it: `4s`, `3m`, `2h05m`, `3d`."""
    s = int(max(0.0, seconds))
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m{s % 60:02d}s"
    if s < 86400:
        return f"{s // 3600}h{s % 3600 // 60:02d}m"
    return f"{s // 86400}d{s % 86400 // 3600:02d}h"

"""supervisor/words.py: when a limit ends, for a turn of which the reader does not say it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from harnex.machines.turns import Closed
from harnex.model.facts import TurnEnded
from harnex.supervisor.words import with_reset

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC).timestamp()
KOLKATA = timezone(timedelta(hours=5.5))  # 6:30pm is 13:00 UTC
LIMIT = TurnEnded("screen", "failed", reason="usage_limit", detail="You've hit your limit · resets 6:30pm")


def test_a_limit_ends_by_the_clock_of_the_agent() -> None:
    closed = Closed(1, None, 2.0, LIMIT)
    assert with_reset(closed, NOW, KOLKATA).end.retry_at == "2026-11-21T13:00:00.000Z"
    assert with_reset(closed, NOW, UTC).end.retry_at == "2026-11-21T18:30:00.000Z"


def test_what_is_known_better_stays() -> None:
    for end in (
        replace(LIMIT, retry_at="2026-11-21T12:00:00.000Z"),
        replace(LIMIT, reason="auth"),
        replace(LIMIT, outcome="completed"),
        replace(LIMIT, detail="later"),
    ):
        closed = Closed(1, None, 2.0, end)
        assert with_reset(closed, NOW, UTC) is closed

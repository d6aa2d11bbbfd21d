"""common/resets.py: when a limit ends, out of the words that the CLIs make of it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.common.resets import reset_at

BERLIN = ZoneInfo("Europe/Berlin")
SAID = datetime(2026, 11, 21, 12, 11, 30, tzinfo=UTC).timestamp()  # 13:11 in Berlin


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("You've hit your 5-hour limit · resets 2:41pm (Europe/Berlin)", (21, 13, 41)),
        ("You've hit your session limit · resets 1:41pm (UTC)", (21, 13, 41)),
        ("You've hit your limit · resets 3pm (Europe/Berlin)", (21, 14, 0)),
        ("You've hit your weekly limit · resets Nov 25, 3pm (Europe/Berlin)", (25, 14, 0)),
        ("You've hit your weekly limit · resets Nov 25, 3:30pm (America/New_York)", (25, 20, 30)),
        ("hit your usage limit. … or try again at 1:39 PM.", (21, 12, 39)),
        ("You’ve hit your usage limit. Try again at Nov 25th, 2026 3:45 PM.", (25, 14, 45)),
        ("try again at 9:05 AM.", (22, 8, 5)),
        ("resets 12am (UTC)", (22, 0, 0)),
        ("resets 1:11pm (Europe/Berlin)", (21, 12, 11)),
        ("You've hit your weekly limit · resets Mon 12am", (22, 23, 0)),  # the 21st is a Saturday
        ("resets Monday at 9:00 AM (UTC)", (23, 9, 0)),
        ("resets Sat, 3pm (Europe/Berlin)", (21, 14, 0)),
        ("resets Sat 12am (UTC)", (28, 0, 0)),
        ("resets Mon, Nov 23, 9:00am (UTC)", (23, 9, 0)),
        ("resets tomorrow at 7am (UTC)", (22, 7, 0)),
        ("You've hit your 5-hour limit · resets Nov 26, 9:13pm (Asia/Kolkata)", (26, 15, 43)),
        ("or try again at Nov 26th, 2026 9:00 AM.", (26, 8, 0)),
    ],
)
def test_resets_are_read(text: str, at: tuple[int, int, int]) -> None:
    found = reset_at(text, SAID, BERLIN)
    assert found is not None
    there = datetime.fromtimestamp(found, UTC)
    assert (there.day, there.hour, there.minute, there.second) == (*at, 0)


def test_resets_in_a_span_and_as_a_number() -> None:
    assert reset_at("try again in 3 days 2 hours", SAID) == SAID + 3 * 86400 + 7200
    assert reset_at("Try again in 1 day, 3 hours and 20 minutes.", SAID) == SAID + 86400 + 3 * 3600 + 1200
    assert reset_at("Rate limited. Try again in 20s", SAID) == SAID + 20
    assert reset_at("Claude AI usage limit reached|1760000400", SAID) == 1760000400.0
    for text in ("please try again later", "resets", "try again at 25:00 PM", "", "resets 13pm (Nowhere/Land)"):
        assert reset_at(text, SAID, BERLIN) is None, text


def test_a_year_that_is_not_said_is_the_next_one_in_december() -> None:
    said = datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp()
    assert reset_at("resets Jan 2, 3pm (UTC)", said) == datetime(2027, 1, 2, 15, tzinfo=UTC).timestamp()


@given(st.text(max_size=80))
def test_no_words_make_it_fail(text: str) -> None:
    reset_at(f"resets {text}", SAID)
    reset_at(text, SAID)

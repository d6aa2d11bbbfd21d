"""common/resets.py: when a limit ends, out of the words that the CLIs make of it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.common.resets import epoch_at, reset_at

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
    for text in ("try again at 3:75 PM", "try again at Nov 31st, 2026 3:45 PM.", "resets Feb 29, 3pm"):
        assert reset_at(text, SAID, BERLIN) is None, "there is no such time"


def test_a_number_needs_no_clock() -> None:
    assert epoch_at("Claude AI usage limit reached|1761234567") == 1761234567.0
    assert epoch_at("hit your limit · resets 3pm") is None
    assert epoch_at("order|12345") is None


@pytest.mark.parametrize(
    ("said", "text", "at"),
    [
        # The night to October 25th is an hour longer in Berlin, that to March 29th an hour shorter.
        (datetime(2026, 10, 24, 14, 54, tzinfo=BERLIN), "try again at 4:01 AM.", datetime(2026, 10, 25, 3, 1, tzinfo=UTC)),
        (datetime(2026, 3, 28, 19, 39, tzinfo=BERLIN), "try again at 11:25 AM.", datetime(2026, 3, 29, 9, 25, tzinfo=UTC)),
        (datetime(2026, 10, 23, 9, tzinfo=BERLIN), "resets Mon 12am", datetime(2026, 10, 25, 23, tzinfo=UTC)),
        (datetime(2026, 10, 24, 9, tzinfo=BERLIN), "resets tomorrow at 7am", datetime(2026, 10, 25, 6, tzinfo=UTC)),
        (datetime(2026, 10, 20, 9, tzinfo=BERLIN), "try again at Oct 30th, 2026 3:45 PM.",
         datetime(2026, 10, 30, 14, 45, tzinfo=UTC)),
        # 2:05 comes twice: what was said between them means the second one.
        (datetime(2026, 10, 25, 2, 50, tzinfo=BERLIN), "resets 2:05am", datetime(2026, 10, 25, 1, 5, tzinfo=UTC)),
        (datetime(2026, 10, 25, 1, 50, tzinfo=BERLIN), "resets 2:05am", datetime(2026, 10, 25, 0, 5, tzinfo=UTC)),
        (datetime(2026, 10, 25, 2, 1, tzinfo=BERLIN, fold=1), "resets 2:05am", datetime(2026, 10, 25, 1, 5, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_the_clocks_are_changed_before_the_reset(said: datetime, text: str, at: datetime) -> None:
    found = reset_at(text, said.timestamp(), BERLIN)
    assert found is not None
    assert datetime.fromtimestamp(found, UTC) == at


def test_how_old_a_time_of_this_day_may_be() -> None:
    """Nobody dates the words of a screen; a row has its own time, and only the seconds of the reset are cut off."""
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
    for late, past, days in ((299, 300.0, 0), (301, 300.0, 1), (59, 60.0, 0), (61, 60.0, 1)):
        assert reset_at("resets 12pm (UTC)", noon + late, past=past) == noon + days * 86400
    assert reset_at("resets 12pm (UTC)", noon + 299) == noon


def test_a_year_that_is_not_said_is_the_next_one_in_december() -> None:
    said = datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp()
    assert reset_at("resets Jan 2, 3pm (UTC)", said) == datetime(2027, 1, 2, 15, tzinfo=UTC).timestamp()


@given(st.text(max_size=80))
def test_no_words_make_it_fail(text: str) -> None:
    reset_at(f"resets {text}", SAID)
    reset_at(text, SAID)

"""When a provider's limit ends, out of the words that the CLIs make of it. Pure: `said` is when they were said.

This is the one place where such words are read. Callers import it when a turn has failed: its patterns are large.

Measured on the real CLIs, in rehearsal, with the provider's own headers of a used-up limit:

    Claude Code 2.1.329 (subscription)  You've hit your 5-hour limit · resets 2:41pm (Europe/Berlin)
    Claude Code 2.0.77  (subscription)  You've hit your session limit · resets 1:41pm (UTC)
    Codex 0.104, 0.169                  … or try again at 1:39 PM.

More than a day ahead 2.0.77 writes `resets Nov 25, 3pm (Europe/Berlin)` (its program text: with the year if it is
another one, without minutes if they are 0), Codex `try again at Nov 25th, 2026 3:45 PM`; before that Codex said
`try again in 3 days 2 hours`, and Claude Code 1.x `Claude AI usage limit reached|1760000400`. All cut the seconds off.
Five days ahead, measured: `resets Nov 26, 9:13pm (Asia/Kolkata)` (2.0.77, 2.1.197, 2.1.329, whatever LANG and LC_TIME
say), `try again at Nov 26th, 2026 9:14 PM` (0.80, 0.104, 0.169). Users' reports have `resets Mon 12am`, too: a weekday is
the next one of that name.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

# Words without a date of their own may be read late. A time of day that passed this long ago at most is still today's.
LATE_S = 300.0

_EPOCH = re.compile(r"\|\s*(1[6-9]\d{8}|[2-3]\d{9})\b")
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_SPAN = re.compile(
    r"(?:try again|resets?|retry(?:ing)?|available again)\s+(?:again\s+)?in\s+(?:about\s+)?"
    r"((?:\d+(?:\.\d+)?\s*(?:days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)\b[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(
    r"(?:try again|resets?|reset|available again|retry)\s+(?:at\s+|on\s+)?"
    r"(?:(?P<weekday>mon|tue|wed|thu|fri|sat|sun|tomorrow)(?:[a-z]*)\b\.?,?\s+(?:at\s+)?)?"
    r"(?:(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s*"
    r"(?:(?P<year>20\d\d),?\s*)?(?:at\s+)?)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?(?::\d\d)?\s*(?P<half>[ap])\.?m\b\.?"
    r"(?:\s*\((?P<zone>[A-Za-z_]+(?:/[A-Za-z0-9_+-]+)*)\))?",
    re.IGNORECASE,
)


def epoch_at(text: str) -> float | None:
    """Epoch seconds of a reset that `text` gives as such: it needs no clock. None: it gives none."""
    epoch = _EPOCH.search(text)
    return float(epoch[1]) if epoch else None


def reset_at(text: str, said: float, zone: tzinfo | None = None, past: float = LATE_S) -> float | None:
    """Epoch seconds of the reset that `text` names; None: it names none.

    `zone` is that of a time which names no zone; None is our own. A time of day that passed at most `past` seconds
    before `said` is today's, an older one is tomorrow's: CLIs cut the seconds off.
    """
    epoch = epoch_at(text)
    if epoch is not None:
        return epoch
    text = " ".join(text.replace("\u202f", " ").split())
    span = _SPAN.search(text)
    if span:
        return said + sum(float(n) * _UNITS[unit.lower()] for n, unit in _PART.findall(span[1]))
    clock = _CLOCK.search(text)
    try:
        return _moment(clock, said, zone, past) if clock else None
    except (ValueError, OverflowError, OSError):  # no such day; beyond what a date can be
        return None


def _moment(clock: re.Match[str], said: float, zone: tzinfo | None, past: float) -> float | None:
    """Days are added to the time on the wall, and the offset from UTC is looked up last: it may change in between.
    Raises ValueError, OverflowError, OSError."""
    then = datetime.fromtimestamp(said, _named(clock["zone"]) or zone)
    hour, minute = int(clock["hour"]), int(clock["minute"] or 0)
    if not 1 <= hour <= 12 or minute > 59:
        return None
    hour = hour % 12 + 12 * (clock["half"].lower() == "p")
    at = then.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    if clock["month"]:
        month = _MONTHS.index(clock["month"].lower()) + 1
        at = at.replace(month=month, day=int(clock["day"]), year=int(clock["year"] or then.year))
        if not clock["year"] and at < then - timedelta(days=180):
            at = at.replace(year=then.year + 1)
    elif clock["weekday"]:
        at += timedelta(days=_days_ahead(clock["weekday"].lower(), then, at, past))
    elif at.timestamp() < said - past:
        again = at.replace(fold=1).timestamp()  # where clocks are set back, the same time comes a second time
        return again if again >= said - past else (at + timedelta(days=1)).timestamp()
    return at.timestamp()


def _named(name: str | None) -> tzinfo | None:
    """The zone of this name; None if there is none."""
    if not name:
        return None
    if name.upper() in ("UTC", "GMT", "ETC/UTC"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # only here: few words name a zone

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _days_ahead(weekday: str, then: datetime, at: datetime, past: float) -> int:
    if weekday == "tomorrow":
        return 1
    ahead = (_DAYS.index(weekday) - then.weekday()) % 7
    return 7 if ahead == 0 and at < then - timedelta(seconds=past) else ahead

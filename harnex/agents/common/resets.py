"""When a provider's limit ends, out of the words that the CLIs make of it. Pure: `said` is when they were said.

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
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

PAST = timedelta(minutes=5)  # a time of day that is no older than this is now, cut off; an older one is tomorrow

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


def reset_at(text: str, said: float, local: tzinfo | None = None) -> float | None:
    """Epoch seconds of the reset that `text` names; None: it names none. `local` is the zone of a bare time."""
    epoch = _EPOCH.search(text)
    if epoch:
        return float(epoch[1])
    text = " ".join(text.replace("\u202f", " ").split())
    span = _SPAN.search(text)
    if span:
        return said + sum(float(n) * _UNITS[unit.lower()] for n, unit in _PART.findall(span[1]))
    clock = _CLOCK.search(text)
    return _moment(clock, said, local) if clock else None


def _moment(clock: re.Match[str], said: float, local: tzinfo | None) -> float | None:
    zone: tzinfo | None = local
    if clock["zone"]:
        try:
            zone = UTC if clock["zone"].upper() in ("UTC", "GMT", "ETC/UTC") else ZoneInfo(clock["zone"])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            zone = local
    then = datetime.fromtimestamp(said, zone) if zone is not None else datetime.fromtimestamp(said)
    hour, minute = int(clock["hour"]), int(clock["minute"] or 0)
    if not 1 <= hour <= 12 or minute > 59:
        return None
    at = then.replace(hour=hour % 12 + 12 * (clock["half"].lower() == "p"), minute=minute, second=0, microsecond=0)
    try:
        if clock["month"]:
            month = _MONTHS.index(clock["month"].lower()) + 1
            at = at.replace(month=month, day=int(clock["day"]), year=int(clock["year"] or then.year))
            if not clock["year"] and at < then - timedelta(days=180):
                at = at.replace(year=then.year + 1)
        elif clock["weekday"]:
            at += timedelta(days=_days_ahead(clock["weekday"].lower(), then, at))
        elif at < then - PAST:
            at += timedelta(days=1)
    except ValueError:
        return None
    return at.timestamp()


def _days_ahead(weekday: str, then: datetime, at: datetime) -> int:
    if weekday == "tomorrow":
        return 1
    ahead = (_DAYS.index(weekday) - then.weekday()) % 7
    return 7 if ahead == 0 and at < then - PAST else ahead

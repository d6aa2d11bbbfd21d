"""Times and durations, written and read. Pure: callers pass in the present (`clock` reads it).

Everything computes with seconds since the epoch; text is for files and people. A `zone` of None is
the process's own. On the hot path: `datetime` is loaded by the functions that need it.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False  # `typing` costs more than this module

if TYPE_CHECKING:
    from datetime import tzinfo

DAY_S = 86400.0
FAR_S = DAY_S / 2  # a time of day this far away gets a date
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


# ---- moments ----


def iso(at: float) -> str:
    """`2026-11-21T05:30:12.123Z`, cut off to the millisecond."""
    whole = int(at // 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((at - whole) * 1000):03d}Z"


def iso_second(at: float) -> str:
    """The whole second as `2026-11-21T05:30:12.000Z`, for times that are not known more exactly."""
    return iso(at // 1)


def parse_iso(text: str) -> float:
    """Epoch seconds of an ISO-8601 time; a time without a zone is local time. Raises ValueError."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00")).timestamp()
    except (OverflowError, OSError) as e:  # a local time in the year 1 or 9999
        raise ValueError(f"out of range: {text}") from e


def seconds(stamp: object) -> float | None:
    """Epoch seconds of what should be an ISO-8601 time; None if it is not one."""
    try:
        return parse_iso(stamp) if isinstance(stamp, str) else None
    except ValueError:
        return None


def moment(text: str, now: float) -> float:
    """Epoch seconds of an ISO time or of a duration ago (`2h`). Raises ValueError."""
    try:
        return now - parse_duration(text)
    except ValueError:
        return parse_iso(text)


def compact(at: float) -> str:
    """`20261121T055312123`, UTC: the beginning of a run's name, so that names sort by time."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(at)) + f"{int(at * 1000) % 1000:03d}"


def parse_compact(text: str) -> float | None:
    """The whole second (epoch) of a text that begins as `compact` writes; None if it does not."""
    text = text[:15]
    digits = text[:8] + text[9:]
    if len(text) != 15 or text[8] != "T" or not (digits.isascii() and digits.isdigit()):
        return None
    return seconds(text + "Z")


# ---- in words ----


def local(at: float, form: str, zone: tzinfo | None = None) -> str:
    """A moment in a zone's local time; `form` as in `strftime`."""
    if zone is None:
        return time.strftime(form, time.localtime(at))
    from datetime import datetime

    return datetime.fromtimestamp(at, zone).strftime(form)


def time_of_day(at: float, now: float, form: str = "%H:%M:%S") -> str:
    """The local time of day.

    A time that is half a day or more from `now` gets its date (`Nov 21 05:30:12`).
    """
    return local(at, form if abs(now - at) < FAR_S else "%b %d " + form)


def age(seconds: float) -> str:
    """A duration (seconds) as a person says it: `4s`, `3m05s`, `2h05m`, `3d04h`."""
    s = int(max(0.0, seconds))
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m{s % 60:02d}s"
    if s < 86400:
        return f"{s // 3600}h{s % 3600 // 60:02d}m"
    return f"{s // 86400}d{s % 86400 // 3600:02d}h"


# ---- durations that people set ----


def parse_duration(text: str) -> float:
    """Seconds in `90`, `90s`, `1.5m`, `2h`, `1d`. Raises ValueError."""
    text = text.strip().lower()
    factor = _UNITS.get(text[-1:], 0)
    return in_range(float(text[:-1] if factor else text) * (factor or 1))


def in_range(seconds: float) -> float:
    """A duration that can be waited for, unchanged. Raises ValueError."""
    if not 0 <= seconds < 1e9:  # 31 years; the system's clocks overflow beyond
        raise ValueError(f"out of range: {seconds:g} s")
    return float(seconds)


def duration(seconds: float) -> str:
    """A duration as a person sets it, without parts that are zero: `8m`, `90s`, `2h05m`."""
    s = round(seconds)
    if seconds < 60 or (s < 600 and s % 60):
        return f"{seconds:g}s"
    if s < 3600:
        return f"{s // 60}m" + (f"{s % 60:02d}s" if s % 60 else "")
    return f"{s // 3600}h" + (f"{s % 3600 // 60:02d}m" if s % 3600 >= 60 else "")

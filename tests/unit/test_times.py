"""Times and durations, written and read."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex import times

AT = 1795239012.9876  # 2026-11-21T05:30:12.987Z


def test_written() -> None:
    assert times.iso(AT) == "2026-11-21T05:30:12.987Z"
    assert times.iso_second(AT) == "2026-11-21T05:30:12.000Z"
    assert times.compact(AT) == "20261121T053012987"
    assert times.local(AT, "%b %d %H:%M", ZoneInfo("Asia/Kolkata")) == "Nov 21 11:00"
    assert times.local(AT, "%H:%M:%S") == datetime.fromtimestamp(AT).strftime("%H:%M:%S")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T05:30:12.987Z", "2026-11-21t05:30:12.987z", " 2026-11-21 05:30:12.987+00:00\n",
        "2026-11-21T11:00:12.987+05:30", "20261121T053012.987Z",
    ],
)  # fmt: skip
def test_spellings(text: str) -> None:
    assert times.parse_iso(text) == times.seconds(text) == pytest.approx(1795239012.987, abs=1e-6)


def test_no_zone_is_local_time() -> None:
    assert times.parse_iso("2026-11-21T05:30:12") == datetime(2026, 11, 21, 5, 30, 12).timestamp()


@pytest.mark.parametrize("value", [None, "", "soon", 20261121, 1795239012.9, "2026-13-01T00:00:00Z", ["2026-11-21"]])
def test_no_time(value: object) -> None:
    assert times.seconds(value) is None
    with pytest.raises((ValueError, AttributeError)):
        times.parse_iso(value)  # type: ignore[arg-type]


@given(st.integers(0, 4_000_000_000_000))
def test_what_is_written_is_read(millis: int) -> None:
    at = millis / 1000
    read = times.parse_iso(times.iso(at))
    assert 0 <= at - read < 0.0011 or read == at
    assert times.parse_compact(times.compact(at) + "-9f8e7d6c") == at // 1
    assert times.parse_iso(times.iso_second(at)) == at // 1


@pytest.mark.parametrize("text", ["", "demo", "20261121", "20261121T0530", "20261321T053012123", "2026-11-21T05:30"])
def test_no_compact_time(text: str) -> None:
    assert times.parse_compact(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), (" 1D ", 86400), ("0", 0), ("1e3", 1000)],
)
def test_duration(text: str, seconds: float) -> None:
    assert times.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1s", "1w", "nan", "inf", "1e9", "20000d", "1 h 2 m"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        times.parse_duration(text)


def test_moment() -> None:
    assert times.moment("2h", 10_000.0) == 2800.0
    assert times.moment("2026-11-21T05:30:12Z", 0.0) == 1795239012.0
    with pytest.raises(ValueError):
        times.moment("yesterday", 0.0)


@pytest.mark.parametrize(
    ("seconds", "age", "duration"),
    [
        (-5, "0s", "-5s"), (4.9, "4s", "4.9s"), (60, "1m00s", "1m"), (90, "1m30s", "90s"), (480, "8m00s", "8m"),
        (630, "10m30s", "10m30s"), (7500, "2h05m", "2h05m"), (7200, "2h00m", "2h"), (90_000, "1d01h", "25h"),
    ],
)  # fmt: skip
def test_in_words(seconds: float, age: str, duration: str) -> None:
    assert (times.age(seconds), times.duration(seconds)) == (age, duration)


def test_a_far_time_has_its_date() -> None:
    near, far = times.time_of_day(AT, AT + 43199), times.time_of_day(AT, AT + 43200)
    assert near == datetime.fromtimestamp(AT).strftime("%H:%M:%S")
    assert far == datetime.fromtimestamp(AT).strftime("%b %d %H:%M:%S")
    assert times.time_of_day(AT, AT - 43200, "%H:%M") == datetime.fromtimestamp(AT).strftime("%b %d %H:%M")
    assert datetime.fromtimestamp(times.parse_iso("2026-11-21T00:00Z"), UTC).day == 21


def test_the_present_is_not_read() -> None:
    """The pure half may import it for that."""
    with open(times.__file__) as f:
        tree = ast.parse(f.read())
    used = {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "time"
    }
    assert used == {"strftime", "gmtime", "localtime"}
    assert not {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)} & {"now", "utcnow", "today"}

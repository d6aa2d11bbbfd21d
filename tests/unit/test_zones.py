"""zones.py: the time zone of another process."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harnex.zones import zone_of

# Every other week of three years, and the seconds in which Berlin and New York change their clocks.
WEEKS = list(range(1764500000, 1764500000 + 3 * 31557600, 1209600))
MOMENTS = [
    *WEEKS,
    1774745999, 1774746000, 1792889999, 1792890000, 1772953199, 1772953200, 1793512799, 1793512800,
]  # fmt: skip
LOCALTIME = "import json, sys, time; print(json.dumps([time.localtime(t).tm_gmtoff for t in json.loads(sys.argv[1])]))"
FILE = "/usr/share/zoneinfo/Europe/Berlin"
NAMES = (
    "Europe/Berlin", "America/New_York", "Asia/Kolkata", ":Asia/Tokyo", "UTC", "Etc/GMT+5", FILE, f":{FILE}",
    "EST5EDT", ":EST5EDT", "JST-9", "<+0530>-5:30", "UTC0", "XYZ5", ":AAA5",
    "CET-1CEST,M3.5.0,M10.5.0/3", "NZST-12NZDT,M9.5.0,M4.1.0/3", "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", "CET-1CEST,J60,J300/4",
    "IST-2IDT,M3.4.4/26,M10.5.0", "AB-3", "Nowhere/Land", "Europe", "europe/berlin", "::Asia/Tokyo", ":", "foo", "AAA 5",
    "/nonexistent", "/usr/share/zoneinfo", "/etc/passwd", "../../etc/passwd", "AAA5\n",
)  # fmt: skip


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own zone is none of these."""
    monkeypatch.setenv("TZ", "Pacific/Chatham")


def offsets(env: dict[str, str], moments: list[int] = MOMENTS) -> list[int]:
    zone = zone_of(env)
    there = [datetime.fromtimestamp(t, zone).utcoffset() for t in moments]
    return [int(offset.total_seconds()) for offset in there if offset is not None]


def offsets_of_the_c_library(name: str, moments: list[int]) -> list[int]:
    words = [sys.executable, "-I", "-c", LOCALTIME, json.dumps(moments)]
    done = subprocess.run(words, env={"TZ": name}, capture_output=True, check=True)
    return [int(offset) for offset in json.loads(done.stdout)]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_zone_of_the_c_library(name: str) -> None:
    assert offsets({"TZ": name}) == offsets_of_the_c_library(name, MOMENTS)


@pytest.mark.parametrize("name", ["AAA3BBB", "AAA3BBB2"])
def test_a_summer_without_days(name: str) -> None:
    """glibc has New York's days from a file, and changes the clocks in the same second as New York."""
    assert offsets({"TZ": name}, WEEKS) == offsets_of_the_c_library(name, WEEKS)
    assert len(set(offsets({"TZ": name}, WEEKS))) == 2


@pytest.mark.parametrize("name", ["./Europe/Berlin", "AAA-24", "AAA-24BBB", "AAA23BBB-24,M3.2.0,M11.1.0", "AAA5BBB,"])
def test_what_is_not_supported_is_utc(name: str) -> None:
    assert zone_of({"TZ": name}) is UTC


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # our own zone is the same for all
@given(
    st.text(st.sampled_from("ABCxyz<>+-0123456789:,./MJ é\n"), max_size=20), st.sampled_from(["", "AAA", "AAA3BBB,M3."])
)
def test_no_name_makes_it_fail(text: str, head: str) -> None:
    zone = zone_of({"TZ": head + text})
    datetime.fromtimestamp(MOMENTS[0], zone)


def test_without_a_name_it_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harnex.zones.MACHINE", FILE)
    for env in ({}, {"TZ": ""}):
        assert offsets(env) == offsets({"TZ": "Europe/Berlin"})
    monkeypatch.setattr("harnex.zones.MACHINE", "/nonexistent")
    assert zone_of({}) is UTC


def test_a_file_that_is_cut_off_is_no_zone(tmp_path: Path) -> None:
    cut = tmp_path / "zone"
    cut.write_bytes(Path(FILE).read_bytes()[:30])
    assert zone_of({"TZ": str(cut)}) is UTC


def test_ours_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert zone_of({"TZ": "Pacific/Chatham"}) is None
    assert zone_of({"TZ": "Asia/Tokyo"}) == ZoneInfo("Asia/Tokyo")
    for value in ("", None):
        monkeypatch.delenv("TZ", raising=False)
        if value is not None:
            monkeypatch.setenv("TZ", value)
        assert zone_of({}) is None and zone_of({"TZ": ""}) is None


def test_our_own_zone_loads_nothing() -> None:
    for env, loaded in (({}, "False\n"), ({"TZ": "Asia/Tokyo"}, "True\n")):
        code = f"import sys; from harnex.zones import zone_of; zone_of({env!r}); print('zoneinfo' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], env={}, capture_output=True, text=True, check=True)
        assert done.stdout == loaded

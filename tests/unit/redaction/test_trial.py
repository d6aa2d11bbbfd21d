"""redaction/trial.py: bad patterns of `[redact]` are refused at the start."""

from __future__ import annotations

import pytest

from harnex.redaction import trial

FOREVER = (
    "(a+)+$",
    "(a|aa)+$",
    "(.*)*=",
    ".*.*.*=",
    r"(\w+\s?)*$x",
    r"^(.*?,){11}P",
    r"(?:x+x+)+y",
    r"id-(?:[0-9a-f]+-?)+z",  # only behind `id-`
    r"[A-Z]{3}-(\d+)+x",  # behind what no word of the pattern says
    r"([a-zA-Z]+)*\d!",
    r"(\w+)\1+z",
    r"(?<=token=)(?:[a-z]+\.?)+!",
    "(a?){25}a{25}",
)
FINE = (
    "ACME-[0-9]{6}",
    r"(?<=key=)[^ ]+",
    r"\bsk_[A-Za-z0-9]{20,}\b",
    r"[\w.+-]+@[\w-]+\.[\w.-]+",
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==)",
    r"(?i)\b(?:internal|secret)-[a-z0-9]+(?:-[a-z0-9]+)*\b",
    r"\d{1,3}(?:\.\d{1,3}){3}",
    r"-----BEGIN .*",
)


@pytest.mark.parametrize("pattern", FOREVER)
def test_one_that_runs_for_ever_is_refused(pattern: str) -> None:
    found = trial.problem(["ACME-[0-9]{6}", pattern, "b-[0-9]+"])
    assert found == (1, trial.FOREVER)


def test_those_that_people_write_are_accepted() -> None:
    assert trial.problem(FINE) is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a(b", "not a regular expression"),
        ("x*", "ordinary text"),
        (r"\w+", "ordinary text"),
        ("a" * 1001, "too long: 1,001 characters"),
    ],
)
def test_others_are_refused_with_the_reason(pattern: str, why: str) -> None:
    number, told = trial.problem(["ACME-[0-9]{6}", pattern]) or (-1, "")
    assert number == 1 and why in told


def test_there_is_a_limit_to_their_number() -> None:
    assert trial.problem(["ACME-[0-9]{6}"] * 101) == (100, "too many patterns; at most 100")

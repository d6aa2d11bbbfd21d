"""A person's own patterns of `[redact]`: bad ones are refused at the start, and none can hold a session up."""

from __future__ import annotations

import time

import pytest

from harnex.redaction import patterns, trial
from harnex.redaction.redactor import MARK, Redactor
from harnex.redaction.rules import redactor

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
HIDDEN = r"(?:x|xx)+(?:$|!|\0)"  # slow only before what no trial puts there


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


def test_one_that_no_trial_found_is_given_up_and_told() -> None:
    assert trial.problem([HIDDEN]) is None, "choose another pattern for this test"
    cleaner = redactor({"patterns": [HIDDEN, "ACME-[0-9]{6}"]}, {})
    text = "x" * 60 + "?"
    assert cleaner.text("the number is ACME-123456, xxx!") == f"the number is {MARK}, {MARK}"
    assert cleaner.too_slow() == []
    begun = time.process_time()
    assert [cleaner.text(text) for _ in range(10)] == [MARK] * 10
    assert time.process_time() - begun < 2.0
    assert cleaner.too_slow() == [HIDDEN]
    assert cleaner.text("and ACME-123456") == f"and {MARK}"


def test_a_limit_is_over_with_its_search() -> None:
    """The alarm of one search strikes in no other code."""
    found = patterns.Bounded("ACME-[0-9]+")
    assert found.spans("x ACME-1") == [(2, 8)]
    end = time.process_time() + 3 * patterns.TEXT_S
    while time.process_time() < end:
        pass
    assert (found.spans("ACME-22"), found.slow) == ([(0, 7)], 0)


def test_a_screen_is_covered_where_a_pattern_is_given_up() -> None:
    lines = ["x" * 60 + "?", "second"]
    shown = Redactor((), [patterns.Bounded(HIDDEN)]).redact_lines(lines, 80)
    assert [len(line) for line in shown] == [61, 6] and "x" not in shown[0]

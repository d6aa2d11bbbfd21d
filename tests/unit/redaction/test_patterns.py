"""redaction/patterns.py: none of a person's own patterns can hold a session up."""

from __future__ import annotations

import time

from harnex.redaction import patterns, trial
from harnex.redaction.redactor import MARK, Redactor
from harnex.redaction.rules import redactor

HIDDEN = r"(?:x|xx)+(?:$|!|\0)"  # slow only before what no trial puts there


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

"""common/ledger.py: calls out of more than one record of them."""

from __future__ import annotations

from harnex.agents.common.ledger import Ledger, difference
from harnex.model.facts import ModelCall


def test_a_call_is_told_once_by_whoever_has_its_end() -> None:
    ledger = Ledger()
    begun = ModelCall("a", input_tokens=5, partial=True, text_preview="words", source="stream")
    assert list(ledger.take(begun)) == []
    (told,) = ledger.take(ModelCall("a", input_tokens=5, output_tokens=2))
    assert (told.output_tokens, told.text_preview, told.partial) == (2, "words", False)
    assert list(ledger.take(ModelCall("a", input_tokens=5, output_tokens=3))) == []
    ledger.start()
    assert list(ledger.take(ModelCall("a", input_tokens=5, output_tokens=3))) == []
    assert ledger.sums() == {}
    assert list(ledger.close(cut=False)) == []


def test_a_difference_names_only_what_both_know() -> None:
    assert difference({"input_tokens": 3, "output_tokens": 4}, {"input_tokens": 3}) == ""
    assert difference({"input_tokens": 3}, {"input_tokens": 5, "output_tokens": 1}) == "input 3 against 5"

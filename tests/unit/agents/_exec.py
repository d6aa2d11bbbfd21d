"""For the tests of headless readers."""

from __future__ import annotations

from harnex.model.facts import Fact, ModelCall


def calls_of(facts: list[Fact]) -> list[ModelCall]:
    return [fact for fact in facts if isinstance(fact, ModelCall)]

"""What Paseo's agents write themselves: the transcript of Claude Code, the rollout of Codex.

Paseo's own word on the end of a turn can't be believed: for Claude Code every API failure is `idle`, `completed` and
`finished` (measured: 400, 401, 429, 529, a cut connection). The provider's record tells it, and holds the exact
tokens; Paseo's `LastUsage` is the last call only for Codex, and zero while a turn of Claude runs.
"""

from __future__ import annotations

from typing import Any

from harnex.agents import catalogue
from harnex.agents.common.record import Record
from harnex.agents.paseo.kind import KIND


class Unread(Record):
    """The record of a provider that harnex can't read. Paseo's words on its failures are read as if Codex had said them."""

    def classify(self, text: str) -> tuple[str, str | None]:
        return catalogue.record_of("codex")(self._began).classify(text)


def record_for(provider: str, began: float) -> Record:
    """By the family of a provider: custom ones (`claude-old`) extend one of these."""
    for name in KIND.runs:
        if provider.startswith(name):
            return catalogue.record_of(name)(began)
    return Unread(began)


def record_of(row: dict[str, Any], began: float) -> Record:
    """By a row of it."""
    for found in map(catalogue.record_of, KIND.runs):
        if found.wrote(row):
            return found(began)
    return Unread(began)

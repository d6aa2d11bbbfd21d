"""paseo/transcripts.py: whose record it is."""

from __future__ import annotations

from typing import Any

import pytest

from harnex.agents import catalogue
from harnex.agents.paseo import transcripts


@pytest.mark.parametrize(
    ("provider", "cli"),
    [("claude", "claude"), ("claude-old", "claude"), ("codex", "codex"), ("opencode", ""), ("", "")],
)
def test_a_provider_is_read_as_the_family_that_it_extends(provider: str, cli: str) -> None:
    record = transcripts.record_for(provider, 5.0)
    assert type(record) is (catalogue.record_of(cli) if cli else transcripts.Unread)
    assert record.readable is bool(cli)


@pytest.mark.parametrize(
    ("row", "cli"),
    [
        ({"type": "user", "message": {}}, "claude"),
        ({"type": "event_msg", "payload": {}}, "codex"),
        ({"type": "event_msg", "payload": {}, "message": {}}, "codex"),
        ({"type": "else"}, ""),
    ],
)
def test_a_row_tells_who_wrote_it(row: dict[str, Any], cli: str) -> None:
    assert type(transcripts.record_of(row, 5.0)) is (catalogue.record_of(cli) if cli else transcripts.Unread)


def test_words_on_a_failure_are_read_without_a_record() -> None:
    assert transcripts.Unread(0.0).classify("stream disconnected")[0] == "network"

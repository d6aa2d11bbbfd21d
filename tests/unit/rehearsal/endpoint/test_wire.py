"""rehearsal/endpoint/wire.py: words, quotes, and the events of a stream."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.rehearsal.endpoint import anthropic, openai
from harnex.rehearsal.endpoint.pace import UNSAID, Drawn
from harnex.rehearsal.endpoint.script import parse
from harnex.rehearsal.endpoint.wire import Cut, Event, Made, quote, usage_of, words

pytestmark = pytest.mark.timeout(20)


# ---- scripts ----


@given(st.text())
def test_words_lose_nothing(text: str) -> None:
    assert "".join(words(text)) == text


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_shell_quoting_is_exact(text: str) -> None:
    assert subprocess.run(["/bin/sh", "-c", f"printf %s {quote(text)}"], capture_output=True).stdout == text.encode()


# ---- the log, the crowd, the program ----


def test_a_stream_is_made_of_events_only() -> None:
    """`drop` ends with a cut and nothing after it, in both formats."""
    step = parse([{"drop": "words"}]).calls[0]
    for wire in (anthropic, openai):
        parts = list(wire.stream(step, Made(), "msg_000001aaaabbbbcccc", "m", usage_of(1, step), Drawn(UNSAID, "1")))
        assert isinstance(parts[-1], Cut)
        assert all(isinstance(p, Event) for p in parts[:-1])

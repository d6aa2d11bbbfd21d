"""rehearsal/tui/keys.py: no text is lost, however it is cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.rehearsal.tui.keys import Keys, Token

pytestmark = pytest.mark.timeout(30)


@given(st.binary(max_size=200), st.data())
def test_keys_lose_no_text_however_it_is_cut(tail: bytes, data: Any) -> None:
    """A paste comes out whole and once, wherever the reads fall."""
    raw = "before\x1b[200~päste\rd\x1b[201~".encode()
    keys = Keys()
    tokens: list[Token] = []
    at = 0
    while at < len(raw):
        size = data.draw(st.integers(1, len(raw)))
        tokens += keys.feed(raw[at : at + size])
        at += size
    assert [t.value for t in tokens if t.kind == "paste"] == ["päste\nd"]
    assert "".join(t.value for t in tokens if t.kind == "text") == "before"
    keys.feed(tail)
    keys.flush()

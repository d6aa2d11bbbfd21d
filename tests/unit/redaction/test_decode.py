"""redaction/decode.py: what a text says without its escapes, and the way back."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from harnex.redaction.decode import base64_text, decoded, hex_text
from harnex.redaction.redactor import Redactor


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_way_back_from_a_decoded_text(before: str, after: str) -> None:
    secret = "zebra7LanternQuartz42Meadow"
    for coat in (
        "".join(f"\\u{ord(c):04x}" for c in secret),
        quote(secret + "/", safe=""),
        "\x1b[31m".join(secret),
        json.dumps(json.dumps("\n" + secret)),
    ):
        text = before.replace("\\", "").replace("%", "") + "<" + coat + ">" + after
        spans = Redactor([secret]).spans(text)
        assert spans, text
        hidden = "".join(text[start:end] for start, end in spans)
        assert len(hidden) <= len(coat) and hidden in coat


def test_decoded() -> None:
    assert decoded("plain text") is None
    for coded, said in (
        (r"a\u00e9\n", "aé\n"),
        (r"\ud83d\ude00!", "😀!"),
        ("%C3%A4%", "ä%"),
        ("&#x41;&amp;&#66;", "A&B"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("zero\u200bwidth", "zerowidth"),
        ("a" * 20 + "\n" + "b" * 20, "a" * 20 + "b" * 20),
        ("a word\nanother", None),
    ):
        view = decoded(coded)
        assert (view.text if view else None) == said, coded


def test_runs() -> None:
    assert hex_text(b"hello there friend".hex()) == "hello there friend"
    assert hex_text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") is None
    assert "user:hello there" in "".join(base64_text("x" + base64.b64encode(b"user:hello there").decode()))

"""harnex/visible.py: control characters are shown."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.visible import one_line, visible

OBEYED = {chr(n) for n in (*range(0x20), *range(0x7F, 0xA0))}
TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("end\r\n", "end\n"),
        ("a\rb", "a\\u000db"),
        ("\x1b]52;c;QQ==\x07", "\\u001b]52;c;QQ==\\u0007"),
        ("\x9b2J\x7f", "\\u009b2J\\u007f"),
        ("invoice\u202efdp.exe", "invoice\\u202efdp.exe"),
        ("zero\u200bwidth\ufeff\u2028", "zero\\u200bwidth\\ufeff\\u2028"),
        ("tag\U000e0041", "tag\\udb40\\udc41"),
        ("pay\u200dpal", "pay\\u200dpal"),
        ("👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 می\u200cخواهم", "👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 می\u200cخواهم"),
        ("Grüße 你好 · ✳", "Grüße 你好 · ✳"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
    assert one_line(text) == shown.replace("\t", "\\u0009").replace(
        "\n", "\\u000a" if "\r" not in text else "\\u000d\\u000a"
    )


@given(st.text())
def test_nothing_is_obeyed(text: str) -> None:
    assert not set(visible(text)) & (OBEYED | TURNING) - {"\n", "\t"}
    assert not set(one_line(text)) & (OBEYED | TURNING)
    assert all(unicodedata.category(c) != "Cs" for c in visible(text))


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_says_the_same(value: object) -> None:
    assert json.loads(visible(json.dumps(value, ensure_ascii=False))) == value

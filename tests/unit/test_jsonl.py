"""harnex/jsonl.py: JSON, read and written without the library's weight."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex import jsonl

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_the_light_json_is_json(value: object) -> None:
    assert json.loads(jsonl.dumps(value)) == value
    assert jsonl.loads(jsonl.dumps(value)) == value
    assert jsonl.loads(json.dumps(value, ensure_ascii=False)) == value
    assert "\n" not in jsonl.dumps(value)


@pytest.mark.parametrize("text", ["", "{", '{"a":1} x', "nul", '{"a":}', "[" * 100_000])
def test_what_is_not_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        jsonl.loads(text)
    assert jsonl.loads_dict(text) is None

"""rehearsal/endpoint/script.py: scripts are checked, and their steps taken in order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.rehearsal.endpoint.script import DONE, Player, ScriptError, parse

pytestmark = pytest.mark.timeout(20)


@pytest.mark.parametrize(
    ("script", "words_of_error"),
    [
        ({"calls": [{"txt": "x"}]}, "calls[0]: unknown key 'txt'; allowed: text"),
        ({"call": []}, "script: unknown key 'call'"),
        ({"calls": {}}, "calls: dict where a list of steps is needed"),
        ({"calls": [{}]}, "calls[0]: says nothing"),
        ({"calls": [{"error": 200}]}, "calls[0].error: 200 is not a status from 400 to 599"),
        ({"calls": [{"error": "nope"}]}, "one of auth, credit"),
        ({"calls": [{"error": 500, "times": 0}]}, "calls[0].times"),
        ({"calls": [{"text": "x", "times": 2}]}, "calls[0].times: only allowed together with error"),
        ({"calls": [{"error": 500, "hang": 1}]}, "can't be in one step"),
        ({"calls": [{"text": "x", "hang": 1}]}, "hang can't be in one step with text"),
        ({"calls": [{"text": "x", "pause": -1}]}, "calls[0].pause: -1 is not a number of seconds"),
        ({"calls": [{"text": "x", "pause": float("nan")}]}, "calls[0].pause"),
        ({"calls": ["ok", {"tools": [{"bsh": "x"}]}]}, "calls[1].tools[0]: unknown tool 'bsh'; allowed: bash, write"),
        ({"calls": [{"tools": [{"bash": 1}]}]}, "calls[0].tools[0].bash: int where a string is needed"),
        ({"calls": [{"tools": [{"write": ["a"]}]}]}, 'must be ["path", "content"]'),
        ({"calls": [{"tools": [{"ask": {"question": "?", "options": ["A"]}}]}]}, "two strings or more"),
        ({"calls": [{"text": "x", "usage": {"input_tokens": -1}}]}, "calls[0].usage.input_tokens"),
        ({"calls": [{"usage_limit": {"reset": 1}}]}, "unknown key 'reset'; allowed: resets_at"),
        ({"agents": {"a": ["x", 3]}}, "agents['a'][1]: int where"),
        ({"agents": {"": []}}, "must not be empty"),
        ({"default": {"text": 1}}, "default.text"),
        ({"monitor": "maybe"}, "monitor: 'maybe' is not one of block, allow"),
        ("x", "script: str where an object"),
    ],
)
def test_a_bad_script_says_which_entry_and_what_is_allowed(script: Any, words_of_error: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(script)
    assert words_of_error in str(caught.value)
    assert "\n" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["calls", "text", "tools", "bash", "error", "times", "ask", "usage"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_script_or_a_script_error(data: Any) -> None:
    problem = ""
    try:
        Player(parse(data)).take()
    except ScriptError as error:
        problem = str(error)
    assert "\n" not in problem


def test_steps_are_taken_in_order_and_errors_stay() -> None:
    script = parse({"calls": ["a", {"error": 529, "times": 2}, "b"], "agents": {"x": ["s"], "xy": ["t"]}})
    player = Player(script)
    assert [player.take()[1] for _ in range(5)] == [0, 1, 1, 2, None]
    assert player.take()[0].text == DONE
    assert player.agent_named("say xyz") == "xy"
    assert player.agent_named("nothing") is None
    assert [player.take("x", i)[0].text for i in ("1", "2", "1")] == ["s", "s", DONE]

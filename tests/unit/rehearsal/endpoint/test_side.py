"""rehearsal/endpoint/side.py: calls that are no part of the script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.rehearsal.endpoint._bench import Endpoint, anthropic_answer
from tests.unit.rehearsal.endpoint._bench import endpoint as endpoint  # the fixture

pytestmark = pytest.mark.timeout(20)


@pytest.mark.parametrize(
    ("script", "stops", "text"),
    [
        ({}, ["</block>"], "<block>yes"),
        ({"monitor": "allow"}, ["</block>"], "<block>no"),
        ({}, [], "<block>yes</block>"),
    ],
)
def test_auto_mode_s_monitor_blocks_unless_the_script_allows(
    endpoint: Callable[..., Endpoint], script: dict[str, Any], stops: list[str], text: str
) -> None:
    server = endpoint("never taken", **script)
    system = "You are a security monitor for autonomous AI coding agents."
    answer = server.claude(stream=False, tools=[], system=system, stop_sequences=stops)[1]
    assert answer["content"][0]["text"].startswith(text)
    assert answer["stop_reason"] == ("stop_sequence" if stops else "end_turn")
    assert [(r["kind"], r["why"], r["step"]) for r in server.rows(count=1)] == [("side", "monitor", None)]
    asked = server.claude("Respond with <severity>N</severity>", stream=False, tools=[], system=system)[1]
    assert f"<severity>{0 if script else 100}</severity>" in asked["content"][0]["text"]


def test_side_calls_and_sub_agents_never_take_a_step(endpoint: Callable[..., Endpoint]) -> None:
    server = endpoint("first", "second", agents={"ALPHA": ["sub one", "sub two"]})
    texts = []
    for more in ({"tools": []}, {}, {"headers": {"x-claude-code-agent-id": "1"}, "prompt": "go ALPHA"}, {}):
        texts.append(anthropic_answer(server.claude(**more)[1])["content"][0]["text"])
    assert texts == ["Scripted session", "first", "sub one", "second"]
    other = server.claude("beta", {"x-claude-code-agent-id": "2"})[1]
    assert "done" in anthropic_answer(other)["content"][0]["text"]
    assert [r["kind"] for r in server.rows(count=5)] == ["side", "main", "agent:ALPHA", "main", "agent:?"]

"""claude/chat.py: what a call asked and was answered."""

from __future__ import annotations

import json

from harnex.agents.claude.chat import ClaudeBodies
from tests.unit.agents._rows import said, user


def test_each_calls_messages_begin_with_those_before_until_a_compaction() -> None:
    bodies = ClaudeBodies("main", {})
    tool = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    first = said("a", stop="tool_use", uuid="2")
    first["message"]["content"].append(tool)
    result = [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a b"}]}]
    for row in (
        user("go", uuid="1"),
        first,
        user(result, uuid="3"),
        said("b", uuid="4"),
        {"type": "system", "subtype": "compact_boundary", "uuid": "5"},
        user("what was before", isCompactSummary=True, uuid="6"),
        said("c", uuid="7"),
    ):
        bodies.row(row)
    a, b, c = (bodies.answers[i].fields() for i in "abc")
    assert a["request"] == [{"role": "user", "content": "go"}]
    assert b["request"][: len(a["request"]) + 1] == [*a["request"], a["response"]]
    assert b["request"][-1] == {"role": "tool", "content": "a b", "tool_call_id": "t1"}
    assert json.loads(a["response"]["tool_calls"][0]["function"]["arguments"]) == {"command": "ls"}
    assert (a["finish_reason"], b["finish_reason"], c["chain"]) == ("tool_calls", "stop", 2)
    assert c["request"] == [{"role": "user", "content": "what was before"}]


def test_a_prompt_put_again_forgets_what_came_after() -> None:
    bodies = ClaudeBodies("main", {})
    for row in (
        user("one", uuid="1", parentUuid=None),
        said("a", uuid="2", parentUuid="1"),
        user("two", uuid="3", parentUuid="2"),
        said("b", uuid="4", parentUuid="3"),
        user("two, better", uuid="5", parentUuid="2"),
        said("c", uuid="6", parentUuid="5"),
    ):
        bodies.row(row)
    assert [m["content"] for m in bodies.answers["c"].fields()["request"]] == ["one", "words", "two, better"]
    assert bodies.answers["c"].chain == 2

"""rehearsal/endpoint/anthropic_tools.py: tools that the request does not offer."""

from __future__ import annotations

import pytest

from harnex.rehearsal.endpoint import anthropic_tools
from harnex.rehearsal.endpoint.script import parse
from harnex.rehearsal.endpoint.wire import Call

pytestmark = pytest.mark.timeout(20)


def test_tools_that_are_not_on_offer_become_shell_or_words() -> None:
    step = parse([{"tools": [{"write": ["a b", "it's"]}, {"ask": {"question": "Q", "options": ["A", "B"]}}]}]).calls[0]
    call = Call("main", "m", True, {"Bash": {}}, cwd="/w")
    made = anthropic_tools.make(step.tools, call)
    assert [c.name for c in made.calls] == ["Bash"]
    assert made.words == ["Q (A / B)"]
    assert len(made.notes) == 2

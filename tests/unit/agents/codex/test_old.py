"""codex/old.py: what Codex wrote before its present formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from harnex.usage.sources import Files
from tests.unit.agents._rows import count, use, write
from tests.unit.agents.codex._threads import PARENT, at, item, script, told

OLD = [
    {"id": PARENT, "timestamp": at(0), "instructions": None},
    {"record_type": "state"},
    {"type": "message", "id": None, "role": "user", "content": []},
    {"type": "message", "id": "m", "role": "assistant", "content": []},
    {"type": "function_call", "id": "f", "name": "shell", "arguments": "{}", "call_id": "c"},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"type": "function_call", "id": None, "name": "shell", "arguments": "{}", "call_id": "d"},
]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 3], ids=["whole", "no head", "from an answer on"])
def test_a_rollout_without_token_counts_says_what_is_not_counted(tmp_path: Path, full: bool, cut: int) -> None:
    words = "2 tool calls and 1 message of the model, and no token counts (old versions wrote none): not counted"
    assert told([write(tmp_path / "0.23.jsonl", *OLD[cut:])], full) == ([], [words])
    rows = script("0.30.0", *(item(r) for r in OLD[2:]))
    assert told([write(tmp_path / "0.30.jsonl", *rows)], full) == ([], [words])


def test_old_streams_tell_each_answer(tmp_path: Path) -> None:
    """As 0.23 and 0.36 print them."""
    settings = {"workdir": "/w", "model": "gpt-5", "provider": "openai"}
    for name, numbers in (
        (
            "0.23",
            [{"type": "token_count", **use(1)}, {"type": "token_count", **use(2)}, {"type": "token_count", **use(2)}],
        ),
        ("0.36", [count(use(1), use(1)), count(use(3), use(2)), count(use(5), use(2))]),
    ):
        rows = [settings, {"prompt": "go"}, *({"id": "0", "msg": m} for m in ({"type": "task_started"}, *numbers))]
        files = Files("codex", [str(write(tmp_path / f"{name}.jsonl", *rows))])
        found = [(r["total_tokens"], r["model"], r["turn"], r["partial"]) for r in files.records(full=True)]
        assert found == [(11, "gpt-5", 1, False), (22, "gpt-5", 1, False), (22, "gpt-5", 1, False)]
        assert files.problems() == []

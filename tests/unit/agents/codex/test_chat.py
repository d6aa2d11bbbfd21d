"""codex/chat.py: what a call asked and was answered, as far as the rollout holds it."""

from __future__ import annotations

from typing import Any

from harnex.agents.codex.chat import CodexBodies
from tests.unit.agents._rows import ORDERS, THREAD, count, head, item, rollout, turn, use

# ---- bodies ----


def test_codex_bodies_know_what_they_lack() -> None:
    bodies = CodexBodies()

    def item(**payload: Any) -> tuple[str, dict[str, Any]]:
        return "response_item", payload

    def words(role: str, text: str) -> tuple[str, dict[str, Any]]:
        return item(type="message", role=role, content=[{"type": "input_text", "text": text}])

    rows = rollout(
        words("user", "go"),
        turn(THREAD),
        item(type="reasoning", summary=[{"type": "summary_text", "text": "hm"}], encrypted_content="x"),
        item(type="function_call", name="shell", arguments="{}", call_id="c1"),
        ("event_msg", count(use(1), use(1))),
        item(type="function_call_output", call_id="c1", output="out"),
        words("assistant", "Done."),
        ("event_msg", count(use(3), use(2))),
        base_instructions={"text": "Be good."},
    )
    for row in rows:
        bodies.row(row)
    a, b = (bodies.answers[f"{THREAD}-{n}"].fields() for n in (1, 2))
    assert [m["role"] for m in b["request"]] == ["system", "user", "assistant", "tool"]
    assert b["request"][: len(a["request"]) + 1] == [*a["request"], a["response"]]
    assert (a["reasoning_text"], b["response_text"]) == ("hm", "Done.")
    assert "reasoning (encrypted: only its summary)" in a["missing"]


# ---- bodies ----


def test_bodies_of_codex_that_writes_items_after_the_count() -> None:
    bodies = CodexBodies()
    for row in (head("0.58.0"), item("message", 0, role="user", content="go"), *ORDERS["0.58.0"]):
        bodies.row(row)
    first, second = (bodies.answers[f"{THREAD}-{n}"].fields() for n in (1, 2))
    assert [len(first["response"]["tool_calls"]), first["message_count"], second["message_count"]] == [2, 1, 4]
    assert [*first["request"], first["response"]] == second["request"][:2]

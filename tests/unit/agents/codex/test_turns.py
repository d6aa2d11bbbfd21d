"""codex/turns.py: an answer that was cut off is a call without numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harnex.agents.codex.rollout import Rollout
from harnex.model.facts import ModelCall, Remark
from harnex.usage.sources import Files
from tests.unit.agents._rows import count, use, write
from tests.unit.agents.codex._threads import CALL, DONE, EMPTY, ONE, OUTPUT, PARENT, START, STOP, TWO, item, say, script

ASSISTANT = {"type": "message", "role": "assistant", "content": []}
FAILED = say("task_complete", last_agent_message=None, error={"message": "stream disconnected"})
LIMIT = ("event_msg", {**count(use(1), use(1)), "rate_limits": {"primary": {"used_percent": 100.0}}})
RECORD = ("token_usage_record", {"thread_id": PARENT, "usage": use(1), "thread_token_usage": use(1)})
WHOLE = [item(ASSISTANT), ONE]  # an answer with its count
INTERRUPTED = {
    "in its words, 0.104": ("0.104.0", [START, EMPTY, *WHOLE, DONE, START, ONE, STOP, START, item(ASSISTANT), TWO, DONE]),
    "in its words, 0.169": ("0.169.0", [START, *WHOLE, DONE, START, ONE, STOP, START, item(ASSISTANT), TWO, DONE]),
    "before its usage, 0.104": ("0.104.0", [START, *WHOLE, DONE, START, ONE, item(ASSISTANT), STOP, START, item(ASSISTANT), TWO, DONE]),
    "before its usage, 0.169": ("0.169.0", [START, item(ASSISTANT), EMPTY, STOP, START, *WHOLE, DONE, START, item(ASSISTANT), TWO, DONE]),
    "behind a tool, 0.128": ("0.128.0", [START, item(CALL), ONE, item(OUTPUT), ONE, STOP, START, item(ASSISTANT), TWO, DONE]),
    "no end of the turn is told, 0.80": ("0.80.0", [say("user_message"), *WHOLE, say("user_message"), ONE, STOP, say("user_message"), item(ASSISTANT), TWO]),
    "dropped and asked again, 0.104": ("0.104.0", [START, EMPTY, *WHOLE, DONE, START, ONE, ONE, item(ASSISTANT), TWO, DONE]),
    "dropped and asked again, 0.169": ("0.169.0", [START, *WHOLE, DONE, START, ONE, item(ASSISTANT), TWO, DONE]),
    "dropped behind its words, 0.169": ("0.169.0", [START, *WHOLE, DONE, START, item(ASSISTANT), ONE, item(ASSISTANT), TWO, DONE]),
    "dropped, and the turn failed, 0.169": ("0.169.0", [START, *WHOLE, DONE, START, ONE, FAILED, START, item(ASSISTANT), TWO, DONE]),
    "before its usage, 0.77": ("0.77.0", [say("user_message"), EMPTY, *WHOLE, say("user_message"), ONE, item(ASSISTANT), STOP, say("user_message"), ONE, item(ASSISTANT), TWO]),
    "before its usage, 0.58": ("0.58.0", [say("user_message"), EMPTY, *WHOLE[::-1], say("user_message"), ONE, STOP, say("user_message"), ONE, TWO, item(ASSISTANT)]),
    "dropped behind a tool, 0.58": ("0.58.0", [say("user_message"), EMPTY, ONE, item(CALL), item(OUTPUT), ONE, ONE, TWO, item(ASSISTANT)]),
    "killed": ("0.169.0", [START, *WHOLE, DONE, START, item(ASSISTANT), TWO, DONE, START, item(ASSISTANT)]),
    "killed and resumed": ("0.169.0", [START, *WHOLE, DONE, START, item(ASSISTANT), START, item(ASSISTANT), TWO, DONE]),
}  # fmt: skip
NOT_CUT = {
    "its tool was interrupted, 0.104": ("0.104.0", [START, item(CALL), ONE, item(OUTPUT, output="aborted by user after 2.5s"), STOP, START, item(ASSISTANT), TWO, DONE]),
    "one of its tools was interrupted, 0.169": ("0.169.0", [START, item(CALL), item(CALL, call_id="d"), RECORD, item(OUTPUT, output="Wall time: 0.5 seconds\naborted by user"), item(OUTPUT, call_id="d"), ONE, STOP, START, item(ASSISTANT), TWO, DONE]),
    "its tool was killed, 0.145": ("0.145.0", [START, item(CALL), STOP, START, item(ASSISTANT), TWO, DONE]),
    "a record is told once more, 0.169": ("0.169.0", [START, item(CALL), RECORD, item(OUTPUT), ONE, item(ASSISTANT), TWO, DONE]),
    "the limit is reached": ("0.169.0", [START, *WHOLE, DONE, START, LIMIT, FAILED, START, item(ASSISTANT), TWO, DONE]),
    "before anything was asked": ("0.104.0", [START, *WHOLE, DONE, START, DONE, START, item(ASSISTANT), TWO, DONE]),
}  # fmt: skip


def everywhere(tmp_path: Path, rows: list[dict[str, Any]]) -> list[list[tuple[int | None, bool]]]:
    """The calls' tokens and whether they are partial: live, of the file read thoroughly and quickly."""
    live = Rollout("rollout")
    facts = [f for r in rows for f in live.row(r)] + list(live.gone())
    assert [f.text for f in facts if isinstance(f, Remark)] == []
    found = [[(f.total_tokens, f.partial) for f in facts if isinstance(f, ModelCall)]]
    path = write(tmp_path / "rollout-x.jsonl", *rows)
    for full in (True, False):
        files = Files("codex", [str(path)])
        found.append([(r["total_tokens"], r["partial"]) for r in files.records(full)])
        assert [word for report in files.reports for word in report.words()] == []
    return found


@pytest.mark.parametrize("how", INTERRUPTED)
def test_an_answer_that_was_cut_off_is_a_call_without_numbers(tmp_path: Path, how: str) -> None:
    for found in everywhere(tmp_path, script(INTERRUPTED[how][0], *INTERRUPTED[how][1])):
        assert sorted(found, key=str) == [(11, False), (22, False), (None, True)]


@pytest.mark.parametrize("how", NOT_CUT)
def test_what_was_answered_is_not_cut_off(tmp_path: Path, how: str) -> None:
    for found in everywhere(tmp_path, script(NOT_CUT[how][0], *NOT_CUT[how][1])):
        assert found == [(11, False), (22, False)]


def test_an_answer_without_usage_is_told_from_one_that_was_dropped(tmp_path: Path) -> None:
    """Up to 0.58 both are two counts without numbers; between them the one has words."""
    rows = script("0.58.0", say("user_message"), EMPTY, say("agent_message", message="x"), EMPTY, item(ASSISTANT))
    rows += script(
        "0.58.0", say("user_message"), EMPTY, EMPTY, say("agent_message", message="x"), ONE, item(ASSISTANT)
    )[1:]
    path = write(tmp_path / "x.jsonl", *rows)
    for full in (True, False):
        found = [(r["total_tokens"], r["partial"]) for r in Files("codex", [str(path)]).records(full)]
        assert found == [(None, False), (None, True), (11, False)]


@pytest.mark.parametrize("version", ["0.104.0", "0.169.0"])
def test_a_dropped_response_behind_an_answer_without_usage(tmp_path: Path, version: str) -> None:
    ended = [item(CALL), EMPTY, item(OUTPUT), EMPTY] if version == "0.104.0" else [item(CALL), item(OUTPUT), EMPTY]
    begun = [EMPTY] if version == "0.104.0" else []
    rows = script(version, START, *begun, *ended, EMPTY, *WHOLE, DONE)
    path = write(tmp_path / "x.jsonl", *rows)
    for full in (True, False):
        found = [(r["total_tokens"], r["partial"]) for r in Files("codex", [str(path)]).records(full)]
        assert sorted(found, key=str) == [(11, False), (None, False), (None, True)]

"""claude/log.py: the calls in a transcript, however its rows lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.agents._rows import read, said, user, write


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("compact", [True, False], ids=["as it writes", "with blanks"])
def test_one_call_of_many_rows(tmp_path: Path, full: bool, compact: bool) -> None:
    rows = [said("a", stop=None, out=1), said("a", "tool_use", "tool_use", 40), user("hi"), said("b")]
    found, report = read(write(tmp_path / "s.jsonl", *rows, compact=compact), "claude", full)
    assert [(f.call.call_id, f.call.input_tokens, f.call.output_tokens) for f in found] == [("a", 7, 40), ("b", 7, 5)]
    assert report.words() == []


def test_what_is_no_call(tmp_path: Path) -> None:
    error = said("x", isApiErrorMessage=True)
    error["message"]["model"] = "<synthetic>"
    synthetic = said("y")
    synthetic["message"]["model"] = "<synthetic>"
    quoted = user([{"type": "tool_result", "tool_use_id": "t", "content": json.dumps(said("z"))}])
    assert read(write(tmp_path / "s.jsonl", error, synthetic, quoted), "claude")[0] == []


def test_a_row_spelled_otherwise_is_read(tmp_path: Path) -> None:
    """JSON may write any letter as an escape, and any order and blanks."""
    line = json.dumps(said("a")).replace('"assistant"', '"\\u0061ssistant"').replace('"usage"', '"us\\u0061ge"')
    other = json.dumps({"message": said("b")["message"], "type": "assistant"})
    found, _ = read(write(tmp_path / "s.jsonl", user("first"), line, other), "claude")
    assert [f.call.call_id for f in found] == ["a", "b"]


@pytest.mark.parametrize("full", [False, True])
def test_interrupted_is_partial_and_its_output_unknown(tmp_path: Path, full: bool) -> None:
    interrupt = user([{"type": "text", "text": "[Request interrupted by user]"}])
    result = user([{"type": "tool_result", "tool_use_id": "t", "content": "x" * 5000}])
    path = write(tmp_path / "s.jsonl", user("go"), said("a", stop=None, out=1), result, interrupt, said("b"))
    found, _ = read(path, "claude", full)
    assert [(f.call.call_id, f.call.partial, f.call.output_tokens, f.call.input_tokens) for f in found] == [
        ("a", True, None, 7),
        ("b", False, 5, 7),
    ]


def test_side_chains_in_one_file_that_write_at_once(tmp_path: Path) -> None:
    """1.x names no sub-agent: rows of two calls may alternate."""
    rows = []
    for out, stop in ((1, None), (9, "tool_use")):
        for call_id in ("a", "b"):
            row = said(call_id, "tool_use", stop, out, version="1.0.128")
            rows.append({**row, "isSidechain": True})
    found, _ = read(write(tmp_path / "s.jsonl", user("go"), *rows), "claude")
    assert [(f.call.call_id, f.call.output_tokens, f.call.agent) for f in found] == [
        ("a", 9, "subagent"),
        ("b", 9, "subagent"),
    ]


def test_garbage_and_torn_lines_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", user("go"), "not json at all", "[1]", "\x00\x00", said("a"))
    with open(path, "a") as f:
        f.write(json.dumps(said("b"))[:200])
    found, report = read(path, "claude")
    assert [f.call.call_id for f in found] == ["a"]
    assert (report.skipped, report.torn) == (3, True)
    assert report.words() == ["3 lines skipped: not JSON"]

"""usage/logs.py: which files there are, and their rows."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.errors import HarnexError
from harnex.usage import logs
from tests.unit.agents._rows import THREAD, read, said, spoke, write
from tests.unit.agents.claude._tokens import files

# ---- Codex ----


def test_lines_are_told_from_values(tmp_path: Path) -> None:
    """A transcript whose first line is torn is read line by line."""
    path = write(tmp_path / "s.jsonl", '{"type":"assistant","torn', said("a"))
    found, source = files(path)
    assert [r["call_id"] for r in found] == ["a"]
    assert source.reports[0].skipped == 1
    report = logs.Report("x")
    path.write_text("")
    assert (list(logs.every_row(str(path), report)), report.words()) == ([], [])


# ---- the CLIs' own files ----


def test_sub_agents_are_found_with_their_parent(tmp_path: Path) -> None:
    parent = write(tmp_path / "p" / "s.jsonl", said("a"))
    own = write(tmp_path / "p" / "s" / "subagents" / "agent-a1.jsonl", said("b", agent="a1"))
    (own.parent / "agent-a1.meta.json").write_text('{"agentType":"Explore"}')
    beside = write(tmp_path / "p" / "agent-a2.jsonl", said("c", agent="a2"))
    write(tmp_path / "p" / "agent-a3.jsonl", {**said("d", agent="a3"), "sessionId": "another"})
    found = logs.find([str(parent)], "claude").files
    assert sorted(found) == sorted(map(str, (parent, own, beside)))
    assert found[0] == str(parent)
    assert read(own, "claude")[0][0].call.agent == "Explore:a1"
    assert len(logs.find([str(tmp_path), str(parent)], "claude").files) == 4  # each once
    with pytest.raises(HarnexError, match="no file or folder"):
        logs.find([str(tmp_path / "nothing")], "claude")


@given(st.binary(max_size=300), st.integers(1, 40))
def test_pieces_lose_nothing(data: bytes, size: int) -> None:
    before, logs.PIECE = logs.PIECE, size
    try:
        got = list(logs.pieces(io.BytesIO(data), logs.Report("x")))
    finally:
        logs.PIECE = before
    assert b"".join(got) == data
    assert all(piece.endswith(b"\n") for piece in got[:-1])


# ---- streams that were captured ----


def test_a_stream_says_what_it_does_not_tell(tmp_path: Path) -> None:
    begun = {"type": "thread.started", "thread_id": THREAD}
    rows = (begun, {"type": "turn.started"}, {"type": "turn.failed", "error": {"message": "429"}})
    _, report = read(write(tmp_path / "c.jsonl", *rows), "codex")
    assert "1 of 1 turns did not end well" in report.difference
    row = {"type": "assistant", "session_id": "s", "parent_tool_use_id": "t", "message": spoke("a", "x")["message"]}
    _, report = read(write(tmp_path / "d.jsonl", {"type": "system", "session_id": "s"}, row), "claude")
    assert "sub-agents" in report.difference

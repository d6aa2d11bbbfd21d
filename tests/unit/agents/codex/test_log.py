"""codex/log.py: whose calls a rollout holds, and which are in other files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agents._rows import THREAD, count, read, rollout, turn, use, write
from tests.unit.agents.codex._threads import (
    CALL,
    CHILD,
    DONE,
    ONE,
    OTHER,
    OUTPUT,
    PARENT,
    START,
    at,
    counts,
    head,
    item,
    row,
    script,
    told,
)

# ---- what old versions wrote, and what is not whole ----


def test_rollouts_without_a_head_are_apart_and_what_came_before_is_said(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.jsonl", *counts([at(1), at(2)], 5, 7, before=9)) for n in "ab"]
    found, words = told(paths)
    assert [n for _, n in found] == [50, 70, 50, 70]
    assert words == ["the thread had used 99 tokens before the first call that is in this file: not counted"] * 2


def test_records_name_the_thread_where_no_head_does(tmp_path: Path) -> None:
    def record(thread: str, n: int, **more: Any) -> dict[str, Any]:
        return row(at(n), "token_usage_record", thread_id=thread, usage=use(n), thread_token_usage=use(n), **more)

    path = write(tmp_path / "x.jsonl", record(PARENT, 1), record(OTHER, 2, response_id="r"))
    found, words = told([path])
    assert found == [(PARENT, 10)]
    assert words == [f"a call of thread {OTHER}, whose file is not among these, is not counted"]
    other = write(tmp_path / "y.jsonl", head(OTHER, at(0)), record(OTHER, 2, response_id="r"))
    assert told([path, other]) == ([(PARENT, 10), (OTHER, 20)], [])


# ---- sub-agents ----


SPAWN = json.dumps({"agent_id": CHILD, "nickname": "Ada"})


@pytest.mark.parametrize("full", [True, False])
def test_a_rollout_says_whose_calls_are_in_other_files(tmp_path: Path, full: bool) -> None:
    rows = script("0.145.0", START, item(CALL), item(OUTPUT, output=SPAWN), ONE, DONE)
    parent = write(tmp_path / "p.jsonl", *rows)
    words = ["calls of 1 sub-agent are in rollouts that are not among these files"]
    assert told([parent], full) == ([(PARENT, 10)], words)
    helper = write(tmp_path / "c.jsonl", head(CHILD, at(0)), *counts([at(1)], 6))
    assert told([parent, helper], full) == ([(PARENT, 10), (CHILD, 60)], [])


# ---- the CLIs' own files ----


def test_a_fork_does_not_count_its_parents_calls(tmp_path: Path) -> None:
    old, new = "01a1fd00-a761-7962-8efe-52d44533db7d", "01a1fdff-a761-7962-8efe-52d44533db7d"
    parent = ("session_meta", {"id": "01a1fd00-0000-7962-8efe-52d44533db7d", "cwd": "/w"})
    rows = rollout(
        parent,
        turn(old),
        ("event_msg", count(use(5), use(5))),
        turn(new),
        ("event_msg", count(use(7), use(2))),
        forked_from_id=parent[1]["id"],
    )
    found, report = read(write(tmp_path / "rollout-x.jsonl", *rows), "codex")
    assert [(f.call.total_tokens, f.call.model) for f in found] == [(22, "gpt-5")]
    assert report.words() == []


def test_packed_rollouts(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    rows = rollout(turn(THREAD), ("event_msg", count(use(1), use(1))))
    path = write(tmp_path / "rollout-x.jsonl", *rows)
    packed = zstandard.compress(path.read_bytes())
    (tmp_path / "rollout-x.jsonl.zst").write_bytes(packed)
    (tmp_path / "bad.jsonl.zst").write_bytes(packed[:-20])
    assert [f.call.total_tokens for f in read(tmp_path / "rollout-x.jsonl.zst", "codex")[0]] == [11]
    assert read(tmp_path / "bad.jsonl.zst", "codex")[1].words() == ["cut off: the packed file has no end"]
    (tmp_path / "no.jsonl.zst").write_bytes(b"not packed at all")
    assert "broken" in read(tmp_path / "no.jsonl.zst", "codex")[1].problem

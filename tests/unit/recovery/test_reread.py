"""recovery/reread.py: what a dead run's own files are read for again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harnex.recovery import reread
from harnex.supervisor.evidence import FollowedFiles

ROLLOUT = Path(__file__).parents[2] / "corpus" / "codex" / "0.169.0" / "rollout.jsonl"
BEGAN = 1795240250.0  # just before its first row
THREAD = "01a1fca8-64e2-7491-b644-c32558441255"
START = {"adapter": "codex", "version": [0, 169, 0], "cwd": "/", "env": {}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "evidence").mkdir()
    return tmp_path


def seen(run: Path) -> tuple[set[str], int]:
    found = reread.read_again(str(run), START, 1, BEGAN)
    return {c.call_id for c in found.calls}, found.prompts["rollout"].total()


def test_what_each_process_of_a_session_recorded_is_read_again(run: Path) -> None:
    """An agent that crashed was started again, in the same file or in another conversation; then all was killed."""
    files = FollowedFiles(str(run))
    files.add("rollout", str(ROLLOUT), "rows", 0)
    calls, prompts = seen(run)
    assert len(calls) > 5 and prompts > 3
    files.process(2, BEGAN + 30)
    files.add("rollout", str(ROLLOUT), "rows", ROLLOUT.stat().st_size // 2)  # resumed: the file goes on
    assert seen(run) == (calls, prompts), "read whole, and once"
    other = run / "rollout-other.jsonl"
    text = ROLLOUT.read_text().replace(THREAD, THREAD.replace("01a1fca8", "01a1fca9"))
    other.write_text(text.replace("resp_", "resp_other_").replace("2026-11-21T05:5", "2026-11-21T06:5"))
    files.process(3, BEGAN + 3600)
    files.add("rollout", str(other), "rows", 0)
    again, twice = seen(run)
    assert twice == 2 * prompts and len(again) == 2 * len(calls) and again > calls


def test_a_limit_ends_by_the_clock_of_the_agent(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is in the run's start file; whoever recovers it may live elsewhere."""
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    spent = {"message": "You've hit your usage limit. Try again at 6:30 PM."}
    rollout = run / "rollout.jsonl"
    payloads = (
        {"type": "task_started", "turn_id": "t"},
        {"type": "user_message", "message": "work"},
        {"type": "task_complete", "turn_id": "t", "last_agent_message": None, "error": spent},
    )
    rows = [{"type": "event_msg", "timestamp": "2026-11-21T09:00:00.010Z", "payload": payload} for payload in payloads]
    rollout.write_text("".join(json.dumps(row) + "\n" for row in rows))
    FollowedFiles(str(run)).add("rollout", str(rollout), "rows", 0)
    found = reread.read_again(str(run), {**START, "env": {"TZ": "Asia/Kolkata"}}, 1, BEGAN)
    assert found.end is not None and found.end.retry_at == "2026-11-21T13:00:00.000Z"


def test_a_conversation_that_was_never_written_is_not_gone_on_with(run: Path) -> None:
    """Measured with Claude Code 2.0.77, killed as its first turn ended: "No conversation found with session ID"."""
    assert reread.was_kept(str(run), "claude"), "nothing is known: it is tried"
    hooks, transcript = run / "hooks.jsonl", run / "t.jsonl"
    hooks.write_text("{}\n")
    files = FollowedFiles(str(run))
    files.add("hooks", str(hooks), "rows", 0)
    assert reread.was_kept(str(run), "claude")
    files.add("transcript", str(transcript), "rows", 0)
    files.add("subagent", str(hooks), "rows", 0)  # 2.0.77 wrote these in time
    assert not reread.was_kept(str(run), "claude")
    transcript.touch()
    assert not reread.was_kept(str(run), "claude")
    transcript.write_text("{}\n")
    assert reread.was_kept(str(run), "claude")

"""`harnex usage`, through the installed command: runs of the scripted TUI, and
the agent CLIs' own files."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import HARNEX, Harnex

TWO = ({"text": "First.", "tools": [{"bash": "true"}]}, {"text": "All is done."})


def one_run(harnex: Harnex) -> list[dict[str, Any]]:
    harnex.agent("job", *TWO, {"text": "Again."})
    for _ in range(2):
        harnex.json("send", "--id", "job", "--message", "go", "--wait-for-idle", "--timeout", "20")
    return [e for e in harnex.events("job") if e["type"] == "call"]


def test_a_live_and_a_finished_run_tell_the_same(harnex: Harnex) -> None:
    events = one_run(harnex)
    live = harnex.json("usage", "--id", "job", "--json")
    harnex.json("stop", "--id", "job")
    told = harnex.json("usage", "--id", "job", "--json")
    assert told == live
    assert set(told) >= {"id", "run_id", "cli", "calls", "turns", "totals"}
    assert (told["id"], told["cli"], told["run_id"]) == ("job", "demo", events[0]["run_id"])
    for call, event in zip(told["calls"], events, strict=True):
        same = set(event) - {"schema_version", "seq", "type"}
        assert {k: call[k] for k in same} == {k: event[k] for k in same}
    assert [(t["turn"], t["outcome"], t["calls"]) for t in told["turns"]] == [(1, "completed", 2), (2, "completed", 1)]
    tokens = sum(e["total_tokens"] for e in events)
    assert told["totals"]["total_tokens"] == tokens == sum(t["total_tokens"] for t in told["turns"])
    history = harnex.json("history", "--json")[0]
    assert (history["calls"], history["tokens"]) == (told["totals"]["calls"], tokens)
    table = harnex.ok("usage")
    assert "job" in table and f"{tokens:,}" in table and "total" in table
    call = harnex.json("usage", "--id", "job", "--call", "2", "--json")
    assert call["call_id"] == events[1]["call_id"]


def test_every_form_of_every_grouping(harnex: Harnex) -> None:
    events = one_run(harnex)
    total = sum(e["total_tokens"] for e in events)
    for by in ("turn", "session", "day", "model", "repo", "agent"):
        out = harnex.json("usage", "--by", by, "--json")
        assert out["by"] == by
        assert sum(g["total_tokens"] for g in out["groups"]) == out["totals"]["total_tokens"] == total
        rows = list(csv.DictReader(io.StringIO(harnex.ok("usage", "--by", by, "--csv"))))
        assert [int(r["total_tokens"]) for r in rows] == [g["total_tokens"] for g in out["groups"]]
        assert harnex.ok("usage", "--by", by).count("\n") == len(rows) + 3
    rows = list(csv.DictReader(io.StringIO(harnex.ok("usage", "--by", "call", "--csv"))))
    assert [r["call_id"] for r in rows] == [e["call_id"] for e in events]
    assert all(r["repo"] == str(harnex.work) for r in rows)  # blanks and umlauts
    assert all(r["duration_s"] == "" for r in rows if r["attempts"] == "")  # unknown is empty
    assert harnex.json("usage", "--since", "2999-01-01T00:00:00Z", "--json")["totals"]["calls"] == 0
    wide = harnex.ok("usage", "--by", "call")
    harnex.env["COLUMNS"] = "50"
    narrow = harnex.ok("usage", "--by", "call")
    assert max(map(len, narrow.splitlines())) <= 50 < max(map(len, wide.splitlines()))


def test_wrong_words_are_explained(harnex: Harnex) -> None:
    for words, why in (
        (("some/path",), "--from"),
        (("--from", "codex", "--id", "x"), "--id"),
        (("--bodies",), "--call"),
        (("--json", "--csv"), "choose one"),
        (("--from", "claude", "nowhere.jsonl"), "no file or folder"),
        (("--id", "nobody"), "nobody"),
    ):
        done = harnex.run("usage", *words)
        assert done.returncode != 0
        assert why in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr
    assert harnex.run("usage").stderr.strip() == "no model calls"


def transcript(path: Path, *ids: str) -> Path:
    rows = []
    for call_id in ids:
        usage = {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3}
        message = {"id": call_id, "model": "claude-sonnet-4-5", "stop_reason": "end_turn", "usage": usage}
        message["content"] = [{"type": "text", "text": f"said ghp_{'a' * 36}"}]
        rows.append({"type": "user", "sessionId": "s", "message": {"role": "user", "content": "gö"}})
        rows.append(
            {"type": "assistant", "sessionId": "s", "timestamp": "2026-11-21T12:00:00.000Z", "message": message}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_other_sessions_files(harnex: Harnex) -> None:
    folder = harnex.base / "other files ü"
    transcript(folder / "p" / "old.jsonl", "a", "b")
    # Repeats the old one's rows.
    resumed = transcript(folder / "p" / "resumed.jsonl", "a", "b", "c")
    with open(resumed, "a") as f:
        f.write("garbage\n")
    done = harnex.run("usage", "--from", "claude", str(folder), "--json")
    assert done.returncode == 0
    out = json.loads(done.stdout)
    assert sorted(c["call_id"] for c in out["calls"]) == ["a", "b", "c"]
    assert (out["totals"]["total_tokens"], out["totals"]["cost_usd"] is not None) == (18, True)
    assert done.stderr.strip() == f"harnex: {resumed}: 1 line skipped: not JSON"
    assert [(p["path"], p["skipped"]) for p in out["problems"]] == [(str(resumed), 1)]
    assert "ghp_" not in done.stdout  # a secret in a preview
    body = harnex.run("usage", "--from", "claude", str(resumed), "--call", "c", "--bodies", "--json")
    chat = json.loads(body.stdout)
    assert [m["role"] for m in chat["request"]] == ["user", "assistant", "user", "assistant", "user"]
    assert chat["response_text"].startswith("said ") and "ghp_" not in body.stdout
    (folder / "no.jsonl").symlink_to("nowhere")
    bad = harnex.run("usage", "--from", "claude", str(folder))
    assert (bad.returncode, "no.jsonl" in bad.stderr, "18" in bad.stdout) == (1, True, True)


def test_its_own_folder_is_the_default(harnex: Harnex) -> None:
    transcript(harnex.base / "home" / ".claude" / "projects" / "p" / "s.jsonl", "a")
    assert harnex.json("usage", "--from", "claude", "--json")["totals"]["calls"] == 1
    assert "folder" in harnex.run("usage", "--from", "codex").stderr


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_a_reader_that_goes_away(harnex: Harnex, form: tuple[str, ...]) -> None:
    transcript(harnex.base / "many" / "s.jsonl", *(f"m{n}" for n in range(5000)))
    command = [HARNEX, "usage", "--from", "claude", str(harnex.base / "many"), "--by", "call", *form]
    child = subprocess.Popen(command, env=harnex.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.readline() if form != ("--json",) else child.stdout.read(10)
    child.stdout.close()
    child.wait(20)
    assert "Traceback" not in child.stderr.read()
    child.stderr.close()


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ((None, None), "no output tokens: none of 2 calls tells them"),
        ((12, None), "+ is a sum of what is known: 1 of 2 calls did not tell"),
        ((12, 8), ""),
    ],
)
def test_what_no_call_tells_is_said(harnex: Harnex, outputs: tuple[int | None, ...], words: str) -> None:
    """A row without a stop reason holds a placeholder: the output says which column is missing
    and which sum is partial."""
    rows = []
    for n, output in enumerate(outputs):
        message = {
            "id": f"m{n}",
            "model": "claude-sonnet-4-5",
            "role": "assistant",
            "content": [{"type": "text", "text": "x"}],
            "stop_reason": None if output is None else "end_turn",
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": output or 1},
        }
        rows.append({"type": "assistant", "sessionId": "s", "uuid": f"u{n}", "message": message})
    log = harnex.base / "s.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = harnex.run("usage", "--from", "claude", str(log))
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "call" in line] == ([words] if words else [])

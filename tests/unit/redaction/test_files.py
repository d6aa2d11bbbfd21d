"""redaction/files.py: secrets in the files of a run are covered in place, or withheld."""

from __future__ import annotations

import json
import time
from pathlib import Path

from harnex.redaction.files import Scrub, withhold
from harnex.redaction.redactor import Redactor

# ---- scrub ----

KEY = "zebra7LanternQuartz42Meadow9"


def test_rows_are_covered_in_place_and_stay_rows(tmp_path: Path) -> None:
    rows = [
        {"a": KEY, "n": 1, "text": f'é "quoted" {KEY} \\ end'},
        {"password": "some-Word-12", "b": "fine"},
        {KEY: 1},
        {"deep": json.dumps({"x": json.dumps({"y": 'pä"ss/wörd+1\\x'})})},
    ]
    path = tmp_path / "evidence" / "hooks.jsonl"
    path.parent.mkdir()
    for ascii_only in (True, False):
        path.write_text("".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows))
        before = path.stat()
        scrub = Scrub(str(tmp_path), Redactor([KEY, 'pä"ss/wörd+1\\x']))
        assert scrub.finish(10)
        after = path.read_text()
        assert (path.stat().st_size, path.stat().st_ino) == (before.st_size, before.st_ino)
        assert KEY not in after and "some-Word-12" not in after and "wörd" not in after and "w\\u00f6rd" not in after
        assert [json.loads(line) for line in after.splitlines()][1]["b"] == "fine"
        assert Scrub(str(tmp_path), Redactor([KEY])).finish(10) and path.read_text() == after


def test_the_live_pass_waits_for_readers_and_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "evidence" / "hooks.jsonl"
    path.parent.mkdir()
    redactor = Redactor([KEY])
    scrub = Scrub(str(tmp_path), redactor)
    now = time.monotonic()
    path.write_text(json.dumps({"a": KEY}) + "\n" + '{"b": "' + KEY)
    scrub.step(now)
    assert path.read_text().count(KEY) == 2, "nobody may have read it yet"
    scrub.step(now + 3)
    assert path.read_text().count(KEY) == 1
    with path.open("a") as f:
        f.write('"}\n')
    scrub.step(now + 6)
    scrub.step(now + 9)
    assert KEY not in path.read_text()
    assert redactor.count == 2


def test_a_file_of_no_text_and_one_that_can_not_be_opened(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"\xff\xfe\x00" + KEY.encode() + b"\x00\xff" * 10)
    (tmp_path / "link").symlink_to(tmp_path / "db")
    (tmp_path / "events.jsonl").write_text(KEY)
    scrub = Scrub(str(tmp_path), Redactor([KEY]))
    assert scrub.finish(10)
    assert KEY.encode() not in (tmp_path / "db").read_bytes()
    assert (tmp_path / "events.jsonl").read_text() == KEY, "our own files are written without secrets"


# ---- secrets that nobody knows any more ----


def test_what_hooks_wrote_is_withheld_where_its_secrets_are_not_known(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    row = {
        "hook_event_name": "PostToolUse", "tool_name": "Bash", "prompt": "go on", "session_id": "s-1",
        "tool_input": {"command": 'echo "$X"\n'}, "tool_response": {"stdout": "Zq7-vendorless", "list": ["also this"]},
    }  # fmt: skip
    path = evidence / "hooks.jsonl"
    path.write_text(json.dumps(row) + '\n{"torn Zq7-vendorless')
    size = path.stat().st_size
    withhold(str(tmp_path))
    text = path.read_text()
    assert ("Zq7" in text, "also" in text, "echo" in text, path.stat().st_size) == (False, False, False, size)
    kept = json.loads(text.splitlines()[0])
    assert {k: kept[k] for k in ("hook_event_name", "tool_name", "prompt", "session_id")} == {
        k: row[k] for k in ("hook_event_name", "tool_name", "prompt", "session_id")
    }


def test_names_of_secrets_in_what_a_run_was_started_from_stay(tmp_path: Path) -> None:
    start = json.dumps({"secrets": ["BUILD_TOKEN"], "options": {"env": {"BUILD_TOKEN": None}}})
    (tmp_path / "start.json").write_text(start)
    assert Scrub(str(tmp_path), Redactor([])).finish(10)
    assert (tmp_path / "start.json").read_text() == start

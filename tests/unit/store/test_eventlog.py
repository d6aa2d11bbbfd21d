"""store/eventlog.py: numbers without gaps, torn tails, a full disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harnex.model import events
from harnex.store.eventlog import EventLog


def log_of(tmp_path: Path) -> EventLog:
    return EventLog(str(tmp_path / "events.jsonl"), "x", "run")


def seqs(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_bytes().splitlines()]


def test_seq_has_no_gaps_over_writers_and_torn_tails(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(3):
        log = log_of(tmp_path)
        log.append(events.Diagnostic(what="a"))
        log.append(events.Diagnostic(what="b"))
        log.close()
        with path.open("ab") as f:
            f.write(b'{"schema_version":1,"seq":9')  # a crash in the middle of a write
    log_of(tmp_path).close()
    assert seqs(path) == [1, 2, 3, 4, 5, 6]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_keeps_the_events_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(tmp_path)
    log.append(events.Diagnostic(what="before"))
    real = os.write

    def half(fd: int, data: bytes) -> int:
        return real(fd, data[: len(data) // 2])

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    for broken in (full, half):
        monkeypatch.setattr(os, "write", broken)
        log.append(events.Diagnostic(what="during"))
        assert not log.flush()
        monkeypatch.setattr(os, "write", real)
    assert len(seqs(tmp_path / "events.jsonl")) == 1
    assert log.flush()
    assert seqs(tmp_path / "events.jsonl") == [1, 2, 3]


def test_every_event_type_survives_the_round_trip(tmp_path: Path) -> None:
    samples = {
        "int": 3, "str": "é\n", "bool": True, "float": 1.5, "dict[str, Any]": {"a": [1]}, "tuple[str, ...]": ["x"],
        "dict[str, Any] | None": None, "Tokens | None": None, "str | None": None, "int | None": 7, "float | None": 0.5,
        "dict[str, int | None] | None": {"input_tokens": None}, "tuple[dict[str, str], ...]": [{"text": "é"}], "Any": [1, None],
        "bool | None": False,
    }  # fmt: skip
    log = log_of(tmp_path)
    made = []
    for name, kind in events.EVENT_TYPES.items():
        values = {f: samples[str(t)] for f, t in kind.__annotations__.items() if "ClassVar" not in str(t)}
        made.append(kind(**values))
        assert made[-1].type == name
        log.append(made[-1])
    log.close()
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [events.decode(row) for row in rows] == made
    for row in rows:
        assert list(row)[:6] == list(events.HEADER)
    assert events.decode({"type": "from-the-future", "x": 1}) is None

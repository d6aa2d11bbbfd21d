"""claude/record.py: the calls of the Claude Code that Paseo runs."""

from __future__ import annotations

from typing import Any

from harnex.agents.claude.calls import UNRECORDED, UNTOLD
from harnex.agents.claude.record import ClaudeRecord
from harnex.model.facts import Fact, ModelCall, Remark
from harnex.times import seconds
from tests.unit.agents._rows import at, said, user
from tests.unit.agents.claude._tokens import EARLY, request, told


def paseo_record(began: str = "2026-11-21T12:00:00.000Z") -> ClaudeRecord:
    return ClaudeRecord(seconds(began) or 0.0)


def rows_of(record: ClaudeRecord, *rows: dict[str, Any]) -> list[Fact]:
    return [fact for row in rows for fact in record.row("record", row)]


def test_a_call_without_a_record_is_told_under_paseo_as_without_it() -> None:
    prompt = user("go", uuid="u1", timestamp=at(1))
    died = paseo_record()
    rows_of(died, prompt, request("r1", 2))
    assert told(list(died.cut(died=True))) == [("call", "open-r1")]
    assert told(list(died.ended())) == []
    stopped = paseo_record()
    rows_of(stopped, prompt)
    assert told(list(stopped.cut(died=False))) == [("words", UNRECORDED)]
    assert told(list(stopped.ended())) == []
    ended = paseo_record()
    rows_of(ended, prompt, said("a", timestamp=at(2), **EARLY))
    assert [(c.call_id, c.partial) for c in ended.ended() if isinstance(c, ModelCall)] == [("a", True)]


def test_what_was_before_the_run_is_not_told_by_it() -> None:
    record = paseo_record(at(30))
    rows_of(record, user("go", uuid="u1", timestamp=at(1)), request("r1", 2))
    assert told(list(record.cut(died=True))) == []
    found = rows_of(
        record,
        user("again", uuid="u2", timestamp=at(40)),
        request("r2", 41),
        said("a", timestamp=at(42), requestRef="r2"),
    )
    assert [f.attempts for f in found if isinstance(f, ModelCall)] == [1]
    assert [f for f in found if isinstance(f, Remark)] == []


def test_a_remark_of_the_reader_reaches_the_run() -> None:
    record = paseo_record()
    cut = user([{"type": "text", "text": "[Request interrupted by user]"}], uuid="u2", timestamp=at(3))
    assert told(rows_of(record, user("go", uuid="u1", timestamp=at(1)), cut)) == [("words", UNRECORDED)]
    assert told([*rows_of(record, said("a", timestamp=at(5), **EARLY)), *record.over()]) == [
        ("call", "a"),
        ("words", UNTOLD),
    ]

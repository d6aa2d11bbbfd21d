"""Followed files: how often they are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harnex.adapters._base import Reader
from harnex.model import Fact, Follow, Remark
from harnex.supervisor.evidence import BRISK_FOR_S, BRISK_S, IDLE_S, REST_AFTER_S, REST_S, Evidence


class Echo(Reader):
    def row(self, source: str, row: dict[str, Any]) -> list[Fact]:
        return [Remark(str(row["n"]))]


def pauses(evidence: Evidence, now: float, until: float, resting: bool) -> set[float]:
    """Between one look and the next, as the evidence itself wants them."""
    found = set()
    while now < until:
        evidence.poll(now, resting=resting)
        wake = evidence.wake_at()
        assert wake is not None
        found.add(round(wake - now, 6))
        now = wake
    return found


def test_files_are_looked_at_less_often_the_less_happens(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("")
    evidence = Evidence(Echo(), list, 0.0)
    evidence.take(Follow("rows", str(path)))
    assert pauses(evidence, 0.0, 9.0, False) == {BRISK_S}
    assert pauses(evidence, 11.0, 200.0, False) == {IDLE_S}, "a turn runs: whatever it does may come without output"
    assert pauses(evidence, 200.0, 300.0, True) == {REST_S}
    evidence.stir(297.0)
    assert evidence.wake_at() == 297.0 + BRISK_S
    assert pauses(evidence, 297.1, 296.9 + BRISK_FOR_S, True) == {BRISK_S}
    assert pauses(evidence, 301.0, 297.0 + BRISK_FOR_S + REST_AFTER_S, True) == {IDLE_S}
    with path.open("a") as f:
        f.write('{"n": 1}\n')
    assert evidence.poll(400.0, resting=True) == [Remark("1")]
    assert evidence.wake_at() == 400.0 + BRISK_S

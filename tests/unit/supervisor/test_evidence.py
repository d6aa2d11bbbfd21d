"""Followed files: how often they are looked at."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harnex import times
from harnex.agents.contract import Reader
from harnex.model.facts import Fact, FindFile, Follow, Remark
from harnex.supervisor import evidence as module
from harnex.supervisor.evidence import (
    BRISK_FOR_S,
    BRISK_S,
    FIND_EVERY_S,
    FIND_FOR_S,
    IDLE_S,
    REST_AFTER_S,
    REST_S,
    SELDOM_S,
    Evidence,
    offset_since,
)


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


# ---- files that are looked for by their names ----


class Finder(Reader):
    """Tells what was found and read."""

    def found(self, source: str, path: str) -> list[Fact]:
        return [Remark(f"found {path}")]

    def row(self, source: str, row: dict[str, Any]) -> list[Fact]:
        return [Remark(f"{source} {row['n']}")]


def told(facts: list[Fact]) -> list[str]:
    return [fact.text for fact in facts if isinstance(fact, Remark)]


def test_a_file_is_found_in_whatever_folder_it_is_and_read_from_its_beginning(tmp_path: Path) -> None:
    evidence = Evidence(Finder(), list, 0.0)
    evidence.take(FindFile("rows", paths=(f"{tmp_path}/projects/*/x.jsonl",)))
    assert evidence.poll(0.0) == []
    folder = tmp_path / "projects" / ("-söme-" + "x" * 200)
    folder.mkdir(parents=True)
    (folder / "x.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    assert told(evidence.poll(FIND_EVERY_S)) == [f"found {folder}/x.jsonl", "rows 1", "rows 2"]
    assert told(evidence.poll(9.0)) == []


def test_one_file_by_two_names_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "x.jsonl").write_text('{"n": 1}\n')
    evidence = Evidence(Finder(), list, 0.0)
    evidence.take(Follow("rows", f"{tmp_path}/link/x.jsonl"))
    evidence.take(FindFile("rows", paths=(f"{tmp_path}/rea*/x.jsonl",)))
    assert told(evidence.poll(0.0)).count("rows 1") == 1


def test_a_pattern_may_begin_with_a_variable_of_the_agents_processes(tmp_path: Path) -> None:
    """A wrapper sets it: harnex does not know."""
    (tmp_path / "[c]").mkdir()
    (tmp_path / "[c]" / "x.jsonl").write_text('{"n": 1}\n')
    env = {**os.environ, "HX_CONFIG": str(tmp_path / "[c]")}
    agent = subprocess.Popen(["cat"], stdin=subprocess.PIPE, env=env)
    try:
        evidence = Evidence(Finder(), lambda: [agent.pid, 2**22], 0.0)
        evidence.take(FindFile("rows", paths=("$HX_NONE/x.jsonl", "$HX_CONFIG/x.jsonl")))
        assert "rows 1" in told(evidence.poll(0.0))
    finally:
        agent.communicate()


def test_rows_of_before_are_passed_over_in_one_and_in_all(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"n": n, "timestamp": times.iso(1000.0 + n)}) + "\n" for n in range(6))
    path = tmp_path / "x.jsonl"
    path.write_text(lines)
    offsets: list[tuple[str, int]] = []
    evidence = Evidence(Finder(), list, 0.0, lambda source, path, kind, offset: offsets.append((kind, offset)))
    evidence.take(FindFile("rows", paths=(f"{tmp_path}/*.jsonl",), since=1004.0))
    assert told(evidence.poll(0.0))[1:] == ["rows 4", "rows 5"]
    assert offsets == [("rows", len(lines) * 4 // 6)], "a reader after a crash begins there, too"
    reader = Finder()
    reader.began = 0.0
    every = Evidence(reader, list, 0.0)
    every.take(FindFile("agents", paths=(f"{tmp_path}/*.jsonl",), every=True, since=1005.0))
    assert told(every.poll(0.0))[1:] == ["agents 5"]


@pytest.mark.parametrize("piece", [7, 64, 1 << 20])
@pytest.mark.parametrize("since", [-1, 0, 1, 17, 39, 40])
def test_where_the_rows_since_a_time_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, since: int
) -> None:
    """Read from its end, in pieces. Rows without a time belong to those before them."""
    monkeypatch.setattr(module, "SINCE_BYTES", piece)
    lines = []
    for n in range(40):
        lines.append(json.dumps({"n": n, "timestamp": times.iso(1000.0 + n), "text": "ü" * (n % 5)}) + "\n")
        if n % 3 == 0:
            lines.append(json.dumps({"mode": n}) + "\n")
    path = tmp_path / "x.jsonl"
    path.write_text("".join(lines) + '{"torn')
    old = [n for n, line in enumerate(lines) if json.loads(line).get("n", 99) < since]
    expected = sum(len(line.encode()) for line in lines[: old[-1] + 1]) if old else 0
    assert offset_since(str(path), 1000.0 + since) == expected
    assert offset_since(str(tmp_path / "none"), 0.0) == 0


def test_a_file_that_does_not_come_is_looked_for_seldom(tmp_path: Path) -> None:
    evidence = Evidence(Finder(), list, 0.0)
    evidence.take(FindFile("rows", paths=(f"{tmp_path}/*.jsonl",)))
    now = 0.0
    while now < FIND_FOR_S + SELDOM_S:
        evidence.poll(now, force=False)
        now += FIND_EVERY_S
    (tmp_path / "x.jsonl").write_text('{"n": 1}\n')
    looks = []
    while not looks and now < FIND_FOR_S + 4 * SELDOM_S:
        looks = told(evidence.poll(now))
        now += FIND_EVERY_S
    assert looks and now > FIND_FOR_S + SELDOM_S + 2.0


def test_many_rows_are_read_in_parts_and_none_is_left_out(tmp_path: Path) -> None:
    """Of two files; a part of nothing but rows that tell nothing does not end it."""
    silent, full = tmp_path / "silent.jsonl", tmp_path / "full.jsonl"
    silent.write_text("\n" * 3 * module.ROWS_A_POLL)
    full.write_text("".join(f'{{"n": {n}}}\n' for n in range(5 * module.ROWS_A_POLL)))
    evidence = Evidence(Echo(), list, 0.0)
    for path in (silent, full):
        evidence.take(Follow("rows", str(path)))
    parts = list(evidence.rest(1.0, 60.0))
    assert [fact.text for part in parts for fact in part if isinstance(fact, Remark)] == [
        str(n) for n in range(5 * module.ROWS_A_POLL)
    ]
    assert max(map(len, parts)) <= module.ROWS_A_POLL
    assert not evidence.backlog
    assert len(list(evidence.rest(1.0, 0.0))) == 0

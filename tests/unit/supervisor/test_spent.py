"""What was used before a watch came (supervisor/spent.py): this run's log, and those of the runs that it goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harnex.paths import RESUMES
from harnex.supervisor import spent
from harnex.watch.budget import Bill


def dollars(call: Mapping[str, Any]) -> float | None:
    """A cent a token, where the sum is known."""
    given, out = call["input_tokens"], call["output_tokens"]
    return None if given is None or out is None else (given + out) / 100


def call(name: str, given: int | None, out: int | None, partial: bool = False) -> dict[str, Any]:
    total = None if given is None or out is None else given + out
    numbers = {"input_tokens": given, "output_tokens": out, "total_tokens": total}
    return {"type": "call", "call_id": name, "model": "m", "partial": partial, **numbers}


def turn(number: int, end: str = "task_complete") -> list[dict[str, Any]]:
    return [{"type": "turn_started", "turn": number}, *([{"type": end, "turn": number}] if end else [])]


def write(state: Path, run_id: str, rows: list[dict[str, Any]], resumes: str = "") -> None:
    directory = state / "runs" / run_id
    directory.mkdir(parents=True)
    text = "".join(json.dumps({"seq": n, **row}, separators=(",", ":")) + "\n" for n, row in enumerate(rows, 1))
    (directory / "events.jsonl").write_text(text)
    if resumes:
        (directory / RESUMES).write_text(resumes + "\n")


def test_a_run_that_goes_on_with_two_others(tmp_path: Path) -> None:
    write(tmp_path, "one", [*turn(1), call("a", 90, 10), *turn(2), call("b", 190, 10)])
    write(tmp_path, "two", [*turn(1), call("c", 40, 10), call("c", 40, 10)], "one")
    write(tmp_path, "three", [call("d", 5, 5)], "two")
    used = spent.used(str(tmp_path), "three", dollars)
    assert [b.tokens for b in used.bills] == [10, 50, 100, 200] and sum(b.cost or 0 for b in used.bills) == 3.6
    assert (used.turns, used.runs, used.unknown) == (3, 2, "")


def test_a_turn_that_was_cut_off_goes_on_in_the_next_run(tmp_path: Path) -> None:
    for name, end in (("failed", "turn_failed"), ("open", "")):
        write(tmp_path, name, [*turn(1), *turn(2, end)])
        write(tmp_path, f"after-{name}", [], name)
        assert spent.used(str(tmp_path), f"after-{name}", dollars).turns == 1


def test_what_is_known_of_a_call_counts(tmp_path: Path) -> None:
    rows = [call("cut", 300, None, True), call("nothing", None, None, True), call("mute", 400, None)]
    write(tmp_path, "one", rows)
    assert spent.used(str(tmp_path), "one", dollars).bills == (
        Bill(None, 3.0, "m", 300, True),
        Bill(None, 0.0, "m", 0, True),
        Bill(None, None, "m", 400, False),
    )


def test_a_total_that_came_later_makes_calls_known(tmp_path: Path) -> None:
    rest = {"type": "usage_rest", "call_ids": ["x", "y", "gone"], "total_tokens": 950}
    write(tmp_path, "one", [call("x", 300, None), call("y", 400, None), call("z", 5, 5), rest])
    bills = spent.used(str(tmp_path), "one", dollars).bills
    assert [b.tokens for b in bills] == [950, 0, 10]


def test_of_a_run_whose_log_is_gone_its_record_tells(tmp_path: Path) -> None:
    write(tmp_path, "two", [call("d", 5, 5)], "one")
    assert "one" in spent.used(str(tmp_path), "two", dollars).unknown
    row = {"run_id": "one", "id": "x", "calls": 3, "turns": 2, "usage": {"total_tokens": 700}}
    (tmp_path / "history.jsonl").write_text(json.dumps(row) + "\n")
    used = spent.used(str(tmp_path), "two", dollars)
    assert (len(used.bills), sum(b.tokens or 0 for b in used.bills)) == (4, 710)
    assert (used.turns, used.runs, used.unknown) == (2, 1, "")


def test_runs_that_go_on_with_each_other_end_the_chain(tmp_path: Path) -> None:
    write(tmp_path, "one", [call("a", 5, 5)], "two")
    write(tmp_path, "two", [call("b", 5, 5)], "one")
    assert len(spent.used(str(tmp_path), "two", dollars).bills) == 2

"""recovery/go_on.py: the words that let a task go on after a crash."""

from __future__ import annotations

from typing import Any

import pytest

from harnex.recovery.fold import Digest
from harnex.recovery.go_on import GO_ON, NO_TASK, QUOTED, before, words


def log(*rows: dict[str, Any]) -> Digest:
    digest = Digest()
    for row in rows:
        digest.take(row)
    return digest


def sent(message: str, text: str = "Build it.") -> list[dict[str, Any]]:
    return [
        {"type": "send", "message_id": message, "msg": text},
        {"type": "delivery", "message_id": message, "status": "accepted"},
    ]


def state(name: str) -> dict[str, Any]:
    return {"type": "state", "state": name}


TURN = {"type": "turn_started", "turn": 1, "message_id": "m1"}
CUT = {"type": "turn_failed", "turn": 1, "outcome": "interrupted", "reason": "other"}
WELL = {"type": "task_complete", "turn": 1, "last_message": "done"}


@pytest.mark.parametrize(
    ("rows", "cut_off"),
    [
        ([state("prompt"), *sent("m1"), state("busy"), TURN], True),  # its supervisor was killed
        ([state("prompt"), *sent("m1"), state("busy"), TURN, CUT], True),  # and recovery closed its turn
        ([state("prompt"), *sent("m1"), state("busy"), TURN, state("stopping"), CUT], True),  # a shutdown
        ([state("prompt"), *sent("m1"), TURN, CUT], True),  # killed before its state was told
        ([state("prompt"), *sent("m1")], True),  # taken, and no turn yet
        (
            [state("prompt"), state("busy"), {**TURN, "message_id": None}, state("blocked"), CUT],
            True,
        ),  # a person typed it
        ([state("prompt")], False),
        ([state("prompt"), *sent("m1"), state("busy"), TURN, state("prompt"), WELL], False),
        ([state("prompt"), *sent("m1"), state("busy"), TURN, state("prompt"), CUT], False),  # a person interrupted it
        ([state("prompt"), *sent("m1"), state("busy"), TURN, CUT, state("prompt")], False),  # told the other way round
        ([state("prompt"), *sent("m1"), state("busy"), TURN, state("prompt"), WELL, state("stopping")], False),
    ],
)
def test_what_was_cut_off(rows: list[dict[str, Any]], cut_off: bool) -> None:
    digest = log(*rows)
    assert digest.cut_off is cut_off
    said = words(digest, [{"id": "m1", "text": "Build it."}], [])
    typed = not any(row["type"] == "send" for row in rows)
    assert said == (None if not cut_off else NO_TASK if typed else GO_ON + "Build it.")


def test_whose_words_are_said() -> None:
    open_turn = log(state("prompt"), *sent("m1", "cut at 200"), state("busy"), TURN)
    assert words(open_turn, [{"id": "m1", "text": "the whole"}], []) == GO_ON + "the whole"
    assert words(open_turn, [], []) == GO_ON + "cut at 200", "what the log has of it"
    assert words(open_turn, [{"id": "m1", "text": "[redacted]", "redacted": True}], []) == NO_TASK
    long = "x" * (QUOTED + 1)
    assert words(open_turn, [{"id": "m1", "text": long}], []) == GO_ON + "x" * QUOTED + "…"
    again = log(state("prompt"), *sent("m1", GO_ON + "that"), state("busy"), TURN)
    assert words(again, [], []) == GO_ON + "that"
    nudge = {"type": "nudge", "message_id": "m2"}
    nudged = log(
        *sent("m1"), TURN, state("busy"), state("prompt"), CUT, nudge, *sent("m2", "You seem…"), {**TURN, "turn": 2}
    )
    assert words(nudged, [], []) == GO_ON + "Build it."
    both = log(state("prompt"), *sent("m1"), state("busy"), TURN, *sent("m2", "And that."))
    assert words(both, [], []) == GO_ON + "Build it.\n\nAnd that."


def test_killed_background_work_is_an_open_task() -> None:
    well = log(state("prompt"), *sent("m1"), state("busy"), TURN, state("prompt"), WELL)
    killed = [{"command": "make test"}]
    assert (
        words(well, [], killed) == f"{NO_TASK}\n\nWhat you had running in the background was ended, too: `make test`."
    )
    assert words(log(state("prompt")), [], killed) is None, "of nobody's task"


def test_what_a_later_run_knows_of_the_last_turn() -> None:
    well = log(state("prompt"), *sent("m1"), TURN, WELL)
    known = before(well, {})
    assert known is not None and (known["outcome"], known["message"]) == ("completed", "done")
    assert before(log(state("prompt")), {"before": known}) == known, "it was killed before it had a turn of its own"
    assert before(log(), {}) is None

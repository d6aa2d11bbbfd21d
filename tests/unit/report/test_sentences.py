"""report/sentences.py: every type of event that a person should read has a sentence, whatever is missing in it."""

from __future__ import annotations

import pytest

from harnex.model.events import EVENT_TYPES
from harnex.report.sentences import QUIET, followed, killed_words, local_time, sentence, short

NOW = 1_800_000_000.0
# `usage`, `usage_rest`, `summary` and the like are figures: the tables show them.
FIGURES = {"usage", "usage_rest", "summary", "git", "answer", "progress"}


@pytest.mark.parametrize("kind", sorted(set(EVENT_TYPES) - FIGURES - {""}))
def test_every_type_has_a_sentence_though_all_its_fields_are_missing(kind: str) -> None:
    assert sentence({"type": kind}, NOW)
    assert bool(followed({"type": kind}, NOW)) is (kind not in QUIET)


def test_an_unknown_type_has_none() -> None:
    assert sentence({"type": "of tomorrow"}, NOW) == sentence({}, NOW) == ""


def test_sentences() -> None:
    failed = {"type": "turn_failed", "turn": 2, "outcome": "failed", "reason": "usage_limit", "message": "a\nb"}
    assert sentence(failed, NOW) == "turn 2 failed: usage_limit: a b"
    done = {"type": "task_complete", "turn": 1, "duration_s": 65.0, "last_message": "All done."}
    assert sentence(done, NOW) == "turn 1 ended well after 1m05s: All done."
    work = {"type": "background", "status": "started", "kind": "shell", "command": "make test", "by": "main"}
    assert sentence(work, NOW) == "in the background: shell make test"
    assert sentence({**work, "status": "ended", "how": "completed", "duration_s": 3}, NOW) == (
        "background work ended after 3s, completed: shell make test"
    )
    assert sentence({"type": "compaction", "agent": "main", "tokens_before": 12345}, NOW) == (
        "the conversation (12,345 tokens) was replaced by a summary"
    )


def test_times_and_long_texts() -> None:
    assert local_time("no time", NOW) == "--:--:--"
    assert len(local_time("2027-01-15T08:00:00.000Z", NOW)) == 8
    assert len(local_time("2020-01-15T08:00:00.000Z", NOW)) > 8
    assert short("a  b\n" + "x" * 200) == "a b " + "x" * 155 + "…"
    assert killed_words([{"kind": "shell", "command": "sleep 1", "since": None, "by": "main"}], NOW) == (
        "shell sleep 1 (since --:--:--, by main)"
    )

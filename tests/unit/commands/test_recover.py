"""commands/recover.py: what is said of a recovered run."""

from __future__ import annotations

import pytest


def test_a_run_that_ended_as_it_was_resumed_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    from harnex.commands.recover import say

    reply = {"ok": True, "id": "x", "how": "resumed: --resume 1", "run_id": "r2"}
    say([], [{**reply, "exit": {"reason": "budget", "message": "the budget is spent"}}, reply])
    assert capsys.readouterr().out.splitlines() == [
        "x: resumed: --resume 1; run r2; it ended at once: the budget is spent",
        "x: resumed: --resume 1; run r2",
    ]

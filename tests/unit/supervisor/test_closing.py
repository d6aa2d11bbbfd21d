"""supervisor/closing.py: what becomes of a record that can't be written."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any

import pytest

from harnex.machines.ending import End
from harnex.machines.status import Situation, Status
from harnex.machines.turns import Turns
from harnex.redaction.redactor import Clean
from harnex.store import history
from harnex.supervisor.closing import Closing


@pytest.mark.parametrize(("number", "written"), [(errno.ENOSPC, False), (errno.EACCES, True)])
def test_a_history_that_takes_no_record(monkeypatch: pytest.MonkeyPatch, number: int, written: bool) -> None:
    """A full disk is waited for. Nothing mends the rest: that is told, and the session ends."""
    told: list[str] = []

    def refuse(state: str, row: Clean) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(history, "append", refuse)
    journal: Any = SimpleNamespace(diagnose=told.append)
    nothing: Any = None
    spec: Any = SimpleNamespace(state="/nowhere")
    closing = Closing(spec, journal, nothing, Situation(Status(""), Turns(), End()), nothing)
    assert closing.write(Clean({})) is written
    assert bool(told) is written

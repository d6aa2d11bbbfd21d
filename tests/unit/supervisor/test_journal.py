"""supervisor/journal.py: a storm of remarks is cut off."""

from __future__ import annotations

import pytest

from harnex.supervisor.journal import REMARKS_MAX, Journal


def test_a_storm_of_different_diagnostics_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    about = Journal.__new__(Journal)
    about._remarks, about.counts = {}, {}
    monkeypatch.setattr(about, "emit", lambda event: said.append(event.what))
    for n in range(REMARKS_MAX + 5000):
        about.diagnose(f"an unknown status: {n}")
    about.diagnose("an unknown status: 7")
    assert said[:REMARKS_MAX] == [f"an unknown status: {n}" for n in range(REMARKS_MAX)]
    assert len(set(said[REMARKS_MAX:])) == 1
    assert len(said) - REMARKS_MAX == 4, "at powers of ten"
    assert len(about._remarks) == REMARKS_MAX + 1

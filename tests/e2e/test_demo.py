"""`harnex demo`, the tour for people without an agent CLI; and the page for agents,
which no other test prints."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Harnex

PAGE = Path(__file__).parents[2] / "AGENTS-GUIDE.md"


def test_the_tour_ends_well_and_leaves_nothing(harnex: Harnex) -> None:
    places = harnex.base / "places"
    places.mkdir()
    out = harnex.ok("demo", env=harnex.env | {"TMPDIR": str(places)})
    assert [f"\n{n}. " in out for n in range(1, 6)] == [True] * 5
    assert "→ completed after" in out
    assert "Nothing is left behind." in out
    assert list(places.iterdir()) == []
    assert harnex.json("status", "--all", "--json") == []


def test_the_guide_of_agents(harnex: Harnex) -> None:
    assert harnex.ok("agents-guide") == PAGE.read_text()

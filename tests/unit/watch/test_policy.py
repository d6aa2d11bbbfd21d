"""watch/policy.py: presets, their overrides, deadlines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from harnex.watch.policy import Policy, checked, choose, next_time

BERLIN = ZoneInfo("Europe/Berlin")


def test_presets_their_overrides_and_those_of_the_files() -> None:
    assert Policy.load(choose("impl", [])) == Policy(preset="impl", stall_after=480.0, max_resumes=1)
    assert (choose("plan", [])["stall_after"], choose("plan", [])["max_resumes"]) == (180.0, 2)
    assert (choose("gate", [])["stall_after"], choose("gate", [])["max_resumes"]) == (900.0, 0)
    own = [("u", {"gate": {"stall-after": "20m"}}), ("r", {"mine": {"verify": "make"}, "gate": {"max_resumes": 3}})]
    assert choose("gate", own) == {"preset": "gate", "stall_after": 1200.0, "max_resumes": 3}
    assert choose("mine", own)["stall_after"] == 480.0


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"stall_after": "soon"}, "stall_after: 'soon' is not a duration"),
        ({"stall_after": True}, "stall_after: True is not a number"),
        ({"stall_after": 0}, "stall_after: 0 is too little"),
        ({"max_resumes": -1}, "max_resumes: -1 is not a whole number"),
        ({"max_resumes": 1.5}, "max_resumes: 1.5 is not a whole number"),
        ({"verify": ""}, "verify: '' is not a text"),
        ({"auto_stop": "yes"}, "auto_stop: 'yes' is not true or false"),
        ({"stal_after": "8m"}, "stal_after: unknown key"),
        ({"stall-after": 9, "stall_after": 9}, "it is there twice"),
        ({"max_cost": 0}, "max_cost: 0 is not an amount"),
    ],
)
def test_a_wrong_preset_is_named_with_its_file_and_key(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked(keys)
    with pytest.raises(ValueError) as e:
        choose("impl", [("/r/.harnex.toml", {"mine": keys})])
    assert str(e.value).startswith("/r/.harnex.toml: [presets.mine] ") and words in str(e.value)
    with pytest.raises(ValueError, match="there is no preset 'nope'; presets: impl, plan, gate"):
        choose("nope", [])


def test_a_dump_comes_back() -> None:
    policy = Policy(stall_after=5.0, notify_urls=("a", "b"), deadline=12.5, care=False)
    assert Policy.load(policy.dump()) == policy
    assert Policy.load({**policy.dump(), "of_the_future": 1}) == policy


@pytest.mark.parametrize(
    ("text", "now", "then"),
    [
        ("07:00", "2026-11-21T23:00", "2026-11-22T07:00"),
        ("7:30", "2026-11-21T05:00", "2026-11-21T07:30"),
        ("07:00", "2026-11-21T07:00", "2026-11-22T07:00"),
        ("07:00", "2026-10-24T23:00", "2026-10-25T07:00"),  # an hour longer: the clocks go back
        ("2026-11-23T07:00:00+01:00", "2026-11-21T05:00", "2026-11-23T07:00"),
    ],
)
def test_deadlines(text: str, now: str, then: str) -> None:
    at = next_time(text, datetime.fromisoformat(now).replace(tzinfo=BERLIN))
    assert at == datetime.fromisoformat(then).replace(tzinfo=BERLIN)
    for bad in ("25:00", "soon", "7", "07:60"):
        with pytest.raises(ValueError, match=r"."):
            next_time(bad, datetime.now(UTC))

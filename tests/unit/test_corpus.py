"""Every recorded run of a real CLI, replayed through the product and held against the truth at every moment.

`tests/record.py` makes the cases and says what is in them, `tests/replay.py` replays and judges. In each mode `prompt`
on a busy or blocked agent is wrong. In the modes `whole` and `split` (the output cut at random places) everything that
is not the true state is, `prompt` up to 2 s late excepted; and turns and their outcomes are counted. In the others one
source is switched off: there a late or unsure answer will do. `python -m tests.replay` prints all of it with counts.
"""

from __future__ import annotations

import dataclasses
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from harnex.model import events
from tests.record import CORPUS, VERSIONS, _private, read_text
from tests.replay import Case, case_paths, judge, judged, load, modes_of, replay

# What the product gets wrong, and why: cause -> case and modes. What is mended fails here until it is taken out.
KNOWN_BY_CAUSE: dict[str, tuple[str, ...]] = {
    "activity: without OSC 7501, in the 95 ms between two turns the session file says idle, and is believed though a "
    "message is queued in the agent": ("claude/2.1.329/run-queued-message -osc7501",),
    "codex: up to 0.116 a stalled answer looks like rest, and without the rollout the screen is believed": (
        "codex/0.80.0/run-stalled-stream -rollout",
        "codex/0.104.0/run-stalled-stream -rollout",
    ),
}
KNOWN: dict[tuple[str, str], str] = {
    (line.split()[0], mode): why for why, lines in KNOWN_BY_CAUSE.items() for line in lines for mode in line.split()[1:]
}

cached = lru_cache(maxsize=4)(load)


def about(path: Path) -> dict[str, Any]:
    told = json.loads((path / "case.json").read_text())
    assert isinstance(told, dict)
    return told


def name_of(path: Path) -> str:
    return "/".join(path.parts[-3:])


def params() -> list[Any]:
    """Every case whole and split. With a source switched off `make test` plays every second case: the
    golden files hold one such mode of each case to the letter."""
    out = []
    for n, path in enumerate(case_paths()):
        for mode in modes_of(about(path)):
            why = KNOWN.get((name_of(path), mode))
            marks = [pytest.mark.xfail(reason=why, strict=True)] if why else []
            if mode.startswith("-") and n % 2 and not why:
                marks.append(pytest.mark.more)
            out.append(pytest.param(path, mode, marks=marks, id=f"{name_of(path)}:{mode}"))
    return out


@pytest.mark.parametrize(("path", "mode"), params())
def test_the_state_is_true_at_every_moment(path: Path, mode: str) -> None:
    assert judged(cached(path), mode).wrong == []


def named(scenario: str) -> list[Any]:
    return [pytest.param(p, id=name_of(p)) for p in case_paths() if p.name == scenario]


@pytest.mark.parametrize("path", named("run-compaction"))
def test_a_compaction_is_told(path: Path) -> None:
    """Claude Code says what was asked for and how long the conversation was (what is left: 2.1), Codex nothing."""
    (told,) = [e for e in replay(cached(path)).told if isinstance(e, events.Compaction)]
    before, after = told.tokens_before, told.tokens_after
    if about(path)["cli"] == "codex":
        assert (told.agent, told.trigger, before, after) == ("main", None, None, None)
    else:
        assert (told.agent, told.trigger) == ("main", "manual") and before is not None and before > 1000
        assert (after is not None) == (path.parent.name == "2.1.329")


@pytest.mark.parametrize("path", named("run-sub-agent"))
def test_a_sub_agent_is_told_once_each_way_under_the_name_of_its_calls(path: Path) -> None:
    told = replay(cached(path)).told
    seen = [(e.agent, e.status) for e in told if isinstance(e, events.Subagent)]
    calls = {e.agent for e in told if isinstance(e, events.Call)} - {"main"}
    if path.parent.name == "1.0.128":  # it gives its sub-agents no names: their tool's events tell of them
        assert (seen, calls) == ([], {"subagent"})
        return
    assert sorted(seen) == sorted((agent, status) for agent in calls for status in ("started", "ended"))
    assert all(seen.index((agent, "started")) < seen.index((agent, "ended")) for agent in calls)
    kinds = {agent.partition(":")[0] for agent in calls}
    if about(path)["cli"] == "claude":
        warmed = {"Plan", "Explore", "Bash"} if path.parent.name == "2.0.77" else set()
        assert kinds == {"general-purpose"} | warmed


def test_what_is_known_is_there() -> None:
    there = {(name_of(p), mode) for p in case_paths() for mode in modes_of(about(p))}
    assert KNOWN.keys() <= there


@pytest.mark.parametrize("cli", sorted(VERSIONS))
def test_the_corpus_is_wide(cli: str) -> None:
    paths = [p for p in case_paths() if about(p)["cli"] == cli]
    assert len(paths) >= 40
    for version in VERSIONS[cli]:
        of_version = [about(p) for p in paths if p.parent.name == version]
        assert len(of_version) >= 30, version
        assert {(a["columns"], a["rows"]) for a in of_version} >= {(120, 40), (80, 24)}, version


def test_the_corpus_is_small_and_tells_nothing_of_the_machine() -> None:
    files = [f for p in case_paths() for f in p.iterdir()]
    assert sum(f.stat().st_size for f in CORPUS.rglob("*") if f.is_file()) < 8_000_000
    assert max(f.stat().st_size for f in files) < 60_000
    for path in case_paths():
        for file in ("stream.jsonl", "session.cast", "screen.txt", "case.json"):
            text = read_text(path / file)
            assert not [w for w in ("/root/", "/opt/", *_private()) if w in text], path


def lied(case: Case, **changes: str) -> Case:
    """The case with other truths: label state -> what it is said to be."""
    labels = [dataclasses.replace(x, state=changes.get(x.state, x.state)) for x in case.labels]
    return dataclasses.replace(case, labels=labels)


@pytest.mark.parametrize("cli", ["claude/2.1.329", "claude/1.0.128", "codex/0.169.0", "codex/0.80.0"])
def test_a_wrong_state_is_seen(cli: str) -> None:
    """The judge can judge: with the truth changed, the same replay is wrong."""
    case = load(CORPUS / cli / "run-shell-tool")
    result = replay(case)
    assert {s.state for s in result.samples} >= {"prompt", "busy"}
    assert judge(case, result).wrong == []
    assert judge(lied(case, prompt="busy"), result).wrong
    assert judge(lied(case, prompt="blocked"), result, only_dangerous=True).wrong
    assert judge(lied(case, busy="prompt"), result).wrong
    assert judge(lied(case, busy="blocked"), result).wrong
    other = {**case.about, "turns": [{"outcome": "failed"}]}
    assert judge(dataclasses.replace(case, about=other), result).wrong

"""The fusion, rule by rule (machines/activity.py): each case is a way in which a simpler rule was seen to be wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.contract import Source
from harnex.machines.activity import AFTER_DIALOG_S, LAG_S, STALE_S, START_ALONE_S, UNSEEN_S, Activity, Verdict
from harnex.model.facts import Observation, Retracted, State

SOURCES = (
    Source("file", 1),
    Source("hooks", 1, level=False),
    Source("title", 2),
    Source("screen", 3, settle_s=0.3),
)


class Bench:
    """An activity that was at its prompt, and a clock."""

    def __init__(self, ready: bool = True) -> None:
        self.now = 100.0
        self.activity = Activity(SOURCES, None, self.now)
        if ready:
            self.says("file", State.PROMPT)
            self.says("screen", State.PROMPT)
            self.activity.output(self.now - 10)
            assert self.at(10).state is State.PROMPT

    def says(self, source: str, state: State, dialog: str = "", options: tuple[str, ...] = ()) -> None:
        self.activity.observe(Observation(source, state, f"{source} says", dialog, options), self.now)

    def at(self, later: float = 0.0) -> Verdict:
        self.now += later
        return self.activity.decide(self.now)


def test_nothing_seen_is_starting() -> None:
    assert Bench(ready=False).at().state is State.STARTING


def test_a_declared_change_is_believed_at_once() -> None:
    b = Bench()
    b.says("file", State.BUSY)
    assert b.at().state is State.BUSY
    b.at(5)
    b.says("file", State.PROMPT)
    assert (b.at().state, b.at().source) == (State.PROMPT, "file")


def test_the_box_on_the_screen_proves_nothing() -> None:
    b = Bench()
    b.says("title", State.BUSY)
    b.activity.observe(Retracted("file"), b.now)
    b.says("screen", State.PROMPT)
    assert b.at(60).state is State.BUSY


def test_declared_prompt_against_a_lasting_spinner_is_unknown() -> None:
    b = Bench()
    b.says("screen", State.BUSY)
    first = b.at()
    assert first.state is State.PROMPT
    assert first.wake_at is not None
    assert b.at(LAG_S + 0.01).state is State.UNKNOWN


def test_titles_prompt_against_a_spinner_on_the_screen_is_busy() -> None:
    b = Bench()
    b.activity.observe(Retracted("file"), b.now)
    b.says("title", State.PROMPT)
    b.says("screen", State.BUSY)
    assert b.at(LAG_S + 1).state is State.BUSY


def test_a_dialog_on_the_screen_is_a_dialog_whatever_is_declared() -> None:
    for declared in (State.PROMPT, State.BUSY):
        b = Bench()
        b.says("file", declared)
        b.says("screen", State.BLOCKED, "question", ("A", "B"))
        verdict = b.at()
        assert (verdict.state, verdict.dialog, verdict.options) == (State.BLOCKED, "question", ("A", "B"))


def test_a_dialog_that_was_just_answered_may_still_be_painted() -> None:
    b = Bench()
    b.says("file", State.BLOCKED, "permission")
    b.says("screen", State.BLOCKED, "permission")
    assert b.at().state is State.BLOCKED
    b.now += 5
    b.says("file", State.BUSY)
    assert b.at(0.05).state is State.BLOCKED
    b.says("screen", State.BUSY)
    assert b.at(0.01).state is State.BUSY


def test_rest_that_was_declared_before_a_dialog_was_answered_is_not_believed_at_once() -> None:
    """Codex asks about a plan at rest: an answer starts a turn, of which nothing shows for a moment."""
    b = Bench()
    b.says("file", State.PROMPT)
    b.at(1)
    b.says("screen", State.BLOCKED, "plan", ("Yes", "No"))
    assert b.at().state is State.BLOCKED
    b.now += 5
    b.says("screen", State.PROMPT)
    verdict = b.at()
    assert (verdict.state, verdict.wake_at) == (State.UNKNOWN, b.now + AFTER_DIALOG_S)
    assert b.at(AFTER_DIALOG_S + 0.01).state is State.PROMPT


def test_rest_that_is_declared_after_a_dialog_is_believed() -> None:
    b = Bench()
    b.says("file", State.BUSY)
    b.says("screen", State.BLOCKED, "permission", ("Yes", "No"))
    assert b.at(1).state is State.BLOCKED
    b.says("screen", State.PROMPT)
    b.says("file", State.PROMPT)
    assert b.at().state is State.PROMPT


def test_a_prompt_may_have_to_settle() -> None:
    b = Bench()
    b.says("file", State.BUSY)
    b.at(1)
    b.activity.observe(Observation("file", State.PROMPT, "a plan", settle_s=0.5), b.now)
    b.says("screen", State.PROMPT)
    assert b.at().state is State.BUSY
    assert b.at(0.51).state is State.PROMPT


def test_a_declared_dialog_is_believed_before_it_is_painted_and_named_after() -> None:
    b = Bench()
    b.says("file", State.BUSY)
    b.at(1)
    b.says("file", State.BLOCKED)
    assert (b.at().state, b.at().dialog) == (State.BLOCKED, "other")
    b.says("screen", State.BLOCKED, "plan", ("Yes", "No"))
    verdict = b.at(0.5)
    assert (verdict.dialog, verdict.options, verdict.source) == ("plan", ("Yes", "No"), "file")


def test_hooks_that_were_left_behind_yield_to_a_quiet_prompt() -> None:
    b = Bench()
    b.activity.observe(Retracted("file"), b.now)
    b.says("hooks", State.BUSY)
    b.says("screen", State.BUSY)
    b.at(0.5)
    b.says("screen", State.PROMPT)
    verdict = b.at(0.5)
    assert verdict.state is State.BUSY
    assert verdict.wake_at is not None
    assert b.at(STALE_S).state is State.PROMPT


def test_a_prompt_from_before_the_hook_may_be_an_old_one() -> None:
    """Claude Code 2.1.30 on a busy machine paints nothing for seconds after it took a long prompt."""
    b = Bench()
    b.activity.observe(Retracted("file"), b.now)
    b.says("hooks", State.BUSY)
    assert b.at(STALE_S + 3).state is State.BUSY
    assert b.at(UNSEEN_S).state is State.PROMPT


def test_hooks_are_believed_while_there_is_output() -> None:
    b = Bench()
    b.activity.observe(Retracted("file"), b.now)
    b.says("hooks", State.BUSY)
    b.says("screen", State.PROMPT)
    for _ in range(20):
        b.activity.output(b.now)
        assert b.at(0.5).state is State.BUSY


def test_the_first_prompt_needs_the_box() -> None:
    b = Bench(ready=False)
    b.says("file", State.PROMPT)
    assert b.at(0.1).state is State.STARTING
    b.says("screen", State.PROMPT)
    assert b.at(0.1).state is State.PROMPT


def test_the_first_prompt_is_believed_alone_after_a_while() -> None:
    b = Bench(ready=False)
    b.says("file", State.PROMPT)
    assert b.at(START_ALONE_S + 0.01).state is State.PROMPT


def test_the_screen_alone_must_settle() -> None:
    b = Bench()
    for name in ("file", "hooks", "title"):
        b.activity.observe(Retracted(name), b.now)
    b.says("screen", State.BUSY)
    assert b.at(1).state is State.BUSY
    b.says("screen", State.PROMPT)
    b.activity.output(b.now)
    verdict = b.at()
    assert verdict.state is State.BUSY
    assert verdict.wake_at is not None
    b.activity.output(b.now + 0.2)
    assert b.at(0.31).state is State.BUSY  # output came in between
    assert b.at(0.31).state is State.PROMPT


def test_a_source_outside_its_versions_is_not_heard() -> None:
    activity = Activity((Source("file", 1, since=(2, 1)), Source("screen", 3)), (2, 0, 77), 0.0)
    activity.observe(Observation("screen", State.PROMPT, ""), 0.0)
    activity.observe(Observation("file", State.BUSY, ""), 0.0)
    assert activity.decide(10.0).state is State.PROMPT


def test_no_source_left_is_unknown_not_prompt() -> None:
    b = Bench()
    for name in ("file", "screen"):
        b.activity.observe(Retracted(name), b.now)
    assert b.at().state is State.UNKNOWN


STATES = st.sampled_from([State.PROMPT, State.BUSY, State.BLOCKED])


@given(st.lists(st.tuples(st.sampled_from([s.name for s in SOURCES]), STATES, st.floats(0.0, 3.0)), max_size=30))
def test_prompt_is_never_said_against_a_level_source_that_says_otherwise(
    steps: list[tuple[str, State, float]],
) -> None:
    b = Bench(ready=False)
    last: dict[str, State] = {}
    for source, state, pause in steps:
        b.says(source, state)
        last[source] = state
        b.at(pause)
    verdict = b.at(100.0)
    against = [s for name, s in last.items() if name != "hooks" and s is not State.PROMPT]
    if verdict.state is State.PROMPT:
        assert not against
    if verdict.wake_at is not None:
        assert verdict.wake_at > b.now, "asks to be woken in the past: the loop would spin"


def test_a_source_that_is_not_told_of_dialogs_does_not_outvote_one_that_is() -> None:
    """Codex 0.169: OSC 7501 says blocked, and 20 ms later its rollout says that the turn runs."""
    sources = (Source("osc", 1), Source("rollout", 1, dialogs=False), Source("screen", 3))
    activity = Activity(sources, None, 0.0)
    for at, source, state in (
        (1.0, "screen", State.PROMPT),
        (1.0, "osc", State.PROMPT),
        (2.0, "osc", State.BUSY),
        (3.0, "osc", State.BLOCKED),
        (3.02, "rollout", State.BUSY),
    ):
        activity.observe(Observation(source, state, "", "permission" if state is State.BLOCKED else ""), at)
        verdict = activity.decide(at)
    assert (verdict.state, verdict.dialog) == (State.BLOCKED, "permission")
    activity.observe(Observation("osc", State.BUSY, ""), 5.0)
    assert activity.decide(5.0).state is State.BUSY
    activity.observe(Observation("osc", State.BLOCKED, "", "permission"), 6.0)
    activity.observe(Observation("rollout", State.PROMPT, ""), 7.0)
    activity.observe(Observation("osc", State.PROMPT, ""), 7.01)
    activity.observe(Observation("screen", State.PROMPT, ""), 7.01)
    assert activity.decide(9.0).state is State.PROMPT


def test_after_a_message_the_screen_alone_is_believed_only_when_it_has_settled() -> None:
    """Codex shows no status line while it writes: its composer alone would say that it rests."""
    activity = Activity((Source("screen", 3, settle_s=1.3),), None, 0.0)
    activity.observe(Observation("screen", State.PROMPT, "composer"), 1.0)
    assert activity.decide(3.0).state is State.PROMPT
    assert not activity.declared
    activity.took_message()
    activity.output(3.2)
    assert activity.decide(3.2).state is State.BUSY
    activity.output(4.0)
    assert activity.decide(5.2).state is State.BUSY
    assert activity.decide(5.31).state is State.PROMPT


def test_a_first_prompt_does_not_wait_for_a_program_that_repaints_the_same() -> None:
    """Codex 0.98 at rest writes the same screen once a second."""
    b = Bench(ready=False)
    b.activity.changed(b.now)
    b.says("screen", State.PROMPT)
    for _ in range(3):
        b.now += 0.2
        b.activity.output(b.now)
        verdict = b.at()
    assert verdict.state is State.PROMPT

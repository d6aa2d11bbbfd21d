"""codex/adapter.py: the reader that all sources come together in, typing and stopping."""

from __future__ import annotations

from datetime import datetime

import pytest

from harnex.agents.codex.adapter import ADAPTER, CodexReader, plain
from harnex.agents.common.message_text import PASTE_END, PASTE_START
from harnex.model.facts import AgentSession, Fact, FindFile, Observation, Retracted, ScreenView, State, TurnEnded
from tests.unit.agents.codex._bench import ASKED, SAID, case, counted, ends, feed, old_rows, rows, states, version_of

# ---- OSC ----


def test_osc_7501() -> None:
    reader = ADAPTER.reader((0, 169))
    list(reader.screen(case("0.169.0", "thinking")))
    assert states(reader.osc(7501, "state=working:app=codex")) == [("busy", "")]
    assert states(reader.osc(7501, "state=blocked:kind=permission:app=codex")) == [("blocked", "permission")]
    assert states(reader.osc(7501, "state=blocked:kind=question:app=codex")) == [("blocked", "question")]
    assert states(reader.osc(7501, "state=blocked:app=codex")) == [("blocked", "permission")]  # 0.163
    assert states(reader.osc(7501, "state=done:app=codex")) == [("prompt", "")]
    assert states(reader.osc(7501, "state=error:app=codex")) == [("prompt", "")]
    assert Retracted("osc7501") in list(reader.osc(7501, "state=clear"))


def test_work_right_after_a_message_of_ours_is_a_turn() -> None:
    """0.169 without its rollout: the answer may be over before the screen shows the prompt."""
    reader = ADAPTER.reader((0, 169))
    list(reader.screen(case("0.169.0", "idle")))
    list(reader.submitted())
    assert states(reader.osc(7501, "state=working:app=codex")) == [("busy", "")]


def test_working_before_any_prompt_is_a_start_and_no_turn() -> None:
    """0.169 declares idle, working (40 ms), idle at each start."""
    reader = ADAPTER.reader((0, 169))
    list(reader.screen(case("0.169.0", "idle")))
    assert states(reader.osc(7501, "state=idle:app=codex")) == [("prompt", "")]
    assert states(reader.osc(7501, "state=working:app=codex")) == [("starting", "")]
    assert states(reader.screen(case("0.169.0", "idle"))) == [("prompt", "")]
    assert states(reader.osc(7501, "state=idle:app=codex")) == [("prompt", "")]


@pytest.mark.parametrize("by", ["status line", "prompt on the screen", "rollout"])
def test_the_first_turn_is_work(by: str) -> None:
    reader = ADAPTER.reader((0, 169))
    list(reader.screen(case("0.169.0", "idle")))
    assert states(reader.osc(7501, "state=working:app=codex")) == [("starting", "")]
    if by == "rollout":
        started = [r for r in rows("0.169.0", "rollout") if r["payload"].get("type") == "task_started"]
        facts = feed(reader, "rollout", started[:1])
    else:
        facts = list(reader.screen(case("0.169.0", "thinking" if by == "status line" else "streaming_lines")))
    assert Observation("osc7501", State.BUSY, "OSC 7501 state=working:app=codex") in facts
    assert states(reader.osc(7501, "state=done:app=codex")) == [("prompt", "")]
    assert states(reader.osc(7501, "state=working:app=codex")) == [("busy", "")]


def test_title() -> None:
    reader = ADAPTER.reader((0, 145))
    list(reader.screen(case("0.145.0", "thinking")))
    assert list(reader.osc(0, "my dir")) == []  # it never moved: it may be configured so
    assert states(reader.osc(0, "⠋ my dir")) == [("busy", "")]
    assert states(reader.osc(0, "[ ! ] Action Required | my dir")) == [("blocked", "other")]
    assert states(reader.osc(0, "[ . ] Action Required | my dir")) == [("blocked", "other")]
    assert states(reader.osc(0, "my dir")) == [("prompt", "")]


# ---- rows ----


@pytest.mark.parametrize("version", ["0.104.0", "0.145.0", "0.169.0"])
def test_notify_names_the_turns_of_the_rollout_and_no_others(version: str) -> None:
    reader = ADAPTER.reader(version_of(version))
    assert feed(reader, "notify", rows(version, "notify")) == []  # whose they are is not known yet
    ends = [f for f in feed(reader, "rollout", rows(version, "rollout")) if isinstance(f, TurnEnded)]
    told = [f for f in feed(reader, "notify", rows(version, "notify")) if isinstance(f, TurnEnded)]
    assert len(told) == 5  # 0.169 has 17 rows: 12 are of threads that make a title
    assert {t.turn_key for t in told} <= {e.turn_key for e in ends if e.outcome == "completed"}


def test_work_that_is_shown_of_a_turn_that_was_cut_off_is_none() -> None:
    """Measured with 0.104: resumed, it paints `Working` for ever of the turn that its killed process left open."""
    history = rows("0.104.0", "rollout")
    ends = [n for n, row in enumerate(history) if row["payload"].get("type") == "task_started"]
    history = history[: ends[1] + 1]  # one whole turn, and the start of another
    view = case("0.104.0", "thinking")

    def resumed(began: float) -> CodexReader:
        reader = ADAPTER.reader((0, 104))
        reader.began = began
        list(reader.spawned(1, {}, "/"))
        feed(reader, "rollout", history)
        return reader

    last = datetime.fromisoformat(history[-1]["timestamp"].replace("Z", "+00:00")).timestamp()
    assert states(resumed(last - 3600).screen(view))[-1] == ("busy", "")  # it is this process's own turn
    reader = resumed(last + 0.001)
    assert set(states(reader.screen(view))) == {("prompt", "")}
    assert states(reader.submitted()) == []
    assert states(reader.screen(view)) == [("busy", "")], "the message that is now being worked on"
    # However the clock was set since the start: what follows a row of this process is of this process.
    (busy,) = [f for f in feed(resumed(last - 0.001), "rollout", [
        {**history[-1], "timestamp": "2020-01-01T00:00:00.000Z", "payload": {"type": "task_started", "turn_id": "x"}}
    ]) if isinstance(f, Observation)]  # fmt: skip
    assert busy.state is State.BUSY


def test_a_failed_turn_that_only_the_screen_explains() -> None:
    """0.104: `task_complete` with `last_agent_message: null`, and the reason only on the screen."""
    reader = ADAPTER.reader((0, 104))
    list(reader.screen(case("0.104.0", "idle")))
    facts: list[Fact] = []
    for row in rows("0.104.0", "rollout"):
        facts += reader.row("rollout", row)
        if "429" in str(row["payload"].get("message")):
            break
    after = rows("0.104.0", "rollout")
    end = next(i for i, r in enumerate(after) if "429" in str(r["payload"].get("message")))
    failed = next(r for r in after[end:] if r["payload"].get("type") == "task_complete")
    facts = list(reader.row("rollout", failed))
    assert states(facts) == [("prompt", "")]
    assert not any(isinstance(f, TurnEnded) for f in facts)  # the screen still shows what was before
    [told] = [f for f in reader.screen(case("0.104.0", "error_429")) if isinstance(f, TurnEnded)]
    assert (told.outcome, told.reason, told.turn_key) == ("failed", "rate_limit", failed["payload"]["turn_id"])


def test_a_failed_turn_without_any_row() -> None:
    """Up to 0.98 a failed turn leaves no end in the rollout: without the screen it would be busy for ever."""
    reader = ADAPTER.reader((0, 80))
    list(reader.screen(case("0.80.0", "permission_denied")))
    every = rows("0.80.0", "rollout")
    at = next(i for i, r in enumerate(every) if "429" in str(r["payload"].get("message")))
    facts = feed(reader, "rollout", every[: at + 1])
    assert states(facts)[-1] == ("busy", "")
    assert not any(isinstance(f, TurnEnded) for f in reader.screen(case("0.80.0", "thinking")))
    facts = list(reader.screen(case("0.80.0", "error_429")))
    assert ("prompt", "") in [(f.state.value, f.dialog) for f in facts if getattr(f, "source", "") == "rollout"]
    assert [(f.outcome, f.reason) for f in facts if isinstance(f, TurnEnded)] == [("failed", "rate_limit")]


def test_another_conversation_in_the_same_program_is_looked_for() -> None:
    """After `/new` the old file stays silent: two spells of work without a row, and the search begins again."""
    reader = ADAPTER.reader((0, 145))
    feed(reader, "rollout", rows("0.145.0", "rollout"))
    facts: list[Fact] = []
    for title in ("⠋ d", "d", "⠋ d", "d"):
        facts += reader.osc(0, title)
    assert FindFile("rollout", "rollout-*.jsonl") in facts
    assert Retracted("rollout") in facts
    new = feed(reader, "rollout", rows("0.145.0", "sub_parent"))
    assert [f.session_id for f in new if isinstance(f, AgentSession)] == [
        rows("0.145.0", "sub_parent")[0]["payload"]["id"]
    ]


# ---- typing and stopping ----


def test_what_begins_like_a_command_is_typed_as_text() -> None:
    assert plain("/quit", (0, 169)) == " /quit"
    assert plain("  /quit", (0, 80)) == " /quit"
    assert plain("!ls", (0, 169)) == " !ls"
    assert plain("!ls", (0, 145)) == "\u2800!ls"  # behind a blank it still runs a shell command there
    assert plain("!ls", None) == "\u2800!ls"
    for text in ("#x", "@x y", "$x y", "?x", "plain", " two\nlines", "me@x"):
        assert plain(text, (0, 80)) == text
    for text in ("@x", "use $x", "look\n@src/a.py"):  # the list that they open would take the Enter
        assert plain(text, (0, 145)) == text + " "
    typing = ADAPTER.typing("a\x1b[201~\x03b\r\nc", (0, 169))
    assert typing.paste == PASTE_START + b"a[201~b\nc" + PASTE_END
    assert b"\x03" not in typing.clear  # on an empty composer it would end Codex
    assert ADAPTER.typing("x" * 200_000, (0, 169)).accept_s > 6


def test_interrupt() -> None:
    assert ADAPTER.interrupt(case("0.169.0", "streaming"), (0, 169)) == b"\x1b"
    assert ADAPTER.interrupt(case("0.145.0", "thinking"), (0, 145)) == b"\x1b"
    assert ADAPTER.interrupt(case("0.145.0", "permission_exec"), (0, 145)) == b"\x1b"
    hidden = ADAPTER.interrupt(case("0.145.0", "streaming_lines"), (0, 145))
    assert hidden.endswith(b"\x03")


# ---- what other versions showed ----


def test_a_long_paste_is_no_command_and_its_draft_is_one() -> None:
    """0.169 folds a paste of more than 1,000 characters, trims it, refuses `/long` and puts the placeholder back."""
    assert plain("/long " + "z" * 5000, (0, 169)).startswith("\u2800/long")
    assert plain("/short", (0, 169)) == " /short"
    assert ADAPTER.reader((0, 169)).draft(case("0.169.0", "refused_command")) == "[Pasted Content 5000 chars]"


def test_notify_may_be_read_before_the_rows_it_tells_of() -> None:
    reader = ADAPTER.reader((0, 58))
    assert ends(feed(reader, "rollout", old_rows(ASKED))) == []
    told = {"type": "agent-turn-complete", "thread-id": "t1", "turn-id": "1", "last-assistant-message": "Done."}
    assert ends(reader.row("notify", told)) == []
    rest = old_rows({"type": "agent_message", "message": "Done."}, counted(1), SAID)[1:]
    assert ends(feed(reader, "rollout", rest)) == [("completed", "Done.")]


def test_a_refusal_faster_than_the_row_of_its_prompt() -> None:
    """0.92 tells of a failed turn on the screen only, and may paint it before the prompt's row is read."""
    reader = ADAPTER.reader((0, 92))
    foot = ("", "\u203a Implement {feature}", "", "  100% context left")
    box = ScreenView(("  Tip: x", *foot), (2, 2))
    failed = ScreenView(("  Tip: x", "\u203a go", "", "\u25a0 unexpected status 400", *foot), (5, 2))
    assert ends(reader.screen(box)) == []
    assert ends(reader.screen(failed)) == []
    assert ends(feed(reader, "rollout", old_rows(ASKED))) == [("failed", "")]
    again = ScreenView((*failed.lines[:4], "\u203a go", "", "\u25a0 unexpected status 400", *foot), (8, 2))
    assert ends(reader.screen(failed)) == []
    assert ends(reader.screen(again)) == []
    assert ends(feed(reader, "rollout", old_rows(ASKED)[1:])) == [("failed", "")]


def test_a_prompt_that_was_put_back_is_a_draft() -> None:
    """0.137, interrupted before the first token: the cursor stands in front of it, as with a placeholder."""
    reader = ADAPTER.reader((0, 137))
    lines = ("\u25a0 Conversation interrupted", "", "\u203a the first task", "", "  gpt-5 default")
    assert reader.draft(ScreenView(lines, (2, 2))) == ""
    feed(reader, "rollout", old_rows({"type": "user_message", "message": "the first task"}))
    assert reader.draft(ScreenView(lines, (2, 2))) == "the first task"
    other = ("\u25a0 Conversation interrupted", "", "\u203a Summarize recent commits", "", "  gpt-5 default")
    assert reader.draft(ScreenView(other, (2, 2))) == ""


def test_working_that_is_left_behind_by_an_interrupt() -> None:
    """0.166, Esc while a tool runs that goes on in the background: OSC 7501 says `working` for ever."""
    reader = ADAPTER.reader((0, 166))
    list(reader.osc(7501, "state=working:app=codex"))
    feed(reader, "rollout", old_rows(ASKED))
    facts = feed(reader, "rollout", old_rows({"type": "turn_aborted", "reason": "interrupted"})[1:])
    assert Retracted("osc7501") in facts
    assert ends(facts) == [("interrupted", "")]

"""Delivery (machines/inbox.py): typed only where a message belongs, once, and accepted only by evidence."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.contract import Typing
from harnex.machines.inbox import (
    HUNG_S,
    LEFT_S,
    PERSON_S,
    PROOF_S,
    SUBMITS,
    Action,
    Gate,
    Inbox,
    Message,
    Progress,
    Write,
)
from harnex.model.facts import State

READY = Gate(
    state=State.PROMPT,
    on_screen=State.PROMPT,
    draft="",
    reads_draft=True,
    person_typed=-1e9,
    open_turn=False,
    may_type_unknown=False,
)


def inbox() -> Inbox:
    return Inbox(lambda text: Typing(b"<clear>", text.encode(), b"<cr>", echo_s=2.0, accept_s=1.0))


def statuses(actions: list[Action]) -> list[str]:
    return [a.message.status for a in actions if isinstance(a, Progress)]


def writes(actions: list[Action]) -> bytes:
    return b"".join(a.data for a in actions if isinstance(a, Write))


def test_typed_echoed_submitted_accepted() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    assert writes(box.step(READY, 0.0)) == b"hello"
    assert box.step(READY, 0.1) == []  # no echo yet
    echoed = box.step(replace(READY, draft="hello"), 0.2)
    assert (writes(echoed), statuses(echoed)) == (b"<cr>", ["typed"])
    assert statuses(box.accepted()) == ["accepted"]
    assert box.pending == 0


def test_nothing_is_typed_unless_the_agent_is_ready() -> None:
    for gate in (
        replace(READY, state=State.BUSY),
        replace(READY, state=State.STARTING),
        replace(READY, state=State.BLOCKED),
        replace(READY, state=State.UNKNOWN),
        replace(READY, on_screen=State.BLOCKED),
        replace(READY, open_turn=True),
        replace(READY, draft=None),
        replace(READY, draft="half a sentence", person_typed=-PERSON_S + 0.1),
    ):
        box = inbox()
        box.put(Message("m", "hello"))
        assert box.step(gate, 0.0) == [], gate


def test_force_types_while_busy_but_never_into_a_dialog() -> None:
    box = inbox()
    box.put(Message("m", "hello", force=True))
    assert box.step(replace(READY, state=State.BLOCKED), 0.0) == []
    assert box.step(replace(READY, state=State.BUSY, on_screen=State.BLOCKED), 0.0) == []
    assert writes(box.step(replace(READY, state=State.BUSY), 0.0)) == b"hello"


def test_a_dialog_between_text_and_enter_stops_the_enter() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    box.step(READY, 0.0)
    assert box.step(replace(READY, on_screen=State.BLOCKED, draft=None), 0.1) == []
    assert box.step(replace(READY, on_screen=State.BLOCKED, draft=None), 10.0) == []
    assert writes(box.step(READY, 11.0)) == b"hello"  # afresh, once the dialog is gone


def test_enter_is_pressed_again_only_for_a_text_that_stays_in_the_box() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    box.step(READY, 0.0)
    stuck = replace(READY, draft="hello")
    pressed = writes(box.step(stuck, 0.1))
    for n in range(1, 20):
        pressed += writes(box.step(stuck, 0.1 + n * 1.01))
        if box.current is None:
            break
    assert pressed.count(b"<cr>") == SUBMITS
    assert pressed.endswith(b"<clear>")


def test_an_empty_box_after_enter_is_evidence() -> None:
    box = inbox()
    message = Message("m", "hello")
    box.put(message)
    box.step(READY, 0.0)
    box.step(replace(READY, draft="hello"), 0.1)
    assert box.step(READY, 0.5) == []
    assert statuses(box.step(READY, 1.2)) == ["accepted"]


def test_no_box_after_enter_is_no_evidence() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    box.step(READY, 0.0)
    box.step(replace(READY, draft="hello"), 0.1)
    assert statuses(box.step(replace(READY, draft=None), 1.2)) == ["failed"]


def test_a_message_that_could_not_be_typed_in_time_is_withdrawn() -> None:
    box = inbox()
    box.put(Message("m", "hello", deadline=5.0))
    busy = replace(READY, state=State.BUSY)
    assert box.step(busy, 4.9) == []
    assert box.wake_at(busy, 4.9) == 5.0
    assert statuses(box.step(busy, 5.0)) == ["expired"]
    assert box.step(READY, 6.0) == []


def test_withdrawn_by_its_sender_only_before_it_is_typed() -> None:
    box = inbox()
    box.put(Message("a", "one"))
    box.put(Message("b", "two"))
    box.step(READY, 0.0)
    assert box.withdraw("a") is None
    assert box.withdraw("b") is not None


BLOCKED = replace(READY, state=State.BLOCKED, on_screen=State.BLOCKED, draft=None)


def in_a_dialog() -> Inbox:
    """A message of which the text was typed when a dialog came up."""
    box = inbox()
    box.put(Message("m", "hello"))
    box.step(READY, 0.0)
    assert box.step(BLOCKED, 0.1) == []
    return box


def test_a_message_whose_enter_a_dialog_stopped_can_be_withdrawn_and_leaves_nothing() -> None:
    box = in_a_dialog()
    message = box.withdraw("m")
    assert message is not None and (message.status, box.pending, box.has_work) == ("expired", 0, True)
    assert box.step(BLOCKED, 0.2) == []  # a key would answer the dialog
    assert box.step(replace(READY, state=State.BUSY, draft="hello"), 0.3) == []
    assert writes(box.step(replace(READY, draft="hello"), 0.4)) == b"<clear>"
    assert not box.has_work
    assert box.fail_all("over") == []


def test_what_a_withdrawn_message_left_is_a_persons_once_they_type() -> None:
    box = in_a_dialog()
    box.withdraw("m")
    assert box.step(replace(READY, draft="hello there", person_typed=0.3), 9.0) == []
    assert not box.has_work


def test_a_message_after_a_withdrawn_one_finds_its_box_empty() -> None:
    box = in_a_dialog()
    box.withdraw("m")
    box.put(Message("n", "second"))
    assert writes(box.step(replace(READY, draft="hello"), 0.4)) == b"<clear>"
    assert writes(box.step(READY, 0.5)) == b"second"


def test_a_draft_in_the_box_is_cleared_first_in_a_write_of_its_own() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    assert writes(box.step(replace(READY, draft="left over"), 0.0)) == b"<clear>"
    assert writes(box.step(replace(READY, draft="left over"), 0.1)) == b""
    assert writes(box.step(READY, 0.2)) == b"hello"
    assert writes(box.step(replace(READY, draft="hello"), 0.3)) == b"<cr>"


def test_no_submit_leaves_the_text_in_the_box() -> None:
    box = inbox()
    box.put(Message("m", "hello", submit=False))
    box.step(READY, 0.0)
    done = box.step(replace(READY, draft="hello"), 0.1)
    assert (writes(done), statuses(done), box.pending) == (b"", ["typed"], 0)


def test_submit_only_presses_enter() -> None:
    box = inbox()
    box.put(Message("m", None, force=True))
    done = box.step(READY, 0.0)
    assert (writes(done), statuses(done)) == (b"<cr>", ["typed"])


GATES = st.builds(
    Gate,
    state=st.sampled_from(list(State)),
    on_screen=st.sampled_from([None, State.PROMPT, State.BUSY, State.BLOCKED]),
    draft=st.sampled_from([None, "", "hello 0", "hello 1", "other"]),
    reads_draft=st.booleans(),
    person_typed=st.just(-1e9),
    open_turn=st.booleans(),
    may_type_unknown=st.booleans(),
)


@given(st.lists(st.tuples(GATES, st.floats(0.0, 3.0), st.booleans()), max_size=60), st.lists(st.booleans(), max_size=5))
def test_every_message_ends_once_in_order_and_never_in_a_dialog(
    steps: list[tuple[Gate, float, bool]], forced: list[bool]
) -> None:
    box, now = inbox(), 0.0
    for n, force in enumerate(forced):
        box.put(Message(f"m{n}", f"hello {n}", force=force))
    ended: list[str] = []
    for gate, pause, evidence in steps:
        now += pause
        actions = box.step(gate, now)
        if gate.state is State.BLOCKED or gate.on_screen is State.BLOCKED:
            assert b"<cr>" not in writes(actions)
            assert b"hello" not in writes(actions)
        if evidence:
            actions = actions + box.accepted()
        ended += [a.message.id for a in actions if isinstance(a, Progress) and a.over]
    assert len(ended) == len(set(ended))
    waiting = [f"m{n}" for n, force in enumerate(forced) if not force and f"m{n}" in ended]
    assert [m for m in ended if m in waiting] == waiting
    assert len(ended) + box.pending == len(forced)


def test_enter_waits_a_moment_behind_the_echo_and_is_pressed_again_soon() -> None:
    """2.1.20 loses an Enter right behind a paste's echo."""
    box = Inbox(lambda text: Typing(b"", text.encode(), b"<cr>", accept_s=3.0, settle_s=0.1, again_s=1.0))
    box.put(Message("m", "hello"))
    box.step(READY, 0.0)
    echoed = replace(READY, draft="hello")
    assert box.step(echoed, 0.2) == []
    assert box.wake_at(echoed, 0.2) == 0.2 + 0.1
    assert writes(box.step(echoed, 0.31)) == b"<cr>"
    assert box.step(echoed, 1.2) == []
    assert writes(box.step(echoed, 1.32)) == b"<cr>"
    assert box.step(echoed, 2.5) == []  # from then on with patience
    assert writes(box.step(echoed, 4.33)) == b"<cr>"
    assert statuses(box.accepted()) == ["accepted"]


def test_where_nothing_declares_the_state_an_empty_box_is_the_proof() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    gate = replace(READY, declared=False)
    box.step(gate, 0.0)
    assert writes(box.step(replace(gate, draft="hello"), 0.2)) == b"<cr>"
    assert box.step(replace(gate, draft="hello"), 0.3) == []
    assert box.step(gate, 0.3) == []
    assert box.wake_at(gate, 0.3) == 0.2 + LEFT_S
    assert statuses(box.step(gate, 0.2 + LEFT_S)) == ["accepted"]


def test_where_the_state_is_declared_an_empty_box_is_no_proof_yet() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    box.step(READY, 0.0)
    box.step(replace(READY, draft="hello"), 0.2)
    assert box.step(READY, 0.2 + LEFT_S) == []


def test_where_every_prompt_is_told_an_empty_box_is_no_proof() -> None:
    """Claude Code 2.0.50 on a busy machine empties its box seconds before it begins with the turn."""
    box = inbox()
    gate = replace(READY, declared=False, proves=True)
    box.put(Message("m", "hello"))
    box.step(gate, 0.0)
    assert writes(box.step(replace(gate, draft="hello"), 0.2)) == b"<cr>"
    assert box.step(gate, 5.0) == []
    assert box.wake_at(gate, 5.0) == 0.2 + PROOF_S
    assert statuses(box.accepted()) == ["accepted"]


def test_a_proof_that_never_comes_is_not_waited_for_without_end() -> None:
    box = inbox()
    gate = replace(READY, declared=False, proves=True)
    box.put(Message("m", "hello"))
    box.step(gate, 0.0)
    box.step(replace(gate, draft="hello"), 0.2)
    assert statuses(box.step(gate, 0.2 + PROOF_S)) == ["accepted"]


def test_enter_is_pressed_again_soon_also_where_every_prompt_is_told() -> None:
    box = inbox()
    gate = replace(READY, declared=False, proves=True, draft="hello")
    box.put(Message("m", "hello"))
    box.step(replace(gate, draft=""), 0.0)
    box.step(gate, 0.2)
    assert writes(box.step(gate, 1.3)) == b"<cr>"


# -- evidence -------------------------------------------------------------------------------------


def typed(draft_before: str = "") -> tuple[Inbox, Message]:
    """A message that was seen in the box; Enter was pressed at 0.2."""
    box, message = inbox(), Message("m", "hello")
    box.put(message)
    box.step(replace(READY, draft=draft_before), 0.0)
    assert writes(box.step(replace(READY, draft="hello"), 0.2)) == b"<cr>"
    return box, message


def test_a_frozen_screen_is_no_evidence() -> None:
    """Nothing was written since Enter: the program is stopped, or hangs, and its box is that of before."""
    box, message = inbox(), Message("m", "hello")
    box.put(message)
    frozen = replace(READY, output_at=-1.0)
    box.step(frozen, 0.0)
    assert writes(box.step(frozen, 2.0)) == b"<cr>"  # no echo came: some programs paint a paste with the next key only
    for second in range(3, 60, 3):
        assert box.step(replace(frozen, proves=second % 2 == 0), float(second)) == []
        assert box.step(replace(frozen, state=State.BUSY), float(second)) == []
    assert statuses(box.step(frozen, 2.0 + HUNG_S)) == ["failed"]
    assert "no sign of life" in (message.error or "")


def test_a_frozen_agent_that_wakes_is_taken_at_its_word() -> None:
    box, _ = typed()
    assert box.step(replace(READY, draft="hello", output_at=0.1), 30.0) == []  # stopped with the text in the box
    assert writes(box.step(replace(READY, draft="hello", output_at=31.0), 31.0)) == b"<cr>"
    assert statuses(box.step(replace(READY, output_at=31.2), 32.5)) == ["accepted"]


def test_an_empty_box_in_which_the_text_was_never_seen_is_no_evidence() -> None:
    box, message = inbox(), Message("m", "hello")
    box.put(message)
    box.step(READY, 0.0)
    box.step(READY, 2.0)
    assert box.step(READY, 3.5) == []
    assert statuses(box.step(READY, 2.0 + PROOF_S)) == ["failed"]
    assert "never seen" in (message.error or "")


# -- what a person left ---------------------------------------------------------------------------


def test_nothing_is_typed_into_what_a_person_left_open() -> None:
    for force in (False, True):
        box = inbox()
        box.put(Message("m", "hello", force=force))
        assert box.step(replace(READY, view="shell mode"), 0.0) == []
        assert writes(box.step(READY, 1.0)) == b"hello"
        assert box.step(replace(READY, view="shell mode", draft="hello"), 1.1) == []  # no Enter there
        assert writes(box.step(replace(READY, draft="hello"), 2.0)) == b"<clear>"


def test_enter_alone_is_not_pressed_there_either() -> None:
    box = inbox()
    box.put(Message("m", None))
    assert box.step(replace(READY, view="shell mode", draft="rm -r x"), 0.0) == []


def test_keys_of_a_person_between_text_and_enter_stop_the_enter() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    box.step(READY, 0.0)
    both = replace(READY, draft="hello there", person_typed=0.1)
    assert box.step(both, 0.2) == []
    assert box.step(both, PERSON_S) == []
    assert writes(box.step(both, 0.1 + PERSON_S)) == b"<clear>"


def test_a_person_who_presses_enter_for_us_is_heard() -> None:
    box = inbox()
    box.put(Message("m", "hello"))
    box.step(READY, 0.0)
    box.step(replace(READY, draft="hello", person_typed=0.1), 0.2)
    assert box.accepted("something else") == []
    assert statuses(box.accepted("hello")) == ["accepted"]


def test_a_draft_that_only_shrinks_is_cleared_again_and_never_sent() -> None:
    """Ctrl-U takes what is left of the cursor; more keys take the rest."""
    box = Inbox(lambda text: Typing(b"<1>", text.encode(), b"<cr>", clear_more=(b"<2>", b"<3>")))
    box.put(Message("m", "hello"))
    assert writes(box.step(replace(READY, draft="some words"), 0.0)) == b"<1>"
    assert writes(box.step(replace(READY, draft="words"), 0.5)) == b"<2>"
    assert writes(box.step(replace(READY, draft="words"), 1.0)) == b"<3>"
    assert writes(box.step(READY, 1.2)) == b"hello"

    stuck = Inbox(lambda text: Typing(b"<1>", text.encode(), b"<cr>"))
    message = Message("m", "hello")
    stuck.put(message)
    pressed = writes(stuck.step(replace(READY, draft="some words"), 0.0))
    for n in range(1, 9):
        pressed += writes(stuck.step(replace(READY, draft="words"[n % 2 :]), n * 0.6))
    assert message.status == "failed"
    assert b"hello" not in pressed


def test_a_text_beside_an_old_draft_is_not_sent() -> None:
    """The box did not show what the keys cleared: what looks like a placeholder was a draft."""
    box, message = inbox(), Message("m", "hello")
    box.put(message)
    pressed, now = b"", 0.0
    old, mixed = replace(READY, draft="left over"), replace(READY, draft="helloleft over")
    while message.status not in ("failed", "expired") and now < 60:
        sent = writes(box.step(mixed if pressed.endswith(b"hello") else old, now))
        pressed += sent
        now += 0.6
    assert (message.status, b"<cr>" in pressed) == ("failed", False)

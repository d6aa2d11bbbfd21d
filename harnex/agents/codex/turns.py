"""What is asked and answered in a Codex thread, row by row: it tells `Calls` when an answer is open. Pure.

Two ways in: `row` for a row that was parsed, and `note` for one of which only the kind was read, at the beginning of its line
(sums of big files: most bytes are results of tools, which say nothing here).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harnex.agents.codex.calls import (
    ABORTED,
    LATE_ITEMS_UNTIL,
    QUIET_SINCE,
    REPEATS_UNTIL,
    TOOL_CALLS,
    TOOL_OUTPUTS,
    Calls,
    is_answer,
    is_prompt,
)
from harnex.model.facts import ModelCall, Remark

# What a row is to the calls, by the kind that its line begins with.
ANSWER, TOOL, OUTPUT, WORDS = 1, 2, 3, 4
WORDED = ("agent_message", "agent_reasoning")
NOTED = {
    b"assistant": ANSWER,
    b"reasoning": ANSWER,
    **{name.encode(): WORDS for name in WORDED},
    **{name.encode(): TOOL for name in TOOL_CALLS},
    **{name.encode(): OUTPUT for name in TOOL_OUTPUTS},
}
OUTPUT_HEAD = 400  # characters of a tool's output in which it says that it was aborted


class Turns:
    """The open turn of one thread."""

    __slots__ = ("_aborted", "_calls", "_pending", "_tools", "named", "open")

    def __init__(self, calls: Calls) -> None:
        self.named = False  # the ends of turns are told (0.101 on)
        self.open = False
        self._calls = calls
        self._tools: set[str] = set()  # that run, by id
        self._pending = 0  # that run, counted
        self._aborted = False  # an output behind the last answer says that its tool was aborted

    def version(self, said: object) -> None:
        """The program that writes (`cli_version` of a head)."""
        numbers = version_of(said)
        self._calls.late_items = writes_late(said)
        self._calls.repeats = bool(numbers) and numbers < REPEATS_UNTIL
        self._calls.quiet = numbers >= QUIET_SINCE

    def row(self, kind: object, name: object, p: dict[str, Any], agent: str) -> Iterator[ModelCall | Remark]:
        """A row that is no count. What it says of calls that will not be counted."""
        if kind == "event_msg":
            if name in ("user_message", "item_completed"):
                if not self.named and (name == "user_message" or is_prompt(p.get("item"))):
                    self._begin()
                    yield from self._calls.prompted(agent)
            elif name in WORDED:
                self._calls.worded()
            elif name == "task_started":
                self.named = True
                if self.open:
                    yield from self.gone(agent)  # the program was killed in the one before
                self._begin()
                self._calls.asked(prompt=True)
                yield from self._calls.due(agent)
            elif name == "task_complete":
                self.open = False
                if p.get("last_agent_message") is None or isinstance(p.get("error"), dict):
                    yield from self._calls.failed(agent)
                yield from self._calls.completed(agent)
            elif name == "turn_aborted":
                self.open = False
                if self._aborted:
                    self._calls.unasked()
                yield from self._calls.interrupted(agent)
        elif kind == "response_item":
            self._item(str(name), p)
        elif kind == "compacted" and self.open:
            self._calls.asked()  # what it was asked first comes after it

    def _begin(self) -> None:
        self.open = True
        self._tools.clear()
        self._pending, self._aborted = 0, False

    def _item(self, name: str, p: dict[str, Any]) -> None:
        call_id = str(p.get("call_id") or p.get("id") or "")
        if name in TOOL_OUTPUTS:
            if call_id in self._tools:
                self._tools.discard(call_id)
            else:
                self._pending -= self._pending > 0  # its call was noted
            self._aborted = self._aborted or ABORTED in str(p.get("output"))[:OUTPUT_HEAD]
            if not self._tools and not self._pending:
                self._calls.asked()
        elif is_answer(name, p):
            if name in TOOL_CALLS:
                self._tools.add(call_id)
            self._aborted = False
            self._calls.spoke(name in TOOL_CALLS)

    def note(self, what: int, piece: bytes, at: int, end: int) -> None:
        """A row of a kind of `NOTED`, at this place of a piece of the file."""
        if what == OUTPUT:
            self._pending -= self._pending > 0
            # Its call's id stands before it, and in some versions more.
            self._aborted = self._aborted or ABORTED.encode() in piece[at : min(end, at + OUTPUT_HEAD)]
            if not self._pending and not self._tools:
                self._calls.asked()
        elif what == WORDS:
            self._calls.worded()
        else:
            self._aborted = False
            self._pending += what == TOOL
            self._calls.spoke(what == TOOL)

    def gone(self, agent: str) -> Iterator[ModelCall]:
        """Nothing follows any more, or nothing of these."""
        was_open, self.open = self.open, False
        yield from self._calls.gone(agent, was_open)


def version_of(said: object) -> tuple[int, ...]:
    """`(0, 104)` of `0.104.0`; () if it is none."""
    return tuple(int(n) for n in re.findall(r"\d+", str(said or ""))[:2])


def writes_late(said: object) -> bool:
    """Whether this version writes tool calls after their call was counted."""
    numbers = version_of(said)
    return bool(numbers) and numbers < LATE_ITEMS_UNTIL

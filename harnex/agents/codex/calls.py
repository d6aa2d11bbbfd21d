"""Model calls out of a Codex rollout: each once, with its own numbers (DESIGN section 8). One thread, one `Calls`.

Shared by the live session (`codex/rollout.py.Rollout`) and by `usage --from` (`codex/log.py`). What was measured:

- `token_usage_record` (0.153, 0.169) is one row per response: exact, with the provider's response id. Token counts say the
  same again.
- `token_count` before that: `info: null` at the first turn and at rate limits is no call; a total that
  repeats is no call (each next request up to 0.128, interrupts from 0.145 on); `last_token_usage` is the call.
- After a compaction or a rollback `last` holds no tokens but a guess of the context's size, and the total stays; a total that
  changed with it is made up: a new base. A total that falls (a thread resumed up to 0.58) is one, too.
- Several running totals may be told in turns in one file: each goes on where it was (`_Line`).
- 0.145 writes `token_count` after the tools, and not at all if they were killed: the next total then grows by more
  than its `last`, and what it grew by besides is the lost call (`source: cumulative`). Without any `last` the
  difference of two totals is the call.
- A response without usage leaves a `token_count` with `info: null` after its items (0.58 to 0.169), in a thread that never
  had a total: a call of which nothing is known. Codex writes nothing of an answer's numbers before they have come: with the
  usage 0.6 s behind the last item every number was right (0.104, 0.128, 0.145, 0.169). Where a provider sends the usage
  without its details, Codex writes 0 for cached and reasoning tokens.
- Up to 0.58 an answer without usage and one that was dropped are both two such rows; the words of the first are told between.
- An answer that is cut off is billed and never counted (0.47 to 0.169: interrupted while it streams, or behind its last item
  before its usage; killed; dropped by the network and asked for again): a call without numbers, `partial`. What shows it: up
  to 0.128 Codex repeats the last total when a response begins, so that a request without an answer can be told from a cut
  one. From 0.145 on it does so each time when a response was cut off. Rate limits in the answers change neither (0.58 to
  0.169). 70 runs of 14 versions, interrupted, killed, dropped and resumed at random, agreed with the endpoint's bill.

A call's duration is from the row with what the model was given last (the prompt, or the last tool's result) to the last
row of its answer, or to its numbers where none is written before them: with all attempts and their pauses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harnex.agents.codex.totals import Totals, less, numbers
from harnex.agents.common.logfile import between
from harnex.agents.contract import PREVIEW
from harnex.model.facts import ModelCall, Remark

UNTOLD = "the provider sent no usage with an answer, so that Codex does not know its tokens, and harnex neither"
UNBEGUN = "a request was interrupted before its answer began: it may have been billed"
# Up to 0.58 tool calls are written after they were made and counted.
LATE_ITEMS_UNTIL = (0, 80)  # not in 0.80; what lies between 0.58 and it was not looked at, and loses nothing by it
REPEATS_UNTIL = (0, 129)  # the last total is told again when a response begins: in 0.128, not in 0.145
QUIET_SINCE = (0, 145)
TOOL_CALLS = ("function_call", "custom_tool_call", "local_shell_call")
TOOL_OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
ABORTED = "aborted by user"  # in a tool's output: the model is not asked with it
PROMPTS = ("task_started", "user_message")


class Calls:
    """A thread's calls, row by row. `past` rows (from before this run, or copied) move the base and tell nothing."""

    def __init__(self, late_items: bool = False) -> None:
        self.late_items = late_items
        self.repeats = False  # the last total is told again when a response begins
        self.quiet = False  # it is not, but when a response is cut off (0.145 on)
        self.whole = False  # the thread begins in what is read: its first total began at zero
        self.thread = ""
        self.model: str | None = None
        self.said = ""  # the words since the last call
        self.totals = Totals()
        self._exact = False  # token_usage_record was seen
        self._count = 0
        self._asked = False  # a request is out, and nothing of its answer is recorded
        self._began = False  # an answer to it came
        self._spoke = False  # something of an answer is recorded, and its numbers are not
        self._tooled = False  # a tool call is among that
        # A total that says nothing new was told behind it: another response begins, or this one had no usage.
        self._unsaid = False
        self._null = False  # or one without any number (0.145 on writes that, too, where the answer is interrupted)
        self._due = 0  # whole answers without usage that are to be told
        self._held = 0  # answers whose tools were killed: their numbers are in the next total, if anywhere
        self._cut = 0  # calls that were told without numbers
        self._dropped = 0  # responses to the request that is out that were cut off, so that it was sent again
        self._lost = 0  # such responses to earlier requests, that are to be told
        self._worded = False  # words came to the request that is out (up to 0.77: as events, items may come later)
        self._shown: object = None  # the newest total of a `token_count`: a record's comes once more in one
        self._since = self._heard = ""  # stamps: what the model was given last, the last that it said to that
        self._answer: tuple[str, str] | None = None  # the same of an answer that is not counted yet

    # ---- what else happens in the thread: when an answer was asked for and given, and whether one is open ----

    def timed(self, kind: object, name: object, p: dict[str, Any], at: str) -> None:
        """Any row, for the durations, with its stamp."""
        if kind == "response_item":
            if self.late_items:  # the numbers come before the items: they are the end
                self._since = at if name in TOOL_OUTPUTS else self._since
            elif name in TOOL_OUTPUTS:
                if self._answer is None and self._since and self._heard:
                    self._answer = (self._since, self._heard)  # its numbers are written after its tools (0.145)
                self._since, self._heard = at, ""
            elif is_answer(name, p):
                if self._answer is not None:
                    self._answer = (self._answer[0], at)
                else:
                    self._heard = at
        elif kind == "event_msg" and (name in PROMPTS or (name == "item_completed" and is_prompt(p.get("item")))):
            self._answer, self._since, self._heard = None, at, ""

    def _took(self, at: str) -> float | None:
        """How long the call took whose numbers are told at this time."""
        if self._answer is not None:
            (since, heard), self._answer = self._answer, None
        else:
            since, heard = self._since, self._heard or at
            self._since = self._heard = ""
        return between(since, heard)

    def asked(self, prompt: bool = False) -> None:
        """A prompt, or the result of the last tool that ran: the model is asked."""
        if prompt:
            self._unanswered()
        self._drop()
        self._asked, self._began, self._worded = True, False, False

    def unasked(self) -> None:
        """The model was not asked after all: its last tool was aborted."""
        self._asked = self._began = False

    def prompted(self, agent: str) -> Iterator[ModelCall]:
        """A prompt where no row tells of the ends of turns (up to 0.98): the answer to the one before may be open."""
        if self._unsaid or self._null:
            self._unanswered()
        if (self._spoke and not self.late_items) or (self._asked and self._began):
            yield self._open(agent)
        self._drop()
        yield from self.due(agent)
        self.refused()
        self.asked()

    def worded(self) -> None:
        """An event tells words of an answer."""
        self._worded = self._asked

    def spoke(self, tool: bool = False) -> None:
        """A part of an answer: words, reasoning, a tool call."""
        if self.late_items and self._asked and self._began:
            self.late_items = False  # it comes before its count (0.77)
        if self._null or (self._asked and self._unsaid):
            self._unanswered()  # the one before had no usage
        elif self._unsaid and not self.late_items:
            self._lost += 1  # the one before was cut off behind some of its items, and asked for again
        self._drop()
        self._asked, self._spoke, self._tooled = False, True, self._tooled or tool

    def refused(self) -> None:
        """The turn ended with an error: no answer will come, none was given."""
        self._asked = self._began = self._spoke = self._tooled = self._unsaid = self._null = False

    def failed(self, agent: str) -> Iterator[ModelCall]:
        """The turn ended with an error. What spoke before was cut off."""
        yield from self._whole(agent)
        if (self._spoke and not self.late_items) or (self._asked and self._began and self.repeats):
            yield self._open(agent)
        self._drop()
        yield from self.due(agent)
        self.refused()

    def completed(self, agent: str) -> Iterator[ModelCall]:
        """The turn ended by itself. Its last count may follow."""
        yield from self._whole(agent)
        self._asked = self._began = False

    def interrupted(self, agent: str) -> Iterator[ModelCall | Remark]:
        """The turn was interrupted: what is open will not be told. What an answer used whose tools were killed may be in the
        next total (0.145)."""
        if self._asked:
            yield from self._whole(agent)
        if self._spoke and not self.late_items:
            if self._tooled and not self._unsaid and not self._null:
                self._held += 1
            else:
                yield self._open(agent)
        elif self._asked and (self._began or not self.repeats):
            if not (self.quiet and self._dropped):  # else the last count without a response is that of the interruption
                yield self._open(agent)
        elif self._asked:
            yield Remark(UNBEGUN)
        self._drop()
        yield from self.due(agent)
        self.refused()

    def gone(self, agent: str, in_turn: bool = True) -> Iterator[ModelCall]:
        """The program has ended, in a turn or not, or the file has: calls without numbers, as many as were open."""
        yield from self._release(agent)
        yield from self._whole(agent)
        if in_turn and ((self._spoke and not self.late_items) or (self._asked and (self._began or not self.repeats))):
            yield self._open(agent)
            self._spoke = False
        self._unanswered()
        self._drop()
        yield from self.due(agent)
        self.refused()

    def untold(self, p: dict[str, Any]) -> None:
        """A `token_count` without numbers: behind an answer, of which nothing else will be told."""
        if not (self.quiet and any(windows(p))):  # the limits may be told before anything was asked
            self._responded(p)
        self.totals.restart()
        self._null = self._spoke and not self.late_items and not self.totals.known and not self._exact

    def due(self, agent: str) -> Iterator[ModelCall]:
        """Answers of which is known by now that they were cut off, or that they are whole and had no usage."""
        while self._lost:
            self._lost -= 1
            yield self._open(agent)
        while self._due:
            self._due -= 1
            self._count += 1
            yield self._call(f"{self.thread}-{self._count}", {}, None, agent, took=self._took(""))

    def _whole(self, agent: str) -> Iterator[ModelCall]:
        """What spoke last was not interrupted: a count without numbers is all that follows it."""
        if self._null:
            self._unanswered()
            yield from self.due(agent)

    def _unanswered(self) -> None:
        """What spoke last will not be counted any more: its answer had no usage."""
        self._due += self._spoke and not self.late_items
        self._spoke = self._tooled = self._unsaid = self._null = False

    def _responded(self, p: dict[str, Any]) -> None:
        """A count that tells nothing new, while a request is out: a response begins, or (0.145 on) was cut off."""
        if exhausted(p):
            return  # the provider refuses: there is no response
        if self._asked and (self._null or self._unsaid):
            self._unanswered()  # the answer before had such a count already
        if self.late_items and self._worded:
            self._due += 1  # an answer ends so that had no usage
            self._asked = self._began = self._worded = False
            return
        self._dropped += self._asked and (not self._spoke or self.late_items) and (self._began or self.quiet)
        self._began = self._asked

    def _drop(self) -> None:
        """The request that was out is done with."""
        self._lost += self._dropped
        self._dropped = 0

    def _counted(self) -> None:
        """An answer was counted: what it was asked with is answered, unless that came behind it (0.145: after its tools)."""
        self._drop()
        if not self._spoke or self.late_items:
            self._asked = self._worded = False
        self._spoke = self._tooled = self._began = self._unsaid = self._null = False

    def _open(self, agent: str) -> ModelCall:
        self._cut += 1
        return ModelCall(
            f"{self.thread}-open-{self._cut}", model=self.model, agent=agent, source="rollout", partial=True
        )

    def _release(self, agent: str) -> Iterator[ModelCall]:
        """Answers whose numbers were waited for in vain."""
        for _ in range(self._held):
            yield self._open(agent)
        self._held = 0

    # ---- numbers ----

    def record(self, p: dict[str, Any], past: bool, agent: str, at: str = "") -> Iterator[ModelCall]:
        """A `token_usage_record` row, with its stamp."""
        if p.get("thread_id") and self.thread and p["thread_id"] != self.thread:
            return
        self._exact = True
        self._counted()
        usage, total = numbers(p.get("usage")), numbers(p.get("thread_token_usage"))
        if total is not None and usage is not None:
            self.totals.take(total, usage, past)
        open_ones = [*self.due(agent), *self._release(agent)]
        self._count += 1
        if not past:
            yield from open_ones
            call_id = str(p.get("response_id") or f"{self.thread}-{self._count}")
            yield self._call(call_id, usage or {}, p.get("usage"), agent, took=self._took(at))

    def tokens(self, p: dict[str, Any], past: bool, agent: str, at: str = "") -> Iterator[ModelCall]:
        """A `token_count` row, with its stamp."""
        info = info_of(p)
        if info is None:
            return
        total, last = numbers(info.get("total_token_usage")), numbers(info.get("last_token_usage"))
        totals = self.totals
        if total is None and (last is None or not any(last.values())):
            return
        again, self._shown = total == self._shown, total
        if total is not None and totals.repeats(total, last):
            if again and (last is None or any(v for k, v in last.items() if k != "total_tokens")):
                self._responded(p)
            self._unsaid = self._spoke
            return
        if self._exact and (total is None or last is None or less(total, last) != totals.now):
            return  # a record tells it; without one it must go on from there (an older program resumed the thread)
        if last is not None and not any(v for k, v in last.items() if k != "total_tokens"):
            totals.renew(total)
            return
        self._counted()
        lost: dict[str, int] = {}
        call, source = last, "rollout"
        if call is None:
            assert total is not None
            call, source = totals.difference_to(total), "cumulative"
        elif total is not None:
            # A first total that did not begin at zero: the thread began elsewhere, unless calls are waited for.
            lost = totals.take(total, call, past, begins=self.whole and self._held > 0)
        calls = list(self.due(agent))
        if lost:  # of an answer that was waited for, or of one of which there is no word
            self._held = 0
            self._count += 1
            totals.found(lost)
            calls.append(self._call(f"{self.thread}-{self._count}", lost, None, agent, "cumulative", said=""))
        calls += self._release(agent)
        self._count += 1
        if not past:
            yield from calls
            raw = info.get("last_token_usage")
            yield self._call(f"{self.thread}-{self._count}", call, raw, agent, source, took=self._took(at))

    def difference(self) -> str | None:
        """Words with both numbers if the thread's own total is not the sum of its calls; None: it is, or has none."""
        return self.totals.difference()

    def _call(
        self,
        call_id: str,
        usage: dict[str, int],
        raw: object,
        agent: str,
        source: str = "rollout",
        said: str | None = None,
        took: float | None = None,
    ) -> ModelCall:
        if said is None:
            said, self.said = self.said, ""
        return ModelCall(
            call_id,
            model=self.model,
            agent=agent,
            input_tokens=usage.get("input_tokens"),
            cache_read_tokens=usage.get("cached_input_tokens"),
            cache_write_tokens=usage.get("cache_write_input_tokens"),
            output_tokens=usage.get("output_tokens"),
            reasoning_tokens=usage.get("reasoning_output_tokens"),
            total_tokens=usage.get("total_tokens"),
            duration_s=took,
            source=source,
            text_preview=said[:PREVIEW],
            raw=raw if isinstance(raw, dict) else None,
        )


def exhausted(p: dict[str, Any]) -> bool:
    """Whether a `token_count` says that a rate limit is used up."""
    used = [window.get("used_percent") for window in windows(p)]
    return any(isinstance(percent, int | float) and percent >= 100 for percent in used)


def windows(p: dict[str, Any]) -> list[dict[str, Any]]:
    """The rate limits that a `token_count` tells."""
    limits = p.get("rate_limits")
    told = [limits.get(name) for name in ("primary", "secondary")] if isinstance(limits, dict) else []
    return [window for window in told if isinstance(window, dict)]


def calls_of_agents(n: int) -> str:
    """`calls of 2 sub-agents`."""
    return f"calls of {n} sub-agent{'s' * (n != 1)}"


def info_of(p: dict[str, Any]) -> dict[str, Any] | None:
    """The numbers of a `token_count`; None if it has none. Old ones are the usage of one answer (0.23)."""
    info = p.get("info")
    if isinstance(info, dict):
        return info
    return {"last_token_usage": p} if any((numbers(p) or {}).values()) else None


def is_answer(name: object, p: dict[str, Any]) -> bool:
    """Whether a `response_item` is a part of an answer."""
    return name in TOOL_CALLS or name == "reasoning" or (name == "message" and p.get("role") == "assistant")


def is_prompt(item: object) -> bool:
    """Whether the item of an `item_completed` is what a person said."""
    return isinstance(item, dict) and item.get("type") == "UserMessage"

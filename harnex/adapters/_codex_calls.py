"""Model calls out of a Codex rollout: each once, with its own numbers (DESIGN section 8). One thread, one `Calls`.

Shared by the live session (`_codex_rollout.Rollout`) and by `usage --from` (`_codex_log`). What was measured:

- `token_usage_record` (0.169) is one row per response: exact, with the provider's response id. Where it is,
  nothing else is counted.
- `token_count` before that: `info: null` at the first turn and at rate limits is no call; a total that
  repeats is no call (each next request, interrupts); `last_token_usage` is the call.
- After a compaction `last` is zeros and the total is made up: a new base. A total that falls (compaction,
  a resumed thread up to 0.58) is one, too.
- 0.145 writes `token_count` after the tools, and not at all if they were killed: the next total then grows by more
  than its `last`, and what it grew by besides is the lost call (`source: cumulative`). Without any `last` the
  difference of two totals is the call.
- A response without usage leaves a `token_count` with `info: null` after its items (0.58 to 0.169), in a thread that never
  had a total: a call of which nothing is known. Codex writes nothing of an answer's numbers before they have come: with the
  usage 0.6 s behind the last item every number was right (0.104, 0.128, 0.145, 0.169). Where a provider sends the usage
  without its details, Codex writes 0 for cached and reasoning tokens.
- A response that was cut off is billed and never recorded: all that is known is that there was one.

A call's duration is from the row with what the model was given last (the prompt, or the last tool's result) to the last
row of its answer, or to its numbers where none is written before them: with all attempts and their pauses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harnex.adapters._base import PREVIEW
from harnex.adapters._log import between
from harnex.model import ModelCall, Remark

UNTOLD = "the provider sent no usage with an answer, so that Codex does not know its tokens, and harnex neither"
# Up to 0.58 tool calls are written after they were made and counted.
LATE_ITEMS_UNTIL = (0, 80)  # not in 0.80; what lies between 0.58 and it was not looked at, and loses nothing by it
TOOL_CALLS = ("function_call", "custom_tool_call", "local_shell_call")
TOOL_OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
PROMPTS = ("task_started", "user_message")
FIELDS = (
    "input_tokens",  # OpenAI's holds the cached ones already
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
    "total_tokens",
)


class Calls:
    """A thread's calls, row by row. `past` rows (from before this run) move the base and tell nothing."""

    def __init__(self, late_items: bool = False) -> None:
        self.late_items = late_items
        self.thread = ""
        self.model: str | None = None
        self.said = ""  # the words since the last call
        self._exact = False  # token_usage_record was seen
        self._count = 0
        self._total: dict[str, int] | None = None  # the newest running total
        self._base: dict[str, int] = {}  # what of it was there before the first call that is told
        self._sum: dict[str, int] = {}  # what was told since that base
        self._asked = False  # a request is out, and nothing of its answer is recorded
        self._spoke = False  # something of an answer is recorded, and its numbers are not
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
        elif kind == "event_msg" and (name in PROMPTS or (name == "item_completed" and _is_prompt(p.get("item")))):
            self._answer, self._since, self._heard = None, at, ""

    def _took(self, at: str) -> float | None:
        """How long the call took whose numbers are told at this time."""
        if self._answer is not None:
            (since, heard), self._answer = self._answer, None
        else:
            since, heard = self._since, self._heard or at
            self._since = self._heard = ""
        return between(since, heard)

    def asked(self) -> None:
        """A prompt, or the result of the last tool that ran: the model is asked."""
        self._asked = True

    def spoke(self) -> None:
        """A part of an answer: words, reasoning, a tool call."""
        self._asked, self._spoke = False, True

    def refused(self) -> None:
        """The turn ended with an error: no answer will come, none was given."""
        self._asked = False

    def interrupted(self) -> Iterator[Remark]:
        """The turn was interrupted. What spoke may still be counted; an answer that was awaited will not be."""
        if self._asked:
            yield Remark("an answer was interrupted before Codex recorded anything of it: it may have been billed")
        self._asked = False

    def gone(self, agent: str) -> Iterator[ModelCall]:
        """The program has ended in a turn: a call without numbers, if one was open."""
        if self._asked or self._spoke:
            self._asked = self._spoke = False
            yield ModelCall(
                f"{self.thread}-open-{self._count + 1}", model=self.model, agent=agent, source="rollout", partial=True
            )

    def untold(self, agent: str, at: str = "") -> Iterator[ModelCall]:
        """A `token_count` without numbers: behind an answer, of which nothing else will be told."""
        if self._spoke and self._total is None and not self._exact:
            self._spoke = False
            self._count += 1
            yield self._call(f"{self.thread}-{self._count}", {}, None, agent, took=self._took(at))

    # ---- numbers ----

    def record(self, p: dict[str, Any], past: bool, agent: str, at: str = "") -> Iterator[ModelCall]:
        """A `token_usage_record` row, with its stamp."""
        if p.get("thread_id") and self.thread and p["thread_id"] != self.thread:
            return
        self._exact = True
        self._count += 1
        self._asked = self._spoke = False
        usage, total = numbers(p.get("usage")), numbers(p.get("thread_token_usage"))
        if total is not None and usage is not None:
            if self._total is None or _falls(self._total, total) or past:
                self._rebase(total, usage)
            else:
                self._add(usage)
            self._total = total
        if not past:
            call_id = str(p.get("response_id") or f"{self.thread}-{self._count}")
            yield self._call(call_id, usage or {}, p.get("usage"), agent, took=self._took(at))

    def tokens(self, p: dict[str, Any], past: bool, agent: str, at: str = "") -> Iterator[ModelCall]:
        """A `token_count` row, with its stamp."""
        info = p.get("info")
        if self._exact or not isinstance(info, dict):
            return
        total, last = numbers(info.get("total_token_usage")), numbers(info.get("last_token_usage"))
        if total is None:
            if last is None or not any(last.values()):
                return
        elif total == self._total:
            return
        if last is not None and not any(last.values()):
            self._total, self._base, self._sum = total, dict(total or {}), {}
            return  # after a compaction: zeros, and a total that was made up
        before, self._total = self._total, total
        self._asked = self._spoke = False
        fresh = before is None or total is None or _falls(before, total)
        if last is None:
            assert total is not None
            call = total if fresh else _less(total, before or {})
            self._count += 1
            if fresh:
                self._base, self._sum = {}, {}
            self._add(call)
            if not past:
                yield self._call(f"{self.thread}-{self._count}", call, None, agent, "cumulative", took=self._took(at))
            return
        if total is not None and (fresh or past):
            self._rebase(total, last)
        elif total is not None:
            grown = total.get("total_tokens", 0) - (before or {}).get("total_tokens", 0)
            lost = _less(_less(total, before or {}), last) if grown > last.get("total_tokens", 0) else {}
            if lost and min(lost.values()) >= 0:
                self._count += 1
                self._add(lost)
                yield self._call(f"{self.thread}-{self._count}", lost, None, agent, "cumulative", said="")
            self._add(last)
        self._count += 1
        if not past:
            yield self._call(
                f"{self.thread}-{self._count}", last, info.get("last_token_usage"), agent, took=self._took(at)
            )

    def difference(self) -> str | None:
        """Words with both numbers if the thread's own total is not the sum of its calls; None: it is, or has none."""
        if self._total is None:
            return None
        own = {k: v - self._base.get(k, 0) for k, v in self._total.items()}
        wrong = [f"{k} {v:,} (the calls: {self._sum.get(k, 0):,})" for k, v in own.items() if v != self._sum.get(k, 0)]
        return f"the calls are not the thread's own total: {', '.join(wrong)}" if wrong else None

    def _rebase(self, total: dict[str, int], first: dict[str, int]) -> None:
        self._base, self._sum = _less(total, first), {}
        self._add(first)

    def _add(self, usage: dict[str, int]) -> None:
        for key, value in usage.items():
            self._sum[key] = self._sum.get(key, 0) + value

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


def is_answer(name: object, p: dict[str, Any]) -> bool:
    """Whether a `response_item` is a part of an answer."""
    return name in TOOL_CALLS or name == "reasoning" or (name == "message" and p.get("role") == "assistant")


def _is_prompt(item: object) -> bool:
    return isinstance(item, dict) and item.get("type") == "UserMessage"


def writes_late(version: object) -> bool:
    """Whether this version (`cli_version` of a `session_meta`) writes tool calls after their call was counted."""
    numbers = tuple(int(n) for n in re.findall(r"\d+", str(version or ""))[:2])
    return bool(numbers) and numbers < LATE_ITEMS_UNTIL


def numbers(usage: object) -> dict[str, int] | None:
    """The token fields that a usage object has; None if it is none."""
    if not isinstance(usage, dict):
        return None
    found = {}
    for name in FIELDS:  # hot: once or twice for each call of a file
        value = usage.get(name)
        if type(value) is int:
            found[name] = value
    return found


def _falls(before: dict[str, int], after: dict[str, int]) -> bool:
    return any(value < before.get(key, 0) for key, value in after.items())


def _less(total: dict[str, int], part: dict[str, int]) -> dict[str, int]:
    return {key: value - part.get(key, 0) for key, value in total.items()}

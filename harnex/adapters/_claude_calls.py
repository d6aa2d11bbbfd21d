"""Model calls out of Claude Code's rows: each once, with final numbers (DESIGN section 8).

Shared by the live session (`_claude_rows`) and by `usage --from` (`_claude_log`). A call is one row per content
block with one `message.id`, each repeating the usage, the early ones perhaps with a partial `output_tokens`. The
last row of an id wins (measured: 1,351 of 1,351 calls).

A call's duration is from the row with what the model was given last (the prompt, or the last tool's result; up to some
hundred ms before the request on a busy machine) to the last row of its answer: with all attempts and their pauses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harnex.adapters._base import PREVIEW
from harnex.adapters._claude_totals import Seen
from harnex.adapters._log import between
from harnex.model import ModelCall, Remark

AGENT_TOOLS = ("Task", "Agent")
IN_TOOL = "for tool use]"  # `[Request interrupted by user for tool use]`
COMPACTED = (
    "Claude Code compacted a conversation: of the call that wrote the summary it records no numbers, so that it is not"
    " among the calls"
)
SIDE = "subagent"  # a side chain without a name of its own (1.x): several may write at once
SIDE_OPEN = 32  # calls of such side chains that are kept open: no more run at once


@dataclass(slots=True)
class _Call:
    """A model call whose rows are still coming."""

    id: str
    model: str | None
    usage: dict[str, Any]
    stop_reason: str | None
    text: str
    attempts: int | None = None
    since: str = ""  # when the model was asked, and the newest row's time
    at: str = ""


@dataclass(slots=True)
class _Agent:
    """One conversation: which calls have rows, which tools run, and whether the model was asked and is silent."""

    open: dict[str, _Call] = field(default_factory=dict)
    tools: set[str] = field(default_factory=set)
    asked: str = ""  # the row that asks
    requests: list[str] = field(default_factory=list)  # 2.1.3xx records each attempt: ids since the last answer
    since: str = ""  # when the model was given something to answer: the stamp of that row


class Calls:
    """Collects rows and gives out a call when nothing more of it can come."""

    def __init__(self, early_rows: bool = False) -> None:
        self.early_rows = early_rows  # rows may be written before the call's end is known (2.1.20): see `_finished`
        self._agents: dict[str, _Agent] = {}
        self._told: set[str] = set()
        self.last_text = ""
        self.seen: Seen | None = None  # adds up what is given out, where somebody wants to hold it against totals

    def _of(self, agent: str) -> _Agent:
        found = self._agents.get(agent)
        if found is None:
            found = self._agents[agent] = _Agent()
        return found

    def given(self, agent: str, at: object) -> None:
        """A prompt or a tool's result was recorded at this time (a row's stamp)."""
        self._of(agent).since = str(at or "")

    def row(self, message: dict[str, Any], agent: str, request: str = "", at: str = "") -> Iterable[ModelCall]:
        """Take an assistant row's message. `request` is the row's `requestRef`, where there is one, `at` its stamp."""
        call_id, usage = message.get("id"), message.get("usage")
        if not isinstance(call_id, str) or not isinstance(usage, dict):
            return
        state = self._of(agent)
        call = state.open.get(call_id)
        if call is None:
            if agent != SIDE:
                yield from self.over(False, agent)
            elif len(state.open) >= SIDE_OPEN:
                yield from self._give(state, next(iter(state.open)), agent, False)
            call = _Call(call_id, _word(message.get("model")), usage, None, "")
            if call_id not in self._told:
                if request and request in state.requests:
                    call.attempts = state.requests.index(request) + 1
                state.asked = ""
                state.requests.clear()
                if agent != SIDE:  # of several that write at once nobody can tell who was asked when
                    call.since, state.since = state.since, ""
            state.open[call_id] = call
        call.at = at
        text = ""
        for block in blocks(message.get("content")):
            kind = block.get("type")
            if kind == "text":
                text += str(block.get("text") or "")
            elif kind == "tool_use":
                state.tools.add(str(block.get("id")))
        call.usage = usage
        call.stop_reason = _word(message.get("stop_reason")) or call.stop_reason
        if text:
            call.text = f"{call.text}\n{text}".strip()
            if agent == "main":
                self.last_text = call.text
            if call.stop_reason not in (None, "tool_use"):
                yield from self._give(state, call_id, agent, False)  # nothing follows the last words of a message

    # ---- what is asked of the model: whether an answer is open ----

    def asked(self, agent: str, row: str) -> None:
        """A prompt was recorded, in this row."""
        self._of(agent).asked = row

    def answered(self, agent: str, tools: Iterable[str], row: str) -> None:
        """Results of tools were recorded; with the last of them the model is asked to go on."""
        state = self._of(agent)
        state.tools.difference_update(tools)
        if not state.tools:
            state.asked = row

    def requested(self, agent: str, request: str) -> None:
        """The CLI recorded that it sent a request (`api-request`): one a try."""
        state = self._of(agent)
        state.requests.append(request)

    def refused(self, agent: str) -> None:
        """The turn ended with an error: nothing is open any more."""
        state = self._of(agent)
        state.asked = ""
        state.requests.clear()
        state.tools.clear()

    # ---- ends ----

    def unstopped(self) -> bool:
        """Whether a call is open that has no stop reason yet."""
        return any(call.stop_reason is None for state in self._agents.values() for call in state.open.values())

    def over(self, aborted: bool, agent: str | None = None, only_stopped: bool = False) -> Iterable[ModelCall]:
        """Give out what is open (of one agent, or of all). `only_stopped`: leave calls that have no stop reason yet;
        2.0 and later write a tool's result between the rows of one call."""
        for name in [agent] if agent else list(self._agents):
            state = self._agents.get(name)
            for call in list(state.open.values()) if state is not None else ():
                assert state is not None
                if not only_stopped or call.stop_reason is not None:
                    yield from self._give(state, call.id, name, aborted)

    def interrupted(self, agent: str, text: str) -> Iterable[ModelCall | Remark]:
        """A person interrupted, as this text says. Rows of the open call are all that there will be; of an answer
        without a row (2.0.77 writes none) nothing is known, perhaps not even that it was billed. While a tool ran the
        model was not asked, though the tool has a result: that it was refused."""
        yield from self.over(True, agent)
        if self._silent(agent) and IN_TOOL not in text:
            yield Remark(
                "an answer was interrupted before Claude Code recorded anything of it: it may have been billed"
            )
        self.refused(agent)

    def gone(self) -> Iterable[ModelCall]:
        """The program has ended: what is open will never be whole. An answer of which there is no row was all the same
        asked for: a call of which nothing is known."""
        yield from self.over(True)
        for name in list(self._agents):
            asked = self._silent(name)
            self.refused(name)
            if asked:
                yield ModelCall(f"open-{asked}", agent=name, partial=True)

    def _silent(self, agent: str) -> str:
        """The row that asked the model, if no row of its answer came; "" else."""
        state = self._agents.get(agent)
        if state is None:
            return ""
        return state.requests[-1] if state.requests else state.asked

    def _give(self, state: _Agent, call_id: str, agent: str, aborted: bool) -> Iterable[ModelCall]:
        call = state.open.pop(call_id)
        if call.id not in self._told:
            self._told.add(call.id)
            finished = _finished(call, agent, aborted, self.early_rows)
            if self.seen is not None:
                self.seen.add(finished)
            yield finished


def _finished(call: _Call, agent: str, aborted: bool, early_rows: bool) -> ModelCall:
    """A call that was cut off has no final output: its rows hold what its start said (measured: 22 of 22).

    Nor has any call in a version that writes its rows before the end is known (2.1.20; not 2.0.77, not 2.1.80):
    without a stop reason the output is what the start said.
    """
    partial = aborted and call.stop_reason is None
    final = call.stop_reason is not None or not (aborted or early_rows)
    return ModelCall(
        call.id,
        call.model,
        agent=agent,
        stop_reason=call.stop_reason,
        duration_s=between(call.since, call.at),
        attempts=call.attempts,
        partial=partial,
        text_preview=call.text[:PREVIEW],
        raw=call.usage,
        **tokens(call.usage, final),  # type: ignore[arg-type]
    )


def tokens(usage: dict[str, Any], final: bool = True) -> dict[str, int | None]:
    """harnex's token fields from Anthropic's usage, whose `input_tokens` leaves the cached ones out. Not `final`:
    what it says of the output is what the start said, so that is unknown."""
    fresh, read, written = (
        _number(usage.get(k)) for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    given = None if fresh is None else fresh + (read or 0) + (written or 0)
    out = _number(usage.get("output_tokens")) if final else None
    details = usage.get("output_tokens_details")
    thinking = _number(details.get("thinking_tokens")) if isinstance(details, dict) else None
    return {
        "input_tokens": given,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "output_tokens": out,
        "reasoning_tokens": thinking if final else None,
        "total_tokens": None if given is None or out is None else given + out,
    }


def blocks(content: Any) -> list[dict[str, Any]]:
    """A message's content as blocks, whichever of its two forms it has."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []


def agent_name(row: dict[str, Any], types: Mapping[str, str]) -> str:
    """Whose row it is: `main`, or `TYPE:ID` of a sub-agent (its type alone does not tell two of a kind apart)."""
    agent = str(row.get("agentId") or "")
    if not (row.get("isSidechain") or (agent and row.get("type") == "api-request")):
        return "main"
    kind = types.get(agent)
    return f"{kind}:{agent}" if kind and kind != agent else agent or SIDE


def asks(row: dict[str, Any], text: str) -> bool:
    """Whether a user row is a prompt for the model: what the program notes of its own commands is not."""
    return bool(text) and not row.get("isMeta") and not text.startswith(("<command-", "<local-command", "<bash-"))


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def input_preview(given: Any) -> str:
    """The one word of a tool's input that tells most."""
    if not isinstance(given, dict):
        return str(given or "")[:PREVIEW]
    for key in ("command", "file_path", "notebook_path", "pattern", "url", "query", "description", "prompt", "subject"):
        if isinstance(given.get(key), str):
            return str(given[key])[:PREVIEW]
    return ", ".join(f"{k}={v}" for k, v in given.items())[:PREVIEW]

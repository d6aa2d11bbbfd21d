"""Model calls out of Claude Code's rows: each once, with final numbers (DESIGN section 8).

Shared by the live session (`claude/reader.py`) and by `usage --from` (`claude/log.py`). A call is one row per content
block with one `message.id`, each repeating the usage.

Only a row with a stop reason has the final output. The provider sends it, with the stop reason, 0.1 to 0.8 s after the
last block; a row without one holds the placeholder of the answer's start (1 to 4, or 20 to 31 for a tool), and its output
is unknown. 1.0.60 to 2.1.80 write the rows of most calls before that, and never again (with 0.3 s of pause: 41 of 44
calls); 2.1.160 does so for sub-agents only, 2.1.197 to 2.1.329 wait. The input is right in every row.

A call's duration is from the row with what the model was given last (the prompt, or the last tool's result; up to some
hundred ms before the request on a busy machine) to the last row of its answer: with all attempts and their pauses.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harnex.agents.claude.totals import Seen
from harnex.agents.common.logfile import between
from harnex.agents.contract import PREVIEW
from harnex.model.facts import ModelCall, Remark

AGENT_TOOLS = ("Task", "Agent")
IN_TOOL = "for tool use]"  # `[Request interrupted by user for tool use]`
COMPACTED = (
    "Claude Code compacted a conversation: of the call that wrote the summary it records no numbers, so that it is not"
    " among the calls"
)
THINKING = ("thinking", "redacted_thinking")
PLACEHOLDER = 40  # an `output_tokens` above this is none
WORDS_A_TOKEN = 3  # no token is more words than this; in fact it is a part of one
UNTOLD = (
    "the output tokens of a model call are not known: Claude Code recorded it before the provider told them (it does so up"
    " to 2.1.160), or they were never told"
)
UNRECORDED = "an answer was interrupted before Claude Code recorded anything of it: it may have been billed"
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
    words: int = 0  # in what it says, where its output may be a placeholder
    thought: bool = False
    attempts: int | None = None
    since: str = ""  # when the model was asked, and the newest row's time
    at: str = ""


@dataclass(slots=True)
class _Agent:
    """One conversation: which calls have rows, which tools run, and whether the model was asked and is silent."""

    open: dict[str, _Call] = field(default_factory=dict)
    tools: set[str] = field(default_factory=set)
    asked: str = ""  # the row that asks
    # 2.1.3xx records each attempt: id -> stamp, since the last answer.
    requests: dict[str, str] = field(default_factory=dict)
    since: str = ""  # when the model was given something to answer: the stamp of that row
    bare: tuple[str, str, object] | None = None  # of the last row without ids: its call, its `uuid`, its input


class Calls:
    """Collects rows and gives out a call when nothing more of it can come."""

    def __init__(self) -> None:
        self._agents: dict[str, _Agent] = {}
        self._told: set[str] = set()
        self.untold = 0  # whole calls of unknown output, since somebody looked
        self.nameless = 0  # rows with usage that belong to no call that can be told from others
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

    def key(self, row: dict[str, Any], agent: str) -> str | None:
        """Which call an assistant row belongs to: its message's id, else its request's. With neither it is one of its
        own, named by its `uuid`, together with the rows that follow it directly and tell the same input. None: it has no
        name at all."""
        message = row["message"]
        for given in (message.get("id"), row.get("requestId")):
            if isinstance(given, str) and given:
                return given
        own, state, usage = row.get("uuid"), self._of(agent), message.get("usage")
        if not isinstance(own, str) or not own:
            self.nameless += isinstance(usage, dict)
            return None
        given = tokens(usage, final=False) if isinstance(usage, dict) else {}
        before = state.bare
        key = before[0] if before is not None and before[1:] == (row.get("parentUuid"), given) else own
        state.bare = (key, own, given)
        return key

    def row(self, call_id: str, row: dict[str, Any], agent: str, timed: bool = True) -> Iterable[ModelCall]:
        """Take a row of a call (see `key`), with its stamp, if it is `timed`."""
        message, request = row["message"], str(row.get("requestRef") or "")
        usage = message.get("usage")
        usage = usage if isinstance(usage, dict) else {}
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
                    call.attempts = list(state.requests).index(request) + 1
                state.asked = ""
                state.requests.clear()
                if agent != SIDE:  # of several that write at once nobody can tell who was asked when
                    call.since, state.since = state.since, ""
            state.open[call_id] = call
        elif agent != SIDE:
            state.asked = ""  # the results of its first tools came before its last words
        call.at = str(row.get("timestamp") or "") if timed else ""
        text, found = "", blocks(message.get("content"))
        if (usage.get("output_tokens") or 0) <= PLACEHOLDER:
            call.words += sum(map(_words, found))
        for block in found:
            kind = block.get("type")
            call.thought = call.thought or kind in THINKING
            if kind == "text":
                text += str(block.get("text") or "")
            elif kind == "tool_use":
                state.tools.add(str(block.get("id")))
        stop = _word(message.get("stop_reason"))
        if stop is not None or call.stop_reason is None:
            call.usage, call.stop_reason = usage, stop
        if text:
            call.text = f"{call.text}\n{text}".strip()
            if agent == "main":
                self.last_text = call.text
            if call.stop_reason not in (None, "tool_use"):
                yield from self._give(state, call_id, agent, False)  # nothing follows the last words of a message

    # ---- what is asked of the model: whether an answer is open ----

    def prompted(self, agent: str, at: str) -> Iterable[Remark]:
        """A prompt was recorded, with this stamp. Requests of before were for another one, and had no answer: interrupted
        before its first token, 2.1.329 records no more than that. (It may write a prompt behind its request.)"""
        state = self._of(agent)
        cut = [request for request, stamp in state.requests.items() if stamp < at]
        if cut:
            yield Remark(UNRECORDED)
        for request in cut:
            del state.requests[request]

    def asked(self, agent: str, row: str) -> None:
        """A prompt was recorded, in this row, and the model is asked."""
        self._of(agent).asked = row

    def answered(self, agent: str, tools: Iterable[str], row: str) -> None:
        """Results of tools were recorded; with the last of them the model is asked to go on."""
        state = self._of(agent)
        state.tools.difference_update(tools)
        if not state.tools:
            state.asked = row

    def requested(self, agent: str, request: str, at: str) -> None:
        """The CLI recorded that it sent a request (`api-request`), with its stamp: one a try."""
        self._of(agent).requests[request] = at

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
            yield Remark(UNRECORDED)
        self.refused(agent)

    def finished(self, agents: Container[str]) -> Iterable[ModelCall]:
        """Give out what is open and has a stop reason, and all that is open of these agents, whose turns are over."""
        for name in list(self._agents):
            yield from self.over(False, name, only_stopped=name not in agents)

    def gone(self, finished: Container[str] = ()) -> Iterable[ModelCall]:
        """The program has ended: what is open was cut off, but of the agents whose turns were `finished`, and but what has
        its tools' results behind it. An answer of which there is no row was all the same asked for: a call of which
        nothing is known."""
        yield from self.finished(finished)
        for name, state in list(self._agents.items()):
            yield from self.over(not state.asked, name)
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
        return next(reversed(state.requests), state.asked)

    def _give(self, state: _Agent, call_id: str, agent: str, aborted: bool) -> Iterable[ModelCall]:
        call = state.open.pop(call_id)
        if call.id not in self._told:
            self._told.add(call.id)
            finished = _finished(call, agent, aborted)
            self.untold += finished.output_tokens is None and not finished.partial
            if self.seen is not None:
                self.seen.add(finished)
            yield finished


def _finished(call: _Call, agent: str, aborted: bool) -> ModelCall:
    """A call without a stop reason has no final output; `partial`, if it was cut off before it had one."""
    numbers = tokens(call.usage, is_final(call.stop_reason, call.usage.get("output_tokens"), call.words))
    if call.thought and not numbers["reasoning_tokens"]:
        numbers["reasoning_tokens"] = None  # 2.1.329 writes a 0 where the provider does not tell it
    return ModelCall(
        call.id,
        call.model,
        agent=agent,
        stop_reason=call.stop_reason,
        duration_s=between(call.since, call.at),
        attempts=call.attempts,
        partial=aborted and call.stop_reason is None,
        text_preview=call.text[:PREVIEW],
        raw=call.usage,
        **numbers,  # type: ignore[arg-type]
    )


def is_final(stop_reason: object, output: object, words: int) -> bool:
    """Whether a usage is that of the whole answer. An output that is too small for what was said is a placeholder all the
    same: a gateway sends the stop reason without any usage."""
    return stop_reason is not None and isinstance(output, int) and output * WORDS_A_TOKEN >= words


def words_in(content: object) -> int:
    """How many words a message's content has; a tool's input counts as what it says."""
    return sum(map(_words, blocks(content)))


def _words(block: dict[str, Any]) -> int:
    said = block.get("text") or block.get("thinking") or block.get("input") or ""
    return len(str(said).split())


def tokens(usage: dict[str, Any], final: bool = True) -> dict[str, int | None]:
    """harnex's token fields from Anthropic's usage, whose `input_tokens` leaves the cached ones out. Not `final`:
    what it says of the output is what the start said, so that is unknown. So is an input of 0: no call has that (some
    gateways tell it at the end only)."""
    fresh, read, written = (
        _number(usage.get(k)) for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    given = None if fresh is None else fresh + (read or 0) + (written or 0)
    if not given:
        given = read = written = None
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


def unrecorded(tools: int) -> str:
    """Words for tool calls that hooks told of, and that no row holds when the program is gone.

    2.1.329 may write a whole call down only after the next one has ended (seen with a late usage); killed before that, it
    leaves no record of a call that was billed."""
    return (
        f"Claude Code ended before it had written down {tools} tool call{'s' * (tools != 1)} that it made: the model calls that"
        " asked for them are recorded nowhere, and are not counted"
    )


def uncounted(nameless: int) -> str:
    """Words for rows that could not be counted."""
    one = nameless == 1
    return (
        f"{nameless} record{'s' * (not one)} with usage {'is' if one else 'are'} not counted: {'it has' if one else 'they have'}"
        " no message id, no request id and no uuid, so that the same call may be told twice"
    )


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

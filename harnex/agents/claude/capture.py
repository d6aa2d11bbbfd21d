"""What was captured of `claude -p`: `--output-format stream-json`, or `json` (its `result` alone, or all rows as a list).

An `assistant` row comes per content block, often with the placeholder that the message's start told; the final usage is in
`message_delta` (`--include-partial-messages`) and in rows with a stop reason. A `result` tells what the main conversation
of its turn used together, and `modelUsage` what the process used so far, by model: of calls without a number of their own
they prove it, or their sum (`common/remainder.py`). A `result` without any row is a call a model, since that is all that is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harnex.agents.claude.calls import blocks, is_final, tokens, words_in
from harnex.agents.claude.totals import by_model, plain
from harnex.agents.common.ledger import difference
from harnex.agents.common.logfile import Logged
from harnex.agents.common.remainder import FIELDS, GIVEN, Sums, filled, is_of, rest_of
from harnex.agents.contract import PREVIEW
from harnex.model.facts import ModelCall, Rest

ONLY_TOTALS = "it tells totals only: all calls of {} are one here"
OWN_TOTAL = (
    "the calls are not the program's own total of {}: {} (side calls, or sub-agents': their transcripts tell more)"
)
SUB_AGENTS = "of sub-agents this stream does not tell every call: their transcripts do"


@dataclass(slots=True)
class _Message:
    """A call of which rows or pieces came."""

    agent: str
    model: str | None
    usage: dict[str, Any]
    stop: str | None = None
    pieces: bool = False  # its pieces are told: so is its end, if it has one
    counted: bool = False  # the usage is that of the whole answer
    words: int = 0
    text: str = ""

    def call(self, call_id: str, cut: bool) -> ModelCall:
        return ModelCall(
            call_id,
            model=self.model,
            agent=self.agent,
            stop_reason=self.stop,
            source="stream",
            partial=not self.counted and (cut or (self.pieces and self.stop is None)),
            text_preview=self.text[:PREVIEW],
            raw=self.usage or None,
            **tokens(self.usage, self.counted),
        )


@dataclass(slots=True)
class Capture:
    """Rows in, calls out. `words` says afterwards what the file does not tell, or where it contradicts itself."""

    session: str = ""
    words: list[str] = field(default_factory=list)
    _cwd: str = ""
    _turn: int = 1
    _messages: dict[str, _Message] = field(default_factory=dict)  # of the turn, by id
    _now: dict[str, str] = field(default_factory=dict)  # agent -> the message whose pieces come
    _told: dict[str, ModelCall] = field(default_factory=dict)  # of the session, as far as it is known now
    _rests: list[Rest] = field(default_factory=list)
    _own: dict[str, Sums] = field(default_factory=dict)  # `modelUsage`, which runs on

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        kind, session = row.get("type"), str(row.get("session_id") or self.session)
        if session != self.session:
            yield from self._over(None)
            self._close()
            self.session = session
        agent = str(row.get("parent_tool_use_id") or "main")
        if kind == "system" and row.get("subtype") == "init":
            self._cwd = str(row.get("cwd") or "")
        elif kind == "assistant" and isinstance(row.get("message"), dict):
            self._message(agent, row["message"])
        elif kind == "stream_event" and isinstance(row.get("event"), dict):
            self._event(agent, row["event"])
        elif kind == "result":
            yield from self._over(row)
            self._turn += 1

    def end(self) -> Iterator[Logged]:
        """The file is over. Without a `result` the program was cut off."""
        yield from self._over(None)
        self._close()

    # ---- rows ----

    def _message(self, agent: str, message: dict[str, Any]) -> None:
        call_id, usage = message.get("id"), message.get("usage")
        if not isinstance(call_id, str) or call_id in self._told or message.get("model") == "<synthetic>":
            return
        usage = usage if isinstance(usage, dict) else {}
        found = self._messages.get(call_id)
        if found is None:
            found = self._messages[call_id] = _Message(agent, _word(message.get("model")), usage)
        content = message.get("content")
        found.words += words_in(content)
        for block in blocks(content):
            if block.get("type") == "text":
                found.text = f"{found.text}\n{block.get('text') or ''}".strip()
        stop = _word(message.get("stop_reason"))
        if not found.counted and not found.pieces and (stop is not None or found.stop is None):
            found.usage, found.stop = usage, stop
            found.counted = is_final(stop, usage.get("output_tokens"), found.words)

    def _event(self, agent: str, event: dict[str, Any]) -> None:
        kind, message = event.get("type"), event.get("message")
        if kind == "message_start" and isinstance(message, dict):
            self._now[agent] = str(message.get("id"))
            self._message(agent, {**message, "id": self._now[agent], "stop_reason": None})
            if (found := self._messages.get(self._now[agent])) is not None:
                found.pieces = True
        elif kind == "message_delta":
            found = self._messages.get(self._now.get(agent, ""))
            usage, delta = event.get("usage"), event.get("delta")
            if found is None:
                return
            found.stop = _word(delta.get("stop_reason")) if isinstance(delta, dict) else found.stop
            if isinstance(usage, dict):
                # Counts that a delta leaves out or has as 0 are those of the start, as the CLI itself takes them.
                found.usage = {**found.usage, **{k: v for k, v in usage.items() if v or k.startswith("output")}}
                found.counted = found.stop is not None and bool(usage.get("output_tokens"))

    # ---- ends of turns ----

    def _over(self, result: dict[str, Any] | None) -> Iterator[Logged]:
        """A turn is over: its calls, and what the program's totals prove of those without a number."""
        calls = {call_id: m.call(call_id, cut=result is None) for call_id, m in self._messages.items()}
        totals = self._totals(result) if result is not None else {}
        if result is not None and not calls:
            yield from self._whole(result, totals)
            return
        usage = result.get("usage") if result is not None else None
        total = _sums(usage) if isinstance(usage, dict) else {}
        self._doubt(calls, total)
        rests = self._settle(calls, total, [c for c in calls.values() if c.agent == "main"])
        if self._turn == 1 or (result or {}).get("model_usage_since_last_result"):
            for model, own in totals.items():
                rests += self._settle(calls, own, [c for c in calls.values() if plain(c.model or "") == model])
        self._messages.clear()
        self._told.update(calls)
        self._rests += rests
        for call in calls.values():
            yield Logged(call, "", self.session, self._cwd, self._turn)
        for n, rest in enumerate(rests):
            yield Logged(
                _record(rest, f"{self.session}-rest-{self._turn}-{n}"),
                "",
                self.session,
                self._cwd,
                self._turn,
                rest.call_ids,
            )

    def _totals(self, result: dict[str, Any]) -> dict[str, Sums]:
        """Of this turn or of the process so far, by model; they are kept for the end."""
        since = result.get(
            "model_usage_since_last_result"
        )  # 2.1.329, where a resumed process goes on with older totals
        if isinstance(since, dict):
            found = by_model(since)
            for model, sums in found.items():
                old = self._own.get(model, {})
                self._own[model] = {name: value + old.get(name, 0) for name, value in sums.items()}
            return found
        self._own = by_model(result.get("modelUsage")) or self._own
        return self._own

    def _doubt(self, calls: dict[str, ModelCall], total: Sums) -> None:
        """Rows with a stop reason against a total of exactly these calls that says more: some of them are placeholders."""
        main = [c for c in calls.values() if c.agent == "main"]
        told = [c.output_tokens for c in main]
        output = total.get("output_tokens", 0)
        if not main or None in told or not is_of(total, main) or output == sum(n or 0 for n in told):
            return
        self.words.append(
            f"its total contradicts its rows in turn {self._turn}: output_tokens {output:,} (the calls: {sum(n or 0 for n in told):,})"
        )
        if output > sum(n or 0 for n in told):
            for call in main:
                if not self._messages[call.call_id].pieces:
                    calls[call.call_id] = replace(call, output_tokens=None, reasoning_tokens=None, total_tokens=None)

    def _settle(self, calls: dict[str, ModelCall], total: Sums, of: list[ModelCall]) -> list[Rest]:
        known = [c for c in of if c.output_tokens is not None]
        unknown = [c for c in of if c.output_tokens is None]
        if any(c.partial for c in of) or not total:
            return []
        rest = rest_of(total, known, unknown)
        started = [self._messages[c.call_id].usage.get("output_tokens") or 0 for c in unknown]
        if rest is not None and rest.output_tokens == sum(started):
            return []  # the total is of placeholders: the usage was never told
        if rest is not None and len(unknown) == 1:
            calls[unknown[0].call_id] = filled(unknown[0], rest)
            return []
        return [rest] if rest is not None else []

    def _whole(self, result: dict[str, Any], totals: dict[str, Sums]) -> Iterator[Logged]:
        """A result of which no row came: what it tells is a call a model."""
        usage = result.get("usage")
        if not totals or (self._turn > 1 and not result.get("model_usage_since_last_result")):
            totals = {"": _sums(usage)} if isinstance(usage, dict) else {}
        text = result.get("result")
        # After an error they may hold the placeholder of an answer that was cut off.
        cut = bool(result.get("is_error")) or result.get("subtype") == "error_during_execution"
        for model, found in totals.items():
            if not any(found.values()):
                continue
            sums = {k: v for k, v in found.items() if not cut or k in GIVEN}
            name = f"{self.session}-total-{self._turn}" + (f"-{model}" if len(totals) > 1 else "")
            whole = (
                sums["input_tokens"] + sums["output_tokens"] if {"input_tokens", "output_tokens"} <= set(sums) else None
            )
            call = ModelCall(
                name,
                model or None,
                **{key: sums.get(key) for key in FIELDS},  # type: ignore[arg-type]
                total_tokens=whole,
                source="cumulative",
                partial=cut,
                text_preview=text[:PREVIEW] if isinstance(text, str) else "",
                raw=usage if isinstance(usage, dict) else None,
            )
            self._told[name] = call
            yield Logged(call, "", self.session, self._cwd, self._turn)
        turns = result.get("num_turns")
        if any(any(t.values()) for t in totals.values()) and turns != 1:
            self.words.append(ONLY_TOTALS.format(f"{turns} turns" if isinstance(turns, int) else "a run"))

    def _close(self) -> None:
        """The session is over: its own totals against its calls, where that was not said yet."""
        if any(call.agent != "main" for call in self._told.values()) and not self._own:
            self.words.append(SUB_AGENTS)
        shared = {call_id for rest in self._rests for call_id in rest.call_ids}
        for model, own in self._own.items():
            calls = [c for c in self._told.values() if plain(c.model or "") == model]
            if not calls:
                continue  # titles and the like, which no row tells
            names = [n for n in FIELDS if all(getattr(c, n) is not None or c.call_id in shared for c in calls)]
            mine = {n: sum(getattr(c, n) or 0 for c in calls) for n in names}
            if shared.intersection(c.call_id for c in calls) and "output_tokens" in mine:
                mine["output_tokens"] += sum(r.output_tokens for r in self._rests if plain(r.model or "") == model)
            if words := difference(mine, own):
                self.words.append(OWN_TOTAL.format(model, words))
        self._told, self._rests, self._own, self._turn, self._cwd = {}, [], {}, 1, ""
        self._messages.clear()


def _record(rest: Rest, name: str) -> ModelCall:
    """A rest as it is logged: what it adds to the sums."""
    return ModelCall(
        name,
        rest.model,
        agent=rest.agent,
        output_tokens=rest.output_tokens,
        reasoning_tokens=rest.reasoning_tokens,
        total_tokens=rest.total_tokens,
        source="cumulative",
    )


def _sums(usage: dict[str, Any]) -> Sums:
    return {k: v for k, v in tokens(usage).items() if k in FIELDS and v is not None}


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

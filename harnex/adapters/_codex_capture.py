"""What was captured of `codex exec --json`: totals of turns only, so that each turn is one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harnex.adapters._codex_calls import Calls
from harnex.adapters._log import Logged, Place


class Capture:
    """`turn.completed.usage` is of the process up to 0.77, and over the whole thread from 0.80 on: a thread that goes on
    in the same file adds up, and one that falls has begun anew (measured, field notes on headless runs).
    """

    def __init__(self, place: Place) -> None:
        self._calls = Calls()
        self._turn = 0
        self._open = 0  # turns that began and did not tell what they used: they failed, or were cut off
        self.words: list[str] = []

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        kind = row.get("type")
        if kind == "thread.started":
            thread = str(row.get("thread_id") or "")
            if thread != self._calls.thread:
                self._calls = Calls()
            self._calls.thread = thread
        elif kind == "turn.started":
            self._turn += 1
            self._open += 1
        elif kind == "turn.completed" and isinstance(row.get("usage"), dict):
            self._open -= 1
            usage = dict(row["usage"])
            if all(isinstance(usage.get(k), int) for k in ("input_tokens", "output_tokens")):
                usage.setdefault("total_tokens", usage["input_tokens"] + usage["output_tokens"])
            if not any(v for v in usage.values() if isinstance(v, int)):
                return  # no usage in the answers: zeros
            for call in self._calls.tokens({"info": {"total_token_usage": usage}}, False, "main"):
                yield Logged(call, "", self._calls.thread, "", self._turn or None)

    def end(self) -> Iterator[Logged]:
        if self._open > 0:
            self.words.append(
                f"{self._open} of {self._turn} turns did not end well: this stream does not tell what they used, their rollout does"
            )
        yield from ()

"""What Codex wrote before its present formats. Measured on 0.23 and 0.36.

- Rollouts of 0.23 hold messages and tools, one bare object a row, and no token counts.
- `codex exec --json` prints one object with the settings, the prompt, and then events `{"id", "msg": {"type", …}}`. A
  `token_count` is the usage of one answer (0.23), or an `info` as in later rollouts (0.36). No thread is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harnex.agents.codex.calls import Calls
from harnex.agents.common.logfile import Logged, Place


def is_stream(row: dict[str, Any]) -> bool:
    """Whether it is a row of an old captured stream."""
    return isinstance(row.get("msg"), dict) or ("workdir" in row and "model" in row)


class OldStream:
    """One captured stream: the answers that it counts."""

    def __init__(self, place: Place) -> None:
        self._calls = Calls()
        self._calls.thread = place.name
        self._cwd = ""
        self._turn = 0
        self.words: list[str] = []

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        message = row.get("msg")
        if not isinstance(message, dict):
            if isinstance(row.get("model"), str):
                self._calls.model = row["model"]
                self._cwd = str(row.get("workdir") or "")
            return
        kind = message.get("type")
        if kind == "task_started":
            self._turn += 1
        elif kind == "agent_message":
            self._calls.said = str(message.get("message") or "")
        elif kind == "token_count":
            for call in self._calls.tokens(message, False, "main"):
                yield Logged(call, "", self._calls.thread, self._cwd, self._turn or None)

    def end(self) -> Iterator[Logged]:
        if difference := self._calls.difference():
            self.words.append(difference)
        yield from ()

"""Codex's rollouts, for another agent that runs Codex."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harnex.agents.codex import screen as codex_screen
from harnex.agents.codex.background import Left, whose_tool
from harnex.agents.codex.rollout import Rollout, unfound
from harnex.agents.common.record import Record, glob_escaped
from harnex.model.facts import (
    Background,
    Compacted,
    Fact,
    FindFile,
    ModelCall,
    Remark,
    SubAgent,
    Submitted,
    ToolUse,
    TurnEnded,
)


class CodexRecord(Record):
    """`$CODEX_HOME/sessions/Y/M/D/rollout-*-<session>.jsonl`, and those of the threads that it started."""

    readable = True

    def __init__(self, began: float) -> None:
        super().__init__(began)
        self._root = ""
        self._left = Left()
        self._rollouts: dict[str, Rollout] = {"record": Rollout("record", began=began, left=self._left)}

    @staticmethod
    def wrote(row: dict[str, Any]) -> bool:
        return "payload" in row

    def find(self, home: str, env: dict[str, str], session: str) -> Iterable[Fact]:
        self._root = glob_escaped(env.get("CODEX_HOME") or f"{home}/.codex") + "/sessions/*/*/*"
        yield FindFile("record", paths=(f"{self._root}/rollout-*{session}.jsonl",))  # old rows are told by their times

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        rollout = self._rollouts.get(source)
        if rollout is None:
            agent = source.partition(":")[2]
            rollout = self._rollouts[source] = Rollout(source, began=self._began, agent=agent, left=self._left)
        self.rows += 1
        rollout.zone = self.zone
        for fact in rollout.row(row):
            if isinstance(fact, FindFile):
                # The threads belong to a daemon that is none of our children: found by name instead.
                yield FindFile(fact.source, paths=(f"{self._root}/{fact.held}",))
            elif isinstance(fact, ModelCall | ToolUse | Compacted | SubAgent | Background | Remark):
                if rollout.main and isinstance(fact, ToolUse):
                    self.asked = f"{fact.tool} {fact.input_preview}" if fact.status == "started" else ""
                yield fact
            elif rollout.main and isinstance(fact, Submitted):
                self._prompt(row, fact.text)
            elif rollout.main and isinstance(fact, TurnEnded):
                self.said = fact
            # What else a rollout says (its state, its session) Paseo says itself.
        if rollout.main and rollout.unclear is not None and self.said is None:
            # Up to 0.104 a failed turn says no more than that it has no last message.
            self.said = TurnEnded("record", "failed", reason="other", detail="the turn ended without an answer")

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        agents = {rollout.thread: rollout.agent for rollout in self._rollouts.values() if rollout.thread}
        return whose_tool(env, apart, None, agents)

    def classify(self, text: str) -> tuple[str, str | None]:
        return codex_screen.failure(text), None

    def cut(self, died: bool) -> Iterable[Fact]:
        return self.ended() if died else ()  # an interruption is in the rollout

    def ended(self) -> Iterable[Fact]:
        for rollout in self._rollouts.values():
            yield from (f for f in rollout.gone() if isinstance(f, ModelCall | Remark))
        yield from unfound(self._rollouts)


RECORD = CodexRecord

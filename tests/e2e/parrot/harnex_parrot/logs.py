"""What Parrot writes itself: `~/.parrot/talks/<session>.jsonl`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harnex.agents.common.chat import Answer, Chains, Chat
from harnex.agents.common.logfile import Log, Logged
from harnex.agents.roles import Files, Logs
from harnex.model.facts import ModelCall


def folder(home: str) -> str:
    return f"{home}/.parrot/talks"


def call_of(row: dict[str, Any]) -> ModelCall:
    given, put_out = int(row["in"]), int(row["out"])
    return ModelCall(
        str(row["id"]), str(row["model"]), input_tokens=given, output_tokens=put_out, total_tokens=given + put_out,
        source="talk",
    )  # fmt: skip


class ParrotLog(Log):
    def row(self, row: dict[str, Any]) -> Iterable[Logged]:
        if row.get("kind") == "answer":
            yield Logged(call_of(row), str(row["at"]), str(row["id"]).partition("-")[0], str(row["cwd"]))


class ParrotChat:
    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self._chains = Chains()

    def row(self, row: dict[str, Any]) -> None:
        at = len(self._chains.messages)
        if row.get("kind") == "prompt":
            self._chains.say("user", str(row["text"]))
        elif row.get("kind") == "answer":
            said = self._chains.say("assistant", str(row["text"]))
            self.answers[str(row["id"])] = Answer(self._chains.chain, at, self._chains.messages, said)


class ParrotLogs(Logs):
    def folders(self, home: str, env: Mapping[str, str]) -> Sequence[str]:
        return (folder(home),)

    def reader(self, full: bool) -> Log:
        return ParrotLog()

    def chats(self, agent: str, paths: Sequence[str], files: Files) -> Callable[[], Chat]:
        return ParrotChat


LOGS = ParrotLogs()

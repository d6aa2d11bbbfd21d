"""The processes of a Paseo daemon on this machine, from `ps`: the state file says `running` of dead ones, too. Pure.

Paseo never notices that Codex died (0.169: `running` for ever), nor can a killed daemon say anything any more.
"""

from __future__ import annotations

from typing import Literal

from harnex.model.facts import RunCommand

LIST = ("ps", "-A", "-o", "pid=,ppid=,args=")
BUSY_EVERY_S = 2.0
IDLE_EVERY_S = 5.0
GONE_LOOKS = 2  # in a row: a provider that is started anew is away for a moment
Seen = Literal["", "daemon gone", "provider gone"]


def look(after_s: float = 0.0) -> RunCommand:
    return RunCommand("processes", LIST, 10.0, after_s)


class Processes:
    """Compares one table with the next: only what was there can be gone."""

    def __init__(self) -> None:
        self._daemon_seen = self._provider_seen = False
        self._gone = 0

    def another_daemon(self) -> None:
        self._daemon_seen = self._provider_seen = False

    def another_turn(self) -> None:
        self._gone = 0

    def compare(self, table: str, daemon: int, family: str, running: bool) -> Seen:
        """What is gone. `family`: the word that the provider's processes have, "" if they can't be told from others'."""
        parents, names = _parse(table)
        if daemon not in names:
            return "daemon gone" if self._daemon_seen else ""
        self._daemon_seen = True
        if not family:
            return ""
        there = any(family in names[pid] for pid in _below(daemon, parents))
        if there or not running:
            self._provider_seen, self._gone = there, 0
        elif self._provider_seen:
            self._gone += 1
            return "provider gone" if self._gone == GONE_LOOKS else ""
        return ""


def _parse(text: str) -> tuple[dict[int, int], dict[int, str]]:
    """`ps` rows: parents and command lines by pid."""
    parents, names = {}, {}
    for line in text.splitlines():
        words = line.split(None, 2)
        if len(words) >= 2 and words[0].isdigit() and words[1].isdigit():
            parents[int(words[0])] = int(words[1])
            names[int(words[0])] = words[2] if len(words) > 2 else ""
    return parents, names


def _below(root: int, parents: dict[int, int]) -> list[int]:
    """The descendants of a process."""
    found, todo = [], [root]
    while todo:
        current = todo.pop()
        children = [pid for pid, parent in parents.items() if parent == current]
        found += children
        todo += children
    return found

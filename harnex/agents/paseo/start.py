"""From nothing to an agent: the private daemon, or the one that was named, and the agent on it, new or adopted. Pure.

The agent is made with a fixed opening prompt, because `paseo run` takes its prompt only by argv, where others can read
it, and which ends at 128 KiB; what a person asks for follows by `send --prompt-file`. The opening costs one model call,
and shows at once whether the provider works at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harnex.agents.paseo.cli import Cli, Reply, shown_host
from harnex.model.facts import CommandResult, Fact, Follow, Over, RunCommand

OPENING = "Reply with the one word: ready. The task comes with the next message."
READY_EVERY_S = 0.3
READY_TRIES = 25  # a private daemon answers within 3 s of its start; each try takes a second or more
FIND_TRIES = 3  # an agent that `run` gave no word of


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for, out of the launch (`HARNEX_PASEO`)."""

    program: str
    host: str
    home: str  # PASEO_HOME of the daemon
    private: bool  # the daemon is ours
    provider: str  # claude/MODEL
    adopt: str
    label: str  # names the agent as ours: it is searched by it when `run` gave no id
    run: tuple[str, ...]  # title, mode and the person's own arguments for `paseo run`
    message_file: str
    cwd: str
    began: float  # epoch seconds

    @classmethod
    def load(cls, row: dict[str, Any]) -> Plan:
        return cls(**{**row, "run": tuple(row["run"])})


class Start:
    """The way to the agent. Gives `agent`, or `Over` with the real cause. `again`: the agent of a process before."""

    def __init__(self, plan: Plan, cli: Cli, again: str = "") -> None:
        self.plan = plan
        self.agent = ""
        self.wanted = again or plan.adopt  # one that is there already
        self.told: dict[str, Any] = {}  # what `inspect` said of that one
        self.asked_to_run = self.running = False  # `paseo run` was called; it has not answered yet
        self._again = bool(again)
        self._cli = cli
        self._tries = 0
        self._failed = ""  # what `run` said, if that was no id

    def begin(self) -> Iterator[Fact]:
        yield Follow("daemon", f"{self.plan.home}/paseo.pid", "document")
        yield self._cli.start_daemon() if self.plan.private else self._look()

    def _look(self, after_s: float = 0.0) -> RunCommand:
        if self.wanted:
            call = self._cli.inspect(self.wanted, after_s)
            return RunCommand("adopt", call.argv, call.timeout_s, call.after_s)
        return self._cli.find(self.plan.label, after_s)

    def _over(self, words: str) -> Over:
        return Over("failure" if self._again else "boot_failure", words)

    def command(self, name: str, reply: Reply, result: CommandResult) -> Iterator[Fact]:
        if name == "daemon-start":
            if result.code != 0:
                yield self._over(f"the Paseo daemon did not start: {reply.words or result.err.strip()[-500:]}")
            else:
                yield self._look()
        elif reply.lost and name in ("find", "adopt"):
            yield from self._not_there(reply)
        elif name == "find":
            yield from self._found(reply)
        elif name == "adopt":
            if reply.ok and isinstance(reply.get("Id"), str):
                self.agent, self.told = str(reply.get("Id")), reply.data
            else:
                yield self._over(f"there is no agent {self.wanted} at {shown_host(self.plan.host)}: {reply.words}")
        elif name == "run":
            self.running = False
            if reply.ok and isinstance(reply.get("agentId"), str):
                self.agent = str(reply.get("agentId"))
            else:  # it may be there all the same: it failed with a daemon that went away after it had made it
                self._failed, self._tries = reply.words or "it gave no agent's id", 0
                yield self._look()

    def _not_there(self, reply: Reply) -> Iterator[Fact]:
        self._tries += 1
        if self._tries < (READY_TRIES if self.plan.private else 2):
            yield self._look(READY_EVERY_S)
            return
        where = shown_host(self.plan.host)
        yield self._over(f"no Paseo daemon answers at {where}: {reply.words}")

    def _found(self, reply: Reply) -> Iterator[Fact]:
        rows = [r for r in reply.data if isinstance(r, dict)] if isinstance(reply.data, list) else []
        own = next((str(r["id"]) for r in rows if isinstance(r.get("id"), str)), "")
        if not reply.ok:
            yield self._over(f"the Paseo daemon refuses: {reply.words}")
        elif own and self.asked_to_run:
            self.agent = own
        elif not self.asked_to_run:
            self.asked_to_run, self.running, self._tries = True, True, 0
            plan = self.plan
            words = ("-d", "--provider", plan.provider, "--label", plan.label, "--cwd", plan.cwd, *plan.run)
            yield self._cli.call("run", "run", *words, "--", OPENING, timeout_s=120.0)
        elif self._tries < FIND_TRIES and "AGENT_CREATE_FAILED" not in self._failed and _transport(self._failed):
            self._tries += 1
            yield self._look(1.0)
        else:
            yield self._over(f"Paseo did not start the agent: {self._failed}")


def _transport(words: str) -> bool:
    return "Transport" in words or "no answer" in words or "Timeout" in words

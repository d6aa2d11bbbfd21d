"""The first moments of a session: what the child gets, and what the launching command is told."""

from __future__ import annotations

import os
from collections.abc import Callable

from harnex.launch.spec import Spec
from harnex.machines.status import Situation
from harnex.model.facts import State
from harnex.model.records import StartReply
from harnex.supervisor.agent import Agent

QUIET_BOOT_S = 0.25  # how long a program that tells nothing of its state must live to count as started


def child_env(spec: Spec) -> dict[str, str]:
    """The agent's environment: ours, less what misleads it, plus who it is (DESIGN section 11)."""
    env = dict(os.environ)
    env.pop("LINES", None)
    env.pop("COLUMNS", None)
    if env.get("TERM", "dumb") in ("", "dumb", "unknown"):
        env["TERM"] = "xterm-256color"
    for name, value in spec.env.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    env["HARNEX_ID"], env["HARNEX_RUN_ID"], env["HARNEX_CLI"] = spec.id, spec.run_id, spec.cli
    pane = (spec.spawner or {}).get("pane")
    if pane:
        env["HARNEX_SPAWNER_PANE"] = str(pane)
    else:
        env.pop("HARNEX_SPAWNER_PANE", None)
    return env


class Boot:
    """Tells the launching command how the start went, once: when it is known, or after `boot_s` at most."""

    def __init__(
        self, spec: Spec, agent: Callable[[], Agent], situation: Situation, events_path: str, begun: float
    ) -> None:
        self._spec, self._agent, self._situation = spec, agent, situation
        self._events_path, self._begun = events_path, begun
        self.tell: Callable[[StartReply], None] | None = None  # whom; None: nobody waits any more

    @property
    def is_waiting(self) -> bool:
        """Whether the launching command still waits."""
        return self.tell is not None

    def wake_at(self) -> float | None:
        return self._begun + self._patience if self.is_waiting else None

    @property
    def _patience(self) -> float:
        """How long the launching command waits for a sign."""
        reader = self._agent().reader
        return QUIET_BOOT_S if reader.may_type_unknown else reader.boot_s

    def step(self, now: float) -> None:
        """Tell it, if it is known whether the start was good or bad."""
        end, tell = self._situation.end, self.tell
        if tell is None or (end.under_way and not end.done):
            return
        # A program that tells nothing is only watched for an early end; of an agent more is known soon.
        unsure = self._situation.status.verdict.state in (State.STARTING, State.UNKNOWN)
        if not end.done and unsure and now < self._begun + self._patience:
            return
        self.tell = None
        tell(self._reply())

    def _reply(self) -> StartReply:
        spec, end, verdict = self._spec, self._situation.end, self._situation.status.verdict
        reply: StartReply = {
            "ok": True,
            "id": spec.id,
            "run_id": spec.run_id,
            "cli": spec.cli,
            "pid": self._agent().child.pid,
            "supervisor_pid": os.getpid(),
            "mode": spec.mode,
            "state": "exited" if end.done else verdict.state.value,
            "dialog": verdict.dialog or None,
            "events_path": self._events_path,
            "notes": spec.notes,
        }
        if not end.done:
            return reply
        result = end.result
        reply["exit"] = result
        if result["reason"] == "boot_failure":
            reply["ok"] = False
            how = f" (signal {result['signal']})" if result["signal"] else f" (exit code {result['code']})"
            how = how if result["signal"] or result["code"] else ""
            reply["error"] = f"{spec.cli} ended at its start{how}: {end.message or 'it said nothing'}"
            reply["hint"] = f"its whole output: harnex logs --id {spec.run_id}"
        return reply

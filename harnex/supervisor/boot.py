"""The first moments of a session: what the child gets, and what the launching command is told."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from harnex.launch.spec import Spec
from harnex.model.facts import State

if TYPE_CHECKING:
    from harnex.supervisor.session import Session

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


def take_zone(env: dict[str, str]) -> None:
    """Live in the agent's time zone: the times that it names ("try again at 3 PM") are its own."""
    if env.get("TZ") != os.environ.get("TZ"):
        if env.get("TZ"):
            os.environ["TZ"] = env["TZ"]
        else:
            os.environ.pop("TZ", None)
        time.tzset()


def patience(session: Session) -> float:
    """How long the launching command waits for a sign."""
    return QUIET_BOOT_S if session.reader.may_type_unknown else session.reader.boot_s


def tell(session: Session, now: float) -> None:
    """The launching command waits until the start is known to be good or bad, `boot_s` at most."""
    if session.on_boot is None or (session.ending.under_way and not session.ending.done):
        return
    # A program that tells nothing is only watched for an early end; of an agent more is known soon.
    unsure = session.verdict.state in (State.STARTING, State.UNKNOWN)
    if not session.ending.done and unsure and now < session.begun + patience(session):
        return
    tell, session.on_boot = session.on_boot, None
    reply: dict[str, Any] = {
        "ok": True,
        "id": session.spec.id,
        "run_id": session.spec.run_id,
        "cli": session.spec.cli,
        "pid": session.child.pid,
        "supervisor_pid": os.getpid(),
        "mode": session.spec.mode,
        "state": "exited" if session.ending.done else session.verdict.state.value,
        "dialog": session.verdict.dialog or None,
        "events_path": session.journal.log.path,
        "notes": session.spec.notes,
    }
    if session.ending.done:
        result = session.ending.result
        reply["exit"] = result
        if result["reason"] == "boot_failure":
            reply["ok"] = False
            how = f" (signal {result['signal']})" if result["signal"] else f" (exit code {result['code']})"
            how = how if result["signal"] or result["code"] else ""
            reply["error"] = (
                f"{session.spec.cli} ended at its start{how}: {session.ending.message or 'it said nothing'}"
            )
            reply["hint"] = f"its whole output: harnex logs --id {session.spec.run_id}"
    tell(reply)

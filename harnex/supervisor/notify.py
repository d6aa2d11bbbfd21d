"""Telling people: a command that gets JSON on its standard input, and Apprise URLs (the extra `harnex[notify]`).

Both run as processes of their own, outlive the session if they must, and never hold it up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from harnex import clock, interpreter, jsonl, paths
from harnex.launch.environment import apart_env
from harnex.launch.spec import Spec
from harnex.machines.activity import Verdict
from harnex.model.records import Notification
from harnex.redaction.redactor import Redactor
from harnex.visible import visible
from harnex.watch.policy import Policy

if TYPE_CHECKING:
    from harnex.supervisor.jobs import Ended, Job

TIMEOUT_S = 60.0


def start(spec: Spec, policy: Policy, told: Notification, now: float, failed: Callable[[str], None]) -> list[Job]:
    """Begin to tell people what `message` made. `failed` hears of a notifier that could not.

    The jobs are the caller's to step.
    """
    from harnex.supervisor.jobs import Job

    # The sweep at the end of the session must not take the notifier with it, nor what it leaves to a process of its own.
    env = apart_env("notification")
    jobs = []
    for name, command, more in _commands(policy):
        body = jsonl.dumps({**told, **more}).encode() + b"\n"

        def done(ended: Ended, name: str = name) -> None:
            if not ended.ok:
                how = "took too long" if ended.code is None else f"exit code {ended.code}"
                failed(f"{name} failed ({how}): {ended.output[-200:]}")

        log = os.path.join(paths.run_dir(spec.state, spec.run_id), f"notify-{os.urandom(4).hex()}")
        try:
            jobs.append(Job(command, spec.cwd, env, log, TIMEOUT_S, now, stdin=body, done=done))
        except OSError as e:
            failed(f"{name} can't be run: {e.strerror}")
    return jobs


def message(spec: Spec, verdict: Verdict, redactor: Redactor, kind: str, text: str) -> Notification:
    """What a notifier gets."""
    told = {
        "kind": kind,
        "id": spec.id,
        "run_id": spec.run_id,
        "cli": spec.cli,
        "cwd": spec.cwd,
        "repo": spec.repo,
        "description": spec.description or None,
        "state": verdict.state.value,
        "dialog": verdict.dialog or None,
        "text": text,
        "ts": clock.stamp(),
    }
    # Scripts print it, and desktops show it: no secrets, and nothing that a terminal obeys.
    clean = redactor.record(told)
    shown = {key: visible(value) if isinstance(value, str) else value for key, value in clean.items()}
    return cast(Notification, shown)


def _commands(policy: Policy) -> list[tuple[str, str | list[str], dict[str, Any]]]:
    """Name, command, and what it gets beside the message. URLs hold secrets: never on a command line."""
    found: list[tuple[str, str | list[str], dict[str, Any]]] = []
    if policy.notify_cmd:
        found.append(("the notify command", policy.notify_cmd, {}))
    if policy.notify_urls:
        found.append(("apprise", interpreter.command("harnex.supervisor.notify"), {"urls": list(policy.notify_urls)}))
    return found


def main() -> int:
    """In a process of its own: the message on standard input, to the Apprise URLs in it."""
    try:
        import apprise
    except ImportError:
        print("apprise is not installed: pip install 'harnex[notify]'", file=sys.stderr)
        return 1
    told = jsonl.loads_dict(sys.stdin.buffer.read()) or {}
    sender = apprise.Apprise()
    for url in told.get("urls") or ():
        if not sender.add(url):
            print("one of the Apprise URLs is not understood", file=sys.stderr)  # it may hold a secret: not which
            return 1
    title = f"harnex: {told.get('id')} ({told.get('cli')}): {told.get('kind')}"
    return 0 if sender.notify(title=title, body=str(told.get("text"))) else 1

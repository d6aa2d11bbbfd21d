"""Notify people: by a command that gets JSON on its standard input, and by Apprise URLs
(the extra `harnex[notify]`).

Both run as processes of their own, outlive the session if necessary, and never delay it.
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

TIMEOUT_S = 60.0  # how long a notifier may take


def start(spec: Spec, policy: Policy, told: Notification, now: float, failed: Callable[[str], None]) -> list[Job]:
    """Start the notifiers with what `message` returned. Returns their jobs,
    which the caller must step.

    `failed` is called with the words if a notifier fails.
    """
    from harnex.supervisor.jobs import Job

    # The sweep at the end of the session must spare the notifier, and any
    # process that it starts in turn.
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
    """Return what a notifier gets."""
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
    # Scripts print the message, and desktops show it: no secrets, and
    # nothing that a terminal obeys.
    clean = redactor.record(told)
    shown = {key: visible(value) if isinstance(value, str) else value for key, value in clean.items()}
    return cast(Notification, shown)


def _commands(policy: Policy) -> list[tuple[str, str | list[str], dict[str, Any]]]:
    """Return (name, command, what the notifier gets beside the message) for each notifier.

    URLs hold secrets, so they never stand on a command line.
    """
    found: list[tuple[str, str | list[str], dict[str, Any]]] = []
    if policy.notify_cmd:
        found.append(("the notify command", policy.notify_cmd, {}))
    if policy.notify_urls:
        found.append(("apprise", interpreter.command("harnex.supervisor.notify"), {"urls": list(policy.notify_urls)}))
    return found


def main() -> int:
    """Run in a process of its own: send the message from standard input
    to the Apprise URLs in it."""
    try:
        import apprise
    except ImportError:
        print("apprise is not installed: pip install 'harnex[notify]'", file=sys.stderr)
        return 1
    told = jsonl.loads_dict(sys.stdin.buffer.read()) or {}
    sender = apprise.Apprise()
    for url in told.get("urls") or ():
        if not sender.add(url):
            # The URL may hold a secret, so the message does not quote it.
            print("one of the Apprise URLs is not understood", file=sys.stderr)
            return 1
    title = f"harnex: {told.get('id')} ({told.get('cli')}): {told.get('kind')}"
    return 0 if sender.notify(title=title, body=str(told.get("text"))) else 1

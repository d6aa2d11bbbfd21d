"""What a new session finds: the program, its environment, and who starts it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

from harnex.agents import catalogue
from harnex.errors import HarnexError
from harnex.model.records import Spawner

SPAWNER_CHARS = 200  # characters that are kept of each of the spawner's names
OWN_VARIABLES = ("HARNEX_ID", "HARNEX_RUN_ID", "HARNEX_CLI", "HARNEX_SPAWNER_PANE")
# The variable APART marks processes that outlive the session in which harnex was called:
# supervisors, rehearsal endpoints, notifications, tmux servers. The sweep of an outer session
# leaves them and their descendants alone.
APART = "HARNEX_APART"


def clean_env() -> dict[str, str]:
    """Return our environment without the marks of a harnex session that we may be running in."""
    return {k: v for k, v in os.environ.items() if k not in (*OWN_VARIABLES, APART)}


def apart_env(what: str) -> dict[str, str]:
    """Return our environment for a process that outlives the session that we may be running in.

    `what` names the kind of process.
    """
    return {**clean_env(), APART: what}


def apply_env(env: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**env, **{k: v for k, v in changes.items() if v is not None}}
    return {k: v for k, v in merged.items() if changes.get(k, v) is not None}


def resolve(command: str, env: Mapping[str, str], cwd: str) -> str:
    """Return the program's absolute path. Raises HarnexError if it is missing or not executable."""
    adapter_name = catalogue.name_for(command)
    if adapter_name == "demo" and "/" not in command:
        return sys.executable
    if "/" in command:
        path = os.path.normpath(os.path.join(cwd, os.path.expanduser(command)))
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        why = "is not executable" if os.path.exists(path) else "is not there"
        raise HarnexError(f"can't run {command}: {path} {why}", "check the path")
    found = shutil.which(command, path=env.get("PATH"))
    if found is not None:
        return os.path.abspath(found)
    hint = "agents that harnex knows: " + ", ".join(catalogue.agents()) + "; any other command on the PATH works too"
    if package := catalogue.kind(adapter_name).npm:
        hint = f"install it: npm install -g {package}"
    raise HarnexError(f"can't run {command}: there is no such command on the PATH", hint)


def spawner() -> Spawner | None:
    """Return who starts this session (another session, a tmux pane), or None."""

    def value(name: str) -> str | None:
        return os.environ[name][:SPAWNER_CHARS] if name in os.environ else None

    found: Spawner = {"id": value("HARNEX_ID"), "run_id": value("HARNEX_RUN_ID"), "pane": value("TMUX_PANE")}
    return found if any(found.values()) else None

"""What `run` and `exec` share: the options of a new session, and their values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from harnex.commands._types import SECONDS
from harnex.commands.send import as_typed
from harnex.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def start_options(permissions: str) -> Callable[[F], F]:
    """Decorator: add the start options.

    `permissions` is the help text of `--permissions`, whose meaning differs.
    """
    options = (
        click.option("--id", "session_id", metavar="ID", help="Name of the session (default: two random words)."),
        click.option("--description", default="", metavar="TEXT", help="What it is for; shown by status and history."),
        click.option("--detach", is_flag=True, help="Start it, print one JSON line and return."),
        click.option("--permissions", type=click.Choice(["ask", "auto", "bypass"]), default="ask", show_default=True, help=permissions),
        click.option("--trust", is_flag=True, help="Trust this working directory, as the CLI's trust dialog would, also outside of git."),
        click.option("--meta", metavar="JSON", help="An object to keep with the run's records."),
        click.option("--summary-out", metavar="F", help="Write the run's record (one JSON object) to this file when it ends."),
        click.option("--credential-env", metavar="NAME", help="Give the agent a private home with the credential in this variable."),
        click.option("--credential-file", metavar="F", help="The same with a credential from a file: a key, or the CLI's own login file."),
        click.option("--timeout", type=SECONDS, metavar="DURATION", help="End the session after this long; exit code 124."),
        click.option("--keep", multiple=True, metavar="NAME", help="Let processes of this name (a pattern: 'redis*') live on when the session ends (several times)."),
        click.option("--env", multiple=True, metavar="K=V", help="A variable for the agent (several times)."),
        click.option("--cwd", metavar="DIR", help="Where the agent works (default: here)."),
        click.option("--rehearse", metavar="F", help="Run the real CLI against a scripted model on loopback: nothing is billed."),
        click.option("--cli-version", metavar="V", help="Take the CLI for this version instead of asking it."),
    )  # fmt: skip

    def add(f: F) -> F:
        for option in reversed(options):
            f = option(f)
        return f

    return add


def start_words(o: dict[str, Any]) -> dict[str, Any]:
    """Return the options' values under the names of `launch/options.RunOptions`.

    Raises UsageError.
    """
    from harnex.launch.lease import read_credential

    if o["timeout"] == 0:
        raise UsageError("--timeout 0 would end the session at once", "leave it out for no limit")
    if not all(pattern.strip() for pattern in o["keep"]):
        raise UsageError("--keep names no process", "--keep redis-server, --keep 'node*'")
    return {
        "cli": o["cli"],
        "id": o["session_id"],
        "cwd": o["cwd"],
        "description": as_typed(o["description"]),
        "meta": read_meta(o["meta"]),
        "env": read_env(o["env"]),
        "timeout": o["timeout"],
        "keep": tuple(o["keep"]),
        "permissions": o["permissions"],
        "trust": o["trust"],
        "rehearse": o["rehearse"],
        "version": o["cli_version"],
        "credential": read_credential(o["credential_env"], o["credential_file"]),
        "summary_out": o["summary_out"],
    }


def read_meta(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        meta = json.loads(text)
    except ValueError as e:
        raise UsageError(f"--meta is not JSON: {e}") from None
    if not isinstance(meta, dict):
        raise UsageError("--meta must be a JSON object", """for example: --meta '{"issue": 12}'""")
    return meta


def read_env(pairs: tuple[str, ...]) -> dict[str, str]:
    env = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or "\0" in pair:
            raise UsageError(f"--env '{pair}' is not K=V")
        env[name] = value
    return env

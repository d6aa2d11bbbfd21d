"""The watch options that `run` and `watch` share, and how they combine
with the configuration files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click

from harnex import config, paths
from harnex.commands._types import SECONDS
from harnex.errors import UsageError
from harnex.watch.policy import DEFAULT, Policy, choose, next_time, tightened

F = TypeVar("F", bound=Callable[..., Any])

CARING = ("preset", "stall_after", "max_resumes", "nudge_text")
LIMITING = (
    "turn_timeout", "deadline", "max_tokens", "max_cost", "max_calls", "max_turns", "verify", "verify_max",
    "verify_timeout", "done_when", "notify_cmd",
)  # fmt: skip
COUNT = click.IntRange(min=1)


def policy_options(f: F) -> F:
    """Decorator: add the watch options to a command."""
    for option in reversed(
        (
            click.option("--preset", metavar="NAME", help="impl (stall 8m, 1 resume; the default), plan (3m, 2), gate (15m, 0), or your own."),
            click.option("--stall-after", type=SECONDS, metavar="DUR", help="A turn without output or progress for this long stands still."),
            click.option("--max-resumes", type=click.IntRange(min=0), metavar="N", help="How often it is nudged, or restarted after a crash."),
            click.option("--nudge-text", metavar="TEXT", help="What is said to an agent that stands still."),
            click.option("--turn-timeout", type=SECONDS, metavar="DUR", help="End the session when a turn takes longer; exit code 124."),
            click.option("--deadline", metavar="TIME", help="End it then (07:00: the next such local time; or ISO-8601); exit code 124."),
            click.option("--max-tokens", type=COUNT, metavar="N", help="End it when its calls used so many tokens; exit code 5."),
            click.option("--max-cost", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="The same for US dollars."),
            click.option("--max-calls", type=COUNT, metavar="N", help="The same for model calls."),
            click.option("--max-turns", type=COUNT, metavar="N", help="The same for turns."),
            click.option("--auto-stop", is_flag=True, help="End the session when the task is complete."),
            click.option("--background-wait", type=SECONDS, metavar="DUR", help="How long what the agent left running is waited for before its task is judged (default: 10m; 0: not at all)."),
            click.option("--verify", metavar="CMD", help="After a turn run this; what it prints goes to the agent if it fails."),
            click.option("--verify-max", type=click.IntRange(min=0), metavar="N", help="How often that is done (default: 3); then the run fails."),
            click.option("--verify-timeout", type=SECONDS, metavar="DUR", help="How long a check may take (default: 30m)."),
            click.option("--done-when", metavar="CMD", help="The task is complete only when this succeeds."),
            click.option("--notify-cmd", metavar="CMD", help="Run this, with JSON on its input, when a person is needed, at a limit, at the end."),
            click.option("--notify-url", multiple=True, metavar="URL", help="The same by Apprise (needs harnex[notify]; several times)."),
        )
    ):  # fmt: skip
        f = option(f)
    return f


def read_policy(
    o: Mapping[str, Any], repo: str | None, watching: bool, cli: str | None
) -> tuple[Policy | None, list[str]]:
    """Combine the options and the configuration files into a watch policy.

    Returns (policy, notes). The policy is None if no option asks for one. The notes are sentences:
    what was left out of the files, and why.

    `watching`: the user asked for a watch by name. `cli`: the agent's name, None if
    unknown. Raises UsageError.
    """
    care = watching or any(o[name] is not None for name in CARING)
    if not care and not o["auto_stop"] and not o["notify_url"] and all(o[name] is None for name in LIMITING):
        if o["background_wait"] is not None:
            raise UsageError("--background-wait says how long a watch waits", "add --auto-stop or --watch")
        return None, []
    files = config.load(repo)
    values: dict[str, Any] = {"care": care}
    left: list[str] = []
    if care:
        preset, keys = read_preset(o["preset"], files)
        values |= preset
        left = [f"{key} (presets.{preset['preset']})" for key in keys if not o.get(key)]
    for name in (*CARING[1:], *LIMITING, "background_wait"):
        if o[name] is not None:
            values[name] = o[name]
    for name in ("nudge_text", "verify", "done_when", "notify_cmd"):
        if name in values and not str(values[name]).strip():
            raise UsageError(f"--{name.replace('_', '-')} is empty")
    for name in ("stall_after", "turn_timeout", "verify_timeout"):
        if values.get(name) == 0:
            raise UsageError(f"--{name.replace('_', '-')} 0 would end everything at once", "leave it out")
    values["auto_stop"] = o["auto_stop"] or values.get("auto_stop", False)
    if o["deadline"] is not None:
        values["deadline"] = read_deadline(o["deadline"])
    left += _add_notify(values, o, files)
    policy = Policy.load(values)
    _possible(policy, cli)
    return policy, [*files.notes, *left_out(files, left)]


def read_preset(asked: str | None, files: config.Config) -> tuple[dict[str, Any], list[str]]:
    """Return (values of the preset, keys that wait for consent).

    `asked` is the preset's name, or None for the default preset. Raises UsageError; also if the
    named preset stands in a file that is not trusted.
    """
    name, left = asked or DEFAULT, list[str]()
    trusted = [(s.path, s.values) for s in files.sections("presets") if s.trusted]
    # The repository's file.
    own = next((s for s in files.sections("presets") if not s.trusted), None)
    bounds: dict[str, Any] = {}
    if own is not None:
        try:
            bounds, left = tightened({}, name, own.values)
        except ValueError as e:
            raise UsageError(f"{own.path}: {e}", "mend it") from None
        if asked is not None and name in own.values:
            raise UsageError(
                f"the preset '{name}' is in {paths.printable(own.path)}, which is not trusted",
                config.how_to_trust(own.path),
            )
    try:
        values = choose(name, trusted)
    except ValueError as e:
        raise UsageError(str(e), "; ".join(files.notes) or "see: harnex guide, or: harnex watch --help") from None
    values, _ = tightened(values, name, {name: bounds})
    return values, left


def left_out(files: config.Config, left: list[str]) -> list[str]:
    """Return one sentence that says which keys of the repository's file are ignored, or []."""
    if not left or files.repo is None:
        return []
    path = files.repo.path
    return [f"{paths.printable(path)} is not trusted, left out: {', '.join(left)}; {config.how_to_trust(path)}"]


def read_deadline(text: str) -> float:
    now = datetime.now().astimezone()
    try:
        at = next_time(text, now)
    except ValueError:
        raise UsageError(f"--deadline: '{text}' is not a time", "07:00, or 2026-11-21T07:00") from None
    if at <= now:
        raise UsageError(f"--deadline: {text} is over", "07:00 means the next one")
    return at.timestamp()


def read_notify(section: config.Section) -> dict[str, Any]:
    """Check and return the `[notify]` section of one file. Raises UsageError."""
    for key, value in section.values.items():
        if key not in ("cmd", "urls"):
            raise UsageError(f"{section.path}: [notify] {key}: unknown key", "keys: cmd, urls")
        right = isinstance(value, str) if key == "cmd" else isinstance(value, list)
        if not right or not value or (key == "urls" and not all(isinstance(url, str) for url in value)):
            wanted = "a command" if key == "cmd" else "a list of URLs"
            raise UsageError(f"{section.path}: [notify] {key}: {value!r} is not {wanted}")
    return section.values


def _add_notify(values: dict[str, Any], o: Mapping[str, Any], files: config.Config) -> list[str]:
    """Add `cmd` and `urls` of `[notify]` to `values`; the command line takes precedence.

    Returns the keys that wait for consent.
    """
    found: dict[str, Any] = {}
    left: list[str] = []
    for section in files.sections("notify"):
        given = read_notify(section)
        if section.trusted:
            found |= given
        else:
            said = {"cmd": o["notify_cmd"], "urls": o["notify_url"]}
            left += [f"{key} (notify)" for key in given if not said[key]]
    if values.get("notify_cmd") is None and "cmd" in found:
        values["notify_cmd"] = found["cmd"]
    values["notify_urls"] = tuple(o["notify_url"]) or tuple(found.get("urls", ()))
    if values["notify_urls"]:
        from importlib.util import find_spec

        if find_spec("apprise") is None:
            raise UsageError("notification URLs need Apprise, which is not installed", "pip install 'harnex[notify]'")
    return left


def _possible(policy: Policy, cli: str | None) -> None:
    """Refuse a limit that harnex can't enforce, instead of ignoring it. Raises UsageError."""
    from harnex.agents.catalogue import name_for

    if policy.limits_calls and cli is not None and name_for(cli) == "generic":
        raise UsageError(
            f"harnex can't see the model calls of {cli}: --max-tokens, --max-cost and --max-calls can't be kept",
            "limit it by --deadline or --timeout",
        )
    if policy.max_cost is not None:
        from harnex.usage.prices import available

        if not available():
            raise UsageError("--max-cost needs a price list, which is not installed", "pip install 'harnex[usage]'")

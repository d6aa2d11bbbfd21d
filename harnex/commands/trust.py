"""`harnex trust`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from harnex import config, errors, jsonl, paths, times, trust
from harnex.commands._policy import read_notify
from harnex.commands._table import Column, lines, terminal_width
from harnex.errors import HarnexError, NotFound, UsageError
from harnex.watch.policy import HARMLESS, tightened

NOTHING = "nothing that waits for consent: limits and [redact] count in any case"


@click.command(
    "trust",
    epilog="Examples:\n\n  harnex trust --show; harnex trust\n\n  harnex trust ~/work/project --revoke",
)
@click.argument("path", required=False, metavar="[PATH]")
@click.option("--show", is_flag=True, help="Only say what the file would run, and whether it is trusted.")
@click.option("--revoke", is_flag=True, help="Forget every consent for this file.")
@click.option("--list", "as_list", is_flag=True, help="All consents.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; with --list an array.")
def command(path: str | None, show: bool, revoke: bool, as_list: bool, as_json: bool) -> int:
    """Let the .harnex.toml of a repository (default: this one) say what is run here.

    What waits for this consent: presets (verify, done_when, notify_cmd, nudge_text, all but limits) and [notify]. It
    holds for exactly this content at this place: a change needs it again. What a command of the file runs in turn (a
    Makefile) is not looked at. It is a person's to give: in a session of an agent it is refused (exit code 4).
    """
    if sum((show, revoke, as_list)) > 1 or (as_list and path is not None):
        raise UsageError("--show, --revoke and --list [without PATH] contradict each other", "see: harnex trust --help")
    if as_list:
        return print_list(as_json)
    file = file_of(path)
    if revoke:
        count = trust.revoke(file)
        words = (
            f"{paths.printable(file)} is not trusted any more" if count else f"{paths.printable(file)} was not trusted"
        )
        return tell({"ok": True, "path": file, "trusted": False, "revoked": count}, words, [], as_json)
    found = read(file)
    commands = list(waiting(found))
    reply: dict[str, Any] = {"ok": True, "path": file, "sha256": trust.content_hash(found.data)}
    if show:
        trusted = trust.given(file, found.data)
        reply |= {"trusted": trusted, "commands": commands}
        return tell(reply, f"{paths.printable(file)} is {'' if trusted else 'not '}trusted", commands, as_json)
    if os.environ.get("HARNEX_RUN_ID"):
        raise HarnexError(
            f"{paths.printable(file)} can't be trusted from inside of a session: that is for a person",
            f"ask your person to run: {config.how_to_trust(file).partition(': ')[2]}",
            errors.PERSON_NEEDED,
        )
    consent = trust.give(file, found.data, _without_secrets(file))
    reply |= {"trusted": True, "trusted_at": consent.trusted_at, "commands": commands}
    return tell(reply, f"{paths.printable(file)} is trusted as it is now", commands, as_json)


def _without_secrets(file: str) -> str:
    from harnex.redaction import rules

    return rules.redactor(rules.load_quietly(os.path.dirname(file)), os.environ).path(file)


def file_of(path: str | None) -> str:
    """Return the path of the file at the top of the repository that contains `path`.

    Raises UsageError or NotFound.
    """
    where = os.path.abspath(os.path.expanduser(path)) if path is not None else None
    if where is not None and os.path.basename(where) == config.REPO_FILE:
        where = os.path.dirname(where)
        if paths.repo_root(where) != os.path.realpath(where):
            raise UsageError(
                f"{paths.printable(path or '')} is not read by harnex",
                f"it reads the one at the top: {paths.printable(config.repo_file(paths.repo_root(where)))}",
            )
    elif where is not None and not os.path.isdir(where):
        raise NotFound(f"there is no folder {paths.printable(where)}", "name a repository, or leave PATH out")
    return config.repo_file(paths.repo_root(where) if where is not None else paths.here())


def read(file: str) -> config.File:
    """Return the file as it is now.

    Raises NotFound, or HarnexError that says why the file is not used.
    """
    found, problem = config.read(file)
    if problem:
        raise HarnexError(
            f"{paths.printable(file)} is not used: {paths.printable(problem)}",
            "mend its owner and mode (chown, chmod go-w)",
        )
    if found is None:
        raise NotFound(f"there is no {paths.printable(file)}", "nothing of this repository waits for consent")
    return found


def waiting(file: config.File) -> Iterator[dict[str, str]]:
    """Yield each entry of the file that waits for consent: section, key, value. Lazy.

    Raises UsageError for a mistake in the file.
    """
    files = config.Config(repo=file)
    for section in files.sections("presets"):
        for name, keys in section.values.items():
            try:
                tightened({}, name, section.values)
            except ValueError as e:
                raise UsageError(f"{file.path}: {e}", "mend it") from None
            for key, value in keys.items():
                if key.replace("-", "_") not in HARMLESS:
                    yield {"section": f"presets.{name}", "key": key, "value": words(value)}
    for section in files.sections("notify"):
        for key, value in read_notify(section).items():
            shown = (
                [str(url).partition(":")[0] + ":…" for url in value] if key == "urls" else value
            )  # URLs may hold secrets
            yield {"section": "notify", "key": key, "value": words(shown)}


def words(value: object) -> str:
    """Return a value as TOML writes it, so that no character moves the cursor or hides."""
    return json.dumps(value) if not isinstance(value, str) or not value.isprintable() else value


def tell(reply: dict[str, Any], said: str, commands: list[dict[str, str]], as_json: bool) -> int:
    if as_json:
        sys.stdout.write(jsonl.dumps(reply) + "\n")
        return errors.DONE
    print(said)
    for row in commands:
        print(f"  [{paths.printable(row['section'])}] {row['key']} = {row['value']}")
    if "commands" in reply and not commands:
        print(f"  {NOTHING}")
    return errors.DONE


def print_list(as_json: bool) -> int:
    rows = [
        {"path": c.path, "sha256": c.sha256, "trusted_at": c.trusted_at, "state": state_of(c)} for c in trust.consents()
    ]
    if as_json:
        sys.stdout.write(jsonl.dumps(rows) + "\n")
        return errors.DONE
    if not rows:
        print("nothing is trusted", file=sys.stderr)
        return errors.DONE
    columns = (Column("FILE", keep=9, elastic=True), Column("CONTENT"), Column("TRUSTED"), Column("NOW", keep=8))
    cells = [(r["path"], r["sha256"][:12], local(r["trusted_at"]), r["state"]) for r in rows]
    print("\n".join(lines(columns, cells, terminal_width())))
    return errors.DONE


def local(stamp: str) -> str:
    try:
        return datetime.fromtimestamp(times.parse_iso(stamp)).astimezone().isoformat(timespec="minutes")
    except ValueError:
        return stamp


def state_of(consent: trust.Consent) -> str:
    """Return the state of a consent.

    - `current`: the file still has this content.
    - `changed`: its content differs.
    - `missing`: there is no file.
    - `unsafe`: the file is not used, even if trusted.
    """
    try:
        found, problem = config.read(consent.path)
    except HarnexError:
        return "changed"
    if found is None:
        return "unsafe" if problem else "missing"
    return "current" if trust.content_hash(found.data) == consent.sha256 else "changed"

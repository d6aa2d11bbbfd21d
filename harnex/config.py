"""The two configuration files: the user's `config.toml`, and `.harnex.toml` at the top of a repository.

A file holds sections (`SECTIONS`); whoever owns a section checks its values and names the file in its errors.
The repository's file is read after the user's: where they say the same key, it wins.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from harnex.errors import UsageError

REPO_FILE = ".harnex.toml"
SECTIONS = {
    "presets": "watch policies by name: [presets.NAME]",
    "redact": "more secrets to keep out of every file",
    "notify": "who is told when a person is needed, when a run ends or hits a limit",
}


@dataclass(frozen=True)
class Section:
    """One section of one file, as TOML gives it. `path` is for errors."""

    path: str
    values: dict[str, Any]


def user_file() -> str:
    """`$XDG_CONFIG_HOME/harnex/config.toml`, else `~/.config/harnex/config.toml`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    if not base or not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "harnex", "config.toml")


def sections(name: str, repo: str | None) -> list[Section]:
    """The section of that name in the user's file and in the repository's, as far as they are there, in this order.

    Raises UsageError for a file that can't be read, is no TOML, or has sections that nobody knows.
    """
    assert name in SECTIONS, name
    paths = [user_file()] + ([os.path.join(repo, REPO_FILE)] if repo else [])
    found = []
    for path in paths:
        table = _read(path)
        if table is None or name not in table:
            continue
        if not isinstance(table[name], dict):
            raise UsageError(f"{path}: '{name}' is not a table", f"write it as [{name}]")
        found.append(Section(path, table[name]))
    return found


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as f:
            data = f.read()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise UsageError(f"can't read {path}: {e.strerror}", "mend its mode, or take it away") from None
    import tomllib

    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UsageError(f"{path} is not TOML: {e}", "mend it, or take it away") from None
    strangers = sorted(set(table) - set(SECTIONS))
    if strangers:
        known = ", ".join(f"[{s}]" for s in SECTIONS)
        raise UsageError(f"{path}: unknown section '{strangers[0]}'", f"sections: {known}")
    return table

"""The two configuration files: the user's `config.toml`, and `.harnex.toml` at the top of a
repository.

A file holds sections (`SECTIONS`). The code that owns a section checks its values, and names the
file in its errors. The repository's file is read after the user's: where both have the same key,
the repository's value wins.

A file that others can change is not used (`ownership.py`): the user's file is then an error, the
repository's file is left out and `Config.notes` says so. The repository's file may come from
anybody, so its content is trusted only after `harnex trust` (`trust.py`). Each file is read once:
the bytes that are checked are the bytes that are used.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass, field
from typing import Any

from harnex import ownership, paths, trust
from harnex.errors import UsageError

REPO_FILE = ".harnex.toml"
SECTIONS = {
    "presets": "watch policies by name: [presets.NAME]",
    "redact": "more secrets to keep out of every file",
    "notify": "who is told when a person is needed, when a run ends or hits a limit",
}
SIZE_MAX = 1 << 20


@dataclass(frozen=True)
class Section:
    """One section of one file, as TOML gives it.

    `path` is for errors. `trusted`: the section may say what is run.
    """

    path: str
    values: dict[str, Any]
    trusted: bool = True


@dataclass(frozen=True)
class File:
    """One file as it was read."""

    path: str
    data: bytes
    table: dict[str, Any]


@dataclass(frozen=True)
class Config:
    """Both files, as far as they exist.

    `trusted` is about the repository's file. `notes` say for people what was left out.
    """

    user: File | None = None
    repo: File | None = None
    trusted: bool = False
    notes: list[str] = field(default_factory=list)

    def sections(self, name: str) -> list[Section]:
        """The section of that name in the user's file and in the repository's, in this order.

        Raises UsageError.
        """
        assert name in SECTIONS, name
        found = []
        for file, trusted in ((self.user, True), (self.repo, self.trusted)):
            if file is None or name not in file.table:
                continue
            if not isinstance(file.table[name], dict):
                raise UsageError(f"{file.path}: '{name}' is not a table", f"write it as [{name}]")
            found.append(Section(file.path, file.table[name], trusted))
        return found


def user_file() -> str:
    """`$XDG_CONFIG_HOME/harnex/config.toml`, or `~/.config/harnex/config.toml`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    if not base or not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "harnex", "config.toml")


def repo_file(repo: str) -> str:
    return os.path.join(repo, REPO_FILE)


def load(repo: str | None) -> Config:
    """Read both files.

    Raises UsageError for a file that can't be read, is no TOML, or has an unknown section.
    """
    user, problem = read(user_file())
    if problem:
        raise UsageError(f"{user_file()} is not used: {problem}", "mend its owner and mode (chown, chmod go-w)")
    if not repo:
        return Config(user)
    path = repo_file(repo)
    file, problem = read(path)
    notes = [f"{path} is not used: {problem}"] if problem else []
    return Config(user, file, file is not None and trust.given(path, file.data), notes)


def read(path: str) -> tuple[File | None, str]:
    """(file, ""), or (None, why the file is not used); (None, "") if there is no file.

    Raises UsageError.
    """
    try:
        problem = ownership.problem(os.path.abspath(path))
        if problem:
            return None, problem
        # Does not wait for the writer of a FIFO.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as f:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise UsageError(f"can't read {path}: it is no file", "take it away")
            if info.st_uid not in (os.geteuid(), 0):
                # Replaced just now.
                return None, f"{path} belongs to another user (uid {info.st_uid})"
            data = f.read(SIZE_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except OSError as e:
        raise UsageError(f"can't read {path}: {e.strerror}", "mend its mode, or take it away") from None
    if len(data) > SIZE_MAX:
        raise UsageError(f"can't read {path}: it is larger than 1 MiB", "mend it, or take it away")
    return File(path, data, _parsed(path, data)), ""


def _parsed(path: str, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as e:
        raise UsageError(f"{path} is not TOML: {e}", "mend it, or take it away") from None
    strangers = sorted(set(table) - set(SECTIONS))
    if strangers:
        known = ", ".join(f"[{s}]" for s in SECTIONS)
        raise UsageError(f"{path}: unknown section '{strangers[0]}'", f"sections: {known}")
    return table


def how_to_trust(path: str) -> str:
    """The hint that is shown wherever part of an untrusted file was left out."""
    return f"look at it, then: harnex trust {shlex.quote(paths.printable(os.path.dirname(path)))}"

"""Consent to a repository's `.harnex.toml`: a person said `harnex trust` to exactly this content at
exactly this place.

Each consent is one file in `trust/` of the state directory. Its name is a hash of the file's path
and bytes, so that no other content, and no other folder, can use it. A repository that holds the
state directory itself can't be trusted: a process that works in that repository could write the
consent.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass

from harnex import clock, paths
from harnex.errors import HarnexError


@dataclass(frozen=True)
class Consent:
    """One consent.

    `path` is the trusted file, for people; `place` is the hash of that path, because a path with a
    secret is not kept as it is. `sha256` is the hash of the content. `file` is where the consent is
    kept.
    """

    path: str
    place: str
    sha256: str
    trusted_at: str
    file: str


def content_hash(data: bytes) -> str:
    """The SHA-256 of the bytes, as hex digits."""
    from hashlib import sha256

    return sha256(data).hexdigest()


def _name(path: str, data: bytes) -> str:
    return content_hash(b"harnex-trust-1\0" + os.fsencode(path) + b"\0" + data) + ".json"


def given(path: str, data: bytes) -> bool:
    """Whether this content was trusted at this place.

    Raises HarnexError if the state directory is not private.
    """
    if within(path):
        return False
    try:
        info = os.lstat(os.path.join(paths.state_dir(), "trust", _name(path, data)))
    except OSError:
        return False
    return stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022


def within(path: str) -> bool:
    """Whether consents would be kept inside the folder of this file."""
    folder, state = os.path.realpath(os.path.dirname(path)), os.path.realpath(paths.state_dir())
    return state == folder or state.startswith(os.path.join(folder, ""))


def _place(path: str) -> str:
    return content_hash(os.fsencode(path))


def give(path: str, data: bytes, shown: str | None = None) -> Consent:
    """Keep the consent. Raises HarnexError if it can't be kept.

    `shown` is the path without secrets, if the path has some.
    """
    state = paths.state_dir()
    if within(path):
        raise HarnexError(
            f"{path} can't be trusted: the state directory {state} is inside of its folder",
            "set HARNEX_STATE_DIR to a directory outside of the repository",
        )
    file = os.path.join(paths.subdir(state, "trust"), _name(path, data))
    row = {"path": shown or path, "place": _place(path), "sha256": content_hash(data), "trusted_at": clock.stamp()}
    half = f"{file}.{os.getpid()}.tmp"
    try:
        fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as f:
            json.dump(row, f)
        os.replace(half, file)
    except OSError as e:
        raise HarnexError(f"can't write {file}: {e.strerror}", "see: harnex doctor") from None
    return Consent(row["path"], row["place"], row["sha256"], row["trusted_at"], file)


def consents() -> list[Consent]:
    """All consents, sorted by path."""
    folder = os.path.join(paths.state_dir(), "trust")
    found = []
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    for name in names:
        if name.endswith(".json"):
            try:
                with open(os.path.join(folder, name), encoding="ascii") as f:
                    row = json.load(f)
                path, content, at = (str(row[key]) for key in ("path", "sha256", "trusted_at"))
                place = str(row.get("place") or _place(path))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # half written, or not a consent
            found.append(Consent(path, place, content, at, os.path.join(folder, name)))
    return sorted(found, key=lambda c: (c.path, c.trusted_at))


def revoke(path: str) -> int:
    """Forget every consent for this place; return how many there were. Raises HarnexError."""
    count = 0
    for consent in consents():
        if consent.place == _place(path):
            try:
                os.unlink(consent.file)
            except FileNotFoundError:
                continue
            except OSError as e:
                raise HarnexError(f"can't remove {consent.file}: {e.strerror}", "see: harnex doctor") from None
            count += 1
    return count

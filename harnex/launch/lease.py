"""A leased credential: a private configuration home for one run, removed however the run ends.

The adapter says what the home must hold (`Adapter.lease`). The supervisor writes the home after the
run has its registry entry, so that whoever finds the entry later (`recover.py`) removes the home.
What the agent recorded of the conversation stays (`logs`); everything else is removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from typing import Any

from harnex.agents import catalogue
from harnex.agents.contract import Credential, Lease
from harnex.errors import HarnexError, UsageError
from harnex.redaction.shapes import file_values

NAME = "lease"
MAX_BYTES = 1 << 20


def read_credential(env_name: str | None, path: str | None) -> Credential | None:
    """Return the credential that `--credential-env` or `--credential-file` names.

    Raises UsageError.
    """
    if env_name is not None and path is not None:
        raise UsageError("--credential-env and --credential-file contradict each other")
    if env_name is not None:
        if "=" in env_name or not env_name:
            raise UsageError("--credential-env takes the name of a variable", "for example: --credential-env WORK_KEY")
        text = os.environ.get(env_name, "").strip()
        if not text:
            raise UsageError(f"--credential-env: the variable {env_name} is not set", f"export {env_name}=...")
        return Credential(env_name, text, False)
    if path is None:
        return None
    try:
        with open(os.path.expanduser(path), "rb") as f:
            data = f.read(MAX_BYTES + 1)
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UsageError(f"--credential-file {path} is not text") from None
    except OSError as e:
        raise UsageError(f"--credential-file: can't read {path}: {e.strerror}") from None
    if not text or len(data) > MAX_BYTES:
        raise UsageError(f"--credential-file {path} is {'too large' if text else 'empty'}")
    return Credential(os.path.basename(path), text, True)


def home_of(run_dir: str) -> str:
    return os.path.join(run_dir, NAME)


def secrets_of(credential: Credential) -> list[str]:
    """Return the secrets of a credential, for the redactor."""
    return sorted({credential.text, *file_values(credential.text)} if credential.is_file else {credential.text})


def for_spec(home: str, lease: Lease, credential: Credential) -> dict[str, Any]:
    """Return the part of the spec that tells the supervisor where the home is, what
    it holds, and what stays."""
    return {
        "home": home,
        "files": dict(lease.files),
        "logs": list(lease.logs),
        "secrets": secrets_of(credential),
    }


def write(lease: dict[str, Any] | None) -> None:
    """Make the home. Raises HarnexError."""
    if lease is None:
        return
    try:
        os.mkdir(lease["home"], 0o700)
        for path, content in lease["files"].items():
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as f:
                f.write(content)
    except OSError as e:
        raise HarnexError(
            f"can't make the private home for the credential: {e.strerror}: {e.filename or ''}",
            "see: harnex doctor",
        ) from None


def left_behind(run_dir: str, adapter: str) -> set[str]:
    """Return the credentials in a home that was not removed, to find copies of them elsewhere.

    `adapter` is the run's, "" if its start is unknown.
    """
    found: set[str] = set()
    for name in (name for kind in catalogue.built_in_and(adapter) for name in kind.credential_files):
        with contextlib.suppress(OSError, UnicodeDecodeError), open(os.path.join(home_of(run_dir), name), "rb") as f:
            text = f.read(MAX_BYTES).decode("utf-8").strip()
            found |= {text, *file_values(text)}
    return found


def remove(run_dir: str, logs: Sequence[str]) -> bool:
    """Remove the home, but for `logs` (names of directories at its top).

    Returns False if anything else is left.
    """
    home = home_of(run_dir)
    if os.path.islink(home):
        return False
    try:
        names = os.listdir(home)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    # Remove files before directories: the credential is a file, and is gone at once however
    # large the directories are.
    whole = True
    for directories in (False, True):
        for name in names:
            path = os.path.join(home, name)
            is_directory = os.path.isdir(path) and not os.path.islink(path)
            if is_directory != directories or (is_directory and name in logs):
                continue
            try:
                if is_directory:
                    shutil.rmtree(path)
                else:
                    os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError:
                whole = False
    if not any(name in logs for name in names):
        shutil.rmtree(home, ignore_errors=True)
    return whole

"""Files that an adapter asks for: written with private modes, and read as
they will be when written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from harnex.errors import HarnexError


def private_parents(directory: str) -> None:
    """Make a directory and its missing parents, 0700 each.

    (`makedirs` sets the mode of the last one only.)
    """
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for path in reversed(missing):
        os.mkdir(path, 0o700)


def write_files(files: Mapping[str, str]) -> None:
    """Write files that an adapter asked for: files 0600, directories 0700. Raises HarnexError."""
    for path, content in files.items():
        try:
            private_parents(os.path.dirname(path))
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            # A path need not be UTF-8; bytes that are not become escapes in JSON.
            with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as f:
                f.write(content)
        except OSError as e:
            raise HarnexError(f"can't write {path}: {e.strerror}", "see: harnex doctor") from None


def reader_in(cwd: str, pending: Mapping[str, str]) -> Callable[[str], str | None]:
    def read_text(path: str) -> str | None:
        path = os.path.join(cwd, os.path.expanduser(path))
        if path in pending:
            return pending[path]
        try:
            with open(path, encoding="utf-8") as f:
                return f.read()
        except (OSError, UnicodeDecodeError):
            return None

    return read_text

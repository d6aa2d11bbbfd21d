"""The golden files on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from tests.golden.text import difference

GOLDEN = Path(__file__).parent
FILES_SHOWN = 4  # a failing test shows the lines of so many differing files


class Part(Protocol):
    """A module that computes some of the golden files."""

    FOLDERS: tuple[str, ...]  # folders below `tests/golden/` that hold nothing else

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield path below `tests/golden/` and text of each file. Lazy."""
        ...


def path_of(name: str) -> Path:
    return GOLDEN / name


def read(name: str) -> str | None:
    """Return the text of a golden file, None if there is no such file."""
    path = path_of(name)
    return path.read_bytes().decode() if path.exists() else None


def golden_names(part: Part) -> set[str]:
    """Return the golden files of a part that exist."""
    found = (path for folder in part.FOLDERS for path in (GOLDEN / folder).rglob("*") if path.is_file())
    return {path.relative_to(GOLDEN).as_posix() for path in found}


def differences(computed: Iterable[tuple[str, str]]) -> str:
    """Return what differs from the golden files, for a person; "" if nothing does."""
    found = {}
    for name, text in computed:
        golden = read(name)
        words = f"{name}: there is no such golden file" if golden is None else difference(name, golden, text)
        if words:
            found[name] = words
    if not found:
        return ""
    more = [*found][FILES_SHOWN:]
    lines = [*list(found.values())[:FILES_SHOWN], *([f"and {len(more)} more files: {', '.join(more)}"] if more else [])]
    return "\n".join([*lines, "If this change is intended: python -m tests.golden, and read the diff."])

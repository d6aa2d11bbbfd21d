"""The order of writes at the end of a run, from the notes of `traced.py`.

It names files, never functions.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

# The class of a file, by its path below the state directory.
CLASSES = (
    (r"sessions/[^/]+\.json", "registry entry"),
    (r"sessions/[^/.]+\.lock", "run lock"),
    (r"history\.jsonl", "history"),
    (r"runs/[^/]+/(.+)", r"run: \1"),
    (r"sock/[^/]+\.sock", "control socket"),
)
# Files that are written again whenever the screen or the state changes: only the last time counts.
REPEATED = ("registry entry: replaced", "run: session.cast: written")


def named(path: str, state: Path) -> str:
    """Return the class of a file.

    "" for a file that does not count (temporary, a terminal, the registry's lock).
    """
    if path.endswith(".summary"):
        return "summary file"
    below = os.path.relpath(path, state) if path.startswith(f"{state}/") else ""
    for pattern, words in CLASSES:
        found = re.fullmatch(pattern, below)
        if found and not below.endswith(".tmp"):
            return re.sub(r"\d{6,}\b.*", "N", found.expand(words))
    return ""


def line_of(what: str, path: str, text: str, state: Path) -> list[str]:
    """Return the lines of one note, mostly one."""
    if what == "said":
        return ["reply to who waits"]
    if what == "rename":
        name, before = named(text, state), named(path, state)
        return [f"{name}: {'renamed from ' + before if before else 'replaced'}"] if name else []
    name = named(path, state)
    if not name or what == "heard":
        return []
    if what == "write" and path.endswith("/events.jsonl"):
        rows = [json.loads(row) for row in text.splitlines()]
        return [f"event {row['type']}" + (f" {row['state']}" if row["type"] == "state" else "") for row in rows]
    done = {"write": "written", "sync": "written through", "remove": "removed", "truncate": "truncated"}[what]
    return [f"{name}: {done}"]


def order(notes: list[list[str]], state: Path) -> list[str]:
    """Return the lines of an end.

    A repeated line stands only at its last place, and several replies in a row are one line.
    """
    lines = [line for _, _, what, path, text in notes for line in line_of(what, path, text, state)]
    for repeated in REPEATED:
        while lines.count(repeated) > 1:
            lines.remove(repeated)
    return [line for line, before in zip(lines, ["", *lines], strict=False) if line != before]


def from_its_first_event(lines: list[str]) -> list[str]:
    """Return the lines without those from the time before the end."""
    first = next((n for n, line in enumerate(lines) if line.startswith("event ")), 0)
    return lines[first:]


def without_its_state(lines: list[str]) -> list[str]:
    """Return the lines without changes of the state, for an agent that ends by itself.

    Its terminal may close, and so change the state, before its process is gone.
    """
    return [line for line in lines if not line.startswith("event state") and line != "registry entry: replaced"]

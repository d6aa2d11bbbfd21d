"""Messages that no agent has taken yet: one private file each in the run's directory,
`inbox/<n>-<message_id>.json`.

The event log holds only the first 200 characters of a message. A file is removed when its message
was taken or taken back, so what a crash leaves is what the next run must deliver (`harnex recover
--resume` moves the directory there). No file holds a secret: a message with a secret is kept
without it, marked `redacted`, and can't be delivered from here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import cast

from harnex import jsonl, paths
from harnex.model.records import KeptMessage
from harnex.store import durable

NAME = "inbox"


def put(
    state: str,
    run_id: str,
    message: KeptMessage,
    redact: Callable[[str], str],
    first: bool = False,
    through: bool = True,
) -> None:
    """Keep a message. A message that is already kept is not changed. Raises OSError (a full disk).

    `first`: before all others. `through`: also through a power cut, because the sender hears that
    the message is kept; that takes milliseconds.
    """
    directory = paths.subdir(state, "runs", run_id, NAME)
    names = _names(directory)
    if any(name.endswith(f"-{message['id']}.json") for name in names):
        return
    # Numbers start at a million: that leaves room for those that are put first. Numbers, not times:
    # clocks jump.
    numbers = [int(name[:10]) for name in names if name[:10].isdecimal()] or [1_000_000]
    path = os.path.join(directory, f"{min(numbers) - 1 if first else max(numbers) + 1:010d}-{message['id']}.json")
    clean = {key: redact(value) if isinstance(value, str) else value for key, value in message.items()}
    kept = {**clean, "redacted": clean["text"] != message["text"]}
    durable.replace(path, jsonl.dumps(kept).encode() + b"\n", through)


def drop(state: str, run_id: str, message_id: str) -> None:
    """Remove a message: it was taken or taken back."""
    directory = os.path.join(paths.run_dir(state, run_id), NAME)
    for name in _names(directory):
        if name.endswith(f"-{message_id}.json"):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))


def rows(state: str, run_id: str) -> list[KeptMessage]:
    """The kept messages, in the order in which they came; files that a crash tore are left out."""
    directory = os.path.join(paths.run_dir(state, run_id), NAME)
    found = []
    for name in _names(directory):
        try:
            with open(os.path.join(directory, name), "rb") as f:
                row = jsonl.loads_dict(f.read())
        except OSError:
            continue
        if row is not None and isinstance(row.get("id"), str) and isinstance(row.get("text"), str | None):
            found.append(cast(KeptMessage, row))
    return found


def _names(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(".json"))
    except OSError:
        return []

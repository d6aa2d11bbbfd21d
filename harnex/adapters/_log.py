"""A CLI's own records of a session that harnex did not run: what a reader of such a file is (`usage --from`).

Pure: rows come in, calls come out. `store.logs` reads the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harnex.model import ModelCall


@dataclass(slots=True)
class Logged:
    """A call as a file tells of it. `at` is the stamp of its last row (ISO-8601 as written, "" if there is none)."""

    call: ModelCall
    at: str
    session: str
    cwd: str
    turn: int | None = None


class Log:
    """Reads one file; made `full`, it tells all that a record can hold (turns, attempts), for which more is read.

    `needles`: a line that has none of these words as they stand, nor letters written as JSON escapes, carries no call
    and needs not be read. `boring`: instead, only lines with this word (and without a needle) needn't.
    The first row of a file is always read; after it these may have changed, since it tells what the file is.
    """

    needles: tuple[bytes, ...] = ()
    boring = b""
    difference: str | None = None  # after `end`: words, if the file's own total is not the sum of its calls
    session = ""
    begun = False  # its first row was read
    turns: list[str] = []  # when the turns of its main conversation began, where that is read

    def row(self, row: dict[str, Any]) -> Iterable[Logged]:
        return ()

    def end(self) -> Iterable[Logged]:
        """The file is over: what is still open."""
        return ()

    def unsettled(self) -> bytes:
        """Words that would decide how a call that is open ended; b"": none is."""
        return b""


def turn_at(starts: list[float], at: str) -> int | None:
    """Which turn (from 1) a time falls into, by the turns' starts; None: before the first, or no time."""
    from bisect import bisect_right

    stamp = seconds(at)
    return (bisect_right(starts, stamp) or None) if stamp is not None else None


def seconds(stamp: object) -> float | None:
    """Epoch seconds of an ISO stamp."""
    try:
        return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None

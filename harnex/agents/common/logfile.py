"""A CLI's own records of a session that harnex did not run: what a reader of such a file is (`usage --from`).

Pure: rows come in, calls come out. `usage.logs` reads the files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from harnex import times
from harnex.model.facts import ModelCall

# Members of an object whose values hold no other: as JSON writes them, with nothing escaped.
PLAIN = rb'(?:"[A-Za-z_]+":(?:"[^"\\\n]*"|null|true|false|-?[0-9.]+),)*?'
# A word could be spelled with escapes of its letters; such a line is parsed.
ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


@dataclass(slots=True)
class Logged:
    """A call as a file tells of it. `at` is the stamp of its last row (ISO-8601 as written, "" if there is none).

    With `rest` it is no call: its output is what the calls of these ids put out together, that do not tell their own
    (`facts.Rest`)."""

    call: ModelCall
    at: str
    session: str
    cwd: str
    turn: int | None = None
    rest: tuple[str, ...] = ()


@dataclass(slots=True)
class Place:
    """What is known of a file before it is read, from its name and from the other files."""

    name: str = ""  # without the folder and what it ends with
    shared: int | None = (
        None  # Codex, a fork: so many counts at its beginning are told by another file; None: not known
    )
    base: dict[str, int] | None = None  # Codex, a fork that tells totals alone: its parent's total where it began
    doubt: str = ""  # words, if that was told by the numbers alone
    threads: Collection[str] = ()  # Codex: those whose rollouts are among the files
    series: dict[str, Any] = field(
        default_factory=dict
    )  # Codex: the totals of threads in all files (`codex/capture.py.Series`)


class Log:
    """Reads one file; made `full`, it tells all that a record can hold (turns, attempts), for which more is read.

    `head` matches the beginning of a line as the CLI writes it, as JSON, up to what kind of row it is (its last group);
    rows of a kind that is not in `wanted` are ones that `row` would ignore, and need not be parsed. A line that it
    does not match has to be. Of `doubtful` kinds `needs` decides by the whole line. Of `noted` kinds that are not wanted
    `note` is called, with where the line stands. The first row of a file is always read; after it these may have changed, since it tells what the file is.
    """

    head: re.Pattern[bytes] | None = None
    wanted: frozenset[bytes] = frozenset()
    doubtful: frozenset[bytes] = frozenset()
    noted: Mapping[bytes, int] = MappingProxyType({})
    begun = False  # its first row was read
    difference: str | None = None  # after `end`: words, if the file's own total is not the sum of its calls
    session = ""
    turns: list[str] = []  # when the turns of its main conversation began, where that is read

    def needs(self, line: bytes) -> bool:
        """Whether a line of a doubtful kind has to be parsed."""
        return True

    def note(self, kind: bytes, piece: bytes, at: int, end: int) -> None:
        """A line of a noted kind."""

    def row(self, row: dict[str, Any]) -> Iterable[Logged]:
        return ()

    def end(self) -> Iterable[Logged]:
        """The file is over: what is still open."""
        return ()


def turn_at(starts: list[float], at: str) -> int | None:
    """Which turn (from 1) a time falls into, by the turns' starts; None: before the first, or no time."""
    from bisect import bisect_right

    stamp = times.seconds(at)
    return (bisect_right(starts, stamp) or None) if stamp is not None else None


def between(since: str, at: str) -> float | None:
    """Seconds between two stamps, None if one is not known or they contradict each other (the clock was set)."""
    begun, ended = times.seconds(since) if since else None, times.seconds(at) if at else None
    return round(ended - begun, 3) if begun is not None and ended is not None and ended >= begun else None


def counted(n: int, what: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{n:,} {what}{'s' * (n != 1)}"

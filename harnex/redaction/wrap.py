"""Screen rows as the text that they show: joined where a word goes on, with the way back to its places. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

ABOVE, BELOW = 2, 24  # rows around a suspect that are looked at with it: what wraps begins before, or goes on after

Place = tuple[int, int]


def join_full(lines: Sequence[str], columns: int, widths: Sequence[int] | None) -> tuple[str, list[Place]]:
    text: list[str] = []
    places: list[Place] = []
    for row, line in enumerate(lines):
        text.append(line)
        places += [(row, column) for column in range(len(line))]
        if (widths[row] if widths else len(line)) < columns:
            text.append("\n")
            places.append((-1, 0))
    return "".join(text), places


_TAIL = re.compile(r"[A-Za-z0-9+/=_.~%\\-]{6,}[\s│┃|║]*$")
_HEAD = re.compile(r"^[\s│┃|║>❯•⎿]*(?:\d{1,5}\s+[+-]?\s*)?(?=[A-Za-z0-9+/=_.~%\\-])")


def join_words(lines: Sequence[str]) -> tuple[str, list[Place]]:
    """Rows joined where the last word may go on in the next row, without the frame and the margin between them."""
    text: list[str] = []
    places: list[Place] = []
    start = 0
    for row, line in enumerate(lines):
        end = len(line)
        tail = _TAIL.search(line)
        following = _HEAD.match(lines[row + 1]) if row + 1 < len(lines) else None
        goes_on = tail is not None and following is not None
        if tail is not None and goes_on:
            end = len(line) - (len(tail[0]) - len(tail[0].rstrip(" \t\xa0│┃|║")))
        text.append(line[start:end])
        places += [(row, column) for column in range(start, end)]
        if goes_on and following is not None:
            start = following.end()
        else:
            text.append("\n")
            places.append((-1, 0))
            start = 0
    return "".join(text), places


_PEM_BODY = re.compile(r"^[\s│┃|║>❯•⎿+\-\d]*?([A-Za-z0-9+/=]{16,})[\s│┃|║]*$")


def pem_rows(lines: Sequence[str]) -> Iterator[Place]:
    """The rows after the head of a private key, with a frame or line numbers before them, as editors show them."""
    inside = False
    for row, line in enumerate(lines):
        if "PRIVATE KEY" in line and "-----BEGIN " in line:
            inside = True
        elif inside:
            body = _PEM_BODY.match(line)
            inside = body is not None
            if body is not None:
                yield from ((row, column) for column in range(*body.span(1)))


def windows(rows: set[int], count: int) -> list[tuple[int, int]]:
    """Ranges of rows around these, merged."""
    return merged([(max(0, row - ABOVE), min(count, row + BELOW)) for row in rows])


def merged(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out

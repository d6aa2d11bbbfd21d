"""Screen rows as the text that they show: joined where a word goes on, with the place of each
character.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# Rows above and below a suspect that are examined with it: a wrapped secret begins before the
# suspect or goes on after.
ABOVE, BELOW = 2, 24

Place = tuple[int, int]


def join_full(lines: Sequence[str], columns: int, widths: Sequence[int] | None) -> tuple[str, list[Place]]:
    """Rows joined where a row is full to the last column, and the place (row, column) of each
    character.

    `widths` are the cells of each row, where they differ from its characters.
    """
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
    """Rows joined where the last word may go on in the next row, and the place (row, column) of
    each character.

    The frame and the margin between such rows are left out.
    """
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
    """The places of the rows after the head of a private key. Lazy.

    Such rows may have a frame or line numbers before them, as editors show them.
    """
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
    """Ranges of rows around these rows, merged."""
    return merged([(max(0, row - ABOVE), min(count, row + BELOW)) for row in rows])


def merged(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in order; spans that overlap become one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out

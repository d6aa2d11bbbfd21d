"""What takes the place of Codex's composer, or stands above it: panels, the status line, a queue of messages.

Pure functions on the lines of a screen. Measured on 0.47 to 0.169, and held against the snapshots of screens in Codex's
own repository (0.42 to 0.147). A panel (`/model`, `/permissions`, `/skills`, `/feedback`, …) replaces the composer and
ends with a line of keys; the composer always has a footer of another kind below it. That line decides, so that
a screen whose cursor is unknown can be read as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# The keys that a panel names in its last paragraph, with what they do there. A composer's footer says other things:
# `tab to queue message`, `esc again to edit previous message`, `ctrl + c again to quit`.
_KEY = r"(?:enter|return|space|esc|tab|any key|ctrl ?\+ ?\w|(?<![\^\w])[a-z]\b|[↑↓←→/ ]*[↑↓←→])"
_DOES = (
    r"(?:confirm|select|submit|accept|toggle|continue|(?:go )?back|close|cancel|clear|save|trust|review|move|"
    r"navigate|customize|choose|resume|fork|start new|edit shortcut|add notes)"
)
_KEYS = re.compile(rf"(?i){_KEY}(?: or {_KEY})?(?: again)?(?: to)? {_DOES}\b")
# The list of files, skills or plugins under a draft, and the search of the history: the composer is there.
_COMPLETION = re.compile(r"(?i)\benter (?:to )?insert\b|^\S*-i-search:")
_SIDE = re.compile(r"\bSide from main thread\b")  # the footer of a side conversation names the keys that leave it
# The menu of a slow request (0.145 on): it needs nobody, and goes when the answer comes.
_CLOSES = re.compile(r"(?i)no action is required\b.{0,80}\bthis menu will close")
_CHOICE = re.compile(r"^\s*[›❯>] (?:\s*\d{1,2}\. \S|\[[ x!]\] \S)")
_NUMBERED = re.compile(r"^\s+(?:[›❯>] )?\d{1,2}\. \S|^\s+\[[ x!]\] \S")
_QUEUED = re.compile(r"^• (?:Queued follow-up|Messages to be submitted|Queued messages?\b)|^\s{1,4}↳ ")
# Alone in the footer while there is a draft and a turn runs (0.104 on); the `?` sheet names it among other keys.
_QUEUE_KEY = re.compile(r"^\s{2}tab to queue(?: message)?(?:\s{2,}| · |$)")
_HEADER = re.compile(r">_ OpenAI Codex\b")
_NOTICE = ("WARNING: ", "⚠ ")
_SPOKEN = ("›", "•", "◦", "■", "─", "✗", "│", "╭")
# `• Working (3s • esc to interrupt) · 1 background terminal running …`. The key is the person's own (`f12`, a chord);
# a narrow screen cuts the line, with `…` from 0.58 on; without animations there is no bullet.
_AGE = r"\((?:\d+[hm] )*\d+s"
_STATUS = re.compile(rf"^[•◦] (?P<what>.+?) {_AGE}(?: • (?P<key>[^()]*) to interrupt\)| • [^()]*$|…?$)")
_STILL_STATUS = re.compile(rf"^(?![›!■─╭│⚠✗└•◦])(?P<what>\S.*?) {_AGE} • (?P<key>[^()]*) to interrupt\)")
_KEYLESS_STATUS = re.compile(rf"^[•◦] (?P<what>.+?) {_AGE}\)(?: · .*)?$")  # no key interrupts: unbound by the person
_CUT_BOOT = re.compile(r"^[•◦] (?P<what>(?:Booting|Starting) MCP\b.*)…$")
PANEL_LINES = 3  # of keys, wrapped
QUEUE_GAP = 12  # lines between the status line and the composer, or one queued message and the next


@dataclass(frozen=True, slots=True)
class Status:
    """The status line: what Codex does. Not `sure` where an answer's own words could look like it.

    `key`: the one that interrupts, as it is named there; "" if none is.
    """

    what: str
    sure: bool = True
    key: str = ""


def line_status(line: str) -> Status | None:
    """What a line says if it is a status line."""
    match = _STATUS.match(line) or _STILL_STATUS.match(line)
    if match:
        return Status(match["what"], key=match["key"] or "")
    match = _CUT_BOOT.match(line)
    if match:
        return Status(match["what"])
    match = _KEYLESS_STATUS.match(line)
    return Status(match["what"], sure=False) if match else None


def last_paragraph(lines: Sequence[str]) -> tuple[int, int]:
    """The rows [first, end) of the last lines that are not blank; (0, 0) on an empty screen."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    first = end
    while first and lines[first - 1].strip():
        first -= 1
    return first, end


def keys(lines: Sequence[str], after: int = -1) -> str:
    """The line of keys at the end of a panel, "" if the screen ends otherwise. `after`: rows up to it are a draft."""
    first, end = last_paragraph(lines)
    rows = range(max(first, end - PANEL_LINES, after + 1), end)
    caret = max((row for row in rows if lines[row].startswith(("› ", "• "))), default=-1)
    tail = [lines[row].strip() for row in rows if row > caret]
    said = " ".join(tail)
    draft = any(map(_COMPLETION.search, [said, *tail])) or _SIDE.search(said)
    return tail[-1] if _KEYS.search(said) and not draft else ""


def closes_by_itself(lines: Sequence[str]) -> str:
    """The words of a menu that nobody has to answer, "" if there is none at the end of the screen."""
    first, end = last_paragraph(lines)
    found = _CLOSES.search(" ".join(line.strip() for line in lines[first:end]))
    return found.group(0) if found else ""


def is_choice(lines: Sequence[str], row: int) -> bool:
    """Whether the caret of this row marks a choice of a list, where the cursor is not known.

    A draft may begin with `1. `, too: a list has nothing but its keys below its choices, a composer its footer.
    """
    first, end = last_paragraph(lines)
    if first <= row < end:
        return _CHOICE.match(lines[row]) is not None or keys(lines) != ""
    beside = [lines[n] for n in (row - 1, row + 1) if 0 <= n < len(lines)]
    numbered = _CHOICE.match(lines[row]) is not None and any(_NUMBERED.match(line) for line in beside)
    return numbered and keys(lines) != ""


def is_left_behind(lines: Sequence[str], row: int, until: int | None) -> bool:
    """Whether something else has written below the composer of this row: it belongs to the past.

    A draft, its footer and its lists are indented. `until`: the row of the cursor, None where that is unknown.
    """
    below = range(row + 1, len(lines) if until is None else until + 1)
    return any(n < len(lines) and lines[n][:1] not in ("", " ", "›", "!", ">", "↑", "↓") for n in below)


def is_queued(line: str) -> bool:
    """Whether the line is of the list of messages that wait for the end of the turn."""
    return _QUEUED.match(line) is not None


def queue_key(lines: Sequence[str], row: int) -> str:
    """The footer's word that a draft would be queued: a turn runs, though no status line says so; "" without it."""
    below = [line for line in lines[row + 1 :] if line.strip()]
    named = len(below) <= 2 and any(_QUEUE_KEY.match(line) for line in below)
    return "footer `tab to queue message`" if named else ""


def queue_above(lines: Sequence[str], row: int) -> str:
    """The lowest of the messages that are queued above the composer of this row, "" if there is none."""
    for line in reversed(lines[max(0, row - QUEUE_GAP) : row]):
        if is_queued(line):
            return f"`{line.strip()[:60]}` above the composer"
        if line.strip() and not line.startswith("    "):
            break
    return ""


def has_header(lines: Sequence[str]) -> bool:
    """Whether the head of a fresh conversation is on the screen."""
    return any(_HEADER.search(line) for line in lines)


def is_bare(lines: Sequence[str], row: int) -> bool:
    """Whether nothing of a conversation stands above the composer of this row, and no header: notices at most."""
    above = [line for line in lines[:row] if line.strip()]
    if not above:
        return True
    return above[0].startswith(_NOTICE) and not has_header(above) and not any(x.startswith(_SPOKEN) for x in above)


def is_first_footer(lines: Sequence[str]) -> bool:
    """Whether the footer is that of 0.169's first frames: the model and the directory are not in it yet."""
    first, end = last_paragraph(lines)
    return [line.strip() for line in lines[first:end]] == ["? for shortcuts"]

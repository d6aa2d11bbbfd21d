"""Reading Codex's screen: dialogs by name, the status line, the composer, how the last turn ended.

Pure functions on a `ScreenView`. Markers were measured on 0.47 to 0.169 (field/codex.md section A) and
are replayed from `tests/corpus/codex/`. The composer is painted while Codex works, and the status line
vanishes while it writes an answer: a composer alone proves little, and the fusion treats it so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harnex.model import Outcome, ScreenView, State, letters

# `• Working (3s • esc to interrupt) · 1 background terminal running …`, cut with `…` where the screen is narrow.
STATUS = re.compile(r"^[•◦] (?P<what>.+?) \((?P<age>(?:\d+[hm] )*\d+s) • esc to int")
MCP_BOOT = re.compile(r"^(?:Booting|Starting) MCP")
OPTION = re.compile(r"^\s*(?P<mark>[›>❯] )?\s*(?P<number>\d{1,2})\. (?P<label>\S.*)$")
USER_LINE = re.compile(r"^› \S")
COMPOSER = re.compile(r"^[›!](?: |$)")
ERROR_LINE = re.compile(r"^■ (?P<text>.+)$")
INTERRUPTED = re.compile(r"^Conversation interrupted")
# `■` lines that answer a slash command and end no turn.
NOT_A_TURN = re.compile(r"^(?:Unrecognized command|Usage: |'/|Failed to (?:open|save|copy)|Invalid )")
LOADING = re.compile(r"^(?:│ model: +loading\b|     loading$)")

# (dialog, what is said at its head, what stands in its last lines). Ordered: the first that fits names it.
# The tail is the proof: below a composer there is a footer, so these words can't be a draft.
CHOOSE = r"(?i)press enter|esc (?:to|back)|enter select"  # `enter select · esc back` from 0.163 on
DIALOGS: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (name, re.compile(head), re.compile(tail))
    for name, head, tail in (
        (
            "permission",
            r"^\s*(?:Would you like to (?:run|make|grant|allow|send)|Do you want to approve|Allow (?:Codex|the .+) to )",
            r"(?i)enter to (?:confirm|submit)|esc to cancel",
        ),
        ("question", r"^\s*Field \d+/\d+", r"enter to submit|esc to cancel"),  # a form of an MCP server
        ("question", r"^\s*Question \d+/\d+", r"enter to submit|esc to interrupt|esc to (?:clear|cancel)"),
        ("plan", r"^\s*Implement this plan\?", CHOOSE),
        ("limit", r"(?i)^\s*(?:Approaching rate limits|You.ve (?:hit|reached) your)", CHOOSE),
        ("bypass-warning", r"^\s*Enable full access\?", CHOOSE),
        (
            "trust",
            r"Do you trust the contents of this|^\s*Trust this folder\?|> You are running Codex in ",
            r"(?i)enter (?:to )?continue",
        ),
        (
            "update",  # a newer model is offered (0.58: a page without choices)
            r"^\s*(?:> )?(?:Introducing (?:our )?\S+|Codex just got an upgrade)|Try new model",
            r"(?i)press enter to (?:continue|confirm)",
        ),
        ("update", r"Update available", r"(?i)enter (?:to )?continue|Skip until next version"),
        ("api-key", r"(?i)Use your own OpenAI API key|Paste or type your API key", r"(?i)press enter|esc to go back"),
        ("login", r"Sign in with ChatGPT|Finish signing in", r"(?i)press enter|esc to cancel"),
        (
            "resume",
            r"(?i)^\s*(?:Resume|Fork) a previous session",
            r"(?i)enter (?:to )?(?:resume|fork)|esc (?:to )?start new|to (?:resume|quit)",
        ),
        ("other", r"^\s*Hooks need review", r"(?i)enter|esc"),
        ("other", r"Continue anyway\? \[y/N\]", r"Continue anyway\? \[y/N\]"),
    )
)
PAGE_END = re.compile(r"(?i)^\s*press (?:enter|return|any key) to \w+")
HEAD_ROWS, TAIL_LINES = 60, 4

# What an empty composer says. One of these, at random, in each session up to 0.145; one text from 0.169 on
# (seen in the four versions here, and in the binaries' strings).
PLACEHOLDERS = frozenset(
    (
        "Ask Codex to do anything",
        "Explain this codebase",
        "Summarize recent commits",
        "Implement {feature}",
        "Find and fix a bug in @filename",
        "Write tests for @filename",
        "Improve documentation in @filename",
        "Run /review on my current changes",
        "Use /skills to list available skills",
        "Ask Codex to do anything (@ to mention files)",
        "Run /compact to shorten the conversation",
    )
)
FOLDED = re.compile(r"\[Pasted Content \d+ chars\]")
TEXT_COLUMN = 2  # the composer's text begins after `› `


@dataclass(frozen=True, slots=True)
class Reading:
    """What the screen says. `state` None: nothing that this module knows."""

    state: State | None
    reason: str
    dialog: str = ""
    options: tuple[str, ...] = ()
    asks: str = ""


def composer_row(view: ScreenView) -> int | None:
    """The row where the composer begins: the last `› ` line that is no option of a dialog."""
    if view.cursor_hidden:  # measured: hidden in every dialog, shown in every composer, 7/7 versions
        return None
    at_cursor = view.cursor[0]
    for row in range(len(view.lines) - 1, -1, -1):
        line = view.lines[row]
        if not COMPOSER.match(line):
            continue
        if line.startswith("!") and not row <= at_cursor <= row + 1:
            continue  # a `!` in the transcript; shell mode has the cursor in it
        return row
    return None


def status_line(view: ScreenView) -> re.Match[str] | None:
    """The status line: in the block just above the composer, or anywhere low if no composer shows."""
    end = composer_row(view)
    rows = range((len(view.lines) if end is None else end) - 1, -1, -1)
    looked = 0
    for row in rows:
        line = view.lines[row]
        match = STATUS.match(line)
        if match:
            return match
        if USER_LINE.match(line):
            return None  # beyond the last prompt nothing is of the present
        looked += bool(line.strip())
        # Between status line and composer: a reason (`└ …`), queued messages, their heading.
        if looked > 12:
            return None
    return None


def read(view: ScreenView) -> Reading:
    """What the screen says of the state."""
    lines = view.lines
    filled = [i for i, line in enumerate(lines) if line.strip()]
    if not filled:
        return Reading(None, "")
    dialog = _dialog(view, filled)
    if dialog is not None:
        return dialog
    row = composer_row(view)
    status = status_line(view)
    if status is not None:
        what = status["what"]
        if MCP_BOOT.match(what):
            return Reading(State.STARTING, f"status line `{what}`")
        return Reading(State.BUSY, f"status line `{what}`")
    if row is None:
        return Reading(None, "")
    if any(LOADING.match(line) for line in lines):
        return Reading(State.STARTING, "the header says `loading`")
    return Reading(State.PROMPT, "composer without a status line")


def _dialog(view: ScreenView, filled: list[int]) -> Reading | None:
    lines = view.lines
    last = filled[-1]
    below = composer_row(view)
    typing = below is not None and view.cursor[0] >= below
    # A draft may say anything; only what stands below it, where a composer has its footer, is a dialog's.
    start = _draft_end(view, below) if below is not None and typing else -1
    tail = [lines[i] for i in filled[-TAIL_LINES:] if i > start]
    first = max(0, last - HEAD_ROWS)
    for name, head, end in DIALOGS:
        if not any(end.search(line) for line in tail):
            continue
        top = next((i for i in range(last, first - 1, -1) if head.search(lines[i])), None)
        if top is None:
            continue
        if below is not None and below > top and not OPTION.match(lines[below]):
            continue  # a composer below it: this is text of the conversation
        shown = lines[top : last + 1]
        words = next((shown[:n] for n, line in enumerate(shown) if OPTION.match(line)), shown)
        return Reading(
            State.BLOCKED, f"dialog `{lines[top].strip()[:80]}`", name, _options(shown), letters(" ".join(words))
        )
    if view.cursor_hidden:
        # A dialog of a name we don't know: choices, and no cursor to type at.
        options = _options(lines[max(0, last - 25) : last + 1])
        marked = any(m and m["mark"] for m in map(OPTION.match, lines[max(0, last - 25) : last + 1]))
        if options and marked and status_line(view) is None:
            known = "permission" if any("(esc)" in o or "don't ask again" in o for o in options) else "other"
            return Reading(State.BLOCKED, "choices without a cursor", known, options)
        # Nor does a page without choices say its name; that Enter is wanted tells enough.
        wanted = next((lines[i].strip() for i in filled[-2:] if PAGE_END.match(lines[i])), None)
        if wanted is not None and status_line(view) is None:
            return Reading(State.BLOCKED, f"`{wanted[:80]}` without a cursor", "other", options)
    return None


def _options(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The numbered choices, in order, without their descriptions."""
    found: dict[int, str] = {}
    for line in lines:
        match = OPTION.match(line)
        if match and int(match["number"]) == len(found) + 1:
            found[len(found) + 1] = re.split(r"\s{2,}", match["label"].strip())[0]
    return tuple(found.values())


def draft(view: ScreenView, sent: str = "") -> str | None:
    """The text in the composer; "" if it is empty; None if there is none to be seen.

    With the cursor at its first column the text is a placeholder (up to 0.145 one of several, at random), unless it
    is how `sent` begins: the last prompt, put back.
    """
    row = composer_row(view)
    if row is None or _dialog(view, [i for i, line in enumerate(view.lines) if line.strip()] or [0]) is not None:
        return None
    first = view.lines[row][TEXT_COLUMN:]
    # Real text with the cursor before it needs a person at the keys: harnex never leaves it so.
    untouched = view.cursor == (row, TEXT_COLUMN) and not view.lines[row].startswith("!")
    folded = FOLDED.match(first) is not None  # put back by a refused command, it has the cursor in front of it
    back = bool(first.strip()) and sent.strip().startswith(first.strip())
    if first.strip() in PLACEHOLDERS or (untouched and not folded and not back and not _more_below(view, row)):
        return ""
    end = max(view.cursor[0], _draft_end(view, row))
    text = [first, *(line[TEXT_COLUMN:] for line in view.lines[row + 1 : end + 1])]
    return "\n".join(text).rstrip("\n")


def _more_below(view: ScreenView, row: int) -> bool:
    return row + 1 < len(view.lines) and bool(view.lines[row + 1].strip())


def _draft_end(view: ScreenView, row: int) -> int:
    """The last row of the draft: a blank row and the footer follow it."""
    last = max((i for i, line in enumerate(view.lines) if line.strip()), default=row)
    footer = last
    while footer > row and view.lines[footer - 1].strip():
        footer -= 1
    if footer <= row:
        return last  # nothing blank below the composer: no footer is shown
    end = footer - 1
    while end > row and not view.lines[end].strip():
        end -= 1
    return end


def transcript(view: ScreenView) -> tuple[str, ...]:
    """What stands above the composer, without the status line: it changes when a turn shows anything."""
    end = composer_row(view)
    if end is None:
        return ()
    return tuple(line for line in view.lines[:end] if line.strip() and not STATUS.match(line))


def last_prompt(view: ScreenView) -> str:
    """The newest prompt in the conversation ("" if none is on the screen)."""
    return next((line for line in reversed(transcript(view)) if USER_LINE.match(line)), "")


def outcome(view: ScreenView) -> tuple[Outcome, str] | None:
    """How the last turn ended, as the screen shows it: the last `■` line below the last prompt.

    None: no such line (the turn was completed, or it still runs, or it is not on the screen).
    """
    end = composer_row(view)
    if end is None or status_line(view) is not None:
        return None
    for row in range(end - 1, -1, -1):
        line = view.lines[row]
        if USER_LINE.match(line):
            return None
        match = ERROR_LINE.match(line)
        if match is None:
            continue
        text = match["text"]
        if NOT_A_TURN.match(text):
            return None
        if INTERRUPTED.match(text):
            return "interrupted", text
        for more in view.lines[row + 1 : end]:  # the message may be wrapped
            if not more.strip():
                break
            text += " " + more.strip()
        return "failed", text
    return None


# The kinds of `codex_error_info` (0.145, 0.169; a string, or an object with http_status_code).
_KINDS = {
    "context_window_exceeded": "context",
    "usage_limit_exceeded": "usage_limit",
    "server_overloaded": "overloaded",
    "internal_server_error": "overloaded",
    "unauthorized": "auth",
    "cyber_policy": "refused",
    "http_connection_failed": "network",
    "response_stream_connection_failed": "network",
    "response_stream_disconnected": "network",
}
# What the message says, from the most to the least certain words.
_WORDS = tuple(
    (reason, re.compile(words, re.IGNORECASE))
    for reason, words in (
        ("usage_limit", r"usage.limit|limit reached.*(?:upgrade|try again)|spend(?:ing)? (?:cap|limit)"),
        ("credit", r"quota exceeded|insufficient_quota|out of credits|add credits|billing|status 402|payment required"),
        ("context", r"ran out of room|context.window|context_length|maximum context"),
        ("auth", r"status:? (?:401|403)|unauthorized|forbidden|sign(?:ed)? (?:in|out)|log in again|api key|access token"),
        ("rate_limit", r"status:? 429|too many requests|rate.limit"),
        ("refused", r"content.?policy|safety|flagged|cyber|invalid_prompt|refus"),
        ("overloaded", r"status:? 5\d\d|overloaded|at capacity|high demand|internal server error|service unavailable"),
        ("network", r"stream disconnected|connection|network|timed? ?out|error sending request|dns|unreachable"),
    )
)  # fmt: skip


def failure(message: str, info: object = None) -> str:
    """The reason (`model.FAILURE_REASONS`) of a turn that failed with this message and `codex_error_info`."""
    kind, status = info, None
    if isinstance(info, dict) and info:
        kind, detail = next(iter(info.items()))
        status = detail.get("http_status_code") if isinstance(detail, dict) else None
    by_words = next((reason for reason, words in _WORDS if words.search(message)), None)
    if isinstance(status, int):
        if status in (401, 403):
            return "auth"
        if status == 402:
            return "credit"
        if status == 429:
            return by_words if by_words in ("usage_limit", "credit") else "rate_limit"
        if status >= 500:
            return "overloaded"
    if isinstance(kind, str) and kind in _KINDS:
        # 0.169 calls a used-up credit `usage_limit_exceeded`, too; no time brings that back.
        return "credit" if by_words == "credit" and _KINDS[kind] == "usage_limit" else _KINDS[kind]
    return by_words or "other"


_IN = re.compile(r"(?i)try again in ((?:\d+ (?:day|hour|minute|second)s? ?(?:and )?,? ?)+)")
_DATE = r"([A-Z][a-z]{2}) (\d{1,2})(?:st|nd|rd|th)?,? (\d{4}),? "
_AT = re.compile(rf"(?i)try again at (?:{_DATE})?(\d{{1,2}}):(\d{{2}}) ?([AP])M")
_UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def retry_at(message: str, now: float) -> str | None:
    """The time that a message names, as ISO-8601: `try again at 3:45 PM`, `… at Nov 25th, 2026 3:45 PM`
    (both local), `… in 3 days 5 hours`. `now` (epoch seconds) is when it was said."""
    match = _IN.search(message)
    if match:
        parts = re.findall(r"(\d+) (day|hour|minute|second)", match[1].lower())
        return iso(now + sum(int(n) * _UNITS[unit] for n, unit in parts))
    match = _AT.search(message)
    if not match:
        return None
    said = datetime.fromtimestamp(now).astimezone()
    at = said.replace(hour=int(match[4]) % 12 + 12 * (match[6].upper() == "P"), minute=int(match[5]), second=0)
    try:
        if match[1]:
            month = _MONTHS.index(match[1].lower()) + 1
            at = at.replace(year=int(match[3]), month=month, day=int(match[2]))
        elif at < said - timedelta(minutes=1):
            at += timedelta(days=1)
    except ValueError:
        return None
    return iso(at.timestamp())


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

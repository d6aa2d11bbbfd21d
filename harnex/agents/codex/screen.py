"""Reading Codex's screen: dialogs by name, the status line, the composer, how the last turn ended.

Pure functions on a `ScreenView`. Markers were measured on 0.47 to 0.169 (field/codex.md section A) and
are replayed from `tests/corpus/codex/`. The composer is painted while Codex works, and the status line
vanishes while it writes an answer: a composer alone proves little, and the fusion treats it so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harnex.agents.codex import panels as panels
from harnex.agents.contract import Version
from harnex.model.facts import Need, Outcome, ScreenView, State, letters

MCP_BOOT = re.compile(r"^(?:Booting|Starting) MCP")
OPTION = re.compile(r"^\s*(?P<mark>[›>❯] )?\s*(?P<number>\d{1,2})\. (?P<label>\S.*)$")
USER_LINE = re.compile(r"^› \S")
COMPOSER = re.compile(r"^[›!](?: |$)")
ERROR_LINE = re.compile(r"^■ (?P<text>.+)$")
INTERRUPTED = re.compile(r"^Conversation interrupted")
# `■` lines that answer a slash command and end no turn.
NOT_A_TURN = re.compile(r"^(?:Unrecognized command|Usage: |'/|Failed to (?:open|save|copy)|Invalid )")
TITLE_SPINS = re.compile(r"^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]\s")  # from 0.117 on
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
        (
            "limit",
            r"(?i)^\s*(?:Approaching rate limits|Usage limit reached|You.ve (?:hit|reached) your|You.re out of credits)",
            CHOOSE,
        ),
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
            r"(?i)enter (?:to )?(?:resume|fork)|esc (?:to )?start new|to (?:resume|quit)|^\s*enter +esc\b",
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
    needs: tuple[Need, ...] = ()
    bare: bool = False  # as in the first frames; once a prompt was seen it is one that was cleared


def composer_row(view: ScreenView) -> int | None:
    """The row where the composer begins: the last `› ` line that is no option of a dialog."""
    if view.cursor_hidden:  # measured: hidden in every dialog, shown in every composer, 7/7 versions
        return None
    known = view.cursor_known
    at_cursor = view.cursor[0] if known else None
    for row in range(len(view.lines) - 1, -1, -1):
        line = view.lines[row]
        if not COMPOSER.match(line):
            continue
        if line.startswith("!") and at_cursor is not None and not row <= at_cursor <= row + 1:
            continue  # a `!` in the transcript; shell mode has the cursor in it
        if (not known and panels.is_choice(view.lines, row)) or panels.is_left_behind(view.lines, row, at_cursor):
            return None
        return row
    return None


def status_line(view: ScreenView) -> panels.Status | None:
    """The status line: in the block just above the composer, or anywhere low if no composer shows."""
    end = composer_row(view)
    rows = range((len(view.lines) if end is None else end) - 1, -1, -1)
    looked = 0
    for row in rows:
        line = view.lines[row]
        status = panels.line_status(line)
        if status is not None:
            return status if status.sure or _may_be_unsure(view) else None
        if USER_LINE.match(line):
            return None  # beyond the last prompt nothing is of the present
        # Between status line and composer: a reason (`└ …`), queued messages, any number of them, their heading.
        looked = 0 if panels.is_queued(line) else looked + bool(line.strip())
        if looked > panels.QUEUE_GAP:
            return None
    return None


def _may_be_unsure(view: ScreenView) -> bool:
    """Whether words that an answer may hold, too, count: its title spins, or is not known with the text alone."""
    return TITLE_SPINS.match(view.title) is not None or (not view.title and not view.cursor_known)


def read(view: ScreenView, version: Version | None = None) -> Reading:
    """What the screen says of the state."""
    lines = view.lines
    filled = [i for i, line in enumerate(lines) if line.strip()]
    if not filled:
        return Reading(None, "", needs=("history",))
    closes = panels.closes_by_itself(lines)
    if closes:
        return Reading(State.BUSY, f"a menu says `{closes}`")
    dialog = _dialog(view, filled)
    if dialog is not None:
        return dialog
    row = composer_row(view)
    status = status_line(view)
    if status is not None:
        asked = any(USER_LINE.match(line) for line in lines[:row])
        if MCP_BOOT.match(status.what) and not asked:
            return Reading(State.STARTING, f"status line `{status.what}`")
        return Reading(
            State.BUSY, f"status line `{status.what}`", needs=() if status.sure or view.title else ("title",)
        )
    if row is None:
        return Reading(None, "", needs=("history",) if view.cursor_known else ("cursor", "history"))
    if any(LOADING.match(line) for line in lines):
        return Reading(State.STARTING, "the header says `loading`")
    asked = any(USER_LINE.match(line) for line in lines[:row])
    if not view.title or TITLE_SPINS.match(view.title):  # a refused turn may leave its queue behind
        queue = panels.queue_above(lines, row)
        waits = panels.queue_key(lines, row) or queue
        if waits:  # 0.169 queues also while MCP servers start, before any prompt
            state = State.BUSY if asked or not panels.has_header(lines) else State.STARTING
            return Reading(state, waits, needs=("title",) if waits == queue and not view.title else ())
    return _at_rest(view, row, asked, version)


# Until then the header, and with it the composer's readiness, comes after the first frames; from then on it says
# `loading`. Measured on 0.47, 0.58 (0.1 to 4 s of a bare composer, as long as MCP servers start) and 0.80.
HEADER_FIRST_SINCE: Version = (0, 80)
TITLE_SINCE: Version = (0, 117)
SILENT_START_SINCE: Version = (0, 146)  # 0.145 says `Starting MCP servers`, 0.169 spins its title only
ENDED = re.compile(r"^(?: {2}Worked for (?:\d+[hms] ?)+ • \d|■ (?!'/|Unrecognized command|Usage: ))")


def _at_rest(view: ScreenView, row: int, asked: bool, version: Version | None) -> Reading:
    """A composer, and nothing that says that a turn runs: a start, a prompt, or an answer that is being written."""
    lines = view.lines
    reason, old = "composer without a status line", version is not None and version < TITLE_SINCE
    fresh = panels.has_header(lines) and not asked
    silent = version is None or version >= SILENT_START_SINCE
    if fresh and silent and panels.is_first_footer(lines):
        return Reading(State.STARTING, "the footer names no model yet", needs=("history",), bare=True)
    if view.title and not old:
        return Reading(State.PROMPT, reason)
    if panels.is_bare(lines, row):
        early = version is not None and version < HEADER_FIRST_SINCE and not any(x.strip() for x in lines[:row])
        state = State.STARTING if early else State.PROMPT
        return Reading(state, "a composer with nothing above it", needs=("history",), bare=True)
    first, end = panels.last_paragraph(lines[:row])
    last = lines[first] if end else ""
    if ENDED.match(last):
        return Reading(State.PROMPT, f"`{last.strip()[:60]}` above the composer")
    if fresh and not silent:
        return Reading(State.PROMPT, "nothing was asked yet")
    return Reading(State.PROMPT, reason, needs=("bytes", "history") if old else ("title",))


def _dialog(view: ScreenView, filled: list[int]) -> Reading | None:
    lines = view.lines
    last = filled[-1]
    below = composer_row(view)
    typing = below is not None and (not view.cursor_known or view.cursor[0] >= below)
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
    return _panel(view, filled, start)


def _panel(view: ScreenView, filled: list[int], start: int) -> Reading | None:
    """A dialog or a panel of a name we don't know: by its keys, or by choices where there is no cursor to type at."""
    lines, last = view.lines, filled[-1]
    low = lines[max(0, last - 25) : last + 1]
    options = _options(low)
    marked = any(m and m["mark"] for m in map(OPTION.match, low))
    status = status_line(view)
    if view.cursor_hidden and options and marked and status is None:
        known = "permission" if any("(esc)" in o or "don't ask again" in o for o in options) else "other"
        return Reading(State.BLOCKED, "choices without a cursor", known, options)
    # With the cursor in a composer, what stands below that is its footer, whatever it names.
    typed_at = view.cursor[0] if view.cursor_known and start >= 0 else last + 1
    keys = panels.keys(lines, start) if typed_at > start else ""
    if keys and status is None:
        return Reading(State.BLOCKED, f"a panel with the keys `{keys[:80]}`", "other", options)
    # Nor does a page without choices say its name; that Enter is wanted tells enough.
    wanted = next((lines[i].strip() for i in filled[-2:] if PAGE_END.match(lines[i])), None)
    if view.cursor_hidden and wanted is not None and status is None:
        return Reading(State.BLOCKED, f"`{wanted[:80]}` without a cursor", "other", options)
    if (
        not view.cursor_known
        and status is None
        and any(panels.is_choice(lines, row) for row in range(last - 25, last + 1) if row >= 0)
    ):
        return Reading(State.BLOCKED, "choices at the end of the screen", "other", options)
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
    return tuple(line for line in view.lines[:end] if line.strip() and panels.line_status(line) is None)


def last_prompt(view: ScreenView) -> str:
    """The newest prompt in the conversation ("" if none is on the screen)."""
    return next((line for line in reversed(transcript(view)) if USER_LINE.match(line)), "")


def is_under_way(view: ScreenView) -> bool:
    """Whether a conversation is on the screen whose beginning is not: this is no start."""
    said = any(line.startswith(("› ", "• ", "■ ", "─ ")) for line in transcript(view))
    return said and not panels.has_header(view.lines)


_VERSION = re.compile(r">_ OpenAI Codex \(v(\d+)\.(\d+)\.(\d+)")


def shown_version(view: ScreenView) -> Version | None:
    """The version in the header of a fresh conversation."""
    found = next((m for m in map(_VERSION.search, view.lines) if m), None)
    return tuple(int(n) for n in found.groups()) if found else None


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
    """The reason (`facts.FAILURE_REASONS`) of a turn that failed with this message and `codex_error_info`."""
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

"""What Claude Code's terminal shows: state, dialog, draft and how the last turn ended.

Pure functions over a `ScreenView`; measured on 1.0.128, 2.0.77, 2.1.197 and 2.1.329 (field/claude.md
sections A and F.3, recordings in `tests/corpus/claude/`). The input box is painted while the agent
works, so a box proves only that no dialog is open; what stands right above it tells the rest. What stands in place of
it is read by `claude/dialogs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harnex import times
from harnex.agents.claude.dialogs import (
    BLOCK,
    INTERRUPTIBLE,
    OPTION,
    RULE,
    SPINNER,
    options_in,
    question_above,
    without_box,
)
from harnex.agents.claude.dialogs import SCREEN as SCREEN
from harnex.agents.contract import Version
from harnex.model.facts import Need, Observation, ScreenView, State, TurnEnded

_FRAME = re.compile(r"^[╭╰]─{20,}[╮╯]$")
_CARET = re.compile(r"^[>❯!#&](?:[\s\u00a0]|$)")
_WAITING = re.compile(r"^[·✢✳✶✻✽∗*] Waiting for \d+ ")
_RETRYING = re.compile(r"^(?:[·✢✳✶✻✽∗*] .* · |\s{2,}(?:⎿\s+)?)[Rr]etrying in \d+")
_COUNTERS = re.compile(r"^\s*\(\s*(?:\d+[hms] ?)+·.*\btokens\s*\)\s*$", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"^(?:Try \"|Press up to edit queued messages|Once fixed, resend your message|Resend your message to try again"
    r"|Message @|Type your message|Add a follow-up|Add to memory\. Try \")"
)
_DONE_LINE = re.compile(r"^[·✢✳✶✻✽∗*] \S+ for (?:\d+[hms] ?)+")

FOOTER_SINCE: Version = (2, 1)
# What the footer says of itself, with a turn running or not.
_OWN_FOOTER = re.compile(
    r"\? for shortcuts|\(shift\+tab to|(?:mode|edits|permissions|ask|auto) on\b|for agents|for (?:bash|shell) mode",
    re.IGNORECASE,
)
# Keys that it names at rest only: while a turn runs they interrupt it.
_REST_FOOTER = re.compile(r"\bagain to (?:exit|clear)|\bto clear again", re.IGNORECASE)
_PROMPTED = re.compile(r"^[>❯]\s+(?!/|Unknown slash command)\S")  # a prompt of the conversation
# What stands in column 0 below the box is seldom Claude Code's: its footer and lists are indented, carets, bullets and
# commands (2.1.197) aside. It may have ended; a person's own status line may stand there, too.
_FOREIGN = re.compile(r"[^\W_]|[$%#] ")

# 2.1.197 `⠂⠐`, 2.1.329 `◐◑` in front of the title while a turn runs.
TITLE_BUSY = re.compile(r"^[\u2801-\u28ff◐◓◑◒]")


@dataclass(frozen=True, slots=True)
class Box:
    top: int  # the row of the upper rule
    bottom: int  # the row of the lower rule
    draft: str
    mark: str = "❯"  # what stands before the text: the prompt's own, or that of another mode (`!`, `#`, `&`)


def unframed(view: ScreenView) -> tuple[str, ...]:
    """The lines of the screen, with the frame around boxes and dialogs of old versions (1.0.60) as bare rules.

    Only frames as wide as the screen: the greeting has a frame, too.
    """
    lines = list(view.lines)
    if not any(line.startswith("╭") for line in lines):
        return view.lines
    framed = False
    for n, line in enumerate(lines):
        edge = _FRAME.match(line)
        if edge and len(line) >= view.columns - 2:
            framed = line[0] == "╭"
            lines[n] = "─" * len(line)
        elif framed and line.startswith("│"):
            lines[n] = line[2:].rstrip("│").rstrip()
    return tuple(lines)


def find_box(lines: tuple[str, ...]) -> Box | None:
    """The input box: a rule, a caret line that is not a menu item, and the lower rule. The lowest one counts."""
    for top in range(len(lines) - 2, -1, -1):
        caret = lines[top + 1]
        if not RULE.match(lines[top]) or not _CARET.match(caret):
            continue
        if OPTION.match(caret) and caret[1:2] != "\u00a0":
            continue  # the box has a no-break space after its caret, a menu has a space (measured, all versions)
        for bottom in range(top + 2, len(lines)):
            if RULE.match(lines[bottom]):
                return Box(top, bottom, _draft(lines[top + 1 : bottom]), caret[:1])
        return None
    return None


def _draft(body: tuple[str, ...]) -> str:
    first = body[0][1:].replace("\u00a0", " ")
    text = "\n".join([first.removeprefix(" "), *(x.removeprefix("  ") for x in body[1:])]).rstrip()
    return "" if _PLACEHOLDER.match(text) else text


def draft(view: ScreenView) -> str | None:
    """The text in the input box. The known placeholders are an empty box; that they are dim, text can't tell."""
    box = find_box(unframed(view))
    return None if box is None else box.draft


_VERSION = re.compile(r"\bClaude Code v(\d+)\.(\d+)\.(\d+)")


def shown_version(view: ScreenView) -> Version | None:
    """The version in the greeting (2.0 on)."""
    found = next((m for m in map(_VERSION.search, view.lines) if m), None)
    return tuple(int(n) for n in found.groups()) if found else None


def observe(view: ScreenView, was_ready: bool, version: Version | None = None) -> Observation:
    """The state that the screen shows. `was_ready`: a box has been seen before, so this is no start."""
    lines = unframed(view)
    box = find_box(lines)
    if box is None:
        return without_box(lines, was_ready)
    asked = _above_box(lines[: box.top])
    if asked is not None:
        return asked
    busy = _busy(lines, box)
    if not busy and TITLE_BUSY.match(view.title):
        # Streaming with text typed in the box, 2.1.329 shows neither spinner nor footer (measured, 80x24).
        busy = f"no spinner, but the title `{view.title[:40]}` says that it works"
    if busy:
        return Observation(SCREEN, State.BUSY, busy)
    return Observation(SCREEN, State.PROMPT, "input box, no spinner", needs=_unsure(view, lines, box, version))


def _unsure(view: ScreenView, lines: Sequence[str], box: Box, version: Version | None) -> tuple[Need, ...]:
    """What is missing to be sure of rest, where neither spinner nor footer say that it works.

    Up to 2.0 the spinner stands as long as a turn. 2.1 takes it away while text comes in (2.1.197, 2.1.329): then the
    footer says `esc to interrupt`, but not with a draft in the box, with a person's own status line in its place,
    or where the screen is too narrow. The title tells, if it was not frozen by tmux (2.1.329).
    """
    ended = view.cursor_known and not view.cursor_hidden  # it hides the cursor as long as it runs (all versions)
    if ended or any(_FOREIGN.match(line) for line in lines[box.bottom + 1 :]):
        return ("history",)
    above = [line for line in lines[: box.top] if line.strip()]
    if any(_REST_FOOTER.search(line) for line in lines[box.bottom + 1 :]) or (above and _DONE_LINE.match(above[-1])):
        return ()
    if _PROMPTED.match(next((line for line in reversed(above) if not line.startswith(" ")), "")):
        return ("history",)  # was it just sent? Up to 2.0 the spinner comes a moment later
    if (version is not None and version < FOOTER_SINCE) or view.title.startswith("✳"):
        return ()
    footer = [line for line in lines[box.bottom + 1 :] if _OWN_FOOTER.search(line)]
    decides = footer and not box.draft and not any(line.endswith("…") for line in footer)
    return () if decides else ("title",)


def _above_box(lines: tuple[str, ...]) -> Observation | None:
    """A dialog that is painted right above a box: a box alone proves nothing. What a person or the model wrote there
    is indented, or has no caret on an answer below a question of Claude Code's own."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    last = lines[max(0, end - 12) : end]
    asked = question_above(last)
    if asked is not None:
        return asked
    if last and re.match(r"(?i)^(?:press )?esc to cancel\b", last[-1]):
        why = f"`{last[-1][:60]}` above the box"
        return Observation(SCREEN, State.BLOCKED, why, "other", options_in(list(last))[0])
    return None


def _busy(lines: tuple[str, ...], box: Box) -> str:
    """The words above or below the box that say that a turn runs; "" if there are none."""
    footer = "\n".join(lines[box.bottom + 1 :])
    if re.search(r"\besc to interrupt\b", footer, re.IGNORECASE):
        return "footer `esc to interrupt`"
    shell_running = False
    lowest, seen = True, False  # in the lowest paragraph above the box
    for line in reversed(lines[max(0, box.top - 60) : box.top]):
        lowest = lowest and (bool(line.strip()) or not seen)
        seen = seen or bool(line.strip())
        if SPINNER.match(line) or _WAITING.match(line):
            return f"spinner `{line[:60]}`"
        if lowest and (_COUNTERS.match(line) or (line[:1] != " " and INTERRUPTIBLE.match(line))):
            return f"`{line.strip()[:60]}` above the box"
        if _RETRYING.match(line):
            return f"retrying: `{line.strip()[:60]}`"
        if re.match(r"^\s+⎿\s+Running…", line):
            shell_running = True
        if line.startswith("! ") and shell_running:
            return f"shell mode `{line[:60]}`"
        if _DONE_LINE.match(line) or BLOCK.match(line):
            break
    return ""


_ERROR = re.compile(
    r"API Error|Invalid API key|Credit balance too low|Not logged in|Please run /login"
    r"|There's an issue with the selected model|Prompt is too long"
    r"|usage limit reached|hit your .{0,30}limit|limit reached|OAuth token|Unable to connect"
    r"|Context limit reached|Request timed out|unable to respond to this request"
)


def outcome(view: ScreenView) -> TurnEnded | None:
    """How the last turn ended, as far as the last block above the box says it; None: it says nothing.

    Only the newest block counts: an error that is followed by an answer is over.
    """
    lines = unframed(view)
    box = find_box(lines)
    if box is None or _busy(lines, box):
        return None
    block: list[str] = []
    for line in reversed(lines[: box.top]):
        if _DONE_LINE.match(line) or (not line.strip() and not block):
            continue
        block.append(line)
        if re.match(r"^\s{0,4}⎿", line) or BLOCK.match(line) or _CARET.match(line) or len(block) > 12:
            break
    if not block or not re.match(r"^(?:\s{0,4}⎿|[●⏺•])", block[-1]):
        return None
    text = re.sub(r"\s+", " ", " ".join(reversed(block))).strip(" ⎿●⏺•")
    if text.startswith(("Interrupted", "[Request interrupted")):
        return TurnEnded(SCREEN, "interrupted", detail=text[:200])
    if _ERROR.search(text[:120]):
        reason, retry_at = classify("", None, text)
        return TurnEnded(SCREEN, "failed", reason=reason, detail=text[:500], retry_at=retry_at)
    return None


_BY_NAME = {
    "authentication_failed": "auth",
    "authentication_error": "auth",
    "oauth_org_not_allowed": "auth",
    "permission_error": "auth",
    "billing_error": "credit",
    "rate_limit": "rate_limit",
    "rate_limit_error": "rate_limit",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
}
# The words come before the error's name: `rate_limit` is also said of a spent subscription,
# `invalid_request` of a full context, `server_error` and `unknown` of nearly everything.
_BY_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "usage_limit",
        re.compile(
            r"usage limit|hit your .{0,40}limit|(?:session|weekly|\d-hour|Opus) limit|limit reached\b.{0,60}reset",
            re.IGNORECASE,
        ),
    ),
    ("credit", re.compile(r"credit balance|billing|insufficient (?:credit|funds)", re.IGNORECASE)),
    (
        "context",
        re.compile(
            r"prompt is too long|context (?:limit|window|length)|too many (?:input )?tokens|exceeds? .{0,30}context",
            re.IGNORECASE,
        ),
    ),
    (
        "auth",
        re.compile(r"invalid (?:x-)?api[ -]?key|not logged in|/login|oauth|authenticat|\b401\b|\b403\b", re.IGNORECASE),
    ),
    ("refused", re.compile(r"usage policy|unable to respond to this request|refus", re.IGNORECASE)),
    ("overloaded", re.compile(r"overloaded|\b529\b", re.IGNORECASE)),
    ("rate_limit", re.compile(r"rate.?limit|\b429\b|too many requests", re.IGNORECASE)),
    (
        "network",
        re.compile(
            r"connection (?:error|refused|closed|lost|reset|timed)|ECONN|ENOTFOUND|ETIMEDOUT|EPIPE|EAI_AGAIN"
            r"|fetch failed|timed? ?out|unable to connect|socket hang up|network|certificate|no response",
            re.IGNORECASE,
        ),
    ),
)


def classify(name: str, status: int | None, text: str) -> tuple[str, str | None]:
    """An API error's reason, out of the CLI's own name for it, its HTTP status and its words; and when to try again.

    Older versions end the words of a usage limit with `|<unix time>`; newer ones say "resets 3pm
    (Europe/Berlin)", which can't be turned into a time without a clock: it stays in the detail.
    """
    from harnex.agents.common.resets import epoch_at  # only here: few turns fail

    epoch, retry_at = epoch_at(text), None
    if epoch is not None:
        from datetime import UTC

        retry_at = times.local(epoch, "%Y-%m-%dT%H:%M:%SZ", UTC)
    head = text[:400]
    for reason, words in _BY_WORDS:
        if words.search(head):
            return reason, retry_at
    if name in _BY_NAME:
        return _BY_NAME[name], retry_at
    if status in (401, 403):
        return "auth", retry_at
    if status == 402:
        return "credit", retry_at
    if status == 413:
        return "context", retry_at
    if status == 429:
        return "rate_limit", retry_at
    if status in (503, 529):
        return "overloaded", retry_at
    return "other", retry_at

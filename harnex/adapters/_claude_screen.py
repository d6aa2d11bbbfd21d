"""What Claude Code's terminal shows: state, dialog, draft and how the last turn ended.

Pure functions over a `ScreenView`; measured on 1.0.128, 2.0.77, 2.1.197 and 2.1.329 (field/claude.md
sections A and F.3, recordings in `tests/corpus/claude/`). The input box is painted while the agent
works, so a box proves only that no dialog is open; what stands right above it tells the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harnex.model import Observation, ScreenView, State, TurnEnded, letters

SCREEN = "screen"

# A rule of the box: from column 0, over (nearly) the whole width; it may carry a label ("── name ──").
_RULE = re.compile(r"^[─━▔▁]{8}")
_FRAME = re.compile(r"^[╭╰]─{20,}[╮╯]$")
_CARET = re.compile(r"^[>❯!#&](?:[\s\u00a0]|$)")
# The spinner's glyph stands in column 0; what the model prints is indented or begins with a bullet.
_SPINNER = re.compile(r"^[·✢✳✶✻✽∗*] \S.*…")
_WAITING = re.compile(r"^[·✢✳✶✻✽∗*] Waiting for \d+ ")
_RETRYING = re.compile(r"^(?:[·✢✳✶✻✽∗*] .* · |\s{2,}(?:⎿\s+)?)[Rr]etrying in \d+")
# What 1.x and 2.0 say beside the spinner, where a narrow screen wraps it onto a line of its own; words of the model
# are indented or have a bullet.
_INTERRUPTIBLE = re.compile(r"^(?![●⏺•>❯]).*\b(?:esc|ctrl\+c) to interrupt\b", re.IGNORECASE)
_COUNTERS = re.compile(r"^\s*\(\s*(?:\d+[hms] ?)+·.*\btokens\s*\)\s*$", re.IGNORECASE)
_BLOCK = re.compile(r"^[●⏺•]")  # a block of the conversation
# In narrow terminals the blank behind the number may be missing (2.1.30, 60 columns: `2.Yes, and don't ask again…`).
_OPTION = re.compile(r"^[\s│]*(❯|>)?\s*(\d{1,2})\.(?:\s+|(?=[A-Z]))(\S.*?)[\s│]*$")
_BARE_OPTION = re.compile(r"^[\s│]*❯\s+(\S.*?)[\s│]*$")
_HINT = re.compile(
    r"\b(?:Enter|↵) to (?:select|confirm|continue|submit)|\bEsc to (?:cancel|exit|go back|close|reject|dismiss)"
    r"|\bPress Enter to continue|\bEnter to \w+ · |Tab to amend|to navigate\b",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"^(?:Try \"|Press up to edit queued messages|Once fixed, resend your message|Resend your message to try again"
    r"|Message @|Type your message|Add a follow-up|Add to memory\. Try \")"
)
_DONE_LINE = re.compile(r"^[·✢✳✶✻✽∗*] \S+ for (?:\d+[hms] ?)+")

# 2.1.197 `⠂⠐`, 2.1.329 `◐◑` in front of the title while a turn runs.
TITLE_BUSY = re.compile(r"^[\u2801-\u28ff◐◓◑◒]")

# What is asked right above the answers decides: a command or a file that is shown may hold any words.
_ASKED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("plan", re.compile(r"Exit plan mode\?|Would you like to proceed\?|Ready to code\?|Enter plan mode\?")),
    (
        "permission",
        re.compile(r"Do you want to (?:proceed|continue|create|make|allow|overwrite|delete|edit|write|run|fetch)"),
    ),
)
# Else the first match in the dialog's own lines.
_DIALOGS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("api-key", re.compile(r"Detected a custom API key in your environment")),
    ("bypass-warning", re.compile(r"Claude Code running in Bypass Permissions mode", re.IGNORECASE)),
    (
        "trust",
        re.compile(r"Do you trust the (?:files|contents)|Accessing workspace:|Is this a project you (?:created|trust)"),
    ),
    ("question", re.compile(r"^\s*(?:←\s+)?[☐☒✔] |Type something\.|Chat about this", re.MULTILINE)),
    ("login", re.compile(r"Select login method:|Paste code here|Browser didn.t open|Login successful")),
    ("update", re.compile(r"Try the new fullscreen renderer\?|[Uu]pdate available|What's new in")),
    (
        "limit",
        re.compile(
            r"(?:usage|session|weekly|rate) limit|hit your .{0,30}limit|What do you want to do\?", re.IGNORECASE
        ),
    ),
    (
        "resume",
        re.compile(
            r"^\s*Resume (?:Session|session|a conversation|this session)|Resume from summary"
            r"|^\s*Modified\s+Created\b.*\bSummary\b",  # the heads of its columns, in 1.x
            re.MULTILINE,
        ),
    ),
    *_ASKED,
)


BELOW_DIALOG = 8  # lines with words that may stand below a dialog's last option or key hint


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
        if not _RULE.match(lines[top]) or not _CARET.match(caret):
            continue
        if _OPTION.match(caret) and caret[1:2] != "\u00a0":
            continue  # the box has a no-break space after its caret, a menu has a space (measured, all versions)
        for bottom in range(top + 2, len(lines)):
            if _RULE.match(lines[bottom]):
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


def observe(view: ScreenView, was_ready: bool) -> Observation:
    """The state that the screen shows. `was_ready`: a box has been seen before, so this is no start."""
    lines = unframed(view)
    box = find_box(lines)
    if box is None:
        return _without_box(lines, was_ready)
    asked = _above_box(lines[: box.top])
    if asked is not None:
        return asked
    busy = _busy(lines, box)
    if not busy and TITLE_BUSY.match(view.title):
        # Streaming with text typed in the box, 2.1.329 shows neither spinner nor footer (measured, 80x24).
        busy = f"no spinner, but the title `{view.title[:40]}` says that it works"
    if busy:
        return Observation(SCREEN, State.BUSY, busy)
    return Observation(SCREEN, State.PROMPT, "input box, no spinner")


def _above_box(lines: tuple[str, ...]) -> Observation | None:
    """A dialog that is painted right above a box: a box alone proves nothing. What a person or the model wrote there
    is indented, or has no caret on an answer below a question of Claude Code's own."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    last = lines[max(0, end - 12) : end]
    options, menu = _options(list(last))
    if menu and _OPTION.match(last[-1]):
        for name, words in _ASKED:
            found = words.search(_asked(list(last)))
            if found:
                asks = letters(_before_options(list(last)))
                return Observation(
                    SCREEN, State.BLOCKED, f"dialog `{found.group(0).strip()}`", name, options, asks=asks
                )
    if last and re.match(r"(?i)^(?:press )?esc to cancel\b", last[-1]):
        return Observation(SCREEN, State.BLOCKED, f"`{last[-1][:60]}` above the box", "other", options)
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
        if _SPINNER.match(line) or _WAITING.match(line):
            return f"spinner `{line[:60]}`"
        if lowest and (_COUNTERS.match(line) or (line[:1] != " " and _INTERRUPTIBLE.match(line))):
            return f"`{line.strip()[:60]}` above the box"
        if _RETRYING.match(line):
            return f"retrying: `{line.strip()[:60]}`"
        if re.match(r"^\s+⎿\s+Running…", line):
            shell_running = True
        if line.startswith("! ") and shell_running:
            return f"shell mode `{line[:60]}`"
        if _DONE_LINE.match(line) or _BLOCK.match(line):
            break
    return ""


def _without_box(lines: tuple[str, ...], was_ready: bool) -> Observation:
    region = _dialog_region(lines)
    text = "\n".join(region)
    options, menu = _options(region)
    shown = [x for x in lines if x.strip()][-12:]
    working = next((x for x in reversed(shown) if _SPINNER.match(x) or _INTERRUPTIBLE.match(x)), None)
    if not text.strip() and working is None:
        return Observation(SCREEN, State.UNKNOWN if was_ready else State.STARTING, "an empty screen")
    if "Showing detailed transcript" in text:
        return Observation(SCREEN, State.UNKNOWN, "the transcript view (ctrl+o) is open")
    hint = _HINT.search(text)
    filled = [line for line in region if line.strip()]
    last = max((n for n, line in enumerate(filled) if _HINT.search(line) or _OPTION.match(line)), default=len(filled))
    if last < len(filled) - BELOW_DIALOG and (hint or _OPTION.match(filled[last])):
        # 1.0.60 leaves an answered dialog standing and paints below it; between two paints the box is missing.
        return Observation(SCREEN, State.UNKNOWN if was_ready else State.STARTING, "a dialog that was left behind")
    if menu or hint:
        for name, words, where in [(*d, _asked(region)) for d in _ASKED] + [(*d, text) for d in _DIALOGS]:
            found = words.search(where)
            if found and name == "trust" and any(option.endswith(" ✔") for option in options):
                # 2.1.80 keeps the dialog on the screen for seconds after it was answered.
                return Observation(SCREEN, State.STARTING, "the trust dialog was answered")
            if found:
                why, asks = f"dialog `{found.group(0).strip()}`", letters(_before_options(region))
                return Observation(SCREEN, State.BLOCKED, why, name, options, asks=asks)
        why = hint.group(0) if hint else f"❯ {options[0]}" if options else "a menu"
        return Observation(SCREEN, State.BLOCKED, f"no input box; a dialog with `{why}`", "other", options)
    if working is not None:
        return Observation(SCREEN, State.BUSY, f"`{working.strip()[:60]}`, and no box")
    if was_ready:
        return Observation(SCREEN, State.UNKNOWN, "no input box and no dialog that is known")
    return Observation(SCREEN, State.STARTING, "no input box yet")


def _dialog_region(lines: tuple[str, ...]) -> list[str]:
    """The lines of the dialog: below the last line of the conversation, from the first rule on.

    So the model's own words ("Do you want to proceed?") are never taken for a dialog's.
    """
    start = 0
    for n in range(len(lines) - 1, -1, -1):
        if _BLOCK.match(lines[n]) or re.match(r"^\s+⎿", lines[n]):
            start = n + 1
            break
    region = list(lines[start:])
    for n, line in enumerate(region):
        if _RULE.match(line) and any(x.strip() for x in region[n + 1 :]):
            return region[n + 1 :]
    return region


def _before_options(region: list[str]) -> str:
    """The lines above the first of the answers that stand last, without the empty ones."""
    first = max((n for n, line in enumerate(region) if re.match(r"^[\s│]*[❯>]?\s*1\.\s", line)), default=0)
    return "\n".join(line for line in region[:first] if line.strip())


def _asked(region: list[str]) -> str:
    """The two lines right above the answers."""
    return "\n".join(_before_options(region).split("\n")[-2:])


def _options(region: list[str]) -> tuple[tuple[str, ...], bool]:
    """The answers a dialog offers, in order, without their numbers; and whether a caret stands on one."""
    numbered: list[str] = []
    menu = False
    for line in region:
        found = _OPTION.match(line)
        if not found:
            continue
        number = int(found.group(2))
        if number == 1:
            numbered, menu = [], False  # a numbered list of the text above; the menu comes last
        if number == len(numbered) + 1:
            numbered.append(found.group(3).strip())
            menu = menu or bool(found.group(1))
    if menu and numbered:
        return tuple(numbered), True
    # Menus without numbers (2.1.329's trust dialog): the caret's line and its neighbours.
    for n, line in enumerate(region):
        found = _BARE_OPTION.match(line)
        if found and not _OPTION.match(line):
            first = last = n
            while first > 0 and region[first - 1].strip() and region[first - 1].startswith("  "):
                first -= 1
            while last + 1 < len(region) and region[last + 1].strip() and region[last + 1].startswith("  "):
                last += 1
            return tuple(x.strip(" │❯") for x in region[first : last + 1]), True
    return (), False


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
        if re.match(r"^\s{0,4}⎿", line) or _BLOCK.match(line) or _CARET.match(line) or len(block) > 12:
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
_EPOCH = re.compile(r"\|\s*(1[6-9]\d{8}|[2-3]\d{9})\b")


def classify(name: str, status: int | None, text: str) -> tuple[str, str | None]:
    """An API error's reason, out of the CLI's own name for it, its HTTP status and its words; and when to try again.

    Older versions end the words of a usage limit with `|<unix time>`; newer ones say "resets 3pm
    (Europe/Berlin)", which can't be turned into a time without a clock: it stays in the detail.
    """
    retry_at = None
    epoch = _EPOCH.search(text)
    if epoch:
        from datetime import UTC, datetime

        retry_at = datetime.fromtimestamp(int(epoch.group(1)), UTC).isoformat().replace("+00:00", "Z")
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

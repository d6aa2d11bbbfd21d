"""What Claude Code paints in place of its input box: dialogs, pages of the first start, panels of slash commands.

Pure functions on the lines of a screen; measured as `claude/screen.py` was, and with every slash command of 2.0.77,
2.1.197 and 2.1.329. Each has an end of its own kind: answers with a caret, or a line of keys (`Enter to confirm`,
`↓ to navigate · Esc to go back`). What stands at its head names it: below, a panel may hold any words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from harnex.model.facts import Observation, State, letters

SCREEN = "screen"

# A rule of the box: from column 0, over (nearly) the whole width; it may carry a label ("── name ──").
RULE = re.compile(r"^[─━▔▁]{8}")
# The spinner's glyph stands in column 0; what the model prints is indented or begins with a bullet.
SPINNER = re.compile(r"^[·✢✳✶✻✽∗*] \S.*…")
# What 1.x and 2.0 say beside the spinner, where a narrow screen wraps it onto a line of its own; words of the model
# are indented or have a bullet.
INTERRUPTIBLE = re.compile(r"^(?![●⏺•>❯]).*\b(?:esc|ctrl\+c) to interrupt\b", re.IGNORECASE)
BLOCK = re.compile(r"^[●⏺•]")  # a block of the conversation
# In narrow terminals the blank behind the number may be missing (2.1.30, 60 columns: `2.Yes, and don't ask again…`).
OPTION = re.compile(r"^[\s│]*(❯|>)?\s*(\d{1,2})\.(?:\s+|(?=[A-Z]))(\S.*?)[\s│]*$")
_BARE_OPTION = re.compile(r"^[\s│]*❯\s+(\S.*?)[\s│]*$")
_HINT = re.compile(
    r"\b(?:Enter|↵) to\s+(?:select|confirm|continue|submit)|\bEsc to\s+(?:cancel|exit|go back|close|reject|dismiss|skip)"
    r"|\bPress Enter to\s+continue|\bEnter to \w+ · |Tab to amend|to navigate\b",
    re.IGNORECASE,
)
# The last lines of a panel name its keys: `Enter/Space to change · Esc to cancel`, `Type to filter · ↓ to select`. The
# footer of the box has other ones (`esc to interrupt`, `tab to toggle`, `↓ to manage`), a tip of the greeting any.
_KEY = r"(?:enter|return|esc|tab|space|type|ctrl\+\w|↵|[↑↓←→](?:/[↑↓←→])?)"
_DOES = (
    r"(?:select|confirm|continue|submit|cancel|close|(?:go )?back|dismiss|clear|filter|search|change|navigate|switch|"
    r"save|apply|add|delete|remove|choose|move|return|skip|retry|try again)"
)
_KEYS = re.compile(rf"(?i)(?:^|[\s(·/]){_KEY}(?:/{_KEY})* to {_DOES}\b|\((?:←/→|tab).{{0,12}} to cycle\)")
_NOT_KEYS = re.compile(r"\bTip:|^\s*[│╰╭]")
_SLASH = re.compile(r"^[>❯]\s+(/[a-z][\w:-]*)")  # a command of the person, in the conversation
# The tabs of a panel, which name no keys while a page is being loaded.
_TABS = re.compile(
    r"\bStatus\s+Config\b|\bDiscover\s+Installed\b|\bgeneral\s+commands\b|\bAllow\s+Ask\s+Deny\b", re.IGNORECASE
)
_WORDS = re.compile(r"[^\W\d_]{2}")
BELOW_DIALOG = 8  # lines with words that may stand below a dialog's last option or key hint
HEAD_LINES = 3

# What is asked right above the answers decides: a command or a file that is shown may hold any words.
_ASKED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("plan", re.compile(r"Exit plan mode\?|Would you like to proceed\?|Ready to code\?|Enter plan mode\?")),
    (
        "permission",
        re.compile(r"Do you want to (?:proceed|continue|create|make|allow|overwrite|delete|edit|write|run|fetch)"),
    ),
)
# The steps of the first start and of `/login`: with and without choices, the last ones wait for a browser.
_LOGIN = re.compile(
    r"Select login method:|How do you want to sign in\?|Paste code here|Browser didn.t open|Opening browser to sign in"
    r"|Creating API key for Claude Code|OAuth error:|Login successful|^\s*Logged in as \S+@|Let.s get started\."
    r"|^\s*Security notes:|Use Claude Code.s terminal setup\?|^\s*Select (?:an? |your )?(?:organization|workspace)\b",
    re.MULTILINE,
)
# Where the words are looked for: in all of a dialog's lines, at its head, in its first line.
_Where = Literal["all", "head", "first"]
_DIALOGS: tuple[tuple[str, _Where, re.Pattern[str]], ...] = (
    ("api-key", "all", re.compile(r"Detected a custom API key in your environment")),
    ("bypass-warning", "all", re.compile(r"Claude Code running in Bypass Permissions mode", re.IGNORECASE)),
    (
        "trust",
        "all",
        re.compile(r"Do you trust the (?:files|contents)|Accessing workspace:|Is this a project you (?:created|trust)"),
    ),
    ("question", "first", re.compile(r"^\s*(?:←\s+)?[☐☒✔] ")),
    ("question", "all", re.compile(r"Type something\.|Chat about this")),
    ("login", "all", _LOGIN),
    ("update", "head", re.compile(r"Try the new fullscreen renderer\?|[Uu]pdate available|What's new in")),
    (
        "limit",
        "head",
        re.compile(
            r"(?:usage|session|weekly|rate) limit (?:reached|hit)|(?:hit|reached) your .{0,30}limit"
            r"|What do you want to do\?",
            re.IGNORECASE,
        ),
    ),
    (
        "resume",
        "all",
        re.compile(
            r"^\s*Resume (?:Session|session|a conversation|this session)\b(?! with:)|Resume from summary"
            r"|^\s*Modified\s+Created\b.*\bSummary\b",  # the heads of its columns, in 1.x
            re.MULTILINE,
        ),
    ),
)


def without_box(lines: Sequence[str], was_ready: bool) -> Observation:
    """The state of a screen with no input box. `was_ready`: a box has been seen before, so this is no start."""
    region = _region(lines)
    text = "\n".join(region)
    options, menu = options_in(region)
    shown = [x for x in lines if x.strip()][-12:]
    working = next((x for x in reversed(shown) if SPINNER.match(x) or INTERRUPTIBLE.match(x)), None)
    other = State.UNKNOWN if was_ready else State.STARTING
    if not text.strip() and working is None:
        return Observation(SCREEN, other, "an empty screen", needs=("history",))
    if "Showing detailed transcript" in text:
        return Observation(SCREEN, State.UNKNOWN, "the transcript view (ctrl+o) is open")
    hint = _keys(lines, text)
    spoken = [line for line in region if _WORDS.search(line)]
    tabs = _TABS.search(" ".join(spoken[:1]))
    command = _command(lines) or (tabs.group(0) if tabs else "")
    login = _LOGIN.search(text)
    if not command and _left_behind(region, hint):
        # 1.0.60 leaves an answered dialog standing and paints below it; between two paints the box is missing.
        return Observation(SCREEN, other, "a dialog that was left behind", needs=("history",))
    if menu or hint or command or login:
        named = _named(region, options)
        if named is not None:
            return named
        why = hint or (f"❯ {options[0]}" if menu and options else command or "a menu")
        return Observation(SCREEN, State.BLOCKED, f"no input box; a dialog with `{why}`", "other", options)
    if working is not None:
        if _ended(lines):
            return Observation(SCREEN, other, "no input box, and something wrote below it", needs=("history",))
        return Observation(SCREEN, State.BUSY, f"`{working.strip()[:60]}`, and no box")
    if was_ready:
        return Observation(SCREEN, State.UNKNOWN, "no input box and no dialog that is known", needs=("history",))
    return Observation(SCREEN, State.STARTING, "no input box yet", needs=("history",))


def _named(region: list[str], options: tuple[str, ...]) -> Observation | None:
    """The dialog by its name, None if it is none that is known."""
    spoken = [line for line in region if _WORDS.search(line)]
    where: dict[_Where, str] = {
        "all": "\n".join(region),
        "head": "\n".join(spoken[:HEAD_LINES]),
        "first": "\n".join(spoken[:1]),
    }
    places = [(name, words, asked_in(region)) for name, words in _ASKED]
    places += [(name, words, where[place]) for name, place, words in _DIALOGS]
    places += [(name, words, before_options(region)) for name, _, words in _DIALOGS if name == "limit"]
    for name, words, text in places:
        # A narrow screen breaks the words anywhere.
        found = words.search(text) or words.search(re.sub(r"[\s│]+", " ", text))
        if found and name == "trust" and any(option.endswith(" ✔") for option in options):
            # 2.1.80 keeps the dialog on the screen for seconds after it was answered.
            return Observation(SCREEN, State.STARTING, "the trust dialog was answered")
        if found:
            why, asks = f"dialog `{found.group(0).strip()}`", letters(before_options(region))
            return Observation(SCREEN, State.BLOCKED, why, name, options, asks=asks)
    return None


def question_above(lines: Sequence[str]) -> Observation | None:
    """A question of Claude Code's own at the end of these lines, its answers last; None if there is none."""
    options, menu = options_in(list(lines))
    if not menu or not lines or not OPTION.match(lines[-1]):
        return None
    for name, words in _ASKED:
        found = words.search(asked_in(list(lines)))
        if found:
            asks = letters(before_options(list(lines)))
            return Observation(SCREEN, State.BLOCKED, f"dialog `{found.group(0).strip()}`", name, options, asks=asks)
    return None


def _keys(lines: Sequence[str], text: str) -> str:
    """The keys that are named: known ones anywhere in the dialog, any at the end of the screen; "" for none."""
    known = _HINT.search(text)
    if known:
        return re.sub(r"\s+", " ", known.group(0))
    last = [line for line in lines if line.strip()][-3:]
    found = _KEYS.search(" ".join(line.strip() for line in last if not _NOT_KEYS.search(line)))
    return found.group(0).strip() if found else ""


def _command(lines: Sequence[str]) -> str:
    """The slash command whose panel is open: below it stand a rule and words, and no answer. "" if there is none."""
    for n in range(len(lines) - 1, -1, -1):
        if BLOCK.match(lines[n]) or re.match(r"^\s+⎿", lines[n]):
            return ""
        found = _SLASH.match(lines[n])
        if found:
            rule = next((k for k in range(n + 1, len(lines)) if RULE.match(lines[k])), None)
            return found.group(1) if rule is not None and any(map(_WORDS.search, lines[rule + 1 :])) else ""
    return ""


def _left_behind(region: list[str], hint: str) -> bool:
    filled = [line for line in region if _WORDS.search(line) or OPTION.match(line)]
    last = max((n for n, line in enumerate(filled) if _HINT.search(line) or OPTION.match(line)), default=len(filled))
    return last < len(filled) - BELOW_DIALOG and (bool(hint) or OPTION.match(filled[last]) is not None)


def _ended(lines: Sequence[str]) -> bool:
    """Whether words stand in column 0 below the spinner: a shell's, or the last ones of a program that has ended."""
    for line in reversed(lines):
        if SPINNER.match(line) or INTERRUPTIBLE.match(line):
            return False
        if re.match(r"[^\s─━▔▁│╭╰●⏺•❯>]", line):
            return True
    return False


def _region(lines: Sequence[str]) -> list[str]:
    """The lines of the dialog: below the last line of the conversation, from the first rule on.

    So the model's own words ("Do you want to proceed?") are never taken for a dialog's.
    """
    start = 0
    for n in range(len(lines) - 1, -1, -1):
        if BLOCK.match(lines[n]) or re.match(r"^\s+⎿", lines[n]):
            start = n + 1
            break
    region = list(lines[start:])
    for n, line in enumerate(region):
        if RULE.match(line) and any(x.strip() for x in region[n + 1 :]):
            return region[n + 1 :]
    return region


def before_options(region: list[str]) -> str:
    """The lines above the first of the answers that stand last, without the empty ones."""
    first = max((n for n, line in enumerate(region) if re.match(r"^[\s│]*[❯>]?\s*1\.\s", line)), default=0)
    return "\n".join(line for line in region[:first] if line.strip())


def asked_in(region: list[str]) -> str:
    """The two lines right above the answers."""
    return "\n".join(before_options(region).split("\n")[-2:])


def options_in(region: list[str]) -> tuple[tuple[str, ...], bool]:
    """The answers a dialog offers, in order, without their numbers; and whether a caret stands on one."""
    numbered: list[str] = []
    menu = False
    for line in region:
        found = OPTION.match(line)
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
        # A prompt of the conversation has its caret in column 0, too; it names no keys.
        if found and not OPTION.match(line) and (not line.startswith("❯") or any(map(_HINT.search, region))):
            first = last = n
            while first > 0 and region[first - 1].strip() and region[first - 1].startswith("  "):
                first -= 1
            while last + 1 < len(region) and region[last + 1].strip() and region[last + 1].startswith("  "):
                last += 1
            return tuple(x.strip(" │❯") for x in region[first : last + 1]), True
    return (), False

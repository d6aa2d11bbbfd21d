"""What a person may have opened over Codex's prompt, and the keys that close it. Pure.

Measured on 0.104 and 0.169 with single keys, each seen on the screen before the next: `!` as the first character
makes the composer a shell line (its mark in 0.169, text in 0.104); Ctrl-T opens the transcript and a second Esc the
prompts of before, `q` or Esc closes them; Ctrl-R (0.169) searches the history, Esc cancels that.
"""

from __future__ import annotations

import re

from harnex.agents.codex import screen as screens
from harnex.model.facts import OpenView, ScreenView

_SEARCH = re.compile(r"^\s*(?:reverse-i-search|bck-i-search|history search):", re.IGNORECASE)
_OVERLAY = re.compile(r"^/ (?:[A-Z] ){3}")  # `/ T R A N S C R I P T / / /`, the head of the pager up to 0.145
_PAGER = re.compile(r"^\s*q (?:close|to (?:quit|close))\b")
_BROWSING = re.compile(r"^Browsing transcript\b.*\besc back\b")
FOOTER_LINES = 3
ESC, BACKSPACE = b"\x1b", b"\x7f"


def opened(view: ScreenView, clear: bytes) -> OpenView | None:
    """What is open over the prompt, None if nothing is. `clear` empties the composer."""
    filled = [line for line in view.lines if line.strip()]
    footer = filled[-FOOTER_LINES:]
    if any(_SEARCH.match(line) for line in footer):
        return OpenView("the history search", ESC)
    row = screens.composer_row(view)
    if row is None:
        if footer and _BROWSING.match(footer[-1]):
            return OpenView("the list of prompts", ESC)
        pager = any(map(_OVERLAY.match, view.lines[:3])) or any(map(_PAGER.match, footer))
        return OpenView("the transcript view", b"q") if pager else None
    line = view.lines[row]
    text = line[1:].strip() if line.startswith("!") else line[screens.TEXT_COLUMN :]
    typed = view.cursor != (row, screens.TEXT_COLUMN)
    if line.startswith("!"):
        return OpenView("shell mode", clear if text else BACKSPACE, bool(text))
    if text.startswith("!") and typed:
        return OpenView("shell mode", clear, len(text.strip()) > 1)
    return None

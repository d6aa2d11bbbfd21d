"""What a person may have opened over Claude Code's prompt, and the keys that close it. Pure.

Measured on 1.0.128, 2.0.30, 2.0.77, 2.1.197 and 2.1.329 with single keys, each seen on the screen before the next:
`!`, `#` (up to 2.0) and `&` (2.0) as the first key switch the input box to another mode, which its mark shows; the mode
stays while the text is cleared, and one Backspace in the empty box leaves it. Ctrl-R searches the history (from 2.0
on), Ctrl-O opens the transcript: Esc closes both, and what was found stays in the box as a draft.
"""

from __future__ import annotations

import re

from harnex.agents.claude import screen as screen
from harnex.agents.contract import Version
from harnex.model.facts import OpenView, ScreenView

_MODES = {"!": "shell mode", "#": "memory mode", "&": "background mode"}
_SEARCH = re.compile(r"^\s*(?:search prompts:|no matching\b)", re.MULTILINE)
_TRANSCRIPT = "Showing detailed transcript"
_SUSPENDED = re.compile(r"^Claude Code (?:is|has been) suspended\. Run `fg`")
_INSERT = re.compile(r"^\s*-- INSERT --", re.MULTILINE)
_OTHER_VIM = re.compile(r"^\s*-- (?:VISUAL|VISUAL LINE|V-LINE|REPLACE) --", re.MULTILINE)
ESC, BACKSPACE = b"\x1b", b"\x7f"
CLEAR_LINES = 100
_UP = b"\x15\x7f" * CLEAR_LINES


def clear_keys(version: Version | None) -> tuple[bytes, ...]:
    """The keys that empty the input box, each in a write of its own; the later ones are for what the first left.

    1.x and 2.0 know Ctrl-L, but use a stale copy of the draft if the paste comes in the same write. Later ones only
    redraw on Ctrl-L, and take Ctrl-U with Backspace, line by line up to the cursor, also in one write. A history
    search leaves the cursor in the middle: Down and Ctrl-E go to the end first (2.1.80, 2.1.329; 2.1.80 takes no
    chunk of Ctrl-K, and 2.1.329 none of 64).
    """
    if version is not None and version < (2, 1):
        return (b"\x0c",)
    return (_UP, b"\x1b[B" * 20, b"\x05", _UP)


def suspended(lines: tuple[str, ...]) -> bool:
    """Whether its farewell at Ctrl-Z is the last that stands there (2.0.77, 2.1.329: with a line of advice)."""
    shown = [line for line in lines if line.strip()][-2:]
    return any(_SUSPENDED.match(line) for line in shown)


class Views:
    """One per session: vim's NORMAL mode shows nothing, so that only its INSERT mode, seen before, tells of it."""

    def __init__(self, version: Version | None) -> None:
        self._clear = clear_keys(version)[0]
        self._vim = False

    def opened(self, view: ScreenView) -> OpenView | None:
        """What is open over the prompt, None if nothing is."""
        lines = screen.unframed(view)
        if suspended(lines):
            return OpenView("the suspended agent", passes=True)  # it is told to continue
        box = screen.find_box(lines)
        if box is None:
            shown = [line for line in lines if line.strip()][-3:]
            return OpenView("the transcript view", ESC) if any(_TRANSCRIPT in line for line in shown) else None
        footer = "\n".join(lines[box.bottom + 1 :])
        if _SEARCH.search(footer):
            return OpenView("the history search", ESC)
        if box.mark in _MODES:
            return OpenView(_MODES[box.mark], self._clear if box.draft else BACKSPACE, bool(box.draft))
        return self._vim_mode(footer)

    def _vim_mode(self, footer: str) -> OpenView | None:
        """`editorMode: vim`: keys and pastes are text in INSERT mode only (2.0.77 drops a paste in NORMAL mode)."""
        if _OTHER_VIM.search(footer):
            return OpenView("vim's visual mode", ESC)
        if _INSERT.search(footer):
            self._vim = True
        elif self._vim:
            return OpenView("vim's normal mode", b"i")
        return None

"""What the scripted agent's screen looks like.

It has the box with the draft, dialogs, the status line, and the answer so far.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from harnex.rehearsal.tui.agent import Dialog
from harnex.rehearsal.tui.view import RULE, Frame, Line, View, width, wrap

PLACEHOLDER = 'Try "fix the failing tests"'
FOLD_CHARS, FOLD_LINES = 800, 3
GLYPHS = "·✢✳✶✻✽"


@dataclass
class Draft:
    """The text in the input box, as parts: (what is shown, what it stands for)."""

    parts: list[tuple[str, str]] = field(default_factory=list)
    pastes: int = 0

    def type(self, text: str) -> None:
        text = text.replace("\t", "    ")
        self.parts += [(c, c) for c in text]

    def paste(self, text: str) -> None:
        """Insert a paste. A big paste is folded to a placeholder."""
        lines = text.count("\n")
        if len(text) <= FOLD_CHARS and lines < FOLD_LINES:
            self.parts += [(c, c) for c in text]
            return
        self.pastes += 1
        self.parts.append((f"[Pasted text #{self.pastes} +{lines} lines]", text))

    def backspace(self) -> None:
        if self.parts:
            self.parts.pop()

    def clear(self) -> None:
        self.parts = []

    def text(self) -> str:
        return "".join(real for _, real in self.parts)

    def visible(self) -> str:
        return "".join(shown for shown, _ in self.parts)


@dataclass
class Shown:
    """The running turn on the screen.

    The answer's last line still grows; the lines before it are printed.
    """

    since: float = 0.0
    growing: str = ""
    begun: bool = False  # the first line of this block is printed
    retry: str = ""

    def take(self, view: View, kind: str, fields: dict[str, Any]) -> None:
        text = str(fields.get("text", ""))
        if kind == "text":
            self.growing += text
        elif kind == "retry":
            self.retry = text
        elif kind == "block":
            self.flush(view)
            if fields["kind_of"] == "thinking":
                view.print(f"Thinking: {text}", "2;3", indent="  ", first="∴ ")
        elif kind == "tool":
            self.flush(view)
            view.print(text, "1", indent="  ", first="● ")
        elif kind == "result":
            lines = text.split("\n")
            more = [f"… +{len(lines) - 4} lines"] if len(lines) > 5 else []
            view.print("\n".join([*lines[: 4 if more else 5], *more]), "2", indent="     ", first="  ⎿  ")

    def settle(self, view: View) -> None:
        """Print the lines of the answer that will not change any more."""
        lines = wrap(self.growing, view.columns - 3)
        for line in lines[:-1]:
            self._line(view, line)
        self.growing = lines[-1]

    def flush(self, view: View) -> None:
        self.settle(view)
        if self.growing:
            self._line(view, self.growing)
        self.growing, self.begun = "", False

    def _line(self, view: View, line: str) -> None:
        view.print(line, indent="  ", first="  " if self.begun else "● ")
        self.begun = True


def draw(
    columns: int,
    draft: Draft,
    dialog: Dialog | None,
    choice: int,
    queued: list[str],
    shown: Shown,
    busy: bool,
    status: str,
) -> Frame:
    """The live part of the screen."""
    rule = Line(RULE * (columns - 1), "2")
    if dialog is not None:
        return _dialog(dialog, choice, rule, columns)
    lines: list[Line] = []
    if shown.growing:
        lines.append(Line(("  " if shown.begun else "● ") + shown.growing))
    if busy and (status == "always" or (status == "no-stream" and not shown.growing) or shown.retry):
        seconds = time.monotonic() - shown.since
        glyph = GLYPHS[int(seconds * 5) % len(GLYPHS)]
        words = shown.retry or f"Working… ({int(seconds)}s · esc to interrupt)"
        lines.append(Line(f"{glyph} {words}", "35"))
    lines += [Line(f"  ↳ {text}", "2") for text in queued]
    lines.append(rule)
    top = len(lines)
    visible = draft.visible()
    rows = [part for line in visible.split("\n") for part in _split(line, columns - 4)]
    for i, row in enumerate(rows):
        lines.append(Line(("› " if i == 0 else "  ") + row))
    if not visible:
        lines[-1] = Line(f"› {PLACEHOLDER}", "2")
    cursor = (top + len(rows) - 1, 2 + width(rows[-1]))
    lines.append(rule)
    hint = "esc to interrupt · enter to queue" if busy and status == "always" else "/exit to leave"
    lines.append(Line(f"  {hint}", "2"))
    return Frame(lines, cursor)


def _dialog(dialog: Dialog, choice: int, rule: Line, columns: int) -> Frame:
    lines = [rule, Line(f" {dialog.title}", "1")]
    lines += [Line(f"   {text}", "2") for text in wrap(dialog.detail, columns - 5)[:6] if dialog.detail]
    lines.append(Line(""))
    for i, option in enumerate(dialog.options):
        lines.append(Line(f" {'❯' if i == choice else ' '} {i + 1}. {option}", "36" if i == choice else ""))
    lines += [Line(""), Line(" Enter to select · Esc to cancel", "2")]
    return Frame(lines)


def _split(text: str, columns: int) -> list[str]:
    """The text in rows of at most `columns` columns, with nothing left out."""
    out, row, used = [], "", 0
    for c in text:
        w = width(c)
        if used + w > columns:
            out.append(row)
            row, used = "", 0
        row, used = row + c, used + w
    return [*out, row]

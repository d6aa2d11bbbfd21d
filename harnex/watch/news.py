"""The signs by which a watch tells work from a standstill: news on the screen, tools, loops.

Pure.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from harnex.model.facts import ToolUse

SEEN_MAX = 5000  # lines remembered of one turn
# Characters of a tool's input that readers return: two longer inputs may differ after them.
TRUNCATED = 200
ERRORS = 6  # failures of the same tool in a row that count as a loop
PERIODS = (1, 2, 3)

# Spinner lines: `✢ Computing… (3s · ↓ 12 tokens)`, `⠋ Working…`, `• Working (3s • esc to
# interrupt)`. Both CLIs and most others begin their status line with a glyph that turns, and the
# words on that line change without any work being done.
_SPINNER = re.compile(r"^\s*[^\w\s\"'`(\[{<>|/\\#$%&=+-]{1,2}\s+\S.*(?:…|\.\.\.|esc to interrupt)")
_TOKENS = re.compile(r"[↓↑]\s*([\d.,]+\s*k?)\s*tokens", re.IGNORECASE)
_RETRY = re.compile(
    r"retrying in \d|re-?connecting\.\.\.|api error · retrying|\bretrying in\b.*\battempt\b|attempt \d+/\d+\b.*retry"
    r"|waiting for network",
    re.IGNORECASE,
)
_TIP = re.compile(r"^\s*(?:⎿\s*)?(?:└\s*)?(?:※\s*)?tip\b", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]+")


def retrying(lines: tuple[str, ...]) -> str:
    """The CLI's own line on the screen that it retries a call; "" if there is none.

    Only the last lines count.
    """
    shown = [line.strip() for line in lines if line.strip()]
    return next((line[:120] for line in reversed(shown[-14:]) if _RETRY.search(line)), "")


@dataclass(slots=True)
class Screen:
    """Tells news on a screen from what only moves: spinners, clocks, tips, a redraw for a person
    who attaches.

    A line is news when its letters (no digits, no glyphs) were not seen before in this turn. Text
    on a spinner line is not news, except the token count.
    """

    _lines: tuple[str, ...] = ()
    _seen: dict[str, None] = field(default_factory=dict)
    _tokens: str = ""

    def turn(self) -> None:
        """Begin a turn: what is on the screen now is old."""
        self._seen.clear()
        self._tokens = ""
        self.look(self._lines, news=False, again=True)

    def look(self, lines: tuple[str, ...], news: bool = True, again: bool = False) -> tuple[bool, bool]:
        """Take the screen; return (whether something moved, whether something is new).

        `news` False: harnex or a person made the screen move. `again`: look even if the lines are
        unchanged.
        """
        if lines == self._lines and not again:
            return False, False
        self._lines = lines
        new = False
        for line in lines:
            if not line:
                continue
            if _SPINNER.match(line) or _RETRY.search(line):
                counted = _TOKENS.search(line)
                if counted and counted[1] != self._tokens:
                    self._tokens, new = counted[1], True
                continue
            if _TIP.match(line):
                continue
            key = "".join(_LETTERS.findall(line))
            if key and key not in self._seen:
                self._seen[key] = None
                new = True
        while len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return news, news and new


@dataclass(slots=True)
class Loops:
    """Finds loops: the same tool call, the same short round of calls, or a tool that always fails.

    `again` repetitions in a row are a loop.
    """

    again: int = 5
    _calls: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=64))
    _started: dict[str, tuple[str, str]] = field(default_factory=dict)
    _failed: tuple[str, int] = ("", 0)

    def turn(self) -> None:
        """Count anew: a new task or message came."""
        self._calls.clear()
        self._failed = ("", 0)

    def tool(self, use: ToolUse) -> dict[str, object] | None:
        """Take a tool's start or end. Returns the evidence of a loop, or None."""
        if use.status == "started":
            call = (use.tool, use.input_preview)
            # A cut-off input does not show whether two calls are the same.
            unclear = len(use.input_preview) >= TRUNCATED or not use.input_preview
            self._calls.append((use.tool, f"?{use.call_id}") if unclear else call)
            return self._round()
        tool, count = self._failed
        self._failed = (use.tool, count + 1 if tool == use.tool else 1) if use.status == "failed" else ("", 0)
        if self._failed[1] >= max(ERRORS, self.again):
            return {"tool": use.tool, "what": "the same tool fails", "times": self._failed[1]}
        return None

    def _round(self) -> dict[str, object] | None:
        calls = list(self._calls)
        for period in PERIODS:
            length = period * self.again
            if len(calls) < length:
                continue
            last = calls[-length:]
            if all(last[n] == last[n % period] for n in range(length)):
                what = "the same call" if period == 1 else f"the same round of {period} calls"
                return {"tool": last[-1][0], "input": last[-1][1], "what": what, "times": self.again}
        return None


@dataclass(slots=True)
class Clocks:
    """When the turn began, when something last moved, and when something was last new.

    Monotonic seconds.
    """

    turn_since: float
    output: float
    progress: float
    what: str = "the turn began"  # what the last progress was
    retried: float = float("-inf")  # the last time that the CLI showed that it retries a call
    _retries: bool = False
    # The running tools: call id -> (name, since).
    tools: dict[str, tuple[str, float]] = field(default_factory=dict)

    @classmethod
    def at(cls, now: float) -> Clocks:
        return cls(now, now, now)

    def moved(self, now: float) -> None:
        """Note that something moved on the screen."""
        self.output = now

    def went_on(self, what: str, now: float) -> None:
        """Note progress; `what` says which."""
        self.progress, self.what = now, what

    def retries(self, said: bool, now: float) -> None:
        """Note whether the CLI shows now that it retries a call."""
        if said or self._retries:
            self.retried = now
        self._retries = said

    def tool(self, use: ToolUse, now: float) -> None:
        """Take a tool's start or end."""
        if use.status == "started":
            self.tools[use.call_id] = (use.tool, now)
        else:
            self.tools.pop(use.call_id, None)
        self.went_on(f"tool {use.tool} {use.status}".replace("  ", " "), now)

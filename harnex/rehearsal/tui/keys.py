"""Splits what the terminal sends: keys, typed text, pastes, and the terminal's replies to queries.

Pure.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import Literal

ESC = "\x1b"
PASTE_START, PASTE_END = f"{ESC}[200~", f"{ESC}[201~"
_CSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_CSI_PART = re.compile(r"\x1b\[[0-?]*[ -/]*$")
_STRING = re.compile(r"\x1b[\]P_^X].*?(?:\x07|\x1b\\)", re.DOTALL)
_RUN = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")
_KEYS = {"A": "up", "B": "down", "C": "right", "D": "left", "I": "focus-in", "O": "focus-out"}
_CONTROL = {
    "\x03": "ctrl-c",
    "\x04": "ctrl-d",
    "\x15": "ctrl-u",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x0c": "ctrl-l",
}


@dataclass(frozen=True)
class Token:
    """One piece of input, by `kind`.

    `text`: typed characters. `paste`: a bracketed paste. `burst`: text with an Enter inside that
    came in one read, which agents take for a paste. `key`: a key's name. `reply`: a reply of the
    terminal, unchanged.
    """

    kind: Literal["text", "paste", "burst", "key", "reply"]
    value: str


@dataclass
class Keys:
    """Splits input into tokens.

    `feed` takes what was read; `flush` returns a lone Esc that nothing followed for a moment.
    """

    buffer: str = ""
    pasting: bool = False
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    @property
    def waiting(self) -> bool:
        """Whether something is held back that `flush` would return."""
        return bool(self.buffer) and not self.pasting

    def flush(self) -> list[Token]:
        """Return what was held back: nothing more came, so it began with the Esc key."""
        if not self.waiting:
            return []
        rest, self.buffer = self.buffer[1:], ""
        return [Token("key", "esc"), *self._take(rest)]

    def feed(self, data: bytes) -> list[Token]:
        return self._take(self._decoder.decode(data))

    def _take(self, text: str) -> list[Token]:
        self.buffer += text
        out: list[Token] = []
        while self.buffer:
            if self.pasting:
                body, end, rest = self.buffer.partition(PASTE_END)
                if not end:
                    break
                self.pasting, self.buffer = False, rest
                out.append(Token("paste", body.replace("\r\n", "\n").replace("\r", "\n")))
            elif self.buffer[0] == ESC:
                token = self._escape()
                if token is None:
                    break
                if token.value:
                    out.append(token)
            elif found := _RUN.match(self.buffer):
                self.buffer = self.buffer[found.end() :]
                out.append(_typed(found.group()))
            else:
                name = _CONTROL.get(self.buffer[0])
                self.buffer = self.buffer[1:]
                if name:
                    out.append(Token("key", name))
        return out

    def _escape(self) -> Token | None:
        """The sequence at the start of the buffer; None if it is not complete yet."""
        if self.buffer.startswith(PASTE_START):
            self.buffer, self.pasting = self.buffer[len(PASTE_START) :], True
            return Token("key", "")
        if found := _CSI.match(self.buffer):
            self.buffer = self.buffer[found.end() :]
            name = _KEYS.get(found.group()[2:])
            return Token("key", name) if name else Token("reply", found.group())
        if found := _STRING.match(self.buffer):
            self.buffer = self.buffer[found.end() :]
            return Token("reply", found.group())
        if len(self.buffer) == 1 or _CSI_PART.match(self.buffer) or self.buffer[1] in "]P_^X":
            return None
        if self.buffer[1] == "O" and len(self.buffer) > 2:
            name, self.buffer = _KEYS.get(self.buffer[2], ""), self.buffer[3:]
            return Token("key", name)
        if self.buffer[1] == "\r":
            self.buffer = self.buffer[2:]
            return Token("text", "\n")
        self.buffer = self.buffer[1:]
        return Token("key", "esc")


def _typed(run: str) -> Token:
    if run == "\r":
        return Token("key", "enter")
    if "\r" in run:
        return Token("burst", run.rstrip("\r").replace("\r\n", "\n").replace("\r", "\n"))
    return Token("text", run)

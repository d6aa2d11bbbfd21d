"""What of the agent's output goes on to an attached person's terminal: what draws, and what the redraw can undo.

The person's terminal is not the agent's. It must not be made to write the clipboard, to show a notification of any
kind, to read or write files, to print, to move its window, or to answer a question: the answer would be typed to the
agent as if the person had pressed those keys. harnex's own screen does nothing of this either, so a viewer loses
nothing that `pane` shows.

Input is `Scanned.clean`: questions that the scanner answers are out of it, and sequences are whole, but for strings
that are longer than its limit. Sources: ECMA-48, xterm's ctlseqs, the lists of iTerm2, kitty, ConEmu and VTE.
"""

from __future__ import annotations

import re

CARRY_MAX = 4096  # of a sequence that is cut off by the end of a read
# Titles and hyperlinks. Not 52 (clipboard), 9, 99 and 777 (notifications; ConEmu's 9 runs macros), 1337 (iTerm2: files,
# clipboard), 50 (fonts), 4 and 10 to 19 (colours, which would stay), 7 and 133 (a shell's marks), 7501 (harnex reads it).
_OSC = (b"0;", b"1;", b"2;", b"8;")
# Terminals obey a control character inside of a sequence at once, and go on with the sequence.
_C0 = rb"[\x00-\x17\x19\x1c-\x1f\x7f]*+"
_PARAMETERS = rb"[\x00-\x17\x19\x1c-\x1f0-?\x7f]*+"
_TOKEN = re.compile(
    rb"\x1b" + _C0 + rb"(?:"
    rb"\](?P<osc>[^\x07\x18\x1a\x1b]*+)(?P<osc_end>\x07|\x1b\\|\x1b?\Z|[\x18\x1a]?)"
    # DCS, SOS, PM, APC: pictures, definitions of keys, tmux's way through to the terminal around it.
    rb"|[PX^_][^\x18\x1a\x1b]*+(?P<end>\x1b\\|\x1b?\Z|[\x18\x1a]?)"
    # CSI: i prints, t is about the window, x y c n and nearly all with an intermediate ask. ` q` is the cursor's shape.
    rb"|\[" + _PARAMETERS + rb"(?:[ticnxy]|(?! q|!p)[ -/]++" + _C0 + rb"[@-~])"
    rb"|\[" + _C0 + rb"(?:\?" + _PARAMETERS + rb"[uSm]|[>=]" + _PARAMETERS + rb"q)"  # they ask, too
    rb"|[ %]" + _C0 + rb"[0-~]|Z"  # 8-bit controls, another encoding; the oldest question
    rb"|\\|(?=\x1b)"  # what is left of a string that was cut off
    rb"|(?P<torn>(?:\[" + _PARAMETERS + rb"[ -/]*+|[ %])?+" + _C0 + rb"\Z)"
    rb")"
    rb"|\xc2(?:[\x80-\x9f]|(?P<half>\Z))"  # C1 in UTF-8; the emulator ignores it
    rb"|\x05"  # ENQ, answered by whatever the person has set
)
_OPEN = re.compile(rb"\x1b[\x00-\x17\x19\x1c-\x1f\x7f]*+(?:\[[\x00-\x17\x19\x1c-?\x7f]*+|[ -/]++)?+\Z|\xc2\Z")
_CANCEL = b"\x18"
_CONTROL = re.compile(rb"\xc2[\x80-\x9f]|[\x00-\x1f]")
_ENDS = {True: re.compile(rb"\x07|\x1b\\|[\x18\x1a]|\x1b(?!\Z)"), False: re.compile(rb"\x1b\\|[\x18\x1a]|\x1b(?!\Z)")}


class Viewable:
    """`feed` gives what goes on. One for all viewers, from the moment that the first of them comes."""

    def __init__(self) -> None:
        self._carry = b""
        self._dropping: re.Pattern[bytes] | None = None  # inside of a string: what ends it

    def feed(self, data: bytes) -> bytes:
        data, self._carry = self._carry + data, b""
        start = 0
        if self._dropping is not None:
            found = self._dropping.search(data)
            if found is None:
                self._carry = data[-1:] if data.endswith(b"\x1b") else b""
                return b""
            self._dropping = None
            # Another sequence cuts a string off, and begins there.
            start = found.start() if found[0] == b"\x1b" else found.end()
        if b"\x1b" not in data and b"\xc2" not in data and b"\x05" not in data:
            return data[start:]
        out: list[bytes] = []
        for token in _TOKEN.finditer(data, start):
            before = data[start : token.start()]
            start = token.end()
            out.append(before)
            # What was around that which is left out must not become a sequence.
            if _OPEN.search(before, max(0, before.rfind(b"\x1b"))):
                out.append(_CANCEL)
            if token["half"] is not None or token["torn"] is not None:
                self._carry = token[0] if len(token[0]) <= CARRY_MAX else b""
            elif token["osc"] is not None and token["osc_end"] in (b"\x07", b"\x1b\\"):
                if token["osc"].startswith(_OSC):
                    out.append(b"\x1b]" + _CONTROL.sub(b"", token["osc"]) + token["osc_end"])
            else:
                self._string(token)
        out.append(data[start:])
        return b"".join(out)

    def _string(self, token: re.Match[bytes]) -> None:
        """A string that the read cuts off is dropped to its end, however far that is."""
        end = token["osc_end"] if token["osc"] is not None else token["end"]
        if end in (b"", b"\x1b") and token.end() == len(token.string):
            self._dropping = _ENDS[token["osc"] is not None]
            self._carry = end

"""Filters the agent's output for an attached person's terminal: what draws goes on, and what a
redraw can undo.

The person's terminal is not the agent's. The agent must not make that terminal write the clipboard,
show any notification, read or write files, print, move its window, or answer a question: the reply
would be typed to the agent as if the person had pressed those keys. harnex's own screen does none
of this either, so a viewer loses nothing that `pane` shows.

The input is `Scanned.clean`: it has no questions that the scanner answers, and its sequences are
whole, except strings that are longer than the scanner's limit. Sources: ECMA-48, xterm's ctlseqs,
the lists of iTerm2, kitty, ConEmu and VTE.
"""

from __future__ import annotations

import re

CARRY_MAX = 4096  # bytes kept of a sequence that the end of a read cuts off
# The OSC codes that go on: titles and hyperlinks. Left out are 52 (clipboard), 9, 99 and 777
# (notifications; ConEmu's 9 runs macros), 1337 (iTerm2: files, clipboard), 50 (fonts), 4 and 10 to
# 19 (colours, which would stay), 7 and 133 (a shell's marks), and 7501 (harnex reads it).
_OSC = (b"0;", b"1;", b"2;", b"8;")
# A terminal obeys a control character inside a sequence at once, and then goes on with the
# sequence.
_C0 = rb"[\x00-\x17\x19\x1c-\x1f\x7f]*+"
_PARAMETERS = rb"[\x00-\x17\x19\x1c-\x1f0-?\x7f]*+"
_TOKEN = re.compile(
    rb"\x1b" + _C0 + rb"(?:"
    rb"\](?P<osc>[^\x07\x18\x1a\x1b]*+)(?P<osc_end>\x07|\x1b\\|\x1b?\Z|[\x18\x1a]?)"
    # DCS, SOS, PM, APC carry pictures, definitions of keys, and tmux's passthrough to the outer
    # terminal.
    rb"|[PX^_][^\x18\x1a\x1b]*+(?P<end>\x1b\\|\x1b?\Z|[\x18\x1a]?)"
    # CSI: `i` prints, `t` is about the window, `x y c n` and nearly all with an intermediate ask
    # questions. ` q` sets the cursor's shape.
    rb"|\[" + _PARAMETERS + rb"(?:[ticnxy]|(?! q|!p)[ -/]++" + _C0 + rb"[@-~])"
    # These ask questions, too.
    rb"|\[" + _C0 + rb"(?:\?" + _PARAMETERS + rb"[uSm]|[>=]" + _PARAMETERS + rb"q)"
    rb"|[ %]" + _C0 + rb"[0-~]|Z"  # 8-bit controls and other encodings; `Z` is the oldest question
    rb"|\\|(?=\x1b)"  # the rest of a string that was cut off
    rb"|(?P<torn>(?:\[" + _PARAMETERS + rb"[ -/]*+|[ %])?+" + _C0 + rb"\Z)"
    rb")"
    rb"|\xc2(?:[\x80-\x9f]|(?P<half>\Z))"  # C1 in UTF-8; the emulator ignores it
    rb"|\x05"  # ENQ: the terminal answers with a text that the person has set
)
_OPEN = re.compile(rb"\x1b[\x00-\x17\x19\x1c-\x1f\x7f]*+(?:\[[\x00-\x17\x19\x1c-?\x7f]*+|[ -/]++)?+\Z|\xc2\Z")
_CANCEL = b"\x18"
_CONTROL = re.compile(rb"\xc2[\x80-\x9f]|[\x00-\x1f]")
_ENDS = {True: re.compile(rb"\x07|\x1b\\|[\x18\x1a]|\x1b(?!\Z)"), False: re.compile(rb"\x1b\\|[\x18\x1a]|\x1b(?!\Z)")}


class Viewable:
    """The filter for all viewers of a session, created when the first viewer comes.

    `feed` returns what goes on.
    """

    def __init__(self) -> None:
        self._carry = b""
        # Set while inside a dropped string: the pattern that ends the string.
        self._dropping: re.Pattern[bytes] | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the part of `data` that may go to a person's terminal.

        A sequence cut off at the end waits for the next call.
        """
        data, self._carry = self._carry + data, b""
        start = 0
        if self._dropping is not None:
            found = self._dropping.search(data)
            if found is None:
                self._carry = data[-1:] if data.endswith(b"\x1b") else b""
                return b""
            self._dropping = None
            # Another sequence cuts the string off, and begins here.
            start = found.start() if found[0] == b"\x1b" else found.end()
        if b"\x1b" not in data and b"\xc2" not in data and b"\x05" not in data:
            return data[start:]
        out: list[bytes] = []
        for token in _TOKEN.finditer(data, start):
            before = data[start : token.start()]
            start = token.end()
            out.append(before)
            # The bytes around a dropped sequence must not join into a new sequence.
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
        """Drop a string that the read cuts off, up to its end, however far away the end is."""
        end = token["osc_end"] if token["osc"] is not None else token["end"]
        if end in (b"", b"\x1b") and token.end() == len(token.string):
            self._dropping = _ENDS[token["osc"] is not None]
            self._carry = end

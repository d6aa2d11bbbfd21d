"""Text that is safe to show: what a terminal would obey, or nobody would see, is written out as
`\\u001b`.

The form is the same for words and for JSON. In JSON these characters can only be inside strings,
where `\\uXXXX` means the same, so JSON stays JSON. Pure and light: no `re`, because the hot path
uses this module.
"""

from __future__ import annotations

# Hidden besides C0 (all but tab and newline), DEL and C1: characters that are invisible, or that
# turn the text around them.
_HIDDEN = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xD800, 0xDFFF), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0xFFFE, 0xFFFF), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)  # fmt: skip
# Joiners of letters and emoji; selectors of text or emoji style.
_JOINERS, _STYLES = "\u200c\u200d", "\ufe0e\ufe0f"
_SOMETIMES, _KEYCAP = frozenset(_JOINERS + _STYLES), "\u20e3"


def visible(text: str) -> str:
    """`text` with its control characters shown.

    Newlines and tabs stay; `\\r\\n` becomes a newline.
    """
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return _shown(text.replace("\r\n", "\n"), _IN_TEXT)


def one_line(text: str) -> str:
    """`text` as one line, for a table cell, a path, a title: newlines and tabs are shown, too."""
    return text if text.isascii() and text.isprintable() else _shown(text, _IN_LINE)


class _Table(dict[int, int | str]):
    """A table for `str.translate` that learns each character when it first meets it."""

    def __init__(self, kept: str) -> None:
        super().__init__({ord(char): ord(char) for char in kept})

    def __missing__(self, code: int) -> int | str:
        shown: int | str = _escape(code) if _is_hidden(code) else code
        if len(self) < 10_000:
            self[code] = shown
        return shown


def _is_hidden(code: int) -> bool:
    return code < 0x20 or 0x7F <= code <= 0x9F or any(first <= code <= last for first, last in _HIDDEN)


def _escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


_IN_TEXT, _IN_LINE = _Table("\n\t"), _Table("")


def _shown(text: str, table: _Table) -> str:
    if _SOMETIMES.isdisjoint(text):
        return text.translate(table)
    out = []
    for at, char in enumerate(text):
        if char in _SOMETIMES and _belongs(text[max(0, at - 1) : at], char, text[at + 1 : at + 2]):
            out.append(char)
        else:
            shown = table[ord(char)]
            out.append(shown if isinstance(shown, str) else char)
    return "".join(out)


def _belongs(before: str, char: str, after: str) -> bool:
    """Whether an invisible character does its proper work: some join the parts of an emoji, or
    letters of some scripts.

    Between Latin letters such a character only makes a word look like another word.
    """
    if not before or (_is_hidden(ord(before)) and before not in _STYLES):
        return False
    if char in _JOINERS:
        return before >= "\u0600" and after >= "\u0600" and not _is_hidden(ord(after))
    return before not in _STYLES and (before >= "\u203c" or before in "\xa9\xae" or after == _KEYCAP)

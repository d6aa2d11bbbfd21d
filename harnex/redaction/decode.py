"""What a text says when its escapes are taken off, with the original place of each part.

Used to find secrets. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Iterator
from json.encoder import encode_basestring, encode_basestring_ascii

RUN = 24  # characters; the shortest run of base64 or hex that is decoded
_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{RUN},}}={{0,2}}")
_RUN_MAX = 1 << 16
_VARIED = 6  # different characters that a run must have: `--------` says nothing
_TOKEN = re.compile(
    r"(?:\\{1,15}u[0-9a-fA-F]{4})+"  # backslashes are doubled for each time JSON was put into JSON
    r"|\\{1,15}x[0-9a-fA-F]{2}"
    r"|\\{1,15}[\"/bfnrt']|\\\\"
    r"|(?:%[0-9A-Fa-f]{2})+"
    r"|&#(?:x[0-9A-Fa-f]{1,6}|[0-9]{1,7});|&(?:amp|quot|lt|gt);"
    r"|\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)"
    r"|[\u200b-\u200d\u2060\ufeff\u00ad]"
    r"|(?<=[A-Za-z0-9+/=_-]{16})\r?\n[ \t]*(?=[A-Za-z0-9+/=_-]{4})"
)
_LETTER = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ENTITY = {"&amp;": "&", "&quot;": '"', "&lt;": "<", "&gt;": ">"}
_HINTS = ("\\", "%", "\x1b", "&", "\n", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad")


def may_be_coded(text: str) -> bool:
    """Whether `decoded` could find anything to take off."""
    return any(hint in text and (hint != "\n" or _TOKEN.search(text) is not None) for hint in _HINTS)


def coded_places(text: str) -> Iterator[int]:
    """The positions where `decoded` would take something off. Lazy.

    The ends of rows are left out: callers with rows know them better.
    """
    for hint in _HINTS:
        at = text.find(hint) if hint != "\n" else -1
        while at >= 0:
            match = _TOKEN.match(text, at)
            if match is not None:
                yield at
            at = text.find(hint, at + 1 if match is None else match.end())


class View:
    """A decoded text, and the original place of each part."""

    def __init__(self, parts: list[tuple[str, int, int, bool]]) -> None:
        """`parts` are (decoded text, start, end, plain): start and end are places in the original.

        `plain`: the text stands there letter by letter.
        """
        self.text = "".join(part[0] for part in parts)
        self._parts = parts
        self._starts: list[int] = []
        at = 0
        for part in parts:
            self._starts.append(at)
            at += len(part[0])

    def back(self, span: tuple[int, int]) -> tuple[int, int]:
        """The place in the original of a place in the decoded text; both are (start, end)."""
        first = bisect_right(self._starts, span[0]) - 1
        last = bisect_right(self._starts, span[1] - 1) - 1
        _, start, _, plain = self._parts[first]
        if plain:
            start += span[0] - self._starts[first]
        _, begin, end, plain = self._parts[last]
        if plain:
            end = begin + span[1] - self._starts[last]
        return start, end


def decoded(text: str) -> View | None:
    """One layer of escapes taken off; None if there is none.

    Taken off are JSON and C escapes, percent signs, entities, colours, and line wraps in a long
    word.
    """
    parts: list[tuple[str, int, int, bool]] = []
    at = 0
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        if start > at:
            parts.append((text[at:start], at, start, True))
        said = _said(match[0])
        if said:
            parts.append((said, start, end, False))
        at = end
    if at == 0:
        return None
    if at < len(text):
        parts.append((text[at:], at, len(text), True))
    return View(parts) if parts else None


def _said(token: str) -> str:
    if token[0] == "\\":
        body = token.lstrip("\\")
        if body[:1] == "u":
            words = re.findall(r"u([0-9a-fA-F]{4})", token)
            raw = b"".join(int(word, 16).to_bytes(2, "big") for word in words)
            return raw.decode("utf-16-be", "replace")
        if body[:1] == "x":
            return chr(int(body[1:3], 16))
        return _LETTER.get(body, body) if body else "\\"
    if token[0] == "%":
        return bytes.fromhex(token.replace("%", "")).decode("utf-8", "replace")
    if token[0] == "&":
        if token in _ENTITY:
            return _ENTITY[token]
        number = int(token[3:-1], 16) if token[2] == "x" else int(token[2:-1])
        return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "?"
    return ""


def runs(text: str) -> Iterator[tuple[int, int]]:
    """The places (start, end) of long runs of base64 or hex characters. Lazy."""
    for match in _RUN.finditer(text):
        if match.end() - match.start() <= _RUN_MAX and len(set(match[0][:64])) >= _VARIED:
            yield match.span()


def hex_text(run: str) -> str | None:
    """A run of hex digits as the text that it may be; None if it is no text."""
    try:
        return _readable(bytes.fromhex(run))
    except ValueError:
        return None


def base64_text(run: str) -> Iterator[str]:
    """A run of base64 characters as the texts that it may be: the first characters may not belong
    to it.

    Lazy.
    """
    run = run.rstrip("=").replace("-", "+").replace("_", "/")
    for shift in range(4):
        body = run[shift:]
        body = body[: len(body) - (len(body) % 4 == 1)]
        try:
            text = _readable(base64.b64decode(body + "=" * (-len(body) % 4)))
        except (binascii.Error, ValueError):
            continue
        if text is not None:
            yield text


def _readable(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    odd = sum(1 for c in text[:200] if c < " " and c not in "\t\r\n")
    return text if odd == 0 else None


def _quoted(raw: bytes, safe: bytes = b"") -> str:
    """Percent-encoded, as in a URL.

    (`urllib` reaches the network, and has no place in a pure package.)
    """
    kept = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~" + safe
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in raw)


def forms_of(value: str) -> set[str]:
    """The forms in which a secret may appear.

    Plain, in JSON, in a URL, in hex, and in base64 (its middle, at each of three alignments).
    """
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, encode_basestring_ascii(value)[1:-1], encode_basestring(value)[1:-1]}
    forms |= {_quoted(raw), _quoted(raw, b"/")}
    forms |= {binascii.hexlify(raw).decode(), binascii.hexlify(raw).decode().upper()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        # The first characters also depend on what stands before the secret, the last characters on
        # what follows.
        middle = coded[(0, 2, 3)[shift] : len(coded) - (0, 3, 2)[(shift + len(raw)) % 3]].decode()
        if len(middle) >= 10:
            forms |= {middle, middle.replace("+", "-").replace("/", "_")}
    return forms

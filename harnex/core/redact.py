"""Secrets out of text, before it is written anywhere (DESIGN section 8): exact values, and well-known shapes.

Works on structured text (events, transcripts, screen rows), never on raw TUI bytes, where a key is cut up by cursor
moves. The literals are looked for with `in` first: text without any of them costs no regex.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

MARK = "[redacted]"
MIN_LENGTH = 8
_FRAGMENTS = 200

_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|PRIVATE|DSN|WEBHOOK", re.IGNORECASE)
_NOT_SECRET = re.compile(r"true|false|yes|no|on|off|none|null|default|disabled|enabled|required|[\d.,:-]{1,12}", re.I)
_VALUE = r"[A-Za-z0-9+/=_.~!@#$%^&*-]"

# Shape and the literals (lower case) of which one must be in the text. Group 1, where there is one, is kept.
_SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|[A-Za-z0-9+/=\s\\]*)",
        ("private key-----",),
    ),
    (r"\bsk-(?:ant|or|proj|svcacct|admin|lf)-[A-Za-z0-9_-]{12,}", ("sk-",)),
    (r"\b[sr]k[-_](?:live[-_]|test[-_])?[A-Za-z0-9]{20,}", ("sk-", "sk_", "rk_", "rk-")),
    (r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", ("akia", "asia", "abia", "acca")),
    (
        r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    (r"\bAIza[A-Za-z0-9_-]{30,}", ("aiza",)),
    (r"\bxox[a-z]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}", ("xox", "xapp-")),
    (r"\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}", ("npm_", "pypi-")),
    (r"\b(?:(?:hf|gsk)_|xai-)[A-Za-z0-9]{20,}|\bglpat-[A-Za-z0-9_-]{16,}", ("hf_", "gsk_", "xai-", "glpat-")),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", ("eyj",)),
    (r"(\b(?:bearer|basic)\s+)[A-Za-z0-9+/=_.~-]{12,}", ("bearer", "basic")),
    (rf"(\bx-[a-z-]*(?:key|token)[\"']?\s*[:=]\s*[\"']?){_VALUE}{{8,}}", ("x-",)),
    (r"(\b[a-z][a-z0-9+.-]*://[^\s:/@\"']*:)[^\s/@\"']{3,}(?=@)", ("://",)),
    (
        (
            r"((?:api[_-]?key|access[_-]?key|token|secret|passw(?:or)?d)[\\\"']{0,3}[ \t]{0,3}[:=]\s*[\\\"']{0,3})"
            rf"(?!\[redacted\]|[A-Za-z_.]+[(\[]){_VALUE}{{8,}}"
        ),
        tuple(
            word + sign
            for word in ("key", "token", "secret", "password", "passwd")
            for sign in ("=", ":", '"', "'", "\\", " =", " :", "  ", "\t")
        ),  # the words alone are on every screen of Claude Code: "24 tokens"
    ),
)
_COMPILED = tuple((re.compile(shape, re.IGNORECASE | re.DOTALL), literals) for shape, literals in _SHAPES[10:])
_COMPILED = (
    tuple((re.compile(shape, re.DOTALL), literals) for shape, literals in _SHAPES[:10]) + _COMPILED
)  # the shapes of vendors are exact in their case; the words around a value are not


def secret_values(env: Mapping[str, str]) -> set[str]:
    """The values of variables that look like secrets by their name; not paths, switches and small numbers."""
    found = set()
    for name, value in env.items():
        value = value.strip()
        if len(value) < MIN_LENGTH or not _NAME.search(name) or _NOT_SECRET.fullmatch(value):
            continue
        if value.startswith(("/", "~/", "./", "../")) and not re.search(r"[+=]", value):
            continue
        found.add(value)
    return found


def _quoted(raw: bytes, safe: bytes = b"") -> str:
    """Percent-encoded, as in a URL (`urllib` reaches the network, and has no place in the pure half)."""
    kept = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~" + safe
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in raw)


def _forms(value: str) -> set[str]:
    """A secret as it may appear: plain, in JSON, in a URL, in base64 (its middle, at each of three alignments)."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, encode_basestring_ascii(value)[1:-1], encode_basestring(value)[1:-1]}
    forms |= {_quoted(raw), _quoted(raw, b"/")}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        # The first characters also depend on what stands before the secret, the last on what follows.
        middle = coded[(0, 2, 3)[shift] : len(coded) - (0, 3, 2)[(shift + len(raw)) % 3]].decode()
        if len(middle) >= 10:
            forms |= {middle, middle.replace("+", "-").replace("/", "_")}
    return forms


class Redactor:
    """Replaces secrets by `[redacted]`; `count` says how many so far."""

    def __init__(self, secrets: Iterable[str] = (), extra_patterns: Iterable[str] = ()) -> None:
        self.count = 0
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= MIN_LENGTH:
                forms |= _forms(secret)
        self._values = sorted(forms, key=lambda form: (-len(form), form))
        self._extra = [re.compile(pattern) for pattern in extra_patterns]
        self._fragments: dict[str, None] = {}  # the rows of secrets that wrapped: they may stand alone later

    def text(self, text: str) -> str:
        for value in self._values:
            if value in text:
                self.count += text.count(value)
                text = text.replace(value, MARK)
        lower = text.lower()
        for pattern, literals in _COMPILED:
            for literal in literals:
                if literal in lower:
                    text = self._sub(pattern, text)
                    break
        for pattern in self._extra:
            text = self._sub(pattern, text)
        return text

    def clean(self, value: Any) -> Any:
        """A JSON value with every text in it redacted; not counted, since records are written again and again."""
        if isinstance(value, str):
            count = self.count
            value, self.count = self.text(value), count
            return value
        if isinstance(value, dict):
            return {key: self.clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(inner) for inner in value]
        return value

    def _sub(self, pattern: re.Pattern[str], text: str) -> str:
        return pattern.sub(self._mark, text)

    def _mark(self, found: re.Match[str]) -> str:
        kept = found[1] if found.re.groups and found[1] else ""
        if found[0] == kept + MARK:
            return found[0]
        self.count += 1
        return kept + MARK

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the secrets of `text` are, merged and in order: for callers that must keep its length."""
        found: list[tuple[int, int]] = []
        for value in self._values:
            # The beginning of a value counts as well: a key that is being typed must not be in the frames before.
            least = _least(value)
            at = text.find(value[:least])
            while at >= 0:
                end = at + least
                while end - at < len(value) and end < len(text) and text[end] == value[end - at]:
                    end += 1
                found.append((at, end))
                at = text.find(value[:least], end)
        for fragment in self._fragments:
            at = text.find(fragment)
            while at >= 0:
                found.append((at, at + len(fragment)))
                at = text.find(fragment, at + len(fragment))
        lower = text.lower()
        patterns = [p for p, literals in _COMPILED if any(literal in lower for literal in literals)]
        for pattern in [*patterns, *self._extra]:
            for match in pattern.finditer(text):
                start = match.end(1) if pattern.groups and match[1] else match.start()
                found.append((start, match.end()))
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def redact_lines(self, lines: Sequence[str], columns: int, widths: Sequence[int] | None = None) -> list[str]:
        """Screen rows, each kept on its own row and as long as it was; a secret that wraps is found.

        A row that is full to the last column goes on in the next one. Programs also wrap inside a frame, with a
        margin: so a row that ends in a run of key characters is joined to the next one's first word as well.
        `widths` are the cells of each row, if wide characters make them differ from its characters.
        """
        out = list(lines)
        if not self.spans_possible(lines):
            return out
        hidden: set[tuple[int, int]] = set()
        for joined, places in (_join_full(lines, columns, widths), _join_words(lines)):
            for start, end in self.spans(joined):
                hidden.update(place for place in places[start:end] if place[0] >= 0)
        for row in {row for row, _ in hidden}:
            columns_hidden = sorted(column for r, column in hidden if r == row)
            self._hide(out, row, columns_hidden)
        return out

    def spans_possible(self, lines: Sequence[str]) -> bool:
        """False when no literal of any pattern, and no beginning of a known value, is in the lines."""
        text = "\n".join(lines)
        lower = text.lower()
        if self._extra or any(literal in lower for _, literals in _COMPILED for literal in literals):
            return True
        if any(fragment in text for fragment in self._fragments):
            return True
        return any(value[: min(6, _least(value))] in text for value in self._values)

    def _hide(self, out: list[str], row: int, columns: list[int]) -> None:
        line = list(out[row])
        start = 0
        for at in range(1, len(columns) + 1):
            if at == len(columns) or columns[at] != columns[at - 1] + 1:
                first, length = columns[start], at - start
                if length >= MIN_LENGTH:
                    self._fragments[out[row][first : first + length]] = None
                    while len(self._fragments) > _FRAGMENTS:
                        del self._fragments[next(iter(self._fragments))]
                line[first : first + length] = (MARK if length >= len(MARK) else "").ljust(length, "*")
                self.count += 1
                start = at
        out[row] = "".join(line)


def _least(value: str) -> int:
    return max(6, min(12, len(value) // 2))


Place = tuple[int, int]


def _join_full(lines: Sequence[str], columns: int, widths: Sequence[int] | None) -> tuple[str, list[Place]]:
    text: list[str] = []
    places: list[Place] = []
    for row, line in enumerate(lines):
        text.append(line)
        places += [(row, column) for column in range(len(line))]
        if (widths[row] if widths else len(line)) < columns:
            text.append("\n")
            places.append((-1, 0))
    return "".join(text), places


_TAIL = re.compile(r"[A-Za-z0-9+/=_.~-]{6,}[\s│┃|║]*$")
_HEAD = re.compile(r"^[\s│┃|║>❯•⎿]*(?=[A-Za-z0-9+/=_.~-])")


def _join_words(lines: Sequence[str]) -> tuple[str, list[Place]]:
    """Rows joined where the last word may go on in the next row, without the frame and the margin between them."""
    text: list[str] = []
    places: list[Place] = []
    start = 0
    for row, line in enumerate(lines):
        end = len(line)
        tail = _TAIL.search(line)
        following = _HEAD.match(lines[row + 1]) if row + 1 < len(lines) else None
        goes_on = tail is not None and following is not None
        if tail is not None and goes_on:
            end = len(line) - (len(tail[0]) - len(tail[0].rstrip(" \t\xa0│┃|║")))
        text.append(line[start:end])
        places += [(row, column) for column in range(start, end)]
        if goes_on and following is not None:
            start = following.end()
        else:
            text.append("\n")
            places.append((-1, 0))
            start = 0
    return "".join(text), places

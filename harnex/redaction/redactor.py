"""Takes secrets out of text before the text is written anywhere (DESIGN section 8).

The redactor looks for known values (also pieces of them), for the shapes of `redaction/shapes.py`,
and for both again in the text after its escapes, percent signs, colours, line wraps, base64 and hex
are decoded. It works on structured text (events, evidence records, screen rows), never on raw TUI
bytes, where cursor moves cut a key up.

Literals are looked for with `in` first: text without any of them costs no regex.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NewType, Protocol

from harnex.redaction.decode import RUN, base64_text, coded_places, decoded, forms_of, hex_text, may_be_coded, runs
from harnex.redaction.shapes import MIN_LENGTH, SHAPES, is_secret_field, is_secret_name, is_strong, secret_values
from harnex.redaction.wrap import join_full, join_words, merged, pem_rows, windows

__all__ = ["MARK", "Clean", "Redactor", "secret_values"]

MARK = "[redacted]"
GRAM = 8
STRIDE = 5
VARIED = 4  # different characters that a piece must have
PIECE = GRAM + STRIDE - 1  # a piece of a known value with this many characters is always found
LEARNED_MAX = 200
LEARNED_LENGTH = 4096
TRUNCATED = 6  # characters of a known value that count at the end of a text that was cut off
DEPTH = 3  # layers of coding, such as a secret in JSON in a URL in JSON
# Characters of a line that a person's own pattern sees at a time: the search can't run away.
EXTRA_LINE = 4096
TURN = 64 << 10  # characters of a long text that are searched in one go
OVERLAP = 24 << 10  # characters that two neighbouring parts share: longer than any shape
# JSON keys whose values harnex works with.
PATHS = frozenset(("cwd", "repo", "events_path", "socket", "path", "summary_out"))
_CHARS = re.compile(r"[A-Za-z0-9_+/=.~-]+")

Span = tuple[int, int]
# A record without secrets. Everything that writes records takes only this type, so that none can go
# around the redactor.
Clean = NewType("Clean", dict[str, Any])


class Finder(Protocol):
    """Finds by a person's own pattern.

    `slow` counts the texts for which the search was given up. Such a text was covered whole.
    """

    source: str
    slow: int

    def spans(self, text: str) -> list[Span]: ...


class _Unbounded:
    """A pattern without a time limit, for callers that chose the pattern themselves."""

    def __init__(self, source: str) -> None:
        self.source, self.slow = source, 0
        self._pattern = re.compile(source)

    def spans(self, text: str) -> list[Span]:
        return list(own_spans(self._pattern, text))


def masked(text: str) -> str:
    """A cover as long as `text`: the mark and stars."""
    return (MARK if len(text) >= len(MARK) else "").ljust(len(text), "*")


class Redactor:
    """Replaces secrets by `[redacted]`; `count` is the number of secrets so far.

    `secrets` are exact values, `extra_patterns` regular expressions or their finders, `names` globs
    of names that hold secrets.
    """

    def __init__(
        self, secrets: Iterable[str] = (), extra_patterns: Iterable[str | Finder] = (), names: Iterable[str] = ()
    ) -> None:
        self.count = 0
        self._names = tuple(names)
        self._extra = [_Unbounded(found) if isinstance(found, str) else found for found in extra_patterns]
        self._values: list[str] = []  # the forms in which values may appear, the longest first
        self._long: list[str] = []  # values whose pieces are looked for, too
        # A piece -> (index in _long, position in that value).
        self._grams: dict[str, tuple[int, int]] = {}
        self._learned: list[int] = []
        # What frames hid: each secret is counted once, however often it is drawn.
        self._shown: dict[str, None] = {}
        self._strong: list[str] = []
        self._plain: set[str] = set()
        self._heads: set[str] = set()
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Look for these values from now on."""
        forms = set(self._values)
        secrets = list(secrets)
        plain = {*self._plain, *secrets}
        self._plain = plain
        for secret in secrets:
            if len(secret) < MIN_LENGTH or secret in forms:
                continue
            forms |= forms_of(secret)
            if is_strong(secret):
                self._strong.append(secret)
            if len(secret) >= 2 * GRAM and _CHARS.fullmatch(secret):
                self._index(secret)
        self._values = sorted(forms, key=lambda form: (-len(form), form))
        # A long form in base64 or hex is found as a run, and needs no head.
        self._heads = {form[:4] for form in forms if form in plain or len(form) < RUN or not form.isalnum()}

    def _index(self, value: str) -> int:
        number = len(self._long)
        self._long.append(value)
        self._index_from(number, 0)
        return number

    def _index_from(self, number: int, first: int) -> None:
        value = self._long[number]
        for at in range(first, len(value) - GRAM + 1):
            gram = value[at : at + GRAM]
            if len(set(gram)) >= VARIED:  # `00000000` is in many texts
                self._grams.setdefault(gram, (number, at))

    def _learn(self, value: str) -> None:
        """Look from now on for pieces of a secret that was seen whole.

        Rows scroll, and an answer may be cut in two.
        """
        for part in value[:LEARNED_LENGTH].split() if "PRIVATE KEY" in value else (value,):
            part = part.replace("\\n", "").replace("\\r", "")
            if len(part) < 2 * GRAM or part.startswith("-----") or not _CHARS.fullmatch(part):
                continue
            for number in reversed(self._learned[-20:]):
                if part in self._long[number]:
                    break
                # The value was still being written when it was learned.
                if part.startswith(self._long[number]):
                    old, self._long[number] = len(self._long[number]), part
                    self._index_from(number, max(0, old - GRAM + 1))
                    break
            else:
                if len(self._learned) < LEARNED_MAX and part not in self._long:
                    self._learned.append(self._index(part))

    # ---- text ----

    def text(self, text: str) -> str:
        """`text` with a mark in the place of each secret.

        A secret that the end of the text cuts off counts, too.
        """
        found = self.spans(text)
        return self.replaced(text, found) if found else text

    def turns(self, text: str) -> Iterator[list[Span] | None]:
        """`spans` of a long text, in short turns: yields None while there is more to do, then the
        spans.

        Lazy.
        """
        found: list[Span] = []
        at = 0
        while at + TURN + OVERLAP < len(text):
            end = max(at + TURN + OVERLAP - 1024, text.rfind(" ", at, at + TURN + OVERLAP))
            found += [(at + start, at + stop) for start, stop in self.spans(text[at:end])]
            at += TURN
            yield None
        found += [(at + start, at + stop) for start, stop in self.spans(text[at:])]
        yield merged(found)

    def replaced(self, text: str, found: list[Span]) -> str:
        """`text` with a mark in each of these places."""
        self.count += len(found)
        out: list[str] = []
        at = 0
        for start, end in found:
            out += (text[at:start], MARK)
            at = end
        out.append(text[at:])
        return "".join(out)

    def path(self, text: str) -> str:
        """`text` for a path that harnex works with: values that may be mere words stay."""
        found = [
            span
            for span in self.spans(text)
            if any(strong in text[span[0] : span[1]] for strong in self._strong) or self._by_shape(text[slice(*span)])
        ]
        for start, end in reversed(found):
            text = text[:start] + MARK + text[end:]
        self.count += len(found)
        return text

    def _by_shape(self, text: str) -> bool:
        return any(shape.learn and shape.strict.fullmatch(text) for shape in SHAPES)

    def argv(self, words: Iterable[str]) -> list[str]:
        """A command line without secrets.

        The value after an option, or after `NAME=`, is also covered if the name sounds like a
        secret.
        """
        out: list[str] = []
        hide = False
        for word in words:
            name, equals, value = word.partition("=")
            if hide and not word.startswith("-"):
                self.count += 1
                out.append(MARK)
            elif equals and len(value) >= MIN_LENGTH and self.pairs({name.lstrip("-"): value}) and " " not in name:
                self.count += 1
                out.append(f"{name}={MARK}")
            else:
                out.append(self.text(word))
            hide = word.startswith("--") and not equals and word not in _SWITCHES and is_secret_name(word, self._names)
        return out

    def too_slow(self) -> list[str]:
        """The person's own patterns that were given up for a text."""
        return [found.source for found in self._extra if found.slow]

    def pairs(self, env: Mapping[str, str]) -> set[str]:
        """The secrets of an environment, by the names that this redactor was given."""
        return secret_values(env, self._names)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of an event, redacted; the secrets are counted."""
        return {key: self._clean(value, key) for key, value in fields.items()}

    def is_field(self, name: str, value: str) -> bool:
        """Whether a JSON field is a secret by its name."""
        return value != MARK and is_secret_field(name, value, self._names)

    def clean(self, value: Any) -> Any:
        """A JSON value with every text redacted, keys included.

        Not counted, because records are written again and again.
        """
        count = self.count
        value, self.count = self._clean(value), count
        return value

    def record(self, row: Mapping[str, Any]) -> Clean:
        """A record that is written to a file, redacted as by `clean`."""
        return Clean(self.clean(dict(row)))

    def _clean(self, value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return self.path(value) if key in PATHS else self.text(value)
        if isinstance(value, dict):
            out: dict[str, Any] = {}
            for name, inner in value.items():
                name = new = self.text(str(name))
                while new in out:
                    new += "*"
                if isinstance(inner, str) and name not in PATHS and self.is_field(name, inner):
                    self.count += 1
                    inner = MARK
                out[new] = self._clean(inner, name)
            return out
        if isinstance(value, list | tuple):
            return [self._clean(inner, key) for inner in value]
        return value

    # ---- finding ----

    def spans(self, text: str, rows: bool = False, depth: int = DEPTH) -> list[Span]:
        """Where the secrets of `text` are, merged and in order.

        `rows`: each row's end may cut a secret off.
        """
        found = self._direct(text, rows)
        if depth > 0 and may_be_coded(text):
            view = decoded(text)
            if view is not None:
                found += [view.back(span) for span in self.spans(view.text, rows, depth - 1)]
        if depth > 0:
            for start, end in runs(text):
                if self._inside(text[start:end], depth):
                    found.append((start, end))
        return merged(found) if len(found) > 1 else found

    def _inside(self, run: str, depth: int) -> bool:
        """Whether a run of base64 or hex characters hides a secret."""
        texts = (hex_text(run), *base64_text(run))
        return any(text is not None and bool(self.spans(text, False, depth - 1)) for text in texts)

    def _direct(self, text: str, rows: bool) -> list[Span]:
        found: list[Span] = []
        for value in self._values:
            at = text.find(value)
            while at >= 0:
                found.append((at, at + len(value)))
                at = text.find(value, at + len(value))
        found += self._pieces(text)
        found += self._cut_off(text, rows)
        lower = text.lower()
        for shape in SHAPES:
            for literal in shape.literals:
                if literal in lower:
                    break
            else:
                continue
            for match in shape.strict.finditer(text):
                start = match.end(1) if match.re.groups and match[1] else match.start()
                if match.end() > start and text[start : match.end()] != MARK:
                    found.append((start, match.end()))
                    if shape.learn and match.end() - start >= 2 * GRAM:
                        self._learn(text[start : match.end()])
            if shape.partial is not None:
                for match in shape.partial.finditer(text):
                    if rows or text.find("\n", match.end()) < 0:
                        found.append(match.span())
        for own in self._extra:
            found += own.spans(text)
        return found

    def _pieces(self, text: str) -> Iterator[Span]:
        grams, at, end = self._grams, 0, len(text) - GRAM
        if not grams:
            return
        while at <= end:
            hit = grams.get(text[at : at + GRAM])
            if hit is not None:
                value, place = self._long[hit[0]], hit[1]
                start, stop = at, at + GRAM
                while start > 0 and place > 0 and text[start - 1] == value[place - 1]:
                    start, place = start - 1, place - 1
                place += stop - start
                while stop < len(text) and place < len(value) and text[stop] == value[place]:
                    stop, place = stop + 1, place + 1
                if stop - start >= PIECE:
                    yield start, stop
                    at = stop
                    continue
            at += STRIDE

    def _cut_off(self, text: str, rows: bool) -> Iterator[Span]:
        """The beginnings of known values at the end of the text, or of a row: cut off, or still
        being typed.

        Lazy.
        """
        for value in self._values:
            least = 4 if rows and value in self._strong else TRUNCATED
            at = text.find(value[:least])
            while at >= 0:
                stop = at + least
                while stop < len(text) and stop - at < len(value) and text[stop] == value[stop - at]:
                    stop += 1
                if stop - at < len(value):
                    rest = text[stop : stop + 400].split("\n")[0] if rows else text[stop:]
                    if stop - at >= PIECE or not rest.strip(" \t\xa0│┃|║…."):
                        yield at, stop
                at = text.find(value[:least], stop)

    # ---- screens ----

    def redact_lines(self, lines: Sequence[str], columns: int, widths: Sequence[int] | None = None) -> list[str]:
        """Screen rows without secrets; each row keeps its place and its length.

        A secret that wraps is found. A row that is full to the last column goes on in the next row.
        Programs also wrap inside a frame, with a margin: so a row that ends in a run of key
        characters is joined to the first word of the next row as well. `widths` are the cells of
        each row, if wide characters make them differ from its characters.
        """
        out = list(lines)
        for first, end in windows(self._suspects(lines, columns, widths), len(lines)):
            part = lines[first:end]
            hidden: dict[int, set[int]] = {}
            for joined, places in (
                join_full(part, columns, widths[first:end] if widths else None),
                join_words(part),
            ):
                for start, stop in self.spans(joined, rows=True):
                    for row, column in places[start:stop]:
                        hidden.setdefault(row, set()).add(column)
            for row, column in pem_rows(part):
                hidden.setdefault(row, set()).add(column)
            hidden.pop(-1, None)  # the breaks between rows
            for row, columns_hidden in hidden.items():
                self._hide(out, first + row, sorted(columns_hidden))
        return out

    def _suspects(self, lines: Sequence[str], columns: int, widths: Sequence[int] | None) -> set[int]:
        """Rows with a literal of a shape, with the beginning or a piece of a value, or with coded
        text.
        """
        if self._extra:
            return set(range(len(lines)))
        starts: list[int] = []
        parts: list[str] = []
        at = 0
        for row, line in enumerate(lines):
            starts.append(at)
            parts.append(line)
            at += len(line)
            if (widths[row] if widths else len(line)) < columns:
                parts.append("\n")
                at += 1
        text = "".join(parts)
        lower = text.lower()
        if len(lower) != len(text):  # a letter whose lower-case form is two letters
            lower = text
        places: set[int] = set()
        for literal in _LITERALS:
            at = lower.find(literal)
            while at >= 0:
                places.add(at)
                at = lower.find(literal, at + 1)
        for head in self._heads:
            at = text.find(head)
            while at >= 0:
                places.add(at)
                at = text.find(head, at + 1)
        places.update(start for start, _ in self._pieces(text))
        places.update(start for start, _ in runs(text))
        places.update(coded_places(text))
        return {bisect_right(starts, place) - 1 for place in places}

    def _hide(self, out: list[str], row: int, columns: list[int]) -> None:
        line = list(out[row])
        start = 0
        for at in range(1, len(columns) + 1):
            if at == len(columns) or columns[at] != columns[at - 1] + 1:
                first, length = columns[start], at - start
                piece = out[row][first : first + length]
                if length >= 2 * GRAM and not piece.isspace():
                    self._learn(piece.strip())
                if piece not in self._shown:
                    self.count += 1
                    self._shown[piece] = None
                    if len(self._shown) > LEARNED_MAX:
                        del self._shown[next(iter(self._shown))]
                line[first : first + length] = masked(piece)
                start = at
        out[row] = "".join(line)


_LITERALS = sorted({literal for shape in SHAPES for literal in shape.literals})
_SWITCHES = frozenset(("--no-auth", "--passthrough", "--auth", "--bypass"))


def own_spans(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    """What a person's own pattern finds, line by line and in bounded parts. Lazy."""
    at = 0
    for line in text.splitlines(keepends=True):
        for begin in range(0, len(line), EXTRA_LINE // 2):
            for match in pattern.finditer(line[begin : begin + EXTRA_LINE]):
                if match.end() > match.start() and match[0] != MARK:
                    yield at + begin + match.start(), at + begin + match.end()
        at += len(line)

"""Covers secrets in files of a run that others write: hook records, captured output, a rehearsal's
log and private home.

Each secret is covered in place, with its length unchanged: a process that appends or reads at that
moment loses nothing, a crash can leave no half of a file, and doing it again changes nothing. While
the session runs, its records are covered a few seconds after they were written, once the reader has
seen them. The rest is covered at the end, or by `recover.py`.
"""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator

from harnex import jsonl
from harnex.redaction.redactor import Redactor, Span, masked
from harnex.redaction.wrap import merged

EVERY_S = 2.0
SLICE = 1 << 16
TURN = 1 << 14  # bytes of short records that are searched in one go
LONG = 1 << 16  # bytes; a longer record is searched in several turns
FORMS_MAX = 20
LINE_MAX = 4 << 20
OWN = ("events.jsonl", "manifest.json", "session.cast", "start.json")  # written by harnex, redacted
PACKED = (".zst", ".gz")


class Scrub:
    """Covers the secrets in one run's directory.

    Call `step` while the run lives, and `finish` at its end.
    """

    def __init__(self, directory: str, redactor: Redactor) -> None:
        self._directory, self._redactor = directory, redactor
        self._done: dict[str, int] = {}  # path -> the position up to which its lines are done
        self._sizes: dict[str, int] = {}
        self._next = 0.0
        self._begun: dict[str, Iterator[None]] = {}  # what the last step did not finish
        self._work: Iterator[None] | None = None
        self.failed = 0  # files that could not be covered

    def step(self, now: float) -> None:
        """Cover what was written before the last step; it has been read by now.

        `now` is seconds.
        """
        if now < self._next:
            return
        self._next = now + EVERY_S
        for path in _rows_of(self._directory):
            try:
                size = os.stat(path).st_size
            except OSError:
                continue
            until, self._sizes[path] = self._sizes.get(path, 0), size
            if until > self._done.get(path, 0):
                work = self._begun.pop(path, None) or self._lines(path, until)
                for _ in work:
                    if time.monotonic() > self._next - EVERY_S + 0.05:
                        self._begun[path] = work  # much at once: the next step goes on
                        break

    def finish(self, slice_s: float) -> bool:
        """Cover the rest, everywhere below the directory; return whether all is done.

        Each call works for `slice_s` seconds.
        """
        if self._work is None:
            self._begun.clear()
            self._work = self._all()
        until = time.monotonic() + slice_s
        return all(time.monotonic() < until for _ in self._work)

    def _all(self) -> Iterator[None]:
        for directory, _, names in os.walk(self._directory):
            for name in names:
                path = os.path.join(directory, name)
                own = directory == self._directory and name.startswith(OWN)
                if own or name.endswith(PACKED) or os.path.islink(path) or not os.path.isfile(path):
                    continue
                yield from self._lines(path, None)

    def _lines(self, path: str, until: int | None) -> Iterator[None]:
        """Cover the secrets from the last position on, line by line; short lines are covered
        several together.

        Lazy.
        """
        at = self._done.get(path, 0)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            self.failed += 1
            return
        try:
            while until is None or at < until:
                data = os.pread(fd, SLICE, at)
                if not data:
                    break
                end = data.rfind(b"\n") + 1
                while not end and len(data) < LINE_MAX:
                    more = os.pread(fd, 8 * SLICE, at + len(data))
                    if not more:
                        end = len(data) if until is None else 0
                        break
                    data += more
                    end = data.rfind(b"\n") + 1
                if not end:
                    if until is not None and len(data) < LINE_MAX:
                        break  # a record that is still being written
                    end = len(data)
                elif end < len(data) and until is None and len(data) < SLICE:
                    end = len(data)  # the last line has no end
                turn = at
                for part in data[:end].splitlines(keepends=True) if path.endswith(".jsonl") else [data[:end]]:
                    found = yield from _byte_spans(part, self._redactor)
                    for start, stop in found:
                        os.pwrite(fd, masked(" " * (stop - start)).encode(), at + start)
                        self._redactor.count += 1
                    at += len(part)
                    self._done[path] = at
                    if at - turn > TURN:
                        turn = at
                        yield
                yield
        except OSError:
            self.failed += 1
        finally:
            os.close(fd)


def withhold(directory: str) -> None:
    """Cover everything that tools were given and said in the records of hooks.

    For a run whose secrets nobody knows any more.
    """
    everything = Scrub(directory, _Texts())  # type: ignore[arg-type]
    for name in ("hooks.jsonl", "notify.jsonl"):
        path = os.path.join(directory, "evidence", name)
        if os.path.isfile(path) and not os.path.islink(path):
            for _ in everything._lines(path, None):
                pass


class _Texts:
    """Used instead of a redactor: finds every text except names and prompts.

    Messages are told apart by their prompts, so prompts stay.
    """

    KEPT = frozenset((
        "hook_event_name", "session_id", "transcript_path", "agent_transcript_path", "cwd", "permission_mode", "source",
        "tool_name", "tool_use_id", "agent_id", "agent_type", "prompt", "type", "thread-id", "turn-id", "client",
        "input-messages",
    ))  # fmt: skip
    SHORT = 6  # characters; shorter than any value that is looked for

    def __init__(self) -> None:
        self.count = 0

    def spans(self, text: str) -> list[Span]:
        return [] if jsonl.loads_dict(text) is not None else [(0, len(text.rstrip("\n")))]

    def turns(self, text: str) -> Iterator[list[Span]]:
        yield self.spans(text)

    def is_field(self, name: str, value: str) -> bool:
        return name not in self.KEPT and len(value) >= self.SHORT


def _rows_of(directory: str) -> list[str]:
    """The files of records that grow while the session runs."""
    evidence = os.path.join(directory, "evidence")
    try:
        names = [n for n in os.listdir(evidence) if n.endswith(".jsonl")]
    except OSError:
        names = []
    return [*(os.path.join(evidence, n) for n in names), os.path.join(directory, "rehearsal.jsonl")]


def _byte_spans(data: bytes, redactor: Redactor) -> Generator[None, None, list[Span]]:
    """Where secrets are, in bytes.

    Yields None between turns if the data is long; returns the spans.

    In a JSON record each text is also looked at in its decoded form.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return redactor.spans(data.decode("latin-1"))
    turns = redactor.turns(text) if len(text) > LONG else iter([redactor.spans(text)])
    while (found := next(turns)) is None:
        yield
    row = jsonl.loads_dict(text) if text[:1] == "{" else None
    if row is not None:
        found = _within_texts(text, merged(found + _texts_of(text, row, redactor)))
    if not text.isascii():
        found = [(len(text[:start].encode()), len(text[:end].encode())) for start, end in found]
    return found


_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def _within_texts(text: str, found: list[Span]) -> list[Span]:
    """Spans of a JSON record, widened so that covering them leaves valid JSON.

    No escape is cut in two. If that is not enough, whole texts are covered.
    """
    if not found:
        return found
    escapes = [match.span() for match in _ESCAPE.finditer(text)]
    begins = [first for first, _ in escapes]
    out = []
    for start, end in found:
        before, last = bisect_left(begins, start) - 1, bisect_left(begins, end) - 1
        if before >= 0 and start < escapes[before][1]:
            start = escapes[before][0]
        if last >= 0 and end < escapes[last][1]:
            end = escapes[last][1]
        out.append((start, end))
    out = merged(out)
    parts: list[str] = []
    at = 0
    for start, end in out:
        parts += (text[at:start], "*" * (end - start))
        at = end
    if jsonl.loads_dict("".join([*parts, text[at:]])) is not None:
        return out
    ends = [end for _, end in out]
    whole: list[Span] = []
    for match in _STRING.finditer(text):
        first, last = match.span(1)
        at = bisect_right(ends, first)  # the first span that ends after the text begins
        if at < len(out) and out[at][0] < last:
            whole.append((first, last))
    return whole


def _texts_of(text: str, row: object, redactor: Redactor) -> list[Span]:
    """The places of the texts of a record that are secret as a whole because of their name."""
    forms: set[str] = set()
    todo: list[tuple[str, object]] = [("", row)]
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += value.items()
        elif isinstance(value, list):
            todo += [(name, inner) for inner in value]
        elif isinstance(value, str) and name and redactor.is_field(name, value):
            forms |= {jsonl.dumps(value)[1:-1], value} - {""}
    if len(forms) > FORMS_MAX:  # each form would be looked for in the whole text
        return [match.span(1) for match in _STRING.finditer(text) if match[1] in forms]
    found: list[Span] = []
    for form in forms:
        at = text.find(form)
        while at >= 0:
            found.append((at, at + len(form)))
            at = text.find(form, at + len(form))
    return found

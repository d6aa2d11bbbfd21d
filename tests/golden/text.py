"""How a golden file is written and compared: one line for each fact, and nothing
that depends on the machine."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import os
import re
import time
from collections.abc import Iterator
from hashlib import blake2s
from itertools import islice
from typing import Any

# Characters of a string that are written. A longer string is written as prefix, length and hash.
STRING_MAX = 100
DIFF_LINES = 60  # lines of a difference that a failing test shows
INVISIBLE = re.compile("[\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")


def string(text: str) -> str:
    """Return a string in quotes and on one line.

    A long one is shortened, but any change still shows in its hash.
    """
    shown = text if len(text) <= STRING_MAX else text[:STRING_MAX]
    quoted = INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(shown, ensure_ascii=False))
    if shown is text:
        return quoted
    digest = blake2s(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{quoted}…{len(text)}#{digest}"


def value(given: Any) -> str:
    """Return any value of a fact or an event, on one line.

    A dataclass leaves out fields that have their default.
    """
    if isinstance(given, str):
        return string(str(given))
    if isinstance(given, bytes):
        return f"b{string(given.decode('latin-1'))}"
    if given is None or isinstance(given, bool | int | float):
        return json.dumps(given)
    if isinstance(given, dict):
        return "{" + ", ".join(f"{key}: {value(found)}" for key, found in given.items()) + "}"
    if isinstance(given, list | tuple):
        ends = "[]" if isinstance(given, list) else "()"
        return ends[0] + ", ".join(map(value, given)) + ends[1]
    if dataclasses.is_dataclass(given):
        return f"{type(given).__name__}({fields(told(given))})"
    raise TypeError(f"a {type(given).__name__} has no golden form yet")


def told(given: Any) -> dict[str, Any]:
    """Return the fields of a dataclass whose value is not the default.

    The defaults are in `corpus/shapes.txt`.
    """
    return {
        f.name: getattr(given, f.name) for f in dataclasses.fields(given) if not _is_default(f, getattr(given, f.name))
    }


def fields(named: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value(found)}" for name, found in named.items())


def _is_default(field: dataclasses.Field[Any], given: Any) -> bool:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return type(given) is type(default) and bool(given == default)


def shape(kind: type) -> str:
    """Return the fields of a dataclass in order, with their defaults, on one line."""
    out = []
    for f in dataclasses.fields(kind):
        default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        out.append(f.name + ("" if default is dataclasses.MISSING else f"={value(default)}"))
    return f"{kind.__name__}({', '.join(out)})"


def difference(path: str, golden: str, now: str) -> str:
    """Return the first differing lines of a file for a person, "" if there are none."""
    if golden == now:
        return ""
    lines = _unified(path, golden, now)
    shown = list(islice(lines, DIFF_LINES))
    more = sum(_is_change(line) for line in lines)
    return "\n".join([*shown, *([f"... and {more} more changed lines in {path}"] if more else [])])


def changed_lines(golden: str, now: str) -> int:
    """Return how many lines were removed and added."""
    return sum(_is_change(line) for line in _unified("", golden, now))


def _unified(path: str, golden: str, now: str) -> Iterator[str]:
    """Yield the lines of the diff.

    Lazy. (`splitlines` would also split at characters inside a line.)
    """
    return difflib.unified_diff(golden.split("\n"), now.split("\n"), f"{path} golden", "now", lineterm="", n=1)


def _is_change(line: str) -> bool:
    return line.startswith(("+", "-")) and not line.startswith(("+++ now", "--- "))


@contextlib.contextmanager
def utc() -> Iterator[None]:
    """Set local time to UTC, whatever the machine says."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()

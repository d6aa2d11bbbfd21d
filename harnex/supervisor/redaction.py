"""What this user and this repository count as secrets beside the built-in list: `[redact]` of the configuration files.

    [redact]
    patterns = ["ticket-[0-9]{6}"]    # Python regular expressions
    names = ["ACME_*"]                # variables whose values are secret, as globs

Both files count: a repository can add to its user's list, and take nothing away.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from harnex import config
from harnex.core.redact import MARK, Redactor, secret_values
from harnex.errors import HarnexError, UsageError

KEYS = ("patterns", "names")
TRY_S = 0.2  # for a pattern on each of the texts that make bad ones run for ever
Rules = dict[str, list[str]]


def load(repo: str | None) -> Rules:
    """The rules for sessions of that repository. Raises UsageError, naming the file and the key."""
    return rules_of(config.load(repo))


def rules_of(files: config.Config) -> Rules:
    """The same of files that were read. A repository's file needs no trust for this: it only takes more out."""
    rules: Rules = {key: [] for key in KEYS}
    for section in files.sections("redact"):
        strangers = sorted(set(section.values) - set(KEYS))
        if strangers:
            raise UsageError(f"{section.path}: unknown key '{strangers[0]}' in [redact]", f"keys: {', '.join(KEYS)}")
        for key in KEYS:
            given = section.values.get(key, [])
            if not isinstance(given, list) or not all(isinstance(word, str) and word for word in given):
                raise UsageError(f"{section.path}: [redact] {key} is not a list of texts", f'{key} = ["..."]')
            for number, word in enumerate(given):
                if key == "patterns":
                    problem = _problem(word)
                    if problem:
                        raise UsageError(f"{section.path}: [redact] patterns[{number}] {word!r}: {problem}", "mend it")
                rules[key].append(word)
    return rules


def load_quietly(repo: str | None) -> Rules:
    """The same where nobody can be told of a bad file any more: no rules."""
    try:
        return load(repo)
    except HarnexError:
        return {key: [] for key in KEYS}


def of_start(start: Mapping[str, Any], repo: str | None) -> Rules:
    """The rules that a run was started with, from its start file: what became of the file since then does not count.

    A pattern that is a secret itself was not kept: then those of the file as it is now count as well.
    """
    kept = start.get("redact")
    if not isinstance(kept, dict):
        return load_quietly(repo)
    rules = {key: [str(word) for word in kept.get(key) or () if MARK not in str(word)] for key in KEYS}
    if any(MARK in str(word) for key in KEYS for word in kept.get(key) or ()):
        now = load_quietly(repo)
        rules = {key: list(dict.fromkeys([*rules[key], *now[key]])) for key in KEYS}
    return rules


def redactor(rules: Mapping[str, list[str]], env: Mapping[str, str], more: Iterable[str] = ()) -> Redactor:
    """A redactor that knows the secrets of an environment, and `more` values."""
    names = rules.get("names") or []
    return Redactor({*secret_values(env, names), *more}, rules.get("patterns") or [], names)


def _problem(pattern: str) -> str:
    """What is wrong with a pattern, "" if nothing is."""
    try:
        compiled = re.compile(pattern)
    except re.error as e:
        return f"not a regular expression: {e}"
    except (RecursionError, OverflowError):
        return "too large"
    if compiled.match("") or (compiled.search("the quick brown fox") and compiled.search("0123456789")):
        return "it matches ordinary text"
    if _nested(pattern) or _runs_away(compiled):
        return "it can run for ever (a repeat inside a repeat, as in (a+)+)"
    return ""


def _nested(pattern: str) -> bool:
    """Whether an unbounded repeat stands in another one, with nothing else beside it."""
    from re import _constants as words  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]

    def unbounded(item: Any) -> bool:
        return item[0] in (words.MAX_REPEAT, words.MIN_REPEAT) and item[1][1] is words.MAXREPEAT

    def walk(items: Any, inside: bool) -> bool:
        for item in items:
            code, value = item
            if unbounded(item):
                body = value[2]
                if inside and len(items) == 1:
                    return True
                if walk(body, True):
                    return True
            elif code is words.SUBPATTERN:
                if walk(value[-1], inside and len(items) == 1):
                    return True
            elif code is words.BRANCH and any(walk(branch, inside) for branch in value[1]):
                return True
        return False

    return walk(list(parser.parse(pattern)), False)


class _TooLong(Exception):
    pass


def _runs_away(compiled: re.Pattern[str]) -> bool:
    """Try it on texts that make bad patterns run for ever: long runs of each character that it names, and a stranger.

    `re` looks for signals while it matches, so an alarm ends it.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    letters = {c for c in compiled.pattern if c.isprintable()} | set("a0 A_-")
    probes = [c * 4000 + "\0" for c in sorted(letters)[:60]] + ["ab" * 2000 + "\0", "a0" * 2000 + "\0", "a-" * 2000]

    def alarm(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, alarm)
    begun = time.monotonic()
    try:
        for probe in probes:
            signal.setitimer(signal.ITIMER_REAL, TRY_S)
            compiled.search(probe)
            if time.monotonic() - begun > 10 * TRY_S:
                return True
        return False
    except _TooLong:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

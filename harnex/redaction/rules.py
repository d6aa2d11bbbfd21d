"""What this user and this repository count as secrets beside the built-in list.

The rules are in `[redact]` of the configuration files:

    [redact]
    patterns = ["ticket-[0-9]{6}"]    # Python regular expressions
    names = ["ACME_*"]                # variables whose values are secret, as globs

Both files count: a repository can add to its user's list, and take nothing away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harnex import config
from harnex.errors import HarnexError, UsageError
from harnex.redaction import patterns
from harnex.redaction.redactor import MARK, Redactor, secret_values

KEYS = ("patterns", "names")
SHOWN = 100  # characters of a pattern in an error
Rules = dict[str, list[str]]


def load(repo: str | None) -> Rules:
    """The rules for sessions of that repository. Raises UsageError, naming the file and the key."""
    return rules_of(config.load(repo))


def rules_of(files: config.Config) -> Rules:
    """The rules of configuration files that were read.

    Raises UsageError, naming the file and the key. A repository's file needs no trust for this: it
    can only take more out.
    """
    rules: Rules = {key: [] for key in KEYS}
    for section in files.sections("redact"):
        strangers = sorted(set(section.values) - set(KEYS))
        if strangers:
            raise UsageError(f"{section.path}: unknown key '{strangers[0]}' in [redact]", f"keys: {', '.join(KEYS)}")
        for key in KEYS:
            given = section.values.get(key, [])
            if not isinstance(given, list) or not all(isinstance(word, str) and word for word in given):
                raise UsageError(f"{section.path}: [redact] {key} is not a list of texts", f'{key} = ["..."]')
            if key == "patterns" and given:
                _try(section.path, given)
            rules[key] += given
    return rules


def _try(path: str, given: list[str]) -> None:
    from harnex.redaction import trial  # imported only here: most files have no patterns

    found = trial.problem(given)
    if found is not None:
        number, why = found
        shown = given[number] if len(given[number]) <= SHOWN else given[number][: SHOWN - 1] + "…"
        raise UsageError(f"{path}: [redact] patterns[{number}] {shown!r}: {why}", "mend it")


def load_quietly(repo: str | None) -> Rules:
    """The rules for sessions of that repository; no rules if a file is bad.

    For places where nobody can be told of a bad file any more.
    """
    try:
        return load(repo)
    except HarnexError:
        return {key: [] for key in KEYS}


def of_start(start: Mapping[str, Any], repo: str | None) -> Rules:
    """The rules that a run was started with, from its start file.

    Later changes of the configuration do not count. A pattern that is a secret itself was not kept:
    then the rules of the current files count as well.
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
    own = [patterns.Bounded(source) for source in rules.get("patterns") or []]
    return Redactor({*secret_values(env, names), *more}, own, names)

"""The patterns of `[redact]` are tried before they are used: a bad pattern is refused with a clear
error, at the start.

A repository's file brings patterns without anybody's consent, so no command runs them itself. A
separate process does, and the kernel ends that process after `TRY_S` seconds of processor time: a
busy machine changes nothing. A trial can't find every bad pattern. `patterns.Bounded` bounds the
others.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from harnex import interpreter

PATTERNS_MAX, PATTERN_CHARS = 100, 1000
# Seconds of processor time for all texts of one pattern. A pattern whose steps grow with the square
# of the text, which is common and bearable (`[\w.+-]+@[\w.-]+`), takes 0.5 s on a machine of 2026.
TRY_S = 2.0
PATIENCE_S = 120.0  # seconds to wait for the trial on a swamped machine

FOREVER = "it can run for ever on a short text (repeats that take the same characters, as in (a+)+ or .*.*.*=)"


def problem(patterns: Sequence[str]) -> tuple[int, str] | None:
    """The number of the first pattern that can't be used, and why; None if all can be used."""
    for number, pattern in enumerate(patterns):
        if number >= PATTERNS_MAX:
            return number, f"too many patterns; at most {PATTERNS_MAX}"
        if len(pattern) > PATTERN_CHARS:
            return number, f"too long: {len(pattern):,} characters; at most {PATTERN_CHARS:,}"
        try:
            re.compile(pattern)
        except re.error as e:
            return number, f"not a regular expression: {e}"
        except (RecursionError, OverflowError):
            return number, "too large"
    return _tried(patterns) if patterns else None


def _tried(patterns: Sequence[str]) -> tuple[int, str] | None:
    try:
        done = subprocess.run(
            interpreter.command("harnex.redaction.trial"),
            input=json.dumps(list(patterns)),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 0, f"the patterns could not be tried within {PATIENCE_S:.0f} s: is the machine swamped?"
    words = done.stdout.split()
    if words[-1:] == ["ordinary"]:
        return len(words) - 1, "it matches ordinary text"
    if words == ["ok"] * len(patterns):
        return None
    if done.returncode == -signal.SIGVTALRM:
        return len(words), FOREVER
    last = done.stderr.strip().splitlines()[-1:]
    return len(words), f"it could not be tried: {last[0] if last else f'exit code {done.returncode}'}"


def main() -> int:
    """Run in the separate process: print `ok` for each pattern of standard input.

    SIGVTALRM ends it in a bad pattern.
    """
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    for pattern in json.load(sys.stdin):
        compiled = re.compile(pattern)
        signal.setitimer(signal.ITIMER_VIRTUAL, TRY_S)
        ordinary = compiled.search("the quick brown fox") and compiled.search("0123456789")
        if compiled.match("") or ordinary:
            print("ordinary", flush=True)
            return 0
        _try(compiled)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print("ok", flush=True)
    return 0


# Each text is what a repeat of the pattern takes, many times, and then something else. Steps that
# grow with 2^n show in few characters, steps that grow with n^3 in more. The texts that took the
# longest are tried in full length.
SHORT, MIDDLE, LONG = (12, 20, 28, 60), 400, 4096
TAILS = ("\0", "!", "")
LONGEST = 3
SEEDS = 12  # texts for each repeat, at random, but the same texts each time


def _try(compiled: re.Pattern[str]) -> None:
    bodies = list(dict.fromkeys(_bodies(compiled.pattern)))
    for size in SHORT:
        for before, body in bodies:
            for tail in TAILS:
                _took(compiled, before, body, size, tail)
    times = [(_took(compiled, before, body, MIDDLE, TAILS[0]), n) for n, (before, body) in enumerate(bodies)]
    for _, n in sorted(times, reverse=True)[:LONGEST]:
        _took(compiled, *bodies[n], LONG, TAILS[0])


def _took(compiled: re.Pattern[str], before: str, body: str, size: int, tail: str) -> float:
    text = before + body * max(2, (size - len(before)) // len(body)) + tail
    begun = time.process_time()
    for _ in compiled.finditer(text):
        pass
    return time.process_time() - begun


def _bodies(pattern: str) -> Iterator[tuple[str, str]]:
    """Texts that a repeat of the pattern may take, each with the text that leads to the repeat.

    Lazy. The parser of `re` is private to `re`. Without that parser, letters alone are tried.
    """
    letters = sorted({c for c in pattern if c.isprintable()} | set("a0 A_-"))
    yield from (("", body) for body in (*letters[:60], "ab", "a0", "a-"))
    with contextlib.suppress(Exception):
        from re import _parser  # type: ignore[attr-defined]

        for seed in range(SEEDS):
            sampler = _Sampler(random.Random(seed))
            sampler.walk(list(_parser.parse(pattern)))
            yield from (found for found in sampler.pumped if found[1])


class _Sampler:
    """Writes a text that a pattern would nearly match, and notes what its repeats take."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._text = ""
        self._groups: dict[int, str] = {}
        self.pumped: list[tuple[str, str]] = []

    def walk(self, items: Any) -> None:
        for code, value in items:
            name = str(code)
            if name == "LITERAL":
                self._text += chr(value)
            elif name == "NOT_LITERAL":
                self._text += "a" if value != ord("a") else "b"
            elif name == "ANY":
                self._text += self._dice.choice("a0 -")
            elif name == "IN":
                self._text += self._one_of(value)
            elif name == "BRANCH":
                self.walk(self._dice.choice(value[1]))
            elif name == "SUBPATTERN":
                begin = len(self._text)
                self.walk(value[-1])
                self._groups[value[0] or 0] = self._text[begin:]
            elif name == "ATOMIC_GROUP":
                self.walk(value)
            elif name == "GROUPREF":
                self._text += self._groups.get(value, "")
            elif name == "ASSERT":
                begin = len(self._text)
                self.walk(value[1])
                if value[0] > 0:  # a lookahead is taken off again; what a lookbehind needs stays
                    self._text = self._text[:begin]
            elif name.endswith("_REPEAT"):
                self._repeat(*value)

    def _repeat(self, least: int, most: Any, body: Any) -> None:
        before = self._text
        self.walk(body)
        if int(most) > 1:
            self.pumped.append((before, self._text[len(before) :]))
        self._text = before
        for _ in range(min(int(least) + self._dice.randrange(2), int(most), 40)):
            self.walk(body)

    def _one_of(self, choices: Any) -> str:
        code, value = self._dice.choice(list(choices))
        name, kind = str(code), str(value)
        if name == "LITERAL":
            return chr(value)
        if name == "RANGE":
            return chr(self._dice.choice(value))
        if name == "CATEGORY" and "NOT" not in kind:
            return "0" if "DIGIT" in kind else " " if "SPACE" in kind else self._dice.choice("a0_")
        return self._dice.choice("a0 -")  # a negated class


if __name__ == "__main__":
    sys.exit(main())

"""The patterns of `[redact]` are tried before they are used: a bad one is refused with a clear error, at the start.

A repository's file brings patterns without anybody's consent, so no command runs them itself: a process of its own does,
which the kernel ends when its time is over. That time is the processor's, so that a busy machine changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from harnex import interpreter

PATTERNS_MAX, PATTERN_CHARS = 100, 1000
# What a pattern may take for a text of at most LONG characters: so many times what one whose steps grow with the square of
# them takes (`[a-z]+0`, 20 ms on a machine of 2026), which is common and bearable.
SQUARES = 12
LEAST_S = 0.05
TRIAL_S = 20  # for all texts of all patterns
PATIENCE_S = 120.0  # on a machine that is swamped

FOREVER = "it can run for ever on a short text (repeats that take the same characters, as in (a+)+ or .*.*.*=)"


def problem(patterns: Sequence[str]) -> tuple[int, str] | None:
    """The first of the patterns that can't be used, and why; None: all can."""
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
            interpreter.command("harnex.supervisor.trial"),
            input=json.dumps(list(patterns)),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 0, f"the patterns could not be tried within {PATIENCE_S:.0f} s: is the machine swamped?"
    told = done.stdout.split()
    if told[-1:] == ["ordinary"]:
        return len(told) - 1, "it matches ordinary text"
    if told.count("ok") == len(patterns):
        return None
    if done.returncode in (-signal.SIGVTALRM, -signal.SIGXCPU, -signal.SIGKILL):
        return len(told), FOREVER
    last = done.stderr.strip().splitlines()[-1:]
    return len(told), f"it could not be tried: {last[0] if last else f'exit code {done.returncode}'}"


def main() -> int:
    """In the process of its own: `ok` for each pattern of standard input; it dies of one that takes too long."""
    resource.setrlimit(resource.RLIMIT_CPU, (TRIAL_S, TRIAL_S))
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    square = re.compile("[a-z]+0")
    most = max(LEAST_S, SQUARES * max(_took(square, "", "a", LONG, "", TRIAL_S) for _ in range(3)))
    for pattern in json.load(sys.stdin):
        compiled = re.compile(pattern)
        signal.setitimer(signal.ITIMER_VIRTUAL, most)
        ordinary = compiled.search("the quick brown fox") and compiled.search("0123456789")
        if compiled.match("") or ordinary:
            print("ordinary", flush=True)
            return 0
        _try(compiled, pattern, most)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print("ok", flush=True)
    return 0


# Texts on which a bad pattern takes long: what a repeat of it takes, many times, and then something else. What grows
# with 2^n shows in few characters, what grows with n^3 in more; those that took the longest are tried in full length.
SHORT, MIDDLE, LONG = (12, 20, 28, 60), 400, 4096
TAILS = ("\0", "!", "")
LONGEST = 6
BODIES = 12  # for each repeat, at random, but the same ones each time


def _try(compiled: re.Pattern[str], pattern: str, most: float) -> None:
    """Come back if it is never too slow."""
    letters = sorted({c for c in pattern if c.isprintable()} | set("a0 A_-"))
    simple = [("", body) for body in (*letters[:60], "ab", "a0", "a-")]
    bodies = list(dict.fromkeys((before, body) for before, body in (*simple, *_pumped(pattern)) if body))
    for size in (*SHORT, *_least(pattern)):
        for before, body in bodies:
            for tail in TAILS:
                _took(compiled, before, body, size, tail, most)
    times = [(_took(compiled, before, body, MIDDLE, TAILS[0], most), n) for n, (before, body) in enumerate(bodies)]
    for _, n in sorted(times, reverse=True)[:LONGEST]:
        _took(compiled, *bodies[n], LONG, TAILS[0], most)


def _took(compiled: re.Pattern[str], before: str, body: str, size: int, tail: str, most: float) -> float:
    text = before + body * max(2, (size - len(before)) // len(body)) + tail
    signal.setitimer(signal.ITIMER_VIRTUAL, most)
    begun = time.process_time()
    for _ in compiled.finditer(text):
        pass
    return time.process_time() - begun


def _least(pattern: str) -> tuple[int, ...]:
    """Lengths around the shortest text that can match: `re` does not even try a shorter one."""
    with contextlib.suppress(Exception):
        from re import _parser  # type: ignore[attr-defined]

        least = int(_parser.parse(pattern).getwidth()[0])
        return (least - 1, least, least + 8) if 12 < least < LONG else ()
    return ()


def _pumped(pattern: str) -> list[tuple[str, str]]:
    """For each repeat of the pattern: a text that leads to it, and one that it takes.

    By the parser of `re`, which is private to it: without that, letters alone are tried.
    """
    with contextlib.suppress(Exception):
        from re import _parser  # type: ignore[attr-defined]

        found: list[tuple[str, str]] = []
        for seed in range(BODIES):
            sampler = _Sampler(random.Random(seed))
            sampler.walk(list(_parser.parse(pattern)))
            found += sampler.pumped
        return found
    return []


class _Sampler:
    """Writes a text that a pattern would match, more or less, and notes what its repeats take."""

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
                if value[0] > 0:  # what follows; what must stand before it stays
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
        return self._dice.choice("a0 -")  # a class of what is not in it


if __name__ == "__main__":
    sys.exit(main())

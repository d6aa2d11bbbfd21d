"""Dialogs of a watched agent: which of them the policy answers, and when a person is asked. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harnex.watch.actions import Answer, Sight

STAND_S = 2.0  # how long a dialog must stand: a person, or what was allowed in advance, may be answering it
TRIES = 3  # answers to one dialog that stays up
MOST = 50  # answers between two turns

# Best first. Measured on the menus of Claude Code 2.1.197 and 2.1.329 at a usage limit (`Stop and wait for limit to
# reset`, `Wait here, then continue automatically at Nov 26, 9:13pm`, `Upgrade your plan`; by their program text also
# `Stop`, `Switch to usage credits`, `Continue now at lower priority`) and Codex's (`Keep current model`). The watch
# waits by itself, so stopping is best: it is bounded by the policy, and the deadline holds. 2.0.77 shows no menu.
_LIMIT = tuple(
    re.compile(p, re.IGNORECASE) for p in (r"^stop\b", r"^wait\b", r"^keep current model$", r"^keep current")
)
_RESUME = tuple(re.compile(p, re.IGNORECASE) for p in (r"\bfull\b", r"\bas[ -]is\b"))
# Never chosen: they spend money, or ask others to.
_SPENDS = re.compile(r"upgrade|credit|extra usage|\bfunds\b|\bbuy\b|purchase|request|\badmin\b", re.IGNORECASE)


@dataclass(slots=True)
class Dialogs:
    """Since when one is up, and how often the watch has answered."""

    since: float | None = None
    tries: int = 0
    answered: int = 0

    def gone(self) -> None:
        self.since, self.tries = None, 0

    def due(self, now: float) -> bool:
        """One is up: has it stood long enough?"""
        if self.since is None:
            self.since = now
        return now >= self.since + STAND_S

    def answer(self, sight: Sight, permissions: str, restarted: bool, now: float) -> Answer | None:
        """The policy's answer; None: it has none, or it did not help."""
        if self.tries >= TRIES or self.answered >= MOST:
            return None
        found = by_policy(sight, permissions, restarted)
        if found is not None:
            self.tries += 1
            self.answered += 1
            self.since = now + STAND_S  # it takes a moment; then it is another dialog, or asked for anew
        return found


def by_policy(sight: Sight, permissions: str, restarted: bool) -> Answer | None:
    """`bypass` allows what is asked; `auto` never asks, so what would be asked is refused; limits are waited for.

    A conversation that the watch itself resumes is taken up as a whole.
    """
    if sight.dialog == "permission":
        if permissions == "bypass":
            return Answer("approve", "permission", None, "--permissions bypass")
        return Answer("deny", "permission", None, "--permissions auto") if permissions == "auto" else None
    wanted = _LIMIT if sight.dialog == "limit" else _RESUME if sight.dialog == "resume" and restarted else ()
    for pattern in wanted:
        for n, words in enumerate(sight.options, 1):
            if pattern.search(words.strip()) and not _SPENDS.search(words):
                return Answer("approve", sight.dialog, n, "the watch")
    return None

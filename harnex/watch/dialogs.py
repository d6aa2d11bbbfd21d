"""Dialogs of a watched agent: which of them the policy answers, and when a person is asked.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harnex.watch.actions import Answer, Sight

# Seconds that a dialog must be up: a person, or a permission given in advance, may be answering the
# dialog.
STAND_S = 2.0
TRIES = 3  # replies to one dialog that stays up
MOST = 50  # replies between two turns

# Best first. Measured on the menus of Claude Code 2.1.197 and 2.1.329 at a usage limit (`Stop and
# wait for limit to reset`, `Wait here, then continue automatically at Nov 26, 9:13pm`, `Upgrade
# your plan`; by their program text also `Stop`, `Switch to usage credits`, `Continue now at lower
# priority`) and on Codex's (`Keep current model`). The watch waits by itself, so stopping is best:
# the policy bounds the wait, and the deadline holds. 2.0.77 shows no menu.
_LIMIT = tuple(
    re.compile(p, re.IGNORECASE) for p in (r"^stop\b", r"^wait\b", r"^keep current model$", r"^keep current")
)
_RESUME = tuple(re.compile(p, re.IGNORECASE) for p in (r"\bfull\b", r"\bas[ -]is\b"))
# Never chosen: these options spend money, or ask others to spend it.
_SPENDS = re.compile(r"upgrade|credit|extra usage|\bfunds\b|\bbuy\b|purchase|request|\badmin\b", re.IGNORECASE)


@dataclass(slots=True)
class Dialogs:
    """Since when a dialog is up, and how often the watch has replied."""

    since: float | None = None
    tries: int = 0
    answered: int = 0

    def gone(self) -> None:
        """Note that no dialog is up."""
        self.since, self.tries = None, 0

    def due(self, now: float) -> bool:
        """Whether the dialog that is up has stood long enough."""
        if self.since is None:
            self.since = now
        return now >= self.since + STAND_S

    def answer(self, sight: Sight, permissions: str, restarted: bool, now: float) -> Answer | None:
        """The policy's reply; None if the policy has none, or if earlier replies did not help."""
        if self.tries >= TRIES or self.answered >= MOST:
            return None
        found = by_policy(sight, permissions, restarted)
        if found is not None:
            self.tries += 1
            self.answered += 1
            # The reply takes a moment to work; a dialog after that is another one, or asks anew.
            self.since = now + STAND_S
        return found


def by_policy(sight: Sight, permissions: str, restarted: bool) -> Answer | None:
    """The reply that the policy allows; None if there is none.

    `bypass` allows what is asked. `auto` never asks, so a request is refused. Limits are waited
    for. A conversation that the watch itself resumes is resumed as a whole.
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

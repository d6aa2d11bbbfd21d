"""One turn of a Paseo agent, and how it ended. Pure.

Paseo's own word is not enough (`paseo/transcripts.py`): `idle` is also a failed turn of Claude, and what a stop, a daemon
that went down or one that was started anew leave behind. `completed` is said only where the provider's own record,
or, with a daemon whose files can't be read, what the agent last said and its tokens, speaks for it. (What such a daemon
does not tell: that another person stopped a turn of Codex while it wrote its answer.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harnex import times
from harnex.agents.common.record import Record
from harnex.model.facts import Outcome, TurnEnded

Daemon = tuple[int, str]  # pid, startedAt: another one after a restart
# The words with which Claude Code's failures end what Paseo shows of a turn (measured: 400, 401, 429, 529, a cut stream).
ITEM = re.compile(r"\[(User|Task Notification|[A-Z][\w-]*)\](?: |$)")  # what begins an item that is no answer
UNSEEN = "Paseo says idle, but how the turn ended can't be known from here"
FAILURES = ("API Error:", "Failed to authenticate.", "[System Error]")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the daemon says of the agent now: its state file, or `inspect` where that can't be read."""

    status: str = ""
    prompted_at: str = ""  # lastUserMessageAt: another one for each prompt
    written: float | None = None  # epoch seconds
    error: str = ""  # of `error`, also when a restart of the daemon made `closed` of it
    session: str = ""  # the provider's own id of the conversation

    @classmethod
    def of_file(cls, file: dict[str, Any]) -> Snapshot:
        persistence = file.get("persistence")
        session = persistence.get("sessionId") if isinstance(persistence, dict) else None
        return cls(
            str(file.get("lastStatus") or ""),
            str(file.get("lastUserMessageAt") or ""),
            times.seconds(file.get("updatedAt")),
            str(file.get("lastError") or "") if file.get("lastStatus") in ("error", "closed") else "",
            session if isinstance(session, str) else "",
        )

    def older_than(self, daemon: Daemon | None) -> bool:
        """Whether a daemon wrote it that is gone: a new one leaves the file as it is until it loads the agent."""
        started = times.seconds(daemon[1]) if daemon else None
        return started is not None and self.written is not None and self.written < started


@dataclass(slots=True)
class Turn:
    """An open one."""

    since: float  # when Paseo dates its prompt, epoch seconds; 0: not known
    daemon: Daemon | None  # on which it began
    opening: bool = False  # harnex's own first prompt, which is no turn
    confirming: bool = False  # an end that the record does not explain yet is looked at once more
    said: str = ""  # the last items that Paseo shows, where there is no record to be read
    used: bool = False  # and whether `inspect` has tokens that it had not before


def outcome(turn: Turn, now: Snapshot, record: Record, daemon: Daemon | None, stopped: bool, files: bool) -> TurnEnded:
    """How the turn ended. `stopped`: we asked for its end; `files`: the daemon's files can be read."""
    said = record.end(turn.since, complete=True)
    if stopped and (said is None or said.outcome != "completed"):
        return made("interrupted", "it was stopped")
    if now.error.startswith("[ede_diagnostic]"):
        return made("interrupted", now.error)  # `permit deny --interrupt`
    if (now.status == "error" or now.error) and (said is None or said.outcome == "completed"):
        reason, retry_at = record.classify(now.error)
        return TurnEnded("statefile", "failed", "", reason, now.error or "the agent is in error", retry_at)
    if said is not None:
        return said
    if now.status == "closed":
        return made("interrupted", "the daemon let go of the agent in the middle of the turn")
    if files and turn.daemon != daemon:  # whatever loads the agent then mends the file, a person's `attach` too
        return made("interrupted", "the daemon was started anew in the middle of the turn")
    if not files:
        return _by_words(turn, record)
    if not record.readable:
        return made("failed", f"it is {now.status}, but its outcome can't be known: no readable record")
    return made("failed", f"Paseo says {now.status}, but the agent's own record has no answer")


def _by_words(turn: Turn, record: Record) -> TurnEnded:
    """From what `wait` shows of the last items. After a stop and after a failure Claude's tokens are zero; a tool or a
    prompt as the last item is no answer."""
    lines = turn.said.strip().splitlines()
    at = next((n for n in range(len(lines) - 1, -1, -1) if ITEM.match(lines[n])), -1)
    answer = "\n".join(lines[at + 1 :]).strip()
    failed = next((line for line in reversed(lines[at:]) if line.startswith(FAILURES)), "")
    if failed:
        reason, retry_at = record.classify(failed)
        return TurnEnded("inspect", "failed", "", reason, failed, retry_at)
    if not answer or not turn.used:
        return TurnEnded("inspect", "failed", "", "other", UNSEEN)
    return TurnEnded("inspect", "completed", answer)


def made(how: Outcome, detail: str) -> TurnEnded:
    return TurnEnded("statefile", how, reason="other" if how == "failed" else "", detail=detail)

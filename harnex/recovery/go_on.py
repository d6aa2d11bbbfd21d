"""What an agent that is started again is told, so that its open task goes on;
and how its last turn ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harnex.recovery.fold import Digest

INTERRUPTED = "You were interrupted. "
GO_ON = f"{INTERRUPTED}Go on with: "
NO_TASK = f"{INTERRUPTED}Please go on with the task until it is done."
QUOTED = 2000  # characters of a task; the conversation has the whole text
SHOWN = 5  # how many pieces of background work are named


def words(log: Digest, kept: Iterable[Mapping[str, Any]], killed: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the message that lets the task go on, or None if nothing was cut off.

    `kept`: the messages, with their whole text, that were taken and not answered. `killed`: the
    background work that ended with the run.
    """
    lost = [str(work.get("command")) for work in killed if work.get("command")]
    completed = (log.last_outcome or {}).get("outcome") == "completed"
    if not log.cut_off and not (lost and completed):
        return None
    said = _task(log, kept) if log.cut_off else NO_TASK
    if not lost:
        return said
    named = ", ".join(f"`{command}`" for command in lost[:SHOWN]) + (" and more" if len(lost) > SHOWN else "")
    return f"{said}\n\nWhat you had running in the background was ended, too: {named}."


def _task(log: Digest, kept: Iterable[Mapping[str, Any]]) -> str:
    """Return the task in the words of the person who asked for it."""
    whole = {str(m["id"]): "" if m.get("redacted") else str(m.get("text") or "") for m in kept}
    asked = [m for m in log.unanswered if m not in log.nudges]
    # A nudge is no task: it means the task that was given before.
    asked = asked or [m for m in log.said if m not in log.nudges][:1]
    texts = [text for m in asked if (text := (whole[m] if m in whole else log.said.get(m, "")).strip())]
    if not texts:
        return NO_TASK
    # The agent was interrupted before it answered the last such message.
    if texts[0].startswith(INTERRUPTED):
        return "\n\n".join(texts)
    task = "\n\n".join(texts)
    return GO_ON + (task if len(task) <= QUOTED else f"{task[:QUOTED]}…")


def before(log: Digest, start: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how the last turn ended, for a run that goes on where nothing was cut off.

    The watch judges this turn, and `wait` reports it. `start` is the run's start.json: a run that
    was killed before its first turn passes on the turn that is noted there.
    """
    found = log.last_outcome or start.get("before")
    return dict(found) if isinstance(found, dict) else None

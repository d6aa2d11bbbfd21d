"""Events in words: one sentence for each type.

Used by the follower of a watched session, by `exec`, and by the tour.

The texts in events may hold anything: whoever prints a sentence must make it safe to show
(`visible`).
"""

from __future__ import annotations

from collections.abc import Callable

from harnex import times
from harnex.model.records import Json

# Event types that a follower prints no line for: a live line shows them, or another event says the
# same better.
QUIET = ("state", "call", "tool", "send", "delivery", "exited")


def followed(row: Json, now: float) -> str:
    """The sentence of an event for a person who follows a session; "" for events to be left out."""
    return "" if row.get("type") in QUIET else sentence(row, now)


def sentence(row: Json, now: float) -> str:
    """What an event says, in one line; "" for a type that has no sentence.

    `now` is epoch seconds: times far from `now` get a date.
    """
    said = _SENTENCES.get(str(row.get("type")))
    return said(row, now) if said is not None else ""


def local_time(iso: object, now: float) -> str:
    """An ISO time as the local time of day; dashes for anything else.

    A time that is half a day away from `now` gets its date.
    """
    at = times.seconds(iso)
    return "--:--:--" if at is None else times.time_of_day(at, now)


def short(text: object, most: int = 160) -> str:
    """A text on one line, cut to `most` characters."""
    words = " ".join(str(text or "").split())
    return words if len(words) <= most else words[: most - 1] + "…"


def killed_words(killed: list[Json], now: float) -> str:
    """The background work that ended with a session, in words."""
    return "; ".join(
        f"{work.get('kind')} {short(work.get('command'), 80)} "
        f"(since {local_time(work.get('since'), now)}, by {work.get('by')})"
        for work in killed
    )


def _took(row: Json) -> str:
    return times.age(float(row.get("duration_s") or 0))


def _started(row: Json, now: float) -> str:
    return f"started: {row.get('cli')} {row.get('cli_version') or ''} in {row.get('cwd')}".replace("  ", " ")


def _state(row: Json, now: float) -> str:
    dialog = f" ({row['dialog']})" if row.get("dialog") else ""
    return f"{row.get('from')} → {row.get('state')}{dialog}   [{row.get('source')}: {short(row.get('reason'), 60)}]"


def _watch(row: Json, now: float) -> str:
    return f"watch: {row.get('message')}" if row.get("phase") == "on" else str(row.get("message"))


def _turn_started(row: Json, now: float) -> str:
    return f"turn {row.get('turn')} began"


def _task_complete(row: Json, now: float) -> str:
    said = short(row.get("last_message"))
    return f"turn {row.get('turn')} ended well after {_took(row)}" + (f": {said}" if said else "")


def _turn_failed(row: Json, now: float) -> str:
    retry = f" (until {local_time(row.get('retry_at'), now)})" if row.get("retry_at") else ""
    what = f"turn {row.get('turn')} {row.get('outcome')}: {row.get('reason')}{retry}"
    return f"{what}: {short(row.get('message'))}"


def _blocked(row: Json, now: float) -> str:
    return f"a {row.get('dialog')} dialog: " + "; ".join(short(o, 60) for o in row.get("options") or ())


def _approval(row: Json, now: float) -> str:
    return f"the {row.get('dialog')} dialog was answered by {row.get('by')}: {short(row.get('answer'), 60)}"


def _stall(row: Json, now: float) -> str:
    seen = row.get("evidence") or {}
    if row.get("kind") == "loop":
        return f"it goes round in circles: {seen.get('what')}, {seen.get('tool')} {short(seen.get('input'), 60)}"
    return (
        f"it stands still ({row.get('kind')}): silent for {seen.get('silent_s')} s, without progress for "
        f"{seen.get('no_progress_s')} s; last: {seen.get('last_progress')}"
    )


def _nudge(row: Json, now: float) -> str:
    cut = ", the turn was interrupted" if row.get("interrupted") else ""
    how = f"{row.get('reason')}, {row.get('count')} of {row.get('most')}{cut}"
    return f"nudged ({how}): {short(row.get('text'), 80)}"


def _limit_wait(row: Json, now: float) -> str:
    why = f"{row.get('reason')}, by {row.get('source')}"
    return f"waiting until {local_time(row.get('until'), now)} ({why}): {short(row.get('message'), 100)}"


def _restart(row: Json, now: float) -> str:
    how = "its conversation goes on" if row.get("resumed") else "without its conversation"
    return f"started again after {row.get('reason')} ({row.get('attempt')} of {row.get('most')}, {how})"


def _budget(row: Json, now: float) -> str:
    over = f", over {row.get('runs')} runs" if (row.get("runs") or 1) > 1 else ""
    return f"the budget is spent: {row.get('used')} of {row.get('limit')} {row.get('kind')}{over}"


def _escalated(row: Json, now: float) -> str:
    return f"a person is needed: {row.get('message')}"


def _verify(row: Json, now: float) -> str:
    result = "passes" if row.get("ok") else "fails" if row.get("code") is not None else "took too long"
    return f"{row.get('kind')} `{short(row.get('command'), 60)}` {result} ({row.get('attempt')} of {row.get('most')})"


def _background(row: Json, now: float) -> str:
    by = "" if row.get("by") == "main" else f" (by {short(row.get('by'), 40)})"
    what = f"{row.get('kind')} {short(row.get('command') or row.get('work_id'), 80)}{by}"
    if row.get("status") == "started":
        return f"in the background: {what}"
    how = f", {row['how']}" if row.get("how") else ""
    return f"background work ended after {_took(row)}{how}: {what}"


def _compaction(row: Json, now: float) -> str:
    whose = "" if row.get("agent") == "main" else f" of {row.get('agent')}"
    before = row.get("tokens_before")
    held = f" ({before:,} tokens)" if isinstance(before, int) else ""
    return f"the conversation{whose}{held} was replaced by a summary"


def _subagent(row: Json, now: float) -> str:
    return f"sub-agent {short(row.get('agent'), 60)} {row.get('status')}"


def _diagnostic(row: Json, now: float) -> str:
    return f"note: {short(row.get('what'))}"


def _call(row: Json, now: float) -> str:
    return f"{row.get('model')}: {row.get('input_tokens')} in, {row.get('output_tokens')} out"


def _tool(row: Json, now: float) -> str:
    return f"{row.get('tool')} {row.get('status')}   {short(row.get('input_preview'), 60)}"


def _send(row: Json, now: float) -> str:
    return repr(short(row.get("msg"), 60))


def _delivery(row: Json, now: float) -> str:
    return str(row.get("status"))


def _exited(row: Json, now: float) -> str:
    return str(row.get("reason"))


_SENTENCES: dict[str, Callable[[Json, float], str]] = {
    "started": _started,
    "state": _state,
    "watch": _watch,
    "turn_started": _turn_started,
    "task_complete": _task_complete,
    "turn_failed": _turn_failed,
    "blocked": _blocked,
    "approval": _approval,
    "stall": _stall,
    "nudge": _nudge,
    "limit_wait": _limit_wait,
    "restart": _restart,
    "budget": _budget,
    "escalated": _escalated,
    "verify": _verify,
    "background": _background,
    "compaction": _compaction,
    "subagent": _subagent,
    "diagnostic": _diagnostic,
    "call": _call,
    "tool": _tool,
    "send": _send,
    "delivery": _delivery,
    "exited": _exited,
}

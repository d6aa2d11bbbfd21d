"""The timeline of a run as SVG: states, turns, calls and tools over time, and marks for what went
wrong.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

from harnex import times

STATES = ("busy", "prompt", "blocked", "starting", "stopping", "unknown", "exited")
WIDTH, LEFT = 1000.0, 64.0
LANES = ("state", "turns", "calls", "tools", "events")
LANE_Y = 26.0
MARKS_MAX = 2000  # drawn things of one lane; neighbours that fall on one point are drawn once
DOT = 0.8  # width of the narrowest bar
MARKED = {
    "send": "message", "stall": "stall", "nudge": "nudge", "limit_wait": "limit", "restart": "restart",
    "budget": "budget", "escalated": "escalated", "blocked": "blocked", "approval": "approval",
    "diagnostic": "diagnostic", "turn_failed": "failed", "verify": "verify",
}  # fmt: skip
_BAD = ("stall", "budget", "escalated", "turn_failed", "blocked")


def timeline(events: Sequence[dict[str, Any]], begin: float, end: float, text: Callable[[object], str]) -> str:
    """The SVG; "" if `end` is not after `begin` (epoch seconds). `text` escapes a value."""
    if end <= begin:
        return ""
    scale = (WIDTH - LEFT) / (end - begin)

    def x(at: float) -> float:
        return LEFT + (min(max(at, begin), end) - begin) * scale

    out: list[str] = []

    def bar(lane: str, at: float, until: float, css: str, said: str) -> None:
        left, width = x(at), max(DOT, x(until) - x(at))
        y = LANES.index(lane) * LANE_Y + 4
        out.append(
            f'<rect class="{css}" x="{left:.1f}" y="{y:g}" width="{width:.1f}" height="{LANE_Y - 8:g}">'
            f"<title>{text(said)}</title></rect>"
        )

    _states(events, begin, end, bar, scale)
    _turns(events, end, bar)
    for kind, lane in (("call", "calls"), ("tool", "tools")):
        last, drawn = -1e9, 0
        for row in events:
            at = times.seconds(row.get("ts"))
            if row.get("type") != kind or at is None or row.get("status") == "started":
                continue
            took = row.get("duration_s")
            took = float(took) if isinstance(took, int | float) and took >= 0 else 0.0
            if x(at) - last < 0.3 or drawn >= MARKS_MAX:
                continue
            last, drawn = x(at), drawn + 1
            name = row.get("model") if kind == "call" else row.get("tool")
            bad = row.get("partial") if kind == "call" else row.get("status") == "failed"
            bar(lane, at - took, at, f"b-{lane}" + (" b-bad" if bad else ""), f"{name}: {took:.1f} s")
    marks = [row for row in events if row.get("type") in MARKED][:MARKS_MAX]
    y = LANES.index("events") * LANE_Y + LANE_Y / 2
    for row in marks:
        at = times.seconds(row.get("ts"))
        if at is None:
            continue
        kind = str(row["type"])
        said = row.get("reason") or row.get("kind") or row.get("dialog") or row.get("msg") or row.get("what") or ""
        css = "m-bad" if kind in _BAD else "m"
        out.append(
            f'<circle class="{css}" cx="{x(at):.1f}" cy="{y:g}" r="4"><title>'
            f"{text(MARKED[kind])} {text(str(row.get('ts'))[11:19])}: {text(str(said)[:160])}</title></circle>"
        )
    height = len(LANES) * LANE_Y
    names = "".join(f'<text x="0" y="{n * LANE_Y + 17:g}">{lane}</text>' for n, lane in enumerate(LANES))
    lines = "".join(
        f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="0" y2="{height + 4:g}"/>'
        f'<text x="{x(at):.1f}" y="{height + 16:g}" text-anchor="{anchor}">{label}</text>'
        for at, label, anchor in _ticks(begin, end)
    )
    return (
        f'<svg class="timeline" viewBox="0 0 {WIDTH:g} {height + 22:g}" role="img" aria-label="timeline">'
        f'<g class="axis">{names}{lines}</g>{"".join(out)}</svg>'
    )


def _states(events: Sequence[dict[str, Any]], begin: float, end: float, bar: Any, scale: float) -> None:
    spells: list[list[Any]] = [[begin, "starting", ""]]
    for row in events:
        at = times.seconds(row.get("ts"))
        if row.get("type") != "state" or at is None:
            continue
        state = str(row.get("state")) if row.get("state") in STATES else "unknown"
        if (at - spells[-1][0]) * scale < 0.25:
            spells[-1] = [spells[-1][0], state, row.get("reason")]  # too short to be seen
        elif state != spells[-1][1]:
            spells.append([at, state, row.get("reason")])
    for n, (at, state, reason) in enumerate(spells):
        until = spells[n + 1][0] if n + 1 < len(spells) else end
        bar("state", at, until, f"s-{state}", f"{state}, {until - at:.1f} s{': ' if reason else ''}{reason or ''}")


def _turns(events: Sequence[dict[str, Any]], end: float, bar: Any) -> None:
    opened: tuple[float, Any] | None = None
    for row in events:
        at = times.seconds(row.get("ts"))
        if at is None:
            continue
        if row.get("type") == "turn_started":
            opened = (at, row.get("turn"))
        elif row.get("type") in ("task_complete", "turn_failed") and opened is not None:
            failed = row["type"] == "turn_failed"
            how = f"{row.get('outcome')} ({row.get('reason')})" if failed else "completed"
            bar("turns", opened[0], at, "b-turns" + (" b-bad" if failed else ""), f"turn {opened[1]}: {how}")
            opened = None
    if opened is not None:
        bar("turns", opened[0], end, "b-turns b-open", f"turn {opened[1]}: open")


def _ticks(begin: float, end: float) -> list[tuple[float, str, str]]:
    """About six round times of day: (epoch seconds, label, text anchor)."""
    for step in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 604800):
        if (end - begin) / step <= 7:
            break
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 43200 else "%d %b"
    first = (begin // step + 1) * step
    ticks: list[tuple[float, str, str]] = []
    at = first
    while at <= end and len(ticks) < 12:
        edge = "end" if (end - at) / (end - begin) < 0.04 else "middle"
        ticks.append((at, times.local(at, form, UTC), edge))
        at += step
    return ticks

"""The HTML of `harnex report`: one page that needs nothing else.

Pure: takes records, returns text. Every text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

from harnex import times
from harnex.report.style import CSS
from harnex.report.timeline import STATES, timeline
from harnex.usage.sums import Sums, unknown_calls

USED = ("call", "usage_rest")  # events that report tokens
ROWS_MAX = 400  # rows of one table; the page says how many are left out
# Event types without a line of their own among the happenings. More types may come, so the dull
# types are listed.
DULL = (
    "state",
    "delivery",
    "call",
    "tool",
    "turn_started",
    "task_complete",
    "usage",
    "usage_rest",
    "started",
    "blocked",
    "background",
)
# Characters that HTML does not allow, and characters that make a text read differently (they change
# the direction of what follows).
_INVALID = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_KINDS = (
    ("input_tokens", "input"), ("cache_read_tokens", "of it cached"), ("output_tokens", "output"),
    ("reasoning_tokens", "of it reasoning"), ("total_tokens", "total"),
)  # fmt: skip


@dataclass
class Run:
    """What a page says about one run.

    `about` is its history record, or its registry entry while the run lives.

    `events` are the records of its event log, `notes` sentences for people. `begin` and `end` are
    epoch seconds.
    """

    about: dict[str, Any]
    events: Sequence[dict[str, Any]]
    live: bool = False
    screen: str = ""  # SVG of the last screen
    # Each with sha, subject, at (ISO), author, files, added, removed.
    commits: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = ()
    cost_usd: float | None = None
    begin: float = field(init=False)
    end: float = field(init=False)

    def __post_init__(self) -> None:
        rows = [t for row in self.events if (t := times.seconds(row.get("ts"))) is not None]
        named = [t for key in ("started_at", "ended_at") if (t := times.seconds(self.about.get(key))) is not None]
        known = rows or named or [0.0]
        self.begin = min([*known, *named[:1]])
        # A recovery writes its events long after the run: the history record says when the run was
        # last seen.
        ended = times.seconds(self.about.get("ended_at"))
        self.end = max(self.begin, ended if ended is not None else max(known))

    @property
    def anchor(self) -> str:
        """The id of the run's section in the page."""
        return "run-" + re.sub(r"[^A-Za-z0-9]", "-", str(self.about.get("run_id")))

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The events of these types, in order."""
        return [row for row in self.events if row.get("type") in kinds]


def text(value: object) -> str:
    """The value as escaped text. Characters that HTML does not allow become a replacement sign."""
    return escape(_INVALID.sub("\ufffd", "" if value is None else str(value)), quote=True)


def page(runs: Sequence[Run], made_at: str, version: str) -> str:
    """The whole document. `made_at` is ISO 8601."""
    title = f"{runs[0].about.get('id')} · harnex" if len(runs) == 1 else f"{len(runs)} runs · harnex"
    body = [overview(runs)] if len(runs) > 1 else []
    body += [section(run, single=len(runs) == 1) for run in runs]
    if not runs:
        body.append("<p>No runs in this time.</p>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + f"\n</main>\n<footer>harnex {text(version)} · {text(clock_time(made_at))}</footer>\n</body>\n</html>\n"
    )


def overview(runs: Sequence[Run]) -> str:
    """The table of several runs: how each ended, and when each ran."""
    begin, end = min(r.begin for r in runs), max(r.end for r in runs)
    rows = []
    for run in runs:
        calls, tokens = totals(run.of(*USED))
        rows.append(
            (
                f'<a href="#{run.anchor}">{text(run.about.get("id"))}</a>', text(run.about.get("cli")), outcome(run),
                text(clock_time(iso(run.begin))), text(span(run.end - run.begin)), number(len(run.of("turn_started"))),
                number(calls), tokens,
            )
        )  # fmt: skip
    head = ("session", "CLI", "how it ended", "began", "took", "turns", "calls", "tokens")
    _, every = totals(row for r in runs for row in r.of(*USED))
    bad = sum(not r.live and r.about.get("exit") not in (0, None) for r in runs)
    facts = [("runs", number(len(runs))), ("not well ended", number(bad)), ("from", text(clock_time(iso(begin)))),
             ("to", text(clock_time(iso(end)))), ("tokens", every)]  # fmt: skip
    bars = "".join(
        f'<rect x="{(r.begin - begin) / max(1e-9, end - begin) * 1000:.1f}" y="{4 + 18 * n}" height="12" rx="2" '
        f'width="{max(2.0, (r.end - r.begin) / max(1e-9, end - begin) * 1000):.1f}" '
        f'class="{"good" if r.about.get("exit") == 0 else "live" if r.live else "bad"}">'
        f"<title>{text(r.about.get('id'))}: {text(span(r.end - r.begin))}</title></rect>"
        for n, r in enumerate(runs)
    )
    picture = (
        f'<svg class="runs" viewBox="0 0 1000 {8 + 18 * len(runs)}" preserveAspectRatio="none" '
        f'role="img" aria-label="when each run ran">{bars}</svg>'
    )
    return f"<header><h1>{len(runs)} runs</h1></header>\n{cards(facts)}\n{picture}\n{table(head, rows, numbers=3)}"


def section(run: Run, single: bool) -> str:
    """The section of one run."""
    about = run.about
    parts = [
        f'<section id="{run.anchor}">',
        f"<header><h{1 if single else 2}>{text(about.get('id'))} {outcome(run)}</h{1 if single else 2}>",
        (
            f'<p class="sub">{text(about.get("cli"))} {text(about.get("cli_version") or "")} in '
            f"<code>{text(about.get('cwd') or about.get('repo'))}</code></p>"
        ),
    ]
    if about.get("description"):
        parts.append(f"<p>{text(about['description'])}</p>")
    if about.get("message"):
        parts.append(f'<pre class="said">{text(about["message"])}</pre>')
    parts += [f'<p class="note">{text(note)}</p>' for note in run.notes]
    parts += [
        "</header>",
        cards(facts(run)),
        f'<div class="wide">{timeline(run.events, run.begin, run.end, text)}</div>',
        shares(run),
    ]
    parts += [
        turns(run),
        background(run),
        happenings(run),
        commits(run),
        screen(run),
        calls(run),
        tools(run),
        "</section>",
    ]
    return "\n".join(p for p in parts if p)


def facts(run: Run) -> list[tuple[str, str]]:
    """(label, HTML) of the run's most important facts."""
    count, tokens = totals(run.of(*USED))
    about = run.about
    out = [
        ("began", text(clock_time(iso(run.begin)))),
        ("took", text(span(run.end - run.begin))),
        ("turns", number(len(run.of("turn_started")))),
        ("calls", number(count)),
        ("tokens", tokens),
        ("cost", "unknown" if run.cost_usd is None else f"${run.cost_usd:,.{2 if run.cost_usd >= 1 else 4}f}"),
    ]
    for label, value in (("permissions", about.get("permissions")), ("goes on with", about.get("resumes"))):
        if value:
            out.append((label, text(value)))
    return out


def totals(rows: Iterable[dict[str, Any]]) -> tuple[int | None, str]:
    """(number of calls, their tokens as HTML).

    The tokens end in `+` if those of some calls are unknown.
    """
    sums = Sums()
    for row in rows:
        sums.take(row)
    used = sums.used()
    more = bool(unknown_calls(used)) and used["total_tokens"] is not None
    return used["calls"] or None, number(used["total_tokens"]) + "+" * more


def shares(run: Run) -> str:
    """How long the run was in each state."""
    held: dict[str, float] = {}
    for begin, end, state in spells(run):
        held[state] = held.get(state, 0.0) + end - begin
    total = sum(held.values())
    if not total:
        return ""
    items = [
        f'<li><span class="key s-{state}"></span>{state} {text(span(held[state]))} ({held[state] / total:.0%})</li>'
        for state in STATES
        if held.get(state)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def spells(run: Run) -> Iterable[tuple[float, float, str]]:
    """(begin, end, state) for each spell of one state, in epoch seconds. Lazy."""
    at, state = run.begin, "starting"
    for row in run.of("state"):
        now = min(times.seconds(row.get("ts")) or at, run.end)
        yield at, max(at, now), state
        at, state = max(at, now), str(row.get("state")) if row.get("state") in STATES else "unknown"
    yield at, max(at, run.end), state


def turns(run: Run) -> str:
    """The table of the turns; "" if there are none."""
    rows = []
    sent = {row.get("message_id"): row for row in run.of("send")}
    opened = {row.get("turn"): row for row in run.of("turn_started")}
    used: dict[Any, list[dict[str, Any]]] = {}
    for call in run.of(*USED):
        used.setdefault(call.get("turn"), []).append(call)
    ended = {row.get("turn"): row for row in run.of("task_complete", "turn_failed")}
    for turn, start in opened.items():
        end = ended.get(turn)
        message = sent.get(start.get("message_id"))
        asked = text(message.get("msg")) + ("…" if message.get("msg_truncated") else "") if message else "—"
        if end is None:
            how, said = ("open", "")
        elif end["type"] == "task_complete":
            how, said = "completed", str(end.get("last_message") or "")
        else:
            how, said = f"{end.get('outcome')}: {end.get('reason')}", str(end.get("message") or "")
        count, tokens = totals(used.get(turn, ()))
        css = "good" if how == "completed" else "live" if how == "open" else "bad"
        rows.append(
            (
                number(turn), text(clock_time(start.get("ts"), run.begin)), asked,
                f'<span class="{css}">{text(how)}</span>', f'<div class="words">{text(said)}</div>',
                text(span(end.get("duration_s"))) if end else "", number(count), tokens,
            )
        )  # fmt: skip
    head = ("turn", "at", "asked", "ended", "last words", "took", "calls", "tokens")
    return f"<h3>Turns</h3>{table(head, rows, numbers=3)}" if rows else ""


def background(run: Run) -> str:
    """What the agent left running, and how each piece of work ended."""
    ends = {row.get("work_id"): row for row in run.of("background") if row.get("status") == "ended"}
    rows = []
    for row in run.of("background"):
        if row.get("status") != "started":
            continue
        end = ends.get(row.get("work_id"), {})
        how = str(end.get("how") or "ended") if end else "runs" if run.live else "not known"
        css = {"completed": "good", "failed": "bad", "killed": "bad"}.get(how, "live")
        rows.append(
            (
                text(clock_time(row.get("since"), run.begin)), text(row.get("kind")),
                f'<div class="words">{text(row.get("command"))}</div>', text(row.get("by")),
                f'<span class="{css}">{text(how)}</span>', text(span(end.get("duration_s"))) if end else "",
            )
        )  # fmt: skip
    head = ("since", "kind", "what", "by", "ended", "took")
    return f"<h3>In the background</h3>{table(head, rows, numbers=1)}" if rows else ""


def happenings(run: Run) -> str:
    """The other events that are worth knowing, in order."""
    rows = []
    for row in run.events:
        kind = str(row.get("type"))
        if (
            kind in DULL
            and not (kind == "delivery" and row.get("status") in ("failed", "expired"))
            and kind != "blocked"
        ):
            continue
        own = {
            k: v
            for k, v in row.items()
            if k not in ("schema_version", "seq", "ts", "id", "run_id", "type", "message_id")
            and v not in (None, "", {}, [], False)
        }
        words = ", ".join(f"{k} {_flat(v)}" for k, v in own.items())
        rows.append(
            (
                text(clock_time(row.get("ts"), run.begin)),
                f"<b>{text(kind)}</b>",
                f'<div class="words">{text(words)}</div>',
            )
        )
    return f"<h3>What happened</h3>{table(('at', 'what', ''), rows)}" if rows else ""


def calls(run: Run) -> str:
    """The folded table of the model calls; "" if there are none."""
    rows = [
        (
            text(clock_time(row.get("ts"), run.begin)), number(row.get("turn")), text(row.get("model")),
            text(row.get("agent")), *(number(row.get(key)) for key, _ in _KINDS), text(span(row.get("duration_s"))),
            text(row.get("stop_reason")) + (" (partial)" if row.get("partial") else ""),
        )
        for row in run.of("call")
    ]  # fmt: skip
    head = ("at", "turn", "model", "agent", *(label for _, label in _KINDS), "took", "stopped by")
    return folded(f"Calls ({len(rows)})", table(head, rows, numbers=0, right=range(4, 10))) if rows else ""


def tools(run: Run) -> str:
    """The folded table of the finished tool calls; "" if there are none."""
    ended = [row for row in run.of("tool") if row.get("status") != "started"]
    rows = [
        (
            text(clock_time(row.get("ts"), run.begin)), number(row.get("turn")), text(row.get("tool")),
            f'<span class="{"good" if row.get("status") == "completed" else "bad"}">{text(row.get("status"))}</span>',
            f'<div class="words">{text(row.get("input_preview"))}</div>', text(span(row.get("duration_s"))),
        )
        for row in ended
    ]  # fmt: skip
    head = ("at", "turn", "tool", "ended", "input", "took")
    return folded(f"Tools ({len(rows)})", table(head, rows, numbers=1)) if rows else ""


def commits(run: Run) -> str:
    """The table of the commits; "" if there are none."""
    rows = [
        (
            f"<code>{text(str(c.get('sha'))[:10])}</code>", text(clock_time(c.get("at"), run.begin)), text(c.get("subject")),
            text(c.get("author")), number(c.get("files")), number(c.get("added")), number(c.get("removed")),
        )
        for c in run.commits
    ]  # fmt: skip
    head = ("commit", "at", "subject", "author", "files", "added", "removed")
    return f"<h3>Commits</h3>{table(head, rows, numbers=3)}" if rows else ""


def screen(run: Run) -> str:
    """The SVG of the screen.

    harnex drew it (draw.py) and escaped its texts; inside a page it needs no name space.
    """
    if not run.screen:
        return ""
    drawn = run.screen.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)
    return f'<h3>{"Screen now" if run.live else "Last screen"}</h3><div class="screen">{drawn}</div>'


# ---- pieces ----


def outcome(run: Run) -> str:
    """How the run ended, or its state while the run lives."""
    if run.live:
        return f'<span class="tag live">{text(run.about.get("state") or "live")}</span>'
    css = "good" if run.about.get("exit") == 0 else "bad"
    return f'<span class="tag {css}">{text(run.about.get("reason"))}</span>'


def cards(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in facts) + "</dl>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0, right: Iterable[int] = ()) -> str:
    """A table.

    The cells are HTML already. The last `numbers` columns, and the columns in `right`, hold
    numbers.
    """
    align = {*right, *range(len(head) - numbers, len(head))}
    css = [' class="n"' if i in align else "" for i in range(len(head))]
    out = ['<div class="wide"><table><thead><tr>', *(f"<th{css[i]}>{h}</th>" for i, h in enumerate(head))]
    out.append("</tr></thead><tbody>")
    for row in rows[:ROWS_MAX]:
        out.append("<tr>" + "".join(f"<td{css[i]}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>")
    out.append("</tbody></table></div>")
    if len(rows) > ROWS_MAX:
        out.append(f'<p class="note">and {len(rows) - ROWS_MAX} more: harnex events has them all</p>')
    return "".join(out)


def folded(title: str, inner: str) -> str:
    return f"<details><summary><h3>{title}</h3></summary>{inner}</details>"


def number(value: object) -> str:
    """A number with thousands separated; None is shown as unknown, never as 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return '<span class="unknown">?</span>'
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def span(value: object) -> str:
    """A duration (seconds) for a person; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if value < 10:
        return f"{value:.1f}s"
    return times.age(value)


def iso(at: float) -> str:
    """Epoch seconds as an ISO time; "" if they are out of range."""
    try:
        return times.iso(at)
    except (ValueError, OverflowError, OSError):
        return ""


def clock_time(value: object, begin: float | None = None) -> str:
    """`21 Nov 05:30:12 UTC`; only the time of day if `begin` (epoch seconds) is given and is on the
    same day.

    All times are UTC, which is said only without `begin`.
    """
    at = times.seconds(value)
    if at is None:
        return "" if value is None else str(value)
    when = datetime.fromtimestamp(at, UTC)
    if begin is not None and datetime.fromtimestamp(begin, UTC).date() == when.date():
        return when.strftime("%H:%M:%S")
    return when.strftime("%d %b %H:%M:%S") + ("" if begin is not None else " UTC")


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} {_flat(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_flat, value))
    return str(value)

"""The bundled scripted agent (`harnex demo`, the end-to-end tests): harnex/rehearsal/tui/.

It gives every kind of signal that the real agents give, and each can be switched off, so that the
fusion can be tested with any of them missing: OSC 7501, a file of events, a spinner in the title, the screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast, get_args

from harnex import interpreter
from harnex.agents.common.message_text import bracketed, clean, losses, visible
from harnex.agents.common.status_protocol import status_fact
from harnex.agents.contract import (
    Credential,
    Launch,
    LaunchRequest,
    Lease,
    Reader,
    Rehearsal,
    Source,
    StopStep,
    Typing,
    Version,
)
from harnex.model.facts import (
    FAILURE_REASONS,
    AgentSession,
    Background,
    Fact,
    Follow,
    ModelCall,
    Observation,
    Outcome,
    Remark,
    Retracted,
    ScreenView,
    State,
    Submitted,
    ToolUse,
    TurnEnded,
)

EVENTS_FILE = "agent.jsonl"
TOOL = "HARNEX_DEMO_TOOL"  # in the environment of its tools: whose they are
EVIDENCE = "HARNEX_DEMO_EVIDENCE"  # tells the reader, by the child's environment, where the events are
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLACEHOLDER = 'Try "fix the failing tests"'
_RULE = re.compile(r"^─{10,}$")
_STATUS = re.compile(r"^[·✢✳✶✻✽] .*(esc to interrupt|retrying in )")
_OPTION = re.compile(r"^ [❯ ] (\d+)\. (.+)$")
_DIALOGS = {
    "Do you trust the files in this folder?": "trust",
    "Do you want to run this command?": "permission",
    "Would you like to proceed?": "plan",
}


class DemoReader(Reader):
    """Reads what the scripted agent tells."""

    marks_tools = True

    def __init__(self) -> None:
        self._turn = self._rows = 0

    def recorded(self) -> int:
        return self._rows

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        if env.get(EVIDENCE):
            yield Follow("events", env[EVIDENCE])

    # -- the terminal ----------------------------------------------------------------------------

    def osc(self, code: int, body: str) -> Iterable[Fact]:
        if code == 7501:
            fact = status_fact(body)
            return [fact] if fact is not None else []
        if code not in (0, 2):
            return []
        if not body:
            return [Retracted("title")]
        if body[0] in FRAMES:
            return [Observation("title", State.BUSY, f"spinner in the title: {body[:40]}")]
        if body.startswith("[ ! ]"):
            return [Observation("title", State.BLOCKED, f"title: {body[:40]}", "other")]
        return [Observation("title", State.PROMPT, f"no spinner in the title: {body[:40]}")]

    def screen(self, view: ScreenView) -> Iterable[Fact]:
        lines = _used(view)
        dialog = _dialog(lines)
        if dialog is not None:
            return [dialog]
        box = _box(lines)
        if box is None:
            return [Observation("screen", State.STARTING, "no input box yet")]
        top = box[0]
        for line in reversed(lines[:top]):
            if line.startswith("  ↳ "):
                continue  # a queued message
            if _STATUS.match(line):
                return [Observation("screen", State.BUSY, f"status line: {line[:60]}")]
            break
        if any("esc to interrupt" in line for line in lines[box[1] + 1 :]):
            return [Observation("screen", State.BUSY, "the footer says: esc to interrupt")]
        return [Observation("screen", State.PROMPT, "an input box, and no sign of work")]

    def draft(self, view: ScreenView) -> str | None:
        lines = _used(view)
        box = _box(lines)
        if box is None or _dialog(lines) is not None:
            return None
        rows = [line[2:] for line in lines[box[0] + 1 : box[1]]]
        text = "\n".join(rows)
        return "" if text == PLACEHOLDER else text

    def outcome(self, view: ScreenView) -> TurnEnded | None:
        """What the screen shows of the end of the last turn: the last thing above the box."""
        lines = _used(view)
        box = _box(lines)
        above = [line for line in (lines[: box[0]] if box else lines) if line.strip()]
        end = len(above)
        while end and above[end - 1].startswith("  ") and not above[end - 1].startswith("  ⎿"):
            end -= 1  # the rest of a message
        block = " ".join(line.strip() for line in above[max(0, end - 1) :])
        if block.startswith("⎿  Interrupted"):
            return TurnEnded("screen", "interrupted")
        for words, reason in _ERRORS:
            if block.startswith("● ") and words in block:
                return TurnEnded("screen", "failed", reason=reason, detail=block[2:])
        if block.startswith("● "):
            return TurnEnded("screen", "completed", last_message=block[2:])
        return None

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        return env.get(TOOL, "")

    # -- its events ------------------------------------------------------------------------------

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        event = row.get("event")
        self._rows += 1
        if event == "ready":
            yield AgentSession(str(row.get("session") or f"demo-{row.get('pid')}"))
            yield Observation(source, State.PROMPT, "it says: ready")
        elif event == "submitted":
            self._turn = int(row.get("turn") or 0)
            yield Submitted(source, str(row.get("text", "")))
            yield Observation(source, State.BUSY, "it says: a turn began")
        elif event == "dialog":
            options = tuple(str(o) for o in row.get("options") or ())
            kind = str(row.get("dialog"))
            yield Observation(source, State.BLOCKED, f"it asks: {row.get('title')}", kind, options)
        elif event == "dialog_closed":
            if row.get("dialog") != "trust":
                yield Observation(source, State.BUSY, "it says: the dialog was answered")
        elif event == "turn_end":
            yield self._ended(source, row)
            if not row.get("queued"):
                yield Observation(source, State.PROMPT, "it says: the turn ended")
        elif event == "tool":
            yield ToolUse(
                str(row.get("call_id")),
                str(row.get("tool")),
                row["status"] if row.get("status") in ("started", "completed") else "failed",
                str(row.get("input", "")),
                row.get("duration_s"),
            )
        elif event == "call":
            yield _call(row)
        elif event == "background":
            yield Background(
                str(row.get("work")),
                "started" if row.get("status") == "started" else "ended",
                command=str(row.get("command") or ""),
                agent=str(row.get("agent")),
                how=str(row.get("how") or ""),
                told=bool(row.get("told")),
                sure=True,
            )
        elif event == "exit":
            yield Retracted(source)
        elif event not in ("queued", "retry"):
            yield Remark(f"the demo agent says something unknown: {event!r}")

    def _ended(self, source: str, row: dict[str, Any]) -> TurnEnded:
        outcome = row.get("outcome")
        reason = str(row.get("reason", ""))
        retry_at = row.get("retry_at")
        when = datetime.fromtimestamp(retry_at, UTC).isoformat() if isinstance(retry_at, int) else None
        return TurnEnded(
            source,
            cast(Outcome, outcome if outcome in get_args(Outcome) else "failed"),
            last_message=str(row.get("last_message", "")),
            reason=reason if reason in FAILURE_REASONS or not reason else "other",
            detail=str(row.get("detail", "")),
            retry_at=when.replace("+00:00", "Z") if when else None,
            turn_key=f"turn-{row.get('turn', self._turn)}",
        )


_ERRORS = (
    ("API Error: 401", "auth"),
    ("API Error: 402", "credit"),
    ("API Error: 403", "auth"),
    ("credit balance is too low", "credit"),
    ("prompt is too long", "context"),
    ("API Error: 429", "rate_limit"),
    ("You've hit your limit", "usage_limit"),
    ("API Error: 529", "overloaded"),
    ("API Error: 503", "overloaded"),
    ("API Error: ", "other"),
    ("Connection lost mid-response", "network"),
    ("Connection error (", "network"),
)


def _call(row: dict[str, Any]) -> ModelCall:
    incoming, outgoing = row.get("input_tokens"), row.get("output_tokens")
    total = incoming + outgoing if isinstance(incoming, int) and isinstance(outgoing, int) else None
    return ModelCall(
        call_id=str(row.get("id")),
        model=row.get("model"),
        agent=str(row.get("agent", "main")),
        input_tokens=incoming,
        cache_read_tokens=row.get("cache_read_tokens"),
        cache_write_tokens=row.get("cache_write_tokens"),
        output_tokens=outgoing,
        reasoning_tokens=row.get("reasoning_tokens"),
        total_tokens=total,
        stop_reason=row.get("stop_reason"),
        duration_s=row.get("duration_s"),
        attempts=row.get("attempts"),
        partial=bool(row.get("partial")),
        text_preview=str(row.get("text", "")),
    )


def _used(view: ScreenView) -> list[str]:
    """The screen's lines down to the last that has something on it."""
    lines = list(view.lines)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _box(lines: list[str]) -> tuple[int, int] | None:
    """The rows of the input box's two rules. It ends the screen, but for one line of hints."""
    for bottom in range(len(lines) - 1, max(-1, len(lines) - 4), -1):
        if not _RULE.match(lines[bottom]):
            continue
        for top in range(bottom - 1, -1, -1):
            if _RULE.match(lines[top]):
                return (top, bottom) if lines[top + 1].startswith("›") else None
    return None


def _dialog(lines: list[str]) -> Observation | None:
    """The dialog at the end of the screen, with its options."""
    if not lines or not lines[-1].startswith(" Enter to select"):
        return None
    options: list[str] = []
    title = ""
    for line in reversed(lines[:-1]):
        found = _OPTION.match(line)
        if found:
            options.insert(0, found.group(2))
        elif _RULE.match(line):
            break
        elif line.startswith(" ") and not line.startswith("  ") and line.strip():
            title = line.strip()
    return Observation("screen", State.BLOCKED, f"dialog: {title}", _DIALOGS.get(title, "question"), tuple(options))


class Demo:
    """The scripted agent, one of harnex's own processes. `request.command` is the Python that runs it."""

    name = "demo"
    program = ""
    known: tuple[Version, Version] | None = None
    sources = (
        Source("osc7501", 1),
        # Its file is read after what it painted: that a turn began is no news to a dialog that is declared already.
        Source("events", 1, dialogs=False),
        Source("title", 2, settle_s=0.3),
        Source("screen", 3, settle_s=0.3),
    )

    def launch(self, request: LaunchRequest) -> Launch:
        args = request.args
        if request.trust:
            args = tuple(a for a in args if a != "--trust")
        if request.permissions != "ask":
            args = tuple(a for a in args if a != "--permission")
        session = None if "--resume" in args else request.new_session_id or None
        if session:
            args = ("--session", session, *args)
        events = f"{request.evidence_dir.rstrip('/')}/{EVENTS_FILE}"
        own = interpreter.command("harnex.rehearsal.tui.__main__", "--evidence", events, *args)
        return Launch(
            argv=(request.command, *own[1:]),
            env={EVIDENCE: events},
            session_id=session,
            permissions="asks before commands" if "--permission" in args else "never asks",
        )

    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        return Rehearsal(env={"HARNEX_DEMO_URL": base_url, "HARNEX_DEMO_HOME": home})

    def lease(
        self, credential: Credential, home: str, cwd: str, version: Version | None, base_url: str | None
    ) -> Lease | None:
        path = f"{home}/credential"
        return Lease({"HARNEX_DEMO_KEY_FILE": path}, {path: credential.text}, logs=("conversations",))

    def reader(self, version: Version | None) -> Reader:
        return DemoReader()

    def typing(self, text: str, version: Version | None) -> Typing:
        return Typing(clear=b"\x15", paste=bracketed(_guarded(text)), notes=losses(text))

    def interrupt(self, view: ScreenView, version: Version | None) -> bytes:
        return b"\x1b"

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        return (
            StopStep("interrupt", keys=b"\x1b", grace_s=1.5, until="prompt"),
            StopStep("exit", keys=b"\x15/exit", grace_s=0.1),
            StopStep("exit", keys=b"\r", grace_s=2.0),
        )

    def resume_args(self, session_id: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        own = (a for n, a in enumerate(args) if a != "--resume" and (n == 0 or args[n - 1] != "--resume"))
        return ("--resume", session_id, *own)


def _guarded(text: str) -> str:
    """A lone `/word` is a command of the agent; with a space before it, it is text."""
    text = clean(text)
    return f" {text}" if re.fullmatch(r"/[a-z-]+", visible(text)) else text


ADAPTER = Demo()

"""Every event type, once: schema v1 of `events.jsonl` (DESIGN section 7).

A new type is one dataclass here. The table in TECHNICAL.md, the choices of `events --type` and the
round-trip test derive from `EVENT_TYPES`. Additive only: a field or type that was once written is
never removed, renamed or retyped, and readers keep types that they don't know.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

SCHEMA_VERSION = 1
HEADER = ("schema_version", "seq", "ts", "id", "run_id", "type")

MSG_LIMIT = 200  # characters of a message that `send` events carry
LAST_MESSAGE_LIMIT = 500
PREVIEW_LIMIT = 200

EVENT_TYPES: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all. `fields()` is the event without the header that the log adds."""

    type: ClassVar[str] = ""
    from_field: ClassVar[str] = "from"  # the attribute that stands for the key `from`, a Python keyword

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        EVENT_TYPES[cls.type] = cls

    def fields(self) -> dict[str, Any]:
        return {
            ("from" if f.name == self.from_field else f.name): getattr(self, f.name) for f in dataclasses.fields(self)
        }


def decode(row: dict[str, Any]) -> Event | None:
    """The event of a log row, unknown fields left out; None for a type that this version doesn't know."""
    kind = EVENT_TYPES.get(str(row.get("type")))
    if kind is None:
        return None
    known = {f.name for f in dataclasses.fields(kind)}
    row = {kind.from_field if k == "from" else k: v for k, v in row.items()}
    try:
        return kind(**{k: v for k, v in row.items() if k in known})
    except TypeError:
        return None


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The agent's process runs."""

    type = "started"
    pid: int
    cli: str
    cli_version: str | None
    mode: str
    permissions: str
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)
    cwd: str = ""
    agent_session_id: str | None = None
    rehearsal: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event):
    """The fused state changed; `source` decided, `reason` is what it saw, `from` the state before."""

    type = "state"
    from_field = "previous"
    state: str
    previous: str
    source: str
    reason: str
    dialog: str | None = None


@dataclass(frozen=True, kw_only=True)
class Send(Event):
    """A message came in. `sender` (written as `from`) is the session that relayed it, or None."""

    type = "send"
    from_field = "sender"
    message_id: str
    msg: str
    msg_truncated: bool
    forced: bool
    sender: str | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery(Event):
    """What became of a message: `queued` `typed` `accepted` `expired` `failed`."""

    type = "delivery"
    message_id: str
    status: str
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class TurnStarted(Event):
    """A turn began. `message_id` is None when a person typed it or the agent began by itself."""

    type = "turn_started"
    turn: int
    message_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskComplete(Event):
    """A turn ended well. `usage` is what its calls used, None where that is not known."""

    type = "task_complete"
    turn: int
    duration_s: float
    last_message: str = ""
    usage: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class TurnFailed(Event):
    """A turn ended otherwise: `outcome` is `failed` or `interrupted`."""

    type = "turn_failed"
    turn: int
    reason: str
    outcome: str = "failed"
    retry_at: str | None = None
    message: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Call(Event):
    """One model call, when it ends (DESIGN section 8). None is unknown, never 0."""

    type = "call"
    call_id: str
    turn: int | None
    model: str | None = None
    agent: str = "main"
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    stop_reason: str | None = None
    duration_s: float | None = None
    attempts: int | None = None
    source: str = "transcript"
    partial: bool = False
    text_preview: str = ""


@dataclass(frozen=True, kw_only=True)
class Tool(Event):
    """A tool call of the agent: `started`, `completed` or `failed`."""

    type = "tool"
    turn: int | None
    call_id: str
    tool: str
    status: str
    input_preview: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """The agent's own to-do list changed: `items` are `{text, status}` (`pending` `in_progress` `completed`)."""

    type = "progress"
    turn: int | None
    done: int
    total: int
    items: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer(Event):
    """The answer of a headless run, whole. With `--schema`: `data` is its JSON, `valid` whether it fits, `errors` why not."""

    type = "answer"
    turn: int | None
    text: str
    data: Any = None
    valid: bool | None = None
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Blocked(Event):
    """A dialog wants a person."""

    type = "blocked"
    dialog: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Approval(Event):
    """A dialog was answered: `answer` is the option or the text, `verb` approve or deny, `by` who."""

    type = "approval"
    dialog: str
    options: tuple[str, ...]
    answer: str
    verb: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Usage(Event):
    """Totals of the run, at its end. None where no call was seen."""

    type = "usage"
    calls: int | None
    tokens: dict[str, int | None] | None
    agent_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Event):
    """What harnex could not do or did not understand: counted, never silent."""

    type = "diagnostic"
    what: str
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Exited(Event):
    """The last event of every run."""

    type = "exited"
    code: int | None
    signal: int | None
    reason: str
    message: str = ""


EXIT_REASONS = (
    "success",
    "failure",
    "timeout",
    "stopped",
    "budget",
    "disconnected",
    "boot_failure",
    "killed",
    "supervisor_lost",
)

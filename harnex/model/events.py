"""Every event type, once: schema v1 of `events.jsonl` (DESIGN section 7).

A new type is one dataclass here. The choices of `events --type` and the round-trip test derive
from `EVENT_TYPES`, and a test compares the table in EVENTS.md with it. The schema only grows:
a field or type that was once written is never removed, renamed or retyped, and readers keep
types that they don't know.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from harnex.model.records import Tokens

SCHEMA_VERSION = 1
HEADER = ("schema_version", "seq", "ts", "id", "run_id", "type")

MSG_LIMIT = 200  # characters of a message that `send` events carry
LAST_MESSAGE_LIMIT = 500
PREVIEW_LIMIT = 200

EVENT_TYPES: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events. `fields()` is the event without the header, which the log adds."""

    type: ClassVar[str] = ""
    # The attribute for the key `from`, which is a Python keyword.
    from_field: ClassVar[str] = "from"

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        EVENT_TYPES[cls.type] = cls

    def fields(self) -> dict[str, Any]:
        return {
            ("from" if f.name == self.from_field else f.name): getattr(self, f.name) for f in dataclasses.fields(self)
        }


def decode(row: dict[str, Any]) -> Event | None:
    """Return the event of a log record, without unknown fields; None for an unknown type."""
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
    """The agent's process runs. `resumes` is the run that this one continues."""

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
    resumes: str | None = None


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event):
    """The fused state changed. `source` decided, `reason` is what it
    saw, `from` the state before."""

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
    """The status of a message: `queued` `typed` `accepted` `expired` `failed`. `note` says what
    reaches the agent differently from how it was sent."""

    type = "delivery"
    message_id: str
    status: str
    error: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class TurnStarted(Event):
    """A turn began. `message_id` is None if a person typed the message or
    the agent began by itself."""

    type = "turn_started"
    turn: int
    message_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskComplete(Event):
    """A turn ended well. `usage` is what its calls used, None if unknown. `unknown` in it counts,
    for each sum, the calls whose number is missing."""

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
    """One finished model call (DESIGN section 8). None is unknown, never 0. `raw` has
    the provider's own numbers."""

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
    raw: dict[str, Any] | None = None


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
class Compaction(Event):
    """The agent replaced its conversation by a summary. What the CLI does not report is
    null (for Codex, all of it)."""

    type: ClassVar[str] = "compaction"
    turn: int | None = None
    agent: str = "main"
    trigger: str | None = None  # `manual`, `auto`
    tokens_before: int | None = None
    tokens_after: int | None = None


@dataclass(frozen=True, kw_only=True)
class Subagent(Event):
    """A sub-agent began or ended a piece of work. `agent` is named as in its `call` events.
    `status` is `started`, or `ended` if the CLI reports an end (Claude Code under Paseo does not).
    """

    type: ClassVar[str] = "subagent"
    turn: int | None = None
    agent: str = ""
    status: str = "started"


@dataclass(frozen=True, kw_only=True)
class Background(Event):
    """Work that the agent left running `started` or `ended` (`status`). `by` is the agent
    that began it, `since` when.

    `kind`: `shell` `agent` `monitor` `timer` `task`, or `process` for work that no record of the
    CLI names. `how` it ended: `completed` `failed` `killed`, `gone` (its processes ended), or None.
    """

    type = "background"
    status: str
    work_id: str
    kind: str
    command: str
    since: str
    by: str
    how: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """The agent's own to-do list changed. `items` are `{text, status}` (`pending`
    `in_progress` `completed`)."""

    type = "progress"
    turn: int | None
    done: int
    total: int
    items: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer(Event):
    """The whole answer of a headless run. With `--schema`, `data` is its JSON, `valid` whether it
    fits, and `errors` why not."""

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
    """A dialog was answered. `answer` is the option or the text, `verb` approve
    or deny, `by` who answered."""

    type = "approval"
    dialog: str
    options: tuple[str, ...]
    answer: str
    verb: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Git(Event):
    """The repository at the `start` or `end` of the run (`phase`). `commits` to `loc_removed`
    are the changes in between."""

    type = "git"
    phase: str
    sha: str | None
    branch: str | None
    commits: int | None = None
    files_changed: int | None = None
    loc_added: int | None = None
    loc_removed: int | None = None
    dirty: bool | None = None
    dirty_files: int | None = None
    dirty_added: int | None = None
    dirty_removed: int | None = None
    rewritten: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Summary(Event):
    """The dispatch record was written to the file of `--summary-out`.
    `path` is None if that failed."""

    type = "summary"
    exit: int | None
    path: str | None


@dataclass(frozen=True, kw_only=True)
class Watch(Event):
    """The watch changed its `phase`: `on` (with the policy), `background` (the watch waits
    for work that the agent left running, or no longer waits), `done` (the task is complete)
    or `failed` (it won't be)."""

    type = "watch"
    phase: str
    policy: dict[str, Any] | None = None
    exit_code: int | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Stall(Event):
    """The agent stands still. `kind`: `no_output` `no_progress` `turn_timeout` `idle`
    `not_ready` `deaf` `loop`."""

    type = "stall"
    kind: str
    turn: int | None = None
    after_s: float | None = None
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Nudge(Event):
    """The watch sent a message. `reason` says why, `interrupted`
    whether the turn was cut for it."""

    type = "nudge"
    reason: str
    message_id: str
    text: str
    count: int
    most: int
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class LimitWait(Event):
    """The provider refuses: the watch waits until `until`, then goes on. `source` of that time:
    `agent` (the agent named it) or `backoff`."""

    type = "limit_wait"
    reason: str
    until: str
    source: str
    attempt: int
    wait_s: float
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Restart(Event):
    """The agent was started again in a new process. `resumed`: with its conversation."""

    type = "restart"
    reason: str
    attempt: int
    most: int
    pid: int
    resumed: bool
    agent_session_id: str | None = None
    code: int | None = None
    signal: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Budget(Event):
    """A limit was reached, and the session is ended. `kind`: `tokens` `cost` `calls` `turns`.
    `used` sums all `runs` of a resumed session. `cut` calls in it were cut off, and count
    with what is known of them."""

    type = "budget"
    kind: str
    limit: float
    used: float
    runs: int = 1
    cut: int = 0


@dataclass(frozen=True, kw_only=True)
class Escalated(Event):
    """The watch asks for a person. `stopped`: the session is ended, since
    nothing can go on without one."""

    type = "escalated"
    reason: str
    message: str
    stopped: bool
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verify(Event):
    """A check ran. `kind`: `verify` or `done_when`. `code` None: the check was ended because it
    took too long. `output`: its head and tail."""

    type = "verify"
    kind: str
    command: str
    ok: bool
    code: int | None
    duration_s: float
    attempt: int
    most: int
    output: str = ""


@dataclass(frozen=True, kw_only=True)
class Usage(Event):
    """Totals of the run, at its end. None if no call was seen. `unknown` in `tokens` counts, for
    each sum, the calls whose number is missing."""

    type = "usage"
    calls: int | None
    tokens: Tokens | None
    agent_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class UsageRest(Event):
    """What the calls in `call_ids` used together. No record has their own output: the CLI's own
    total proves the sum. `total_tokens` includes their input."""

    type = "usage_rest"
    call_ids: tuple[str, ...]
    turn: int | None = None
    model: str | None = None
    agent: str = "main"
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Event):
    """What harnex could not do or did not understand: counted, never silent."""

    type = "diagnostic"
    what: str
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Exited(Event):
    """The last event of every run. `killed` is the background work that ended with it:
    `{kind, command, since, by}`."""

    type = "exited"
    code: int | None
    signal: int | None
    reason: str
    message: str = ""
    killed: tuple[dict[str, str], ...] = ()


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

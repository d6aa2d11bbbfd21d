"""The keys of the records that harnex writes to disk and to sockets. Types
only: no cost at run time.

A key that is missing in a record is unknown: an older harnex may have written the record. So most
of the types are not total, and readers use `.get`. Times are ISO 8601 in UTC with milliseconds,
durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from typing import Any, TypedDict

# An object that others wrote (an agent, a person, a client): nothing is known of its keys.
Json = dict[str, Any]


class LastOutcome(TypedDict):
    """How the last turn ended."""

    turn: int
    outcome: str  # completed, interrupted, failed
    reason: str | None
    retry_at: str | None
    message: str  # how the turn ended, in words; at most 500 characters


class BackgroundWork(TypedDict):
    """Something that the agent left running."""

    kind: str
    command: str
    since: str
    by: str  # "main" or the sub-agent's name


class Spawner(TypedDict, total=False):
    """Who started the session, if that was an agent of another session."""

    id: str | None
    run_id: str | None
    pane: str | None  # the tmux pane


# What a watch waits for, and until when.
WatchWaits = dict[str, str | None]  # {"for": ..., "until": ISO or None}


class WatchShown(TypedDict):
    """The part of a session's entry about its watch."""

    watch: str | None  # the watch's phase
    waiting: WatchWaits | None


class Tokens(TypedDict, total=False):
    """Sums of model calls. None is unknown, never 0.

    `unknown` counts, for each field, the calls that do not report it.
    """

    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    total_tokens: int | None
    unknown: dict[str, int]


class Names(TypedDict):
    """What every reply of a session begins with."""

    id: str
    run_id: str


class Identity(Names):
    """What names a run in its registry entry and in its history record."""

    cli: str
    cli_version: str | None
    mode: str  # foreground, detach, tmux
    repo: str
    cwd: str
    resumes: str | None  # the run that this one resumes


class SessionEntry(TypedDict, total=False):
    """The registry entry of a live session: what `status --json` prints."""

    id: str
    run_id: str
    cli: str
    cli_version: str | None
    mode: str
    repo: str
    cwd: str
    resumes: str | None
    pid: int | None
    supervisor_pid: int
    state: str
    dialog: str | None
    state_since: str
    source: str | None
    turn: int | None
    last_outcome: LastOutcome | None
    started_at: str
    calls: int | None
    tokens: int | None
    tokens_unknown: int
    tmux: str | None
    description: str | None
    meta: Json
    spawner: Spawner | None
    options: list[str]  # the dialog's options
    pending: int  # number of waiting messages
    held_by: str | None
    background: list[BackgroundWork]
    watch: str | None
    waiting: WatchWaits | None
    agent_session_id: str | None
    permissions: str
    pid_start: str | None
    supervisor_start: str | None
    socket: str
    events_path: str


class GitPart(TypedDict):
    """What git says of a run, from one look at its start and one at its end."""

    start_sha: str | None
    end_sha: str | None
    branch: str | None
    commits: int | None
    files_changed: int | None
    loc_added: int | None
    loc_removed: int | None
    dirty: bool | None
    dirty_files: int | None
    rewritten: bool | None


class EndResult(TypedDict, total=False):
    """How a session ended, for those who waited for the end."""

    run_id: str
    reason: str
    code: int | None
    signal: int | None
    exit_code: int
    message: str
    swept: int
    killed: list[BackgroundWork]
    run_dir: str
    recorded: bool  # False: the disk has no room for the record yet


class Actual(TypedDict):
    """What a run took, to compare with the prediction."""

    calls: int | None
    tokens: Tokens | None
    turns: int
    duration_s: float | None
    commits: int | None
    files_changed: int | None
    loc_added: int | None
    loc_removed: int | None
    exit: int
    reason: str
    nudges: int
    restarts: int


class HistoryRecord(TypedDict, total=False):
    """A finished run: a record of `history.jsonl`, and the summary file."""

    id: str
    run_id: str
    cli: str
    cli_version: str | None
    mode: str
    repo: str
    cwd: str
    description: str | None
    started_at: str
    last_outcome: LastOutcome | None
    calls: int | None
    tokens: int | None
    tokens_unknown: int
    meta: Json
    permissions: str
    agent_session_id: str | None
    spawner: Spawner | None
    resumes: str | None
    ended_at: str
    duration_s: float | None
    exit: int
    code: int | None
    signal: int | None
    reason: str
    message: str
    turns: int
    usage: Tokens | None
    git: GitPart | None
    predicted: Json | None
    actual: Actual | None
    swept: int
    killed: list[BackgroundWork]
    skipped_bytes: int
    redacted: int


# A message that no agent has taken yet. If `text` is None, only Enter is pressed. `redacted`: the
# text held a secret, which was not kept.
KeptMessage = TypedDict(
    "KeptMessage",
    {"id": str, "text": str | None, "submit": bool, "from": str | None, "redacted": bool},
    total=False,
)


class FollowedFile(TypedDict, total=False):
    """A file of the agent that was read, or (kind `process`) another process of the agent."""

    source: str
    path: str
    kind: str  # rows, document, process
    offset: int  # where the reading began, in bytes
    pid: int
    began: float  # epoch seconds


# ---- the replies of a session over its socket ----


class Reply(TypedDict, total=False):
    """What every reply has; the other replies add to it."""

    ok: bool
    id: str
    run_id: str
    exit_code: int
    error: str
    hint: str
    note: str


class StatusReply(SessionEntry, total=False):
    ok: bool
    viewers: int


class SendReply(Reply, total=False):
    """The reply to a sender.

    `state` and the keys after it are for a sender who waits for the answer.
    """

    message_id: str
    status: str
    state: str
    turn: int
    outcome: str
    last_message: str
    background: list[BackgroundWork]
    waited_s: float


class WaitReply(Reply, total=False):
    state: str
    turn: int | None
    waited_s: float
    dialog: str | None
    last_outcome: LastOutcome | None
    background: list[BackgroundWork]
    exit: EndResult


class PaneReply(Reply, total=False):
    """Positions are (row, column) from 0. `data` is the screen as ANSI or SVG, if requested."""

    state: str
    dialog: str | None
    columns: int
    rows: int
    cursor: list[int]
    cursor_hidden: bool
    title: str
    alternate: bool
    lines: list[str]
    data: str


class StartReply(Reply, total=False):
    """How a start went: what `run --detach` prints."""

    cli: str
    pid: int
    supervisor_pid: int
    mode: str
    state: str
    dialog: str | None
    events_path: str
    notes: list[str]
    exit: EndResult


class Notification(TypedDict):
    """What a notifier gets on its standard input."""

    kind: str
    id: str
    run_id: str
    cli: str
    cwd: str
    repo: str
    description: str | None
    state: str
    dialog: str | None
    text: str
    ts: str

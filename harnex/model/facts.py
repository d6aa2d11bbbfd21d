"""The words of the domain: states, and the facts that readers take from an agent's evidence.

Nothing here does I/O. Facts hold no times: whoever feeds a fact to the machines (`machines/`,
`watch/`) says when it was seen (`now`, monotonic seconds).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


class State(StrEnum):
    """What a session is doing, as `status` and the `state` event show it (DESIGN section 5)."""

    STARTING = "starting"
    PROMPT = "prompt"
    BUSY = "busy"
    BLOCKED = "blocked"
    STOPPING = "stopping"
    EXITED = "exited"
    UNKNOWN = "unknown"


DIALOGS = (
    "trust",
    "permission",
    "question",
    "plan",
    "login",
    "api-key",
    "bypass-warning",
    "update",
    "limit",
    "resume",
    "other",
)

Outcome = Literal["completed", "interrupted", "failed"]

FAILURE_REASONS = (
    "auth",
    "rate_limit",
    "usage_limit",
    "overloaded",
    "network",
    "context",
    "credit",
    "refused",
    "other",
)


# What is missing, besides the screen's text, to be sure of a state: where the cursor is and
# whether it is hidden; the terminal's title; the output as it came (its times, and what is not for
# the eye); what was before.
Need = Literal["cursor", "title", "bytes", "history"]


def doubt(needs: tuple[Need, ...]) -> str:
    """Return a clause that tells a person that a state is not certain; "" if it is."""
    return f" (not certain: the screen alone does not decide it; missing: {', '.join(needs)})" if needs else ""


def letters(text: str) -> str:
    """Return at most 500 letters and digits of a text. They do not depend on how a terminal
    wraps and frames the text."""
    return "".join(c for c in text if c.isalnum() or c in "☐☒✔")[:500]


@dataclass(frozen=True, slots=True)
class OpenView:
    """What a person opened over the agent's prompt: another mode of the input box, a search, a
    pager. A message typed there would be a shell command, a search or nothing. `leave`: the keys
    that close the view or take the next step to that (b"" if none is known to be safe).
    `holds_text`: closing it loses a draft. `passes`: it goes away by itself in a moment."""

    name: str  # for a person: "shell mode"
    leave: bytes = b""
    holds_text: bool = False
    passes: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """One source's present opinion of the state. It holds until the same source says otherwise.

    `reason` is for a person: the words or bytes that were seen ("spinner `✻ Cooking…`").
    `settle_s`: believe a `prompt` only after so many seconds without output, because
    something is known to follow. `asks`: what a dialog asks, in letters only (`letters`), to
    tell it from the next dialog with the same options. `needs`: what is missing to be sure;
    () if the evidence decides. `view`: what a person left open over the prompt; `state` is
    then that of the agent behind it.
    """

    source: str
    state: State
    reason: str
    dialog: str = ""
    options: tuple[str, ...] = ()
    settle_s: float = 0.0
    asks: str = ""
    needs: tuple[Need, ...] = ()
    view: OpenView | None = None


@dataclass(frozen=True, slots=True)
class Retracted:
    """The source has no opinion any more (its file went away, its title was cleared)."""

    source: str


@dataclass(frozen=True, slots=True)
class Suspended:
    """The agent gave the terminal back to a shell that is not there
    (Ctrl-Z): only SIGCONT revives it."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """Proof that the agent took a prompt: its own records have the
    prompt. `text` is "" if unknown."""

    source: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The agent's own word that a turn ended, and how. `pending`: the agent says that work still
    goes on (Claude Code's Stop hook with background agents). The fact then ends no turn, and only
    carries the message. `turn_key` names the turn in the agent's records, so that two sources that
    report the same end do not count as two turns ("" if the source has no name for it)."""

    source: str
    outcome: Outcome
    last_message: str = ""
    reason: str = ""
    detail: str = ""
    retry_at: str | None = None
    pending: bool = False
    turn_key: str = ""


@dataclass(frozen=True, slots=True)
class Follow:
    """Please read this file from now on: appended JSONL rows, or a JSON document that is rewritten.
    The rows come back through `Reader.row(source, ...)`, documents through `Reader.document(source,
    ...)`. `from_end` skips what the file holds already (a resumed transcript)."""

    source: str
    path: str
    kind: Literal["rows", "document"] = "rows"
    from_end: bool = False


@dataclass(frozen=True, slots=True)
class FindFile:
    """Please find a file and follow it as `kind` of `source`; `Reader.found` gets its path.

    `held` is a glob for the base name of a file that the agent's processes hold open. `paths`
    are absolute globs; `$NAME/` at their beginning is a variable of the agent's processes (a
    wrapper may have set it). The search is repeated until a file is found; with `every` always,
    for all matching files that were written since the agent's start. Rows dated before `since`
    (epoch seconds) are ignored.
    """

    source: str
    held: str = ""
    paths: tuple[str, ...] = ()
    kind: Literal["rows", "document"] = "rows"
    every: bool = False
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Please run this program beside the agent in `after_s` seconds; `Reader.command` gets the
    result. The program gets the agent's environment and directory, and no input. `file` (path,
    text) is written for it with mode 0600 and removed afterwards. One command of each `name` at a
    time: if it waits already, the earlier time holds; if it runs, it runs once more."""

    name: str
    argv: tuple[str, ...]
    timeout_s: float = 20.0
    after_s: float = 0.0
    file: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a `RunCommand`. If `code` is None there was no
    answer, and `problem` says why."""

    name: str
    code: int | None
    out: str = ""
    err: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Press:
    """Please write this to the agent's terminal."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Undone:
    """The reader could not do what it was asked (`Reader.deliver`, `answer`,
    `ask`). `why` is for a person."""

    what: Literal["deliver", "answer", "stop"]
    why: str


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing is left to supervise: the session ends, with `reason` in `exited` unless it is
    ending already. `killed` is a crash of the agent: under a watch a new process replaces it,
    as for a child that died."""

    reason: Literal["boot_failure", "failure", "killed"] = "failure"
    message: str = ""


@dataclass(frozen=True, slots=True)
class AgentSession:
    """The agent's own name for its conversation (what `--resume` takes)."""

    session_id: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call of the agent: `status` is `started`, `completed` or `failed`."""

    call_id: str
    tool: str
    status: Literal["started", "completed", "failed"]
    input_preview: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One finished model call (DESIGN section 8). None is unknown, never 0."""

    call_id: str
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
    raw: dict[str, Any] | None = None  # the provider's own numbers, as it gave them


@dataclass(frozen=True, slots=True)
class Rest:
    """What calls used together if no record has their own output: the CLI's total minus the other
    calls. `total_tokens` covers all calls in `call_ids`, with the input that each of them reports.
    """

    call_ids: tuple[str, ...]
    model: str | None
    agent: str
    output_tokens: int
    reasoning_tokens: int | None
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Compacted:
    """A summary replaced a conversation. What the CLI does not report is None or ""."""

    agent: str = "main"
    trigger: str = ""  # `manual` or `auto`
    tokens_before: int | None = None
    tokens_after: int | None = None


@dataclass(frozen=True, slots=True)
class SubAgent:
    """A sub-agent, named as in its calls, began or ended a piece of work. `work_id` (and `how` it
    ended) if the work is in the background and no other fact reports it."""

    agent: str
    status: Literal["started", "ended"]
    work_id: str = field(default="", compare=False)
    how: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Background:
    """Work that goes on after the agent's turn, as the CLI records it: it `started`, or it `ended`.

    `work_id` is the CLI's own name for the work. `kind` is `shell`, `agent` (a sub-agent),
    `monitor`, `timer` (the agent wakes itself at a time) or `task` (anything else). `agent` started
    the work; named as in calls. `how` it ended: `completed`, `failed`, `killed`, or "" if the CLI
    does not say. `told`: the CLI reports the end to the agent by itself, and the agent goes on.
    `sure`, for a start: the CLI will record the end.
    """

    work_id: str
    status: Literal["started", "ended"]
    kind: str = "shell"
    command: str = ""
    agent: str = "main"
    how: str = ""
    told: bool = False
    sure: bool = False


@dataclass(frozen=True, slots=True)
class TodoList:
    """The agent's own to-do list now: (text, `pending` | `in_progress` | `completed`)."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Printed:
    """Words of a headless agent for people: they go into the recording, as a screen would."""

    text: str


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The whole answer of a headless agent. `structured`: its structured
    output as JSON text, or None."""

    text: str
    structured: str | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """Something the reader did not understand or could not do: it becomes a `diagnostic` event."""

    text: str


Fact = (
    Observation
    | Retracted
    | Suspended
    | Submitted
    | TurnEnded
    | Follow
    | FindFile
    | RunCommand
    | Press
    | Undone
    | Over
    | AgentSession
    | ToolUse
    | ModelCall
    | Rest
    | Compacted
    | SubAgent
    | Background
    | TodoList
    | Printed
    | FinalAnswer
    | Remark
)


@dataclass(frozen=True, slots=True)
class ScreenView:
    """What is on the terminal now. `lines` has one string for each row, right-trimmed; `cursor` is
    (row, column), from 0. `cursor_known` is False if only the text is known (`harnex detect`)."""

    lines: tuple[str, ...]
    cursor: tuple[int, int] = (0, 0)
    cursor_hidden: bool = False
    columns: int = 120
    title: str = ""
    alternate: bool = False
    cursor_known: bool = True

"""What the launching command hands to the supervisor: one JSON object on its standard input."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from harnex.model.records import Identity, Names, Spawner

# Stands in `resume_argv` for the id of the agent's conversation.
SESSION_ID = "{harnex-agent-session}"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything that a session is started from. Times are seconds, paths are absolute."""

    state: str  # the state directory
    id: str
    run_id: str
    cli: str  # the adapter's name, or the generic command's
    adapter: str
    argv: list[str]
    # Changes to the supervisor's own environment; None unsets a variable.
    env: dict[str, str | None]
    cwd: str
    repo: str
    mode: str  # foreground, detach, tmux
    version: list[int] | None = None
    version_text: str | None = None
    description: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    context: str | None = None
    context_id: str | None = None  # the id under which `context` is kept (undelivered.py)
    permissions: str = "ask"
    permissions_used: str = ""
    trust: bool = False
    notes: list[str] = field(default_factory=list)
    agent_session_id: str | None = None
    columns: int = 120
    rows: int = 40
    timeout: float | None = None
    policy: dict[str, Any] | None = None  # the watch: `Policy.dump()`
    watch_file: str | None = None  # the agent is told when this file changes
    # `argv` for a resumed conversation, with SESSION_ID in it.
    resume_argv: list[str] | None = None
    record: str = "screen"  # or raw
    rehearsal: bool = False
    endpoint_pid: int | None = None  # the rehearsal endpoint, ended with the session
    endpoint_start: str | None = None
    resumes: str | None = None  # the run that this one resumes
    # How that run's last turn ended, if nothing was cut off.
    before: dict[str, Any] | None = None
    spawner: Spawner | None = None
    # Redaction rules of the configuration files.
    redact: dict[str, list[str]] = field(default_factory=dict)
    lease: dict[str, Any] | None = None  # a leased credential: `launch/lease.py`
    summary_out: str | None = None  # a second place for the dispatch record
    headless: bool = False  # pipes instead of a terminal; the fields below are for it
    prompt: str = ""  # the task, in the person's words
    stdin: str = ""  # the agent's standard input
    # The argv of a second round; `{session}` is filled in.
    again: list[str] = field(default_factory=list)
    schema: dict[str, Any] | None = None  # the schema that the answer must fit
    keep: list[str] = field(default_factory=list)  # patterns of processes that may outlive the session
    # Seconds that the session waits for work that the agent left running.
    background_wait: float = 600.0

    @classmethod
    def load(cls, row: dict[str, Any]) -> Spec:
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in row.items() if k in known})

    def names(self) -> Names:
        """Return what every reply of the session begins with."""
        return {"id": self.id, "run_id": self.run_id}

    def identity(self) -> Identity:
        """Return what names a run in its registry entry and in its history record."""
        return {
            "id": self.id,
            "run_id": self.run_id,
            "cli": self.cli,
            "cli_version": self.version_text,
            "mode": self.mode,
            "repo": self.repo,
            "cwd": self.cwd,
            "resumes": self.resumes,
        }

    def dump(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

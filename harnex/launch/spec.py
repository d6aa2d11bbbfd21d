"""What the launching command hands to the supervisor: one JSON object on its standard input."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from harnex.model.records import Identity, Names, Spawner

SESSION_ID = "{harnex-agent-session}"  # stands in `resume_argv` for the conversation's name


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything that a session is started from. Times are seconds, paths absolute."""

    state: str  # the state directory
    id: str
    run_id: str
    cli: str  # the adapter's name, or the generic command's
    adapter: str
    argv: list[str]
    env: dict[str, str | None]  # changes to the supervisor's own environment; None: unset
    cwd: str
    repo: str
    mode: str  # foreground, detach, tmux
    version: list[int] | None = None
    version_text: str | None = None
    description: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    context: str | None = None
    context_id: str | None = None  # the id under which it is kept (undelivered.py)
    permissions: str = "ask"
    permissions_used: str = ""
    trust: bool = False
    notes: list[str] = field(default_factory=list)
    agent_session_id: str | None = None
    columns: int = 120
    rows: int = 40
    timeout: float | None = None
    policy: dict[str, Any] | None = None  # the watch: `Policy.dump()`
    watch_file: str | None = None  # a change of it is told to the agent
    resume_argv: list[str] | None = None  # `argv` for a conversation that goes on, with SESSION_ID in it
    record: str = "screen"  # or raw
    rehearsal: bool = False
    endpoint_pid: int | None = None  # the rehearsal endpoint, ended with the session
    endpoint_start: str | None = None
    resumes: str | None = None  # the run that this one goes on with
    before: dict[str, Any] | None = None  # what that run's last turn came to, if nothing was cut off
    spawner: Spawner | None = None
    redact: dict[str, list[str]] = field(default_factory=dict)  # the rules of the configuration files
    lease: dict[str, Any] | None = None  # a leased credential: `launch/lease.py`
    summary_out: str | None = None  # where the dispatch record goes as well
    headless: bool = False  # pipes instead of a terminal; then:
    prompt: str = ""  # what was asked, in the person's words
    stdin: str = ""  # what the agent gets on its standard input
    again: list[str] = field(default_factory=list)  # argv of a second round, `{session}` to be filled in
    schema: dict[str, Any] | None = None  # what the answer must be valid for
    keep: list[str] = field(default_factory=list)  # patterns of processes that may outlive the session
    background_wait: float = 600.0  # how long what it left running is waited for

    @classmethod
    def load(cls, row: dict[str, Any]) -> Spec:
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in row.items() if k in known})

    def names(self) -> Names:
        """What every reply of the session begins with."""
        return {"id": self.id, "run_id": self.run_id}

    def identity(self) -> Identity:
        """What names a run in its registry entry and in its history row."""
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

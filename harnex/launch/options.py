"""What a session is started with: the options of `run` and `exec`, and the run that it resumes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harnex.agents.contract import Credential, Permissions


@dataclass(kw_only=True)
class RunOptions:
    """What `harnex run` or `harnex exec` was asked for."""

    cli: str
    args: tuple[str, ...] = ()
    id: str | None = None
    cwd: str | None = None
    mode: str = "detach"
    description: str = ""
    context: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None
    permissions: Permissions = "ask"
    trust: bool = False
    rehearse: str | None = None
    record: str = "screen"
    columns: int = 120
    rows: int = 40
    version: str | None = None
    credential: Credential | None = None
    summary_out: str | None = None
    resume: Resume | None = None
    policy: dict[str, Any] | None = None
    watch_file: str | None = None
    notes: list[str] = field(default_factory=list)  # notes on the start, for the person
    own: dict[str, str] = field(default_factory=dict)  # options that only one adapter takes
    headless: bool = False  # `harnex exec`; the options below are for it
    prompt: str = ""
    model: str | None = None
    system: str | None = None
    schema: dict[str, Any] | None = None
    background_wait: float | None = None
    keep: tuple[str, ...] = ()  # patterns of processes that may outlive the session


@dataclass(kw_only=True)
class Resume:
    """The run that a new one resumes (recovery/resume.py).

    The new run's id, mark and directory exist already.
    """

    run_id: str  # the old run
    new_run_id: str
    lock: int
    # The arguments that make the CLI resume its conversation, instead of the options' own; () if
    # none do.
    args: tuple[str, ...]
    # The home of a rehearsal, which holds the conversation.
    home: str | None
    # The endpoint logs so far: the script goes on after their last exchange.
    rehearsed: tuple[str, ...]
    count: int  # how many times the session was resumed, including this one
    before: dict[str, Any] | None = None  # how the last turn ended, if nothing was cut off

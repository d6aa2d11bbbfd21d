"""What a session is started with: the options of `run` and `exec`, and the run that it goes on with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harnex.agents.contract import Credential, Permissions


@dataclass(kw_only=True)
class RunOptions:
    """What `harnex run` was asked for."""

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
    notes: list[str] = field(default_factory=list)  # what the person is told of the start
    own: dict[str, str] = field(default_factory=dict)  # options that only one adapter takes
    headless: bool = False  # `harnex exec`; then:
    prompt: str = ""
    model: str | None = None
    system: str | None = None
    schema: dict[str, Any] | None = None
    background_wait: float | None = None
    keep: tuple[str, ...] = ()  # patterns of processes that may outlive the session


@dataclass(kw_only=True)
class Resume:
    """The run that a new one goes on with (recovery/resume.py); the new one's id, mark and directory are there already."""

    run_id: str  # of the old one
    new_run_id: str
    lock: int
    args: tuple[
        str, ...
    ]  # what makes the CLI go on with its conversation, in place of the options' own; (): nothing does
    home: str | None  # a rehearsal's, in which that conversation is
    rehearsed: tuple[str, ...]  # the logs of its endpoints so far: the script goes on behind them
    count: int  # how many times it was resumed, with this one
    before: dict[str, Any] | None = None  # what its last turn came to, if nothing was cut off

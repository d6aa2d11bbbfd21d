"""How far the end of a session has come. Pure.

A session ends because harnex ends the session (`reason` is set, and the ladder of stopping.py is
climbed), or because the agent's process is gone (`gone_at`). Both ways lead through the same
phases.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harnex.machines.stopping import Ladder
from harnex.model.records import EndResult

Phase = Literal["running", "climbing", "draining", "sweeping", "recording", "done"]


@dataclass
class End:
    """The end of one session: not begun, under way, or done."""

    reason: str | None = None  # why harnex ends the session; None: the agent ended by itself
    words: str = ""  # what a person reads about the reason
    exit_code: int | None = None  # the exit code, where the reason alone does not decide it
    ladder: Ladder | None = None
    gone_at: float | None = None  # since when the agent's process is gone for good
    drained: bool = False  # the rest of the agent's output was read, and the agent's turn is closed
    swept: bool = False  # the agent's processes are gone
    done: bool = False  # everything is written
    message: str = ""  # the message of the history record
    # The reply to callers that waited for the end.
    result: EndResult = field(default_factory=lambda: EndResult())

    @property
    def under_way(self) -> bool:
        """Whether the end has begun."""
        return self.reason is not None or self.gone_at is not None

    @property
    def phase(self) -> Phase:
        """How far the end has come."""
        if self.done:
            return "done"
        if self.gone_at is None:
            return "climbing" if self.ladder is not None else "running"
        if not self.drained:
            return "draining"
        return "recording" if self.swept else "sweeping"

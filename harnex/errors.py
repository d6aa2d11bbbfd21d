"""Every exit code, and the errors that carry an exit code. Light: imported on the hot path."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
BUG = 3
PERSON_NEEDED = 4
BUDGET = 5
TIMEOUT = 124
INTERRUPTED = 130

EXIT_CODES = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "wrong usage",
    BUG: "a bug in harnex (a report file is written)",
    PERSON_NEEDED: "a person is needed (blocked or escalated)",
    BUDGET: "budget reached",
    TIMEOUT: "timeout",
    INTERRUPTED: "interrupted",
}


class HarnexError(Exception):
    """An error for a person: what happened, to which session, and (`hint`) what to do next.

    `extra` goes into the JSON reply.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = FAILED, **extra: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.extra = extra

    def reply(self) -> dict[str, object]:
        """The JSON that verbs print on stdout when they fail: `{ok: false, error, hint, ...}`."""
        return {"ok": False, "error": self.message, "hint": self.hint, **self.extra}


class UsageError(HarnexError):
    """The command line was wrong; nothing was done."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, USAGE)


class NotFound(HarnexError):
    """No session or run has that name."""

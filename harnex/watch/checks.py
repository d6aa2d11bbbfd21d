"""The commands that decide whether a task is complete: `--done-when`, then `--verify`, one at a
time.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harnex.model import events
from harnex.watch.actions import Check, Checking, Say
from harnex.watch.policy import Policy

Verdict = Literal["passed", "failed", "stale", "unrun"]
# Exit codes of a shell that could not run the command (126, 127), or of a command that somebody
# else ended (HUP, INT, KILL, TERM). They say nothing about the work. A check that dies by itself
# (SEGV, ABRT) is for the agent to mend.
UNRUN = (126, 127, 129, 130, 137, 143)
ORDER: tuple[Checking, ...] = ("done_when", "verify")


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended. `code` None: the command took too long. `took` is seconds."""

    ok: bool
    code: int | None
    took: float
    output: str


@dataclass(slots=True)
class Checks:
    """The checks of one watch.

    `in_hand` is the running command, `stale` says whether the agent went on meanwhile, `failed`
    counts how often each check has failed.
    """

    policy: Policy
    in_hand: Checking | None = None
    stale: bool = False
    failed: dict[Checking, int] = field(default_factory=lambda: {"done_when": 0, "verify": 0})
    _result: Result | None = None

    def begin(self, after: Checking | None = None) -> Check | None:
        """The next command to run; None if there is no more.

        `after`: the command that has just passed.
        """
        rest = ORDER if after is None else ORDER[ORDER.index(after) + 1 :]
        for kind in rest:
            command = self.command(kind)
            if command:
                self.in_hand, self.stale, self._result = kind, False, None
                return Check(kind, command, self.policy.verify_timeout)
        return None

    def command(self, kind: Checking) -> str | None:
        """The command of this kind of check; None if the policy has none."""
        return self.policy.verify if kind == "verify" else self.policy.done_when

    def ended(self, result: Result) -> None:
        """Take the result of the running command."""
        if self.in_hand is not None:
            self._result = result

    def went_on(self) -> None:
        """Mark the running check stale: the agent has resumed work."""
        self.stale = self.in_hand is not None

    def take(self) -> tuple[Checking, Verdict, Result, events.Verify] | None:
        """The result of the command, once; None if there is none.

        Afterwards no command is running.
        """
        kind, result = self.in_hand, self._result
        if kind is None or result is None:
            return None
        unrun = result.code in UNRUN
        verdict: Verdict = "stale" if self.stale else "passed" if result.ok else "unrun" if unrun else "failed"
        event = events.Verify(
            kind=kind,
            command=self.command(kind) or "",
            ok=result.ok,
            code=result.code,
            duration_s=round(result.took, 3),
            attempt=self.failed[kind] + 1,
            most=self.policy.verify_max + 1,
            output=result.output[:2000],
        )
        self.in_hand, self.stale, self._result = None, False, None
        return kind, verdict, result, event

    def unrun(self, kind: Checking, result: Result) -> str:
        """Words for a check that says nothing about the work."""
        how = "it was ended from outside" if (result.code or 0) > 128 else "it can't be run"
        said = result.output.strip().splitlines()
        words = f"the check `{self.command(kind)}` says nothing of the task: {how} (exit code {result.code})"
        return f"{words}: {said[-1][:200]}" if said else words

    def correction(self, kind: Checking, result: Result) -> Say | str:
        """The message that goes back to the agent; after too many, why the task failed (text)."""
        how = "took too long" if result.code is None else f"exit code {result.code}"
        command, tries, most = self.command(kind), self.failed[kind], self.policy.verify_max
        if tries >= most:
            return f"`{command}` fails after {tries} corrections ({how})"
        self.failed[kind] += 1
        if kind == "verify":
            text = f"The check `{command}` failed ({how}). Please mend it. It printed:\n\n{result.output}"
        else:
            text = f"The task is not done yet: `{command}` says so ({how}). {self.policy.nudge_text}"
            text += f" It printed:\n\n{result.output}" if result.output.strip() else ""
        return Say(kind, text, tries + 1, most)

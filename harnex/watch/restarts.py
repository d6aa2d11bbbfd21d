"""An agent's process that ended or does not react: whether and when another takes its place, and
its message.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from harnex.watch.actions import Revive, Say
from harnex.watch.policy import Policy

# Seconds for the process's tools and children to be gone. The pause also keeps an agent that dies
# at once from loading the machine.
RESTART_MIN_S = 0.5


@dataclass(slots=True)
class Restarts:
    """How often the agent was started again (`count`), and why it is being restarted (`why`).

    `why` is "" if no restart is under way.
    """

    policy: Policy
    count: int = 0
    why: str = ""
    at: float | None = None
    say: Say | None = None  # the message for when the new process is ready

    @property
    def left(self) -> bool:
        """Whether the policy allows another restart."""
        return self.count < self.policy.max_resumes

    def begin(self, why: str, now: float) -> None:
        """Begin another restart, due a moment from now."""
        self.count += 1
        self.why = why
        self.at = now + max(RESTART_MIN_S, self.policy.restart_after * 2 ** (self.count - 1))

    def due(self, now: float) -> Revive | None:
        """The restart, once its time has come; None before."""
        if self.at is None or now < self.at:
            return None
        self.at = None
        return Revive(self.why, self.count, self.policy.max_resumes)

    def runs(self, say: bool, again: str | None, lost: str = "") -> None:
        """Note that the new process runs.

        `say`: the agent is to go on. `again`: the message of which nothing came. `lost`: what the
        old process had running in the background.
        """
        why, self.why = self.why, ""
        if say:
            ended = f" What you had running in the background was ended with it: {lost}." if lost else ""
            text = f"You were started again after a crash ({why}).{ended} {self.policy.nudge_text}"
            self.say = Say("restart", text, self.count, self.policy.max_resumes, again=again)

    def take(self) -> Say | None:
        """The message for the new process, once."""
        say, self.say = self.say, None
        return say

"""Background work of the agent.

Facts of the CLI and the process table come in; events and the session's record go out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harnex import clock, times
from harnex.machines.background import Backgrounds, Change, Work, named
from harnex.machines.ending import End
from harnex.machines.turns import Closed, Opened, Turns
from harnex.model import events, records
from harnex.model.facts import Background
from harnex.supervisor.journal import Journal
from harnex.supervisor.tool_processes import ToolTable

# How often the process table is read while work runs.
LOOK_S = 1.0
# How often the table is read after SELDOM_AFTER_S without a change.
SELDOM_S = 5.0
SELDOM_AFTER_S = 60.0


class BackgroundWork:
    """The work that the agent of one session left running."""

    def __init__(
        self,
        tools: ToolTable,
        turns: Turns,
        end: End,
        journal: Journal,
        heard: Callable[[Work, bool, float], bool],
    ) -> None:
        """`heard(work, told, now)` is called when work has ended by itself.

        It returns False if the work ended with the session.
        """
        self._tools, self._turns, self._end, self._journal, self._heard = tools, turns, end, journal, heard
        self._work = Backgrounds()
        self._look_at: float | None = None
        self._looked = False  # whether the table was read since the last turn ended
        self._changed = -1e9  # when work last began or ended
        self.killed: list[records.BackgroundWork] = []  # the work that the session's end killed
        self._ending = False

    @property
    def running(self) -> list[Work]:
        return list(self._work.running.values())

    @property
    def record(self) -> list[records.BackgroundWork]:
        """The running work, for `status --json`."""
        return [work.shown() for work in self.running]

    @property
    def unsure(self) -> bool:
        """Whether it is still unknown what the last turn left running."""
        return self._work.unsure or (self._looks and self._look_at is not None and not self._looked)

    # ---- facts ----

    def take(self, fact: Background, now: float) -> None:
        self._apply(self._work.take(fact, clock.wall()), now)

    def turn(self, change: Opened | Closed, now: float) -> None:
        if isinstance(change, Opened):
            self._work.turn_opened()
            self._look_at = None
        else:
            self._look_at, self._looked = now, False

    @property
    def _looks(self) -> bool:
        return self._tools.is_known and not self._end.under_way

    # ---- the process table ----

    def step(self, now: float) -> None:
        """Read the process table, if it is time."""
        if self._look_at is None or now < self._look_at or not self._looks:
            return
        self._looked = True
        again = self.look(now)
        due = self._work.wake_at()
        if due is None and self._work.running:
            due = again
        self._look_at = due if due is None else max(due, now + 0.05)

    def wake_at(self) -> float | None:
        return self._look_at if self._looks else None

    def _apply(self, changes: Iterable[Change], now: float) -> None:
        for change in changes:
            work = change.work
            self._changed = now
            took = None
            if change.status == "ended":
                missed = now - work.gone_at if work.gone_at is not None else 0.0
                took = round(max(0.0, clock.wall() - work.since - missed), 3)
            self._journal.emit(
                events.Background(
                    status=change.status,
                    work_id=work.work_id,
                    kind=work.kind,
                    command=work.command,
                    since=times.iso(work.since),
                    by=work.by,
                    how=change.how or None,
                    duration_s=took,
                )
            )
            self._journal.changed()
            if change.status == "started":
                if self._look_at is None and self._turns.open is None:
                    self._look_at = now  # the work began between two turns
                # Work that its CLI called killed lives on after all: remove it.
                self.killed = [row for row in self.killed if row["command"] != work.command]
                continue
            with_the_agent = self._ending or not self._heard(work, change.told, now)
            # CLIs end their shells as they exit, and record the end (Claude Code 2.0.77;
            # Codex 0.169 as `failed`).
            if with_the_agent and change.how not in ("completed", "gone"):
                self.killed.append(work.shown())

    # ---- the end ----

    def outlives(self, now: float) -> None:
        """A headless CLI has exited: work that did not end with its CLI lives on."""
        self._apply(self._work.orphaned(self._tools.look(), now), now)

    def look(self, now: float) -> float:
        """Read the process table now. Returns when to read it again."""
        self._apply(self._work.look(self._tools.look(), now), now)
        return now + (SELDOM_S if now >= self._changed + SELDOM_AFTER_S else LOOK_S)

    def ending(self, now: float) -> None:
        """The session starts to end: note once which work runs."""
        if self._ending:
            return
        if self._tools.is_known:
            in_turn = self._turns.open is not None
            self._apply(self._work.look_last(self._tools.look(), now, in_turn), now)
        self._ending = True

    def over(self, now: float) -> None:
        """The processes are gone. Work that did not end by itself was killed."""
        self.ending(now)
        self._apply(self._work.all_gone(), now)

    def lost(self, now: float) -> str:
        """The agent's process is gone, and a new one replaces it.

        Ends the running work, and returns its names in words.
        """
        gone = self._work.all_gone()
        self._look_at = None
        self._apply(gone, now)
        return named([change.work for change in gone])

"""Turns: exactly one start and one end for each, from states and the agent's own records.

Pure. A turn opens when the agent records a prompt (`Submitted`), or is seen working after it was
ready. A turn closes when the agent is ready again and has reported how the turn ended. No CLI
reports every end: without a report, the turn closes a moment after the agent was seen working and
then ready.

A busy agent does not always have a turn: Claude Code 1.x and 2.0 show their spinner while a local
command (`/exit`, `/login`, leaving `/model`) runs. Where every prompt is recorded (`recorded`),
work without a record is a turn only once the work has gone on for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harnex.model.facts import State, Submitted, TurnEnded

# Seconds to wait, once the agent is ready, for the agent's record of the end (0.18 s at most,
# measured).
SETTLE_S = 0.6
# Seconds to wait after a hook reported the end: hooks are faster than the transcript (measured:
# 0.13 s at most), and the turn's last model call still belongs to the turn.
ROWS_S = 0.15
# Work without the record of a prompt is a turn after this many seconds (a local command takes
# 1.0 s at most).
UNRECORDED_S = 2.0
# A record that comes up to this many seconds late still belongs to the turn that was closed without
# a record.
LATE_S = 2.0
# A turn that was submitted but never seen working has ended after this many seconds of readiness.
UNSEEN_S = 5.0


@dataclass(slots=True)
class Turn:
    """One turn.

    `ended` is the best report of its end so far; `started` and the other times are monotonic
    seconds.
    """

    number: int
    started: float
    message_id: str | None = None
    # None: opened because the agent was busy; the record of its prompt may still come.
    text: str | None = None
    worked: bool = False
    ended: TurnEnded | None = None
    ended_at: float = 0.0
    ready_since: float | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A turn opened. `message_id` is the message that the turn answers, if harnex delivered one."""

    turn: int
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Closed:
    """A turn closed.

    `end` is what the agent or the screen reported; a turn that ended without a report counts as
    completed.
    """

    turn: int
    message_id: str | None
    duration_s: float
    end: TurnEnded


@dataclass(slots=True)
class Turns:
    """The machine.

    Feed it every `Submitted`, `TurnEnded` and state; each call returns what opened and closed.
    """

    done: int = 0
    open: Turn | None = None
    last: Closed | None = None
    over: bool = False  # the agent is gone: records that are read late open no turn
    _state: State = State.STARTING
    _was_ready: bool = False
    _claim: str | None = None  # the submitted message whose turn has not opened yet
    _closed_keys: list[str] = field(default_factory=list)
    _closed_at: float = -1e9
    _closed_bare: bool = False  # the last turn was closed without the record of its prompt
    # Since when the agent works without the record of a prompt: a turn, or a local command.
    _perhaps: float | None = None

    def new_process(self) -> None:
        """Start anew for a process that continues the conversation.

        No turn is open, and nothing is known of the process yet.
        """
        done, last = self.done, self.last
        self.__init__()  # type: ignore[misc]
        self.done, self.last = done, last

    def claim(self, message_id: str | None) -> None:
        """Note that harnex has just submitted this message: the turn that opens next answers it."""
        self._claim = message_id

    def unclaim(self, message_id: str) -> None:
        """This message was not taken: the next turn is not its answer."""
        if self._claim == message_id:
            self._claim = None

    @property
    def claimed(self) -> bool:
        """Whether a message was submitted whose turn has not begun yet."""
        return self._claim is not None

    def submitted(self, fact: Submitted, now: float) -> list[Opened | Closed]:
        """Take the record of a prompt: it opens a turn, or belongs to the open turn."""
        out: list[Opened | Closed] = []
        turn = self.open
        if self.over:
            return out
        if turn is not None and turn.ended is None:
            if turn.text is None:
                turn.text = fact.text  # the record of the prompt that made the agent busy
                if turn.message_id is None:
                    turn.message_id, self._claim = self._claim, None
            return out  # otherwise the prompt was injected into the running turn
        if turn is not None:
            out.append(self._close(now))  # the agent went straight on with a queued prompt
        elif self._closed_bare and now < self._closed_at + LATE_S and self._state is State.PROMPT and not self._claim:
            self._closed_bare = False
            return out
        out.append(self._open(now, fact.text))
        return out

    def ended(self, fact: TurnEnded, now: float) -> list[Opened | Closed]:
        """Take a report of a turn's end. A second report of the same end is ignored."""
        if self.over or (fact.turn_key and fact.turn_key in self._closed_keys):
            return []
        turn = self.open
        if turn is None:
            if now - self._closed_at < 3.0 or not self._was_ready or fact.pending:
                return []  # a late second report of the turn that was just closed
            # Nothing else showed this turn. The turn did happen, so it is counted.
            return [self._open(now, ""), self._close_as(fact, now)]
        if fact.pending:
            return []
        if turn.ended is None:
            turn.ended_at = now
        turn.ended = _better(turn.ended, fact)
        return self.tick(now)

    def state(self, state: State, now: float, recorded: bool = False) -> list[Opened | Closed]:
        """Take the state.

        `recorded`: the agent's records are read, and hold every prompt that the agent takes.
        """
        self._state = state
        turn = self.open
        if self.over:
            return []
        if state is not State.BUSY:
            self._perhaps = None
        if state is State.PROMPT:
            self._was_ready = True
            if turn is not None and turn.ready_since is None:
                turn.ready_since = now
        elif turn is not None:
            turn.ready_since = None
            if state in (State.BUSY, State.BLOCKED):
                turn.worked = True
        elif state is State.BUSY and self._was_ready:
            self._perhaps = now if self._perhaps is None else self._perhaps
            return [] if recorded and self._claim is None else [self._opened_by_work(now)]
        if self.open is None or self.open.ended is None:
            return []  # `tick` closes the turn: `tick` knows what the screen says of the end
        return self.tick(now)

    def tick(self, now: float, screen_says: TurnEnded | None = None) -> list[Opened | Closed]:
        """Close the open turn if it is time.

        `screen_says`: how the screen shows that the turn ended.
        """
        turn = self.open
        if turn is None and self._perhaps is not None and now >= self._perhaps + UNRECORDED_S:
            return [self._opened_by_work(now)]
        if turn is None or self._state is not State.PROMPT or turn.ready_since is None:
            return []
        if now < self._close_at(turn):
            return []
        return [self._close_as(turn.ended or screen_says or TurnEnded("quiet", "completed"), now)]

    def wake_at(self) -> float | None:
        """When `tick` may open or close a turn (monotonic seconds); None if never."""
        turn = self.open
        if turn is None and self._perhaps is not None:
            return self._perhaps + UNRECORDED_S
        if turn is None or self._state is not State.PROMPT or turn.ready_since is None:
            return None
        return self._close_at(turn)

    def result(self, now: float) -> list[Opened | Closed]:
        """Close the turn of a headless agent whose result has come, although its process lives."""
        return [self._close(now)] if self.open is not None and self.open.ended is not None else []

    def process_ended(self, now: float, fact: TurnEnded) -> list[Opened | Closed]:
        """Note that the agent is gone.

        The open turn ends as the agent reported, or otherwise as `fact` says.
        """
        self.over, self._perhaps = True, None
        if self.open is None:
            return []
        return [self._close_as(self.open.ended or fact, now)]

    def _close_at(self, turn: Turn) -> float:
        assert turn.ready_since is not None
        if turn.ended is not None:
            return turn.ended_at + (ROWS_S if turn.ended.source == "hooks" else 0.0)
        return turn.ready_since + (SETTLE_S if turn.worked else UNSEEN_S)

    def _opened_by_work(self, now: float) -> Opened:
        opened = self._open(now, None)
        assert self.open is not None
        self.open.worked = True
        return opened

    def _open(self, now: float, text: str | None) -> Opened:
        since = now if self._perhaps is None else self._perhaps
        self.open = Turn(self.done + 1, since, self._claim, text, worked=self._perhaps is not None)
        self._claim = self._perhaps = None
        if self._state is State.PROMPT:
            self.open.ready_since = now
        return Opened(self.open.number, self.open.message_id)

    def _close(self, now: float) -> Closed:
        assert self.open is not None and self.open.ended is not None
        return self._close_as(self.open.ended, now)

    def _close_as(self, end: TurnEnded, now: float) -> Closed:
        turn = self.open
        assert turn is not None
        self.open = None
        self.done = turn.number
        self._closed_at = now
        self._closed_bare = turn.text is None
        if end.turn_key:
            self._closed_keys = [*self._closed_keys[-20:], end.turn_key]
        self.last = Closed(turn.number, turn.message_id, round(now - turn.started, 3), end)
        return self.last


def _better(old: TurnEnded | None, new: TurnEnded) -> TurnEnded:
    """The better of two reports of one end.

    A failure or an interruption outweighs `completed`; a message is kept.
    """
    if old is None:
        return new
    bad, good = (new, old) if new.outcome != "completed" or old.outcome == "completed" else (old, new)
    if bad.last_message or not good.last_message:
        return bad
    return TurnEnded(
        bad.source, bad.outcome, good.last_message, bad.reason, bad.detail, bad.retry_at, False, bad.turn_key
    )

"""Turns: from states and the agent's own records to exactly one start and one end each.

Pure. A turn opens when the agent records a prompt (`Submitted`) or is seen working after it was
ready; it closes when the agent is ready again and has said how it ended, or, where it says nothing
(no CLI reports every end), a moment after it was seen working and then ready.

Being busy is not always a turn: Claude Code 1.x and 2.0 show their spinner while a local command (`/exit`,
`/login`, leaving `/model`) runs. Where every prompt is recorded (`recorded`), work without a record is a
turn only once it has gone on for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harnex.model.facts import State, Submitted, TurnEnded

SETTLE_S = 0.6  # how long to wait, once ready, for the agent's record of the end (measured: 0.18 s at most)
ROWS_S = (
    0.15  # hooks are faster than the transcript (measured: 0.13 s at most): its last call still belongs to the turn
)
UNRECORDED_S = 2.0  # work without the record of a prompt is a turn after this long (local commands: 1.0 s at most)
LATE_S = 2.0  # a record that comes so late still belongs to the turn that was closed without one
UNSEEN_S = 5.0  # a turn that was submitted but never seen working is over after this much readiness


@dataclass(slots=True)
class Turn:
    """One turn. `ended` is the best word on its end so far."""

    number: int
    started: float
    message_id: str | None = None
    text: str | None = None  # None: opened by being busy; the record of its prompt may still come
    worked: bool = False
    ended: TurnEnded | None = None
    ended_at: float = 0.0
    ready_since: float | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    turn: int
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Closed:
    """`end` is the agent's or the screen's word; a turn that ended without one is taken as completed."""

    turn: int
    message_id: str | None
    duration_s: float
    end: TurnEnded


@dataclass(slots=True)
class Turns:
    """The machine. Feed it every `Submitted`, `TurnEnded` and state; take what opened and closed."""

    done: int = 0
    open: Turn | None = None
    last: Closed | None = None
    over: bool = False  # the agent is gone: records of it that are read late open no turn
    _state: State = State.STARTING
    _was_ready: bool = False
    _claim: str | None = None  # the message in flight: the next turn is its turn
    _closed_keys: list[str] = field(default_factory=list)
    _closed_at: float = -1e9
    _closed_bare: bool = False  # the last turn was closed without the record of its prompt
    _perhaps: float | None = None  # since when it works with no record of a prompt: a turn, or a local command

    def new_process(self) -> None:
        """Another process goes on with the conversation: nothing is open, and nothing is known of it yet."""
        done, last = self.done, self.last
        self.__init__()  # type: ignore[misc]
        self.done, self.last = done, last

    def claim(self, message_id: str | None) -> None:
        """harnex has just submitted this message: the turn that opens next is its answer."""
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
        out: list[Opened | Closed] = []
        turn = self.open
        if self.over:
            return out
        if turn is not None and turn.ended is None:
            if turn.text is None:
                turn.text = fact.text  # the record of the prompt that made it busy
                if turn.message_id is None:
                    turn.message_id, self._claim = self._claim, None
            return out  # else: injected into the running turn
        if turn is not None:
            out.append(self._close(now))  # the agent went straight on to a queued prompt
        elif self._closed_bare and now < self._closed_at + LATE_S and self._state is State.PROMPT and not self._claim:
            self._closed_bare = False
            return out
        out.append(self._open(now, fact.text))
        return out

    def ended(self, fact: TurnEnded, now: float) -> list[Opened | Closed]:
        if self.over or (fact.turn_key and fact.turn_key in self._closed_keys):
            return []
        turn = self.open
        if turn is None:
            if now - self._closed_at < 3.0 or not self._was_ready or fact.pending:
                return []  # a late second word on the turn that was just closed
            # A turn that nothing else showed: it has been, so it is counted.
            return [self._open(now, ""), self._close_as(fact, now)]
        if fact.pending:
            return []
        if turn.ended is None:
            turn.ended_at = now
        turn.ended = _better(turn.ended, fact)
        return self.tick(now)

    def state(self, state: State, now: float, recorded: bool = False) -> list[Opened | Closed]:
        """Take the state. `recorded`: the agent's records are heard, and hold every prompt that it takes."""
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
            return []  # `tick` closes it, which hears what the screen says of its end
        return self.tick(now)

    def tick(self, now: float, screen_says: TurnEnded | None = None) -> list[Opened | Closed]:
        """Close the open turn if it is time. `screen_says`: how the screen shows that it ended."""
        turn = self.open
        if turn is None and self._perhaps is not None and now >= self._perhaps + UNRECORDED_S:
            return [self._opened_by_work(now)]
        if turn is None or self._state is not State.PROMPT or turn.ready_since is None:
            return []
        if now < self._close_at(turn):
            return []
        return [self._close_as(turn.ended or screen_says or TurnEnded("quiet", "completed"), now)]

    def wake_at(self) -> float | None:
        turn = self.open
        if turn is None and self._perhaps is not None:
            return self._perhaps + UNRECORDED_S
        if turn is None or self._state is not State.PROMPT or turn.ready_since is None:
            return None
        return self._close_at(turn)

    def result(self, now: float) -> list[Opened | Closed]:
        """A headless agent's result is the end of its turn, though its process lives."""
        return [self._close(now)] if self.open is not None and self.open.ended is not None else []

    def process_ended(self, now: float, fact: TurnEnded) -> list[Opened | Closed]:
        """The agent is gone: what was open is over, as it said itself or else as `fact` says."""
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
    """Two words on one end: a failure or an interruption outweighs `completed`; a message is kept."""
    if old is None:
        return new
    bad, good = (new, old) if new.outcome != "completed" or old.outcome == "completed" else (old, new)
    if bad.last_message or not good.last_message:
        return bad
    return TurnEnded(
        bad.source, bad.outcome, good.last_message, bad.reason, bad.detail, bad.retry_at, False, bad.turn_key
    )

"""Clients that wait for a session: until it is in a state (`harnex wait`), or until it
has ended (`harnex stop`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harnex import clock, errors
from harnex.errors import UsageError
from harnex.launch.spec import Spec
from harnex.machines import waiting
from harnex.machines.ending import End
from harnex.machines.status import Situation
from harnex.machines.waiting import Standing
from harnex.model.records import BackgroundWork, Json, WaitReply
from harnex.supervisor.control import Peer

NO_ROOM = "the disk is full: the agent has ended, and the session's record is written as soon as there is room"


@dataclass(slots=True)
class _Waiter:
    """A `wait` until a condition holds."""

    peer: Peer
    until: str
    begun: float
    deadline: float | None


class Waiters:
    """Answers the request `wait` when its condition holds, or its time is up."""

    def __init__(
        self,
        spec: Spec,
        situation: Situation,
        standing: Callable[[], Standing],
        background: Callable[[], list[BackgroundWork]],
    ) -> None:
        """`background` returns what the agent left running, without secrets."""
        self._spec, self._situation, self._standing, self._background = spec, situation, standing, background
        self._waiters: list[_Waiter] = []

    def wait(self, peer: Peer, request: Json) -> None:
        """Handle the request `wait`. Raises UsageError."""
        until, now = request.get("until"), clock.monotonic()
        if until not in waiting.UNTIL:
            raise UsageError(f"can't wait until '{until}'", "one of: " + ", ".join(waiting.UNTIL))
        timeout = seconds(request.get("timeout"))
        self._waiters.append(_Waiter(peer, until, now, now + timeout if timeout is not None else None))
        peer.on_closed = lambda: self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        self._waiters = [w for w in self._waiters if w.peer is not peer]

    def deadlines(self) -> list[float]:
        return [w.deadline for w in self._waiters if w.deadline is not None]

    def tick(self, standing: Standing, now: float) -> None:
        """Answer the waiters whose condition holds or whose time is up."""
        for waiter in list(self._waiters):
            answer = waiting.answer(waiter.until, standing)
            if answer is None and waiter.deadline is not None and now >= waiter.deadline:
                answer = waiting.Answer(
                    errors.TIMEOUT,
                    f"it is {standing.state.value}, not {waiter.until}, after {now - waiter.begun:.1f} s",
                    "look: harnex pane; wait longer with --timeout",
                )
            if answer is not None:
                self._answer(waiter, answer, now)

    def _answer(self, waiter: _Waiter, answer: waiting.Answer, now: float) -> None:
        self._waiters.remove(waiter)
        waiter.peer.on_closed = None
        standing = self._standing()
        reply: WaitReply = {
            "ok": answer.exit_code == errors.DONE,
            "id": self._spec.id,
            "run_id": self._spec.run_id,
            "state": standing.state.value,
            "turn": self._situation.turn_number,
            "waited_s": round(now - waiter.begun, 3),
            "dialog": standing.dialog or None,
            "last_outcome": waiting.describe(standing.last),
            "background": self._background(),
            "exit_code": answer.exit_code,
        }
        if answer.error:
            reply["error"], reply["hint"] = answer.error, answer.hint
        if answer.exit_code == errors.PERSON_NEEDED and standing.state.value == "blocked":
            reply["hint"] = dialog_hint(self._spec.id)
        if standing.state.value == "exited":
            reply["exit"] = self._situation.end.result
        waiter.peer.reply(reply)


class Stoppers:
    """Answers the request `stop` when the session has ended."""

    def __init__(self, spec: Spec, end: End, stop: Callable[[bool], None]) -> None:
        """`stop(force)` ends the session."""
        self._spec, self._end, self._stop = spec, end, stop
        self._peers: list[Peer] = []

    def stop(self, peer: Peer, request: Json) -> bool:
        """Handle the request `stop`.

        Returns True if the agent has ended but the disk has no room for the run's record.
        """
        self._peers.append(peer)
        peer.on_closed = lambda: self._drop(peer)
        self._stop(bool(request.get("force")))
        return self._end.result.get("recorded") is False

    def _drop(self, peer: Peer) -> None:
        self._peers = [p for p in self._peers if p is not peer]

    def answer(self, recorded: bool) -> None:
        """The session has ended, or only its record has no room: answer those who stopped it."""
        result = {**self._spec.names(), **self._end.result}
        more = {"exit_code": errors.DONE, "outcome_exit_code": result["exit_code"]}
        if not recorded:
            more["note"] = NO_ROOM
        for peer in self._peers:
            peer.on_closed = None
            peer.reply({"ok": True, **result, **more})
        self._peers = []


def dialog_hint(session_id: str, then: str = "") -> str:
    """Return the next commands for a person when a dialog is up."""
    return f"look: harnex pane --id {session_id}; answer: harnex approve --id {session_id} (or deny).{then}"


def seconds(value: object) -> float | None:
    """Return a value of a request as seconds, None if the value is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(value)

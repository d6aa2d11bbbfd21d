"""What clients ask of a session over the control socket, and who still waits for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harnex import clock, errors, jsonl
from harnex.errors import HarnexError, UsageError
from harnex.machines import waiting
from harnex.machines.inbox import Message
from harnex.machines.turns import Closed
from harnex.machines.viewing import Viewable
from harnex.model import protocol
from harnex.supervisor import reserve
from harnex.supervisor.control import Peer
from harnex.supervisor.delivery import new_message_id
from harnex.supervisor.watcher import REDRAW_S
from harnex.terminal.draw import to_ansi, to_svg

if TYPE_CHECKING:
    from harnex.supervisor.session import Session

PANE_S = 0.05  # how long a look at the screen waits for one that is somewhere in the middle of much output
NO_TURN_S = 10.0  # an agent that is at its prompt for so long after it took a message does not answer it
NO_ROOM = "the disk is full: the agent has ended, and the session's record is written as soon as there is room"
COLUMNS_MIN, COLUMNS_MAX, ROWS_MIN, ROWS_MAX = 10, 1000, 3, 500


@dataclass(slots=True)
class _Waiter:
    """A `wait`: until a condition holds."""

    peer: Peer
    until: str
    begun: float
    deadline: float | None


@dataclass(slots=True)
class _Sender:
    """A `send` whose caller waits: until it is delivered (`done`) or answered (`idle`)."""

    peer: Peer
    message: Message
    until: str
    begun: float
    deadline: float | None
    note: str = ""  # what its force does to the running turn
    accepted: bool = False
    accepted_at: float = 0.0
    turn: int | None = None
    closed: Closed | None = None


class Requests:
    """Answers requests; keeps waiters, senders, stoppers and viewers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiters: list[_Waiter] = []
        self._senders: list[_Sender] = []
        self._stoppers: list[Peer] = []
        self._viewers: list[Peer] = []
        self._viewable = Viewable()
        self._panes: list[tuple[Peer, dict[str, Any], float]] = []  # and until when they wait
        self._lagging: list[Peer] = []  # viewers that get a redraw as soon as there is one

    # ---- dispatch ----

    def handle(self, peer: Peer, request: dict[str, Any]) -> None:
        """Answer one request; a bad one gets an error and costs nothing else."""
        op = request.get("op")
        method = getattr(self, f"_op_{op}", None) if op in protocol.OPS else None
        try:
            if method is None:
                raise UsageError(f"unknown request '{op}'", "is the client older or newer than this session?")
            if _stays(request) and self._session.control.full:
                raise HarnexError(
                    f"session {self._session.spec.id} has too many connections that wait or look on",
                    "end some of them (harnex wait, send, attach), or start it with a higher limit of open files (ulimit -n)",
                )
            method(peer, request)
        except HarnexError as e:
            peer.fail(e)
        except Exception as e:  # a bug that one request meets must not end the session
            if reserve.is_lack(e):
                peer.fail(HarnexError(reserve.words(e), "the session ends; see: harnex history", **self._base()))
                raise
            self._session.journal.diagnose(f"harnex failed at a request '{op}': {type(e).__name__}: {e}")
            peer.fail(HarnexError(f"a bug in harnex: {type(e).__name__}: {e}", "please report it", errors.BUG))

    @property
    def has_viewers(self) -> bool:
        """Whether somebody is attached who may press keys."""
        return any(not peer.read_only for peer in self._viewers)

    def _base(self) -> dict[str, Any]:
        return {"id": self._session.spec.id, "run_id": self._session.spec.run_id}

    def _op_status(self, peer: Peer, request: dict[str, Any]) -> None:
        peer.reply({"ok": True, **self._session.record(), "viewers": len(self._viewers)})

    def _op_interrupt(self, peer: Peer, request: dict[str, Any]) -> None:
        session = self._session
        session.interrupt(clock.monotonic())
        peer.reply({"ok": True, **self._base()})

    # ---- send ----

    def _op_send(self, peer: Peer, request: dict[str, Any]) -> None:
        session, now = self._session, clock.monotonic()
        text, timeout, until = request.get("text"), _seconds(request.get("timeout")), request.get("until", "done")
        if text is not None and not isinstance(text, str):
            raise UsageError("the message is not text")
        if text is not None and (why := protocol.too_long(text)):
            raise UsageError(why, protocol.TOO_LONG_HINT)
        if session.ending.under_way:
            raise HarnexError(f"session {session.spec.id} is ending", "start another one with: harnex run")
        if session.headless is not None:
            raise HarnexError(
                f"session {session.spec.id} is headless: it takes one prompt, and no message",
                "a session that does: harnex run",
            )
        force = bool(request.get("force"))
        if force and session.verdict.state.value == "blocked" and session.verdict.view is None:
            raise HarnexError(
                f"session {session.spec.id} shows a {session.verdict.dialog} dialog: a message would answer it",
                self._dialog_hint(),
                errors.PERSON_NEEDED,
            )
        deadline = now + timeout if timeout is not None else None
        message = Message(
            new_message_id(),
            text,
            submit=request.get("submit", True) is not False,
            force=force,
            sender=request.get("from"),
            deadline=deadline,
        )
        replaces = session.reader.force_says if force and session.turns.open is not None else ""
        session.delivery.take(message, acknowledged=until == "queued")
        if until == "queued":
            reply = {"ok": True, **self._base(), "message_id": message.id, "status": "queued"}
            note = replaces
            if self._needs_person(session.standing):
                note = f"a {session.verdict.dialog} dialog is up: the message is typed when it is gone"
            peer.reply(reply | ({"note": note} if note else {}))
            return
        sender = _Sender(peer, message, until, now, deadline, replaces)
        self._senders.append(sender)
        peer.on_closed = lambda: self._sender_left(sender)

    def _sender_left(self, sender: _Sender) -> None:
        """Its caller is gone (Ctrl-C): what was not typed yet is taken back, so that no ghost is delivered."""
        if sender in self._senders:
            self._senders.remove(sender)
            message = self._session.inbox.withdraw(sender.message.id)
            if message is not None:
                message.error = "its sender went away"
                self._session.delivery.moved(message)

    def _needs_person(self, standing: waiting.Standing) -> bool:
        """Whether a dialog is up that nobody is answering."""
        session = self._session
        if standing.state.value != "blocked" or session.answers.under_way:
            return False
        return not session.watcher.answers_dialog()

    def _turned_away(self, sender: _Sender, standing: waiting.Standing) -> bool:
        """A dialog is up before the message was given to the agent: it is taken back, and the sender hears why at once.
        Nothing would type it before a person has answered, and what was told as not sent must not arrive later."""
        if sender.accepted or not self._needs_person(standing):
            return False
        message = self._session.inbox.withdraw(sender.message.id)
        if message is None:
            return False  # Enter was pressed: what became of it shows in a moment
        message.error = f"a {standing.dialog} dialog waits for a person: the message was not sent"
        self._answer_sender(sender, False, errors.PERSON_NEEDED, message.error, self._dialog_hint(" Then send again."))
        self._session.delivery.moved(message)
        return True

    def _dialog_hint(self, then: str = "") -> str:
        """The next commands when a dialog is up."""
        name = self._session.spec.id
        return f"look: harnex pane --id {name}; answer: harnex approve --id {name} (or deny).{then}"

    def message_moved(self, message: Message, over: bool = True) -> None:
        """A message got a new status (`over`: its last one): some senders wait for that."""
        for sender in [s for s in self._senders if s.message.id == message.id]:
            if message.status in ("failed", "expired"):
                code = errors.TIMEOUT if message.status == "expired" else errors.FAILED
                code = self._session.ending.verdict or code  # a budget, a person who is needed
                self._answer_sender(sender, False, code, message.error or message.status)
            elif over:
                sender.accepted_at = clock.monotonic()
                sender.accepted = True  # or typed, where no more than that can be known
                if sender.until == "done" or message.status == "typed":
                    self._answer_sender(sender, True, errors.DONE)
                else:
                    turn = self._session.turns.open
                    sender.turn = turn.number if turn is not None else None

    def turn_closed(self, closed: Closed) -> None:
        for sender in self._senders:
            if sender.accepted and (closed.message_id == sender.message.id or closed.turn == sender.turn):
                sender.closed = closed

    def _answer_sender(self, sender: _Sender, ok: bool, code: int, error: str = "", hint: str = "") -> None:
        self._senders.remove(sender)
        sender.peer.on_closed = None
        session = self._session
        reply: dict[str, Any] = {
            "ok": ok,
            **self._base(),
            "message_id": sender.message.id,
            "status": sender.message.status,
            "exit_code": code,
        }
        if sender.until == "idle":
            reply["state"] = session.verdict.state.value
            if sender.closed is not None:
                reply["turn"] = sender.closed.turn
                reply["outcome"] = sender.closed.end.outcome
                reply["last_message"] = sender.closed.end.last_message
            reply["background"] = session.redactor.clean(session.background.record)
            reply["waited_s"] = round(clock.monotonic() - sender.begun, 3)
        notes = [words for words in (sender.note, sender.message.note) if words]
        if notes:
            reply["note"] = "; ".join(notes)
        if error:
            reply["error"], reply["hint"] = error, hint
        sender.peer.reply(reply)

    # ---- wait ----

    def _op_wait(self, peer: Peer, request: dict[str, Any]) -> None:
        until, now = request.get("until"), clock.monotonic()
        if until not in waiting.UNTIL:
            raise UsageError(f"can't wait until '{until}'", "one of: " + ", ".join(waiting.UNTIL))
        timeout = _seconds(request.get("timeout"))
        self._waiters.append(_Waiter(peer, until, now, now + timeout if timeout is not None else None))
        peer.on_closed = lambda: self._drop_peer(peer)

    def _drop_peer(self, peer: Peer) -> None:
        self._waiters = [w for w in self._waiters if w.peer is not peer]
        self._stoppers = [p for p in self._stoppers if p is not peer]
        self._viewers = [p for p in self._viewers if p is not peer]
        self._lagging = [p for p in self._lagging if p is not peer]
        self._panes = [p for p in self._panes if p[0] is not peer]

    def tick(self, now: float) -> None:
        """Answer those whose condition holds, and those whose time is up."""
        standing = self._session.standing
        for waiter in list(self._waiters):
            answer = waiting.answer(waiter.until, standing)
            if answer is None and waiter.deadline is not None and now >= waiter.deadline:
                answer = waiting.Answer(
                    errors.TIMEOUT,
                    f"it is {standing.state.value}, not {waiter.until}, after {now - waiter.begun:.1f} s",
                    "look: harnex pane; wait longer with --timeout",
                )
            if answer is not None:
                self._answer_waiter(waiter, answer, now)
        for sender in list(self._senders):
            self._tick_sender(sender, standing, now)
        for peer, request, until in list(self._panes):
            if now >= until or not self._session.terminal.drawing:
                self._drop_peer(peer)
                peer.on_closed = None
                self._show_pane(peer, request)
        for peer in list(self._lagging):
            self._redraw(peer)

    def _tick_sender(self, sender: _Sender, standing: waiting.Standing, now: float) -> None:
        if self._turned_away(sender, standing):
            return
        if sender.accepted and sender.closed is not None and standing.state.value in ("prompt", "exited"):
            verdict = waiting.outcome_of(sender.closed)
            self._answer_sender(sender, verdict.exit_code == errors.DONE, verdict.exit_code, verdict.error)
        elif sender.until == "idle" and sender.accepted and standing.state.value == "blocked":
            self._answer_sender(
                sender,
                False,
                errors.PERSON_NEEDED,
                f"a {standing.dialog} dialog waits for a person",
                self._dialog_hint(" Then: harnex wait."),
            )
        elif sender.accepted and sender.closed is None and standing.settled and now >= sender.accepted_at + NO_TURN_S:
            self._answer_sender(
                sender,
                False,
                errors.FAILED,
                "the agent took the message, but no turn followed",
                f"look: harnex pane --id {self._session.spec.id}",
            )
        elif sender.deadline is not None and now >= sender.deadline:
            self._answer_sender(
                sender,
                False,
                errors.TIMEOUT,
                "the agent took the message, but the turn did not end in time"
                if sender.accepted
                else "the message was typed, but the agent has not taken it yet",
                "go on waiting with: harnex wait --until task_complete",
            )

    def _answer_waiter(self, waiter: _Waiter, answer: waiting.Answer, now: float) -> None:
        self._waiters.remove(waiter)
        waiter.peer.on_closed = None
        session, standing = self._session, self._session.standing
        reply: dict[str, Any] = {
            "ok": answer.exit_code == errors.DONE,
            **self._base(),
            "state": standing.state.value,
            "turn": session.turn_number(),
            "waited_s": round(now - waiter.begun, 3),
            "dialog": standing.dialog or None,
            "last_outcome": waiting.describe(standing.last),
            "background": session.redactor.clean(session.background.record),
            "exit_code": answer.exit_code,
        }
        if answer.error:
            reply["error"], reply["hint"] = answer.error, answer.hint
        if answer.exit_code == errors.PERSON_NEEDED and standing.state.value == "blocked":
            reply["hint"] = self._dialog_hint()
        if standing.state.value == "exited":
            reply["exit"] = session.ending.result
        waiter.peer.reply(reply)

    def wake_at(self) -> float | None:
        times = [w.deadline for w in self._waiters] + [s.deadline for s in self._senders]
        times += [s.accepted_at + NO_TURN_S for s in self._senders if s.accepted and s.closed is None]
        now = clock.monotonic()
        times += [until for _, _, until in self._panes]
        times = [max(t, now + 0.05) for t in times if t is not None]
        return min((t for t in times if t is not None), default=None)

    # ---- stop ----

    def _op_stop(self, peer: Peer, request: dict[str, Any]) -> None:
        self._stoppers.append(peer)
        peer.on_closed = lambda: self._drop_peer(peer)
        self._session.ending.stop(reason="stopped", force=bool(request.get("force")))
        if self._session.ending.result.get("recorded") is False:
            self.unrecorded()

    def unrecorded(self) -> None:
        """The agent is gone, but the disk has no room for the record of it: stoppers and viewers wait no longer."""
        result = {**self._base(), **self._session.ending.result}
        for peer in self._stoppers:
            peer.on_closed = None
            outcome = {"exit_code": errors.DONE, "outcome_exit_code": result["exit_code"]}
            peer.reply({"ok": True, **result, **outcome, "note": NO_ROOM})
        for viewer in self._viewers:
            viewer.on_closed = None
            viewer.show(protocol.ENDED, jsonl.dumps(result).encode())
            viewer.finish()
        self._stoppers, self._viewers = [], []

    def ended(self) -> None:
        """The session is over and its registry entry gone: everybody gets a last word."""
        result = {**self._base(), **self._session.ending.result}
        now = clock.monotonic()
        self.tick(now)
        for peer in self._stoppers:
            peer.on_closed = None
            peer.reply({"ok": True, **result, "exit_code": errors.DONE, "outcome_exit_code": result["exit_code"]})
        for sender in list(self._senders):
            self._answer_sender(sender, False, errors.FAILED, "the session ended", "see: harnex history")
        for viewer in self._viewers:
            viewer.show(protocol.ENDED, jsonl.dumps(result).encode())
            viewer.finish()
        self._session.finished = True

    # ---- pane, attach ----

    def _op_pane(self, peer: Peer, request: dict[str, Any]) -> None:
        terminal, now = self._session.terminal, clock.monotonic()
        terminal.settle(now, force=True)
        if terminal.drawing:
            self._panes.append((peer, request, now + PANE_S))
            peer.on_closed = lambda: self._drop_peer(peer)
        else:
            self._show_pane(peer, request)

    def _show_pane(self, peer: Peer, request: dict[str, Any]) -> None:
        terminal = self._session.terminal
        screen = terminal.screen
        view = screen.view() if screen is not None else terminal.view
        reply: dict[str, Any] = {
            "ok": True,
            **self._base(),
            "state": self._session.verdict.state.value,
            "dialog": self._session.verdict.dialog or None,
            "columns": terminal.size[0],
            "rows": terminal.size[1],
            "cursor": list(view.cursor),
            "cursor_hidden": view.cursor_hidden,
            "title": terminal.title,
            "alternate": view.alternate,
            "lines": list(view.lines),
        }
        form = request.get("format", "text")
        if screen is not None and form == "ansi":
            reply["data"] = to_ansi(screen).decode("utf-8", "replace")
        elif screen is not None and form == "svg":
            reply["data"] = to_svg(screen, f"{self._session.spec.id} · {self._session.spec.cli}")
        peer.reply(reply)

    def _op_answer(self, peer: Peer, request: dict[str, Any]) -> None:
        verb, option, text = request.get("verb"), request.get("option"), request.get("text")
        if verb not in ("approve", "deny") or not isinstance(option, int | None) or not isinstance(text, str | None):
            raise UsageError("that is no answer", "see: harnex approve --help")
        if text is not None and (why := protocol.too_long(text)):
            raise UsageError(why, protocol.TOO_LONG_HINT)
        dialog = str(request.get("dialog") or self._session.verdict.dialog)
        since = str(request["since"]) if request.get("since") else None

        def done(error: HarnexError | None) -> None:
            if error is not None:
                peer.fail(error)
            else:
                peer.reply({"ok": True, **self._base(), "dialog": dialog, "verb": verb, "exit_code": errors.DONE})

        self._session.answers.begin(verb, dialog, option, text, str(request.get("by") or "?"), done, since)

    def _op_watch(self, peer: Peer, request: dict[str, Any]) -> None:
        """Put a policy on (or another one); without one, only say what is on."""
        session, policy = self._session, request.get("policy")
        if session.ending.under_way:
            raise HarnexError(f"session {session.spec.id} is ending", "what it did: harnex logs, harnex history")
        if session.headless is not None:
            raise UsageError(f"session {session.spec.id} is headless: there is nothing to watch", "see: harnex events")
        if policy is not None:
            if not isinstance(policy, dict):
                raise UsageError("that is no policy", "see: harnex watch --help")
            from harnex.watch.policy import Policy

            try:
                session.watcher.begin(Policy.load(policy))
            except (TypeError, ValueError) as e:
                raise UsageError(f"that is no policy: {e}", "is the client older or newer than this session?") from None
        watch = session.watcher.watch
        on = watch.policy.shown() if watch is not None else None
        peer.reply({"ok": True, **self._base(), **session.watcher.record, "policy": on})

    def _op_tmux(self, peer: Peer, request: dict[str, Any]) -> None:
        self._session.tmux = str(request.get("window") or "") or None
        self._session.journal.write()
        peer.reply({"ok": True, **self._base()})

    def _op_attach(self, peer: Peer, request: dict[str, Any]) -> None:
        peer.reply({"ok": True, **self._base(), "cli": self._session.spec.cli})
        peer.frames = protocol.FrameReader()
        peer.read_only = bool(request.get("read_only"))
        peer.on_frame = lambda kind, payload: self._from_viewer(peer, kind, payload)
        peer.on_drained = lambda: self._lag(peer)
        peer.on_closed = lambda: self._drop_peer(peer)
        if not self._viewers:
            self._viewable = Viewable()
        self._viewers.append(peer)
        if not peer.read_only:
            self._resize(request.get("columns"), request.get("rows"))
        self._redraw(peer)

    def _lag(self, peer: Peer) -> None:
        """It missed something: it gets nothing before its redraw."""
        peer.overflowed = True
        if peer not in self._lagging:
            self._lagging.append(peer)

    def _redraw(self, peer: Peer) -> None:
        data = self._session.terminal.redraw()
        if data is None:
            self._lag(peer)
            return
        self._lagging = [p for p in self._lagging if p is not peer]
        peer.overflowed = False
        peer.show(protocol.OUTPUT, data)

    def _resize(self, columns: object, rows: object) -> None:
        if not isinstance(columns, int) or not isinstance(rows, int):
            return
        columns, rows = min(max(columns, COLUMNS_MIN), COLUMNS_MAX), min(max(rows, ROWS_MIN), ROWS_MAX)
        session = self._session
        if (columns, rows) != session.terminal.size:
            session.watcher.disturbed(REDRAW_S)
            session.terminal.resize(columns, rows, clock.monotonic())
            session.child.resize(columns, rows)

    def _from_viewer(self, peer: Peer, kind: bytes, payload: bytes) -> None:
        if kind == protocol.DETACH:
            peer.finish()
        elif peer.read_only:
            return
        elif kind == protocol.INPUT:
            self._session.person_typed = clock.monotonic()
            self._session.type(payload)
        elif kind == protocol.RESIZE:
            size = jsonl.loads_dict(payload) or {}
            self._resize(size.get("columns"), size.get("rows"))
            self._redraw(peer)

    def show(self, data: bytes) -> None:
        """The agent's output, to everybody who looks on."""
        shown = self._viewable.feed(data) if self._viewers else b""
        for viewer in self._viewers if shown else ():
            viewer.show(protocol.OUTPUT, shown)


def _stays(request: dict[str, Any]) -> bool:
    """Whether the connection of this request may be held for long."""
    return request.get("op") in ("wait", "attach") or (request.get("op") == "send" and request.get("until") != "queued")


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(value)

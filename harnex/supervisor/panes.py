"""Looks at the agent's screen (`harnex pane`)."""

from __future__ import annotations

from collections.abc import Callable

from harnex import clock
from harnex.launch.spec import Spec
from harnex.machines.status import Status
from harnex.model.records import Json, PaneReply
from harnex.supervisor.agent import Agent
from harnex.supervisor.control import Peer
from harnex.terminal.draw import to_ansi, to_svg

# How long a look waits for a screen that is incomplete because of much output.
PANE_S = 0.05


class Panes:
    """Answers the request `pane`, at once or when the screen has been drawn."""

    def __init__(self, spec: Spec, agent: Callable[[], Agent], status: Status) -> None:
        self._spec, self._agent, self._status = spec, agent, status
        self._waiting: list[tuple[Peer, Json, float]] = []  # (peer, request, until when it waits)

    def look(self, peer: Peer, request: Json) -> None:
        """Handle the request `pane`."""
        terminal, now = self._agent().terminal, clock.monotonic()
        terminal.settle(now, force=True)
        if terminal.drawing:
            self._waiting.append((peer, request, now + PANE_S))
            peer.on_closed = lambda: self._drop(peer)
        else:
            self._show(peer, request)

    def tick(self, now: float) -> None:
        """Answer the requests whose screen is drawn, or whose time is up."""
        for peer, request, until in list(self._waiting):
            if now >= until or not self._agent().terminal.drawing:
                self._drop(peer)
                peer.on_closed = None
                self._show(peer, request)

    def deadlines(self) -> list[float]:
        return [until for _, _, until in self._waiting]

    def _drop(self, peer: Peer) -> None:
        self._waiting = [w for w in self._waiting if w[0] is not peer]

    def _show(self, peer: Peer, request: Json) -> None:
        terminal, verdict = self._agent().terminal, self._status.verdict
        screen = terminal.screen
        view = screen.view() if screen is not None else terminal.view
        reply: PaneReply = {
            "ok": True,
            "id": self._spec.id,
            "run_id": self._spec.run_id,
            "state": verdict.state.value,
            "dialog": verdict.dialog or None,
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
            reply["data"] = to_svg(screen, f"{self._spec.id} · {self._spec.cli}")
        peer.reply(reply)

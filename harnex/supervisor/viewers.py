"""The people at a session's terminal: whoever is attached looks on, and may press keys."""

from __future__ import annotations

from collections.abc import Callable

from harnex import clock, jsonl
from harnex.launch.spec import Spec
from harnex.machines.viewing import Viewable
from harnex.model import protocol
from harnex.model.records import EndResult, Json
from harnex.supervisor.agent import REDRAW_S, Agent
from harnex.supervisor.control import Peer

COLUMNS_MIN, COLUMNS_MAX, ROWS_MIN, ROWS_MAX = 10, 1000, 3, 500


class Viewers:
    """The attached connections, and when one of them last pressed a key."""

    def __init__(self, spec: Spec, agent: Callable[[], Agent]) -> None:
        self._spec, self._agent = spec, agent
        self._peers: list[Peer] = []
        self._viewable = Viewable()
        self._lagging: list[Peer] = []  # viewers that get a redraw as soon as possible
        self.person_typed = -1e9

    @property
    def count(self) -> int:
        return len(self._peers)

    @property
    def has_writers(self) -> bool:
        """Whether somebody is attached who may press keys."""
        return any(not peer.read_only for peer in self._peers)

    def attach(self, peer: Peer, request: Json) -> None:
        """Handle the request `attach`: from now on the connection carries frames."""
        peer.reply({"ok": True, **self._spec.names(), "cli": self._spec.cli})
        peer.frames = protocol.FrameReader()
        peer.read_only = bool(request.get("read_only"))
        peer.on_frame = lambda kind, payload: self._take(peer, kind, payload)
        peer.on_drained = lambda: self._lag(peer)
        peer.on_closed = lambda: self._drop(peer)
        if not self._peers:
            self._viewable = Viewable()
        self._peers.append(peer)
        if not peer.read_only:
            self._resize(request.get("columns"), request.get("rows"))
        self._redraw(peer)

    def show(self, data: bytes) -> None:
        """Show the agent's output to all viewers."""
        shown = self._viewable.feed(data) if self._peers else b""
        for peer in self._peers if shown else ():
            peer.show(protocol.OUTPUT, shown)

    def tick(self) -> None:
        """Redraw for viewers that missed output, if the screen can be drawn now."""
        for peer in list(self._lagging):
            self._redraw(peer)

    def end(self, result: EndResult) -> None:
        """The session has ended: send the result to all viewers, and close their connections."""
        for peer in self._peers:
            peer.on_closed = None
            peer.show(protocol.ENDED, jsonl.dumps({**self._spec.names(), **result}).encode())
            peer.finish()
        self._peers = []

    def _drop(self, peer: Peer) -> None:
        self._peers = [p for p in self._peers if p is not peer]
        self._lagging = [p for p in self._lagging if p is not peer]

    def _lag(self, peer: Peer) -> None:
        """The viewer missed output: nothing is sent before its redraw."""
        peer.overflowed = True
        if peer not in self._lagging:
            self._lagging.append(peer)

    def _redraw(self, peer: Peer) -> None:
        data = self._agent().terminal.redraw()
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
        agent = self._agent()
        if (columns, rows) != agent.terminal.size:
            agent.terminal.disturb(REDRAW_S)
            agent.terminal.resize(columns, rows, clock.monotonic())
            agent.child.resize(columns, rows)

    def _take(self, peer: Peer, kind: bytes, payload: bytes) -> None:
        """Handle a frame from a viewer."""
        if kind == protocol.DETACH:
            peer.finish()
        elif peer.read_only:
            return
        elif kind == protocol.INPUT:
            self.person_typed = clock.monotonic()
            self._agent().type(payload)
        elif kind == protocol.RESIZE:
            size = jsonl.loads_dict(payload) or {}
            self._resize(size.get("columns"), size.get("rows"))
            self._redraw(peer)

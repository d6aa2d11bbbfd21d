"""The control socket: JSON lines in, JSON lines out, and attached viewers (model/protocol.py).

The socket is a unix socket, 0600, in a 0700 directory, and the peer's uid is checked. A peer that
does not read is dropped, never waited for.

The number of connections is limited, so that the session keeps descriptors for its own work.
Further connections wait to be accepted, and a peer that asks for nothing makes room for
them. Some places are kept for requests that are answered at once, so that `stop` and
`status` get through whoever waits.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import socket
import struct
import sys
from collections.abc import Callable, Mapping

from harnex import clock, jsonl, paths
from harnex.errors import HarnexError, UsageError
from harnex.model import protocol
from harnex.model.records import Json

OUT_MAX = 32 << 20  # bytes that may wait for a peer
# Bytes that may wait for a viewer. Output beyond that is dropped, and the viewer gets a redraw.
VIEWER_MAX = 1 << 20
# Requests of one connection that are answered before the loop turns to its other business.
REQUESTS_A_PASS = 32
PEERS_MAX, PEERS_MIN = 256, 8  # how many connections, at most and at least
# Descriptors for everything else: 19 at rest, and more for a moment for git, helpers and the sweep.
RESERVED = 40
QUICK = 4  # connections that are kept for requests that are answered at once
# A peer that asked for nothing for this long makes room for another one.
IDLE_S = 0.5
LISTEN_AGAIN_S = 0.1  # how long nobody is accepted after there was no room

Handler = Callable[["Peer", Json], None]


class Peer:
    """One connection. `frames` is set once the peer is an attached viewer."""

    def __init__(self, control: Control, sock: socket.socket) -> None:
        self._control = control
        self.sock = sock
        self._incoming = bytearray()
        self._looked = 0  # `_incoming` has no newline before this index
        self._outgoing = bytearray()
        self.frames: protocol.FrameReader | None = None
        self.on_frame: Callable[[bytes, bytes], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.read_only = False
        self.overflowed = False
        self._closing = False
        self._heard = clock.monotonic()
        self._owed = 0  # number of replies that the peer still gets

    @property
    def stays(self) -> bool:
        """Whether the peer waits for something that may take long."""
        return self.frames is not None or self.on_closed is not None

    def idle(self, now: float) -> bool:
        """Whether the peer asks for nothing."""
        waits = self.stays or self._owed or self._outgoing or self in self._control.backlog
        return not waits and now >= self._heard + IDLE_S

    def reply(self, message: Mapping[str, object]) -> None:
        self._owed -= 1
        self._send(jsonl.dumps(message).encode() + b"\n")

    def fail(self, error: HarnexError) -> None:
        self.reply({**error.reply(), "exit_code": error.exit_code})

    def show(self, kind: bytes, payload: bytes) -> None:
        """Send a frame to a viewer. One that lags too far behind gets a redraw later instead."""
        if self.overflowed and kind == protocol.OUTPUT:
            return
        if len(self._outgoing) + len(payload) > VIEWER_MAX and kind == protocol.OUTPUT:
            self.overflowed = True
            return
        self._send(protocol.frame(kind, payload))

    def finish(self) -> None:
        """Close once everything is written."""
        self._closing = True
        if not self._outgoing:
            self.close()

    def close(self) -> None:
        if self.sock.fileno() < 0:
            return
        self._control.forget(self)
        self.sock.close()
        if self.on_closed is not None:
            self.on_closed()

    def _send(self, data: bytes) -> None:
        if self.sock.fileno() < 0:
            return
        self._outgoing += data
        if len(self._outgoing) > OUT_MAX:
            self.close()
            return
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                n = self.sock.send(self._outgoing)
                del self._outgoing[:n]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if not self._outgoing:
            if self._closing:
                self.close()
                return
            if self.overflowed and self.on_drained is not None:
                self.on_drained()
        self._control.want_write(self, bool(self._outgoing))

    def ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ and self.sock.fileno() >= 0 and self not in self._control.backlog:
            self._read()

    def _read(self) -> None:
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self.frames is not None:
            self._read_frames(data)
            return
        self._heard = clock.monotonic()
        self._incoming += data
        if len(self._incoming) > protocol.LINE_MAX:
            error = f"the request is longer than {protocol.LINE_MAX:,} bytes"
            self.fail(UsageError(error, protocol.TOO_LONG_HINT))
            self.close()
            return
        self.answer()

    def answer(self) -> None:
        """Answer the requests that are complete, at most REQUESTS_A_PASS in a pass of the loop."""
        self._control.backlog.discard(self)
        for _ in range(REQUESTS_A_PASS):
            if self.frames is not None or self.sock.fileno() < 0:
                break
            end = self._incoming.find(b"\n", self._looked)
            if end < 0:
                self._looked = len(self._incoming)
                return
            line = bytes(self._incoming[:end])
            del self._incoming[: end + 1]
            self._looked = 0
            self._owed += 1
            request = jsonl.loads_dict(line)
            if request is None:
                self.reply({"ok": False, "error": "the request is not a JSON object", "hint": "", "exit_code": 2})
            else:
                self._control.handle(self, request)
        else:
            self._control.backlog.add(self)
            return
        if self.frames is not None and self._incoming:
            rest = bytes(self._incoming)
            self._incoming.clear()
            self._read_frames(rest)

    def _read_frames(self, data: bytes) -> None:
        assert self.frames is not None
        try:
            for kind, payload in self.frames.feed(data):
                if self.on_frame is not None:
                    self.on_frame(kind, payload)
        except ValueError:
            self.close()


class Control:
    """Listens, and hands requests to `handler`. Raises OSError if the socket can't be made."""

    def __init__(self, path: str, selector: selectors.BaseSelector, handler: Handler) -> None:
        self.path = path
        self._selector = selector
        self.handle = handler
        self.peers: set[Peer] = set()
        self.backlog: set[Peer] = set()  # peers that asked for more than the last pass answered
        self._most = peers_at_most()
        self._listen_at: float | None = None  # nobody is accepted before this time
        # A spare descriptor for a connection, in case no other is left.
        self._spare = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
        self._listener = self._listen()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        try:
            self._bind(listener)
        except FileNotFoundError:  # another session just left the directory and removed it
            os.mkdir(os.path.dirname(self.path), 0o700)
            self._bind(listener)
        listener.listen(128)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener

    def _bind(self, listener: socket.socket) -> None:
        old = os.umask(0o177)  # only the umask sets the mode of a socket's file
        try:
            listener.bind(self.path)
        finally:
            os.umask(old)

    def listen_again(self) -> bool:
        """Make the socket's file anew if it is gone. Returns whether that was done.

        Connected peers stay connected.
        """
        if os.path.lexists(self.path):
            return False
        with contextlib.suppress(OSError):
            new = self._listen()
            if self._listen_at is None:
                self._selector.unregister(self._listener)
            self._listen_at = None
            self._listener.close()
            self._listener = new
            return True
        return False

    def _accept(self, mask: int) -> None:
        while True:
            if len(self.peers) >= self._most and not self._make_room():
                self._pause()
                return
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            # No descriptor is left: another attempt would fail at once.
            except OSError:
                if self._spare:
                    os.close(self._spare.pop())
                    continue
                self._make_room()
                self._pause()
                return
            if peer_uid(sock) not in (None, os.geteuid()):
                sock.close()
                continue
            sock.setblocking(False)
            peer = Peer(self, sock)
            self.peers.add(peer)
            self._selector.register(sock, selectors.EVENT_READ, peer.ready)

    def _make_room(self) -> bool:
        """Close the peer that has asked for nothing for longest.

        False if each peer may still ask, or waits.
        """
        now = clock.monotonic()
        idle = [peer for peer in self.peers if peer.idle(now)]
        if idle:
            min(idle, key=lambda peer: peer._heard).close()
        return bool(idle)

    def _pause(self) -> None:
        """Accept nobody for a moment. New peers wait in the system's queue."""
        self._selector.unregister(self._listener)
        self._listen_at = clock.monotonic() + LISTEN_AGAIN_S

    @property
    def full(self) -> bool:
        """Whether so many peers wait that no further peer may."""
        return sum(peer.stays for peer in self.peers) >= self._most - QUICK

    def wake_at(self, now: float) -> float | None:
        """Return when `step` has something to do."""
        return now if self.backlog else self._listen_at

    def want_write(self, peer: Peer, wanted: bool) -> None:
        if peer in self.peers:
            mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            if self._selector.get_key(peer.sock).events != mask:
                self._selector.modify(peer.sock, mask, peer.ready)

    def forget(self, peer: Peer) -> None:
        self.backlog.discard(peer)
        if peer in self.peers:
            self.peers.discard(peer)
            self._selector.unregister(peer.sock)

    def step(self) -> None:
        """Go on with what the last pass had no time or no room for."""
        for peer in list(self.backlog):
            peer.answer()
        if self._listen_at is not None and clock.monotonic() >= self._listen_at:
            self._listen_at = None
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            if not self._spare:
                with contextlib.suppress(OSError):
                    self._spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def shrink(self) -> None:
        """Descriptors are scarce: allow at most one more connection than now."""
        self._most = min(self._most, len(self.peers) + 1)

    @property
    def unsent(self) -> bool:
        return any(peer._outgoing for peer in self.peers)

    def close(self) -> None:
        """Stop listening, end every connection, and remove the socket's file."""
        for peer in list(self.peers):
            peer.on_closed = None
            peer.close()
        while self._spare:
            os.close(self._spare.pop())
        if self._listen_at is None:
            self._selector.unregister(self._listener)
        self._listen_at = None
        self._listener.close()
        paths.remove_socket(self.path)


def peers_at_most() -> int:
    """Return how many connections the limit of open files (`ulimit -n`) allows
    beside the session's own work."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return PEERS_MAX
    return max(PEERS_MIN, min(PEERS_MAX, files - RESERVED))


def peer_uid(sock: socket.socket) -> int | None:
    """Return the uid at the other end.

    None if the system can't say: then the directory's mode protects the socket.
    """
    if sys.platform == "linux":
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)
    return None

"""The control socket: JSON lines in, JSON lines out, and attached viewers (protocol.py).

A unix socket, 0600, in a 0700 directory; the peer's uid is checked. A peer that does not read is
dropped, never waited for.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from harnex import jsonl, paths, protocol
from harnex.errors import HarnexError

OUT_MAX = 32 << 20  # bytes that may wait for a peer
VIEWER_MAX = 1 << 20  # the same for a viewer, who gets a redraw instead of what was dropped

Handler = Callable[["Peer", dict[str, Any]], None]


class Peer:
    """One connection. `frames` is set once it is an attached viewer."""

    def __init__(self, control: Control, sock: socket.socket) -> None:
        self._control = control
        self.sock = sock
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self.frames: protocol.FrameReader | None = None
        self.on_frame: Callable[[bytes, bytes], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.read_only = False
        self.overflowed = False
        self._closing = False

    def reply(self, message: dict[str, Any]) -> None:
        self._send(jsonl.dumps(message).encode() + b"\n")

    def fail(self, error: HarnexError) -> None:
        self.reply({**error.reply(), "exit_code": error.exit_code})

    def show(self, kind: bytes, payload: bytes) -> None:
        """A frame to a viewer; one that lags too far behind gets a redraw later instead."""
        if self.overflowed:
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
            if self.overflowed:
                self.overflowed = False
                if self.on_drained is not None:
                    self.on_drained()
        self._control.want_write(self, bool(self._outgoing))

    def ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ and self.sock.fileno() >= 0:
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
        self._incoming += data
        if len(self._incoming) > protocol.LINE_MAX:
            self.close()
            return
        while b"\n" in data and self.frames is None and self.sock.fileno() >= 0:
            line, newline, rest = self._incoming.partition(b"\n")
            if not newline:
                return
            self._incoming = rest
            request = jsonl.loads_dict(bytes(line))
            if request is None:
                self.reply({"ok": False, "error": "the request is not a JSON object", "hint": "", "exit_code": 2})
                continue
            self._control.handle(self, request)
            data = bytes(rest)
        if self.frames is not None and self._incoming:
            rest_bytes = bytes(self._incoming)
            self._incoming.clear()
            self._read_frames(rest_bytes)

    def _read_frames(self, data: bytes) -> None:
        assert self.frames is not None
        try:
            for kind, payload in self.frames.feed(data):
                if self.on_frame is not None:
                    self.on_frame(kind, payload)
        except ValueError:
            self.close()


class Control:
    """Listens and hands requests to `handler`. Raises OSError if the socket can't be made."""

    def __init__(self, path: str, selector: selectors.BaseSelector, handler: Handler) -> None:
        self.path = path
        self._selector = selector
        self.handle = handler
        self.peers: set[Peer] = set()
        self._listener = self._listen()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        try:
            self._bind(listener)
        except FileNotFoundError:  # another session has just left the directory, and took it away
            os.mkdir(os.path.dirname(self.path), 0o700)
            self._bind(listener)
        listener.listen(128)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener

    def _bind(self, listener: socket.socket) -> None:
        old = os.umask(0o177)  # a socket takes its mode from nothing else
        try:
            listener.bind(self.path)
        finally:
            os.umask(old)

    def listen_again(self) -> bool:
        """Make the socket's file anew if it is gone; whether that was done. Who is connected stays so."""
        if os.path.lexists(self.path):
            return False
        with contextlib.suppress(OSError):
            new = self._listen()
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = new
            return True
        return False

    def _accept(self, mask: int) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if peer_uid(sock) not in (None, os.geteuid()):
                sock.close()
                continue
            sock.setblocking(False)
            peer = Peer(self, sock)
            self.peers.add(peer)
            self._selector.register(sock, selectors.EVENT_READ, peer.ready)

    def want_write(self, peer: Peer, wanted: bool) -> None:
        if peer in self.peers:
            mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            if self._selector.get_key(peer.sock).events != mask:
                self._selector.modify(peer.sock, mask, peer.ready)

    def forget(self, peer: Peer) -> None:
        if peer in self.peers:
            self.peers.discard(peer)
            self._selector.unregister(peer.sock)

    @property
    def unsent(self) -> bool:
        return any(peer._outgoing for peer in self.peers)

    def close(self) -> None:
        """Stop listening and end every connection; the socket's file goes away."""
        for peer in list(self.peers):
            peer.on_closed = None
            peer.close()
        self._selector.unregister(self._listener)
        self._listener.close()
        paths.remove_socket(self.path)


def peer_uid(sock: socket.socket) -> int | None:
    """The uid at the other end; None where the system can't tell (the directory's mode protects it then)."""
    if sys.platform == "linux":
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)
    return None

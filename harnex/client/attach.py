"""Attach to a session's terminal: a full redraw on entry, keys go to the agent, `Ctrl-\\ d`
detaches.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any

from harnex import errors, jsonl
from harnex.client.connect import connect
from harnex.errors import HarnexError, UsageError
from harnex.model import protocol

PREFIX = b"\x1c"  # Ctrl-\
HELP = "Ctrl-\\ d detaches, Ctrl-\\ Ctrl-\\ sends one to the agent"
# The bytes that bring the person's terminal back to normal, whatever the agent had switched on.
# Kitty's stack of key modes is emptied: agents push more than once, and so does each redraw; the
# alternate screen has a stack of its own. Modes in which a terminal writes by itself (9 to 2048,
# 9001) would type into the person's shell. An open hyperlink would include the text that follows.
LEAVE = (
    b"\x1b[?2026l\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1004l\x1b[?1l"
    b"\x1b[?9l\x1b[?1016l\x1b[?2031l\x1b[?2048l\x1b[?9001l\x1b[?5l\x1b[?69l\x0f\x1b]8;;\x07"
    b"\x1b[?6l\x1b[?7h\x1b[r\x1b>\x1b(B\x1b[4l\x1b[0 q\x1b[>4;0m\x1b[0m\x1b[?25h\x1b]0;\x07\x1b[<9u"
)
LEAVE_ALTERNATE = LEAVE + b"\x1b[?1049l\x1b[<9u"
LEAVE_MAIN = LEAVE + b"\x1b[999H\r\n"  # below what the agent has drawn


def size_of(fd: int) -> tuple[int, int]:
    """(columns, rows) of a terminal; (120, 40) for a terminal that does not know its size (0x0)."""
    try:
        rows, columns, _, _ = struct.unpack("4H", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))
    except OSError:
        rows = columns = 0
    return columns or 120, rows or 40


# A key in the form of the kitty protocol or of modifyOtherKeys, once an agent has switched one of
# them on in this terminal.
_CODED = re.compile(rb"\x1b\[(?:(\d+)[:\d]*(?:;(\d*)(?::(\d))?)?(?:;[:\d]*)?u|27;(\d+);(\d+)~)")
_LOCKS = 64 | 128  # caps lock and num lock are modifiers, too


class Keys:
    """Finds the detach key in what a person types, also if it is split over reads."""

    def __init__(self) -> None:
        self._armed = b""  # the bytes of the prefix, while the next key is awaited

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return the bytes for the agent, and whether to detach."""
        out = bytearray()
        at = 0
        while at < len(data):
            raw, key, released = self._key(data, at)
            at += len(raw)
            if released:
                out += raw
            elif self._armed:
                before, self._armed = self._armed, b""
                if key in (b"d", b"D", b"\x04"):
                    return bytes(out), True
                out += raw if key == PREFIX else before + raw
            elif key == PREFIX:
                self._armed = raw
            else:
                out += raw
        return bytes(out), False

    @staticmethod
    def _key(data: bytes, at: int) -> tuple[bytes, bytes, bool]:
        """The key that begins at `at`: its bytes, its old form, and whether it was released."""
        coded = _CODED.match(data, at) if data[at] == 0x1B else None
        if coded is None:
            return data[at : at + 1], data[at : at + 1], False
        code, modifiers = int(coded[1] or coded[5]), int(coded[2] or coded[4] or 1) - 1 & ~_LOCKS
        old = {(92, 4): PREFIX, (28, 4): PREFIX, (100, 0): b"d", (100, 1): b"D", (100, 4): b"\x04"}
        return coded[0], old.get((code, modifiers), b""), coded[3] == b"3"


@contextlib.contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """Set the terminal to raw mode, and back at the end."""
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSADRAIN)  # what was typed ahead is for the agent, too
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal is gone (its window was closed)
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def attach(record: dict[str, Any], read_only: bool = False) -> dict[str, Any]:
    """Show the session until the session ends or the person detaches.

    Returns `{"ended": result}` or `{"detached": True}`. Raises HarnexError, and UsageError without
    a terminal.
    """
    if not (os.isatty(0) and os.isatty(1)):
        raise UsageError("attach needs a terminal on its input and output", "without one: harnex pane, harnex logs")
    sock = connect(record)
    columns, rows = size_of(1)
    hello = {"op": "attach", "columns": columns, "rows": rows, "read_only": read_only}
    buffer = b""
    try:
        sock.sendall(jsonl.dumps(hello).encode() + b"\n")
        while b"\n" not in buffer:
            data = sock.recv(65536)
            if not data:
                raise HarnexError(f"session '{record['id']}' ended", "see: harnex history")
            buffer += data
    except OSError as e:
        raise HarnexError(
            f"session '{record['id']}' does not answer ({e.strerror or e})",
            "its supervisor may be stopped: see harnex doctor",
        ) from None
    line, _, rest = buffer.partition(b"\n")
    reply = jsonl.loads_dict(line) or {}
    if not reply.get("ok"):
        raise HarnexError(str(reply.get("error", "the session refused")), str(reply.get("hint", "")))
    sock.setblocking(False)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    old_wakeup = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    handlers = {n: signal.signal(n, lambda *_: None) for n in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP)}
    try:
        with raw_terminal(0):
            viewer = _Viewer(sock, wake_read, read_only)
            try:
                return viewer.run(rest)
            finally:
                with contextlib.suppress(OSError):
                    _write_all(LEAVE_ALTERNATE if viewer.alternate else LEAVE_MAIN)
    finally:
        signal.set_wakeup_fd(old_wakeup)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(wake_read)
        os.close(wake_write)
        sock.close()


_SWITCH = re.compile(rb"\x1b\[\?(?:47|1047|1049)([hl])")


class _Viewer:
    def __init__(self, sock: Any, wake: int, read_only: bool) -> None:
        self._sock = sock
        self._wake = wake
        self._read_only = read_only
        self._outgoing = bytearray()
        self._frames = protocol.FrameReader()
        self._keys = Keys()
        self.alternate = False  # this terminal shows its alternate screen

    def run(self, first: bytes) -> dict[str, Any]:
        """Show the session until it ends or the person detaches.

        `first` is output that was read already.
        """
        ended = self._take(first)
        if ended is not None:
            return ended
        while True:
            write = [self._sock] if self._outgoing else []
            readable, writable, _ = select.select([0, self._sock, self._wake], write, [])
            if self._wake in readable:
                numbers = os.read(self._wake, 64)
                if signal.SIGTERM in numbers or signal.SIGHUP in numbers:
                    return {"detached": True}
                columns, rows = size_of(1)
                self._queue(protocol.RESIZE, jsonl.dumps({"columns": columns, "rows": rows}).encode())
            if self._sock in readable:
                try:
                    data = self._sock.recv(1 << 18)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    return {"ended": None}
                ended = self._take(data)
                if ended is not None:
                    return ended
            if 0 in readable:
                try:
                    typed = os.read(0, 65536)
                except OSError:
                    typed = b""  # the terminal is gone
                data, leave = self._keys.feed(typed)
                if data and not self._read_only:
                    self._queue(protocol.INPUT, data)
                if leave or not typed:
                    return {"detached": True}
            if writable or self._outgoing:
                self._flush()

    def _queue(self, kind: bytes, payload: bytes) -> None:
        self._outgoing += protocol.frame(kind, payload)

    def _flush(self) -> None:
        try:
            n = self._sock.send(self._outgoing)
            del self._outgoing[:n]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()

    def _take(self, data: bytes) -> dict[str, Any] | None:
        for kind, payload in self._frames.feed(data):
            if kind == protocol.OUTPUT:
                try:
                    _write_all(payload)
                except OSError:
                    return {"detached": True}  # the terminal is gone
                switched = _SWITCH.findall(payload)
                if switched:
                    self.alternate = switched[-1] == b"h"
            elif kind == protocol.ENDED:
                return {"ended": jsonl.loads_dict(payload)}
        return None


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except BlockingIOError:
            select.select([], [1], [])


def outcome_code(result: dict[str, Any] | None) -> int:
    """The exit code for a session that ended while a person was attached."""
    if result is None:
        return errors.FAILED
    return int(result.get("exit_code", errors.FAILED))


def say(words: str) -> None:
    """Print a line on stderr."""
    with contextlib.suppress(OSError):  # nobody reads it: the terminal is gone
        print(words, file=sys.stderr, flush=True)

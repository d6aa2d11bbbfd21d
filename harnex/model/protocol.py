"""The control channel's messages, once. Light: on the hot path.

A request is one JSON line over the session's unix socket, and the reply is one JSON line. Several
requests may follow each other on one connection. `attach` turns the connection into frames.

    {"op": "status"}                                            -> the session record, {"ok": true, ...}
    {"op": "send", "text": str|null, "submit": bool, "force": bool, "from": {...}|null,
     "until": "queued"|"done"|"idle", "timeout": s|null}        -> {"ok", "id", "message_id", "status", ...}
    {"op": "wait", "until": str, "timeout": s|null}             -> {"ok", "id", "run_id", "state", "turn", ...}
    {"op": "stop", "force": bool}                               -> {"ok", "id", "run_id", "reason", "code"}
    {"op": "interrupt"}                                         -> {"ok": bool}
    {"op": "pane", "format": "text"|"ansi"|"svg"}               -> {"ok", "lines"|"data", "cursor", ...}
    {"op": "answer", "verb": "approve"|"deny", "dialog": str|null, "since": str|null, "option": n|null,
     "text": str|null, "by": str}
                                                                -> {"ok", "id", "dialog", "answer"}
    {"op": "watch", "policy": {...}|null}                       -> {"ok", "watch": phase|null, "waiting", "policy"}
    {"op": "tmux", "window": str}                               -> {"ok": true}: remembers where it is shown
    {"op": "attach", "columns": n, "rows": n, "read_only": bool} -> {"ok": true}, then frames both ways

The reply to a request that failed is `{"ok": false, "error": str, "hint": str, "exit_code": n}`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OPS = ("status", "send", "wait", "stop", "interrupt", "pane", "answer", "watch", "tmux", "attach")
# Bytes of a request. A message of MESSAGE_MAX bytes grows at most 6 times when escaped as JSON.
LINE_MAX = 64 << 20
MESSAGE_MAX = 8 << 20  # bytes of a message, in UTF-8

# Frames of an attached connection: one type byte, the payload's length (4 bytes,
# big-endian), the payload.
OUTPUT, INPUT, RESIZE, ENDED, DETACH = b"o", b"i", b"w", b"x", b"d"
FRAME_MAX = 16 << 20


def too_long(text: str) -> str:
    """Return why a message is too long, with the limit; "" if it is not."""
    if len(text) <= MESSAGE_MAX // 4:
        return ""
    size = len(text.encode("utf-8", "surrogatepass"))
    return f"the message is too long: {size:,} bytes; at most {MESSAGE_MAX:,} (8 MiB)" if size > MESSAGE_MAX else ""


TOO_LONG_HINT = "put the text into a file, and name the file in the message"


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


class FrameReader:
    """Cuts a byte stream into frames, wherever it was split."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the frames that are whole now: (type byte, payload). Lazy: iterate to the end.

        Raises ValueError on an oversized frame.
        """
        self._buffer += data
        while len(self._buffer) >= 5:
            size = int.from_bytes(self._buffer[1:5], "big")
            if size > FRAME_MAX:
                raise ValueError(f"a frame of {size} bytes")
            if len(self._buffer) < 5 + size:
                return
            kind, payload = bytes(self._buffer[:1]), bytes(self._buffer[5 : 5 + size])
            del self._buffer[: 5 + size]
            yield kind, payload

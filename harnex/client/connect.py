"""One request to a session's supervisor.

Light: on the hot path, so it uses the C socket module itself.
"""

from __future__ import annotations

import _socket

from harnex import errors, jsonl
from harnex.errors import HarnexError, UsageError
from harnex.model import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Seconds to wait for a reply that needs no waiting; a supervisor that is stopped (SIGSTOP) never
# replies.
PATIENCE_S = 20.0


def connect(record: dict[str, Any], timeout: float | None = PATIENCE_S) -> _socket.socket:
    """A connection to the supervisor of this record. Raises HarnexError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(str(record.get("socket")))
    except OSError as e:
        sock.close()
        raise HarnexError(
            f"session '{record['id']}' does not answer ({e.strerror or e})",
            "it may be starting or ending: try again; see: harnex status, harnex doctor",
            id=record["id"],
            run_id=record.get("run_id"),
        ) from None
    return sock


def request(record: dict[str, Any], message: dict[str, Any], timeout: float | None = PATIENCE_S) -> dict[str, Any]:
    """Send one request and return its one-line reply.

    `timeout` is seconds; None waits for ever. Raises HarnexError.
    """
    line = jsonl.dumps(message).encode() + b"\n"
    if len(line) > protocol.LINE_MAX:  # the session would hang up in the middle of the request
        raise UsageError(
            f"session '{record['id']}': the request is too long: {len(line):,} bytes as JSON; at most {protocol.LINE_MAX:,}",
            protocol.TOO_LONG_HINT,
        )
    sock = connect(record, timeout)
    try:
        sock.sendall(line)
        parts = []
        while True:
            data = sock.recv(1 << 16)
            if not data:
                break
            parts.append(data)
            if data.endswith(b"\n"):
                break
    except TimeoutError:
        raise HarnexError(
            f"session '{record['id']}' did not answer within {timeout:.0f} s",
            "its supervisor may be stopped: see harnex doctor",
            errors.TIMEOUT,
            id=record["id"],
            run_id=record.get("run_id"),
        ) from None
    except OSError as e:
        raise HarnexError(
            f"the connection to session '{record['id']}' broke ({e.strerror or e})",
            "see: harnex history",
            id=record["id"],
        ) from None
    finally:
        sock.close()
    reply = jsonl.loads_dict(b"".join(parts))
    if reply is None:
        raise HarnexError(
            f"session '{record['id']}' ended without an answer: its supervisor was lost",
            "see: harnex history",
            id=record["id"],
            run_id=record.get("run_id"),
        )
    return reply

"""Requests of clients over the control socket: each goes to the part that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harnex import errors
from harnex.errors import HarnexError, UsageError
from harnex.launch.spec import Spec
from harnex.model.records import Json
from harnex.supervisor import reserve
from harnex.supervisor.control import Peer

Op = Callable[[Peer, Json], None]


class Requests:
    """Dispatches requests by their `op`."""

    def __init__(
        self,
        spec: Spec,
        ops: Mapping[str, Op],
        is_full: Callable[[], bool],
        diagnose: Callable[[str], None],
    ) -> None:
        """`is_full` says whether no further connection may be held for long."""
        self._spec, self._ops, self._is_full, self._diagnose = spec, ops, is_full, diagnose

    def handle(self, peer: Peer, request: Json) -> None:
        """Answer one request. A bad request gets an error, and has no other effect."""
        op = request.get("op")
        answer = self._ops.get(op) if isinstance(op, str) else None
        try:
            if answer is None:
                raise UsageError(f"unknown request '{op}'", "is the client older or newer than this session?")
            if _stays(request) and self._is_full():
                raise HarnexError(
                    f"session {self._spec.id} has too many connections that wait or look on",
                    "end some of them (harnex wait, send, attach), or start it with a higher limit of open files (ulimit -n)",
                )
            answer(peer, request)
        except HarnexError as e:
            peer.fail(e)
        except Exception as e:  # a bug that one request triggers must not end the session
            if reserve.is_lack(e):
                peer.fail(HarnexError(reserve.words(e), "the session ends; see: harnex history", **self._spec.names()))
                raise
            self._diagnose(f"harnex failed at a request '{op}': {type(e).__name__}: {e}")
            peer.fail(HarnexError(f"a bug in harnex: {type(e).__name__}: {e}", "please report it", errors.BUG))


def _stays(request: Json) -> bool:
    """Whether the connection of this request may be held for long."""
    return request.get("op") in ("wait", "attach", "answer") or (
        request.get("op") == "send" and request.get("until") != "queued"
    )

"""The billing log: what was asked and what it cost, one JSON line each.

The ground truth for the metrics. Records are written whole, as things happen: `{"event":
"request"}` when a request has been read, `{"event": "call"}` when its answer ended, however it
ended. `call` is the same number in both.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from harnex import times
from harnex.rehearsal.endpoint.wire import Call

HEAD = 200  # characters of a prompt that the log repeats
PROMPTS = 200  # prompts of a conversation that a record lists, the newest ones


class BillingLog:
    """Appends records to a file (mode 0600); with `path` None nothing is written.

    Raises OSError if it can't be opened.
    """

    def __init__(self, path: str | None, bodies: str | None = None) -> None:
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else -1
        self._unwritten = bytearray()
        self._bodies = bodies
        if bodies:
            os.makedirs(bodies, mode=0o700, exist_ok=True)

    def row(self, event: str, **fields: Any) -> None:
        now = time.time()
        line = (
            json.dumps({"event": event, "ts": times.iso(now), "t": round(now, 4), **fields}, ensure_ascii=False) + "\n"
        )
        with self._lock:
            if self._fd >= 0:
                self._unwritten += line.encode("utf-8", "replace")
                try:
                    while self._unwritten:
                        del self._unwritten[: os.write(self._fd, self._unwritten)]
                except OSError as e:
                    if e.errno != errno.ENOSPC:
                        raise
                    # A full disk: the rest is written with a later record.

    def body(self, number: int, raw: bytes) -> None:
        """Keep a request's whole body as `<number>.json`."""
        if self._bodies:
            with open(os.path.join(self._bodies, f"{number:06d}.json"), "wb") as f:
                f.write(raw)

    def close(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def prompt_fields(call: Call) -> dict[str, Any]:
    """The prompts that arrived: the newest, and all of the conversation.

    They show that a prompt arrived whole, and once.
    """
    newest = call.texts[-1] if call.texts else ""
    return {
        "prompt_chars": len(newest),
        "prompt_sha256": _sha(newest),
        "prompt_head": newest[:HEAD],
        "prompts": [{"chars": len(t), "sha256": _sha(t)} for t in call.texts[-PROMPTS:]],
    }


def key_fields(headers: Mapping[str, str]) -> dict[str, Any]:
    """Which credential came, without the credential itself.

    `auth` is how it was sent (`x-api-key`, `bearer`), `key_sha256` its SHA-256; both are None if
    none came.
    """
    key, how = headers.get("x-api-key", ""), "x-api-key"
    if not key:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        how = scheme.lower()
    return {"auth": how if key else None, "key_sha256": _sha(key.strip()) if key else None}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""The registry's lock: one process at a time takes an id, or ends a dead run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from harnex import clock, paths
from harnex.errors import HarnexError

# Seconds to wait for the lock: a recovery of many runs takes this long if their agents are slow to
# end.
LOCK_PATIENCE_S = 60.0


@contextlib.contextmanager
def registry_lock(state: str, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """Hold the registry's lock: one process at a time takes an id or ends a dead run.

    Raises HarnexError if another process holds the lock for `patience_s` seconds.
    """
    path = os.path.join(paths.subdir(state, "sessions"), ".lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = clock.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock.monotonic() >= until:
                    raise HarnexError(
                        f"another harnex command has been at work on the registry for {patience_s:.0f} s",
                        f"it may be stopped (Ctrl-Z, SIGSTOP): look with fuser -v '{path}', and end it",
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)

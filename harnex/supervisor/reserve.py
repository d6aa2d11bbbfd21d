"""Descriptors that are kept for the end of a session: without any, its processes
could not even be looked for."""

from __future__ import annotations

import errno
import os

KEPT = 8  # git needs six for a moment


class Reserve:
    """Open descriptors that serve only to be closed. Raises OSError if there are too few."""

    def __init__(self) -> None:
        self._kept: list[int] = []
        for _ in range(KEPT):
            self._kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def release(self) -> bool:
        """Close the kept descriptors, for good. Returns False if that was done before."""
        kept, self._kept = self._kept, []
        for fd in kept:
            os.close(fd)
        return bool(kept)


def is_lack(error: BaseException) -> bool:
    """Whether the error is a lack of descriptors (too many open files)."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def words(error: BaseException) -> str:
    """Return what happened, and what to do about it."""
    lack = error.strerror if isinstance(error, OSError) else str(error)
    return f"harnex could not go on: {lack}. Start it with a higher limit (ulimit -n)"

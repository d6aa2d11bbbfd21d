"""The file hook: when a file changes, the agent is told to read it. harnex
does not look at the content.

    file-change-hook: read ./tmp/tick.jsonl

As in the Ruby harnex, the message follows after a second of quiet, the file need not exist yet, and
editors that rename over the file count. watchdog's observer is a thread that only writes a byte
into a pipe, which the loop reads. If the system has no inotify instance left (a user has 128), the
file is checked every second instead.
"""

from __future__ import annotations

import contextlib
import os
import selectors
from collections.abc import Callable
from typing import Any

QUIET_S = 1.0  # how long the file must be unchanged before the agent is told
POLL_S = 1.0  # how often the file is checked without an observer


class FileHook:
    """Watches one file. `changed` is called from the loop, once for a burst of changes.

    Raises OSError.
    """

    def __init__(self, path: str, selector: selectors.BaseSelector, changed: Callable[[], None], now: float) -> None:
        self.path = path
        self._changed, self._selector = changed, selector
        self._due: float | None = None
        self._observer: Any = None
        # The file as it was last reported, and as the poll last saw it.
        self._stamp = self._seen = stamp(path)
        self._next_poll: float | None = None
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        selector.register(self._reader, selectors.EVENT_READ, self._woken)
        try:
            self._observe()
        # An observer that can't work raises OSError, ImportError or its own error.
        except Exception:
            self._observer = None
            self._next_poll = now + POLL_S

    def _observe(self) -> None:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler
        from watchdog.observers import Observer

        wanted, writer = os.fsencode(self.path), self._writer

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if event.event_type in ("opened", "closed_no_write") or event.is_directory:
                    return
                if wanted in (os.fsencode(event.src_path), os.fsencode(getattr(event, "dest_path", "") or "")):
                    with contextlib.suppress(OSError):
                        os.write(writer, b"x")

        observer = Observer()
        observer.schedule(Handler(), os.path.dirname(self.path), recursive=False)
        observer.daemon = True
        observer.start()
        self._observer = observer

    def _woken(self, mask: int) -> None:
        from harnex import clock

        with contextlib.suppress(OSError):
            os.read(self._reader, 512)
        self._due = clock.monotonic() + QUIET_S

    def wake_at(self) -> float | None:
        return min((t for t in (self._due, self._next_poll) if t is not None), default=None)

    def step(self, now: float) -> None:
        if self._next_poll is not None and now >= self._next_poll:
            self._next_poll = now + POLL_S
            found = stamp(self.path)
            if found != self._seen:
                self._seen = found
                self._due = now + QUIET_S
        if self._due is None or now < self._due:
            return
        self._due = None
        found, before = stamp(self.path), self._stamp
        self._stamp = found
        # A file that is gone is no change; it may come back.
        if found is not None and found != before:
            self._changed()

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
        if self._reader in self._selector.get_map():
            self._selector.unregister(self._reader)
            os.close(self._reader)
            os.close(self._writer)


def stamp(path: str) -> tuple[int, ...] | None:
    """Return a value that changes when the file does; None if the file is missing."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns

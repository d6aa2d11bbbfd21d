"""The loop of a supervisor: one selector, and signals that wake it."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable

from harnex import clock


class Loop:
    """What the supervisor waits for. Handlers are called with the selector's mask."""

    def __init__(self) -> None:
        self.selector: selectors.BaseSelector = selectors.DefaultSelector()

    def add(self, fd: int, heard: Callable[[int], None]) -> None:
        """Call `heard` when `fd` can be read."""
        self.selector.register(fd, selectors.EVENT_READ, heard)

    def remove(self, fd: int) -> None:
        """Stop waiting for `fd`, if it was waited for."""
        if fd in self.selector.get_map():
            self.selector.unregister(fd)

    def want_write(self, fd: int, wanted: bool) -> None:
        """Wait until `fd` takes more, too, or stop that.

        Ignored for an `fd` that is not waited for.
        """
        if fd in self.selector.get_map():
            mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            key = self.selector.get_key(fd)
            if key.events != mask:
                self.selector.modify(fd, mask, key.data)

    def on_signals(self, end: Callable[[], None], child_changed: Callable[[], None]) -> None:
        """Let signals wake the loop through a pipe.

        `end` is called for signals that end the session, `child_changed` for SIGCHLD. Both must
        only note what is to be done.
        """
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: end())
        signal.signal(signal.SIGCHLD, lambda *_: child_changed())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

        def woken(mask: int) -> None:
            os.read(reader, 512)

        self.add(reader, woken)

    def wait(self, until: float | None) -> None:
        """Wait until something happens or `until` (monotonic; None: for
        ever), then call the handlers."""
        timeout = None if until is None else max(0.0, until - clock.monotonic())
        for key, mask in self.selector.select(timeout):
            if key.fd in self.selector.get_map():  # an earlier handler may have closed it
                key.data(mask)

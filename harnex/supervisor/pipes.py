"""The agent's process on pipes, for headless runs, with the same small interface as `child.Child`.

Its prompt is a file that is unlinked before it is written: it has no name, nobody else can
read it, it may have any size, and writing it can't block. Standard output and standard error
come by pipes of their own.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping

from harnex import process
from harnex.errors import HarnexError
from harnex.supervisor.child import READ_MAX, restore_signals
from harnex.supervisor.processes import Polled

# Bytes of standard error in one pass of the loop: each line is looked at.
ERRORS_MAX = 16 << 10


class PipeChild:
    """One agent process without a terminal.

    Raises HarnexError, with the real cause, if the process can't be started.
    """

    def __init__(self, argv: tuple[str, ...], env: Mapping[str, str], cwd: str, stdin: str) -> None:
        if not os.path.isdir(cwd):
            raise HarnexError(f"the working directory {cwd} is not there", "give another one with --cwd")
        with tempfile.TemporaryFile() as given:
            given.write(stdin.encode("utf-8", "replace"))
            given.seek(0)
            try:
                streams = (given, subprocess.PIPE, subprocess.PIPE)
                # Safe, as the supervisor has one thread.
                self._process = Polled(argv, streams, env, cwd, restore_signals)
            except (OSError, ValueError) as e:
                why = os.strerror(e.errno) if isinstance(e, OSError) and e.errno else str(e)
                raise HarnexError(f"can't start {argv[0]}: {why}", "check the command and its path") from None
        assert self._process.stdout is not None and self._process.stderr is not None
        self.pid: int = self._process.pid
        self.fd: int = self._process.stdout.fileno()
        self.error_fd: int = self._process.stderr.fileno()
        self.started = process.start_time(self.pid)
        for fd in (self.fd, self.error_fd):
            os.set_blocking(fd, False)
        self._open = {self.fd, self.error_fd}
        self.waiting = 0  # nothing ever waits for the standard input
        self.size = (0, 0)
        self.code: int | None = None
        self.signal: int | None = None

    echoes = False  # there is no terminal

    @property
    def all_fds(self) -> tuple[int, ...]:
        """The descriptors of the child's pipes, open or not."""
        return (self.fd, self.error_fd)

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that the child may still write to."""
        return tuple(self._open)

    @property
    def at_eof(self) -> bool:
        return not self._open

    def read(self) -> bytes:
        """Return what came on standard output; `read_errors` returns standard error."""
        return self._read(self.fd, READ_MAX)

    def read_errors(self) -> bytes:
        return self._read(self.error_fd, ERRORS_MAX)

    def _read(self, fd: int, most: int) -> bytes:
        parts: list[bytes] = []
        total = 0
        while fd in self._open and total < most:
            try:
                data = os.read(fd, min(most, 65536))
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._open.discard(fd)
                break
            parts.append(data)
            total += len(data)
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Ignored: there is no terminal, so keys go nowhere."""

    def flush(self) -> None:
        """Ignored: nothing waits."""

    def resize(self, columns: int, rows: int) -> None:
        """Ignored: there is no terminal."""

    def reap(self) -> bool:
        """Return whether the child has ended. Sets `code` or `signal` then. Never blocks."""
        if self.code is not None or self.signal is not None:
            return True
        status = self._process.code()
        if status is None:
            return False
        if status < 0:
            self.signal = -status
        else:
            self.code = status
        return True

    def kill(self, signum: int) -> None:
        """Signal the child's process group, or the child alone if it has no group of its own."""
        try:
            os.killpg(self.pid, signum)
        except OSError:
            process.send_signal(self.pid, signum)

    def close(self) -> None:
        """Close the pipes. A process that still writes to them gets SIGPIPE."""
        self._open.clear()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self.code is None and self.signal is None:
            self._process.hang_up()

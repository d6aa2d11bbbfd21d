"""Commands that run beside a session: checks and notifications. They never block the loop.

Standard output and error go to a file, because a pipe that nobody empties would stop the command.
SIGCHLD wakes the loop. Checks end with the session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harnex.supervisor.processes import Polled

HEAD_BYTES, TAIL_BYTES = 1500, 3500  # how much of an output is passed on
KILL_AFTER_S = 2.0  # how long a command has between TERM and KILL
STDIN_MAX = 60 << 10  # a message of this size fits into a pipe as a whole


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a command.

    `code` is 128 + N for signal N, None if the command took too long and was ended.
    """

    code: int | None
    took: float
    output: str

    @property
    def ok(self) -> bool:
        return self.code == 0


class Job:
    """One shell command in a session (and process group) of its own.

    Raises OSError if there is no shell.
    """

    def __init__(
        self, command: str | list[str], cwd: str, env: Mapping[str, str], log: str, timeout: float, now: float,
        stdin: bytes | None = None, done: Callable[[Ended], None] | None = None,
    ) -> None:  # fmt: skip
        self._begun, self._done = now, done
        self._deadline = now + timeout
        self._killed = self._termed = False
        # A notification may outlive its session; a check has no meaning without it.
        self.outlives = stdin is not None
        out = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        if self.outlives:
            os.unlink(log)  # after the session nobody could search the file for secrets
        self._output = os.dup(out)
        try:
            argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
            given = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
            self._process = Polled(argv, (given, out, out), env, cwd)
        except OSError:
            os.close(self._output)
            raise
        finally:
            os.close(out)
        if stdin is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                os.set_blocking(self._process.stdin.fileno(), False)
                os.write(self._process.stdin.fileno(), stdin[:STDIN_MAX])
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def wake_at(self) -> float:
        return self._deadline

    def step(self, now: float) -> bool:
        """Return True once the command has ended and `done` was called."""
        code = self._process.code()
        if code is None:
            if now >= self._deadline:
                self._process.signal(signal.SIGKILL if self._termed else signal.SIGTERM)
                self._killed = self._termed = True
                self._deadline = now + KILL_AFTER_S
            return False
        self._process.signal(signal.SIGKILL)  # ends what the command left in its group
        if self._done is not None:
            status = None if self._killed else code if code >= 0 else 128 - code
            self._done(Ended(status, now - self._begun, excerpt(self._output)))
        os.close(self._output)
        return True

    def end(self) -> None:
        """The session has ended: nobody waits for the command any more."""
        if not self.outlives:
            self._process.end()
            os.close(self._output)


def excerpt(fd: int) -> str:
    """Return the head and the tail of a text file, in whole lines where possible."""
    try:
        size = os.fstat(fd).st_size
        if size <= HEAD_BYTES + TAIL_BYTES:
            return os.pread(fd, size, 0).decode("utf-8", "replace").strip("\n")
        head, tail = os.pread(fd, HEAD_BYTES, 0), os.pread(fd, TAIL_BYTES, size - TAIL_BYTES)
    except OSError:
        return ""
    head = head[: head.rfind(b"\n") + 1] or head
    tail = tail[tail.find(b"\n") + 1 :] or tail
    left = size - len(head) - len(tail)
    return f"{head.decode('utf-8', 'replace')}[… {left:,} bytes left out …]\n{tail.decode('utf-8', 'replace')}".strip(
        "\n"
    )

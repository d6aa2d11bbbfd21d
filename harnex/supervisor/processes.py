"""Child processes of the supervisor: started here, polled by the code that needs their end,
never waited for by the loop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from harnex.supervisor.offspring import mine

# A descriptor, `subprocess.PIPE` or `subprocess.DEVNULL`, or an open file.
Stream = int | IO[bytes]
# How long to wait for a killed process to be reaped.
END_S = 1.0


class Polled:
    """One child, in a session and process group of its own. Raises OSError or
    ValueError if it can't be started.

    SIGCHLD wakes the loop when the child ends. `mine` keeps its exit status from the
    supervisor's reaping of orphans.
    """

    def __init__(
        self,
        argv: Sequence[str],
        streams: tuple[Stream, Stream, Stream],
        env: Mapping[str, str],
        cwd: str | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """`streams` are standard input, output and error.

        `before` runs in the child, before the program.
        """
        stdin, stdout, stderr = streams
        self._process = mine(
            subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=before,
                bufsize=0,
            )
        )
        self.pid = self._process.pid
        self.stdin, self.stdout, self.stderr = self._process.stdin, self._process.stdout, self._process.stderr

    def code(self) -> int | None:
        """Return the exit code, negative for a signal; None while the child lives. Never blocks."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Signal the process group; after the child's end, what it left there."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, number)

    def hang_up(self) -> None:
        """Send SIGHUP to the child alone: nobody is there any more."""
        self._process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """Kill the process group and reap the child. That is soon, since nothing survives KILL."""
        self.signal(signal.SIGKILL)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(END_S)

"""The agent's process on its PTY: pexpect spawns, sizes and reaps it.

Reads and writes never block.
"""

from __future__ import annotations

import errno
import os
import signal
import termios
from collections import deque
from collections.abc import Mapping

import pexpect

from harnex import process
from harnex.errors import HarnexError
from harnex.model import protocol
from harnex.supervisor import offspring

READ_MAX = 256 << 10  # bytes that one pass of the loop takes from the PTY
WRITE_CHUNK = 16 << 10
# Bytes that may wait for a child that has stopped reading its terminal. The longest
# message fits: the characters that guard its lines (`agents/common/message_text.py`) add
# half of its length at most.
INPUT_MAX = 2 * protocol.MESSAGE_MAX


class Child:
    """One agent process. Raises HarnexError, with the real cause, if the
    process can't be started."""

    def __init__(self, argv: tuple[str, ...], env: Mapping[str, str], cwd: str, columns: int, rows: int) -> None:
        if not os.path.isdir(cwd):
            raise HarnexError(f"the working directory {cwd} is not there", "give another one with --cwd")
        try:
            self._pty = pexpect.spawn(
                argv[0] if len(argv) > 1 else _one_word(argv[0]),
                list(argv[1:]),
                env=dict(env),
                cwd=cwd,
                dimensions=(rows, columns),
                timeout=None,
                echo=True,
                # A background job of a script ignores SIGINT, which shells can't undo.
                preexec_fn=restore_signals,
            )
        except (pexpect.ExceptionPexpect, OSError, ValueError) as e:
            raise HarnexError(f"can't start {argv[0]}: {_cause(e)}", "check the command and its path") from None
        self._pty.delayafterclose = 0.0
        self._pty.delayafterterminate = 0.0
        assert self._pty.pid is not None
        self.pid: int = self._pty.pid
        self.fd: int = self._pty.child_fd
        self.started = process.start_time(self.pid)
        os.set_blocking(self.fd, False)
        self._outgoing: deque[bytes] = deque()
        self.waiting = 0  # bytes that the child's terminal has not taken yet
        self.size = (columns, rows)
        self.code: int | None = None
        self.signal: int | None = None
        self.at_eof = False
        offspring.expect(self.pid, lambda: self.code is None and self.signal is None)

    @property
    def echoes(self) -> bool:
        """Whether the terminal itself reads lines and echoes them.

        A program with an input box does not read its keys then. Codex 0.169 leaves its terminal so
        for up to a second at Ctrl-Z, and keys that are typed meanwhile are lost.
        """
        try:
            return bool(termios.tcgetattr(self.fd)[3] & termios.ICANON)
        except (termios.error, OSError, ValueError):
            return False

    @property
    def all_fds(self) -> tuple[int, ...]:
        """The descriptor of the child's terminal, open or not."""
        return (self.fd,)

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that the child may still write to."""
        return () if self.at_eof else (self.fd,)

    def read(self) -> bytes:
        """Return what the child wrote, up to READ_MAX bytes.

        Sets `at_eof` when nothing can follow.
        """
        parts: list[bytes] = []
        total = 0
        while total < READ_MAX:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                break
            except OSError as e:
                self.at_eof = e.errno == errno.EIO or self.at_eof
                break
            if not data:
                self.at_eof = True
                break
            parts.append(data)
            total += len(data)
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Queue bytes for the child's terminal, in order; `flush` sends what the terminal takes.

        Raises HarnexError, and queues nothing, if more than INPUT_MAX bytes would wait.
        """
        if not data or self.at_eof:
            return
        if self.waiting + len(data) > INPUT_MAX:
            raise HarnexError(
                f"the agent has stopped reading its terminal ({self.waiting} bytes wait)",
                "look with: harnex pane; end it with: harnex stop --force",
            )
        for at in range(0, len(data), WRITE_CHUNK):
            self._outgoing.append(data[at : at + WRITE_CHUNK])
        self.waiting += len(data)
        self.flush()

    def flush(self) -> None:
        """Write what the terminal takes now.

        The rest waits until the loop sees the terminal writable.
        """
        while self._outgoing:
            data = self._outgoing[0]
            try:
                n = os.write(self.fd, data)
            except BlockingIOError:
                return
            except OSError:
                self._outgoing.clear()
                self.waiting = 0
                return
            self.waiting -= n
            if n < len(data):
                self._outgoing[0] = data[n:]
                return
            self._outgoing.popleft()

    def resize(self, columns: int, rows: int) -> None:
        if (columns, rows) != self.size and not self.at_eof:
            self.size = (columns, rows)
            try:
                self._pty.setwinsize(rows, columns)
            except OSError:
                pass

    def reap(self) -> bool:
        """Return whether the child has ended. Sets `code` or `signal` then. Never blocks."""
        if self.code is not None or self.signal is not None:
            return True
        try:
            if self._pty.isalive():
                return False
        except pexpect.ExceptionPexpect:
            pass  # the child was reaped elsewhere, so its status is unknown
        self.code = self._pty.exitstatus
        self.signal = self._pty.signalstatus
        if self.code is None and self.signal is None:
            self.code = 255
        return True

    def kill(self, signum: int) -> None:
        """Signal the child's process group, or the child alone if it has no group of its own."""
        try:
            os.killpg(self.pid, signum)
        except OSError:
            process.send_signal(self.pid, signum)

    def close(self) -> None:
        """Hang up the terminal. A child that still lives gets SIGHUP."""
        self.at_eof = True
        self._outgoing.clear()
        try:
            self._pty.close(force=False)
        except (pexpect.ExceptionPexpect, OSError):
            pass


def _one_word(program: str) -> str:
    """Escape a command's spaces and quotes: pexpect splits a command
    without arguments there (4.9)."""
    return "".join(f"\\{c}" if c.isspace() or c in "\\'\"" else c for c in program)


def _cause(error: Exception) -> str:
    text = str(error).strip().splitlines()
    line = text[0] if text else type(error).__name__
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if "not found or was not executable" in line:
        return "not found, or not executable"
    return line


def restore_signals() -> None:
    """Reset signals to their defaults: a program must not inherit what harnex ignores."""
    for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGPIPE", "SIGQUIT", "SIGTSTP", "SIGCHLD"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)

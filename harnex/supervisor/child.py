"""The agent's process on its PTY: pexpect spawns, sizes and reaps it; reads and writes never block."""

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

READ_MAX = 256 << 10  # bytes taken from the PTY in one turn of the loop
WRITE_CHUNK = 16 << 10
# Bytes that may wait for a child that has stopped reading its terminal. The longest message fits: what guards its lines
# (`agents/common/message_text.py`) adds half of it at most.
INPUT_MAX = 2 * protocol.MESSAGE_MAX


class Child:
    """One agent process. Raises HarnexError, with the real cause, if it can't be started."""

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
                preexec_fn=restore_signals,  # a job in the background of a script ignores SIGINT, which shells can't undo
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
        self.waiting = 0  # bytes not yet taken by the child's terminal
        self.size = (columns, rows)
        self.code: int | None = None
        self.signal: int | None = None
        self.at_eof = False
        offspring.expect(self.pid, lambda: self.code is None and self.signal is None)

    @property
    def echoes(self) -> bool:
        """Whether the terminal itself takes lines and echoes them: a program with an input box does not read its keys now.

        Codex 0.169 leaves its terminal so for up to a second at Ctrl-Z, and what is typed then is lost.
        """
        try:
            return bool(termios.tcgetattr(self.fd)[3] & termios.ICANON)
        except (termios.error, OSError, ValueError):
            return False

    @property
    def all_fds(self) -> tuple[int, ...]:
        """Its terminal, open or not."""
        return (self.fd,)

    @property
    def fds(self) -> tuple[int, ...]:
        """What it may still write to."""
        return () if self.at_eof else (self.fd,)

    def read(self) -> bytes:
        """What the child wrote, up to READ_MAX bytes; sets `at_eof` when nothing can follow."""
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
        """Queue bytes for the child's terminal, in order; `flush` sends what it takes."""
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
        """Write what the terminal takes now; the rest waits for the loop to see it writable."""
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
        """Whether the child has ended; sets `code` or `signal`. Never blocks."""
        if self.code is not None or self.signal is not None:
            return True
        try:
            if self._pty.isalive():
                return False
        except pexpect.ExceptionPexpect:
            pass  # somebody else reaped it: there is no status to be had
        self.code = self._pty.exitstatus
        self.signal = self._pty.signalstatus
        if self.code is None and self.signal is None:
            self.code = 255
        return True

    def kill(self, signum: int) -> None:
        """Signal the child's process group, or the child alone if it has none of its own."""
        try:
            os.killpg(self.pid, signum)
        except OSError:
            process.send_signal(self.pid, signum)

    def close(self) -> None:
        """Hang up the terminal. The child gets SIGHUP if it still lives."""
        self.at_eof = True
        self._outgoing.clear()
        try:
            self._pty.close(force=False)
        except (pexpect.ExceptionPexpect, OSError):
            pass


def _one_word(program: str) -> str:
    """pexpect splits a command without arguments at spaces and quotes (4.9). Each of these is escaped here."""
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
    """Signals as a program expects them: what harnex ignores must not be inherited."""
    for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGPIPE", "SIGQUIT", "SIGTSTP", "SIGCHLD"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)

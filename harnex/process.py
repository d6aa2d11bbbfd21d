"""The identity of a process: its pid and its start time, because pids are used again.

Light: on the hot path.
"""

from __future__ import annotations

import os
import sys

_boot: str | None = None


def boot_id() -> str:
    """The boot of the machine (Linux; "" elsewhere).

    Start times are counted from the boot: after a reboot, a pid and its start time can both be
    those of a dead process.
    """
    global _boot
    if _boot is None:
        try:
            with open("/proc/sys/kernel/random/boot_id") as f:
                _boot = f.read(8)
        except OSError:
            _boot = ""
    return _boot


def start_time(pid: int) -> str | None:
    """When `pid` started, as an opaque word that no other process with this pid shares; None if it
    does not live.

    A zombie does not live: its parent has only not reaped it yet.
    """
    if pid <= 0:
        return None
    if sys.platform == "linux":
        return parent_and_start(pid)[1]
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def parent_and_start(pid: int) -> tuple[int, str | None]:
    """(the parent of `pid`, its `start_time`) in one look (Linux).

    The parent is 0 if there is no such process.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rpartition(b")")[2].split()  # the name in brackets may hold anything
    except OSError:
        return 0, None
    started = None if fields[0] in (b"Z", b"X") else f"{fields[19].decode()}@{boot_id()}"
    return int(fields[1]), started


def is_stopped(pid: int) -> bool:
    """Whether a signal (SIGSTOP) suspended `pid`. It lives, and does nothing until SIGCONT."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def alive(pid: int, started: str | None) -> bool:
    """Whether exactly this process lives.

    Without a known start time, any process with that pid counts.
    """
    now = start_time(pid)
    if now is None or not started or now == started:
        return now is not None
    # Written by a harnex that did not keep the boot.
    return "@" not in started and now.partition("@")[0] == started


def send_signal(pid: int, signum: int, started: str | None = None) -> bool:
    """Signal a process; return False if it is gone or belongs to another user.

    With `started`, only exactly this process is signalled, never the next one with the same pid.
    """
    try:
        if started is None:
            os.kill(pid, signum)
            return True
        if not hasattr(os, "pidfd_open"):
            if not alive(pid, started):
                return False
            os.kill(pid, signum)
            return True
        fd = os.pidfd_open(pid)  # from here on the number can't come to mean another process
        try:
            if not alive(pid, started):
                return False
            from signal import pidfd_send_signal

            pidfd_send_signal(fd, signum)
        finally:
            os.close(fd)
    except OSError:
        return False
    return True


def signal_name(number: int) -> str:
    """The name of a signal: `SIGTERM` for 15."""
    import signal  # imported only here: most commands need no name

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

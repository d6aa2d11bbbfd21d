"""Who a process is: its pid and its start time, because pids are used again. Light: on the hot path."""

from __future__ import annotations

import os
import sys


def start_time(pid: int) -> str | None:
    """When `pid` started, as an opaque word that no other process with this pid shares; None: it does not live.

    A zombie does not live: its parent has only not reaped it yet.
    """
    if pid <= 0:
        return None
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/stat", "rb") as f:
                fields = f.read().rpartition(b")")[2].split()  # the name in brackets may hold anything
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else fields[19].decode()
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def alive(pid: int, started: str | None) -> bool:
    """Whether the very process lives. Without a known start time any process of that pid counts."""
    now = start_time(pid)
    return now is not None and (not started or now == started)


def send_signal(pid: int, signum: int) -> bool:
    """Signal a process; False if it is gone or not ours."""
    try:
        os.kill(pid, signum)
    except OSError:
        return False
    return True

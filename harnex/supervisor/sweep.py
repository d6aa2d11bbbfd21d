"""Nothing is left behind: every process that carries the run's marker in its environment is ended.

Tools run in sessions of their own, so killing the agent's process group misses them (field notes);
the marker `HARNEX_RUN_ID` is inherited by all of them.
"""

from __future__ import annotations

import signal
import time

from harnex import process

TERM_GRACE_S = 1.0


def marked(run_id: str) -> list[tuple[int, str]]:
    """(pid, start time) of processes that carry this run's marker, ours excluded. Needs psutil (only ends need it)."""
    import os

    import psutil

    me = os.getpid()
    found = []
    for pid in psutil.pids():
        if pid == me:
            continue
        started = process.start_time(pid)  # first: what is read next is then of this very process, or it ends nothing
        try:
            if started is not None and psutil.Process(pid).environ().get("HARNEX_RUN_ID") == run_id:
                found.append((pid, started))
        except (psutil.Error, OSError):
            continue
    return found


class Sweep:
    """Ends marked processes, repeatedly, since they may start others while they end. No waiting in here."""

    def __init__(self, run_id: str, now: float) -> None:
        self._run_id = run_id
        self._kill_at = now + TERM_GRACE_S
        self._told: set[int] = set()
        self.ended: set[int] = set()

    def step(self, now: float) -> bool:
        """One pass; True when nothing is left."""
        left = marked(self._run_id)
        for pid, started in left:
            self.ended.add(pid)
            if now >= self._kill_at:
                process.send_signal(pid, signal.SIGKILL, started)
            elif pid not in self._told:
                self._told.add(pid)
                process.send_signal(pid, signal.SIGTERM, started)
        return not left


def sweep_now(run_id: str, timeout_s: float = 5.0) -> set[int]:
    """Sweep until nothing is left (for runs whose supervisor is gone). The pids that were ended."""
    begun = time.monotonic()
    sweep = Sweep(run_id, begun)
    while not sweep.step(time.monotonic()) and time.monotonic() < begun + timeout_s:
        time.sleep(0.05)
    return sweep.ended

"""The supervisor as the parent of the processes that its agent leaves behind.

On Linux the supervisor is a child subreaper: a process whose parent ends becomes a child of the
supervisor, not of init. So everything that a tool starts stays a descendant, whatever the process
does to its session, its parent or its environment, and the sweep finds it. Other systems have no
subreaper: orphans go to init, and only the marker in their environment is left.

A parent must reap. Orphans are reaped here. Children that the supervisor started itself are
registered by `mine`, and are left to the code that waits for their exit status.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from harnex import process

if TYPE_CHECKING:
    import subprocess

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

_adopts = False
_ended = 0  # number of orphans that were reaped
# pid -> whether the exit status is still waited for.
_mine: dict[int, Callable[[], bool]] = {}


def adopt() -> bool:
    """Make this process the parent of its orphaned descendants.

    Returns False if the system can't (only Linux can).
    """
    global _adopts
    if sys.platform == "linux":
        try:
            import ctypes  # imported only here: a session needs it once

            _adopts = ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        # A Python without ctypes, or a C library without prctl.
        except (ImportError, OSError, AttributeError):
            _adopts = False
    return _adopts


def root() -> int | None:
    """Return the process whose descendants all belong to this run.

    None if orphans go elsewhere: descent proves nothing then.
    """
    return os.getpid() if _adopts else None


def mine(child: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Register a child that the supervisor itself waits for.

    Call this right after the start of the child.
    """
    expect(child.pid, lambda: child.returncode is None)
    return child


def expect(pid: int, waited_for: Callable[[], bool]) -> None:
    """Register a child that is no `Popen`.

    `waited_for` returns False once the exit status was taken.
    """
    _forget()
    _mine[pid] = waited_for


def own() -> set[int]:
    """Return the pids of the children that the supervisor started itself and still waits for."""
    _forget()
    return set(_mine)


def _forget() -> None:
    for pid in [pid for pid, waited_for in _mine.items() if not waited_for()]:
        del _mine[pid]


def reap() -> int:
    """Reap the orphans that have ended. Returns how many did so far.

    Never blocks, and never takes the exit status of a child that is `mine`.
    """
    global _ended
    for pid in orphans():
        try:
            _ended += os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            continue
    return _ended


def orphans() -> list[int]:
    """Return the children that this process did not start itself, zombies included."""
    if not _adopts:
        return []
    known = own()
    return [pid for pid in children(os.getpid()) if pid not in known]


def children(pid: int) -> list[int]:
    """Return the children of a process, zombies included."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                found += [int(word) for word in f.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [child for child, (parent, _) in table().items() if parent == pid]
    except (OSError, ValueError):
        pass
    return found


def table() -> dict[int, tuple[int, str | None]]:
    """Return parent and start time (None for a zombie) of each process that /proc shows now."""
    return {int(name): process.parent_and_start(int(name)) for name in os.listdir("/proc") if name.isdigit()}

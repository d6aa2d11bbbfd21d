"""A run's mark in the registry's directory: `sessions/<run_id>.lock`, held (flock) by the processes
of the run.

The launching command makes the mark before anything else of the run, and hands the open file on to
the supervisor. The kernel releases the mark when the last of these processes is gone, for whatever
reason: a mark that nobody holds is a dead run. The mark also covers the moments without a registry
entry (starting, a torn entry), and needs no pid.
"""

from __future__ import annotations

import fcntl
import os

from harnex import paths


def path_of(state: str, run_id: str) -> str:
    """The path of a run's mark."""
    return os.path.join(paths.sessions_dir(state), f"{run_id}.lock")


def take(state: str, run_id: str) -> int:
    """Make the mark and hold it; return the open file's number. Raises OSError."""
    directory = paths.subdir(state, "sessions")
    while True:
        # The mark is locked before it gets its name: nobody may ever see it unlocked and take the
        # run for dead.
        early = os.path.join(directory, f".{run_id}.new")
        fd = os.open(early, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.rename(early, path_of(state, run_id))
            return fd
        # Another process that tidied up took the mark for the rest of a crash.
        except FileNotFoundError:
            os.close(fd)
        except OSError:
            os.close(fd)
            remove(state, run_id)
            raise


def remove(state: str, run_id: str) -> None:
    """Remove the mark, if it is there."""
    try:
        os.unlink(path_of(state, run_id))
    except OSError:
        pass


def is_held(path: str) -> bool:
    """Whether a process holds the mark.

    A mark that can't be read counts as held: nothing is done to its run.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def dead_runs(state: str) -> list[str]:
    """The run ids of marks that nobody holds, oldest first.

    Half-made marks that a crash left are removed.
    """
    directory = paths.sessions_dir(state)
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    found = []
    for name in names:
        path = os.path.join(directory, name)
        if name.startswith(".") and name.endswith(".new") and not is_held(path):
            try:
                os.unlink(path)
            except OSError:
                pass
        elif name.endswith(".lock") and name != ".lock" and not is_held(path):
            found.append(name[:-5])
    return found

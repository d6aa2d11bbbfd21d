"""A run's mark in the registry's directory: `sessions/<run_id>.lock`, held (flock) by whoever stands for the run.

The launching command makes it before anything else of the run and hands the open file on to the supervisor. The
kernel lets go of it when the last of them is gone, however that came: a mark that nobody holds is a dead run. That
covers the moments in which no registry entry stands for it (starting, a torn entry), and no pid is needed.
"""

from __future__ import annotations

import fcntl
import os

from harnex import paths


def path_of(state: str, run_id: str) -> str:
    return os.path.join(paths.sessions_dir(state), f"{run_id}.lock")


def take(state: str, run_id: str) -> int:
    """Make the mark and hold it; the open file's number. Raises OSError."""
    directory = paths.subdir(state, "sessions")
    while True:
        # Held before it has its name: nobody may ever see it there and think that the run is dead.
        early = os.path.join(directory, f".{run_id}.new")
        fd = os.open(early, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.rename(early, path_of(state, run_id))
            return fd
        except FileNotFoundError:  # somebody who tidied up took it for one that a crash left
            os.close(fd)
        except OSError:
            os.close(fd)
            remove(state, run_id)
            raise


def remove(state: str, run_id: str) -> None:
    try:
        os.unlink(path_of(state, run_id))
    except OSError:
        pass


def is_held(path: str) -> bool:
    """Whether somebody stands for the run. A mark that can't be read counts as held: nothing is done to its run."""
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
    """The run ids of marks that nobody holds, oldest first; what a crash left of making one is taken away."""
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

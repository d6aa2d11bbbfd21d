"""Where everything is on disk (DESIGN section 6), and the checks that keep it private.

Light: imported on the hot path, so it imports little but `os`.
"""

from __future__ import annotations

import os
import stat

from harnex.errors import HarnexError, UsageError
from harnex.visible import one_line

SOCKET_PATH_MAX = 100  # bytes; sun_path holds 107 on Linux, 103 on macOS


def state_dir() -> str:
    """The state directory, made with mode 0700 if missing.

    Raises HarnexError if others own the directory or can write it.
    """
    path = os.environ.get("HARNEX_STATE_DIR")
    if not path:
        base = os.environ.get("XDG_STATE_HOME")
        if not base or not os.path.isabs(base):
            base = os.path.join(os.path.expanduser("~"), ".local", "state")
        path = os.path.join(base, "harnex")
    return private_dir(os.path.abspath(path))


def private_dir(path: str, what: str = "state directory") -> str:
    """`path` as a directory that only this user can write, made if missing.

    Raises HarnexError if the directory is not private. `what` names the directory in errors.
    """
    try:
        info = os.stat(path)
    except FileNotFoundError:
        try:
            os.makedirs(path, 0o700, exist_ok=True)
            info = os.stat(path)
        except OSError as e:
            raise HarnexError(
                f"can't make the {what} {path}: {e.strerror}",
                "set HARNEX_STATE_DIR to a directory that you can write",
            ) from None
    except OSError as e:
        raise HarnexError(f"can't read the {what} {path}: {e.strerror}", "check its parents' modes") from None
    if not stat.S_ISDIR(info.st_mode):
        raise HarnexError(f"the {what} {path} is not a directory", "set HARNEX_STATE_DIR to another place")
    if info.st_uid != os.geteuid():
        raise HarnexError(
            f"the {what} {path} belongs to another user (uid {info.st_uid})",
            "set HARNEX_STATE_DIR to a directory of your own",
        )
    if info.st_mode & 0o022:
        raise HarnexError(f"the {what} {path} can be written by others", f"run: chmod 700 '{path}'")
    return path


def subdir(state: str, *names: str) -> str:
    """A directory below the state directory, made with mode 0700 if missing. Raises HarnexError."""
    path = state
    for name in names:  # one by one: `makedirs` gives its mode to the last directory only
        path = os.path.join(path, name)
        try:
            os.mkdir(path, 0o700)
        except OSError as e:
            if not os.path.isdir(path):
                raise HarnexError(
                    f"can't make {path}: {e.strerror}", "check the state directory with: harnex doctor"
                ) from None
    return path


def sessions_dir(state: str) -> str:
    return os.path.join(state, "sessions")


def runs_dir(state: str) -> str:
    return os.path.join(state, "runs")


def run_dir(state: str, run_id: str) -> str:
    return os.path.join(state, "runs", run_id)


# Files of a run's directory that more than one package names.
FOLLOWED = "followed.jsonl"  # in `evidence/`: the agent's files that were read, to find them again
RESUMES = "resumes"  # the run that this run continues
RESUMED = "resumed"  # the run that continues this run


def history_file(state: str) -> str:
    return os.path.join(state, "history.jsonl")


def repo_root(cwd: str) -> str:
    """The work tree that holds `cwd`, or `cwd` itself outside git. A linked worktree is its own."""
    start = os.path.realpath(cwd)
    path = start
    while True:
        if os.path.exists(os.path.join(path, ".git")):
            return path
        parent = os.path.dirname(path)
        if parent == path:
            return start
        path = parent


def here() -> str:
    """The work tree of the working directory.

    If the working directory was removed: words that match no work tree.
    """
    try:
        return repo_root(os.getcwd())
    except FileNotFoundError:
        return "(a removed directory)"


def repo_hash(repo: str) -> str:
    """Ten hex digits that stand for a repository in file names."""
    try:
        from _blake2 import blake2s  # without OpenSSL's library, which costs a supervisor 3.4 MB
    except ImportError:
        from hashlib import blake2s
    return blake2s(os.fsencode(repo), digest_size=5).hexdigest()


def session_file(state: str, repo: str, session_id: str) -> str:
    """The path of a session's registry entry."""
    return os.path.join(sessions_dir(state), f"{repo_hash(repo)}--{session_id}.json")


def socket_path(state: str, run_id: str) -> str:
    """The path of a run's control socket.

    It is in the state directory, or, where that is too deep for a socket address, in a private
    directory under /tmp.
    """
    name = run_id[-12:] + ".sock"
    path = os.path.join(state, "sock", name)
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        subdir(state, "sock")
        return path
    return os.path.join(private_dir(f"/tmp/harnex-{os.geteuid()}-{repo_hash(state)}", "socket directory"), name)


def agent_socket(path: str) -> str:
    """The path at which a daemon of the run's agent may listen.

    It is beside the control socket `path`, and so is short enough.
    """
    return path.removesuffix(".sock") + ".d"


def remove_socket(path: str) -> None:
    """Remove a control socket and the socket of an agent's daemon.

    Their directory under /tmp is removed, too, if no other session uses it.
    """
    for name in (path, agent_socket(path)):
        try:
            os.unlink(name)
        except OSError:
            pass
    if path.startswith("/tmp/harnex-"):
        try:
            os.rmdir(os.path.dirname(path))
        except OSError:
            pass


ID_HELP = "an id has letters, digits, '-', '_' and '.', starts with a letter or digit and has at most 64 characters"


def normal_id(text: str) -> str:
    """An id as it is stored: lower case, with `-` for blanks.

    Raises UsageError if nothing sensible is left.
    """
    name = "-".join(text.strip().lower().split())
    ok = name[:1].isascii() and name[:1].isalnum()
    if not ok or len(name) > 64 or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
        raise UsageError(f"'{text}' can't be a session id", ID_HELP)
    return name


def printable(text: str) -> str:
    """A path or description as one line without control sequences: such texts may hold anything."""
    return one_line(text)

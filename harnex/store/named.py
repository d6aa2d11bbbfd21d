"""Files that a person names (`report -o`, `pane --svg`, `--summary-out`): written as the shell's
`>` does, but whole.

A regular file is replaced at once, by its new content or not at all. Symbolic links are followed,
and stay. Anything else (a device, a FIFO) is opened and written, never replaced.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time

from harnex.store import durable

LINKS_MAX = 40  # the limit of Linux: MAXSYMLINKS
POLL_S = 0.05


def target_of(path: str) -> str | int:
    """What `path` stands for when its links are followed: a path, which may not exist, or a
    descriptor of this process.

    `/dev/stdout` and `/dev/fd/3` are descriptors: opened anew or replaced, they would not be what
    the shell redirected. Raises OSError (a circle of links).
    """
    for _ in range(LINKS_MAX):
        directory, name = os.path.split(path)
        directory = os.path.realpath(directory or ".")
        if name.isdecimal() and directory in (f"/proc/{os.getpid()}/fd", "/dev/fd"):
            return int(name)
        path = os.path.join(directory, name)
        try:
            path = os.path.join(directory, os.readlink(path))
        except OSError:
            return path
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def write(path: str, data: bytes) -> None:
    """Write `data` for a command: follow the links of `path` and wait for a FIFO, as `>` does.

    Raises OSError.
    """
    target = target_of(path)
    if isinstance(target, int):
        _pour(os.dup(target), data, None)
    else:
        put(target, data, False, None)


def put(path: str, data: bytes, through: bool, wait_s: float | None) -> None:
    """Write to `path` itself: a link is replaced, not followed.

    A FIFO or a device must take the data within `wait_s` seconds (None: no limit). `through` is for
    a regular file: the data survives a power cut. Raises OSError; a regular file is then unchanged.
    """
    try:
        kind = stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        kind = stat.S_IFREG
    if kind in (stat.S_IFREG, stat.S_IFLNK):
        durable.replace(path, data, through)
    else:
        end = None if wait_s is None else time.monotonic() + wait_s
        _pour(_opened(path, end), data, end)


def _opened(path: str, end: float | None) -> int:
    """A descriptor for writing.

    A FIFO can be opened only once somebody reads it; that is waited for until `end`.
    """
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC
    if end is None:
        return os.open(path, flags)
    while True:
        try:
            return os.open(path, flags | os.O_NONBLOCK)
        except OSError as e:
            if e.errno != errno.ENXIO or not stat.S_ISFIFO(os.lstat(path).st_mode):
                raise
            if time.monotonic() >= end:
                raise OSError(errno.ENXIO, "nobody reads this FIFO") from None
        time.sleep(POLL_S)


def _pour(fd: int, data: bytes, end: float | None) -> None:
    """Write all of `data`, and close the descriptor."""
    view = memoryview(data)
    try:
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise OSError(errno.EAGAIN, "its reader is too slow") from None
                select.select((), (fd,), (), left)
    finally:
        os.close(fd)

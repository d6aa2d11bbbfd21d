"""Files that are replaced whole, and writing through to the disk what must survive a power cut.

Little is written through, because it costs milliseconds each time (benchmarks/durability.py): the
end of a run, messages that were acknowledged, what a run can be started again from. Light: a
supervisor holds this module.
"""

from __future__ import annotations

import errno
import os

# Errors of file systems that have nothing to write through to, or can't be asked.
UNABLE = (errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.EBADF)


def sync(fd: int) -> None:
    """Write everything of this file through to the disk. Raises OSError (no room after all)."""
    try:
        getattr(os, "fdatasync", os.fsync)(fd)
    except OSError as e:
        if e.errno not in UNABLE:
            raise


def sync_names(directory: str) -> None:
    """Write the names in a directory (made, renamed, removed) through to the disk. Never raises."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def replace(path: str, data: bytes, through: bool = True) -> None:
    """Write a private file whole or not at all.

    `through`: the new content also survives a power cut. Raises OSError; the old file is then
    unchanged.
    """
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        os.unlink(temporary)  # left by a process with this pid that died here
    except OSError:
        pass
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if through:
                sync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    if through:
        sync_names(os.path.dirname(path))

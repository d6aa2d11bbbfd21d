"""Whether only this user (or root) can change a file: the check of git's `safe.directory` and ssh's
StrictModes.

A file that decides what runs here must belong to this user, and so must every folder and every
symbolic link on the way to the file: whoever can write a folder can replace the file. Sticky
folders (/tmp) are allowed, because there only the owner can replace a file. A group that may write
is allowed when this user is its only member (umask 002 with a group for each user, as on many
systems). Access control lists are not looked at.
"""

from __future__ import annotations

import os
import stat

LINKS_MAX = 40


def problem(path: str) -> str:
    """Why others can change the file at this absolute path; "" if they can't.

    Raises OSError if it can't be reached. The path is walked from the root as the kernel walks it,
    with all its links.
    """
    at, links = "/", 0
    todo = path.split("/")[::-1]
    words = _suspect(at, os.lstat(at))
    while todo and not words:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at)
            continue
        here = os.path.join(at, name)
        info = os.lstat(here)
        words = _suspect(here, info)
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > LINKS_MAX:
                return f"{path} has too many links"
            target = os.readlink(here)
            at = "/" if target.startswith("/") else at
            todo += target.split("/")[::-1]
        else:
            at = here
    return words


def _suspect(path: str, info: os.stat_result) -> str:
    if info.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user (uid {info.st_uid})"
    if stat.S_ISLNK(info.st_mode) or (stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX):
        return ""
    if info.st_mode & stat.S_IWOTH:
        return f"{path} can be written by everybody"
    if info.st_mode & stat.S_IWGRP and not alone_in(info.st_gid):
        return f"{path} can be written by its group (gid {info.st_gid})"
    return ""


def alone_in(gid: int) -> bool:
    """Whether this user is the only member of a group, as far as the system's lists show."""
    import grp
    import pwd

    try:
        own = pwd.getpwuid(os.geteuid())
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return False
    members |= {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid and entry.pw_uid != own.pw_uid}
    return members <= {own.pw_name} and (own.pw_gid == gid or bool(members))

"""Whether a file can only be changed by this user (or root): what git's `safe.directory` and ssh's StrictModes ask.

A file that decides what runs here must belong to this user, and so must every folder and every symbolic link on the way
to it: who can write a folder can put another file in the place of ours. Sticky folders (/tmp) are good, because there
only the owner can replace a file. A group that may write is good when this user is alone in it (umask 002 with a group
for each user, as on many systems). Access control lists are not looked at.
"""

from __future__ import annotations

import os
import stat

LINKS_MAX = 40


def problem(path: str) -> str:
    """Why the file at this absolute path is not this user's alone, "" if it is. Raises OSError if it can't be reached.

    The way is walked from the root as the kernel walks it, with all links on it.
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
    """Whether a group has this user as its one member, as far as the system's lists tell."""
    import grp
    import pwd

    try:
        own = pwd.getpwuid(os.geteuid())
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return False
    members |= {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid and entry.pw_uid != own.pw_uid}
    return members <= {own.pw_name} and (own.pw_gid == gid or bool(members))

"""A `sitecustomize` for harnex's own processes: it notes what a supervisor, or `harnex
recover`, writes and says.

Tests do not import this file: `play.Place` puts its text, with `OUT`, at the start of each Python
process. Each note is one JSON line `[process, pid, what, path, text]`. A note names the file that
is written, never the function that writes it, because functions move.
"""

import json
import os
import socket
import sys
import weakref

OUT = ""
WHO = next((word for word in ("harnex-supervisor", "recover") if word in sys.argv), "")
PID = os.getpid()
WITH_TEXT = ("/events.jsonl",)  # files whose written bytes are noted, too

really_write = os.write
numbers = weakref.WeakKeyDictionary()
noting = False


def note(what, path, text=""):
    """Append one note. A fork of the process notes nothing before it becomes another program."""
    global noting
    if noting or os.getpid() != PID:
        return
    noting = True
    try:
        fd = os.open(OUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        really_write(fd, (json.dumps([WHO, PID, what, os.fspath(path), text]) + "\n").encode())
        os.close(fd)
    finally:
        noting = False


def path_of(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def writing(real):
    def write(fd, data, *more):
        done = real(fd, data, *more)
        path = path_of(fd)
        note("write", path, bytes(data).decode("latin-1") if path.endswith(WITH_TEXT) else "")
        return done

    return write


def syncing(real):
    def sync(fd):
        real(fd)
        note("sync", path_of(fd if isinstance(fd, int) else fd.fileno()))

    return sync


def talking(real, what):
    """A socket's `send` or `recv`. The path of the note is the number of the connection."""

    def talk(self, given, *more):
        done = real(self, given, *more)
        data = done if what == "heard" else bytes(given[:done])
        note(what, str(numbers.setdefault(self, len(numbers))), data.decode("latin-1"))
        return done

    return talk


def audit(event, args):
    if event == "open" and isinstance(args[1], str) and args[1][:1] in ("w", "a", "x") and isinstance(args[0], str):
        note("write", args[0])
    elif event in ("os.remove", "os.rmdir") and isinstance(args[0], str):
        note("remove", args[0])
    elif event == "os.rename" and isinstance(args[0], str):
        note("rename", args[0], args[1])
    elif event == "os.truncate":
        note("truncate", args[0] if isinstance(args[0], str) else path_of(args[0]))


if WHO and OUT:
    os.write, os.pwrite = writing(os.write), writing(os.pwrite)
    os.fsync, os.fdatasync = syncing(os.fsync), syncing(os.fdatasync)
    socket.socket.send = talking(socket.socket.send, "said")
    socket.socket.recv = talking(socket.socket.recv, "heard")
    sys.addaudithook(audit)

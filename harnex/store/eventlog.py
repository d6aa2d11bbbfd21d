"""The event log of a run: an append-only JSONL file that is the bus (DESIGN section 7).

Each event is one `write` on an O_APPEND descriptor, so a reader sees half an event only if the disk
is full. Then the half is cut off again, and the event waits in memory for room.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from harnex import clock, jsonl
from harnex.model.events import SCHEMA_VERSION, Event
from harnex.store import durable

Damage = Literal["", "removed", "replaced", "truncated", "written to"]
FULL = (errno.ENOSPC, errno.EDQUOT)
WAITING_MAX = 10_000  # events kept in memory while the disk takes none


class EventLog:
    """Appends events with gapless `seq`, also after a restart of the writer.

    `clean` removes the secrets from the fields of an event. Opening raises OSError; appending never
    does.
    """

    def __init__(
        self, path: str, session_id: str, run_id: str, clean: Callable[[dict[str, Any]], dict[str, Any]] = dict
    ) -> None:
        self.path, self.id, self.run_id = path, session_id, run_id
        self._clean = clean
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.seq = self._recover()
        # Bytes that this log wrote, or found when it was opened.
        self._size = os.fstat(self._fd).st_size
        self._waiting: deque[bytes] = deque()
        self.lost = 0  # events that did not even fit in memory while the disk was full
        self.full = False  # the last write did not fit on the disk

    def _recover(self) -> int:
        """Cut off a torn last line; return the last `seq`, searching past a crash's garbage."""
        size = os.fstat(self._fd).st_size
        tail, start, cut = b"", size, False
        while True:
            if not cut and (start == 0 or b"\n" in tail):
                whole = tail.rfind(b"\n") + 1
                if whole < len(tail):
                    os.ftruncate(self._fd, start + whole)
                size, tail, cut = start + whole, tail[:whole], True
            # The first line of `tail` may be the end of a line that begins before `tail`.
            lines = tail.splitlines() if start == 0 else tail.splitlines()[1:]
            for line in reversed(lines if cut else []):
                row = jsonl.loads_dict(line)
                if row is not None and isinstance(row.get("seq"), int):
                    return int(row["seq"])
            if start == 0:
                return 0
            begin = max(0, start - 65536)
            tail = os.pread(self._fd, start - begin, begin) + tail
            start = begin

    def append(self, event: Event) -> int:
        """Write one event and return its `seq`."""
        self.seq += 1
        row = {
            "schema_version": SCHEMA_VERSION,
            "seq": self.seq,
            "ts": clock.stamp(),
            "id": self.id,
            "run_id": self.run_id,
            "type": event.type,
            **self._clean(event.fields()),
        }
        line = jsonl.dumps(row).encode() + b"\n"
        if len(self._waiting) >= WAITING_MAX:
            self.lost += 1
            self.seq -= 1  # the number is free again: seq has no gaps
            return self.seq
        self._waiting.append(line)
        self.flush()
        return self.seq

    def flush(self) -> bool:
        """Write the waiting events.

        Returns False if some still wait (a full disk): call again later.
        """
        while self._waiting:
            line = self._waiting[0]
            try:
                n = os.write(self._fd, line)
            except OSError as e:
                self.full = e.errno in FULL
                return False
            self.full = n < len(line)
            self._size += n
            if n < len(line):
                try:
                    os.ftruncate(self._fd, self._size - n)
                    self._size -= n
                except OSError:
                    pass
                return False
            self._waiting.popleft()
        return True

    def damage(self) -> Damage:
        """What somebody else has done to the file; "" for nothing. Costs two system calls."""
        ours = os.fstat(self._fd)
        try:
            there = os.lstat(self.path)
        except OSError:
            return "removed"
        if not os.path.samestat(there, ours):
            return "replaced"
        if ours.st_size == self._size:
            return ""
        return "truncated" if ours.st_size < self._size else "written to"

    def restore(self) -> None:
        """Put a file with the same content in place of one that was removed or replaced.

        Raises OSError.
        """
        temporary = f"{self.path}.{os.getpid()}.tmp"
        fd = os.open(temporary, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        at = 0
        try:
            while data := os.pread(self._fd, 1 << 20, at):
                at += os.write(fd, data)
            os.replace(temporary, self.path)
        except OSError:
            os.close(fd)
            os.unlink(temporary)
            raise
        os.close(self._fd)
        self._fd, self._size = fd, at

    def accept(self) -> None:
        """Go on after the last whole line of a file that was truncated or written to.

        Raises OSError.
        """
        size = os.fstat(self._fd).st_size
        if size < self._size:
            self._recover()
        elif os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")
        self._size = os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close the log. From here on, what was written survives a power cut."""
        self.flush()
        with contextlib.suppress(OSError):
            durable.sync(self._fd)
        os.close(self._fd)

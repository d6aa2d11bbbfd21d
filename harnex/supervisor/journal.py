"""What a session writes for others to read: its event log, its registry entry,
and the messages it keeps.

A full disk costs the agent nothing: events wait in memory, and the entry is written again later.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from harnex import clock, paths
from harnex.errors import HarnexError
from harnex.launch.spec import Spec
from harnex.model import events
from harnex.model.records import KeptMessage, SessionEntry
from harnex.redaction.redactor import Clean, Redactor
from harnex.store import registry, runlock, undelivered
from harnex.store.eventlog import EventLog

TOUCH_EVERY_S = 1.0  # the precision of `idle_s`
RETRY_S = 1.0  # how often a full disk is tried again
LOOK_EVERY_S = 5.0  # how often to check that the entry is still there
# The number of different diagnostics is limited, because some quote what the agent says.
REMARKS_MAX = 200


class Journal:
    """The event log and the registry entry of one session.

    `record` returns the entry as it should be now.
    """

    def __init__(self, spec: Spec, redactor: Redactor, record: Callable[[], SessionEntry]) -> None:
        directory = paths.run_dir(spec.state, spec.run_id)
        self.log = EventLog(os.path.join(directory, "events.jsonl"), spec.id, spec.run_id, redactor.fields)
        self._path = paths.session_file(spec.state, spec.repo, spec.id)
        self.spec, self.redactor = spec, redactor
        self._record = record
        self._due: float | None = clock.monotonic()
        self._touched = 0.0
        self._look_at = clock.monotonic() + LOOK_EVERY_S
        # The entry's inode and size when it was last written.
        self._written: tuple[int, int] | None = None
        self._slow: set[str] = set()  # the user's redaction patterns that were too slow
        self._remarks: dict[str, int] = {}
        self.counts: dict[str, int] = {}  # events by type

    def emit(self, event: events.Event) -> None:
        """Append an event to the log. If another program damaged the log, mend the log first."""
        self._mend_log()
        self.counts[event.type] = self.counts.get(event.type, 0) + 1
        self.log.append(event)

    def diagnose(self, what: str) -> None:
        """Write a diagnostic.

        An equal diagnostic is written again only at powers of ten. Beyond REMARKS_MAX different
        ones, a single diagnostic stands for all further ones.
        """
        if len(self._remarks) >= REMARKS_MAX and what not in self._remarks:
            what = f"there are more than {REMARKS_MAX} different diagnostics: no further ones are written"
        count = self._remarks[what] = self._remarks.get(what, 0) + 1
        if count in (1, 10, 100, 1000, 10000):
            self.emit(events.Diagnostic(what=what, count=count))

    def keep_message(self, row: KeptMessage, first: bool, acknowledged: bool) -> None:
        """Keep a message until an agent has taken it.

        If the disk is full, only a crash would lose the message.
        """
        try:
            undelivered.put(self.spec.state, self.spec.run_id, row, self.redactor.text, first, acknowledged)
        except (OSError, HarnexError) as e:
            self.diagnose(f"a message can't be kept for the case of a crash: {e}")

    def kept_messages(self) -> list[KeptMessage]:
        """Return the kept messages, in the order in which they are to be typed."""
        return list(undelivered.rows(self.spec.state, self.spec.run_id))

    def drop_message(self, message_id: str) -> None:
        """Forget a message that was dealt with."""
        undelivered.drop(self.spec.state, self.spec.run_id, message_id)

    def changed(self) -> None:
        """Note that a part of the registry entry changed: the loop writes the
        entry when it gets to it."""
        self._due = clock.monotonic()

    def entry(self) -> Clean:
        """Return the registry entry without secrets (the last outcome quotes the agent)."""
        return self.redactor.record(self._record())

    def wake_at(self) -> float | None:
        return self._look_at if self._due is None else min(self._due, self._look_at)

    def look(self, now: float) -> bool:
        """Check, if it is time, whether another program removed files under the session.
        Returns whether it checked.

        A missing entry or log is made anew: an agent that nobody can see or stop would be worse
        than one that is not forgotten.
        """
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY_S
        self._mend_log()
        if not os.path.isdir(os.path.join(os.path.dirname(self.log.path), "evidence")) and self._make_directories():
            self.diagnose("files of the run were removed while it ran: what was in its `evidence` is gone")
        found = _file(self._path)
        if found is None and self._make_directories():
            self.diagnose("the session's files were removed while it ran: its entry, socket and events were made anew")
            self.write()
        elif found is not None and found != self._written and self._written is not None:
            self.write()  # another program damaged the entry
        return True

    def _make_directories(self) -> bool:
        """Make the missing directories. Returns False if that fails now; it is tried again."""
        spec = self.spec
        try:
            paths.private_dir(spec.state)
            paths.subdir(spec.state, "sessions")
            paths.subdir(spec.state, "runs", spec.run_id, "evidence")
        except (OSError, HarnexError):
            return False
        return True

    def _mend_log(self) -> None:
        """If another program removed, replaced or changed the event log, mend
        it and write a diagnostic.

        A log that was removed or replaced is still in the open file. What was truncated is lost.
        """
        damage = self.log.damage()
        if not damage:
            return
        what = f"the event log was {damage} by another program while the session ran"
        try:
            if damage in ("removed", "replaced"):
                if not self._make_directories():
                    return
                self.log.restore()
                self.diagnose(f"{what}: it was made anew, with all its events")
            else:
                self.log.accept()
                lost = (
                    f"events up to seq {self.log.seq} may be lost" if damage == "truncated" else "its lines may be torn"
                )
                self.diagnose(f"{what}: {lost}")
        except OSError:
            return  # a full disk, or a file in the directory's place: tried again later

    def step(self, now: float) -> None:
        """Write the entry if that is due."""
        for source in self.redactor.too_slow():
            if source not in self._slow:
                self._slow.add(source)
                self.diagnose(f"the [redact] pattern {source!r} took too long on a text; the whole text was covered")
        if self._due is not None and now >= self._due:
            self.write()

    def write(self) -> None:
        """Write the waiting events, and the entry."""
        self._due = None if self.log.flush() else clock.monotonic() + RETRY_S
        if self.log.lost and self._due is None:
            lost, self.log.lost = self.log.lost, 0
            self.diagnose(f"{lost} events were lost: the disk was full for too long")
        try:
            registry.write(self._path, self.entry())
            self._written = _file(self._path)
        except OSError:
            self._due = clock.monotonic() + RETRY_S

    def agent_wrote(self, now: float) -> None:
        """Set the entry's mtime to the time of the agent's last output:
        readers derive `idle_s` from it."""
        if now >= self._touched + TOUCH_EVERY_S:
            self._touched = now
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def close(self) -> None:
        """The run has ended: complete the log, and free the id."""
        self._mend_log()
        self.log.close()
        self._due = None
        registry.remove(self._path)
        runlock.remove(self.spec.state, self.spec.run_id)


def _file(path: str) -> tuple[int, int] | None:
    """Return inode and size of a file; None if the file is missing."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_ino, info.st_size

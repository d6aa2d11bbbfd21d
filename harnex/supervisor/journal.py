"""What a session writes for others to read: its event log, its entry in the registry, and the messages it keeps.

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

TOUCH_EVERY_S = 1.0  # how exact `idle_s` is
RETRY_S = 1.0  # a full disk is tried again this often
LOOK_EVERY_S = 5.0  # whether the entry is still there
REMARKS_MAX = 200  # different diagnostics: some quote what the agent says


class Journal:
    """The event log and the registry entry of one session. `record` gives the entry as it should be now."""

    def __init__(self, spec: Spec, redactor: Redactor, record: Callable[[], SessionEntry]) -> None:
        directory = paths.run_dir(spec.state, spec.run_id)
        self.log = EventLog(os.path.join(directory, "events.jsonl"), spec.id, spec.run_id, redactor.fields)
        self._path = paths.session_file(spec.state, spec.repo, spec.id)
        self.spec, self.redactor = spec, redactor
        self._record = record
        self._due: float | None = clock.monotonic()
        self._touched = 0.0
        self._look_at = clock.monotonic() + LOOK_EVERY_S
        self._written: tuple[int, int] | None = None  # which file the entry is, and how large
        self._slow: set[str] = set()  # own patterns of the redactor
        self._remarks: dict[str, int] = {}
        self.counts: dict[str, int] = {}  # events by type

    def emit(self, event: events.Event) -> None:
        """Append an event to the log. If somebody else has damaged the log, it is mended first."""
        self._mend_log()
        self.counts[event.type] = self.counts.get(event.type, 0) + 1
        self.log.append(event)

    def diagnose(self, what: str) -> None:
        """Write a diagnostic; the same one again only at powers of ten, and further ones than REMARKS_MAX as one."""
        if len(self._remarks) >= REMARKS_MAX and what not in self._remarks:
            what = f"there are more than {REMARKS_MAX} different diagnostics: no further ones are written"
        count = self._remarks[what] = self._remarks.get(what, 0) + 1
        if count in (1, 10, 100, 1000, 10000):
            self.emit(events.Diagnostic(what=what, count=count))

    def keep_message(self, row: KeptMessage, first: bool, acknowledged: bool) -> None:
        """Keep a message until an agent has taken it. A full disk costs only what a crash would lose."""
        try:
            undelivered.put(self.spec.state, self.spec.run_id, row, self.redactor.text, first, acknowledged)
        except (OSError, HarnexError) as e:
            self.diagnose(f"a message can't be kept for the case of a crash: {e}")

    def kept_messages(self) -> list[KeptMessage]:
        """What is kept, in the order in which it is to be said."""
        return list(undelivered.rows(self.spec.state, self.spec.run_id))

    def drop_message(self, message_id: str) -> None:
        """The message was dealt with."""
        undelivered.drop(self.spec.state, self.spec.run_id, message_id)

    def changed(self) -> None:
        """Something that the registry entry holds has changed: it is written when the loop gets to it."""
        self._due = clock.monotonic()

    def entry(self) -> Clean:
        """The registry entry without secrets (the last outcome quotes the agent)."""
        return self.redactor.record(self._record())

    def wake_at(self) -> float | None:
        return self._look_at if self._due is None else min(self._due, self._look_at)

    def look(self, now: float) -> bool:
        """Look, if it is time to, whether somebody removed files under the session. Its entry and its log are made anew
        then: an agent that nobody can see or stop would be worse than one that is not forgotten."""
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
            self.write()  # somebody damaged it
        return True

    def _make_directories(self) -> bool:
        """Make those that are not there. False: it can't be now, and is tried again."""
        spec = self.spec
        try:
            paths.private_dir(spec.state)
            paths.subdir(spec.state, "sessions")
            paths.subdir(spec.state, "runs", spec.run_id, "evidence")
        except (OSError, HarnexError):
            return False
        return True

    def _mend_log(self) -> None:
        """See whether somebody removed, replaced or changed the event log; if so, put it right and say it in there.

        What was removed or replaced is still in the open file. What was truncated is lost.
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
            return  # a full disk, a file in the directory's place: it is tried again

    def step(self, now: float) -> None:
        """Write the entry if that is due."""
        for source in self.redactor.too_slow():
            if source not in self._slow:
                self._slow.add(source)
                self.diagnose(f"the [redact] pattern {source!r} took too long on a text; the whole text was covered")
        if self._due is not None and now >= self._due:
            self.write()

    def write(self) -> None:
        """Write what waits, and the entry."""
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
        """The entry's mtime is the time of the agent's last output: readers take `idle_s` from it."""
        if now >= self._touched + TOUCH_EVERY_S:
            self._touched = now
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def close(self) -> None:
        """The run is over: the log is whole, and the id is free."""
        self._mend_log()
        self.log.close()
        self._due = None
        registry.remove(self._path)
        runlock.remove(self.spec.state, self.spec.run_id)


def _file(path: str) -> tuple[int, int] | None:
    """Which file that is, and its size; None: there is none."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_ino, info.st_size

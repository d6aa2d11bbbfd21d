"""The follower of a watched session.

It prints a line per event, a live line on a terminal, a summary and the outcome. The follower only
reads: the watch runs in the supervisor, so losing the follower changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from harnex import errors, jsonl, output, paths, times
from harnex.commands._find import finished_run, run_of
from harnex.commands.events import lost, reader_is_gone
from harnex.commands.status import token_count
from harnex.errors import HarnexError
from harnex.report.sentences import followed, killed_words, local_time
from harnex.store import registry
from harnex.store.tail import LineTail

POLL_S = 0.1  # how often the event log is read
LOOK_EVERY_S = 1.0  # how often the registry and the reader are checked


class Follower:
    """Follows one run. With `from_end`, events that are already in the log are skipped."""

    def __init__(self, run_id: str, session_id: str, from_end: bool = False) -> None:
        self.run_id, self.id = run_id, session_id
        self._state = paths.state_dir()
        self._tail = LineTail(os.path.join(paths.run_dir(self._state, run_id), "events.jsonl"))
        if from_end:
            self._tail.to_end()
        self._live = sys.stderr.isatty()
        self._drawn = False
        self._tool = ""
        # True if the session stops by itself when its task is done (`auto_stop`).
        self.stops = False

    def run(self) -> int:
        """Follow until the outcome is known. Returns the exit code.

        Ctrl-C or a closed terminal ends the follower, not the session.
        """
        try:
            return self._run()
        except KeyboardInterrupt:
            self._wipe()
            print(
                f"\nharnex: the watch of '{self.id}' goes on; back to it: harnex watch --id {self.id}; "
                f"end it: harnex stop --id {self.id}",
                file=sys.stderr,
            )
            return errors.INTERRUPTED

    def _run(self) -> int:
        next_look = 0.0
        lives = True
        while True:
            for line in self._tail.lines():
                if self._tail.damage:
                    break
                row = jsonl.loads_dict(line)
                if row is None:
                    continue
                code = self._take(row)
                if code is not None:
                    return code
            if self._tail.damage:
                return self.lost()
            if not lives:
                return self.ended()
            now = time.monotonic()
            if now >= next_look:
                next_look = now + LOOK_EVERY_S
                if reader_is_gone():
                    raise BrokenPipeError
                lives = self._look()
            time.sleep(POLL_S)

    def _look(self) -> bool:
        """Draw the live line. Returns whether the supervisor is still alive."""
        record = next((r for r in registry.live(self._state) if r["run_id"] == self.run_id), None)
        if record is not None and self._live:
            self._draw(live_line(record, self._tool, time.time()))
        return record is not None

    # ---- what it prints ----

    def _take(self, row: dict[str, Any]) -> int | None:
        """Print one event. Returns the exit code if the event is the outcome."""
        kind = row.get("type")
        if kind == "tool":
            self._tool = (
                f"{row.get('tool')} {row.get('input_preview') or ''}".strip() if row["status"] == "started" else ""
            )
        words = followed(row, time.time())
        if words:
            self.say(f"{local_time(row.get('ts'), time.time())}  {words}")
        if kind == "watch" and row.get("phase") == "done" and not self.stops:
            return self.done()
        if kind == "escalated" and not row.get("stopped"):
            return self.person(str(row.get("message")))
        if kind == "watch" and row.get("phase") == "on":
            self.stops = bool((row.get("policy") or {}).get("auto_stop"))
        if kind == "exited":
            return self.ended()
        return None

    def say(self, words: str) -> None:
        self._wipe()
        sys.stdout.write(words + "\n")
        sys.stdout.flush()

    def _draw(self, words: str) -> None:
        columns = os.get_terminal_size(2).columns if os.isatty(2) else 80
        output.draw(sys.stderr, output.WIPE)
        sys.stderr.write(paths.printable(words)[: columns - 1])
        sys.stderr.flush()
        self._drawn = True

    def _wipe(self) -> None:
        if self._drawn:
            output.draw(sys.stderr, output.WIPE)
            sys.stderr.flush()
            self._drawn = False

    # ---- the outcomes ----

    def done(self) -> int:
        self.say(f"done: the task of '{self.id}' is complete{self._figures()}")
        self.say(f"  it is at its prompt still: harnex attach --id {self.id}; end it: harnex stop --id {self.id}")
        return errors.DONE

    def person(self, message: str) -> int:
        self.say(f"a person is needed: {message}{self._figures()}")
        self.say(
            f"  look: harnex pane --id {self.id}; answer: harnex approve (or deny) --id {self.id}; "
            f"then follow again: harnex watch --id {self.id}"
        )
        return errors.PERSON_NEEDED

    def lost(self) -> int:
        """The event log is damaged: later events may come twice, or be missing."""
        self._wipe()
        error = lost({"id": self.id}, self._tail.damage, 0)
        print(
            f"harnex: {error.message}\n  the session may go on: harnex status --id {self.id}; "
            f"follow it again: harnex watch --id {self.id}",
            file=sys.stderr,
        )
        return error.exit_code

    def ended(self) -> int:
        """The run has ended. Its history record says how."""
        self._wipe()
        # The supervisor writes the history record before the `exited` event.
        row = finished_run(self._state, self.run_id, None)
        if row is None:
            # If the supervisor was killed, run_of() writes the history record.
            with contextlib.suppress(HarnexError):
                row = run_of(self.run_id, None, None)[1]
        if row is None or "exit" not in row:
            raise HarnexError(f"session '{self.id}' ended without a record", "see: harnex history, harnex doctor")
        code = int(row.get("exit") or 0)
        message = str(row.get("message") or "").strip().splitlines()
        words = f": {message[0]}" if message else ""
        self.say(f"{OUTCOMES.get(code, 'failed')}: session '{self.id}' ended, {row.get('reason')}{words}{figures(row)}")
        if row.get("killed"):
            self.say(f"  ended with it: {killed_words(row['killed'], time.time())}")
        self.say(f"  what happened: harnex events --id {self.id} --snapshot; its output: harnex logs --id {self.id}")
        return code

    def _figures(self) -> str:
        record = next((r for r in registry.live(self._state) if r["run_id"] == self.run_id), None)
        return figures(record) if record is not None else ""


OUTCOMES = {
    errors.DONE: "done",
    errors.FAILED: "failed",
    errors.PERSON_NEEDED: "a person is needed",
    errors.BUDGET: "the budget is spent",
    errors.TIMEOUT: "the time is over",
}


def figures(row: dict[str, Any]) -> str:
    """Return ` (2 turns, 14 calls, 12,345 tokens, 3m05s)`, without the figures that are unknown."""
    usage = row.get("usage") or {}
    whole = (
        row
        if isinstance(row.get("tokens"), int)
        else {
            "tokens": usage.get("total_tokens"),
            "tokens_unknown": (usage.get("unknown") or {}).get("total_tokens"),
        }
    )
    tokens, calls = token_count(whole), row.get("calls")
    turns = row.get("turns") if row.get("turns") is not None else row.get("turn")
    parts = [f"{turns} turn{'' if turns == 1 else 's'}"] if turns else []
    parts += [f"{calls} call{'' if calls == 1 else 's'}"] if isinstance(calls, int) else []
    parts += [f"{tokens} tokens"] if tokens else []
    try:
        end = times.parse_iso(str(row["ended_at"])) if row.get("ended_at") else time.time()
        parts.append(times.age(end - times.parse_iso(str(row.get("started_at")))))
    except ValueError:
        pass
    return f" ({', '.join(parts)})" if parts else ""


def live_line(record: dict[str, Any], tool: str, now: float) -> str:
    state = str(record["state"]) + (f" ({record['dialog']})" if record.get("dialog") else "")
    waiting = record.get("waiting")
    if waiting and waiting.get("until"):
        state = f"waiting for {waiting['for']} until {local_time(waiting['until'], now)}"
    since = record.get("state_since")
    parts = [state + (f" {times.age(now - times.parse_iso(since))}" if since else "")]
    if record.get("turn"):
        parts.append(f"turn {record['turn']}")
    if record.get("calls"):
        parts.append(f"{record['calls']} calls")
    if record.get("tokens"):
        parts.append(f"{token_count(record)} tokens")
    if record.get("background"):
        parts.append(f"{len(record['background'])} in the background")
    if tool:
        parts.append(" ".join(tool.split())[:60])
    return f"harnex: {record['id']}: " + " · ".join(parts)

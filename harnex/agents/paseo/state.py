"""A Paseo agent's state and turns, from the daemon's state file, `inspect` and the provider's own record. Pure.

What was measured and is the reason for most lines here (field/paseo.md, 0.1.65-beta.5):

- `lastStatus: running` is also a permission that waits (only `inspect` tells: `paseo/dialogs.py`), a turn that was stopped
  (`paseo/ending.py`), and what a killed daemon or a killed Codex left behind (`paseo/processes.py`).
- `idle` is also a failed turn (`paseo/turn.py`). So no end is told before the record has it, or a look a second later found
  nothing that speaks against it.
- Attention fields, `wait`'s `idle` and `completed` are never used; a turn is a new `lastUserMessageAt`.
- `send` to a busy agent replaces its turn; to one in `error` it fails and delivers all the same. What is believed is
  the state file. (`agent reload` first would lose the conversation: with Codex 0.169 it silently starts a new thread.)
- A command that fails because the daemon is not there says nothing of the agent: the state is `unknown`.
- The files of a daemon elsewhere can't be read: then `inspect` is all there is of the state, and what `wait` shows of the
  last items tells a failure of Claude from an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harnex import times
from harnex.agents.common.record import Record, glob_escaped
from harnex.agents.contract import Reader, Version
from harnex.agents.paseo import processes as processes
from harnex.agents.paseo.cli import Cli, Reply, shown_host
from harnex.agents.paseo.dialogs import Dialogs
from harnex.agents.paseo.ending import SETTLE, Leaving, Stopping
from harnex.agents.paseo.start import Plan, Start
from harnex.agents.paseo.transcripts import Unread, record_for, record_of
from harnex.agents.paseo.turn import UNSEEN, Daemon, Snapshot, Turn, made, outcome
from harnex.model.facts import (
    AgentSession,
    CommandResult,
    Fact,
    FindFile,
    Observation,
    Over,
    Press,
    Remark,
    Retracted,
    State,
    Submitted,
    TurnEnded,
    Undone,
)

CONFIG = "HARNEX_PASEO"  # the variable that brings the plan
BUSY_EVERY_S = 4.0  # `inspect` while a turn runs; it costs a second of a CPU
BLOCKED_EVERY_S = 2.0
IDLE_EVERY_S = 30.0
LOST_EVERY_S = 3.0
ANEW = "the daemon was started anew in the middle of the turn"


class PaseoState(Reader):
    reads_draft = False
    keeps_agent = True
    boot_s = 18.0  # a daemon's start, and the agent's

    def __init__(self, version: Version | None) -> None:
        self._env: dict[str, str] = {}
        self._now = Snapshot()
        self._files = False  # the daemon's state file is read
        self._shown = ""  # the status that was shown last
        self._turn: Turn | None = None
        self._used: tuple[Any, Any] = (None, None)  # `LastUsage`: when the turn began, and now
        self._lost = ""  # why the daemon can't be believed now
        self._daemon: Daemon | None = None
        self._sent: str | None = None  # a text that is on its way
        self._doubt = ""  # `send` failed, and it must be seen whether the text arrived all the same
        self._leaving: Leaving | None = None
        self._dialogs, self._stopping, self._processes = Dialogs(), Stopping(), processes.Processes()
        self._record: Record = Unread(0.0)
        self._rows_seen = -1

    # ---- start ----

    def recorded(self) -> int:
        return self._record.rows

    def unrecorded(self) -> str:
        if not self._record.readable:
            return f"harnex can't read the records of '{self._provider}'"
        return f"'{self._provider}' wrote no record of its conversation where harnex looks for it"

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        self._env = dict(env)
        self._plan = Plan.load(json.loads(env[CONFIG]))
        self._cli = Cli(self._plan.program, self._plan.host)
        self._start = Start(self._plan, self._cli, self.resumes)
        yield Observation("daemon", State.STARTING, f"the Paseo daemon at {shown_host(self._plan.host)}")
        yield from self._start.begin()

    def _begin(self) -> Iterator[Fact]:
        """There is an agent."""
        self._record = record_for(self._provider.partition("/")[0], self.began or self._plan.began)
        self._record.zone = self.zone
        # Agents of a daemon that is not ours don't carry the run's marker.
        self.marks_tools = self._record.readable and self._plan.private
        if not self._record.readable:
            yield Remark(f"harnex can't read the records of '{self._provider}': its calls stay unknown")
        if not self._start.wanted:
            self._turn = Turn(0.0, self._daemon, opening=True)
        yield AgentSession(self._id)
        pattern = f"{glob_escaped(self._plan.home)}/agents/*/{self._id}.json"
        yield FindFile("state", paths=(pattern,), kind="document")
        yield Press(self._id.encode() + b"\n")  # for the terminal's `paseo attach`
        yield self._cli.inspect(self._id, 1.0)
        yield processes.look()

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        return self._record.whose_tool(env, apart)

    @property
    def _id(self) -> str:
        return self._start.agent

    @property
    def _provider(self) -> str:
        return str(self._start.told.get("Provider") or self._plan.provider)

    @property
    def _opening(self) -> bool:
        return self._turn is not None and self._turn.opening

    # ---- files ----

    def document(self, source: str, document: dict[str, Any] | None) -> Iterable[Fact]:
        if source == "daemon" and document is not None and isinstance(document.get("pid"), int):
            identity = (int(document["pid"]), str(document.get("startedAt") or ""))
            if self._daemon is not None and identity != self._daemon:
                self._processes.another_daemon()
                if self._files:  # else it may be another one than that which was named
                    yield Remark("the Paseo daemon was started anew")
            self._daemon = identity
            if self._id:
                yield self._cli.inspect(self._id)
        elif source == "state" and document is not None:
            self._files = True
            yield from self._look(Snapshot.of_file(document))
        elif source == "state" and self._files and self._leaving is None:
            yield self._cli.inspect(self._id)  # was it deleted?

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        if not self._id:  # a run that is over is read again
            self._record = self._record if self._record.readable else record_of(row, self.began)
            self._record.zone = self.zone
            yield from self._record.again(source, row)
            return
        open_tool = self._record.asked
        yield from self._record.row(source, row)
        if self._record.asked and self._record.asked != open_tool and self._now.status == "running":
            yield self._cli.inspect(self._id, 0.3)  # it may ask for permission
        if self._ripe():
            yield from self._close()

    def _look(self, now: Snapshot) -> Iterator[Fact]:
        """The state as it is now."""
        before, self._now = self._now, now
        if now.session and now.session != before.session:
            if before.session:
                yield Remark("Paseo has begun a new conversation: the agent does not know what was said before")
                self._record = record_for(self._provider.partition("/")[0], self.began or self._plan.began)
                self._record.zone = self.zone
            yield from self._record.find(self._env.get("HOME", "").rstrip("/"), self._env, now.session)
        if now.prompted_at != before.prompted_at:
            known = self._shown or before.prompted_at
            runs = now.status == "running" and not now.older_than(self._daemon)
            if known or not self._start.wanted:
                yield from self._prompt(times.seconds(now.prompted_at) or 0.0)
            elif runs:  # the agent was there before, in the middle of a turn; one that was over is not ours
                yield from self._prompt(0.0)
        if not self._lost:
            yield from self._show()

    def _prompt(self, since: float) -> Iterator[Fact]:
        """The agent took a prompt."""
        opening = self._opening
        if self._turn is not None and not self._turn.opening:
            yield self._end(made("interrupted", "another message took its place"))
        self._turn = Turn(since, self._daemon, opening)
        self._used = (self._used[1], self._used[1])
        self._stopping.another_turn()
        self._processes.another_turn()
        text, self._sent, self._doubt = self._sent or "", None, ""
        if not opening:
            yield Submitted("statefile", text)

    def _show(self) -> Iterator[Fact]:
        """What the status means now."""
        status = self._shown = self._now.status
        if status == "running" and self._now.older_than(self._daemon):
            yield from self._lose_turn(ANEW)
        elif status == "running" and self._turn is None and self._stopping.asked:
            yield Observation("statefile", State.BUSY, "Paseo: running, after a stop")
        elif status == "running":
            self._turn = self._turn or Turn(0.0, self._daemon)
            self._turn.confirming = False
            yield Observation("statefile", State.STARTING if self._opening else State.BUSY, "Paseo: running")
            yield self._cli.inspect(self._id, BUSY_EVERY_S)
        elif status in ("idle", "error", "closed"):
            yield from self._dialogs.gone()
            if self._turn is None:
                yield self._at_rest()
            elif self._ripe():
                yield from self._close()
            elif not self._turn.confirming and not self._stopping.climbing:
                yield from self._confirm(self._turn)
        elif status == "initializing":
            yield Observation("statefile", State.STARTING, "Paseo: initializing")
            yield self._cli.inspect(self._id, 1.0)
        else:
            yield Observation("statefile", State.UNKNOWN, f"Paseo: unknown status {status!r}")
            yield Remark(f"Paseo tells an unknown status: {status[:40]!r}")

    def _at_rest(self) -> Observation:
        words = {"error": "the last turn failed", "closed": "not loaded; a message loads it"}
        return Observation(
            "statefile", State.PROMPT, f"Paseo: {self._now.status} {words.get(self._now.status, '')}".strip()
        )

    def _lose_turn(self, why: str) -> Iterator[Fact]:
        """The turn is gone, and the daemon doesn't know it: `wait` loads the agent, which mends the status."""
        if self._turn is not None:
            yield from self._record.cut(died=True)
            yield self._end(made("interrupted", why))
        yield from self._dialogs.gone()
        yield Observation("statefile", State.UNKNOWN, why)
        yield self._cli.wait(self._id)

    # ---- the end of a turn ----

    def _ripe(self) -> bool:
        """Whether the record explains the end that the status shows. After a stop and for `closed` Paseo is asked
        once more: a late message may open a turn that never ends, or the daemon is going down."""
        now, turn = self._now, self._turn
        if turn is None or now.status not in ("idle", "error") or self._stopping.asked or self._lost:
            return False
        if now.older_than(self._daemon) or not self._files:
            return False
        return now.status == "error" or self._record.end(turn.since) is not None

    def _confirm(self, turn: Turn) -> Iterator[Fact]:
        turn.confirming = True
        if self._now.status == "closed":
            yield self._cli.inspect(self._id)
        elif self._files:
            yield SETTLE
        else:
            yield self._cli.wait(self._id)  # it shows the last items, and the error

    def _close(self) -> Iterator[Fact]:
        turn = self._turn
        assert turn is not None
        turn.confirming = False
        before, used = self._used
        turn.used = used != before and isinstance(used, dict) and any(used.values())
        end = outcome(turn, self._now, self._record, self._daemon, self._stopping.asked, self._files)
        if end.outcome == "completed" or self._record.end(turn.since) is not None:
            yield from self._record.over()
        else:
            gone = self._now.status == "closed" or turn.daemon != self._daemon
            yield from self._record.cut(died=gone or end.outcome == "failed")
        self._turn = None
        if turn.opening and end.outcome == "failed" and end.detail != UNSEEN:
            yield Over("boot_failure", f"the agent's first call failed ({end.reason}): {end.detail}")
            return
        if turn.opening:
            yield Retracted("daemon")
        else:
            yield end
        yield self._at_rest()

    def _end(self, end: TurnEnded) -> TurnEnded:
        self._turn = None
        return end

    # ---- what `inspect` and `ps` say ----

    def _reachable(self, reply: Reply) -> Iterator[Fact]:
        if reply.lost:
            why = f"the Paseo daemon at {shown_host(self._plan.host)} does not answer: {reply.words}"
            if not self._lost:
                yield Remark(why)
            self._lost = why
            yield Observation("daemon", State.UNKNOWN, why)
            yield self._cli.inspect(self._id, LOST_EVERY_S)
            if self._stopping.climbing:
                self._stopping.over()
                yield Undone("stop", why)
        elif self._lost:
            self._lost = ""
            yield Retracted("daemon")
            if self._files:
                yield from self._look(self._now)
            elif self._shown:
                yield from self._show()

    def _on_inspect(self, reply: Reply) -> Iterator[Fact]:
        if reply.lost:
            return
        if not reply.ok:
            if "not found" in reply.words:
                yield Over("failure", f"the Paseo agent {self._id} is gone: {reply.words}")
            else:
                yield Remark(f"paseo inspect: {reply.words}")
                yield self._cli.inspect(self._id, BUSY_EVERY_S)
            return
        data = reply.data if isinstance(reply.data, dict) else {}
        self._used = (self._used[0], data.get("LastUsage"))
        if not self._files and not self._plan.private:
            yield from self._without_files(data)
        if self._doubt:
            why, self._doubt, self._sent = self._doubt, "", None
            yield Undone("deliver", why if self._files else f"{why}; whether it arrived is not known")
        yield from self._dialogs.waiting(data.get("PendingPermissions"), self._record)
        running = self._now.status == "running" and not self._dialogs.request
        if self._turn is not None and self._turn.confirming and self._now.status == "closed":
            yield from self._close()
        elif running and not self._stopping.climbing and self._phantom():
            self._stopping.begin(ours=False)  # a stop that was not ours: the agent is not archived for it
            yield from self._climb()
        self._rows_seen = self._record.rows
        if self._dialogs.request or self._opening:
            yield self._cli.inspect(self._id, BLOCKED_EVERY_S)
        else:
            yield self._cli.inspect(self._id, BUSY_EVERY_S if self._now.status == "running" else IDLE_EVERY_S)

    def _without_files(self, data: dict[str, Any]) -> Iterator[Fact]:
        """The daemon's files are elsewhere (another machine, another home): what `inspect` says must do."""
        status = str(data.get("Status") or "")
        if self._shown == "":
            yield Remark(
                f"no state file below {self._plan.home} is of this agent: its state comes from `inspect` alone, which "
                "is slower, and its calls are not known"
            )
            if self._start.wanted and status == "running":
                yield from self._prompt(0.0)
        before, self._now = self._now, Snapshot(status)
        if self._sent is not None and status == "running" != before.status:
            yield from self._prompt(0.0)
        if status != before.status or self._shown == "":
            yield from self._show()

    def _phantom(self) -> bool:
        """Running, but its record says that it was interrupted, and nothing came since the last look."""
        said = self._record.end(self._turn.since if self._turn is not None else 0.0)
        return said is not None and said.outcome == "interrupted" and self._record.rows == self._rows_seen

    def _climb(self) -> Iterator[Fact]:
        rung = self._stopping.rung(self._cli, self._id)
        if rung is not None:
            yield rung
            return
        why = "it was stopped, and Paseo still says running"
        yield Observation("statefile", State.UNKNOWN, why)
        yield Undone("stop", why)

    def _on_processes(self, result: CommandResult) -> Iterator[Fact]:
        """Is the daemon there, and below it the provider's process?"""
        if result.code is None or self._leaving is not None:
            return  # no `ps` here: then this is not known
        yield processes.look(processes.BUSY_EVERY_S if self._turn is not None or self._lost else processes.IDLE_EVERY_S)
        if self._daemon is None:
            return
        # On a daemon that others use, too, it can't be known whose process is whose.
        families = ("claude", "codex") if self._plan.private else ()
        family = next((f for f in families if self._provider.startswith(f)), "")
        seen = self._processes.compare(result.out, self._daemon[0], family, self._now.status == "running")
        if seen == "daemon gone" and self._plan.private:
            yield Over("killed", "the Paseo daemon of this session is gone (killed, or crashed)")
        elif seen == "daemon gone" and not self._lost:
            yield self._cli.inspect(self._id)
        elif seen == "provider gone" and self._turn is not None:
            why = f"the process of {family} died, and Paseo still says running"
            yield from self._record.cut(died=True)
            yield self._end(made("failed", why))
            yield from self._dialogs.gone()
            yield Observation("statefile", State.UNKNOWN, why)
            yield self._cli.call("reload", "agent", "reload", self._id)

    def _on_wait(self, reply: Reply) -> Iterator[Fact]:
        if reply.lost:
            if self._turn is not None:
                self._turn.confirming = False  # it is asked again when the daemon answers
            return
        if self._now.status == "running" and self._now.older_than(self._daemon):
            yield self._cli.call("reload", "agent", "reload", self._id)
        turn = self._turn
        if turn is None or not turn.confirming or self._files:
            return
        words = str(reply.get("message") or "") if reply.ok else ""
        turn.said = words.partition("activity items:\n")[2]  # "Agent is idle.\nLast 5 activity items:\n..."
        if self._now.status == "error":
            self._now = Snapshot("error", error=words)
        if self._now.status in ("idle", "error"):
            yield from self._close()

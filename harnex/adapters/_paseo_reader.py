"""A Paseo agent's state and turns, from the daemon's state file, `inspect` and the provider's own record. Pure.

What was measured and is the reason for most lines here (field/paseo.md, 0.1.65-beta.5):

- `lastStatus: running` is also a permission that waits (only `inspect` tells), a turn that was stopped (a late message
  opens one that never ends; a second `stop` clears it), and what a killed daemon or a killed Codex left behind.
- `idle` is also a failed turn: the record tells (`_paseo_records`). So no end is told before the record has it, or an
  `inspect` a second later found nothing that speaks against it.
- Attention fields, `wait`'s `idle` and `completed` are never used; a turn is a new `lastUserMessageAt`.
- `send` to a busy agent replaces its turn; to one in `error` it fails and delivers all the same. What is believed is
  the state file. (`agent reload` first would lose the conversation: with Codex 0.169 it silently starts a new thread.)
- A command that fails because the daemon is not there says nothing of the agent: the state is `unknown`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harnex.adapters._base import Reader, Version
from harnex.adapters._codex_rollout import seconds
from harnex.adapters._paseo_cli import Cli, Reply, read, shown_host
from harnex.adapters._paseo_records import Record, record_for
from harnex.adapters._paseo_start import Plan, Start
from harnex.model import (
    AgentSession,
    CommandResult,
    Fact,
    FindFile,
    Observation,
    Over,
    Press,
    Remark,
    Retracted,
    RunCommand,
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
# A moment: for the turn that a late message opens after a stop (it came within 10 ms), and for a record that lags.
SETTLE = RunCommand("settle", ("true",), 10.0, 1.2)
PROCESSES = ("ps", "-A", "-o", "pid=,ppid=,args=")
STOP_RUNGS = ("stop", "stop", "archive")  # no `reload`: it may lose the conversation
DIALOG_OF_TOOL = {"AskUserQuestion": "question", "ExitPlanMode": "plan"}
YES_NO = ("Allow", "Deny")


class PaseoReader(Reader):
    reads_draft = False
    boot_s = 18.0  # a daemon's start, and the agent's
    force_says = "Paseo has no queue: this message cancels the running turn and takes its place"

    def __init__(self, version: Version | None) -> None:
        self._env: dict[str, str] = {}
        self._file: dict[str, Any] | None = None  # the state file
        self._status = ""
        self._prompted_at = ""  # its lastUserMessageAt
        self._turn_from = 0.0  # the same of the open turn, epoch seconds; 0: not known
        self._turn_open = False
        self._opening = False
        self._confirming = False  # an idle that the record does not explain yet is looked at once more
        self._permission: tuple[str, str] | None = None  # request id, tool
        self._answered: set[str] = set()
        self._options: tuple[str, ...] = YES_NO
        self._lost = ""  # why the daemon can't be believed now
        self._daemon: tuple[int, str] | None = None  # pid, startedAt
        self._turn_daemon: tuple[int, str] | None = None  # the one that the open turn began on
        self._daemon_seen = self._provider_seen = False
        self._provider_gone = 0
        self._sent: str | None = None  # a text that is on its way
        self._sent_after = ""  # lastUserMessageAt before it
        self._doubt = ""  # `send` failed, and it must be seen whether the text arrived all the same
        self._rungs: list[str] = []  # what is left to do about a turn that does not stop
        self._stopping = False
        self._stopped = False  # we asked for the end of the open turn
        self._leaving = False
        self._record: Record = Record()
        self._session = ""
        self._rows_seen = -1
        self._said = ""

    # -- start -----------------------------------------------------------------------------------

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        self._env = dict(env)
        self._plan = Plan.load(json.loads(env[CONFIG]))
        self._cli = Cli(self._plan.program, self._plan.host)
        self._start = Start(self._plan, self._cli)
        yield Observation("daemon", State.STARTING, f"the Paseo daemon at {shown_host(self._plan.host)}")
        yield from self._start.begin()

    def _begin(self) -> Iterator[Fact]:
        """There is an agent."""
        plan, told = self._plan, self._start.told
        provider = str(told.get("Provider") or plan.provider.partition("/")[0])
        self._record = record_for(provider, plan.began)
        if not self._record.readable:
            yield Remark(f"harnex can't read the records of '{provider}': its calls stay unknown")
        self._opening = not plan.adopt
        yield AgentSession(self._id)
        yield FindFile("state", f"{plan.home}/agents/*/{self._id}.json", "document")
        yield Press(self._id.encode() + b"\n")  # for the terminal's `paseo attach`
        yield self._cli.inspect(self._id, 1.0)
        yield RunCommand("processes", PROCESSES, 10.0)

    @property
    def _id(self) -> str:
        return self._start.agent

    # -- files -----------------------------------------------------------------------------------

    def document(self, source: str, document: dict[str, Any] | None) -> Iterable[Fact]:
        if source == "daemon" and document is not None and isinstance(document.get("pid"), int):
            identity = (int(document["pid"]), str(document.get("startedAt") or ""))
            if self._daemon is not None and identity != self._daemon:
                self._daemon_seen = False
                yield Remark("the Paseo daemon was started anew")
            self._daemon = identity
            if self._id:
                yield self._cli.inspect(self._id)
        elif source == "state" and document is not None:
            self._file = document
            yield from self._look()
        elif source == "state" and self._file is not None and not self._leaving:
            yield self._cli.inspect(self._id)  # was it deleted?

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        open_tool = self._record.asked
        yield from self._record.row(source, row)
        if self._record.asked and self._record.asked != open_tool and self._status == "running":
            yield self._cli.inspect(self._id, 0.3)  # it may ask for permission
        if self._turn_open and self._ripe():
            yield from self._close()

    def _look(self) -> Iterator[Fact]:
        """The state file as it is now."""
        file = self._file or {}
        self._status = str(file.get("lastStatus") or "")
        persistence = file.get("persistence")
        session = persistence.get("sessionId") if isinstance(persistence, dict) else None
        if isinstance(session, str) and session and session != self._session:
            if self._session:
                yield Remark("Paseo has begun a new conversation: the agent does not know what was said before")
                self._record = record_for(self._provider.partition("/")[0], self._plan.began)
            self._session = session
            from_end = bool(self._plan.adopt)
            yield from self._record.find(self._env.get("HOME", "").rstrip("/"), self._env, session, from_end)
        at = str(file.get("lastUserMessageAt") or "")
        if at != self._prompted_at:
            known, self._prompted_at = self._said or self._prompted_at, at
            if not known and self._plan.adopt and self._status != "running":
                pass  # its last turn was over when it was taken over
            else:
                yield from self._prompt(0.0 if not known and self._plan.adopt else seconds(at) or 0.0)
        if self._lost:
            return
        yield from self._show()

    def _prompt(self, at: float) -> Iterator[Fact]:
        """The agent took a prompt."""
        if self._turn_open and not self._opening:
            yield self._end_of("interrupted", "another message took its place")
        self._turn_open, self._turn_from = True, at
        self._stopped = self._stopping = self._confirming = False
        self._provider_gone, self._turn_daemon = 0, self._daemon
        text, self._sent, self._doubt = self._sent or "", None, ""
        if not self._opening:
            yield Submitted("statefile", text)

    def _show(self) -> Iterator[Fact]:
        """What the status means now."""
        status = self._status
        self._said = status
        if status == "running" and self._stale():
            yield from self._lose_turn("the daemon was started anew in the middle of the turn")
        elif status == "running" and not self._turn_open and self._stopped:
            yield Observation("statefile", State.BUSY, "state file: running, after a stop")
        elif status == "running":
            self._turn_open, self._confirming = True, False
            yield Observation("statefile", State.STARTING if self._opening else State.BUSY, "state file: running")
            yield self._cli.inspect(self._id, BUSY_EVERY_S)
        elif status in ("idle", "error", "closed"):
            yield from self._unblock()
            if not self._turn_open:
                yield self._at_rest()
            elif self._ripe():
                yield from self._close()
            elif not self._confirming and not self._stopping:
                self._confirming = True
                yield self._cli.inspect(self._id) if status == "closed" else SETTLE
        elif status == "initializing":
            yield Observation("statefile", State.STARTING, "state file: initializing")
            yield self._cli.inspect(self._id, 1.0)
        else:
            yield Observation("statefile", State.UNKNOWN, f"state file: unknown status {status!r}")
            yield Remark(f"the state file has an unknown status: {status[:40]!r}")

    def _at_rest(self) -> Observation:
        words = {"error": "the last turn failed", "closed": "not loaded; a message loads it"}
        return Observation(
            "statefile", State.PROMPT, f"state file: {self._status} {words.get(self._status, '')}".strip()
        )

    def _stale(self) -> bool:
        """`running` that a daemon wrote which is gone: the new one keeps the file as it is until it loads the agent."""
        started = seconds(self._daemon[1]) if self._daemon else None
        written = seconds((self._file or {}).get("updatedAt"))
        return started is not None and written is not None and written < started

    def _lose_turn(self, why: str) -> Iterator[Fact]:
        """The turn is gone, and the daemon doesn't know it: `wait` loads the agent, which mends the status."""
        if self._turn_open:
            yield self._end_of("interrupted", why)
        yield from self._unblock()
        yield Observation("statefile", State.UNKNOWN, why)
        yield self._cli.call("wait", "wait", "--timeout", "5s", self._id)

    # -- the end of a turn -----------------------------------------------------------------------

    def _ripe(self) -> bool:
        """Whether the record explains the end that the state file shows. After a stop and for `closed` Paseo is asked
        once more: a late message may open a turn that never ends, or the daemon is going down."""
        if self._status not in ("idle", "error") or self._stopped or self._lost or self._stale():
            return False
        return self._status == "error" or self._record.end(self._turn_from) is not None

    def _close(self) -> Iterator[Fact]:
        self._confirming = False
        yield from self._record.over()
        end = self._outcome()
        if self._opening:
            self._opening = self._turn_open = False
            if end.outcome == "failed":
                yield Over("boot_failure", f"the agent's first call failed ({end.reason}): {end.detail}")
            else:
                yield self._at_rest()
                yield Retracted("daemon")
            return
        yield self._end(end)
        yield self._at_rest()

    def _outcome(self) -> TurnEnded:
        """How the open turn ended. Completed is said only if the provider's own record says so."""
        said = self._record.end(self._turn_from, complete=True)
        error = str((self._file or {}).get("lastError") or "") if self._status == "error" else ""
        if self._stopped and (said is None or said.outcome != "completed"):
            return self._made("interrupted", "it was stopped")
        if error.startswith("[ede_diagnostic]"):
            return self._made("interrupted", error)  # `permit deny --interrupt`
        if self._status == "error" and (said is None or said.outcome == "completed"):
            reason, retry_at = self._record.classify(error)
            return TurnEnded("statefile", "failed", "", reason, error or "the agent is in error", retry_at)
        if said is not None:
            return said
        if self._status == "closed":
            return self._made("interrupted", "the daemon let go of the agent in the middle of the turn")
        if self._turn_daemon != self._daemon:  # whatever loads the agent then mends the file, a person's `attach` too
            return self._made("interrupted", "the daemon was started anew in the middle of the turn")
        if not self._record.readable:
            return self._made("failed", f"it is {self._status}, but its outcome can't be known: no readable record")
        return self._made("failed", f"Paseo says {self._status}, but the agent's own record has no answer")

    def _made(self, outcome: Any, detail: str) -> TurnEnded:
        return TurnEnded("statefile", outcome, reason="other" if outcome == "failed" else "", detail=detail)

    def _end_of(self, outcome: Any, detail: str) -> TurnEnded:
        return self._end(self._made(outcome, detail))

    def _end(self, end: TurnEnded) -> TurnEnded:
        self._turn_open = self._opening = False
        return end

    # -- commands --------------------------------------------------------------------------------

    def command(self, result: CommandResult) -> Iterable[Fact]:
        name = result.name
        if name == "processes":
            yield from self._processes(result)
            return
        reply = read(result)
        if not self._id and not self._leaving:
            yield from self._start.command(name, reply, result)
            if self._id:
                yield from self._begin()
            return
        if self._leaving:
            yield from self._leave(name, reply)
            return
        if name != "settle":
            yield from self._reachable(reply)
        handler = getattr(self, f"_on_{name.replace('-', '_')}", None)
        if handler is not None:
            yield from handler(reply)

    def _reachable(self, reply: Reply) -> Iterator[Fact]:
        if reply.lost:
            why = f"the Paseo daemon at {shown_host(self._plan.host)} does not answer: {reply.words}"
            if not self._lost:
                yield Remark(why)
            self._lost = why
            yield Observation("daemon", State.UNKNOWN, why)
            yield self._cli.inspect(self._id, LOST_EVERY_S)
        elif self._lost:
            self._lost = ""
            yield Retracted("daemon")
            if self._file is not None:
                yield from self._look()

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
        if self._doubt:
            why, self._doubt, self._sent = self._doubt, "", None
            yield Undone("deliver", why)
        if self._file is None:
            yield from self._without_file(data)
        yield from self._permissions(data.get("PendingPermissions"))
        running = self._status == "running" and not self._permission
        if self._confirming and self._status == "closed":
            yield from self._close()
        elif running and not self._stopping and self._phantom():
            self._rungs = list(STOP_RUNGS[:2])  # a stop that was not ours: it is not archived for it
            yield from self._climb()
        self._rows_seen = self._record.rows
        if self._permission or self._opening:
            yield self._cli.inspect(self._id, BLOCKED_EVERY_S)
        else:
            yield self._cli.inspect(self._id, BUSY_EVERY_S if self._status == "running" else IDLE_EVERY_S)

    def _without_file(self, data: dict[str, Any]) -> Iterator[Fact]:
        """The daemon's files are elsewhere (another machine, another home): what `inspect` says must do."""
        if self._said == "":
            yield Remark(
                f"there is no state file below {self._plan.home}: the state comes from `inspect`, which is slower"
            )
        before, self._status = self._status, str(data.get("Status") or "")
        if self._sent is not None and self._status == "running":
            yield from self._prompt(0.0)
        if self._status != before or self._said == "":
            yield from self._show()

    def _permissions(self, pending: Any) -> Iterator[Fact]:
        rows = [p for p in pending if isinstance(p, dict)] if isinstance(pending, list) else []
        waiting = [(str(p.get("id")), str(p.get("tool"))) for p in rows if str(p.get("id")) not in self._answered]
        if not waiting:
            yield from self._unblock()
            return
        self._permission = waiting[0]
        tool = waiting[0][1]
        dialog = DIALOG_OF_TOOL.get(tool, "permission")
        question = self._question()
        self._options = tuple(question[1]) if question and dialog == "question" else YES_NO
        words = self._record.asked or tool
        yield Observation("inspect", State.BLOCKED, f"Paseo waits for permission: {words}", dialog, self._options)

    def _unblock(self) -> Iterator[Fact]:
        if self._permission is not None:
            self._permission = None
            yield Retracted("inspect")

    def _phantom(self) -> bool:
        """Running, but its record says that it was interrupted, and nothing came since the last look."""
        said = self._record.end(self._turn_from)
        return said is not None and said.outcome == "interrupted" and self._record.rows == self._rows_seen

    def _processes(self, result: CommandResult) -> Iterator[Fact]:
        """Is the daemon there, and below it the provider's process? Paseo does not notice that Codex died."""
        if result.code is None or self._leaving:
            return  # no `ps` here: then this is not known
        yield RunCommand("processes", PROCESSES, 10.0, 2.0 if self._turn_open or self._lost else 5.0)
        parents, names = _table(result.out)
        if self._daemon is None:
            return
        if self._daemon[0] not in names:
            if self._plan.private and self._daemon_seen:
                yield Over("killed", "the Paseo daemon of this session is gone (killed, or crashed)")
            elif self._daemon_seen and not self._lost:
                yield self._cli.inspect(self._id)
            return
        self._daemon_seen = True
        family = next((f for f in ("claude", "codex") if self._provider.startswith(f)), "")
        if not family or not self._plan.private:
            return  # on a daemon that others use, too, it can't be known whose process is whose
        there = any(family in names[pid] for pid in _below(self._daemon[0], parents))
        if there or self._status != "running":
            self._provider_seen, self._provider_gone = there, 0
        elif self._provider_seen:
            self._provider_gone += 1
            if self._provider_gone == 2 and self._turn_open:
                why = f"the process of {family} died, and Paseo still says running"
                yield self._end_of("failed", why)
                yield from self._unblock()
                yield Observation("statefile", State.UNKNOWN, why)
                yield self._cli.call("reload", "agent", "reload", self._id)

    @property
    def _provider(self) -> str:
        return str(self._start.told.get("Provider") or self._plan.provider)

    def _on_wait(self, reply: Reply) -> Iterator[Fact]:
        if self._status == "running" and self._stale() and not reply.lost:
            yield self._cli.call("reload", "agent", "reload", self._id)

    # -- messages --------------------------------------------------------------------------------

    def deliver(self, text: str) -> Iterable[Fact]:
        if self._lost:
            yield Undone("deliver", self._lost)
            return
        self._sent, self._sent_after = text, self._prompted_at
        yield self._cli.send(self._id, self._plan.message_file, text)

    def _on_reload(self, reply: Reply) -> Iterator[Fact]:
        if not reply.ok:
            yield Remark(f"paseo agent reload: {reply.words}")
        yield self._cli.inspect(self._id)

    def _on_send(self, reply: Reply) -> Iterator[Fact]:
        if self._sent is None:
            return  # its arrival was seen
        if reply.ok and reply.get("status") == "sent":
            yield self._cli.inspect(self._id)
            if self._file is None:
                yield from self._prompt(0.0)
                self._status = "running"
                yield from self._show()
            return
        # `SEND_FAILED … failed to start` is said of messages that were delivered: never send it again unseen.
        self._doubt = f"paseo send: {reply.words or reply.data}"
        if reply.lost:
            self._doubt, why, self._sent = "", self._doubt, None
            yield Undone("deliver", f"{why}; whether it arrived is not known")
        else:
            yield self._cli.inspect(self._id, 0.5)

    # -- dialogs ---------------------------------------------------------------------------------

    def answer(self, verb: str, option: int | None, text: str | None) -> Iterable[Fact] | None:
        if self._permission is None:
            raise ValueError("no permission is waiting any more")
        request, tool = self._permission
        if option is not None and not 1 <= option <= len(self._options):
            raise ValueError(f"there is no option {option}: " + " · ".join(self._options))
        words: tuple[str, ...] = ()
        if DIALOG_OF_TOOL.get(tool) == "question" and verb == "approve":
            words = ("--input", self._chosen(option, text))
        elif text is not None:
            raise ValueError("this dialog takes no text")
        elif option == 2 and self._options == YES_NO:
            verb = "deny"
        self._answered.add(request)
        allow = "allow" if verb == "approve" else "deny"
        return [self._cli.call("permit", "permit", allow, *words, self._id, request)]

    def _question(self) -> tuple[dict[str, Any], list[str]] | None:
        """The one question that is asked, and what may be chosen; None: not to be seen, or several."""
        given = (self._record.question or {}).get("questions")
        if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
            return None
        choices = given[0].get("options")
        labels = [str(o.get("label")) for o in choices if isinstance(o, dict)] if isinstance(choices, list) else []
        return given[0], labels

    def _chosen(self, option: int | None, text: str | None) -> str:
        """The input that carries the answer: a bare `allow` tells the model that nobody answered."""
        found = self._question()
        if found is None:
            raise ValueError("its questions can't be read: answer in Paseo itself, or deny")
        if option is None and text is None:
            raise ValueError("choose with --option N, or answer with --text: " + " · ".join(found[1]))
        answer = text if text is not None else found[1][(option or 1) - 1]
        given = {**(self._record.question or {}), "answers": {str(found[0].get("question")): answer}}
        return json.dumps(given, ensure_ascii=False)

    def _on_permit(self, reply: Reply) -> Iterator[Fact]:
        if reply.ok:
            yield from self._unblock()
            yield self._cli.inspect(self._id, 0.5)
        else:
            self._answered.clear()
            yield Undone("answer", reply.words)
            yield self._cli.inspect(self._id)

    # -- stopping --------------------------------------------------------------------------------

    def ask(self, what: str) -> Iterable[Fact] | None:
        if what == "interrupt":
            return self._interrupt()
        if what == "leave":
            self._leaving = True
            return self._leave("", Reply(True))
        return ()

    def _interrupt(self) -> Iterator[Fact]:
        if self._id and not self._lost and (self._turn_open or self._status == "running"):
            self._stopped, self._rungs = True, list(STOP_RUNGS)
            yield from self._climb()

    def _climb(self) -> Iterator[Fact]:
        """The next rung: stop, stop (a late message may have opened a turn), archive."""
        self._stopping = bool(self._rungs)
        rung = self._rungs.pop(0) if self._rungs else ""
        if not rung:
            yield Observation("statefile", State.UNKNOWN, "it was stopped, and Paseo still says running")
        elif rung == "archive":
            yield self._cli.call("archive", "archive", "--force", self._id)
        else:
            yield self._cli.call("stop", "stop", self._id)

    def _on_stop(self, reply: Reply) -> Iterator[Fact]:
        yield SETTLE

    _on_archive = _on_stop

    def _on_settle(self, reply: Reply) -> Iterator[Fact]:
        """A moment after a stop, or after an end that the record does not explain: what does the file say now?"""
        if self._status not in ("idle", "error", "closed"):
            if self._stopping and not self._lost:
                yield from self._climb()
        elif self._stopping or self._confirming:
            self._stopping = False
            if self._turn_open:
                yield from self._close()
            elif self._stopped:
                yield self._at_rest()

    def _leave(self, name: str, reply: Reply) -> Iterator[Fact]:
        """Our agent's process is let go (it holds 100 MB and more), then our daemon; what was there before, stays."""
        ours = self._id and not self._plan.adopt and not self._plan.private and not self._lost
        if name == "" and ours:
            yield self._cli.call("leave-agent", "archive", "--force", self._id)
        elif name == "" and self._plan.private:
            yield self._cli.stop_daemon(self._plan.home)
        elif name in ("", "leave-agent", "daemon-stop"):
            if name and not reply.ok:
                yield Remark(f"paseo {name}: {reply.words}")
            yield Over()

    def ended(self) -> Iterable[Fact]:
        yield from self._record.over()


def _table(text: str) -> tuple[dict[int, int], dict[int, str]]:
    """`ps` rows: parents and command lines by pid."""
    parents, names = {}, {}
    for line in text.splitlines():
        words = line.split(None, 2)
        if len(words) >= 2 and words[0].isdigit() and words[1].isdigit():
            parents[int(words[0])] = int(words[1])
            names[int(words[0])] = words[2] if len(words) > 2 else ""
    return parents, names


def _below(root: int, parents: dict[int, int]) -> list[int]:
    """The descendants of a process."""
    found, todo = [], [root]
    while todo:
        current = todo.pop()
        children = [pid for pid, parent in parents.items() if parent == current]
        found += children
        todo += children
    return found

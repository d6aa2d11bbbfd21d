"""What harnex does to a Paseo agent, and what came of it: messages, answers, stops, the end. Pure.

Everything is a call of Paseo's CLI, named by what it is for; `paseo/state.py` is the other half of the reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harnex.agents.common.message_text import BLANK, lead
from harnex.agents.paseo.cli import Reply, read
from harnex.agents.paseo.ending import SETTLE, Leaving
from harnex.agents.paseo.state import PaseoState
from harnex.agents.paseo.turn import Snapshot
from harnex.model.facts import CommandResult, Fact, Remark, Undone

ASKED = 7719  # the OSC with which the view asks for an interrupt: a person pressed Ctrl-C in it


class PaseoReader(PaseoState):
    force_says = "Paseo has no queue: this message cancels the running turn and takes its place"

    # ---- what came of a command ----

    def command(self, result: CommandResult) -> Iterable[Fact]:
        name = result.name
        if name == "processes":
            yield from self._on_processes(result)
            return
        reply = read(result)
        if self._leaving is not None:
            yield from self._leaving.command(name, reply)
            return
        if not self._id:
            yield from self._start.command(name, reply, result)
            if self._id:
                yield from self._begin()
            return
        if name != "settle":
            yield from self._reachable(reply)
        handler = getattr(self, f"_on_{name.replace('-', '_')}", None)
        if handler is not None:
            yield from handler(reply)

    # ---- messages ----

    def deliver(self, text: str) -> Iterable[Fact]:
        if self._lost:
            yield Undone("deliver", self._lost)
            return
        # The daemon hands the text to the agent's own SDK, and that of Claude Code runs a `/command` (`claude -p` does).
        self._sent = BLANK + text if lead(text) == "/" else text
        yield self._cli.send(self._id, self._plan.message_file, self._sent)

    def _on_reload(self, reply: Reply) -> Iterator[Fact]:
        if not reply.ok:
            yield Remark(f"paseo agent reload: {reply.words}")
        yield self._cli.inspect(self._id)

    def _on_send(self, reply: Reply) -> Iterator[Fact]:
        if self._sent is None:
            return  # its arrival was seen
        if reply.ok and reply.get("status") == "sent":
            if not self._files:
                yield from self._prompt(0.0)
                self._now = Snapshot("running")
                yield from self._show()
            yield self._cli.inspect(self._id)
            return
        # `SEND_FAILED … failed to start` is said of messages that were delivered: never send it again unseen.
        self._doubt = f"paseo send: {reply.words or reply.data}"
        if reply.lost:
            self._doubt, why, self._sent = "", self._doubt, None
            yield Undone("deliver", f"{why}; whether it arrived is not known")
        else:
            yield self._cli.inspect(self._id, 0.5)

    # ---- dialogs ----

    def answer(self, verb: str, option: int | None, text: str | None) -> Iterable[Fact] | None:
        if self._lost:
            raise ValueError(self._lost)
        return [self._dialogs.answer(self._cli, self._id, verb, option, text, self._record)]

    def _on_permit(self, reply: Reply) -> Iterator[Fact]:
        if reply.ok:
            yield from self._dialogs.gone()
            yield self._cli.inspect(self._id, 0.5)
        else:
            self._dialogs.refused()
            yield Undone("answer", reply.words)
            yield self._cli.inspect(self._id)

    # ---- ending ----

    def osc(self, code: int, body: str) -> Iterable[Fact]:
        return self._interrupt() if code == ASKED and self._id and body == self._plan.label else ()

    def ask(self, what: str) -> Iterable[Fact] | None:
        if what == "interrupt":
            return self._interrupt()
        if what == "leave":
            self._leaving = Leaving(self._start, self._cli)
            return self._leaving.begin(self._lost)
        return ()

    def _interrupt(self) -> Iterator[Fact]:
        if self._lost:
            yield Undone("stop", self._lost)
        elif self._id and not self._stopping.climbing and (self._turn is not None or self._now.status == "running"):
            self._stopping.asked = True
            self._stopping.begin(ours=not self._plan.adopt)
            yield from self._climb()

    def _on_stop(self, reply: Reply) -> Iterator[Fact]:
        if not reply.lost:
            yield SETTLE if self._files else self._cli.look(self._id, SETTLE.after_s)

    _on_archive = _on_stop

    def _on_look(self, reply: Reply) -> Iterator[Fact]:
        yield from self._on_inspect(reply)
        if not reply.lost:
            yield from self._on_settle(reply)

    def _on_settle(self, reply: Reply) -> Iterator[Fact]:
        """A moment after a stop, or after an end that the record does not explain: what does the file say now?"""
        if self._now.status not in ("idle", "error", "closed"):
            if self._stopping.climbing and not self._lost:
                yield from self._climb()
        elif self._stopping.climbing or (self._turn is not None and self._turn.confirming):
            self._stopping.over()
            if self._turn is not None:
                yield from self._close()
            elif self._stopping.asked:
                yield self._at_rest()

    def ended(self) -> Iterable[Fact]:
        if self._turn is None:
            yield from self._record.over()
        yield from self._record.ended()

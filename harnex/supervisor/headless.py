"""A headless session: an agent on pipes, one prompt in, one answer out (`harnex exec`).

Its standard output is a stream of JSON rows. They are kept (redacted) in `evidence/stream.jsonl`
and read by the adapter's headless reader. Its standard error is kept in `evidence/stderr.txt`, and
becomes the error's text if there is no better one. What people should see goes to the session's
terminal, so that `logs`, `pane` and `attach` work as usual.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from harnex import errors, jsonl, paths, process
from harnex.errors import HarnexError
from harnex.launch import answer_schema
from harnex.machines.status import Situation
from harnex.model import events
from harnex.model.facts import FinalAnswer, Submitted
from harnex.supervisor.agent import Agent
from harnex.supervisor.conclusion import Conclusion
from harnex.supervisor.delivery import new_message_id
from harnex.supervisor.journal import Journal
from harnex.supervisor.lines import Lines
from harnex.supervisor.pipes import PipeChild

LINE_MAX = 64 << 20  # bytes of one row
# Bytes: the secrets of a longer row are searched for in slices.
LONG_ROW = 64 << 10
WORD_LINE_MAX = 64 << 10  # bytes of one line of standard error
# What one pass takes before the loop turns to its other business.
ROWS_A_PASS, BYTES_A_PASS = 300, 64 << 10
WORDS_MAX = 4000  # characters of standard error that an error may quote
SHOWN_MAX = 4000  # characters of one piece of text in the recording

REPAIR = (
    "Your last answer is not what was asked for: {problems}\n\nAnswer again, with the corrected JSON value alone: "
    "no words around it, no code fence. It must be valid for this JSON Schema:\n\n{schema}"
)


class Headless:
    """What a session has instead of a terminal to type into."""

    def __init__(
        self,
        journal: Journal,
        agent: Callable[[], Agent],
        situation: Situation,
        conclusion: Conclusion,
        show: Callable[[bytes], None],
    ) -> None:
        """`show` gets the painted output, for the viewers."""
        self._spec, self._redactor = journal.spec, journal.redactor
        self._journal, self._agent, self._situation = journal, agent, situation
        self._turns, self.conclusion, self._show = situation.turns, conclusion, show
        self._directory = paths.subdir(self._spec.state, "runs", self._spec.run_id, "evidence")
        self._out, self._err = Lines(LINE_MAX), Lines(WORD_LINE_MAX)
        self._rows: deque[bytes] = deque()  # complete rows that wait for their turn
        # The search for secrets in the first of `_rows`, if that row is long.
        self._long: Iterator[list[tuple[int, int]] | None] | None = None
        self.words = ""  # the end of standard error
        self._message = ""  # the id of the current prompt
        self._submitted = False
        self._rounds = 0
        self.answer: FinalAnswer | None = None
        self.checked: answer_schema.Checked | None = None
        self._told: FinalAnswer | None = None  # the answer that was reported
        self._repair = ""  # the prompt that asks once more

    # ---- start ----

    def begin(self, text: str) -> None:
        """The agent has the prompt: log the prompt as a sent message."""
        self._message, self._submitted = new_message_id(), False
        self._journal.emit(
            events.Send(
                message_id=self._message,
                msg=text[: events.MSG_LIMIT],
                msg_truncated=len(text) > events.MSG_LIMIT,
                forced=False,
                sender=None,
            )
        )
        self._turns.claim(self._message)

    def submitted(self, fact: Submitted) -> None:
        """The agent has taken the prompt, or began another turn by itself."""
        self.conclusion.went_on()
        if not self._submitted:
            self._submitted = True
            self._journal.emit(events.Delivery(message_id=self._message, status="accepted", error=None))

    # ---- reading ----

    def read(self, now: float) -> bool:
        """Take as much output as a pass of the loop has time for.

        Returns False if there was none.
        """
        agent, child = self._agent(), self._child
        if self._rows:  # rows come first: a full pipe makes its writer wait
            self._take_rows(now)
            return True
        was_open = not child.at_eof
        data, words = child.read(), child.read_errors()
        if words or child.at_eof:
            self._take_words(self._err.cut(words, child.at_eof), now)
        if data or child.at_eof:
            self._rows += self._out.cut(data, child.at_eof)
            self._take_rows(now)
        self._say_skipped()
        if not data and not words:
            return was_open and child.at_eof
        agent.activity.output(now)
        agent.evidence.stir(now)
        self._journal.agent_wrote(now)
        return True

    def go_on(self, now: float) -> None:
        """Show and take more of the output that was read before, if any waits."""
        terminal = self._agent().terminal
        if terminal.unread:
            self._show(terminal.output(b"", now).clean)
        if self.behind:
            self.read(now)

    @property
    def behind(self) -> bool:
        """Whether rows that were read wait for their turn: call `read` again."""
        return bool(self._rows)

    def _say_skipped(self) -> None:
        for lines, what in ((self._out, "row of the agent's output"), (self._err, "line of its standard error")):
            for _ in range(lines.skipped):
                self._journal.diagnose(f"a {what} is too long: left out")
            lines.skipped = 0

    @property
    def _child(self) -> PipeChild:
        child = self._agent().child
        assert isinstance(child, PipeChild)
        return child

    def _take_rows(self, now: float) -> None:
        agent = self._agent()
        kept: list[str] = []
        rows = size = 0
        while self._rows and rows < ROWS_A_PASS and size < BYTES_A_PASS:
            line = self._rows[0]
            rows, size = rows + bool(line.strip()), size + len(line)
            row = jsonl.loads_dict(line) if self._long is None and line.strip() else None
            if self._long is not None or (row is not None and agent.reader.keeps(row)):
                text = line.decode("utf-8", "replace")
                found = self._secrets_of(text)
                if found is None:
                    break
                row = row or jsonl.loads_dict(line)
                kept.append(self._redactor.replaced(text, found))
            self._rows.popleft()
            if row is not None:
                self.conclusion.row(now)
                agent.learn(agent.reader.row("stream", row), now)
            elif line.strip():
                self._keep("stream.jsonl", kept)
                kept = []
                # Some agents say on standard output why they don't start.
                self._take_words([line[:WORD_LINE_MAX]], now)
        self._keep("stream.jsonl", kept)

    def _secrets_of(self, text: str) -> list[tuple[int, int]] | None:
        """Return the spans of secrets. None for a long row that needs another pass."""
        if len(text) <= LONG_ROW:
            return self._redactor.spans(text)
        self._long = self._long or self._redactor.turns(text)
        found = next(self._long)
        if found is not None:
            self._long = None
        return found

    def _take_words(self, lines: list[bytes], now: float) -> None:
        if not lines:
            return
        text = "\n".join(line.decode("utf-8", "replace").rstrip("\r") for line in lines)
        clean = self._redactor.text(text)
        self._keep("stderr.txt", [clean])
        self.words = f"{self.words}\n{clean}"[-WORDS_MAX:].strip()
        self.show(clean, now)

    def _keep(self, name: str, lines: list[str]) -> None:
        if not lines:
            return
        try:
            path = os.path.join(self._directory, name)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write("".join(line + "\n" for line in lines))
        except OSError as e:
            self._journal.diagnose(f"can't keep {name}: {e.strerror}")

    def show(self, text: str, now: float) -> None:
        """Write words for people: into the recording, and to the viewers."""
        if len(text) > SHOWN_MAX:
            text = text[:SHOWN_MAX] + f" … ({len(text)} characters)"
        scanned = self._agent().terminal.output(text.replace("\n", "\r\n").encode("utf-8", "replace") + b"\r\n", now)
        self._show(scanned.clean)

    # ---- the end of a round ----

    def answered(self, fact: FinalAnswer) -> None:
        self.answer = fact

    def again(self, env: dict[str, str], now: float) -> PipeChild | None:
        """The agent is gone and its output was read: check the answer. Returns the process that is
        asked once more, or None.

        Call `asked_again` once that process is the session's.
        """
        spec, agent = self._spec, self._agent()
        turn = self._turns.open
        if spec.schema is None or turn is None or turn.ended is None or turn.ended.outcome != "completed":
            return None
        if not self._must_ask_again() or self.checked is None or not agent.session_id:
            return None
        self._rounds += 1
        argv = tuple(word.replace("{session}", agent.session_id) for word in spec.again)
        text = REPAIR.format(
            problems="; ".join(self.checked.problems), schema=json.dumps(spec.schema, ensure_ascii=False)
        )
        agent.learn(agent.reader.ended(), now)
        try:
            child = PipeChild(argv, env, spec.cwd, text)
        except HarnexError as e:
            self._journal.diagnose(f"the agent can't be asked again: {e.message}")
            return None
        self.conclusion.again()
        self.answer, self.checked, self._repair = None, None, text
        return child

    def asked_again(self, env: dict[str, str], now: float) -> None:
        """The process from `again` has replaced the old one."""
        agent = self._agent()
        self.begin(self._repair)
        self.show("harnex: the answer is not valid for the schema; asked again", now)
        agent.learn(agent.reader.spawned(agent.child.pid, env, self._spec.cwd), now)

    def _must_ask_again(self) -> bool:
        """Check the answer. Returns whether it does not fit and can
        still be asked for once more."""
        spec = self._spec
        if spec.schema is None:
            return False
        answer = self.answer or FinalAnswer("")
        self.checked = answer_schema.check(answer.text, answer.structured, spec.schema)
        return not self.checked.valid and not self._rounds and bool(spec.again)

    def tell(self) -> bool:
        """The agent gave its result: report the answer now.

        Returns False if it is asked for once more.
        """
        if self._must_ask_again():
            return False
        self.close()
        return True

    def close(self) -> None:
        """Report the answer, if there is one that was not reported yet."""
        answer = self.answer
        if answer is None or answer is self._told:
            return
        self._told = answer
        checked = self.checked
        if self._spec.schema is not None and checked is None:
            checked = answer_schema.check(answer.text, answer.structured, self._spec.schema)
        self._journal.emit(
            events.Answer(
                turn=self._situation.turn_number,
                text=answer.text,
                data=checked.data if checked else _json(answer.structured),
                valid=checked.valid if checked else None,
                errors=tuple(checked.problems) if checked else (),
            )
        )

    # ---- how it ended ----

    def why(self) -> tuple[str, str]:
        """Return the reason of the end, and words about it, if the agent ended by itself."""
        child = self._agent().child
        last = self._turns.last
        stands = self.conclusion.stands and last is not None and last.end.outcome == "completed"
        if stands and (child.code or child.signal is not None) and not self.conclusion.ended:
            how = f"code {child.code}" if child.signal is None else f"signal {child.signal}"
            self._journal.diagnose(f"the agent's process ended with {how} after its result, which stands")
        if child.signal is not None and not self.conclusion.stands:
            return ("killed" if last else "boot_failure"), f"the agent was ended by {process.signal_name(child.signal)}"
        if last is None:
            hint = self._agent().reader.hint(self.words)
            return "boot_failure", "\n".join(part for part in (self.words, hint) if part)
        if last.end.outcome != "completed":
            what = last.end.detail or last.end.last_message
            if last.end.source == "process" and self.words:
                what = self.words
            return "failure", what[:WORDS_MAX]
        if child.code and not stands:
            return "failure", self.words or f"the agent exited with code {child.code}"
        if self.checked is not None and not self.checked.valid:
            return "failure", f"the answer is not valid for the schema: {'; '.join(self.checked.problems)}"
        return "success", ""

    @staticmethod
    def exit_code(reason: str, otherwise: int) -> int:
        """Return the exit code.

        A headless run that was stopped has no answer, so it did not succeed.
        """
        return errors.INTERRUPTED if reason == "stopped" else otherwise


def _json(text: str | None) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text) if text else None
    return None

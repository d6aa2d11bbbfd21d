"""Codex's own files, read for their calls: rollouts, and captured `codex exec --json` output (`codex/capture.py`), told apart
by their rows.

The calls of a rollout are put together by `codex/calls.py.Calls` and `codex/turns.py.Turns`, as in a live session. Rows that were
copied from another thread are that thread's (`codex/copied.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from harnex.agents.codex.calls import TOOL_CALLS, TOOL_OUTPUTS, UNTOLD, Calls, calls_of_agents, info_of
from harnex.agents.codex.capture import Capture
from harnex.agents.codex.copied import Copied, Counted, parent_of_agent, spawned
from harnex.agents.codex.old import OldStream, is_stream
from harnex.agents.codex.turns import NOTED, OUTPUT, OUTPUT_HEAD, Turns
from harnex.agents.common.logfile import PLAIN, Log, Logged, Place, counted
from harnex.model.facts import ModelCall, Remark

# The kind of a row; of what is in it where that is told first: `event_msg` and `response_item`; of a message whose it is.
HEAD = re.compile(
    rb"\{"
    + PLAIN
    + rb'"type":"([a-z_]+)"(?:,"payload":\{"type":"(?:message",'
    + PLAIN
    + rb'"role":"([a-z]+)|([a-z_]+))")?'
)
# What `spawn_agent` gives back (0.128 to 0.169); within the row its quotes are escaped.
AGENT = r'^\{"agent_id": ?"([0-9a-f-]{36})"'
SPAWNED = re.compile(rb'"output":"\{\\"agent_id\\": ?\\"([0-9a-f-]{36})\\"')
EVENTS = (b"user_message", b"task_started", b"task_complete", b"turn_aborted", b"token_count")
WANTED = frozenset(
    (b"session_meta", b"turn_context", b"event_msg", b"compacted", b"token_usage_record", b"message", *EVENTS)
)
SPOKEN = ("agent_message", "user_message", "item_completed")
OLD_ITEMS = ("message", "reasoning", *TOOL_CALLS, *TOOL_OUTPUTS)  # bare rows of old rollouts
ITEMS = ("assistant", "reasoning", *TOOL_CALLS, *TOOL_OUTPUTS)  # read for their stamps


class CodexLog(Log):
    head: re.Pattern[bytes] | None = HEAD
    wanted = WANTED
    noted = NOTED

    def __init__(self, full: bool, place: Place | None = None) -> None:
        self._full = full
        if full:
            self.wanted |= {name.encode() for name in (*SPOKEN, "agent_reasoning", *ITEMS)}
            self.noted = {}
        self.session = ""
        self.turns: list[str] = []
        self.difference: str | None = None
        self._place = place or Place()
        self._calls = Calls()
        self._calls.thread = self._place.name
        self._turns = Turns(self._calls)
        self._agent = "main"
        self._cwd = ""
        self._at = ""
        self._copy = Copied()
        self._counted = Counted()
        self._past = False  # the row before was copied
        self._left, self._kept = (
            0,
            0,
        )  # counts that may be copied, and cannot be compared: taken for that, or for own ones
        self._told = 0
        self._numbered = False  # it holds token counts
        self._tools = self._texts = 0  # what the model answered
        self._agents: set[str] = set()  # the threads of its sub-agents
        self._words: dict[str, int] = {}  # what else is to be said, and how often
        self._capture: Capture | OldStream | None = None

    def row(self, row: dict[str, Any]) -> Iterator[Logged]:
        payload = row.get("payload")
        if not isinstance(payload, dict):
            yield from self._bare(row)
            return
        self._at = str(row.get("timestamp") or self._at)
        kind, name = row.get("type"), payload.get("type")
        if self._full:
            self._calls.timed(kind, name, payload, self._at)
        if kind == "session_meta":
            self._meta(payload)
            return
        if kind == "turn_context" or (kind == "event_msg" and name == "task_started"):
            self._copy.turn(payload.get("turn_id"), payload.get("started_at"))
        past = self._is_copied(row.get("ordinal"), payload if name == "token_count" else None)
        if self._past and not past:
            list(self._turns.gone(self._agent))  # what is open there is not of this thread
        self._past = past
        at = self._at if self._full else ""
        if kind == "turn_context":
            self._calls.model = payload.get("model") or self._calls.model
            self._cwd = str(payload.get("cwd") or self._cwd)
        elif kind == "token_usage_record":
            self._numbered = True
            self._of_thread(str(payload.get("thread_id") or ""))
            yield from self._tell(self._calls.record(payload, past, self._agent, at))
        elif kind == "event_msg" and name == "token_count":
            if info_of(payload) is None:
                self._calls.untold(payload)
            else:
                self._numbered = True
            yield from self._tell(self._calls.tokens(payload, past, self._agent, at))
        else:
            if kind == "response_item" and name in TOOL_OUTPUTS and not past:
                self._agents.update(re.findall(AGENT, str(payload.get("output"))[:OUTPUT_HEAD]))
            if kind == "response_item":
                self._answered(str(name) if name != "message" else str(payload.get("role")))
            yield from self._tell(self._turns.row(kind, name, payload, self._agent))
            if kind == "event_msg" and name in SPOKEN:
                self._message(str(name), payload)

    def _bare(self, row: dict[str, Any]) -> Iterator[Logged]:
        """A row without a payload: of a captured stream, or of an old rollout."""
        kind = row.get("type")
        if self._capture is None and not self.session:
            if is_stream(row):
                self._capture, self.head = OldStream(self._place), None
            elif kind is None and isinstance(row.get("id"), str) and "timestamp" in row:
                self.session = str(row["id"])
            elif isinstance(kind, str) and kind not in OLD_ITEMS:
                self._capture, self.head = Capture(self._place), None
        if self._capture is not None:
            yield from self._capture.row(row)
            return
        self._calls.late_items = True  # nothing is known of when its answers were counted
        if isinstance(kind, str):
            self._answered(kind if kind != "message" else str(row.get("role")))

    def _of_thread(self, thread: str) -> None:
        """A record of a call names its thread."""
        if thread and not self._copy.thread and not self.session:
            self.session = self._calls.thread = thread  # the head of the file was cut off
        elif thread != self._calls.thread and thread and thread not in (*self._copy.parents, *self._place.threads):
            self._say(f"a call of thread {thread}, whose file is not among these, is not counted")

    def _answered(self, what: str) -> None:
        """An item of the conversation: the kind of it, or whose message it is."""
        self._tools += what in TOOL_CALLS and not self._past
        self._texts += what == "assistant" and not self._past

    def note(self, kind: bytes, piece: bytes, at: int, end: int) -> None:
        self._answered(kind.decode())
        if NOTED[kind] == OUTPUT and (found := SPAWNED.search(piece, at, min(end, at + OUTPUT_HEAD))):
            self._agents.add(found[1].decode())
        self._turns.note(NOTED[kind], piece, at, end)

    def _meta(self, p: dict[str, Any]) -> None:
        if not self._copy.meta(p, self._at):
            return
        self.session = self._calls.thread = self._copy.thread
        self._copy.forked = self._copy.forked or bool(self._place.shared)
        self._calls.whole = not self._copy.forked
        self._calls.totals.renew(self._place.base)
        self._turns.version(p.get("cli_version"))
        self._cwd = str(p.get("cwd") or "")
        if spawned(p):
            self._agent = str(p.get("agent_nickname") or p.get("agent_role") or p.get("agent_path") or self.session)
            self.session = parent_of_agent(p) or self.session  # the session is the parent's

    def _is_copied(self, ordinal: object, count: dict[str, Any] | None) -> bool:
        """Whether the row is another thread's. Where only the time of its stamp speaks for one or the other, the token
        counts decide: those at the beginning that a relative has, too (`Place.shared`), are the relative's."""
        whose = self._copy.whose(ordinal, self._at)
        if not self._copy.forked:
            return whose == "copied"
        new = count is not None and self._counted.take(count)
        if whose in ("own", "copied"):
            return whose == "copied"
        shared = self._place.shared
        if shared is None:
            self._left += new and whose == "perhaps copied"
            self._kept += new and whose == "perhaps own"
            return whose == "perhaps copied"
        if new:
            return self._counted.count <= shared
        return self._counted.count < shared or whose == "perhaps copied"

    def _message(self, name: str, p: dict[str, Any]) -> None:
        text, mine = "", False
        if name == "item_completed":
            item = p.get("item")
            if isinstance(item, dict) and item.get("type") in ("AgentMessage", "UserMessage"):
                mine = item["type"] == "UserMessage"
                parts = item.get("content")
                text = "".join(str(c.get("text") or "") for c in parts or () if isinstance(c, dict))
        else:
            mine, text = name == "user_message", str(p.get("message") or "")
        if mine and not self._past and self._agent == "main":
            self.turns.append(self._at)
        if text:
            self._calls.said = "" if mine else text

    def _tell(self, found: Iterable[ModelCall | Remark]) -> Iterator[Logged]:
        for fact in found:
            if self._past:
                continue
            if isinstance(fact, Remark):
                self._say(fact.text)
                continue
            if fact.output_tokens is None and not fact.partial:
                self._say(UNTOLD)
            turn = (len(self.turns) or None) if self._full and self._agent == "main" else None
            self._told += 1
            yield Logged(fact, self._at, self.session, self._cwd, turn)

    def _say(self, words: str) -> None:
        self._words[words] = self._words.get(words, 0) + 1

    def end(self) -> Iterator[Logged]:
        if self._capture is not None:
            yield from self._capture.end()
            self.difference = "; ".join(self._capture.words) or None
            return
        yield from self._tell(self._turns.gone(self._agent))
        words = [text if n == 1 else f"{text} ({n} times)" for text, n in self._words.items()]
        if (self._tools or self._texts) and not self._numbered and not self._told:
            tools, texts = counted(self._tools, "tool call"), counted(self._texts, "message")
            words.append(
                f"{tools} and {texts} of the model, and no token counts (old versions wrote none): not counted"
            )
        if (before := self._calls.totals.before) and not (self._copy.forked or self._copy.spawned):
            words.append(
                f"the thread had used {before:,} tokens before the first call that is in this file: not counted"
            )
        if missing := self._agents - set(self._place.threads):
            words.append(f"{calls_of_agents(len(missing))} are in rollouts that are not among these files")
        if self._place.doubt:
            words.append(self._place.doubt)
        if self._left or self._kept:
            words.append(self._in_doubt())
        if difference := self._calls.difference():
            words.append(difference)
        self.difference = "; ".join(words) or None

    def _in_doubt(self) -> str:
        who = self._copy.parents[0] if self._copy.parents else "another thread"
        kept = f"{self._kept} of them are counted" if self._kept else "none of them is counted"
        return (
            f"{self._left + self._kept} token counts may be copied from {who}, whose file is not among these: {kept} "
            f"(name its file, too)"
        )

"""Reading Codex's rollout: one JSONL file per thread, the CLI's own record of turns, tools and tokens.

Facts are from field/codex.md section C and from real rows (`tests/corpus/codex/<version>/rollout.jsonl`):

- From 0.101 on a turn is `task_started` … `task_complete`/`turn_aborted`. Before, only `user_message` and
  `turn_aborted` are told: there a turn is over when a new `token_count` follows an `agent_message` with no
  tool call pending, and a failed turn leaves no row at all (the screen has to tell). 0.58 writes a tool's call
  only when the tool is done, beside its output: there this is no end (`late_items`), and `notify` tells of it,
  or the answer's own `message` row with a screen at rest.
- An error is in `task_complete.error` (>= 0.145), in a row `error` before it (0.128), or only in
  `last_agent_message: null` (0.104).
- Tokens: `codex/calls.py`.
- A resumed thread goes on in its old file, and a fork (<= 0.145) begins with its parent's rows, restamped:
  nothing from before this run is told. UUIDv7 turn ids carry the time of their making.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harnex import times
from harnex.agents.codex import screen as screens
from harnex.agents.codex.background import Left
from harnex.agents.codex.calls import TOOL_CALLS, TOOL_OUTPUTS, UNTOLD, Calls, calls_of_agents
from harnex.agents.codex.copied import Copied, made_at, spawned
from harnex.agents.codex.turns import Turns
from harnex.agents.contract import PREVIEW
from harnex.model.facts import (
    AgentSession,
    Compacted,
    Fact,
    FindFile,
    ModelCall,
    Observation,
    Remark,
    State,
    SubAgent,
    Submitted,
    ToolUse,
    TurnEnded,
)

if TYPE_CHECKING:
    from datetime import tzinfo

PLAN_S = 0.5  # from the end of a turn that proposed a plan to the dialog about it (measured: 0.1 s at most)
CUT_S = 60.0  # Codex cuts the seconds off the reset that it names; its rows are dated, so no more than that is past
_BOUNDS = ("task_started", "task_complete", "turn_aborted")
# Without an explicit code, these words at the head of a tool's output say that it did not do its work.
_FAILED_OUTPUT = (
    "exec_command failed",
    "unsupported call",
    "unsupported custom tool call",
    "aborted by user",
    "rejected by",
)


@dataclass(slots=True)
class Rollout:
    """One thread's file. `agent` is "main" for the thread that the person talks to.

    `began` (epoch seconds) is when this run's process was started: the older rows that the file begins with are history.
    """

    source: str
    began: float = 0.0
    zone: tzinfo | None = None  # of the times that Codex names; None: our own
    agent: str = "main"
    late_items: bool = False  # tool calls are written after they were made (0.58; not 0.80)
    thread: str = ""
    turns_told: bool = False  # task_started was seen: >= 0.101
    turn_key: str = ""
    turn_open: bool = False
    ended: int = 0  # turns that ended, where they have no names
    ended_keys: set[str] = field(default_factory=set)  # those that have
    aborted: bool = False  # the last turn was
    answered: bool = False  # the last answer was counted and written, and no tool call stood beside it
    unclear: TurnEnded | None = None  # an end of which only the screen can say how (0.104)
    last_at: float = 0.0  # the newest row's time
    asked: set[str] = field(default_factory=set)  # sub-agents whose files were asked for
    asked_for: str = ""  # the last prompt
    message: str = ""  # what the agent said last in this turn
    calls: Calls = field(default_factory=Calls)
    left: Left = field(default_factory=Left)  # what runs in the background, of all threads
    proposed: bool = False  # this turn proposed a plan: when it is over, Codex asks whether to implement it
    cut_off: bool = False  # the history ends inside of a turn, and nothing came after it
    _stamp: str = ""  # of the row that is read
    _copy: Copied = field(default_factory=Copied)
    _turns: Turns | None = None
    _past: bool = False  # the row before was of an earlier run, or was copied
    _error: tuple[str, object] | None = None
    _pending: set[str] | None = None
    _spoke: bool = False
    _total: object = None  # the newest token total, to know a row that repeats it
    _limits: dict[str, Any] | None = None
    _now: bool = False  # a row of this process was seen: later ones are, too, however the clock is set
    _started: dict[str, tuple[str, float | None]] | None = None  # tool calls that run: name, when
    _users: int = 0
    _counted: bool = False  # `late_items`: what was said last is counted

    @property
    def spoke(self) -> bool:
        """Whether the agent said something in this turn (with `late_items`: since its last tool call)."""
        return bool(self.message)

    @property
    def is_present(self) -> bool:
        """Whether the rows that come now are of this process: those that a resumed file begins with are not."""
        return self._now and not self._past

    @property
    def main(self) -> bool:
        return self.agent == "main"

    def row(self, row: dict[str, Any]) -> Iterator[Fact]:
        payload = row.get("payload")
        if not isinstance(payload, dict):
            return
        at = times.seconds(row.get("timestamp"))
        self._stamp = str(row.get("timestamp") or "")
        self.last_at = at or self.last_at
        kind = row.get("type")
        if kind == "session_meta":
            yield from self._meta(payload)
            return
        name = payload.get("type")
        self.calls.timed(kind, name, payload, self._stamp)
        if (kind == "event_msg" and name == "task_started") or kind == "turn_context":
            self._copy.turn(payload.get("turn_id"), payload.get("started_at"))
        self._now = self._now or at is None or at >= self.began
        past = not self._now or "copied" in self._copy.whose(row.get("ordinal"), self._stamp)
        if self._past and not past:
            list(self._turns_of().gone(self.agent))  # what is open there is not of this run, or not of this thread
        self._past = past
        if kind == "event_msg" and name in _BOUNDS:
            self.cut_off = past and name == "task_started"
        if kind == "turn_context":
            self.calls.model = payload.get("model") or self.calls.model
        elif kind == "token_usage_record":
            yield from self._told(self.calls.record(payload, past, self.agent, self._stamp), False)
        elif kind == "event_msg" and name == "token_count":
            yield from self._tokens(payload, past)
        else:
            yield from self._told(self._turns_of().row(kind, name, payload, self.agent), past)
        if past:
            return
        if kind == "compacted":
            yield Compacted(self.agent)
        elif kind == "event_msg":
            yield from self._event(str(name), payload)
        elif kind == "response_item":
            yield from self._item(str(name), payload, at)

    def _turns_of(self) -> Turns:
        if self._turns is None:
            self._turns = Turns(self.calls)
        return self._turns

    def _told(self, found: Iterator[ModelCall | Remark], past: bool) -> Iterator[Fact]:
        """What the rows say of calls. One that is whole and without numbers had no usage."""
        for fact in found:
            if not past:
                yield fact
                if isinstance(fact, ModelCall) and fact.output_tokens is None and not fact.partial:
                    yield Remark(UNTOLD)

    # ---- whose file ----

    def _meta(self, payload: dict[str, Any]) -> Iterator[Fact]:
        if not self._copy.meta(payload, self._stamp):
            return  # a fork: the head of a parent, and its rows follow
        thread = self.thread = self.calls.thread = self._copy.thread
        self.calls.whole = not self._copy.forked
        self._turns_of().version(payload.get("cli_version"))
        if not self.main and spawned(payload):
            name = payload.get("agent_nickname") or payload.get("agent_role") or payload.get("agent_path")
            self.agent = str(name or self.agent)
        if self.main and thread:
            yield AgentSession(thread)

    # ---- turns ----

    def _event(self, name: str, p: dict[str, Any]) -> Iterator[Fact]:
        if name == "task_started":
            self.turns_told = True
            yield from self._open(str(p.get("turn_id") or ""))
        elif name == "user_message":
            yield from self._user(str(p.get("message") or ""))
        elif name == "item_completed":
            yield from self._completed_item(p.get("item"))
        elif name == "agent_message":
            self.message, self._spoke = str(p.get("message") or ""), True
            self.calls.said = self.message
        elif name == "error":
            self._error = (str(p.get("message") or ""), p.get("codex_error_info"))
        elif name == "task_complete":
            yield from self._complete(p)
        elif name == "turn_aborted":
            key = str(p.get("turn_id") or self.turn_key)
            self.aborted = True
            yield from self._end(TurnEnded(self.source, "interrupted", self.message, turn_key=key), "turn_aborted")
        elif name == "collab_agent_spawn_end":
            yield from self._sub_agent(str(p.get("new_thread_id") or ""))
        elif name == "sub_agent_activity":
            yield from self._sub_agent(str(p.get("agent_thread_id") or ""))

    def _open(self, turn_id: str) -> Iterator[Fact]:
        if self.unclear is not None and self.main:
            yield self.unclear  # the screen never said more, and the agent goes on
        self.turn_key, self.turn_open, self.message = turn_id, True, ""
        self.answered = self._counted = self.aborted = self.proposed = False
        self.unclear, self._error, self._spoke, self._pending, self._started = None, None, False, set(), {}
        if self.main:
            yield Observation(self.source, State.BUSY, "a turn is open in the rollout")
        else:
            yield SubAgent(self.agent, "started", self.left.begins(self.thread))

    def _user(self, text: str) -> Iterator[Fact]:
        if not self.turns_told and not self.turn_open:  # <= 0.98: this is all that tells of a start
            self._users += 1
            yield from self._open(f"{self.thread}#{self._users}")
        if self.main:
            self.asked_for = text
            yield Submitted(self.source, text)

    def _completed_item(self, item: Any) -> Iterator[Fact]:
        """0.169 writes messages as items."""
        if not isinstance(item, dict):
            return
        yield from self.left.item(item)
        content = item.get("content")
        parts = content if isinstance(content, list) else []
        text = "".join(str(c.get("text") or "") for c in parts if isinstance(c, dict))
        if item.get("type") == "UserMessage":
            yield from self._user(text)
        elif item.get("type") == "Plan":  # a proposed plan is no message, and the end of its turn has none
            self.message, self._spoke, self.proposed = str(item.get("text") or ""), True, True
        elif item.get("type") == "AgentMessage":
            self.message, self._spoke = text, True
            self.calls.said = text
        elif item.get("type") == "CollabAgentToolCall":
            for thread in item.get("receiver_thread_ids") or ():
                yield from self._sub_agent(str(thread))
        elif item.get("type") == "SubAgentActivity":
            yield from self._sub_agent(str(item.get("agent_thread_id") or ""))

    def _complete(self, p: dict[str, Any]) -> Iterator[Fact]:
        key, last = str(p.get("turn_id") or self.turn_key), p.get("last_agent_message")
        error = p.get("error")
        if isinstance(error, dict):
            self._error = (str(error.get("message") or ""), error.get("codex_error_info"))
        if self._error is not None and last is None:
            yield from self._end(self.failed(*self._error, key=key), "task_complete with an error")
            return
        end = TurnEnded(self.source, "completed", str(last or self.message), turn_key=key)
        if last is None and not self.message and "error" not in p:
            # Up to 0.104 a failed turn says no more than this; a turn without a last word looks the same.
            self.unclear = end
            self._close()
            if self.main:
                yield Observation(self.source, State.PROMPT, "task_complete without a message")
            else:
                yield from self._rests("")
            return
        yield from self._end(end, "task_complete")

    def _rests(self, how: str) -> Iterator[Fact]:
        yield SubAgent(self.agent, "ended", self.left.ends(self.thread), how)

    def failed(self, message: str, info: object = None, key: str = "", source: str = "") -> TurnEnded:
        """A failed turn, with the reason in harnex's words."""
        reason = screens.failure(message, info)
        retry = None
        if reason in ("usage_limit", "rate_limit"):
            retry = self.named_reset(message, self.last_at or self.began) or self._resets_at()
        key = key or self.turn_key
        return TurnEnded(source or self.source, "failed", self.message, reason, message, retry, turn_key=key)

    def named_reset(self, message: str, said: float) -> str | None:
        """When a limit ends by the words of a message; `said` (epoch seconds) is when it was said."""
        from harnex.agents.common.resets import reset_at  # only here: few turns end at a limit

        at = reset_at(message, said, self.zone, past=CUT_S)
        return None if at is None else times.iso_second(at)

    def _resets_at(self) -> str | None:
        """When the window that is used up opens again, by the newest rate limits in the rollout."""
        for window in ("primary", "secondary"):
            limit = (self._limits or {}).get(window)
            if isinstance(limit, dict) and (limit.get("used_percent") or 0) >= 100 and limit.get("resets_at"):
                return times.iso_second(float(limit["resets_at"]))
        return None

    def _close(self) -> None:
        self.turn_open, self._pending, self._spoke = False, set(), False
        self.ended += 1
        self.ended_keys.add(self.turn_key)

    def _end(self, fact: TurnEnded, why: str) -> Iterator[Fact]:
        self._close()
        if self.main:
            wait = PLAN_S if self.proposed else 0.0
            yield Observation(self.source, State.PROMPT, f"{why} in the rollout", settle_s=wait)
            yield fact
        else:
            yield from self._rests({"interrupted": "killed"}.get(fact.outcome, fact.outcome))

    def settled(self, fact: TurnEnded) -> Iterator[Fact]:
        """Something else told how the open (or unclear) turn ended."""
        self.unclear = None
        if fact.outcome == "failed":
            yield from self._told(self.calls.failed(self.agent), False)
        if self.turn_open:
            yield from self._end(fact, f"{fact.source} says that the turn is over")
        elif self.main:
            yield fact

    # ---- tools ----

    def _item(self, name: str, p: dict[str, Any], at: float | None) -> Iterator[Fact]:
        call_id = str(p.get("call_id") or p.get("id") or "")
        pending = self._pending if self._pending is not None else set()
        started = self._started if self._started is not None else {}
        self._pending, self._started = pending, started
        if name == "message" and p.get("role") == "assistant":
            self.answered, self._counted = self._counted, False
        elif name == "message" and p.get("role") == "user":
            content = p.get("content")
            for part in content if isinstance(content, list) else ():
                yield from self.left.message(str(part.get("text") or "") if isinstance(part, dict) else "")
        if name in TOOL_CALLS:
            pending.add(call_id)
            self._spoke = self.answered = False
            started[call_id] = (str(p.get("name") or name), at)
            given = p.get("arguments") or p.get("input") or p.get("action") or ""
            self.left.called(call_id, started[call_id][0], given)
            yield ToolUse(call_id, started[call_id][0], "started", _preview(given))
        elif name in TOOL_OUTPUTS:
            pending.discard(call_id)
            tool, begun = started.pop(call_id, ("", None))
            took = round(at - begun, 3) if at is not None and begun is not None else None
            ok = _worked(p.get("output"))
            yield ToolUse(call_id, tool, "completed" if ok else "failed", "", took)
            yield from self.left.answered(call_id, p.get("output"), self.agent)
            if tool == "spawn_agent":
                yield from self._spawned_agent(p.get("output"))

    def _spawned_agent(self, output: object) -> Iterator[Fact]:
        """`{"agent_id": UUID, "nickname": …}` (0.145, 0.169)."""
        try:
            told = json.loads(output) if isinstance(output, str) else output
        except ValueError:
            return
        if isinstance(told, dict) and made_at(str(told.get("agent_id"))) is not None:
            yield from self._sub_agent(str(told["agent_id"]))

    def _sub_agent(self, thread: str) -> Iterator[Fact]:
        """A sub-agent's tokens are in its own file, and in no total of ours."""
        if thread and thread != self.thread and thread not in self.asked:
            self.asked.add(thread)  # once: asked for again after it was closed, it would be looked for for ever
            yield FindFile(f"rollout:{thread}", f"rollout-*{thread}.jsonl")

    # ---- tokens ----

    def _tokens(self, p: dict[str, Any], past: bool) -> Iterator[Fact]:
        """A `token_count` row: its call, and up to 0.98 the end of a turn whose last answer it counts."""
        if isinstance(p.get("rate_limits"), dict):
            self._limits = p["rate_limits"]
        info = p.get("info")
        if not isinstance(info, dict):
            self.calls.untold(p)
            return
        total, last = info.get("total_token_usage"), info.get("last_token_usage")
        yield from self._told(self.calls.tokens(p, past, self.agent, self._stamp), False)
        if total == self._total or past:
            self._total = total
            return
        self._total = total
        if isinstance(last, dict) and not any(v for v in last.values() if isinstance(v, int)):
            return  # after a compaction
        over = not past and not self.turns_told and self.turn_open and self._spoke and not self._pending
        self._counted = over and self.late_items
        if over and not self.late_items:
            end = TurnEnded(self.source, "completed", self.message, turn_key=self.turn_key)
            yield from self._end(end, "the last answer is counted")
        self._spoke = False

    def cut(self) -> Iterator[ModelCall]:
        """The program has ended: the calls that were open."""
        for fact in self._turns_of().gone(self.agent):
            if not self._past:
                yield fact

    def gone(self) -> Iterator[Fact]:
        """The program has ended: the calls that were open, and whether all are what the thread counted itself."""
        yield from self._told(self.cut(), False)
        difference = self.calls.difference()
        if difference:
            yield Remark(f"{self.agent}: {difference}")


def unfound(rollouts: Mapping[str, Rollout], asked: Iterable[str] = ()) -> Iterator[Remark]:
    """At the end: sub-agents (by thread) whose files were asked for and never found. Nothing else tells of their calls.
    `rollouts`: by source, which ends with the thread."""
    read = {source.rpartition(":")[2] for source, rollout in rollouts.items() if rollout.last_at}
    read |= {rollout.thread for rollout in rollouts.values()}
    missing = {*asked, *(thread for rollout in rollouts.values() for thread in rollout.asked)} - read
    if missing:
        yield Remark(f"{calls_of_agents(len(missing))} are not counted: their rollouts were not found")


def _preview(given: object) -> str:
    """The command or the first words of a tool's input."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return str(given)[:PREVIEW]
    if isinstance(given, dict):
        command = given.get("cmd") or given.get("command")
        if isinstance(command, list):
            command = " ".join(map(str, command[-1:] if command[:2] == ["bash", "-lc"] else command))
        given = command if command else json.dumps(given, ensure_ascii=False)
    return str(given)[:PREVIEW]


def _worked(output: object) -> bool:
    """Did the tool do its work? By the exit code where it is told, else by the words of a refusal."""
    text = output if isinstance(output, str) else json.dumps(output)
    if isinstance(output, dict) and output.get("success") is False:
        return False
    if text.startswith("{"):
        try:
            code = (json.loads(text).get("metadata") or {}).get("exit_code")
        except (ValueError, AttributeError):
            code = None
        if isinstance(code, int):
            return code == 0
    for line in text[:400].splitlines()[:6]:
        for words in ("Process exited with code ", "Exit code: "):
            if line.startswith(words):
                return line[len(words) :].strip() == "0"
    return not any(words in text[:200] for words in _FAILED_OUTPUT)

"""What Claude Code's own records say: hooks, the transcript, `sessions/<pid>.json`, the title, OSC 7501.

A stateful, pure reader. Hooks are edges, not levels: nothing fires when a person interrupts (all
versions), so their word on the state is given only while the session file has said nothing
(versions before it), and is taken back at every end of a turn that any record shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from harnex import times
from harnex.agents.claude import places as places
from harnex.agents.claude import screen as screen
from harnex.agents.claude.background import Tasks, notes_of, whose_tool
from harnex.agents.claude.calls import (
    AGENT_TOOLS,
    COMPACTED,
    UNTOLD,
    Calls,
    agent_name,
    asks,
    blocks,
    input_preview,
    uncounted,
    unrecorded,
)
from harnex.agents.claude.declared import DIALOG_OF_TOOL, program_status, session_status, speaks_again
from harnex.agents.claude.totals import Seen, by_model, last_totals
from harnex.agents.claude.views import Views, suspended
from harnex.agents.common.remainder import Sums
from harnex.agents.contract import Reader, Version
from harnex.model.facts import (
    AgentSession,
    Compacted,
    Fact,
    Follow,
    Observation,
    Remark,
    Retracted,
    ScreenView,
    State,
    SubAgent,
    Submitted,
    Suspended,
    ToolUse,
    TurnEnded,
    letters,
)

NO_TRANSCRIPT = (
    "this Claude Code has no hooks, and begins a new file when a conversation is resumed (1.0.60): harnex does not know"
    " which, so that the model calls of this run are not counted (`harnex usage --from claude` reads that file)"
)
NO_HOOKS = (
    "a turn ran, and no hook of Claude Code was heard: its settings or options switch hooks off (disableAllHooks,"
    " allowManagedHooksOnly, --bare, --safe-mode), or they fail. harnex looks for the transcript itself, and reads the screen"
)
HOOKS_GONE = "the hooks of Claude Code are not heard any more: harnex reads the transcript and the screen only"
HOOKS_FILE = "hooks.jsonl"
_STOP_ROW = re.compile(r"^\x1b\[1mStop\b")
_INTERRUPT = "[Request interrupted by user"


class ClaudeReader(Reader):
    marks_tools = True

    def __init__(self, version: Version | None) -> None:
        self._version = version
        self._pid = 0
        self._config_dir = self._config_file = ""
        self._search = places.Search()
        self._session_id = ""
        self._rows = 0  # of the main conversation
        self._transcripts: set[str] = set()
        self._declared = False  # the session file speaks: hooks need not say the state
        self._hooks_said = False
        self._hooks_heard = False
        self._hooks_wanted = False  # they were asked for
        self._worked = False  # it was seen working
        self._unhooked = 0  # prompts in a row without a hook since the answer to the one before
        self._final = 0.0  # since the last hook the agent spoke, and asked for no tool: when
        self._stop_is_mute = False  # Stop hooks without the last message: 1.x, 2.0
        self._unanswered = False  # the hook of a prompt came, and since then nothing of the model
        self._rests = False  # the screen shows a prompt
        self._stopped = False  # such a Stop was the last word
        self._views = Views(version)
        self._title_spins = False
        self._was_ready = False
        self._turn = 0  # prompts so far: names the turn for whoever gets word of its end twice
        self._last_prompt = ""
        self._last_text = ""
        self._calls = Calls()
        self._calls.seen = Seen()
        self._totals: dict[str, Sums] = {}  # Claude Code's own, by model
        self._last_totals: dict[
            str, Sums
        ] = {}  # the same, with side calls on the models that have them (`.claude.json`)
        self._whole: list[bool] = []  # of each main transcript: whether it is read from its beginning
        self._tools: dict[str, str] = {}  # tool calls that started: id -> name
        self._given: dict[str, tuple[str, Any]] = {}  # tool calls without a result yet: id -> name, input
        self._unrecorded: set[str] = set()  # tool calls of the main agent that a hook told of, and no row yet
        self._recorded: set[str] = set()  # tool calls in rows
        self.tasks = Tasks(version)
        self._agents: dict[str, str] = {}  # subagent id -> type
        self._prompts: dict[str, str] = {}  # what sub-agents were asked -> their type
        self._working: set[str] = set()  # ids of sub-agents
        self._done: set[str] = set()  # those that ended: a last row may come after that
        self._finished: set[str] = set()  # names of agents whose turn has ended: what they said is whole

    @property
    def _records_stop(self) -> bool:
        """Whether a row follows the last one of a turn, that of the hook of its stop (1.0.128, 2.0.77; not 2.0.30)."""
        return self._version is None or not (2, 0) <= self._version < (2, 0, 77)

    @property
    def _finds_agents(self) -> bool:
        """2.0.30 names its sub-agents' transcripts nowhere; they are beside, with those of other sessions."""
        return self._version is not None and (2, 0) <= self._version < (2, 1)

    # -- where the records are -------------------------------------------------------------------

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        self._pid = pid
        home = env.get("HOME", "").rstrip("/")
        self._config_dir = env.get("CLAUDE_CONFIG_DIR") or f"{home}/.claude"
        self._config_file = f"{env.get('CLAUDE_CONFIG_DIR') or home}/.claude.json"
        self._search = places.Search(env, self.began, self.resumes)
        self._hooks_wanted = bool(env.get(places.HOOKS))
        if self._hooks_wanted:
            yield Follow("hooks", env[places.HOOKS])
        elif self._search.known:
            yield from self._seek()
        else:
            yield Remark(NO_TRANSCRIPT)
        yield Follow("session", f"{self._config_dir}/sessions/{pid}.json", "document")

    def submitted(self) -> Iterable[Fact]:
        return self._seek()

    def recorded(self) -> int:
        return self._rows

    def unrecorded(self) -> str:
        why = "CLAUDE_CODE_SKIP_PROMPT_HISTORY, cleanupPeriodDays 0 and a full disk do that"
        where = self._search.where(self._session_id)
        return f"Claude Code writes no transcript of this conversation that harnex can find ({where}; {why})"

    def _seek(self) -> Iterable[Fact]:
        """Look for the transcript of the conversation by its id, unless hooks name it."""
        return () if self._hooks_heard else self._search.seek(self._session_id)

    def begun(self, session: str) -> Iterable[Fact]:
        """The stream of a headless run names the conversation."""
        self._session_id = session
        return self._seek()

    def found(self, source: str, path: str) -> Iterable[Fact]:
        if source == "transcript" and path not in self._transcripts:
            session = path.rpartition("/")[2].removesuffix(".jsonl")
            self._transcripts.add(path)
            self._whole.append(session == self._search.begins)
            if not self._hooks_heard:
                yield from self._session(session)
            yield places.subagents(path, self._finds_agents, self._search.since(session))

    def _transcript(self, path: Any, from_end: bool) -> Iterable[Fact]:
        if isinstance(path, str) and path and path not in self._transcripts:
            self._transcripts.add(path)
            self._whole.append(not from_end)
            yield Follow("transcript", path, from_end=from_end)
            if self._finds_agents:
                yield places.subagents(path, True, 0.0)

    def _session(self, session_id: Any) -> Iterable[Fact]:
        if isinstance(session_id, str) and session_id and session_id != self._session_id:
            self._session_id = session_id
            yield AgentSession(session_id)

    def proves_prompts(self) -> bool:
        """The hook of a start was heard, so that of a prompt will be. Between turns hooks say nothing of the state.

        On a busy machine 2.0.50 empties its box 3 s before it tells the hook of the prompt or shows a spinner.
        """
        return self._hooks_heard

    def records_prompts(self) -> bool:
        """Those without a session file: they show the spinner also while a local command runs, `/exit` too (2.0.77, 2.1.0,
        2.1.30). The others begin turns by themselves (a background agent that is done), with no hook."""
        return self._hooks_heard and self._version is not None and self._version < (2, 1, 111)

    # -- the screen ------------------------------------------------------------------------------

    def screen(self, view: ScreenView) -> Iterable[Fact]:
        seen = screen.observe(view, self._was_ready, self._version)
        if seen.state in (State.PROMPT, State.BUSY):
            self._was_ready = True
        if suspended(view.lines):
            seen = Observation(screen.SCREEN, State.UNKNOWN, "Claude Code is suspended")
            yield Suspended()
        yield replace(seen, view=self._views.opened(view)) if seen.state is not State.BLOCKED else seen
        self._rests = seen.state is State.PROMPT
        if seen.state is State.BUSY:
            self._worked = True
            yield from self._seek()
        elif self._rests and self._worked and self._hooks_wanted and not self._hooks_heard:
            self._hooks_wanted = False  # said once
            yield Remark(NO_HOOKS)
        if self._rests and not self._hooks_heard:
            # Without hooks nothing else says that no more rows of a call can come.
            end = screen.outcome(view)
            yield from self._flush(aborted=end is not None and end.outcome == "interrupted", agent="main")

    def shown_version(self, view: ScreenView) -> Version | None:
        return screen.shown_version(view)

    def draft(self, view: ScreenView) -> str | None:
        return screen.draft(view)

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        return whose_tool(env)

    def outcome(self, view: ScreenView) -> TurnEnded | None:
        """How the last turn ended, as the screen shows it; None: it doesn't say.

        Interrupted before the first token, 2.1 leaves no word in any record (measured: no row, no
        hook): it puts the prompt back into the box, and the block above belongs to an older turn.
        """
        draft = screen.draft(view)
        if draft and self._last_prompt and _same_start(draft, self._last_prompt):
            return TurnEnded(screen.SCREEN, "interrupted", detail="the prompt is back in the box", turn_key=self._key)
        end = screen.outcome(view)
        silent = self._stopped or bool(self._final) or not self._hooks_heard
        if end is None and draft is not None and self._last_text and silent:
            # No row says that the turn is over (2.0.30, and where there are no hooks, or no more); the transcript has its words.
            return TurnEnded("transcript", "completed", self._last_text, turn_key=self._key)
        if end is None and draft == "" and self._unanswered:
            # 2.1.120, interrupted before the first token: no row, no hook, and the prompt is gone from the screen.
            return TurnEnded(
                screen.SCREEN, "interrupted", detail="no answer, and no word of an end", turn_key=self._key
            )
        return end

    # -- OSC -------------------------------------------------------------------------------------

    def osc(self, code: int, body: str) -> Iterable[Fact]:
        if code == 7501:
            return self._program_status(body)
        if code in (0, 2):
            return self._title(body)
        return ()

    def _title(self, title: str) -> Iterable[Fact]:
        """2.1.197: `⠂⠐` busy; 2.1.329: `◐◑` busy; `✳` at rest. 1.x and 2.0 set `✳ topic` once and never move it,
        and so does a frozen one, so `✳` counts only after the title was seen to spin."""
        if screen.TITLE_BUSY.match(title):
            self._title_spins = True
            return (Observation("title", State.BUSY, f"title `{title[:40]}`"),)
        if title.startswith("✳") and self._title_spins:
            return (Observation("title", State.PROMPT, f"title `{title[:40]}`"),)
        return (Retracted("title"),) if self._title_spins else ()

    def _program_status(self, body: str) -> Iterable[Fact]:
        said = program_status(body)
        if isinstance(said, Observation):
            yield self._asked_by(said)
        elif said is not None:
            yield said

    # -- sessions/<pid>.json ---------------------------------------------------------------------

    def document(self, source: str, document: dict[str, Any] | None) -> Iterable[Fact]:
        if source == "config":
            self._last_totals = last_totals(document, self._session_id)
            return
        if source != "session":
            return
        if document is None:
            self._declared = False
            yield Retracted("session")
            return
        if document.get("pid") not in (None, self._pid):
            return
        if self._version is None and isinstance(document.get("version"), str):
            self._version = tuple(int(n) for n in re.findall(r"\d+", document["version"])[:3])
        yield from self._session(document.get("sessionId"))
        if self._search.sought or self._unhooked:
            yield from self._seek()  # `/clear` begins another conversation
        status = document.get("status")
        if not isinstance(status, str):
            return
        if not self._declared:
            self._declared = True
            yield from self._unhook()
        said = session_status(document)
        if said is not None:
            yield self._asked_by(said)
        else:
            yield Retracted("session")
            yield Remark(f"the session file has an unknown status: {status[:40]!r}")

    # -- rows ------------------------------------------------------------------------------------

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        if source == "hooks":
            yield from self._hook(row)
        elif source in ("transcript", "subagent"):
            yield from self._transcript_row(row)
        yield from self._untold()

    def _untold(self) -> Iterable[Fact]:
        untold, self._calls.untold = self._calls.untold, 0
        for _ in range(untold):
            yield Remark(UNTOLD)

    def _asked_by(self, said: Observation) -> Observation:
        """A declared `permission` may be a tool's own dialog: the tool that was started and not ended tells."""
        if said.dialog not in ("permission", "other"):
            return said
        own = next((DIALOG_OF_TOOL[tool] for tool in self._tools.values() if tool in DIALOG_OF_TOOL), said.dialog)
        return replace(said, dialog=own)

    def _say(self, state: State, reason: str, dialog: str = "") -> Iterable[Fact]:
        if not self._declared:
            self._hooks_said = True
            yield Observation("hooks", state, reason, dialog)

    def _unhook(self) -> Iterable[Fact]:
        if self._hooks_said:
            self._hooks_said = False
            yield Retracted("hooks")

    def _ended(self, end: TurnEnded) -> Iterable[Fact]:
        self._unanswered = False
        yield from self._unhook()
        yield end

    @property
    def _key(self) -> str:
        return f"{self._session_id}:{self._turn}"

    def _hook(self, row: dict[str, Any]) -> Iterable[Fact]:
        event = row.get("hook_event_name")
        self._hooks_heard, self._unhooked, self._final = True, 0, 0.0
        if event == "SessionStart":
            # After `--continue`, 1.x and 2.0 report a throw-away id here; later hooks carry the real one.
            yield from self._session(row.get("session_id"))
            yield from self._transcript(row.get("transcript_path"), row.get("source") in ("resume", "compact"))
            return
        inside = "agent_id" in row  # a hook of a subagent's tool; and 2.0 warms up subagents with no turn at all
        if not inside:
            yield from self._session(row.get("session_id"))
            yield from self._transcript(row.get("transcript_path"), True)
        if event == "UserPromptSubmit":
            self._turn += 1
            yield from self._calls.finished(self._finished)
            self._finished.discard("main")
            self._last_prompt, self._last_text, self._stopped = str(row.get("prompt") or ""), "", False
            self._unanswered = True
            yield Submitted("hooks", self._last_prompt)
            yield from self.tasks.said(self._last_prompt)
            yield from self._say(State.BUSY, "hook UserPromptSubmit")
        elif event == "PermissionRequest":
            tool = str(row.get("tool_name") or "")
            yield from self._say(
                State.BLOCKED, f"hook PermissionRequest {tool}", DIALOG_OF_TOOL.get(tool, "permission")
            )
        elif event in ("PreToolUse", "PostToolUse", "PostToolUseFailure"):
            yield from self._tool(str(event), row)
            if self._hooks_said and not inside:
                yield from self._say(State.BUSY, f"hook {event} {row.get('tool_name', '')}")
        elif event == "Stop":
            yield from self._stop(row)
        elif event == "StopFailure":
            yield from self._flush(aborted=True)
            text = str(row.get("last_assistant_message") or row.get("error_details") or "")
            reason, retry_at = screen.classify(str(row.get("error") or ""), None, text)
            detail = text or str(row.get("error") or "")
            yield from self._ended(
                TurnEnded("hooks", "failed", reason=reason, detail=detail, retry_at=retry_at, turn_key=self._key)
            )
        elif event == "SubagentStart":
            yield from self._subagent(row)
        elif event == "SubagentStop":
            if isinstance(row.get("agent_id"), str):
                yield from self._at_work(row["agent_id"], False)
            path = row.get("agent_transcript_path")
            if isinstance(path, str) and path not in self._transcripts:
                self._transcripts.add(path)
                yield Follow("subagent", path)
        elif event == "SessionEnd":
            yield from self._calls.finished(self._finished)
            yield from self._unhook()
            yield Follow("config", self._config_file, "document")

    def _subagent(self, row: dict[str, Any]) -> Iterable[Fact]:
        """A subagent's own transcript: beside the session's in 2.0, in a directory of the session since."""
        agent, parent = row.get("agent_id"), row.get("transcript_path")
        if not isinstance(agent, str) or not isinstance(parent, str) or not parent.endswith(".jsonl"):
            return
        self._agents[agent] = str(row.get("agent_type") or agent)
        self._done.discard(agent)
        yield from self._at_work(agent, True)
        old = self._version is not None and self._version < (2, 1)
        path = (
            f"{parent.rpartition('/')[0]}/agent-{agent}.jsonl"
            if old
            else f"{parent[:-6]}/subagents/agent-{agent}.jsonl"
        )
        if path not in self._transcripts:
            self._transcripts.add(path)
            yield Follow("subagent", path)

    def _stop(self, row: dict[str, Any]) -> Iterable[Fact]:
        self._unanswered = False
        yield from self._unhook()
        yield from self.tasks.listed(row.get("background_tasks"), row.get("session_crons"))
        if "last_assistant_message" not in row and "background_tasks" not in row:
            # 1.x and 2.0: Stop also fires after an API error, 40 ms before the row that says so. The
            # row of the stop hook itself, right after it in the transcript, ends the turn instead.
            self._stop_is_mute = self._stopped = True
            self._finished.add("main")
            yield from self._calls.finished(() if self._records_stop else self._finished)
            return
        # The last row of the answer may be written after its Stop, by up to 100 ms.
        yield from self._calls.finished(())
        self._finished.add("main")
        pending = speaks_again(row.get("background_tasks"))
        text = str(row.get("last_assistant_message") or "")
        yield TurnEnded("hooks", "completed", text, pending=pending, turn_key="" if pending else self._key)

    def _tool(self, event: str, row: dict[str, Any]) -> Iterable[Fact]:
        tool = str(row.get("tool_name") or "")
        given = row.get("tool_use_id")
        if event == "PostToolUse":
            whose = (
                agent_name({"isSidechain": True, "agentId": row["agent_id"]}, self._agents)
                if "agent_id" in row
                else "main"
            )
            yield from self.tasks.result(tool, row.get("tool_input"), row.get("tool_response"), whose)
        if not isinstance(given, str):
            return  # 1.x: hooks carry no id; its tools are read from the transcript
        if event == "PreToolUse":
            if "agent_id" not in row and given not in self._recorded:
                self._unrecorded.add(given)
            yield from self._tool_started(given, tool, row.get("tool_input"))
            return
        duration = row.get("duration_ms")
        seconds = duration / 1000 if isinstance(duration, (int, float)) else None
        yield from self._tool_ended(given, tool, event == "PostToolUseFailure", seconds)

    def _tool_started(self, call_id: str, tool: str, given: Any) -> Iterable[Fact]:
        if call_id not in self._tools:
            self._tools[call_id] = tool
            self._given[call_id] = (tool, given)
            yield ToolUse(call_id, tool, "started", input_preview(given))

    def _tool_ended(self, call_id: str, tool: str, failed: bool, seconds: float | None = None) -> Iterable[Fact]:
        if self._tools.get(call_id):
            self._tools[call_id] = ""  # ended
            yield ToolUse(call_id, tool, "failed" if failed else "completed", duration_s=seconds)

    # -- the transcript --------------------------------------------------------------------------

    def _transcript_row(self, row: dict[str, Any]) -> Iterable[Fact]:
        kind = row.get("type")
        side = bool(row.get("isSidechain"))
        message = row.get("message") if isinstance(row.get("message"), dict) else {}
        assert isinstance(message, dict)
        for words in notes_of(row, message.get("content")):
            yield from self.tasks.said(words)
        self._rows += not side
        if side and "agentId" in row:
            if self._finds_agents and self._session_id not in ("", row.get("sessionId")):
                return  # another session's, in the same folder
            self._name(str(row["agentId"]), message)
            yield from self._at_work(str(row["agentId"]), True)
        if kind == "assistant":
            if row.get("isApiErrorMessage"):
                if not side:
                    yield from self._api_error(row, message)
                else:
                    self._calls.refused(self._agent_of(row))
            elif message.get("model") != "<synthetic>":
                yield from self._assistant(row, message, self._agent_of(row))
        elif kind == "api-request":
            self._calls.requested(self._agent_of(row), str(row.get("id")), str(row.get("timestamp") or ""))
        elif kind == "user":
            yield from self._user(row, message, side)
        elif kind == "system" and row.get("subtype") == "compact_boundary":
            yield Remark(COMPACTED)
            yield self._compacted(row)
        elif kind == "system" and not side:
            yield from self._system(row)
        elif kind == "cost-state":
            self._totals = by_model(row.get("modelUsage"))

    def _agent_of(self, row: dict[str, Any]) -> str:
        return agent_name(row, self._agents)

    def _compacted(self, row: dict[str, Any]) -> Compacted:
        told = row.get("compactMetadata")
        told = told if isinstance(told, dict) else {}
        before, after = told.get("preTokens"), told.get("postTokens")
        return Compacted(
            self._agent_of(row),
            str(told.get("trigger") or ""),
            before if isinstance(before, int) else None,
            after if isinstance(after, int) else None,
        )

    def _at_work(self, agent: str, works: bool) -> Iterable[Fact]:
        """A sub-agent began (its hook, or its first row where there is none) or ended."""
        if works is (agent in self._working) or (works and agent in self._done):
            return
        (self._working.add if works else self._working.discard)(agent)
        if not works:
            self._done.add(agent)
        name = agent_name({"isSidechain": True, "agentId": agent}, self._agents)
        (self._finished.discard if works else self._finished.add)(name)
        yield SubAgent(name, "started" if works else "ended")

    def _assistant(self, row: dict[str, Any], message: dict[str, Any], agent: str) -> Iterable[Fact]:
        content = blocks(message.get("content"))
        if agent == "main":
            kinds = {b.get("type") for b in content}
            at = times.seconds(row.get("timestamp")) or 0.0
            self._final = at if "text" in kinds and "tool_use" not in kinds else 0.0
        call_id = self._calls.key(row, agent)
        if call_id is not None:
            yield from self._calls.row(call_id, row, agent)
        if agent == "main" and ((self._stopped and not self._records_stop) or (self._rests and not self._hooks_heard)):
            yield from self._flush(aborted=False, agent="main")  # the last row, written after the Stop (2.0.30)
        self._unanswered = self._unanswered and agent != "main"
        if agent == "main" and any(b.get("type") == "text" for b in content):
            self._last_text = self._calls.last_text
        for block in content:
            if block.get("type") == "tool_use":
                given = block.get("input")
                if block.get("name") in AGENT_TOOLS and isinstance(given, dict):
                    self._prompts[str(given.get("prompt"))] = str(given.get("subagent_type") or "")
                self._recorded.add(str(block.get("id")))
                self._unrecorded.discard(str(block.get("id")))
                yield from self._tool_started(str(block.get("id")), str(block.get("name")), block.get("input"))

    def _name(self, agent: str, message: dict[str, Any]) -> None:
        """Where no hook says of what type a sub-agent is, its first prompt does: it is the one that the tool was given."""
        if agent not in self._agents and message.get("role") == "user":
            text = "\n".join(str(b.get("text") or "") for b in blocks(message.get("content")))
            if kind := self._prompts.get(text):
                self._agents[agent] = kind

    def _flush(self, aborted: bool, agent: str | None = None) -> Iterable[Fact]:
        return self._calls.over(aborted, agent)

    def cut(self, died: bool) -> Iterable[Fact]:
        """Somebody else says that the turn was interrupted, or that its program died; the records may not say it."""
        yield from self._calls.gone(self._finished) if died else self._calls.interrupted("main", "")
        yield from self._untold()

    def ended(self) -> Iterable[Fact]:
        """The process is gone: no more rows of the calls that are open can come. Where the session was seen whole, its
        own totals are held against the calls; of side calls (titles) no record tells, so models of those are left out."""
        yield from self._calls.gone(self._finished)
        yield from self._untold()
        if self._calls.nameless:
            yield Remark(uncounted(self._calls.nameless))
            self._calls.nameless = 0
        if self._unrecorded and self._rows:
            yield Remark(unrecorded(len(self._unrecorded)))
        self._unrecorded.clear()
        seen = self._calls.seen
        if seen is not None and self._whole == [True]:
            own = {model: sums for model, sums in self._totals.items() if model in seen.models()}
            yield from seen.rests(own or self._last_totals)
            if words := "; ".join(seen.differences(own)):
                yield Remark(f"the calls that were seen differ from Claude Code's own totals: {words}")

    def _api_error(self, row: dict[str, Any], message: dict[str, Any]) -> Iterable[Fact]:
        """The final word of a turn that an API error ended; the retries before it are `system/api_error` rows."""
        yield from self._flush(aborted=True)
        self._calls.refused("main")
        text = "".join(str(b.get("text") or "") for b in blocks(message.get("content")))
        status = row.get("apiErrorStatus")
        name = str(row.get("error") or row.get("apiErrorType") or "")
        reason, retry_at = screen.classify(name, status if isinstance(status, int) else None, text)
        yield from self._ended(
            TurnEnded("transcript", "failed", reason=reason, detail=text, retry_at=retry_at, turn_key=self._key)
        )

    def _user(self, row: dict[str, Any], message: dict[str, Any], side: bool) -> Iterable[Fact]:
        content = message.get("content")
        agent = self._agent_of(row)
        found = blocks(content)
        results = [b for b in found if b.get("type") == "tool_result"]
        text = "\n".join(str(b.get("text") or "") for b in found if b.get("type") == "text")
        if text.startswith(_INTERRUPT):
            yield from self._calls.interrupted(agent, text)
            if not side:
                yield from self._ended(TurnEnded("transcript", "interrupted", detail=text, turn_key=self._key))
            return
        for block in results:
            call_id = str(block.get("tool_use_id"))
            tool, given = self._given.pop(call_id, ("", None))
            if not block.get("is_error"):
                yield from self.tasks.result(tool, given, row.get("toolUseResult"), agent)
            yield from self._tool_ended(call_id, self._tools.get(call_id, ""), bool(block.get("is_error")))
        yield from self._calls.over(False, agent, only_stopped=True)
        if results or asks(row, text):
            self._calls.given(agent, row.get("timestamp"))
        if not results and asks(row, text):
            self._finished.discard(agent)
            yield from self._calls.prompted(agent, str(row.get("timestamp") or ""))
        if results:
            self._calls.answered(agent, (str(b.get("tool_use_id")) for b in results), str(row.get("uuid")))
            yield from self._calls.finished(self._finished)  # a sub-agent's last one: its answer is here
        elif (side or self._unanswered or not self._hooks_heard) and asks(row, text):
            self._calls.asked(agent, str(row.get("uuid")))
        # The first rows of a file may come in another order: an answer before its prompt (2.1.197).
        after = (times.seconds(row.get("timestamp")) or 0.0) > self._final
        if after and not side and asks(row, text):
            yield from self._listen(text)
        if not results and not side and not row.get("isMeta") and not self._hooks_heard and text:
            self._turn += 1
            self._last_prompt, self._last_text = text, "" if after else self._last_text
            yield from self._flush(aborted=False)
            yield Submitted("transcript", text)

    def _listen(self, text: str) -> Iterable[Fact]:
        """A prompt was recorded. Hooks that were heard may be switched off (`/hooks`, a settings file that the agent
        writes): then none told of it, nor of the end of the answer before. Twice in a row it is said."""
        told, prompt = letters(self._last_prompt), letters(text)  # (2.1.329 wraps a paste up in tags)
        if self._final and (self._hooks_heard or self._unhooked) and not (told and told[:40] in prompt):
            self._hooks_heard, self._hooks_wanted, self._final = False, False, 0.0
            self._unhooked += 1
            if self._unhooked == 2:
                yield Remark(HOOKS_GONE)

    def _system(self, row: dict[str, Any]) -> Iterable[Fact]:
        # `api_error` rows are retries, but no count of attempts: 2.1 writes none, and 1.x and 2.0 leave the
        # fall-back to a call without streaming out (measured: two failures, one row).
        subtype = row.get("subtype")
        over = subtype in ("stop_hook_summary", "turn_duration") or (
            subtype == "informational" and _STOP_ROW.match(str(row.get("content") or ""))
        )
        if over:
            self._finished.add("main")
            yield from self._calls.finished(self._finished)
            old = self._version is not None and self._version < (2, 1)
            if (old or self._stop_is_mute) and subtype != "turn_duration":
                self._stopped = False
                yield from self._ended(TurnEnded("transcript", "completed", self._last_text, turn_key=self._key))
            if self._hooks_heard and not self._final:
                self._last_text = ""  # else it is all that tells of the turn's end


def _same_start(draft: str, prompt: str) -> bool:
    """Is the draft that prompt? The box wraps lines and folds long texts, so the start must do."""
    if re.match(r"\[Pasted text #\d+", draft):
        return len(prompt) > 400 or "\n" in prompt
    seen, sent = ("".join(x.split())[:40] for x in (draft, prompt))
    return bool(seen) and sent.startswith(seen) and (len(seen) == 40 or seen == "".join(prompt.split()))

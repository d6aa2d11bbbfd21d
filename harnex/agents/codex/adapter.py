"""Codex CLI, 0.47 to 0.169 and newer. Facts: field/codex.md, and what was measured for `tests/corpus/codex/`.

What is passed, and why: `--no-daemon`, because from 0.156 on turns run in a shared background server that
outlives the program and keeps its first starter's environment; `notify`, chained in front of the person's
own. Hooks are not used: from 0.145 on they would need `--dangerously-bypass-hook-trust`, which also trusts
hooks of the repository that nobody reviewed, and title, rollout, notify and OSC 7501 tell all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from harnex.agents.codex import home as homes
from harnex.agents.codex import launch as launching
from harnex.agents.codex import screen as screens
from harnex.agents.codex import views as views
from harnex.agents.codex.background import Left, whose_tool
from harnex.agents.codex.calls import LATE_ITEMS_UNTIL
from harnex.agents.codex.rollout import PLAN_S, Rollout, unfound
from harnex.agents.common import status_protocol
from harnex.agents.common.message_text import BLANK, bracketed, clean, ends_in_word, kept_as_path, lead, losses
from harnex.agents.contract import (
    Credential,
    Launch,
    LaunchRequest,
    Lease,
    Reader,
    Rehearsal,
    Source,
    StopStep,
    Typing,
    Version,
)
from harnex.model.facts import Fact, FindFile, Follow, Observation, Retracted, ScreenView, State, TurnEnded

TITLE_SINCE = (0, 117)  # and from 0.128 on it tells of dialogs
OSC_SINCE = (0, 163)

# ---- reading ----

ACTION = re.compile(r"^\[ [!.] \] ")
BLOCKED_KINDS = {"permission": "permission", "question": "question"}


class CodexReader(Reader):
    """One session's evidence: OSC 7501 and title, rollout (and those of sub-agents), notify, screen."""

    marks_tools = True

    def __init__(self, version: Version | None) -> None:
        self.version = version
        self._late_items = version is not None and version < LATE_ITEMS_UNTIL
        self._left = Left(version)
        self.rollouts: dict[str, Rollout] = {"rollout": self._main_rollout()}
        self._spun = False
        self._was_ready = False
        self._view: ScreenView | None = None
        self._before: tuple[str, ...] = ()  # the transcript when the open turn began
        self._first: tuple[str, ...] = ()  # the transcript when the box was first seen
        self._last: tuple[str, ...] = ()  # the transcript as the last turn left it
        self._working = False
        self._rows = 0
        self._recorded = 0
        self._unrecorded = 0
        self._main = "rollout"  # the key of the main thread's file
        self._lost = False
        self._begun = False  # a prompt was seen
        self._held: dict[str, str] = {}  # sources that say `working` before that
        self._asked = ""
        self._notified: list[str] = []  # ends that `notify` told, up to 0.98, and no row yet

    @property
    def rollout(self) -> Rollout:
        return self.rollouts[self._main]

    def _main_rollout(self) -> Rollout:
        return Rollout("rollout", self.began, self.zone, late_items=self._late_items, left=self._left)

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        self.rollout.began, self.rollout.zone = self.began, self.zone
        if env.get(launching.EVIDENCE):
            yield Follow("notify", f"{env[launching.EVIDENCE]}/{launching.NOTIFY_FILE}")
        yield FindFile("rollout", "rollout-*.jsonl")

    def recorded(self) -> int:
        return self._recorded

    def unrecorded(self) -> str:
        """`experimental_thread_store = {type = "in_memory", id = "x"}` is the switch that was found (0.145, 0.169): of
        `history.persistence`, `ephemeral`, `features.hooks` and the flags of rollouts none takes it away on a terminal."""
        return "Codex holds no rollout of this conversation open (`experimental_thread_store`, another server, a full disk?)"

    # -- OSC --

    def osc(self, code: int, body: str) -> Iterable[Fact]:
        if code == 7501:
            yield from self._status(body)
        elif code in (0, 2):
            yield from self._title(body)

    def _status(self, body: str) -> Iterator[Fact]:
        told = status_protocol.parse(body)
        state, name = told.state, f"OSC 7501 {body[:60]}"
        if state != "working":
            self._held.pop("osc7501", None)
        if state == "working":
            yield self._work("osc7501", name)
        elif state in status_protocol.AT_REST:
            yield Observation("osc7501", State.PROMPT, name, settle_s=self._settle_s)
        elif state == "blocked":
            # 0.163 names no kind; the screen does, 10 ms later, and nearly always it is this.
            dialog = BLOCKED_KINDS.get(told.kind or "permission", "other")
            yield Observation("osc7501", State.BLOCKED, name, dialog)
        elif state == "clear":
            yield Retracted("osc7501")
        if state in ("working", *status_protocol.AT_REST):
            yield from self._lost_rollout(state == "working")

    def _title(self, title: str) -> Iterator[Fact]:
        if screens.TITLE_SPINS.match(title):
            self._spun = True
            yield self._work("title", f"title `{title[:40]}`")
            yield from self._lost_rollout(True)
            return
        self._held.pop("title", None)
        if ACTION.match(title):
            yield Observation("title", State.BLOCKED, f"title `{title[:40]}`", "other")
        elif not title:
            yield Retracted("title")
        elif self._spun:  # a title that never moved may have been configured so
            words = f"title `{title[:40]}` without a spinner"
            yield Observation("title", State.PROMPT, words, settle_s=self._settle_s)
            if self.version is None or self.version < OSC_SINCE:
                yield from self._lost_rollout(False)

    @property
    def _settle_s(self) -> float:
        return PLAN_S if self.rollout.proposed else 0.0

    def _work(self, source: str, reason: str) -> Observation:
        """Work before any prompt is Codex getting ready: 0.169 declares `working` for 40 ms at each start, and all
        versions spin while MCP servers boot. Taken for a turn, it would be a turn that nobody asked for."""
        if self._begun:
            return Observation(source, State.BUSY, reason)
        if not self._held:
            self._asked = screens.last_prompt(self._view) if self._view else ""
        self._held[source] = reason
        return Observation(source, State.STARTING, f"{reason}, before any prompt")

    def submitted(self) -> Iterator[Fact]:
        """What works from now on works on that: a fast answer is over before the screen shows its prompt."""
        self.rollout.cut_off = False
        return self._begin()

    def _begin(self) -> Iterator[Fact]:
        """The first prompt was seen: what was held back as a start is work."""
        if not self._begun:
            self._begun = True
            for source, reason in self._held.items():
                yield Observation(source, State.BUSY, reason)
            self._held.clear()

    def _lost_rollout(self, working: bool) -> Iterator[Fact]:
        """Two spells of work without a row: `/new` or `/resume` went on in another file. Look for that."""
        if working == self._working:
            return
        self._working = working
        if working:
            self._rows = 0
        elif self._rows:
            self._unrecorded = 0
        elif self.rollout.thread:
            self._unrecorded += 1
            if self._unrecorded >= 2:
                self._unrecorded, self._lost = 0, True
                yield Retracted("rollout")
                yield FindFile(self._main, "rollout-*.jsonl")

    # -- rows --

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        if source == "notify":
            yield from self._notify(row)
            return
        rollout = self.rollouts.get(source)
        if rollout is None:
            if not source.startswith("rollout:"):
                return
            rollout = self.rollouts[source] = Rollout(source, self.began, self.zone, agent=source[8:], left=self._left)
        if rollout is self.rollout and row.get("type") == "session_meta":
            yield from self._check_head(source, row.get("payload"))
            rollout = self.rollouts[source]
        if rollout is self.rollout:
            self._rows += 1
        was_open = rollout.turn_open
        yield from rollout.row(row)
        if rollout is self.rollout and rollout.is_present:
            self._recorded += 1
        if rollout.main and rollout.turn_open:
            yield from self._begin()
        if rollout.main and rollout.turn_open and not was_open and self._view is not None:
            # Its end may be on the screen already: the file of a first turn is found late, and up to 0.98, where no
            # row tells of a failure, that can be faster than the row of the prompt.
            nameless = not rollout.turns_told
            now = screens.transcript(self._view)
            self._before = (self._last or self._first) if nameless else now if rollout.ended else self._first
            if nameless:
                yield from self._settle()
        if rollout.main and was_open and not rollout.turn_open and rollout.aborted:
            yield Retracted("osc7501")  # 0.166, Esc while a tool runs that goes on behind: it says `working` for ever
        if rollout.main and was_open and not rollout.turn_open and self._view is not None:
            self._last = screens.transcript(self._view)
        if rollout.main and self._notified and (rollout.answered or not rollout.late_items):
            yield from self._take_notified()
        if rollout.main and (rollout.unclear is not None or rollout.answered):
            yield from self._settle()

    def _check_head(self, source: str, meta: object) -> Iterator[Fact]:
        """A file's head: is it the main thread's? The search by open files may find a sub-agent's first."""
        origin = meta.get("source") if isinstance(meta, dict) else None
        spawn = (origin.get("subagent") or {}) if isinstance(origin, dict) else {}
        parent = (spawn.get("thread_spawn") or {}).get("parent_thread_id") if isinstance(spawn, dict) else None
        if parent and not self.rollout.thread:
            self.rollouts[source] = Rollout(source, self.began, self.zone, agent="sub-agent", left=self._left)
            self._main = f"main:{parent}"
            self.rollouts[self._main] = self._main_rollout()
            yield FindFile(self._main, f"rollout-*{parent}.jsonl")
        elif self._lost:
            self._lost = False
            # Another conversation: `/new`, `/resume`.
            self.rollouts[source] = self._main_rollout()

    def _notify(self, row: dict[str, Any]) -> Iterator[Fact]:
        """`agent-turn-complete` of our own thread: others are sub-agents and (0.169) threads that make a title."""
        rollout = self.rollout
        if row.get("type") != "agent-turn-complete" or not rollout.thread or row.get("thread-id") != rollout.thread:
            return
        last = str(row.get("last-assistant-message") or "")
        if rollout.turns_told:
            # Written after the rollout's last row, but perhaps read before its first: then the prompt, read later,
            # would open a turn of its own. It adds something only to an end that the rollout leaves unclear.
            if (key := str(row.get("turn-id") or "")) in rollout.ended_keys:
                yield TurnEnded("notify", "completed", last, turn_key=key)
        elif rollout.turn_open or rollout.message != last:
            # Turns have no names up to 0.98; the message tells whose end this is. It may be read before that.
            self._notified.append(last)
            yield from self._take_notified()

    def _take_notified(self) -> Iterator[Fact]:
        rollout = self.rollout
        if rollout.turn_open and rollout.spoke and rollout.message in self._notified:
            del self._notified[: self._notified.index(rollout.message) + 1]
            end = TurnEnded("notify", "completed", rollout.message, turn_key=rollout.turn_key)
            yield from rollout.settled(end)

    # -- screen --

    def screen(self, view: ScreenView) -> Iterable[Fact]:
        self._view = view
        over = views.opened(view, CLEAR)
        if over is not None and screens.composer_row(view) is None:
            yield Observation("screen", State.UNKNOWN, f"{over.name} is open", view=over)
            return
        reading = screens.read(view, self.version)
        if reading.state is State.BUSY and self.rollout.cut_off:
            # Resumed, 0.104 paints `Working` for ever of the turn that its last process did not end, and takes messages.
            reading = replace(reading, state=State.PROMPT, reason="no turn since the one that was cut off")
            yield Observation("rollout", State.PROMPT, reading.reason)
        if not self._begun and (
            reading.state is State.BUSY or (self._held and screens.last_prompt(view) not in ("", self._asked))
        ):
            yield from self._begin()
        if reading.state is not None:
            state = reading.state
            if state is State.STARTING and self._was_ready:
                # MCP servers start again: a message waits until they did. A bare composer is one that was cleared.
                state = State.PROMPT if reading.bare else State.BUSY
            if state is State.PROMPT and not self._was_ready:
                self._first = screens.transcript(view)
            self._was_ready = self._was_ready or state is State.PROMPT
            shown = over if state is not State.BLOCKED else None
            yield Observation(
                "screen",
                state,
                reading.reason,
                reading.dialog,
                reading.options,
                asks=reading.asks,
                needs=reading.needs,
                view=shown,
            )
        elif not self._was_ready:
            yield Observation("screen", State.STARTING, "no composer yet", needs=reading.needs)
        else:
            yield Retracted("screen")
        was_open = self.rollout.turn_open
        yield from self._settle()
        now = screens.transcript(view)
        if not self.rollout.turn_open and (was_open or _prompts(now) <= _prompts(self._last)):
            self._last = now

    def look(self, view: ScreenView) -> Iterable[Fact]:
        if screens.is_under_way(view):
            self._begun = True  # a title that spins is work on what was asked, though its prompt is out of sight
        return super().look(view)

    def shown_version(self, view: ScreenView) -> Version | None:
        return screens.shown_version(view)

    def _settle(self) -> Iterator[Fact]:
        """Ends that the rollout doesn't tell: failed turns up to 0.98 (no row) and up to 0.127 (no reason)."""
        rollout, view = self.rollout, self._view
        nameless = rollout.turn_open and not rollout.turns_told
        if view is None or not (rollout.unclear or nameless):
            return
        if screens.read(view).state is not State.PROMPT or screens.transcript(view) == self._before:
            return  # the screen is still that of before
        end = self.outcome(view)
        if end is None and self._before is self._first and not rollout.answered:
            return  # a first turn: the screen may not have come to its end yet
        if rollout.unclear is not None:
            key = rollout.unclear.turn_key
            if end is None:
                yield from rollout.settled(rollout.unclear)
            else:
                yield from rollout.settled(
                    TurnEnded("screen", end.outcome, "", end.reason, end.detail, end.retry_at, turn_key=key)
                )
        elif end is None and rollout.answered:
            end = TurnEnded("screen", "completed", rollout.message, turn_key=rollout.turn_key)
            yield from rollout.settled(end)
        elif end is not None:
            yield from rollout.settled(
                TurnEnded("screen", end.outcome, "", end.reason, end.detail, end.retry_at, turn_key=rollout.turn_key)
            )

    def outcome(self, view: ScreenView) -> TurnEnded | None:
        """What the screen shows of how the last turn ended: failed or interrupted; None: it doesn't say."""
        found = screens.outcome(view)
        if found is None:
            return None
        how, text = found
        if how == "interrupted":
            return TurnEnded("screen", "interrupted", detail=text)
        reason = screens.failure(text)
        said = self.rollout.last_at
        retry = self.rollout.named_reset(text, said) if said and reason in ("usage_limit", "rate_limit") else None
        return TurnEnded("screen", "failed", reason=reason, detail=text, retry_at=retry)

    def ended(self) -> Iterable[Fact]:
        for rollout in self.rollouts.values():
            yield from rollout.gone()
        yield from unfound(self.rollouts)

    def draft(self, view: ScreenView) -> str | None:
        """What is in the composer. Interrupted before the first token, 0.137 puts the prompt back, with the cursor in
        front of it, where else only a placeholder stands."""
        return screens.draft(view, self.rollout.asked_for)

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        agents = {rollout.thread: rollout.agent for rollout in self.rollouts.values() if rollout.thread}
        return whose_tool(env, apart, self.version, agents)


def _prompts(transcript: tuple[str, ...]) -> int:
    return sum(screens.USER_LINE.match(line) is not None for line in transcript)


# ---- typing, stopping, rehearsing ----

# Ctrl-U takes what is left of the cursor in its line and then the newline, Ctrl-K the same to the right
# (measured in 4 versions; harmless in an empty box, where Ctrl-C would end Codex). Two a line: this is good for
# 320 lines before the cursor and 32 behind it; a paste of more than 1,000 characters is one placeholder.
CLEAR = b"\x15" * 640 + b"\x0b" * 64
BANG_BY_SPACE_SINCE = (0, 169)
FOLDED_FROM = 900  # characters; the box folds from 1,001 on


def plain(text: str, version: Version | None) -> str:
    """`text`, cleaned, so that it is a message, whatever it begins with (measured with the endpoint's own log).

    A space in front is trimmed on arrival and keeps `/` from being a command in all versions; `!` runs a
    local shell command even behind white space up to 0.145, so there a blank has to stay in front that is none.
    The same blank goes before a character that stands behind others that a box may remove.
    `#` and a pasted `?` are text as they are. A last word with `@` or `$` opens a list of files or skills, which
    takes the Enter for itself (and may put its choice in): a space behind it closes the list, and is trimmed.
    A text that is the path of a picture becomes `[Image #1]` (0.104, 0.169), but for a blank before it.
    """
    text = clean(text)
    if "\n" not in text.strip():
        text = kept_as_path(text)
    if ends_in_word(text, "@$"):
        text += " "
    first = lead(text)
    if not first or first not in "/!":
        return text
    head = text.lstrip()
    # Folded into a placeholder, a long paste is trimmed first and then taken for a command (0.169).
    trimmed = len(head) >= FOLDED_FROM if first == "/" else version is None or version < BANG_BY_SPACE_SINCE
    return (BLANK if trimmed or head[0] != first else " ") + head


class CodexAdapter:
    """The `Adapter` of Codex."""

    name = "codex"
    program = "codex"
    known: tuple[Version, Version] | None = ((0, 58, 0), (0, 169, 0))
    sources: tuple[Source, ...] = (
        Source("osc7501", 1, since=OSC_SINCE),
        Source("rollout", 1, dialogs=False),
        Source("title", 2, since=TITLE_SINCE, settle_s=0.3),
        # Alone, a composer proves nothing: an answer that is being written shows the same screen.
        Source("screen", 3, settle_s=1.3),
    )

    def launch(self, request: LaunchRequest) -> Launch:
        return launching.launch(request)

    def reader(self, version: Version | None) -> CodexReader:
        return CodexReader(version)

    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        """A private CODEX_HOME whose only provider is on loopback: no login, no update check, no telemetry."""
        codex_home = f"{home}/.codex"
        env: dict[str, str | None] = {
            "HOME": home,
            "CODEX_HOME": codex_home,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "OPENAI_API_KEY": None,
            "CODEX_API_KEY": None,
            "CODEX_ACCESS_TOKEN": None,
            "OPENAI_BASE_URL": None,
        }
        return Rehearsal((), env, {f"{codex_home}/config.toml": homes.rehearsal_config(base_url, cwd, version)})

    def lease(
        self, credential: Credential, home: str, cwd: str, version: Version | None, base_url: str | None
    ) -> Lease | None:
        return homes.lease(credential, home, cwd, version, base_url)

    def typing(self, text: str, version: Version | None) -> Typing:
        """One bracketed paste and CR: exact from 2 B to 200 kB in all versions; 0.169 takes 15 µs a byte over it."""
        size = len(text.encode("utf-8", "replace"))
        # A paste that ends beyond a read of 1,024 bytes may be painted only with the next key (seen in 4 versions):
        # waiting long for its echo is in vain, and Enter right behind it is exact.
        return Typing(
            CLEAR, bracketed(plain(text, version)), echo_s=0.6, accept_s=3.0 + size * 40e-6, notes=losses(text)
        )

    def interrupt(self, view: ScreenView, version: Version | None) -> bytes:
        """Esc; but up to 0.145 Esc does nothing while the status line is hidden: there Ctrl-C. So where the status line
        names another key: then Esc does nothing, Ctrl-C interrupts all the same (`tui.keymap`, 0.145 and 0.169).

        Only ever while a turn runs: in an idle, empty composer Ctrl-C would end Codex. A draft goes first: Ctrl-C
        would clear that instead.
        """
        status = screens.status_line(view)
        if status is not None and (not status.sure or status.key.lower() not in ("", "esc")):
            return CLEAR + b"\x03"
        if version is not None and version >= (0, 169):
            return b"\x1b"
        if status is not None or screens.read(view).state is State.BLOCKED:
            return b"\x1b"
        return CLEAR + b"\x03"

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        """Ctrl-D ends Codex in 0.1 s when the composer is empty, busy or idle. The dialogs before it (trust, login) end
        by Ctrl-C; so would an idle Codex that didn't take Ctrl-D."""
        return (
            StopStep("interrupt", grace_s=3.0, until="prompt"),  # no keys: asks `interrupt` for them
            StopStep("native exit", keys=CLEAR + b"\x04", grace_s=3.0),
            StopStep("native exit by Ctrl-C", keys=b"\x03", grace_s=2.0),
        )

    def resume_args(self, session_id: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        verb, _ = launching.subcommand(args)
        if verb and verb not in launching.INTERACTIVE:
            return ()
        kept: list[str] = []
        for _, _, first, end in launching.flags(args):
            if args[first] not in ("--last", "--all"):
                kept += args[first:end]
        return ("resume", session_id, *kept)


ADAPTER = CodexAdapter()

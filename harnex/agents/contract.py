"""What an adapter is: the part of an agent's folder that knows how to start it, read it, type to it and end it.

Adapters are pure: they import no I/O module and never touch the world. The supervisor does what a
`Launch` asks for, follows the files that a `Reader` names, and feeds back what it finds.

To add an agent CLI: one folder here with an `AgentKind` in its `kind.py`, the folder's name in `agents/catalogue.py`
(a package of its own needs no such line: it has an entry point), and one folder of recordings in `tests/corpus/`.
What a CLI can offer beside its adapter stands in `roles.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harnex.model.facts import CommandResult, Fact, ScreenView, State, TurnEnded

if TYPE_CHECKING:
    from datetime import tzinfo

Version = tuple[int, ...]
Permissions = Literal["ask", "auto", "bypass"]

PREVIEW = 200  # characters of an answer or of a tool's input that events show


@dataclass(frozen=True)
class RunOption:
    """An option of `harnex run` that one CLI takes: `--NAME METAVAR`. Its value is in `LaunchRequest.options`."""

    name: str
    metavar: str
    help: str


@dataclass(frozen=True, kw_only=True)
class AgentKind:
    """What harnex knows of an agent CLI before anything of it is imported.

    A role is the name of the module in which it is; "" means that the CLI does not have it. The module is imported
    when the role is needed first.

    The CLIs that come with harnex have theirs as `KIND` in `harnex/agents/<name>/kind.py`. Any other package offers one
    by an entry point of the group `harnex.agents`. The entry point's name is the kind's `name`, and its value names the
    object: `mycli = "mypackage.kind:KIND"`.
    """

    name: str  # what a person types, and `cli` in every record
    adapter: str  # the module with `ADAPTER`, an `Adapter`
    headless: str = ""  # the module with the `ADAPTER` of the CLI without a terminal
    logs: str = ""  # the module with `LOGS`, a `roles.Logs`: the files that the CLI writes itself
    record: str = (
        ""  # the module with `RECORD`, a subclass of `common.record.Record`, for another agent that runs the CLI
    )
    is_agent: bool = True  # a person would name it; else it is a means (the demo, any other program)
    runs: tuple[str, ...] = ()  # other agents that it runs: their rehearsals and their records are its own
    npm: str = ""  # the npm package that installs it
    titles: tuple[str, ...] = ()  # what it calls itself in the answer to `--version`; (): its name
    options: tuple[RunOption, ...] = ()
    price_provider: str = ""  # who sells its models, as the price list names them; "": the model's name decides
    leases: bool = False  # `Adapter.lease` knows how to give it a private home
    credential_files: tuple[str, ...] = ()  # files at the top of such a home that hold the credential
    conversation: tuple[
        str, ...
    ] = ()  # sources (`Follow.source`) of the files that the CLI goes on with when it resumes
    signals: tuple[str, ...] = ()  # sources in which no conversation is: they tell of prompts before the CLI keeps them
    variables: tuple[str, ...] = ()  # of its environment, none secret: with these it is the same agent again


@dataclass(frozen=True)
class LaunchRequest:
    """What is to be started, as the person asked for it. Paths are absolute."""

    command: str  # the program, resolved
    args: tuple[str, ...]  # the person's own, after `--`
    version: Version | None  # None: not known
    cwd: str
    env: Mapping[str, str]  # what the child would get
    permissions: Permissions
    trust: bool  # answer the workspace-trust dialog for this directory
    evidence_dir: str  # a directory of the run, 0700, that the agent's hooks may append to
    new_session_id: str  # a fresh UUID, for CLIs that let the caller fix the session id
    as_root: bool
    read_text: Callable[[str], str | None]  # a file's text, None if it can't be read
    run_id: str = field(default="", kw_only=True)
    title: str = field(default="", kw_only=True)  # a name for people: the session's id
    options: Mapping[str, str] = field(
        default_factory=dict, kw_only=True
    )  # of `run`, for this adapter only (`AgentKind.options`)
    socket: Callable[[], str] = field(default=str, kw_only=True)  # a path, private and short, for a daemon to listen on


@dataclass(frozen=True)
class HeadlessRequest(LaunchRequest):
    """A run without a terminal: one prompt in, one answer out."""

    prompt: str = ""
    model: str | None = None
    system: str | None = None  # instructions of the caller's own, beside the CLI's
    system_path: str = ""  # where the supervisor puts them, if a CLI takes a file
    schema: dict[str, Any] | None = None  # the answer must be JSON of this schema
    schema_path: str = ""


@dataclass(frozen=True)
class Launch:
    """How to start it: what the supervisor must do, in its order (files, then exec)."""

    argv: tuple[str, ...]
    env: Mapping[str, str | None] = field(default_factory=dict)  # None: unset
    files: Mapping[str, str] = field(default_factory=dict)  # absolute path -> content, written 0600
    session_id: str | None = None  # the agent's session id, when it was fixed in advance
    permissions: str = ""  # what the permissions mode became ("--permission-mode default")
    notes: tuple[str, ...] = ()  # words for the person who started it
    stdin: str = ""  # headless: the prompt, as the CLI gets it
    again: tuple[str, ...] = ()  # headless: argv of a second round; `{session}` stands for the conversation


@dataclass(frozen=True)
class Rehearsal:
    """What makes the CLI talk to a scripted model on loopback from a private home."""

    args: tuple[str, ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    plan: Mapping[str, str | None] = field(default_factory=dict)  # more of env, for a script with a plan's usage limit


@dataclass(frozen=True)
class Credential:
    """A credential for one run. `name`: the variable or the file that it came from."""

    name: str
    text: str
    is_file: bool

    @property
    def is_json(self) -> bool:
        return self.text.lstrip().startswith("{")


@dataclass(frozen=True)
class Lease:
    """A private configuration home with a credential in it, for one run: what it must hold, how the CLI is told of it.

    Everything in it is removed at the end, but for `logs`: names of directories where the CLI records conversations.
    """

    env: Mapping[str, str | None] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    logs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One place where the state can be read. Ranks as in DESIGN section 5: 1 declared, 2 title, 3 screen, 4 quiet.

    `since`/`until` bound the CLI versions in which it can be trusted (until is exclusive).
    A `level` source always shows the present state; one that is not (hooks: nothing fires on an
    interrupt) may be left behind, so a screen at rest overrules it. `settle_s`: how long this source
    alone must have said `prompt`, with no output, before it is believed. One that is not told of dialogs
    (`dialogs=False`: a rollout) means by `busy` no more than that a turn is running.
    """

    name: str
    rank: int
    since: Version = ()
    until: Version | None = None
    level: bool = True
    settle_s: float = 0.0
    dialogs: bool = True

    def holds_for(self, version: Version | None) -> bool:
        if version is None:
            return True
        return version >= self.since and (self.until is None or version < self.until)


@dataclass(frozen=True)
class Typing:
    """How a message gets into the agent's input box, and how it is sent.

    `clear` empties the box (`clear_more` are the keys for what it leaves, one write after another), `paste` puts the text in; when its echo has been on the screen for
    `settle_s` (or after `echo_s`, at most) and no dialog is up, `submit` sends it. No proof that it was
    taken within `accept_s` (`again_s` the first time): `submit` once more if the text is still in the
    box, else the delivery failed.
    """

    clear: bytes
    paste: bytes
    submit: bytes = b"\r"
    echo_s: float = 2.0
    accept_s: float = 5.0
    settle_s: float = 0.0
    again_s: float | None = None  # None: accept_s
    clear_more: tuple[bytes, ...] = ()
    notes: tuple[str, ...] = ()  # what does not arrive as it was sent, in words for its sender
    handed: bool = False  # not typed at all: `Reader.deliver` gives it to the agent, and proof must come in accept_s


@dataclass(frozen=True)
class StopStep:
    """A rung of the ladder that ends an agent: keys, a signal to its process group, or `Reader.ask`; then wait.

    `until` says what the step is for: the rung is climbed no further once that is so. `prompt`
    rungs (an interrupt) are skipped when no turn is running, and one with `when` unless these words are on the screen.
    """

    name: str
    keys: bytes = b""
    signal: int = 0
    ask: str = ""
    grace_s: float = 3.0
    until: Literal["prompt", "exited"] = "exited"
    when: str = ""


class Reader:
    """Turns an agent's evidence into facts. One per session, stateful, pure; the defaults say nothing."""

    reads_draft = True  # `draft` can see the input box
    keeps_agent = False  # the agent is not the process: another reader finds it again by its session id (`resumes`)
    resumes: str = ""  # the agent session of a process before this one, which this one goes on with
    began: float = 0.0  # epoch seconds just before the agent's start: rows that are older are of another process
    zone: tzinfo | None = None  # of the times that the agent names; None: our own
    may_type_unknown = False  # nothing ever tells this program's state: messages are typed all the same
    boot_s = 2.5  # to show a sign at the start; the slowest refusal of a flag that was measured took 1.7 s
    counts = True  # it reads records in which the model calls stand
    force_says = ""  # what a forced message does to a running turn, for whoever sends one
    marks_tools = False  # `whose_tool` knows the processes of the agent's tools

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        """The agent runs as `pid` with this environment: name the files to follow."""
        return ()

    def osc(self, code: int, body: str) -> Iterable[Fact]:
        """An OSC sequence from the agent: 0 and 2 are the title, 7501 the Program Status Protocol."""
        return ()

    def screen(self, view: ScreenView) -> Iterable[Fact]:
        """The screen changed (called at rest points only, never inside a synchronized update)."""
        return ()

    def look(self, view: ScreenView) -> Iterable[Fact]:
        """The same for a screen of which nothing before it is known (`harnex detect`), with its title."""
        if view.title:
            yield from self.osc(0, view.title)
        yield from self.screen(view)

    def shown_version(self, view: ScreenView) -> Version | None:
        """The CLI's version, if the screen says it."""
        return None

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        """A row of a followed JSONL file."""
        return ()

    def found(self, source: str, path: str) -> Iterable[Fact]:
        """A file that was looked for (`FindFile`) is there, and is followed from now on."""
        return ()

    def document(self, source: str, document: dict[str, Any] | None) -> Iterable[Fact]:
        """A followed JSON document as it is now; None: it is gone."""
        return ()

    def submitted(self) -> Iterable[Fact]:
        """harnex has just pressed Enter on a message."""
        return ()

    def proves_prompts(self) -> bool:
        """Whether the agent is known to tell of every prompt that it takes, though perhaps late."""
        return False

    def records_prompts(self) -> bool:
        """Whether its records are heard and hold every prompt: work without such a record may be no turn."""
        return False

    def outcome(self, view: ScreenView) -> TurnEnded | None:
        """What the screen shows of how the last turn ended: failed, interrupted; None: nothing unusual."""
        return None

    def command(self, result: CommandResult) -> Iterable[Fact]:
        """What came of a `RunCommand`."""
        return ()

    def deliver(self, text: str) -> Iterable[Fact]:
        """Give the agent a message, for adapters whose `typing` is `handed`: `Submitted` or `Undone` follows."""
        return ()

    def answer(self, verb: str, option: int | None, text: str | None) -> Iterable[Fact] | None:
        """Answer the open dialog; None: by keys. Raises ValueError, in words, for an answer that it doesn't take."""
        return None

    def ask(self, what: str) -> Iterable[Fact] | None:
        """Do a step of ending (`StopStep.ask`), or `interrupt` the turn; None: that is done by keys."""
        return None

    def ended(self) -> Iterable[Fact]:
        """The agent's process is gone: what was still open (a call that was cut off)."""
        return ()

    def recorded(self) -> int:
        """How many rows of the main conversation were read so far, from the records in which the model calls stand."""
        return 0

    def unrecorded(self) -> str:
        """Why no row of the main conversation may have come, and where it was looked for; in words, "" if not known."""
        return ""

    def hint(self, words: str) -> str:
        """What to do when a headless agent did not start, and said these words ("" for nothing that is known)."""
        return ""

    def keeps(self, row: dict[str, Any]) -> bool:
        """Whether a row of a headless agent's stream is worth keeping in the run's evidence."""
        return True

    def draft(self, view: ScreenView) -> str | None:
        """The text in the input box ("" if it is empty, a paste placeholder if folded); None: no box to be seen."""
        return None

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        """Which agent's tool started a process with this environment, named as in calls; "": no tool did (the CLI
        itself, its MCP servers, hooks and status lines). `apart`: it is in another process group than the agent."""
        return ""


class Adapter(Protocol):
    """One agent CLI. `known` is the range of versions that was measured: [oldest, newest]."""

    name: str
    program: str  # what to look for on the PATH
    known: tuple[Version, Version] | None
    sources: tuple[Source, ...]

    def launch(self, request: LaunchRequest) -> Launch: ...
    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        """None: this CLI can't be rehearsed."""
        ...

    def lease(
        self, credential: Credential, home: str, cwd: str, version: Version | None, base_url: str | None
    ) -> Lease | None:
        """`base_url`: that of a rehearsal. None: this CLI has no such home. Raises ValueError: not a credential of it."""
        ...

    def reader(self, version: Version | None) -> Reader: ...
    def typing(self, text: str, version: Version | None) -> Typing: ...
    def interrupt(self, view: ScreenView, version: Version | None) -> bytes:
        """The keys that interrupt the running turn, given what is on the screen."""
        ...

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        """The polite rungs: interrupt, native exit. The supervisor adds TERM, KILL and the sweep itself."""
        ...

    def resume_args(self, session_id: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The arguments that continue a conversation of this CLI, with the person's own `args` less those that begin
        one (a prompt, another session); (): it can't."""
        ...


SCHEMA_WORDS = (
    "\n\nYour final answer must be one JSON value that is valid for this JSON Schema, and nothing else: "
    "no words around it, no code fence.\n\n"
)

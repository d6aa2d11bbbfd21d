"""Claude Code without a terminal (`claude -p`): how it is started. Measured on 1.0.128, 2.0.77, 2.1.197, 2.1.329.

The prompt comes on standard input. A dialog can't be answered: what would need one is refused by Claude Code itself,
and the agent goes on. The hooks are only those that name the transcripts, sub-agents' included.
"""

from __future__ import annotations

import dataclasses
import json
import signal

from harnex.agents.claude.adapter import ClaudeAdapter, _has_flag, events_for, guarded_prompt
from harnex.agents.claude.stream import ClaudeStream
from harnex.agents.contract import SCHEMA_WORDS, HeadlessRequest, Launch, LaunchRequest, Source, StopStep, Version
from harnex.model.facts import State

PARTIAL_SINCE: Version = (1, 0, 128)  # --include-partial-messages; not looked for in older ones
# --json-schema. 2.0.77 has it, too, but asks the model again without end until it uses the tool for the answer
# (measured: 233 calls in 53 s for a model that only writes text); 2.1.197 and 2.1.329 ask once or twice.
SCHEMA_SINCE: Version = (2, 1, 197)
SYSTEM_FILE_SINCE: Version = (2, 0, 77)  # --append-system-prompt-file (hidden; 1.0.128 refuses it)
ARGUMENT_MAX = 100_000  # bytes; the system takes no argument of more than 131,071
HOOKS = ("SessionStart", "SubagentStart", "SubagentStop")
STREAM = ("-p", "--output-format", "stream-json", "--verbose")


class ClaudeExec(ClaudeAdapter):
    """`claude -p`, with the stream as its one source of state."""

    sources = (Source("stream", 1),)

    def hook_events(self, version: Version | None) -> tuple[str, ...]:
        return tuple(event for event in events_for(version) if event in HOOKS)

    def launch(self, request: LaunchRequest) -> Launch:
        assert isinstance(request, HeadlessRequest)
        version, args = request.version, list(request.args)
        head: list[str] = []
        notes: list[str] = []
        if not _has_flag(request.args, ("--output-format",)):
            head += [word for word in STREAM if word not in args]
        if (
            version is not None
            and version >= PARTIAL_SINCE
            and not _has_flag(request.args, ("--include-partial-messages",))
        ):
            head.append("--include-partial-messages")
        if request.model and not _has_flag(request.args, ("--model",)):
            head += ["--model", request.model]
        prompt, tail = request.prompt, ""
        files: dict[str, str] = {}
        if request.system is not None:
            if version is not None and version >= SYSTEM_FILE_SINCE:
                files[request.system_path] = request.system
                head += ["--append-system-prompt-file", request.system_path]
            else:
                # Its option takes the text itself, which every user of this machine could read.
                prompt = f"{request.system}\n\n{prompt}"
                notes.append("--system-file: this Claude Code takes no file; it stands in front of the prompt")
        if request.schema is not None:
            text = json.dumps(request.schema, ensure_ascii=False, separators=(",", ":"))
            if version is not None and version >= SCHEMA_SINCE and len(text.encode()) < ARGUMENT_MAX:
                head += ["--json-schema", text]
            else:
                tail = SCHEMA_WORDS + text
                notes.append("--schema: there is no option of Claude Code for it; the prompt asks for it")
        base = dataclasses.replace(request, args=(*head, *args))
        launch = super().launch(base)
        again = tuple(_resumed(list(launch.argv)))
        return dataclasses.replace(
            launch,
            files={**launch.files, **files},
            notes=(*map(_headless, launch.notes), *self._asked(request), *notes),
            stdin=guarded_prompt(prompt + tail),
            again=again,
        )

    @staticmethod
    def _asked(request: LaunchRequest) -> tuple[str, ...]:
        if request.permissions != "ask" or _has_flag(
            request.args, ("--permission-mode", "--dangerously-skip-permissions")
        ):
            return ()
        note = "nobody can be asked in a headless run: what your settings don't allow is refused"
        return (f"ask: {note} (--permission-mode default); --permissions auto or bypass allows more",)

    def reader(self, version: Version | None) -> ClaudeStream:  # type: ignore[override]
        return ClaudeStream(version)

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        """SIGINT ends a turn and the program, with its last rows written; a tool of 1.0 to 2.1.197 may live on (swept)."""
        return (StopStep("interrupt (INT)", signal=int(signal.SIGINT), grace_s=3.0),)


def _headless(note: str) -> str:
    return note.replace("it stops at a dialog for the rest", "the rest is refused")


def _resumed(argv: list[str]) -> list[str]:
    """The same command line for a further prompt in the same conversation."""
    out: list[str] = []
    skip = False
    for n, word in enumerate(argv):
        following = argv[n + 1] if n + 1 < len(argv) else ""
        if skip:
            skip = False
        elif word in ("--session-id", "--resume", "-r"):
            skip = not following.startswith("-")
        elif word not in ("--continue", "-c", "--fork-session"):
            out.append(word)
    return [*out[:1], "--resume", "{session}", *out[1:]]


ADAPTER = ClaudeExec()

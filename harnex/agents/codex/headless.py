"""Codex without a terminal (`codex exec --json`): how it is started. Measured on 0.80, 0.104, 0.145 and 0.169."""

from __future__ import annotations

import dataclasses
import json
import signal

from harnex.agents.codex import launch as launching
from harnex.agents.codex.adapter import CodexAdapter
from harnex.agents.codex.stream import CodexStream
from harnex.agents.contract import (
    SCHEMA_WORDS,
    HeadlessRequest,
    Launch,
    LaunchRequest,
    Rehearsal,
    Source,
    StopStep,
    Version,
)
from harnex.model.facts import State

SCHEMA_ON_RESUME_SINCE: Version = (0, 145)  # `exec resume` of 0.104 does not know --output-schema


def _options(args: list[str]) -> list[str]:
    """The person's own options, without a subcommand and its own."""
    found = (args[first:end] for name, _, first, end in launching.flags(args) if name not in ("--last", "--all"))
    return [word for words in found for word in words]


class CodexExec(CodexAdapter):
    """`codex exec --json`, with the stream as its one source of state."""

    sources: tuple[Source, ...] = (Source("stream", 1),)

    def launch(self, request: LaunchRequest) -> Launch:
        assert isinstance(request, HeadlessRequest)
        args = list(request.args)
        given = {name for name, _, _, _ in launching.flags(args)}
        notes: list[str] = []
        ours = ["-c", "features.daemon_auto_start=false", "-c", "check_for_update_on_startup=false"]
        own: list[str] = [] if "--json" in given else ["--json"]
        if request.model and not given & {"-m", "--model"}:
            own += ["-m", request.model]
        permissions, became, note = launching.permission_args(request, headless=True)
        own += permissions
        if request.permissions == "ask" and not permissions and became == "the CLI's default":
            note = (
                "ask: nobody can be asked in a headless run: commands stay in Codex's own default sandbox (read-only, or "
                "workspace-write where your configuration trusts the directory); --permissions auto or bypass allows more"
            )
        if note:
            notes.append(note)
        if (request.trust or request.permissions == "bypass") and "--skip-git-repo-check" not in given:
            own.append("--skip-git-repo-check")
        prompt, tail = request.prompt, ""
        files: dict[str, str] = {}
        if request.system is not None:
            prompt = f"{request.system}\n\n{prompt}"
            notes.append("--system-file: Codex takes no instructions beside its own; they stand in front of the prompt")
        resumes = launching.subcommand(request.args)[0] in launching.INTERACTIVE
        shaped: list[str] = []
        if request.schema is not None:
            files[request.schema_path] = json.dumps(request.schema, ensure_ascii=False)
            shaped = ["--output-schema", request.schema_path]
            if resumes and (request.version is None or request.version < SCHEMA_ON_RESUME_SINCE):
                shaped = []
                tail = SCHEMA_WORDS + files[request.schema_path]
                notes.append("--schema: this Codex has no option for it when it resumes; the prompt asks for it")
        argv = (request.command, *ours, "exec", *own, *shaped, *args, "-")
        again = (request.command, *ours, "exec", *own, *_options(args), "resume", "{session}", "-")
        return Launch(
            argv,
            launching._environment(request),
            files,
            permissions=became,
            notes=tuple(notes),
            stdin=prompt + tail,
            again=again,
        )

    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        """As on a terminal, the directory of a rehearsal is trusted; here that takes a flag outside of git."""
        found = super().rehearsal(base_url, home, cwd, version)
        return found and dataclasses.replace(found, args=(*found.args, "--skip-git-repo-check"))

    def reader(self, version: Version | None) -> CodexStream:  # type: ignore[override]
        return CodexStream(version)

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        """SIGINT: the rollout gets its `turn_aborted`, and the program ends in 0.2 s."""
        return (StopStep("interrupt (INT)", signal=int(signal.SIGINT), grace_s=3.0),)


ADAPTER = CodexExec()

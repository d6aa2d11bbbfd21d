"""How harnex starts, reads and ends Parrot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harnex.agents.common.status_protocol import status_fact
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
from harnex.model.facts import AgentSession, Fact, Follow, Observation, ScreenView, State, Submitted
from harnex_parrot.logs import call_of, folder


class ParrotReader(Reader):
    reads_draft = False

    def __init__(self) -> None:
        self._rows = 0

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        yield AgentSession(env["PARROT_SESSION"])
        yield Follow("talk", f"{folder(env['HOME'])}/{env['PARROT_SESSION']}.jsonl")

    def osc(self, code: int, body: str) -> Iterable[Fact]:
        fact = status_fact(body) if code == 7501 else None
        return () if fact is None else (fact,)

    def screen(self, view: ScreenView) -> Iterable[Fact]:
        last = next((line for line in reversed(view.lines) if line.strip()), "")
        at_prompt = last.startswith("parrot>")
        return (Observation("screen", State.PROMPT if at_prompt else State.BUSY, "its prompt, or none"),)

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        self._rows += 1
        if row.get("kind") == "prompt":
            yield Submitted("talk", str(row.get("text")))
        elif row.get("kind") == "answer":
            yield call_of(row)

    def recorded(self) -> int:
        return self._rows


class Parrot:
    name = "parrot"
    program = "parrot"
    known = ((3, 1), (3, 2))
    sources = (Source("osc7501", 1), Source("screen", 3))

    def launch(self, request: LaunchRequest) -> Launch:
        loud = ("--loud",) if request.options.get("parrot-tone") == "loud" else ()
        session = request.new_session_id
        return Launch((request.command, *loud, *request.args), {"PARROT_SESSION": session}, session_id=session)

    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        return None

    def lease(
        self, credential: Credential, home: str, cwd: str, version: Version | None, base_url: str | None
    ) -> Lease | None:
        return None

    def reader(self, version: Version | None) -> Reader:
        return ParrotReader()

    def typing(self, text: str, version: Version | None) -> Typing:
        return Typing(clear=b"\x15", paste=text.encode())

    def interrupt(self, view: ScreenView, version: Version | None) -> bytes:
        return b"\x03"

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        return (StopStep("end of input", keys=b"\x04"),)

    def resume_args(self, session_id: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        return ()


ADAPTER = Parrot()

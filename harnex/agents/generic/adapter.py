"""Any other terminal program. Its state is what it declares (OSC 7501, a spinner in its title), else `unknown`.

Nothing is guessed from quiet: a program that prints nothing may be working or waiting, and a wrong
`prompt` is worse than `unknown`. Messages are typed all the same, since there is no better moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harnex.agents.common.message_text import bracketed, losses
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
from harnex.model.facts import Fact, Observation, ScreenView, State

SPINNER = "⠁⠂⠄⡀⢀⠠⠐⠈⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏◐◓◑◒"


NO_SIGN = Observation("screen", State.UNKNOWN, "this program gives no sign of its state")


class GenericReader(Reader):
    """Listens to OSC 7501 and to spinners in the title."""

    reads_draft = False  # what an input box looks like is not known
    may_type_unknown = True
    counts = False

    def __init__(self) -> None:
        self._spun = False

    def spawned(self, pid: int, env: Mapping[str, str], cwd: str) -> Iterable[Fact]:
        return [NO_SIGN]  # from the start: it may never print anything

    def osc(self, code: int, body: str) -> Iterable[Fact]:
        if code == 7501:
            fact = status_fact(body)
            return [fact] if fact is not None else []
        if code in (0, 2):
            if body[:1] and body[0] in SPINNER:
                self._spun = True
                return [Observation("title", State.BUSY, f"spinner in the title: {body[:40]}")]
            if self._spun:
                return [Observation("title", State.PROMPT, f"no spinner in the title: {body[:40]}")]
        return []


class Generic:
    """Runs a command as it is."""

    name = "generic"
    program = ""
    known = None
    sources = (Source("osc7501", 1), Source("title", 2, settle_s=0.3), Source("screen", 3))

    def launch(self, request: LaunchRequest) -> Launch:
        notes: tuple[str, ...] = ()
        if request.permissions != "ask":
            notes = (f"--permissions {request.permissions} means nothing to a program that harnex does not know",)
        return Launch((request.command, *request.args), notes=notes)

    def rehearsal(self, base_url: str, home: str, cwd: str, version: Version | None) -> Rehearsal | None:
        return None

    def lease(
        self, credential: Credential, home: str, cwd: str, version: Version | None, base_url: str | None
    ) -> Lease | None:
        return None

    def reader(self, version: Version | None) -> Reader:
        return GenericReader()

    def typing(self, text: str, version: Version | None) -> Typing:
        # A bracketed paste only where the program asked for it: the session falls back to plain keys.
        return Typing(clear=b"", paste=bracketed(text), echo_s=0.15, accept_s=0.3, notes=losses(text))

    def interrupt(self, view: ScreenView, version: Version | None) -> bytes:
        return b"\x03"

    def stop_steps(self, state: State, version: Version | None) -> tuple[StopStep, ...]:
        return (StopStep("hang up", signal=1, grace_s=1.0),)

    def resume_args(self, session_id: str, args: tuple[str, ...] = ()) -> tuple[str, ...]:
        return ()


ADAPTER = Generic()

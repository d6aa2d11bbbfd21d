"""The Program Status Protocol (OSC 7501), in which agents declare their own state. The one parser of it.

Each agent maps what is parsed to its own facts, because each means something else by it: Claude Code declares a refused
login as `blocked`, Codex names no kind before 0.169. Other programs go by `status_fact`.

Fields stand between colons (all 307 bodies that the corpus of Claude Code and Codex holds; none has a semicolon).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from harnex.model.facts import Fact, Observation, Retracted, State

SOURCE = "osc7501"
AT_REST = ("idle", "done", "error")
DIALOGS = ("permission", "question", "plan", "trust", "login")


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One body. `state` is "" for a query; `task` names a background task that the status is of, "": the program."""

    state: str = ""
    kind: str = ""
    message: str = ""
    task: str = ""


def parse(body: str) -> ProgramStatus:
    """A body such as `state=blocked:kind=permission:msg=<base64>`. Fields that are not known are left out."""
    fields = dict(part.split("=", 1) for part in body.split(":") if "=" in part)
    return ProgramStatus(
        fields.get("state", ""), fields.get("kind", ""), _decoded(fields.get("msg", "")), fields.get("id", "")
    )


def status_fact(body: str) -> Fact | None:
    """The fact of a body, for a program of which nothing more is known; None if it says nothing of the program."""
    told = parse(body)
    if not told.state or told.task:
        return None
    if told.state == "clear":
        return Retracted(SOURCE)
    if told.state == "blocked":
        dialog = told.kind if told.kind in DIALOGS else "other"
        words = f"the program says: blocked {told.kind} {told.message}".strip()
        return Observation(SOURCE, State.BLOCKED, words, dialog)
    state = State.BUSY if told.state == "working" else State.PROMPT if told.state in AT_REST else State.UNKNOWN
    return Observation(SOURCE, state, f"the program says: {told.state}")


def _decoded(text: str) -> str:
    """A message; the text itself if it is no base64."""
    try:
        return base64.b64decode(text + "==").decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return text

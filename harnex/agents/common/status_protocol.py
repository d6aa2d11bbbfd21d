"""The Program Status Protocol (OSC 7501), in which agents declare their own state: shared by the adapters."""

from __future__ import annotations

import base64
import binascii

from harnex.model.facts import Fact, Observation, Retracted, State

# Program Status Protocol (OSC 7501), as Codex 0.169 and Claude Code 2.1.329 send it (field notes).
STATUS_STATES = {"idle": State.PROMPT, "done": State.PROMPT, "error": State.PROMPT, "working": State.BUSY}


def status_fact(body: str, source: str = "osc7501") -> Fact | None:
    """The fact of an OSC 7501 body such as `state=blocked:kind=permission:msg=<base64>`; None for a query."""
    fields = dict(part.partition("=")[::2] for part in body.split(":"))
    state = fields.get("state")
    if state is None:
        return None
    if state == "clear":
        return Retracted(source)
    if state == "blocked":
        kind = fields.get("kind", "")
        dialog = kind if kind in ("permission", "question", "plan", "trust", "login") else "other"
        try:
            words = base64.b64decode(fields.get("msg", "") + "==").decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            words = fields.get("msg", "")
        return Observation(source, State.BLOCKED, f"the program says: blocked {kind} {words}".strip(), dialog)
    known = STATUS_STATES.get(state)
    if known is None:
        return Observation(source, State.UNKNOWN, f"the program says: {state}")
    return Observation(source, known, f"the program says: {state}")

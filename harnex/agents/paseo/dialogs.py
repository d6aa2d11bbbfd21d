"""What a Paseo agent asks a person: what waits for permission, and what `paseo permit` gets as the answer. Pure.

- `permit ls` cuts its ids to 8 characters, which are the same for all: only `inspect` has whole ones.
- A question (AskUserQuestion) is a permission, too. A bare `allow` tells the model that nobody answered; the answer goes
  by `--input`, as the tool's own input with `answers` added. What is asked is in the provider's record only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harnex.agents.common.record import Record
from harnex.agents.paseo.cli import Cli
from harnex.model.facts import Fact, Observation, Retracted, RunCommand, State

DIALOG_OF_TOOL = {"AskUserQuestion": "question", "ExitPlanMode": "plan"}
YES_NO = ("Allow", "Deny")


class Dialogs:
    """The one that is open (`request`, "" if none), out of what `inspect` says waits."""

    def __init__(self) -> None:
        self.request = ""
        self._tool = ""
        self._options: tuple[str, ...] = YES_NO
        self._answered: set[str] = set()  # they stay in the list for a moment

    def waiting(self, pending: Any, record: Record) -> Iterator[Fact]:
        """`pending` is `PendingPermissions` of `inspect`."""
        rows = [p for p in pending if isinstance(p, dict)] if isinstance(pending, list) else []
        waiting = [(str(p.get("id")), str(p.get("tool"))) for p in rows if str(p.get("id")) not in self._answered]
        if not waiting:
            yield from self.gone()
            return
        self.request, self._tool = waiting[0]
        question = _question(record)
        self._options = tuple(question[1]) if question and self._dialog == "question" else YES_NO
        words = f"Paseo waits for permission: {record.asked or self._tool}"
        yield Observation("inspect", State.BLOCKED, words, self._dialog, self._options)

    def gone(self) -> Iterator[Fact]:
        if self.request:
            self.request = ""
            yield Retracted("inspect")

    @property
    def _dialog(self) -> str:
        return DIALOG_OF_TOOL.get(self._tool, "permission")

    def answer(
        self, cli: Cli, agent: str, verb: str, option: int | None, text: str | None, record: Record
    ) -> RunCommand:
        """The call that answers it. Raises ValueError, in words, for an answer that it doesn't take."""
        if not self.request:
            raise ValueError("no permission is waiting any more")
        if option is not None and not 1 <= option <= len(self._options):
            raise ValueError(f"there is no option {option}: " + " · ".join(self._options))
        words: tuple[str, ...] = ()
        if self._dialog == "question" and verb == "approve":
            words = ("--input", _chosen(record, option, text))
        elif text is not None and verb == "approve":
            raise ValueError("`paseo permit allow` takes no text for this dialog: leave --text out")
        elif text is not None:
            words = ("--message", text)
        if option == 2 and self._options == YES_NO:
            verb = "deny"
        self._answered.add(self.request)
        return cli.call("permit", "permit", "allow" if verb == "approve" else "deny", *words, agent, self.request)

    def refused(self) -> None:
        """The answer was not taken: it may be given again."""
        self._answered.clear()


def _question(record: Record) -> tuple[dict[str, Any], list[str]] | None:
    """The one question that is asked, and what may be chosen; None: not to be seen, or several."""
    given = (record.question or {}).get("questions")
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
        return None
    choices = given[0].get("options")
    labels = [str(o.get("label")) for o in choices if isinstance(o, dict)] if isinstance(choices, list) else []
    return given[0], labels


def _chosen(record: Record, option: int | None, text: str | None) -> str:
    """The tool's input with the answer in it, as JSON."""
    found = _question(record)
    if found is None:
        raise ValueError("its questions can't be read: answer in Paseo itself, or deny")
    if option is None and text is None:
        raise ValueError("choose with --option N, or answer with --text: " + " · ".join(found[1]))
    answer = text if text is not None else found[1][(option or 1) - 1]
    given = {**(record.question or {}), "answers": {str(found[0].get("question")): answer}}
    return json.dumps(given, ensure_ascii=False)

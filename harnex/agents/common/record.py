"""A CLI's own record of one conversation, for another agent that runs the CLI (Paseo).

A `Record` turns rows into calls and tools, and keeps what they say of the turn since the last prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harnex import times
from harnex.model.facts import Fact, Submitted, TurnEnded

if TYPE_CHECKING:
    from datetime import tzinfo

EARLY_S = 0.001  # times have milliseconds; a record dates the prompt 9 to 50 ms after Paseo does (measured)


class Record:
    """One agent's record. The defaults say nothing."""

    readable = False

    def __init__(self, began: float) -> None:
        """`began`: epoch seconds of the run's start. What is older is of the conversation, and not of the run."""
        self._began = began
        self.said: TurnEnded | None = None  # the last word on the turn since the last prompt
        self.prompted = 0.0  # when that prompt was recorded, epoch seconds
        self.prompt = ""
        self.answered = False  # something came after it
        self.rows = 0
        self.zone: tzinfo | None = None  # of the times that the CLI names; None: our own
        self.question: dict[str, Any] | None = None  # the input of an AskUserQuestion that is open
        self.asked = ""  # the name and input of the tool that is open

    @staticmethod
    def wrote(row: dict[str, Any]) -> bool:
        """Whether this CLI wrote the row, where nothing else tells whose a record is."""
        return False

    def find(self, home: str, env: dict[str, str], session: str) -> Iterable[Fact]:
        """Where the record of this provider session is. It may be older than the run."""
        return ()

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        return ()

    def again(self, source: str, row: dict[str, Any]) -> Iterator[Fact]:
        """A row of a run that is over, with what the state file told meanwhile: prompts and the ends of turns."""
        before, said = self.prompted, self.said
        yield from self.row(source, row)
        if self.prompted != before:
            yield Submitted("record", self.prompt)
        if self.said is not None and self.said is not said:
            yield self.said

    def over(self) -> Iterable[Fact]:
        """The turn is over: no more rows of its last call can come."""
        return ()

    def cut(self, died: bool) -> Iterable[Fact]:
        """The turn was interrupted, or its program `died`, and the record does not say so: the call that was open."""
        return ()

    def ended(self) -> Iterable[Fact]:
        """The provider's program is gone: calls that were open, and what its record says of itself, as without Paseo."""
        return ()

    def end(self, prompted_at: float, complete: bool = False) -> TurnEnded | None:
        """How the turn ended that Paseo dates `prompted_at`; None: the record does not say (yet). `complete`: no more
        rows of it will come."""
        return self.said if self.prompted >= prompted_at - EARLY_S else None

    def classify(self, text: str) -> tuple[str, str | None]:
        """The reason of a failure by the provider's words, and when to try again."""
        return "other", None

    def whose_tool(self, env: Mapping[str, str], apart: bool) -> str:
        """As `Reader.whose_tool`, for the provider's tools."""
        return ""

    def _prompt(self, row: dict[str, Any], text: str) -> None:
        self.prompt = text
        self.said, self.answered, self.question, self.asked = None, False, None, ""
        self.prompted = times.seconds(row.get("timestamp")) or self.prompted


def glob_escaped(path: str) -> str:
    """A path that stands for itself in a glob."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)

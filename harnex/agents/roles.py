"""What an agent CLI can offer beside its adapter. Each role is optional; its module is named by the CLI's `AgentKind`.

Agents do no I/O. A role that needs files asks the `Files` that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from harnex.agents.common.chat import Chat
from harnex.agents.common.logfile import Log

Readers = Callable[[int, bool], Log]  # the number of a file among others, and whether to read all that it can hold
Row = dict[str, Any]


class Files(Protocol):
    """The files of this machine. Nothing raises: what can't be read is empty."""

    def is_folder(self, path: str) -> bool: ...

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted; "" is the working directory."""
        ...

    def document(self, path: str) -> Row | None:
        """A small file that is one JSON object."""
        ...

    def first_row(self, path: str) -> Row | None:
        """The JSON object on the first line."""
        ...

    def head_rows(self, path: str) -> Iterator[Row]:
        """Lazily, the rows in the first 64 KB, or the first row where that is longer."""
        ...

    def chosen_rows(self, path: str, log: Log) -> Iterator[Row]:
        """Lazily, the rows of the kinds that this log wants."""
        ...

    def every_row(self, path: str) -> Iterator[Row]:
        """Lazily, all rows."""
        ...


class Logs:
    """The files that a CLI writes itself: where they are, and what is read in them (`usage --from`, `usage --bodies`).

    The defaults are those of a CLI with one file a conversation, in which all is said: it needs `folders` and `reader`.
    """

    def folders(self, home: str, env: Mapping[str, str]) -> Sequence[str]:
        """Where the CLI keeps its conversations. The first one must be there; others are read if they are."""
        return ()

    def further(self, path: str, files: Files) -> Iterable[str]:
        """Lazily, the files and folders that belong to the conversation in a file that a person named."""
        return ()

    def is_part(self, name: str) -> bool:
        """Whether a file of this name belongs to another one, which must be read before it."""
        return False

    def reader(self, full: bool) -> Log:
        """Reads the calls of one file. `full`: all that it can hold, with turns and texts."""
        return Log()

    def readers(self, paths: Sequence[str], files: Files) -> Readers:
        """Readers of these files, which are read in this order, for what must be known of one from the others."""
        return lambda number, full: self.reader(full)

    def chats(self, agent: str, paths: Sequence[str], files: Files) -> Callable[[], Chat] | None:
        """Makes a reader of one of these files as the chat of this agent (`ModelCall.agent`). None: it holds none."""
        return None

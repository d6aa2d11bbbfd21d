"""A person's own patterns (`[redact]`) in a session: each search has a time limit.

`re` tries one way after the other: `(a+)+$` needs 2^n steps for n letters. `trial` refuses such
patterns at the start, but does not find all of them, so a session relies on this limit.
"""

from __future__ import annotations

import contextlib
import re
import signal
from _thread import get_ident

from harnex.redaction.redactor import Span, own_spans

TEXT_S, CHAR_S = 0.1, 2e-6  # seconds of processor time: for a text, and for each of its characters
HURRIED_S, SLOW_MAX = 0.01, 3  # seconds for a text, once the pattern was too slow this often


class _TooLong(Exception):
    pass


class _Clock:
    """This process's alarm, for one search at a time. `re` looks for signals while it searches.

    Python runs signal handlers in the first thread only. Searches in other threads have no limit.
    """

    owner: int | None = None  # the first thread
    running = False

    @classmethod
    def strike(cls, *_: object) -> None:
        if cls.running:
            raise _TooLong

    @classmethod
    def works_here(cls) -> bool:
        if cls.owner is None:
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGVTALRM, cls.strike)
                cls.owner = get_ident()
        return cls.owner == get_ident()


class Bounded:
    """A pattern with a time limit, as `Redactor` takes it.

    `slow` counts the texts for which the pattern was too slow.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.slow = 0
        self._pattern = re.compile(source)

    def spans(self, text: str) -> list[Span]:
        """What the pattern finds.

        If the search takes too long, the whole text, because any part may be a secret.
        """
        if not _Clock.works_here():
            return list(own_spans(self._pattern, text))
        limit = (TEXT_S if self.slow < SLOW_MAX else HURRIED_S) + CHAR_S * len(text)
        try:
            _Clock.running = True
            signal.setitimer(signal.ITIMER_VIRTUAL, limit)
            try:
                return list(own_spans(self._pattern, text))
            finally:
                _Clock.running = False
        except _TooLong:
            self.slow += 1
            return [(0, len(text))]
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

"""A person's own patterns (`[redact]`) in a session: whatever they are, they have a bound.

`re` tries one way after the other: `(a+)+$` needs 2^n steps for n letters. `trial` refuses such patterns at the start, but
no trial finds them all, so this bound is what a session relies on.
"""

from __future__ import annotations

import contextlib
import re
import signal
from _thread import get_ident

from harnex.core.redact import Span, own_spans

TEXT_S, CHAR_S = 0.1, 2e-6  # of the processor, for a text, and for each of its characters
HURRIED_S, SLOW_MAX = 0.01, 3  # a pattern that was too slow so often gets less


class _TooLong(Exception):
    pass


class _Clock:
    """The time of this process, for one match at a time. Only its first thread can be interrupted."""

    thread: int | None = None
    running = False

    @classmethod
    def strike(cls, *_: object) -> None:
        if cls.running:
            raise _TooLong

    @classmethod
    def ready(cls) -> bool:
        if cls.thread is None:
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGVTALRM, cls.strike)
                cls.thread = get_ident()
        return cls.thread == get_ident()


class Bounded:
    """A pattern of a person, as the redactor takes it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.slow = 0  # texts that it was too slow for
        self._pattern = re.compile(source)

    def spans(self, text: str) -> list[Span]:
        """What it finds. All of the text, if that takes too long: nobody knows what is in it then."""
        if not _Clock.ready():
            return list(own_spans(self._pattern, text))
        most = (TEXT_S if self.slow < SLOW_MAX else HURRIED_S) + CHAR_S * len(text)
        try:
            _Clock.running = True
            signal.setitimer(signal.ITIMER_VIRTUAL, most)
            try:
                return list(own_spans(self._pattern, text))
            finally:
                _Clock.running = False
        except _TooLong:
            self.slow += 1
            return [(0, len(text))]
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

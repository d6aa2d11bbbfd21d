"""supervisor/session.py: what a signal may do, and which descriptors are waited for."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from harnex.supervisor.loop import Loop
from harnex.supervisor.session import Session


def test_a_signal_to_end_is_only_noted() -> None:
    """The handler runs between any two steps of the loop, so it may touch no part of the session."""
    session: Any = object.__new__(Session)  # it has no parts: whatever is touched fails
    session._note_signal()
    assert vars(session) == {"_is_signalled": True}


class Child:
    """A child whose output and errors come by pipes, or the pipes of one that has ended."""

    def __init__(self) -> None:
        self.pipes = [os.pipe(), os.pipe()]
        self.fds = self.all_fds = tuple(reader for reader, _ in self.pipes)

    def close(self) -> None:
        for fd in (fd for pair in self.pipes for fd in pair):
            os.close(fd)


def test_the_pipes_of_a_process_that_is_replaced_are_waited_for_no_more() -> None:
    """A process that it left behind may hold them open. Their numbers are used again."""
    old, new = Child(), Child()
    session: Any = object.__new__(Session)
    session.loop, session._env = Loop(), {}
    session.agent = SimpleNamespace(child=old)
    session.journal = SimpleNamespace(changed=lambda: None)
    session.headless = SimpleNamespace(again=lambda env, now: new, asked_again=lambda env, now: None)
    session._listen_to_child()
    assert session._is_asked_again(0.0)
    assert set(session.loop.selector.get_map()) == set(new.fds)
    again = Child()  # gets the numbers that were closed
    assert set(again.fds) & set(old.fds)
    for fd in again.fds:
        session.loop.add(fd, lambda mask: None)
    session.loop.selector.close()
    new.close()
    again.close()

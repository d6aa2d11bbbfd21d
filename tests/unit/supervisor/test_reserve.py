"""supervisor/reserve.py and the session: what is done when no descriptor is left."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any

import pytest

from harnex.supervisor import reserve
from harnex.supervisor.session import Session


class Lacking(Session):
    """A session whose passes fail, each with the next of these errors; then it is over."""

    def __init__(self, *failures: OSError, ended: bool = False) -> None:
        self.failures = list(failures)
        self.said: list[str] = []
        self.finished = False
        self.reserve = reserve.Reserve()
        parts: dict[str, Any] = {
            "control": SimpleNamespace(shrink=lambda: self.said.append("shrink"), unsent=False, close=lambda: None),
            "journal": SimpleNamespace(diagnose=lambda what: self.said.append("diagnostic")),
            "agent": SimpleNamespace(child=SimpleNamespace(reap=lambda: ended)),
            "stop": lambda reason, message: self.said.append(f"{reason}: {message}"),
        }
        vars(self).update(parts)

    def _pass(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.finished = True


def lack(number: int = errno.EMFILE) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_without_descriptors_the_session_ends_with_those_in_reserve(number: int) -> None:
    before = len(os.listdir("/dev/fd"))
    session = Lacking(lack(number))
    assert len(os.listdir("/dev/fd")) == before + reserve.KEPT
    session.run()
    assert session.said[:2] == ["shrink", "diagnostic"]
    assert session.said[2].startswith("failure: ")
    assert "ulimit -n" in session.said[2]
    assert len(os.listdir("/dev/fd")) == before


def test_an_agent_that_is_gone_already_has_its_own_end() -> None:
    session = Lacking(lack(), ended=True)
    session.run()
    assert session.said == ["shrink", "diagnostic"]


def test_without_the_reserve_it_is_the_last_resort() -> None:
    with pytest.raises(OSError, match="Too many"):
        Lacking(lack(), lack()).run()
    with pytest.raises(OSError, match="No space"):
        Lacking(lack(errno.ENOSPC)).run()

"""What a person opened in `attach` and left open is never typed into: it is left first, or the message waits.

`!` makes a shell line of what is typed next, `#` and `&` (old Claude Code) a memory and a background task; a search
and a view to read in swallow it.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.real.conftest import Agent, Person
from tests.real.test_messages import check_requests

pytestmark = pytest.mark.timeout(150)
CTRL_O, CTRL_R, CTRL_T = b"\x0f", b"\x12", b"\x14"


def openings(agent: Agent, marker: Path) -> list[tuple[str, bytes, bytes]]:
    """What to open: (its name, its key, keys typed in it)."""
    shell = [("shell mode", b"!", b""), ("shell mode", b"!", f"touch '{marker}'".encode())]
    if agent.cli == "codex":
        search = [("the history search", CTRL_R, b"he")] if agent.newest else []
        return [*shell, ("the transcript view", CTRL_T, b""), *search]
    old = [("background mode", b"&", b"x")] if agent.numbers < (2, 1) else []
    return [*shell, *old, ("the history search", CTRL_R, b"he"), ("the transcript view", CTRL_O, b"")]


def open_and_leave(agent: Agent, name: str, key: bytes, more: bytes, stay: Person) -> None:
    """Press the keys in `attach` one at a time, as people do, until the session says what is open."""
    place = agent.place

    def shows() -> bool:
        record = agent.record("open")
        return bool(record["state"] == "blocked" and record["dialog"] == "other")

    stay.press(key)
    place.until(shows, what=f"{name} is open: {place.ok('pane', '--id', 'open')}")
    for letter in more:
        stay.press(bytes([letter]))
        time.sleep(0.03)
    if more:
        shown = more[-8:].decode()
        place.until(lambda: shown in place.ok("pane", "--id", "open"), what=f"{shown!r} is typed")


@pytest.mark.newest
def test_what_was_left_open_takes_no_message(agent: Agent) -> None:
    marker = agent.place.work / "RAN"
    cases = openings(agent, marker)
    texts = ["hello there", *(f"touch '{marker}' {n}" for n in range(len(cases)))]
    agent.start("open", *[f"answer {n}" for n in range(len(texts))], bypass=False)
    agent.send("open", texts[0])
    for n, (name, key, more) in enumerate(cases):
        with Person(agent.place, "attach", "--id", "open") as person:
            person.sees("hello")
            open_and_leave(agent, name, key, more, person)
            if n != 1:  # that one stays attached
                person.detach()
            sent = agent.send("open", texts[n + 1])
        assert (sent["outcome"], sent["last_message"]) == ("completed", f"answer {n + 1}"), name
        assert not marker.exists(), f"{name} ran a message"
    check_requests(agent, "open", tuple(texts))
    said = {e["what"].partition(" was open")[0] for e in agent.events("open", "diagnostic") if "was left" in e["what"]}
    assert said == {name for name, _, _ in cases}
    agent.stop("open")
    agent.check_ended("open")

"""An agent that stands still takes nothing: no message is told `accepted` on the word of a frozen screen."""

from __future__ import annotations

import json
import os
import signal

import psutil
import pytest

from tests.real.conftest import Agent, Person
from tests.real.test_messages import check_requests

pytestmark = pytest.mark.timeout(120)


def signal_all(agent: Agent, signum: int) -> None:
    """To the agent's process and all below it."""
    top = psutil.Process(agent.record("still")["pid"])
    for process in (top, *top.children(recursive=True)):
        os.kill(process.pid, signum)


def test_a_frozen_agent_has_accepted_nothing(agent: Agent) -> None:
    """Stopped as a whole; Codex also without the process that harnex started, which is a mere launcher there."""
    place = agent.place
    texts = ["hello", "while it is stopped", *(["while it hangs"] if agent.cli == "codex" else [])]
    agent.start("still", *[f"answer {n}" for n in range(len(texts))])
    agent.send("still", "hello")
    for n, text in list(enumerate(texts))[1:]:
        signal_all(agent, signal.SIGSTOP)
        if n == 2:
            os.kill(agent.record("still")["pid"], signal.SIGCONT)
        else:
            place.until(lambda: agent.record("still")["state"] == "unknown", what="it is known to be stopped")
        words = ("send", "--id", "still", "--message", text, "--wait-for-idle", "--timeout", "7")
        late = place.run(*words, timeout=60)
        assert late.returncode == 124, late.stdout
        message = json.loads(late.stdout)["message_id"]
        told = [e["status"] for e in agent.events("still", "delivery") if e["message_id"] == message]
        assert told == (["queued", "typed"] if n == 2 else ["queued", "expired"])
        signal_all(agent, signal.SIGCONT)
        if n == 1:
            agent.send("still", text)
        done = agent.wait("still", "task_complete", 60)
        assert (done["turn"], done["last_outcome"]["message"]) == (n + 1, f"answer {n}")
    check_requests(agent, "still", tuple(texts))
    agent.stop("still")
    agent.check_ended("still")


@pytest.mark.newest
def test_ctrl_z_in_attach_suspends_nobody(agent: Agent) -> None:
    """Claude Code gives the terminal back to a shell that is not there. Codex takes Ctrl-Z for nothing."""
    agent.start("still", "one", "two")
    agent.send("still", "hello")
    with Person(agent.place, "attach", "--id", "still") as person:
        person.sees("hello")
        person.press(b"\x1a")
        if agent.cli == "claude":
            person.sees("suspended")
        person.detach()
    assert agent.send("still", "after it")["last_message"] == "two"
    check_requests(agent, "still", ("hello", "after it"))
    agent.stop("still")
    agent.check_ended("still")

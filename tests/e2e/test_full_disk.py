"""A state directory without room, in bytes or in inodes: what is said about a session stays true,
and the session can be ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Harnex
from tests.e2e.test_exec import Fake
from tests.e2e.test_files import ROOT, fill

pytestmark = pytest.mark.timeout(120)


class Disk:
    """The state directory, on a small disk of its own."""

    def __init__(self, place: Harnex, lacks: str) -> None:
        self.place, self.lacks = place, lacks
        self._taken: list[Path] = []

    def fill(self) -> None:
        if self.lacks == "room":
            self._taken = [fill(self.place.state)]
            return
        for n in range(1000):
            path = self.place.state / f"inode-{n}"
            try:
                path.touch()
            except OSError:
                return
            self._taken.append(path)

    def empty(self) -> None:
        for path in self._taken:
            path.unlink(missing_ok=True)
        self._taken = []


@pytest.fixture(params=["room", "inodes"])
def disk(harnex: Harnex, request: pytest.FixtureRequest) -> Iterator[Disk]:
    if not ROOT:
        pytest.skip("only root can mount a small disk")
    harnex.state.mkdir(0o700)
    size = "size=1m" if request.param == "room" else "size=16m,nr_inodes=60"
    options = f"{size},mode=700"
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "harnex-test", str(harnex.state)], check=False
    ).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    small = Disk(harnex, request.param)
    try:
        yield small
        small.empty()
        for record in json.loads(harnex.run("status", "--all", "--json").stdout or "[]"):
            harnex.run("stop", "--force", "--id", record["run_id"])
    finally:
        subprocess.run(["umount", "-l", str(harnex.state)], check=False)


def record(place: Harnex) -> dict[str, Any]:
    (row,) = place.json("status", "--json")
    return dict(row)


# The agent's own evidence would be on that disk, too.
SIGNALS = ("--signals", "osc7501,title")


def test_the_state_is_told_while_there_is_no_room(harnex: Harnex, disk: Disk) -> None:
    gate = harnex.base / "gate"
    tool = {"bash": f"until test -e '{gate}'; do sleep 0.05; done"}
    harnex.agent("full", {"text": "done", "tools": [tool]}, tui=SIGNALS)
    disk.fill()
    harnex.ok("send", "--id", "full", "--message", "go")
    harnex.until(lambda: record(harnex)["state"] == "busy", what="status says that it works")
    gate.touch()
    harnex.until(lambda: record(harnex)["state"] == "prompt", what="status says that it is ready")
    assert record(harnex)["turn"] == 1
    os.kill(record(harnex)["pid"], signal.SIGKILL)
    harnex.until(lambda: record(harnex)["state"] == "stopping", what="status says that it is over")
    disk.empty()
    harnex.until(lambda: harnex.json("history", "--json"), what="its record")
    assert [r["reason"] for r in harnex.json("history", "--json")] == ["killed"]
    rows = harnex.events("full")
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["type"] == "exited"


NO_RECORD = """
import errno, os, sys
if "harnex-supervisor" in sys.orig_argv:
    from harnex.store import history
    append = history.append
    def refuse(*words):
        if os.path.exists({flag!r}):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(*words)
    history.append = refuse
"""


@pytest.mark.parametrize("how", ["stop", "force", "later"])
def test_stop_answers_before_there_is_room_for_the_record(harnex: Harnex, how: str) -> None:
    """`later`: the agent ended by itself, and its session waits for room."""
    full = harnex.base / "full"
    harnex.customize(NO_RECORD.format(flag=str(full)))
    harnex.agent("full", {"text": "x"})
    full.touch()
    if how == "later":
        os.kill(record(harnex)["pid"], signal.SIGKILL)
        harnex.until(lambda: record(harnex)["state"] == "stopping", what="it is ending")
    stopped = harnex.run("stop", "--id", "full", *(["--force"] if how == "force" else []), timeout=20)
    reply = json.loads(stopped.stdout)
    reason = "killed" if how == "later" else "stopped"
    assert (stopped.returncode, reply["reason"], reply["recorded"]) == (0, reason, False)
    assert "as soon as there is room" in stopped.stderr
    assert harnex.running("tui") == []
    assert record(harnex)["state"] == "stopping"
    again = harnex.json("stop", "--id", "full", timeout=20)
    assert (again["reason"], again["recorded"]) == (reason, False)
    full.unlink()
    harnex.until(lambda: harnex.json("status", "--json") == [], what="the session is over")
    assert [r["reason"] for r in harnex.json("history", "--json")] == [reason]
    assert harnex.events("full")[-1]["type"] == "exited"


def test_stop_takes_everything_with_it_while_there_is_no_room(harnex: Harnex, disk: Disk) -> None:
    harnex.agent("full", {"text": "x", "tools": [{"bash": "setsid sleep 300 & sleep 300"}]}, tui=SIGNALS)
    harnex.ok("send", "--id", "full", "--message", "go")
    harnex.until(lambda: harnex.running("sleep 300"), what="the tool runs")
    disk.fill()
    assert harnex.json("stop", "--id", "full", timeout=30)["reason"] == "stopped"
    assert harnex.running("sleep 300") == []
    assert harnex.running("tui") == []
    disk.empty()
    harnex.until(lambda: harnex.json("history", "--json"), what="its record")
    harnex.until(lambda: harnex.json("status", "--json") == [], what="the session is over")
    assert harnex.events("full")[-1]["type"] == "exited"


def test_exec_can_be_left_while_there_is_no_room(harnex: Harnex, disk: Disk) -> None:
    command = Fake(harnex, "begin(); time.sleep(300)").start("--id", "full")
    harnex.until(lambda: [r for r in harnex.json("status", "--json") if r["state"] == "busy"], what="it works")
    disk.fill()
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=30)
    assert command.returncode == 130, said
    disk.empty()
    harnex.until(lambda: harnex.json("history", "--json"), what="its record")
    harnex.until(lambda: harnex.json("status", "--json") == [], what="the session is over")

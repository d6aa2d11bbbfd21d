"""The supervisor is killed at chosen points of its own code, between one write and the next.

test_faults.py kills processes at moments that can be seen from outside; the moments here last
microseconds. A `sitecustomize` in the supervisor's process kills it on entry to a function, or
some lines into the function.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from harnex import errors
from harnex.recovery.go_on import GO_ON
from tests.conftest import each

from .conftest import Harnex
from .test_faults import WAITING, check_run, of_run

TRAP = """
import os, signal, sys
if "harnex-supervisor" in sys.argv and not os.path.exists({done!r}):
    where, function, line = {file!r}, {function!r}, {line}
    def lines(frame, event, arg):
        global line
        if event == "line":
            line -= 1
            if line < 0:
                open({done!r}, "x").close()
                os.kill(os.getpid(), {signal})
        return lines
    def calls(frame, event, arg):
        if frame.f_code.co_name == function and frame.f_code.co_filename.endswith(where) and {condition}:
            return lines
    sys.settrace(calls)
"""

# Where the supervisor dies: file, function, how many of its lines are
# done, and on which call of it.
IN_START = {
    "before it has its id": ("supervisor/entry.py", "claim_id", 1, "True"),
    "its id taken, nothing more": ("supervisor/session.py", "start", 0, "True"),
    "before its first event": ("supervisor/child.py", "__init__", 0, "True"),
    "spawned, `started` not written": ("supervisor/control.py", "__init__", 0, "True"),
    "`started` written": ("supervisor/dispatch.py", "__init__", 0, "'journal' in frame.f_locals"),
    "the first entry half written": (
        "store/durable.py",
        "replace",
        8,
        "'/sessions/' in frame.f_locals['path'] and b'\"pid\":null' not in frame.f_locals['data']",
    ),
    "in boot": ("supervisor/boot.py", "step", 0, "frame.f_back.f_locals['self'].delivery.inbox.pending"),
}
LATER = {
    "typed, not accepted": ("machines/turns.py", "claim", 0, "frame.f_locals['message_id']"),
    "accepted, not told": ("supervisor/delivery.py", "turn_closed", 0, "True"),
}
AT_THE_END = {
    "the agent gone, nothing written": ("supervisor/session.py", "close_turn", 0, "True"),
    "before the history row": ("store/history.py", "append", 0, "True"),
    "after the history row": ("supervisor/closing.py", "leave", 0, "True"),
    "after `exited`": ("supervisor/journal.py", "close", 0, "True"),
    "the log closed, the entry there": ("store/registry.py", "remove", 0, "True"),
    "the entry gone, the mark there": ("store/runlock.py", "remove", 0, "True"),
    "all gone, the socket there": ("supervisor/session.py", "_say_goodbye", 0, "True"),
}


class Trap:
    """The next supervisor dies at this point, once.

    With `stop` it hangs there first, and is killed then.
    """

    def __init__(self, harnex: Harnex, file: str, function: str, line: int, condition: str, stop: bool = False) -> None:
        self._harnex, self._done = harnex, harnex.base / "trapped"
        number = signal.SIGSTOP if stop else signal.SIGKILL
        code = TRAP.format(
            done=str(self._done), file=file, function=function, line=line, condition=condition, signal=int(number)
        )
        harnex.customize(code)

    def sprung(self) -> None:
        self._harnex.until(self._done.exists, 20, what="the supervisor came to that point")


def start(harnex: Harnex) -> tuple[list[str], Path]:
    log = harnex.base / "cell.truth"
    script = harnex.script({"text": "one"}, {"text": "two"})
    return ["run", "demo", "--detach", "--id", "cell", "--rehearse", script], log


def prompts(log: Path) -> list[str]:
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [row["text"].strip() for row in rows if row.get("event") == "accepted"]


def gone(harnex: Harnex) -> None:
    """Recover twice at once, and check: every run is whole, and no
    process, socket or entry is left."""
    both = [harnex.start("recover", "--all", "--json") for _ in range(2)]
    found = [f for c in both for f in json.loads(c.communicate(timeout=40)[0])["found"]]
    assert len(found) <= 1 and all(f["complete"] for f in found)
    assert harnex.json("recover", "--all", "--json") == {"ok": True, "found": [], "resumed": []}
    runs = sorted(p.name for p in harnex.state.glob("runs/*"))
    for run in runs:
        check_run(harnex, run)
        assert of_run(harnex, run) == []
    assert [r["run_id"] for r in harnex.json("history", "--json")] == runs
    assert [p.name for p in harnex.state.glob("sessions/*")] == [".lock"]
    assert list(harnex.state.glob("sock/*")) == []
    harnex.until(lambda: not harnex.running("harnex.rehearsal"), what="the endpoint has ended")


def delivered_once(harnex: Harnex, log: Path, texts: list[str]) -> None:
    """Resume the run, and check that in the end the agent has taken each
    text once, in whichever run.

    If the agent was cut off in the turn of the last text, it is told to go on with that text.
    """
    told = harnex.json("recover", "--id", "cell", "--resume", "--json")
    assert [r["ok"] for r in told["resumed"]] == [True]
    said = told["resumed"][0]["said"]
    assert said in (None, GO_ON + texts[-1])
    whole = [*texts, *([said] if said else [])]
    harnex.until(lambda: prompts(log) == whole, 20, what=f"{whole}, not {prompts(log)}")
    harnex.ok("wait", "--id", "cell", "--until", "prompt", "--timeout", "20")
    harnex.ok("stop", "--id", "cell", "--force")
    assert prompts(log) == whole
    gone(harnex)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", each(IN_START, 3))
def test_it_dies_as_it_starts(harnex: Harnex, point: str) -> None:
    trap = Trap(harnex, *IN_START[point])
    words, log = start(harnex)
    done = harnex.run(*words, "--context", WAITING, "--", "--log", str(log))
    trap.sprung()
    assert done.returncode == 3 and "did not start" in done.stderr
    gone(harnex)
    if not list(harnex.state.glob("runs/*")):
        assert point == "before it has its id"  # this never was a run, and its caller was told so
        return
    delivered_once(harnex, log, [WAITING])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", LATER)
def test_it_dies_with_a_message_in_hand(harnex: Harnex, point: str) -> None:
    trap = Trap(harnex, *LATER[point])
    words, log = start(harnex)
    harnex.ok(*words, "--", "--log", str(log))
    harnex.run("send", "--id", "cell", "--message", "the first", "--no-wait")
    trap.sprung()
    gone(harnex)
    delivered_once(harnex, log, ["the first"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", each(AT_THE_END, 2))
def test_it_dies_as_it_ends(harnex: Harnex, point: str) -> None:
    trap = Trap(harnex, *AT_THE_END[point])
    words, log = start(harnex)
    harnex.ok(*words, "--context", "the first", "--", "--log", str(log))
    harnex.ok("wait", "--id", "cell", "--until", "task_complete", "--timeout", "20")
    stopping = harnex.start("stop", "--id", "cell", "--force")
    trap.sprung()
    stopping.communicate(timeout=30)
    gone(harnex)
    (row,) = harnex.json("history", "--json")
    early = point in ("the agent gone, nothing written", "before the history row")
    assert row["reason"] == ("supervisor_lost" if early else "stopped")
    delivered_once(harnex, log, ["the first"])


@pytest.mark.timeout(120)
def test_the_agent_dies_with_a_message_in_hand_and_then_the_supervisor(harnex: Harnex) -> None:
    """The message is kept for a run that resumes this one, even if the supervisor
    dies just after the agent."""
    trap = Trap(harnex, *AT_THE_END["before the history row"])
    words, log = start(harnex)
    deaf = harnex.base / "deaf"
    deaf.touch()
    # With `--deaf` the message is typed, and not taken.
    harnex.ok(*words, "--", "--log", str(log), "--deaf", str(deaf))
    harnex.ok("wait", "--id", "cell", "--until", "prompt", "--timeout", "20")
    (record,) = harnex.json("status", "--json")
    harnex.ok("send", "--id", "cell", "--message", "the first", "--no-wait")
    harnex.until(lambda: [r for r in harnex.events("cell", "delivery") if r["status"] == "typed"], what="it is typed")
    deaf.unlink()
    psutil.Process(record["pid"]).kill()
    trap.sprung()
    gone(harnex)
    delivered_once(harnex, log, ["the first"])


@pytest.mark.timeout(120)
def test_it_hangs_before_it_dies(harnex: Harnex) -> None:
    """A supervisor that is stopped (SIGSTOP) is alive: nobody ends its run, and
    commands say so and do not hang."""
    trap = Trap(harnex, *AT_THE_END["after the history row"], stop=True)
    words, log = start(harnex)
    harnex.ok(*words, "--", "--log", str(log))
    (record,) = harnex.json("status", "--json")
    stopping = harnex.start("stop", "--id", "cell", "--force")
    trap.sprung()
    supervisor = psutil.Process(record["supervisor_pid"])
    harnex.until(lambda: supervisor.status() == psutil.STATUS_STOPPED, what="it is stopped")
    assert harnex.json("recover", "--all", "--json") == {"ok": True, "found": [], "resumed": []}
    assert [r["run_id"] for r in harnex.json("status", "--json")] == [record["run_id"]]
    supervisor.kill()
    stopping.communicate(timeout=30)
    gone(harnex)


@pytest.mark.more
@pytest.mark.timeout(120)
def test_a_recovery_that_hangs(harnex: Harnex) -> None:
    """A recovery that hangs holds the lock: `status` still answers, a start says why it can't, and
    the recovery's death frees the lock."""
    harnex.agent("cell", {"text": "x"})
    (record,) = harnex.json("status", "--json")
    lock = harnex.state / "sessions" / ".lock"
    with subprocess.Popen(["flock", str(lock), "sleep", "60"], env=harnex.env, start_new_session=True) as holder:
        try:
            harnex.until(lambda: psutil.Process(holder.pid).children(), what="it is held")
            psutil.Process(record["supervisor_pid"]).kill()
            assert harnex.json("status", "--json") == []
            refused = harnex.run("run", "cat", "--detach", "--id", "other")
            assert refused.returncode == 1 and "has been at work on the registry" in refused.stderr
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
    gone(harnex)


BUG = """
import sys
if "harnex-supervisor" in sys.argv:
    def calls(frame, event, arg):
        if frame.f_code.co_name == "_tell_start":
            raise RuntimeError("a bug of the test")
    sys.settrace(calls)
"""


def test_a_bug_in_the_start_is_told_and_leaves_nothing(harnex: Harnex) -> None:
    """The agent runs by then: it is ended, and the run has its end and its record."""
    harnex.customize(BUG)
    words, _ = start(harnex)
    refused = harnex.run(*words)
    assert refused.returncode == errors.BUG
    assert "a bug of the test" in refused.stderr
    harnex.until(lambda: list(harnex.state.glob("sock/*")) == [], what="its socket is gone")
    (row,) = harnex.json("history", "--json")
    assert (row["reason"], row["exit"]) == ("boot_failure", 1)
    check_run(harnex, row["run_id"])
    assert of_run(harnex, row["run_id"]) == []
    assert harnex.json("status", "--json") == []

"""An agent's tools leave processes behind that have lost the session's marker in some way: none
lives on without consent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harnex import process
from tests.e2e.conftest import HARNEX, Harnex
from tests.e2e.test_exec import Fake

pytestmark = pytest.mark.timeout(90)
PROGRAM = """
import ctypes, os, sys, time
kind, pid_file = sys.argv[1:3]
if kind == "double":  # a daemon as the books have it, with an environment of its own
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execve(sys.executable, ["a-daemon", "-c", "import os, time; open(os.sys.argv[1], 'w').write(f'{os.getpid()}\\\\n'); time.sleep(300)", pid_file], {})
if kind == "slow":  # still at its forks when its parent is long gone
    for _ in range(8):
        if os.fork():
            os._exit(0)
        os.setsid()
        time.sleep(0.1)
if kind in ("title", "slow"):  # writes over its arguments and environment, as setproctitle, nginx and redis do
    words = open("/proc/self/stat").read().rpartition(")")[2].split()
    begin, end = int(words[47]), int(words[48])
    ctypes.memset(begin, 0, end - begin)
    assert b"HARNEX" not in open("/proc/self/environ", "rb").read()
if kind == "undumpable":  # others of the same user can't read its environment then
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    ctypes.CDLL(None).prctl(15, b"a-daemon", 0, 0, 0)
    os.setsid()
with open(pid_file, "w") as f:
    f.write(f"{os.getpid()}\\n")
time.sleep(300)
"""


class Strays:
    """Daemons of several kinds; each writes its pid into a file."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.program = base / "daemon.py"
        self.program.write_text(PROGRAM)
        self.files: list[Path] = []

    def command(self, kind: str) -> str:
        """Return a shell command that starts a daemon and returns."""
        pid_file = self.base / f"{len(self.files)}-{kind}.pid"
        self.files.append(pid_file)
        if kind == "wiped":
            return f"env -i setsid sh -c 'echo $$ >\"{pid_file}\"; exec sleep 300' >/dev/null 2>&1 </dev/null &"
        setsid = "" if kind in ("double", "undumpable") else "setsid "
        return f"{setsid}'{sys.executable}' '{self.program}' {kind} '{pid_file}' >/dev/null 2>&1 </dev/null &"

    @property
    def until_they_run(self) -> str:
        """Return a shell command that waits for the daemons."""
        return "".join(f" until test -s '{file}'; do sleep 0.05; done;" for file in self.files)

    def pids(self, place: Harnex) -> dict[int, str]:
        """Return the pids of the started daemons, with their start times, once all of them run."""
        texts = place.until(
            lambda: (t := [f.read_text() if f.exists() else "" for f in self.files]) and all(t) and t,
            what="the daemons run",
        )
        pids = [int(text) for text in texts]
        return {pid: started for pid in pids if (started := process.start_time(pid))}

    def alive(self, pids: dict[int, str]) -> list[int]:
        return [pid for pid, started in pids.items() if process.alive(pid, started)]


@pytest.fixture
def strays(tmp_path: Path) -> Iterator[Strays]:
    made = Strays(tmp_path)
    yield made
    for file in made.files:
        if file.exists() and file.read_text() and process.start_time(int(file.read_text())):
            os.kill(int(file.read_text()), signal.SIGKILL)


KINDS = ("wiped", "double", "title", "slow", "undumpable")


def with_daemons(place: Harnex, strays: Strays, *kinds: str, run: tuple[str, ...] = ()) -> dict[int, str]:
    """Start a session, called s, whose agent has started the daemons and is at its prompt."""
    commands = " ".join(strays.command(kind) for kind in kinds)
    place.agent("s", {"text": "started", "tools": [{"bash": commands}]}, run=run)
    place.ok("send", "--id", "s", "--message", "go", "--wait-for-idle", "--timeout", "30")
    return strays.pids(place)


def end(place: Harnex, how: str) -> dict[str, Any]:
    """End session s in this way. Returns how it ended."""
    if how == "stop":
        return dict(place.json("stop", "--id", "s"))
    if how == "force":
        return dict(place.json("stop", "--id", "s", "--force"))
    record = place.json("status", "--json")[0]
    os.kill(record["pid"] if how == "killed" else record["supervisor_pid"], signal.SIGKILL if how == "killed" else 15)
    return dict(place.json("wait", "--id", "s", "--until", "exited", "--timeout", "30")["exit"])


@pytest.mark.parametrize("how", ["stop", "force", "killed", "signal"])
def test_daemons_end_with_the_session(harnex: Harnex, strays: Strays, how: str) -> None:
    pids = with_daemons(harnex, strays, *KINDS)
    assert len(pids) == len(KINDS)
    ended = end(harnex, how)
    assert strays.alive(pids) == []
    swept = harnex.json("history", "--json")[0]["swept"]
    assert swept >= len(KINDS)
    assert ended.get("swept", swept) == swept
    said = " ".join(row["what"] for row in harnex.events("s", "diagnostic"))
    assert "(daemons): " in said
    assert all(str(pid) in said for pid, file in zip(pids, strays.files, strict=True) if "undumpable" not in file.name)


FORKER = """
import ctypes, os, sys, time
words = open("/proc/self/stat").read().rpartition(")")[2].split()
ctypes.memset(int(words[47]), 0, int(words[48]) - int(words[47]))
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
    with open(sys.argv[1], "w") as f:
        f.write(str(os.getpid()))
    time.sleep(0.005)
"""


def test_a_daemon_that_never_stops_forking_ends_with_the_session(harnex: Harnex) -> None:
    """The daemon goes from pid to pid faster than the whole process table can be read."""
    program, beat = harnex.base / "forker.py", harnex.base / "beat"
    program.write_text(FORKER)
    command = f"'{sys.executable}' '{program}' '{beat}' >/dev/null 2>&1 </dev/null & until test -s '{beat}'; do sleep 0.05; done"
    harnex.agent("s", {"text": "x", "tools": [{"bash": command}]})
    harnex.ok("send", "--id", "s", "--message", "go", "--wait-for-idle", "--timeout", "30")
    assert harnex.json("stop", "--id", "s")["swept"] >= 1
    left = [p for p in psutil.process_iter(["cmdline"]) if str(program) in (p.info["cmdline"] or ())]
    for other in left:
        other.kill()
    assert left == []


def test_daemons_end_with_auto_stop(harnex: Harnex, strays: Strays) -> None:
    commands = " ".join(strays.command(kind) for kind in ("wiped", "double")) + strays.until_they_run
    watched = ("--auto-stop", "--background-wait", "0", "--context", "go")
    harnex.agent("s", {"text": "done", "tools": [{"bash": commands}]}, run=watched)
    pids = strays.pids(harnex)
    waited = harnex.json("wait", "--id", "s", "--until", "exited", "--timeout", "40")
    assert (waited["exit"]["reason"], strays.alive(pids)) == ("success", [])


def test_daemons_end_with_exec(harnex: Harnex, strays: Strays) -> None:
    command = strays.command("wiped") + " " + strays.command("title") + strays.until_they_run
    fake = Fake(harnex, f"begin(); subprocess.run(['sh', '-c', {command!r}]); answer('done')")
    assert fake.run(timeout=30).stdout == "done\n"
    pids = {int(f.read_text()): "" for f in strays.files if f.exists()}
    assert (len(pids), strays.alive(pids)) == (2, [])
    assert harnex.json("history", "--json")[0]["swept"] == 2


def test_what_a_check_leaves_behind_ends_as_well(harnex: Harnex, strays: Strays) -> None:
    check = strays.command("wiped") + strays.until_they_run
    watched = ("--auto-stop", "--verify", check, "--context", "go")
    harnex.agent("s", {"text": "done"}, run=watched)
    pids = strays.pids(harnex)
    ended = harnex.json("wait", "--id", "s", "--until", "exited", "--timeout", "40")["exit"]
    assert (ended["reason"], strays.alive(pids)) == ("success", [])
    assert harnex.json("history", "--json")[0]["swept"] >= 1


def test_a_crash_that_the_watch_mends_takes_the_daemons(harnex: Harnex, strays: Strays) -> None:
    tools = [{"bash": strays.command("wiped")}, {"bash": "sleep 60"}]
    harnex.agent("s", {"text": "x", "tools": tools}, {"text": "on"}, run=("--watch", "--context", "go"))
    pids = strays.pids(harnex)
    agent = harnex.json("status", "--json")[0]["pid"]
    os.kill(agent, signal.SIGKILL)
    harnex.until(lambda: harnex.events("s", "restart"), 30, what="it is started again")
    harnex.until(lambda: harnex.json("status", "--json")[0]["pid"] != agent, what="another process")
    assert strays.alive(pids) == []
    assert harnex.json("stop", "--id", "s")["ok"]


def test_what_was_asked_for_lives_on(harnex: Harnex, strays: Strays) -> None:
    pids = with_daemons(harnex, strays, "double", "wiped", run=("--keep", "a-dae*"))
    ended = harnex.json("stop", "--id", "s")
    assert strays.alive(pids) == [next(iter(pids))], "the one with that name"
    assert ended["swept"] >= 1
    said = " ".join(row["what"] for row in harnex.events("s", "diagnostic"))
    assert f"(pid {next(iter(pids))})" in said.partition("--keep")[2]


def test_what_was_asked_for_is_not_waited_for_and_not_called_killed(harnex: Harnex) -> None:
    tool = {"bash": "setsid sleep 302 >/dev/null 2>&1 & setsid sleep 303 >/dev/null 2>&1 &"}
    watched = ("--auto-stop", "--background-wait", "3", "--keep", "sleep 302", "--context", "go")
    harnex.agent("s", {"text": "x", "tools": [tool]}, run=watched)
    harnex.ok("wait", "--id", "s", "--until", "exited", "--timeout", "40")
    assert [work["command"] for work in harnex.json("history", "--json")[0]["killed"]] == ["sleep 303"]
    assert {row["command"] for row in harnex.events("s", "background")} == {"sleep 303"}
    (kept,) = harnex.running("sleep 302")
    assert not [c for c in json.loads(harnex.run("doctor", "--json").stdout)["checks"] if str(kept) in c["found"]]
    os.kill(kept, signal.SIGKILL)


def test_keeping_nothing_is_wrong_usage(harnex: Harnex) -> None:
    done = harnex.run("run", "cat", "--detach", "--keep", "")
    assert (done.returncode, "--keep names no process" in done.stderr) == (2, True)


def test_exec_keeps_what_was_asked_for(harnex: Harnex) -> None:
    body = "begin(); [subprocess.Popen(['sleep', n], start_new_session=True) for n in ('301', '302')]; answer('done')"
    fake = Fake(harnex, body)
    assert fake.run("--keep", "sleep 302", timeout=30).stdout == "done\n"
    assert (harnex.running("sleep 301"), len(harnex.running("sleep 302"))) == ([], 1)
    os.kill(harnex.running("sleep 302")[0], signal.SIGKILL)


def test_recovery_keeps_what_was_asked_for(harnex: Harnex) -> None:
    """After a SIGKILL of the supervisor only the marker is left to find processes by."""
    # Without the marker, and not yet an orphan.
    wiped = 'setsid sh -c "env -i sleep 30387; true" >/dev/null 2>&1 &'
    both = "setsid sleep 301 >/dev/null 2>&1 & setsid sleep 302 >/dev/null 2>&1 & " + wiped
    harnex.agent("s", {"text": "x", "tools": [{"bash": both}]}, run=("--keep", "sleep 302"))
    harnex.ok("send", "--id", "s", "--message", "go", "--wait-for-idle")
    (child,) = harnex.until(lambda: commands("sleep 30387"), what="the child without the marker")
    os.kill(harnex.json("status", "--json")[0]["supervisor_pid"], signal.SIGKILL)
    assert harnex.json("status", "--json") == []
    assert harnex.running("sleep 301") == []
    assert commands("sleep 30387") == [], child
    (kept,) = harnex.running("sleep 302")
    os.kill(kept, signal.SIGKILL)


def test_orphans_are_reaped_and_nobody_s_status_is_taken(harnex: Harnex) -> None:
    """Strangers become children of the supervisor: their ends leave no zombie, and a
    check's exit status is its own."""
    orphans = "for n in $(seq 40); do (setsid sh -c 'exit 3' &) ; done"
    watched = ("--auto-stop", "--verify", orphans + "; exit 7", "--context", "go")
    harnex.agent("s", *[{"text": "done", "tools": [{"bash": orphans}]} for _ in range(9)], run=watched)
    supervisor = harnex.json("status", "--json")[0]["supervisor_pid"]
    harnex.until(lambda: [v for v in harnex.events("s", "verify") if v["code"] == 7], 30, what="the check's own code")
    harnex.until(lambda: zombies(supervisor) == [], what="no zombie stays")
    harnex.json("stop", "--id", "s")


def commands(words: str) -> list[int]:
    """Return the pids of processes with exactly this command line, whoever started them."""
    return [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == words.split()]


def zombies(parent: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(parent)], capture_output=True, text=True, check=False
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, stat in rows if stat.startswith("Z")]


def test_a_session_that_the_agent_started_lives_on_without_its_marker_too(harnex: Harnex) -> None:
    """The inner session's supervisor, endpoint and agent are descendants of
    the outer supervisor now."""
    inner = harnex.script({"text": "inner done"})
    log = harnex.base / "inner.truth"
    start = f"'{HARNEX}' run demo --detach --id inner --rehearse '{inner}' -- --log '{log}'"
    harnex.agent("outer", {"text": "a", "tools": [{"bash": start}]})
    harnex.ok("send", "--id", "outer", "--message", "go", "--wait-for-idle", "--timeout", "30")
    assert harnex.json("stop", "--id", "outer")["ok"]
    sent = harnex.json("send", "--id", "inner", "--message", "hello", "--wait-for-idle", "--timeout", "20")
    assert sent["last_message"] == "inner done"
    harnex.ok("stop", "--id", "inner")


def test_a_notification_outlives_the_session(harnex: Harnex) -> None:
    """The notifier is a child of the supervisor without the marker, and so is a
    process that it starts in turn."""
    begun, gate, told = (harnex.base / name for name in ("begun", "gate", "told"))
    later = f"touch {begun}; until test -e {gate}; do sleep 0.05; done; touch {told}"
    command = f"setsid sh -c '{later}' >/dev/null 2>&1 & until test -e {begun}; do sleep 0.05; done"
    blocks = {"text": "", "tools": [{"ask": {"question": "Which?", "options": ["a", "b"]}}]}
    harnex.agent("s", blocks, run=("--watch", "--notify-cmd", command, "--context", "go"))
    harnex.until(begun.exists, what="it was begun")
    harnex.until(lambda: not harnex.running(f"until test -e {begun}"), what="what was left of it is an orphan")
    harnex.ok("stop", "--id", "s")
    gate.touch()
    harnex.until(told.exists, what="it told")

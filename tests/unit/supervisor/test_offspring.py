"""The supervisor as the parent of orphans, in a process of its own: pytest must not adopt anybody."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harnex.supervisor.sweep import may_live

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has child subreapers")

PROGRAM = """
import os, subprocess, sys, time
from harnex.supervisor import offspring, sweep
{before}
def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
def zombies():
    return [pid for pid in offspring.children(os.getpid()) if offspring.table()[pid][1] is None]
{body}
"""


def play(body: str, before: str = "assert offspring.adopt()") -> str:
    code = PROGRAM.format(before=before, body=body)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_exit_status_that_is_waited_for_is_left_alone() -> None:
    play("""
ours = [offspring.mine(subprocess.Popen(["sh", "-c", f"(setsid sh -c 'exit 9' &); exit {n}"])) for n in range(20)]
until(lambda: len(zombies()) == 40)
offspring.reap()
assert sorted(zombies()) == sorted(child.pid for child in ours)
assert [child.wait() for child in ours] == list(range(20))
assert offspring.own() == set() and zombies() == []
""")


def test_without_adoption_nothing_is_reaped_and_descent_proves_nothing() -> None:
    play(
        """
child = subprocess.Popen(["true"])
until(zombies)
offspring.reap()
assert offspring.root() is None and zombies() == [child.pid]
assert sweep.look("no-such-run", (), offspring.root()).doomed == []
child.wait()
""",
        before="",
    )


def test_children_are_found_on_a_kernel_that_does_not_list_them() -> None:
    play("""
import builtins
def refuse(path, *words, real=open):
    if str(path).endswith("/children"):
        raise FileNotFoundError(path)
    return real(path, *words)
child = offspring.mine(subprocess.Popen(["sleep", "30"]))
listed = offspring.children(os.getpid())
builtins.open = refuse
assert offspring.children(os.getpid()) == listed == [child.pid]
child.kill()
""")


def test_the_sweep_takes_descendants_and_leaves_what_is_ours_or_apart() -> None:
    play("""
started = {}
def orphan(name, *words, seconds=300):  # its parent ends at once
    command = ["env", "-i", *words, "setsid", "sh", "-c", f"echo $$; exec sleep {seconds} >&- 2>&-"]
    shell = subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", *command], stdout=subprocess.PIPE)
    started[name] = int(shell.stdout.readline())
    shell.kill()
    shell.wait()
mine = offspring.mine(subprocess.Popen(["env", "-i", "sleep", "300"]))
orphan("wiped")
orphan("another session", "HARNEX_APART=supervisor")
orphan("both", "HARNEX_APART=x", "HARNEX_RUN_ID=our-run")
orphan("asked for", seconds=299)
seen = sweep.look("our-run", (), offspring.root())
assert {f.pid for f in seen.doomed} == {started[n] for n in ("wiped", "both", "asked for")}
assert {f.pid: f.marked for f in seen.doomed}[started["both"]]
swept = sweep.Sweep("our-run", time.monotonic(), ("sleep 299",))
until(lambda: (offspring.reap(), swept.step(time.monotonic()))[1])
assert swept.ended == {started["wiped"], started["both"]}
said, kept = swept.remarks()
assert f"(pid {started['wiped']})" in said and str(started["both"]) not in said
assert f"(pid {started['asked for']})" in kept
for pid in (mine.pid, started["another session"], started["asked for"]):
    os.kill(pid, 9)
""")


def test_one_look_at_the_process_table_is_quick() -> None:
    took = play("""
begun = time.monotonic()
for _ in range(5):
    sweep.look("x", (), offspring.root())
print((time.monotonic() - begun) / 5)
""")
    assert float(took) < 0.5, "at each end of a session there are three or more"


@pytest.mark.parametrize(
    ("command", "name", "pattern", "lives"),
    [
        ("/usr/bin/redis-server *:6379", "redis-server", "redis*", True),
        ("nginx: master process nginx", "nginx", "nginx", True),
        ("python3 -m http.server 8000", "python3", "python3 -m http.server*", True),
        ("python3 -m http.server 8000", "python3", "http.server", False),
        ("sh -c redis-server &", "sh", "redis*", False),
    ],
)
def test_what_may_live_is_named_by_its_name_or_whole_command(
    command: str, name: str, pattern: str, lives: bool
) -> None:
    assert may_live(command, [pattern], name) is lives
    assert not may_live(command, [], name)

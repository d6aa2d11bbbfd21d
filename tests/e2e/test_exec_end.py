"""`harnex exec`: a result is the end, whatever happens to the agent's process and to the
work that it left running."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from typing import Any

import pytest

from harnex.machines.answered import GRACE_S
from tests.e2e.conftest import Harnex
from tests.e2e.test_exec import Fake

pytestmark = pytest.mark.timeout(90)
DEAF = "[signal.signal(n, signal.SIG_IGN) for n in (2, 15)]\n"
TOOL = "dict(os.environ, CLAUDECODE='1')"  # as Claude Code marks the processes of its tools


class Reader:
    """Reads a command's answer as it comes."""

    def __init__(self, command: subprocess.Popen[str]) -> None:
        self.command = command
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.command.stdout is not None
        for line in self.command.stdout:
            self.lines.append(line)

    def end(self, seconds: float) -> tuple[int, str]:
        code = self.command.wait(seconds)
        self._thread.join(5)
        assert self.command.stderr is not None
        return code, self.command.stderr.read()


def one(rows: list[dict[str, Any]]) -> dict[str, Any]:
    (row,) = rows
    return row


@pytest.mark.parametrize(
    "rest",
    ["time.sleep(300)", "sys.stdout.close(); os.close(1); time.sleep(300)", f"{DEAF}time.sleep(300)"],
    ids=["sleeps", "closes its output", "is deaf"],
)
def test_the_answer_comes_at_once_and_the_process_is_ended(harnex: Harnex, rest: str) -> None:
    fake = Fake(harnex, f"begin(); answer('all')\n{rest}")
    begun = time.monotonic()
    reader = Reader(fake.start("--id", "x"))
    harnex.until(lambda: reader.lines == ["all\n"], GRACE_S - 1, what="the answer, before the process is ended")
    assert reader.command.poll() is None and harnex.json("status", "--json")[0]["turn"] == 1
    code, err = reader.end(40)
    assert (code, reader.lines) == (0, ["all\n"])
    assert time.monotonic() - begun < GRACE_S + 20
    assert "did not exit within 10 s" in err
    row = one(harnex.json("history", "--json"))
    assert (row["exit"], row["reason"], row["last_outcome"]["outcome"]) == (0, "success", "completed")
    assert "did not exit" in one(fake.events("diagnostic"))["what"]
    assert [r["type"] for r in fake.events("answer", "task_complete")] == ["answer", "task_complete"]


def test_a_bad_result_is_the_end_as_well(harnex: Harnex) -> None:
    body = "begin(); row(type='result', subtype='success', is_error=True, result='API Error: 529'); time.sleep(300)"
    reader = Reader(Fake(harnex, body).start())
    code, err = reader.end(40)
    assert (code, reader.lines) == (1, []) and "API Error: 529" in err
    assert one(harnex.json("history", "--json"))["reason"] == "failure"


@pytest.mark.parametrize("how", ["ctrl-c", "stop", "timeout"])
def test_who_ends_it_after_its_result_has_its_answer(harnex: Harnex, how: str) -> None:
    """The result stands: the run is a success, and nothing is waited for any longer."""
    fake = Fake(harnex, "begin(); answer('all'); time.sleep(300)")
    reader = Reader(fake.start("--id", "x", *(("--timeout", "4s") if how == "timeout" else ())))
    harnex.until(lambda: reader.lines, what="the answer")
    begun = time.monotonic()
    if how == "ctrl-c":
        reader.command.send_signal(signal.SIGINT)
    elif how == "stop":
        harnex.ok("stop", "--id", "x")
    assert reader.end(30)[0] == 0
    assert time.monotonic() - begun < GRACE_S - 1
    row = one(harnex.json("history", "--json"))
    assert (row["exit"], row["reason"]) == (0, "success")


@pytest.mark.parametrize(("rest", "how"), [("sys.exit(7)", "code 7"), ("os.kill(os.getpid(), 9)", "signal 9")])
def test_what_the_process_says_after_its_result_was_told_is_only_noted(harnex: Harnex, rest: str, how: str) -> None:
    fake = Fake(harnex, f"begin(); answer('all'); time.sleep(2); {rest}")
    done = fake.run()
    assert (done.returncode, done.stdout) == (0, "all\n"), done.stderr
    assert how in one(fake.events("diagnostic"))["what"]


def test_an_agent_that_goes_on_after_a_result_gives_another(harnex: Harnex) -> None:
    """If the agent goes on at once, only the last answer is printed.

    If it goes on later, each answer is printed as it comes.
    """
    at_once = "begin(); answer('first'); begin(); time.sleep(1); answer('last')"
    assert Fake(harnex, at_once).run("--id", "a").stdout == "last\n"
    later = "begin(); answer('first'); time.sleep(1.5); begin(); answer('last')"
    assert Fake(harnex, later).run("--id", "b").stdout == "first\nlast\n"
    assert [row["turns"] for row in harnex.json("history", "--json")] == [2, 2]


def test_a_task_in_the_background_is_waited_for_and_gives_the_answer(harnex: Harnex) -> None:
    """The process lives on, and begins another turn when the task has ended, as
    Claude Code 2.1.329 does."""
    task = "type='system', subtype='{}', task_id='b1', tool_use_id='t1'"
    begin = task.format("task_started") + ", task_type='local_bash', is_backgrounded=True, description='tests'"
    end = task.format("task_notification") + ", status='completed'"
    body = f"begin(); row({begin}); answer('I wait.')\ntime.sleep({GRACE_S + 2})\nrow({end}); begin(); answer('All.')"
    fake = Fake(harnex, body)
    done = fake.run("--id", "x")
    assert (done.returncode, done.stdout) == (0, "All.\n"), done.stderr
    assert "waiting for background work" in done.stderr
    assert [r["status"] for r in fake.events("background")] == ["started", "ended"]
    assert fake.events("diagnostic") == []


def test_a_task_that_never_ends_is_given_up(harnex: Harnex) -> None:
    begin = "type='system', subtype='task_started', task_id='b1', task_type='local_bash', is_backgrounded=True, description='server'"
    fake = Fake(harnex, f"begin(); row({begin}); answer('It serves.'); time.sleep(300)")
    done = fake.run("--background-wait", "2s")
    assert (done.returncode, done.stdout) == (0, "It serves.\n"), done.stderr
    assert "not waited for any longer: `server`" in done.stderr
    assert [w["command"] for w in one(fake.events("exited"))["killed"]] == ["server"]
    assert one(harnex.json("history", "--json"))["killed"][0]["command"] == "server"


@pytest.mark.parametrize("wait", ["30s", "1s", "0"])
def test_what_a_tool_left_running_outlives_the_process_and_is_waited_for(harnex: Harnex, wait: str) -> None:
    made = harnex.base / "made"
    work = f"sleep 3; touch '{made}'; exec sleep {1 if wait == '30s' else 396}"
    begin = f"subprocess.Popen(['sh', '-c', {work!r}], start_new_session=True, env={TOOL}, stdout=subprocess.DEVNULL)"
    fake = Fake(harnex, f"begin(); {begin}; answer('all')")
    reader = Reader(fake.start("--background-wait", wait))
    harnex.until(lambda: reader.lines == ["all\n"], 10, what="the answer does not wait for it")
    code, err = reader.end(40)
    assert code == 0, err
    assert made.exists() is (wait == "30s")
    killed = one(fake.events("exited"))["killed"]
    assert [w["kind"] for w in killed] == ([] if wait == "30s" else ["process"])
    assert ("ended with the run: process" in err) is (wait != "30s")


def test_nobody_has_to_wait_for_it(harnex: Harnex) -> None:
    begin = f"subprocess.Popen(['sleep', '395'], start_new_session=True, env={TOOL}, stdout=subprocess.DEVNULL)"
    fake = Fake(harnex, f"begin(); {begin}; answer('all')")
    reader = Reader(fake.start())
    harnex.until(lambda: fake.events("background") if list(harnex.state.glob("runs/*/events.jsonl")) else None)
    reader.command.send_signal(signal.SIGINT)
    assert reader.end(20)[0] == 0
    assert reader.lines == ["all\n"] and harnex.running("sleep 395") == []


def test_an_answer_that_does_not_fit_is_asked_for_again_from_one_that_stays(harnex: Harnex) -> None:
    schema = harnex.base / "s.json"
    schema.write_text('{"type": "object", "required": ["a"]}')
    body = "begin()\nif '--resume' in sys.argv: answer('{\"a\": 1}')\nelse: answer('{}')\ntime.sleep(300)"
    done = Fake(harnex, body).run("--schema", str(schema), timeout=80)
    assert (done.returncode, done.stdout) == (0, '{"a":1}\n'), done.stderr

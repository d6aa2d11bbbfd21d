"""Commands beside the agent: polled, bounded, and never more than one of a name."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from harnex.model.facts import CommandResult, RunCommand
from harnex.supervisor.helpers import Helpers


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def outcome(helpers: Helpers, now: float = 0.0, seconds: float = 10.0) -> CommandResult:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for result in helpers.poll(now):
            return result
        time.sleep(0.01)
    raise AssertionError("it never ended")


def test_output_and_code_come_back(tmp_path: Path) -> None:
    helpers = Helpers({**os.environ, "MARK": "x"}, str(tmp_path))
    code = "import os,sys; print(os.environ['MARK'], os.getcwd()); sys.stderr.write('bad'); sys.exit(3)"
    helpers.take(RunCommand("a", python(code)), 0.0)
    result = outcome(helpers)
    assert (result.code, result.out.strip(), result.err) == (3, f"x {tmp_path}", "bad")
    assert helpers.wake_at(0.0) is None


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    helpers = Helpers(os.environ, str(tmp_path))
    helpers.take(RunCommand("a", ("/no/such",)), 0.0)
    result = outcome(helpers)
    assert (result.code, result.problem) == (None, "can't run /no/such: No such file or directory")


def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    helpers = Helpers(os.environ, str(tmp_path))
    pid = tmp_path / "pid"
    helpers.take(RunCommand("a", ("/bin/sh", "-c", f"sleep 100 & echo $! > '{pid}'; wait"), timeout_s=5.0), 0.0)
    assert helpers.poll(0.0) == []
    while not pid.exists() or not pid.read_text():
        time.sleep(0.01)
    result = helpers.poll(5.0)[0]
    assert (result.code, result.problem) == (None, "no answer within 5 s")
    end = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid.read_text().strip()}") and time.monotonic() < end:
        time.sleep(0.01)
    assert not os.path.exists(f"/proc/{pid.read_text().strip()}")


def test_the_earlier_time_holds_and_a_running_one_runs_once_more(tmp_path: Path) -> None:
    helpers = Helpers(os.environ, str(tmp_path))
    helpers.take(RunCommand("a", ("true",), after_s=5.0), 0.0)
    helpers.take(RunCommand("a", ("true",), after_s=30.0), 0.0)
    assert helpers.wake_at(0.0) == 5.0
    assert helpers.poll(4.9) == []
    helpers.poll(5.0)
    helpers.take(RunCommand("a", ("false",)), 5.0)
    assert outcome(helpers, 5.0).code == 0
    assert outcome(helpers, 5.0).code == 1


def test_its_file_is_private_and_goes_with_it(tmp_path: Path) -> None:
    helpers = Helpers(os.environ, str(tmp_path))
    path = tmp_path / "wörds"
    show = f"import os; print(oct(os.stat({str(path)!r}).st_mode & 0o777), open({str(path)!r}).read())"
    helpers.take(RunCommand("a", python(show), file=(str(path), "--ü\n")), 0.0)
    assert outcome(helpers).out == "0o600 --ü\n\n"
    assert not path.exists()


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    helpers = Helpers(os.environ, str(tmp_path))
    helpers.take(RunCommand("a", ("sleep", "100")), 0.0)
    helpers.poll(0.0)
    helpers.close()
    assert (helpers.poll(1.0), helpers.wake_at(1.0)) == ([], None)

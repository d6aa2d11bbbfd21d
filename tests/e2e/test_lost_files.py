"""Another program removes, replaces or truncates files of a live session:
nothing is lost without a word."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Harnex
from tests.e2e.test_exec import Fake

pytestmark = pytest.mark.timeout(90)
Harm = Callable[[Path], None]
SIGNALS = ("--signals", "osc7501,title")  # the agent's own evidence goes with the run's directory


def remove_log(run: Path) -> None:
    (run / "events.jsonl").unlink()


def remove_run(run: Path) -> None:
    shutil.rmtree(run)


def remove_all_runs(run: Path) -> None:
    shutil.rmtree(run.parent)


def replace_log(run: Path) -> None:
    """Replace the file, as editors and `sed -i` do."""
    (run / "new").write_text("{}\n")
    os.replace(run / "new", run / "events.jsonl")


def truncate_log(run: Path) -> None:
    os.truncate(run / "events.jsonl", 0)


HARMS = [remove_log, remove_run, remove_all_runs, replace_log, truncate_log]


def run_dir(place: Harnex) -> Path:
    return next(iter(place.state.glob("runs/*")))


def read(follower: subprocess.Popen[str], kind: str) -> None:
    """Wait until the follower has printed an event of this type."""
    assert follower.stdout is not None
    for line in follower.stdout:
        if json.loads(line)["type"] == kind:
            return
    raise AssertionError(f"it ended without {kind}")


@pytest.mark.parametrize("harm", HARMS)
def test_a_session_and_its_follower(harnex: Harnex, harm: Harm) -> None:
    harnex.agent("s", {"text": "one"}, {"text": "two"}, tui=SIGNALS)
    harnex.ok("send", "--id", "s", "--message", "go", "--wait-for-idle")
    follower = harnex.start("events", "--id", "s", "--follow")
    read(follower, "task_complete")
    before = harnex.events("s")
    harm(run_dir(harnex))
    out, said = follower.communicate(timeout=20)
    assert follower.returncode == 1
    assert "event log of session 's' was" in said and "--after" in said
    assert '"exited"' not in out
    # A later event mends the log at once.
    sent = harnex.json("send", "--id", "s", "--message", "more", "--wait-for-idle", "--timeout", "20")
    assert sent["last_message"] == "two"
    rows = harnex.events("s")
    (word,) = [r["what"] for r in rows if r["type"] == "diagnostic" and "event log was" in r["what"]]
    if harm is truncate_log:
        assert "may be lost" in word
        assert [r["seq"] for r in rows] == list(range(before[-1]["seq"] + 1, rows[-1]["seq"] + 1))
    else:
        assert "made anew, with all its events" in word
        assert rows[: len(before)] == before
        assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    harnex.ok("stop", "--id", "s")
    assert harnex.events("s")[-1]["type"] == "exited"


@pytest.mark.parametrize("harm", [remove_run, replace_log, truncate_log])
def test_who_follows_a_watch(harnex: Harnex, harm: Harm) -> None:
    gate = harnex.base / "gate"
    tool = {"bash": f"until test -e '{gate}'; do sleep 0.05; done"}
    harnex.agent("s", {"text": "one", "tools": [tool]}, run=("--context", "go"), tui=SIGNALS)
    harnex.ok("wait", "--id", "s", "--until", "busy", "--timeout", "10")
    watcher = harnex.start("watch", "--id", "s")
    assert watcher.stdout is not None
    assert "watch" in watcher.stdout.readline()
    harm(run_dir(harnex))
    _, said = watcher.communicate(timeout=20)
    assert watcher.returncode == 1
    assert "event log of session 's' was" in said
    gate.touch()
    assert harnex.json("wait", "--id", "s", "--until", "task_complete", "--timeout", "20")["turn"] == 1
    harnex.ok("stop", "--id", "s")


@pytest.mark.parametrize("harm", [remove_run, truncate_log])
def test_an_idle_session_looks_after_its_files(harnex: Harnex, harm: Harm) -> None:
    """The log is mended even without an event, and the screen is recorded anew."""
    harnex.agent("s", {"text": "one"})
    harnex.ok("wait", "--id", "s", "--until", "prompt", "--timeout", "10")
    run = run_dir(harnex)
    harm(run)
    harnex.until(lambda: (run / "events.jsonl").exists() and b"event log was" in (run / "events.jsonl").read_bytes())
    harnex.until((run / "evidence").is_dir, what="the place for evidence")
    harnex.ok("send", "--id", "s", "--message", "go", "--wait-for-idle", "--timeout", "20")
    assert "one" in harnex.ok("logs", "--id", "s")
    harnex.ok("stop", "--id", "s")


def test_a_socket_that_is_removed_is_made_anew(harnex: Harnex) -> None:
    harnex.agent("s", {"text": "one"})
    Path(harnex.json("status", "--json")[0]["socket"]).unlink()
    assert harnex.run("pane", "--id", "s").returncode == 1
    harnex.until(lambda: [r for r in harnex.events("s", "diagnostic") if "socket was removed" in r["what"]])
    harnex.ok("stop", "--id", "s")


@pytest.mark.parametrize("ended", [False, True])
def test_calls_that_were_lost_are_missed(harnex: Harnex, ended: bool) -> None:
    harnex.agent("s", {"text": "one"}, {"text": "two"})
    harnex.ok("send", "--id", "s", "--message", "go", "--wait-for-idle")
    calls = len(harnex.events("s", "call"))
    assert calls and harnex.run("usage", "--id", "s").stderr.count("not in its event log") == 0
    truncate_log(run_dir(harnex))
    harnex.ok("send", "--id", "s", "--message", "more", "--wait-for-idle")
    if ended:
        harnex.ok("stop", "--id", "s")
    done = harnex.run("usage", "--id", "s", "--json")
    assert f"{calls} of {calls + len(harnex.events('s', 'call'))} calls of 's' are not in its event log" in done.stderr


def test_a_log_without_an_end_is_no_success(harnex: Harnex) -> None:
    harnex.agent("s", {"text": "one"})
    harnex.ok("stop", "--id", "s")
    os.truncate(run_dir(harnex) / "events.jsonl", 0)
    done = harnex.run("events", "--id", "s", "--follow")
    assert done.returncode == 1
    assert "does not say how" in done.stderr
    assert harnex.run("events", "--id", "s", "--snapshot").returncode == 0


def test_a_log_that_is_removed_at_the_end_has_its_end(harnex: Harnex) -> None:
    harnex.agent("s", {"text": "one"})
    before = harnex.events("s")
    shutil.rmtree(run_dir(harnex))
    harnex.ok("stop", "--id", "s")
    rows = harnex.events("s")
    assert rows[: len(before)] == before
    assert rows[-1]["type"] == "exited"


@pytest.mark.parametrize("harm", [remove_log, remove_run, replace_log])
def test_exec_gives_its_answer_once(harnex: Harnex, harm: Harm) -> None:
    """`exec` follows its log by seq: what stood in the old file is not printed again."""
    gate = harnex.base / "gate"
    body = f"begin()\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\nanswer('done')"
    command = Fake(harnex, body).start("--id", "s", "--json")
    read(command, "turn_started")
    harm(run_dir(harnex))
    gate.touch()
    out, said = command.communicate(timeout=30)
    assert command.returncode == 0, said
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert (kinds.count("answer"), kinds.count("turn_started"), kinds[-1]) == (1, 0, "exited")
    assert "diagnostic" in kinds

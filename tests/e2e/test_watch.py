"""The watch through the command line: its options and their traps, the follower, files, people."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pexpect
import psutil
import pytest

from tests.e2e.conftest import HARNEX, Harnex

PRESET = """
[presets.fast]
stall_after = "2s"
max_resumes = 1
"""


def watched(place: Harnex, *calls: Any, options: tuple[str, ...] = (), tui: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The words of a watched run of the scripted TUI."""
    place.trust(PRESET)
    words = ("run", "demo", "--watch", "--preset", "fast", "--id", "w", "--rehearse", place.script(*calls))
    return (*words, "--context", "do the task", *options, "--", "--log", str(place.base / "w.truth"), *tui)


def until(place: Harnex, kind: str) -> None:
    """Wait for an event of a session that may not exist yet."""
    words = ("events", "--snapshot", "--id", "w", "--type", kind)
    place.until(lambda: place.run(*words).stdout, what=f"event {kind}")


def shape(place: Harnex) -> list[str]:
    keys = {"stall": "kind", "nudge": "reason", "escalated": "reason", "watch": "phase", "budget": "kind"}
    return [f"{r['type']} {r[keys[r['type']]]}" for r in place.events("w") if r["type"] in keys]


def test_done_leaves_it_at_its_prompt_and_auto_stop_does_not(harnex: Harnex) -> None:
    done = harnex.run(*watched(harnex, "All done."))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done: the task of 'w' is complete" in done.stdout and "harnex stop --id w" in done.stdout
    record = harnex.json("status", "--json")[0]
    assert (record["state"], record["watch"], record["mode"]) == ("prompt", "done", "watch")
    harnex.ok("stop", "--id", "w")
    assert harnex.json("history", "--json")[-1]["exit"] == 0
    done = harnex.run(*watched(harnex, "All done.", options=("--auto-stop",)))
    assert done.returncode == 0 and "done: session 'w' ended, success" in done.stdout
    assert harnex.json("history", "--json")[-1]["reason"] == "success"


def test_auto_stop_needs_no_watch(harnex: Harnex) -> None:
    harnex.agent("w", "All done.", run=("--auto-stop", "--context", "go"))
    waited = harnex.json("wait", "--id", "w", "--until", "exited", "--timeout", "20")
    assert waited["exit"]["reason"] == "success"
    assert harnex.run("watch", "--id", "w").returncode == 0, "it is over: its outcome"


@pytest.mark.parametrize("word", ["--watch", "--tmux"])
def test_an_optional_value_swallows_neither_the_cli_nor_an_option(harnex: Harnex, word: str) -> None:
    if word == "--tmux":
        harnex.env["TMUX"] = ""
    script = harnex.script("Hello.")
    log = str(harnex.base / "w.truth")
    words = ["run", word, "demo", "--id", "w", "--rehearse", script, "--context", "hi", "--", "--log", log]
    done = harnex.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    harnex.run("wait", "--id", "w", "--timeout", "20")
    assert harnex.prompts("w") == ["hi"]
    harnex.ok("stop", "--id", "w")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--watch", "impl"), "the preset: --watch --preset impl"),
        (("--watch", "--preset", "nope"), "there is no preset 'nope'; presets: impl, plan, gate"),
        (("--watch", "--stall-after", "soon"), "is not a duration"),
        (("--watch", "--stall-after", "0"), "--stall-after 0 would end everything"),
        (("--watch", "--deadline", "25:00"), "'25:00' is not a time"),
        (("--watch", "--deadline", "2020-01-01T00:00"), "is over"),
        (("--detach", "--max-tokens", "10"), "can't see the model calls of bash"),
        (("--detach", "--verify", " "), "--verify is empty"),
        (("--watch=a", "--watch-file", "b"), "contradict each other"),
    ],
)
def test_what_can_not_be_is_refused_at_the_start(harnex: Harnex, options: tuple[str, ...], words: str) -> None:
    done = harnex.run("run", "bash", "--id", "w", *options)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert harnex.json("status", "--json", "--all") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[presets.mine]\nstall_after = 'soon'\n", "[presets.mine] stall_after: 'soon' is not a duration"),
        ("[presets]\nmine = 3\n", "presets.mine is not a table"),
        ("[notify]\ncommand = 'x'\n", "[notify] command: unknown key"),
        ("[presets.mine\n", "is not TOML"),
    ],
)
def test_a_wrong_configuration_is_named(harnex: Harnex, text: str, words: str) -> None:
    path = harnex.work / ".harnex.toml"
    path.write_text(text)
    done = harnex.run("run", "demo", "--watch", "--preset", "impl", "--id", "w")
    assert done.returncode == 2 and words in done.stderr and str(path) in done.stderr, done.stderr


def test_the_follower_may_go_and_come_back(harnex: Harnex) -> None:
    """Lines come as events happen; Ctrl-C, a closed pipe and SIGKILL end the
    follower and nothing else."""
    first = harnex.start(*watched(harnex, {"first_byte": 6, "text": "At last."}, options=("--stall-after", "60s")))
    assert first.stdout is not None
    assert "started" in first.stdout.readline(), "nothing is held back"
    until(harnex, "turn_started")
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=10)
    assert first.returncode == 130 and "harnex watch --id w" in err
    for end in ("kill", "pipe"):
        follower = harnex.start("watch", "--id", "w")
        assert follower.stdout is not None
        assert "watch of 'w': watching" in follower.stdout.readline()
        if end == "kill":
            follower.kill()
        else:
            follower.stdout.close()
            follower.stdout = None
        follower.communicate(timeout=10)
    done = harnex.run("watch", "--id", "w")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [r["type"] for r in harnex.events("w")].count("watch") == 2, "on, done"
    harnex.ok("stop", "--id", "w")


def test_a_live_line_on_a_terminal(harnex: Harnex) -> None:
    words = watched(harnex, {"first_byte": 3, "text": "At last."}, options=("--auto-stop", "--stall-after", "60s"))
    child = pexpect.spawn(HARNEX, list(words), env=harnex.env, cwd=str(harnex.work), dimensions=(30, 100), timeout=30)
    child.expect_exact("harnex: w: busy")
    child.expect_exact("done: session 'w' ended")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@contextlib.contextmanager
def looked_at(place: Harnex, session_id: str) -> Iterator[None]:
    """Viewers of changing sizes come and go, so the agent repaints everything all the time."""
    over = threading.Event()

    def look() -> None:
        n = 0
        while not over.is_set():
            n += 1
            size = (24 + n % 5, 80 + n % 7)
            words = ["attach", "--id", session_id]
            child = pexpect.spawn(HARNEX, words, env=place.env, cwd=str(place.work), dimensions=size)
            over.wait(0.5)
            child.close(force=True)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_looking_on_resets_no_clock(harnex: Harnex) -> None:
    """The movement does not hide that the agent stands still."""
    harnex.agent("w", {"hang": 60}, run=("--watch", "--stall-after", "4s", "--max-resumes", "0", "--context", "go"))
    until(harnex, "turn_started")
    begun = time.monotonic()
    with looked_at(harnex, "w"):
        waited = harnex.json("wait", "--id", "w", "--until", "exited", "--timeout", "20")
    assert waited["exit"]["exit_code"] == 4 and time.monotonic() - begun < 12
    assert [words.split()[0] for words in shape(harnex)] == ["watch", "stall", "escalated"]


def test_done_when_and_verify_and_turns(harnex: Harnex) -> None:
    step = {"text": "More.", "tools": [{"bash": "echo x >> count"}]}
    done = harnex.run(
        *watched(
            harnex,
            *[step, "One.", step, "Two.", step, "Three."],
            options=("--done-when", "test $(wc -l < count) -ge 3", "--auto-stop", "--stall-after", "20s"),
        )
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [r["ok"] for r in harnex.events("w", "verify")] == [False, False, True]
    done = harnex.run(*watched(harnex, "One.", "Two.", "Three.", options=("--verify", "false", "--verify-max", "1")))
    assert done.returncode == 1 and "`false` fails after 1 corrections" in done.stdout
    done = harnex.run(*watched(harnex, "One.", "Two.", options=("--verify", "false", "--max-turns", "1")))
    assert done.returncode == 5, done.stdout
    done = harnex.run(
        *watched(harnex, "One.", options=("--verify", "sleep 60", "--verify-timeout", "1s", "--verify-max", "0"))
    )
    assert done.returncode == 1 and harnex.events("w", "verify")[0]["code"] is None


def test_commands_of_people_live_in_their_own_time_zone(harnex: Harnex) -> None:
    """`--env` is for the agent: its own zone is in its own environment."""
    harnex.env["TZ"] = "Europe/Berlin"
    told = harnex.base / "told"
    step = {"text": "Looking.", "tools": [{"bash": "echo $TZ > agent"}]}
    options = ("--env", "TZ=Asia/Kolkata", "--verify", "echo $TZ > person", "--notify-cmd", f"echo $TZ > '{told}'")
    done = harnex.run(*watched(harnex, step, "Done.", options=options))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (harnex.work / "agent").read_text() == "Asia/Kolkata\n"
    assert (harnex.work / "person").read_text() == "Europe/Berlin\n"
    harnex.until(lambda: told.exists() and told.read_text(), what="the notification")
    assert told.read_text() == "Europe/Berlin\n"


def test_a_check_blocks_nothing(harnex: Harnex) -> None:
    follower = harnex.start(*watched(harnex, "One.", options=("--verify", "sleep 3; true")))
    until(harnex, "task_complete")
    begun = time.monotonic()
    harnex.ok("pane", "--id", "w")
    assert time.monotonic() - begun < 2
    assert harnex.json("status", "--json")[0]["watch"] == "checking"
    out, _ = follower.communicate(timeout=20)
    assert follower.returncode == 0, out
    harnex.ok("stop", "--id", "w")


def test_people_are_told_and_a_notifier_that_fails_is_no_matter(harnex: Harnex) -> None:
    told = harnex.base / "töld file.jsonl"
    harnex.trust(f"[notify]\ncmd = \"cat >> '{told}'; echo no luck; exit 3\"\n")
    harnex.agent("w", "All done.", run=("--watch", "--context", "go"))
    harnex.until(told.exists)
    (failed,) = harnex.until(lambda: harnex.events("w", "diagnostic"))
    assert "the notify command failed (exit code 3): no luck" in failed["what"]
    harnex.ok("stop", "--id", "w")
    rows = [json.loads(line) for line in told.read_text().splitlines()]
    assert (rows[0]["kind"], rows[0]["id"], rows[0]["cli"]) == ("done", "w", "demo")
    assert rows[0]["text"] == "the task is complete" and rows[0]["run_id"]


class Mailbox:
    """An HTTP server on loopback that keeps what is posted to it."""

    def __init__(self) -> None:
        got: queue.Queue[tuple[str, Any]] = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got.put((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words: Any) -> None:
                pass

        self.got = got
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


def test_apprise_urls_are_told_and_kept_secret(harnex: Harnex, mailbox: Mailbox) -> None:
    """The library's own JSON service sends a real request to us.

    The secret in the URL is written down nowhere.
    """
    pytest.importorskip("apprise", reason="the extra harnex[notify] is not installed")
    url = f"json://{mailbox.address}/hook-s3cr3t-path"
    harnex.agent("w", "All done.", run=("--watch", "--context", "go", "--notify-url", url))
    path, row = mailbox.got.get(timeout=30)
    assert path == "/hook-s3cr3t-path"
    assert row["title"].startswith("harnex: w (demo): done") and row["message"] == "the task is complete"
    harnex.ok("stop", "--id", "w")
    mailbox.got.get(timeout=30)  # the notification of its end
    for file in (harnex.state / "runs").rglob("*"):
        # The supervisor is started from this file, which only its owner can read.
        if file.is_file() and file.name != "start.json":
            assert b"hook-s3cr3t" not in file.read_bytes(), file
    harnex.agent("w", "All done.", run=("--watch", "--context", "go", "--notify-url", "json://127.0.0.1:9/nobody"))
    (failed,) = harnex.until(lambda: harnex.events("w", "diagnostic"), 30)
    assert "apprise failed" in failed["what"]
    harnex.ok("stop", "--id", "w")


def test_who_watches_nothing_can_be_told_all_the_same(harnex: Harnex) -> None:
    """`--notify-cmd` alone: nothing is answered, retried or stopped, and people are notified."""
    told = harnex.base / "told.jsonl"
    words = ("--context", "go", "--watch-file", "news", "--notify-cmd", f"cat >> '{told}'")
    harnex.agent("w", {"error": "auth", "times": 1}, "All done.", run=words)

    def kinds() -> list[str]:
        return [json.loads(line)["kind"] for line in told.read_text().splitlines()] if told.exists() else []

    harnex.until(lambda: kinds() == ["person"])
    (harnex.work / "news").write_text("x")
    harnex.until(lambda: kinds() == ["person", "done"])
    assert shape(harnex) == ["watch on", "watch done"]
    harnex.ok("stop", "--id", "w")
    harnex.until(lambda: kinds() == ["person", "done", "ended"])


@pytest.mark.parametrize("option", ["--watch", "--watch-file"])
def test_a_file_that_changes_is_told(harnex: Harnex, option: str) -> None:
    """As in the Ruby harnex: the file does not exist at first, it is written in pieces, and
    an editor renames over it."""
    harnex.agent("w", "One.", "Two.", "Three.", run=(option, "tmp dir/tick.jsonl"))
    harnex.json("wait", "--id", "w", "--until", "prompt", "--timeout", "10")
    path = harnex.work / "tmp dir" / "tick.jsonl"
    assert path.parent.is_dir()
    for n in range(4):
        with open(path, "a") as f:
            f.write(f"{n}\n")
        time.sleep(0.1)
    (path.parent / "other").write_text("x")
    harnex.until(lambda: len(harnex.prompts("w")) == 1)
    new = path.with_suffix(".new")
    new.write_text("all new")
    os.replace(new, path)
    harnex.until(lambda: len(harnex.prompts("w")) == 2)
    assert harnex.prompts("w") == ["file-change-hook: read tmp dir/tick.jsonl"] * 2
    assert harnex.json("status", "--json")[0]["watch"] is None
    harnex.ok("stop", "--id", "w")


def test_a_stopped_watch_was_not_done(harnex: Harnex) -> None:
    follower = harnex.start(*watched(harnex, {"hang": 60}, options=("--stall-after", "60s")))
    until(harnex, "turn_started")
    harnex.ok("stop", "--id", "w")
    out, _ = follower.communicate(timeout=20)
    assert follower.returncode == 1 and "ended, stopped" in out
    done = harnex.run("watch", "--id", "w", "--max-turns", "3")
    assert done.returncode != 0 and "has ended" in done.stderr


def test_a_script_that_waits_hears_of_the_watchs_outcome_only(harnex: Harnex) -> None:
    """A failing check, a limit or a retry is not the end; an end may be faster than the script."""
    done = harnex.base / "done"
    harnex.agent(
        "w",
        "One.",
        "Two.",
        run=("--watch", "--auto-stop", "--verify", f"test -e '{done}' || ! touch '{done}'", "--context", "go"),
    )
    waited = harnex.json("wait", "--id", "w", "--timeout", "20")
    assert waited["ok"] and [r["ok"] for r in harnex.events("w", "verify")] == [False, True]
    harnex.json("wait", "--id", "w", "--until", "exited", "--timeout", "20")
    assert harnex.json("wait", "--id", "w", "--timeout", "20")["state"] == "exited"
    harnex.agent("w", {"error": "auth", "times": 9}, run=("--watch", "--context", "go"))
    assert harnex.run("wait", "--id", "w", "--timeout", "20").returncode == 4


def test_a_sender_is_told_of_its_turn_though_the_session_ends_with_it(harnex: Harnex) -> None:
    harnex.agent("w", "One.", run=("--watch", "--auto-stop"))
    sent = harnex.json("send", "--id", "w", "--message", "go", "--wait-for-idle", "--timeout", "20")
    assert (sent["ok"], sent["outcome"], sent["last_message"]) == (True, "completed", "One.")
    assert harnex.json("wait", "--id", "w", "--until", "exited", "--timeout", "20")["ok"]
    assert harnex.json("history", "--json")[-1]["exit"] == 0


def test_an_agent_that_crashes_again_is_started_again(harnex: Harnex) -> None:
    """The end of the first process's terminal must not end the second one's session, which was once
    reported as `disconnected`."""
    slow = {"text": "slow", "first_byte": 60}
    harnex.agent("w", slow, slow, slow, run=("--watch", "--max-resumes", "5", "--context", "go"))
    for crashes in (1, 2, 3):
        (record,) = harnex.json("status", "--json")
        os.kill(record["pid"], signal.SIGKILL)
        harnex.until(lambda n=crashes: len(harnex.events("w", "restart")) == n, 30, what="it is started again")
    supervisor = psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"])
    harnex.until(lambda: harnex.json("status", "--json")[0]["state"] == "busy", 30, what="it works again")
    before = sum(supervisor.cpu_times()[:2])
    # Measure here: a supervisor that asks to be woken all the time takes most of a core.
    time.sleep(2.0)
    assert sum(supervisor.cpu_times()[:2]) - before < 0.8
    assert harnex.json("stop", "--id", "w", "--force")["ok"]

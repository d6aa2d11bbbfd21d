"""What people and scripts get wrong: each mistake is answered with what happened and what to do,
and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import HARNEX, Harnex

JSON_VERBS = ("send", "wait", "stop")


def refused(harnex: Harnex, code: int, *words: str, **options: Any) -> str:
    """Run a command that must fail with this code and without a traceback.

    Returns its reply and its words.
    """
    done = harnex.run(*words, **options)
    assert done.returncode == code, f"harnex {words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("harnex: ")
    if words[0] in JSON_VERBS or "--detach" in words:
        reply = json.loads(done.stdout)
        assert reply["ok"] is False
        assert isinstance(reply["hint"], str)
        assert reply["error"]
        assert reply["error"].splitlines()[0] in done.stderr
    else:
        assert done.stdout == ""
    return done.stdout + done.stderr


def weak(harnex: Harnex, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command for which file modes count: as root, without the right to bypass modes."""
    command = [HARNEX, *words]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root passes modes by, and there is no setpriv to give that up")
        rights = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *command]
    return subprocess.run(
        command, env=harnex.env, cwd=harnex.work, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("statuss",), "did you mean 'status'"),
        (("sned", "--id", "x"), "did you mean 'send'"),
        (("frobnicate",), "harnex --help"),
        (("status", "--jsn"), "--json"),
        (("run", "cat", "--detahc"), "--detach"),
        (("events", "--after", "x"), "--after"),
        (("events", "--after", "-1"), "--after"),
        (("events", "--type", "nonsense"), "task_complete"),
        (("events", "--from", "yesterday"), "not a time"),
        (("events", "--snapshot", "--follow"), "contradict"),
        (("wait", "--until", "done"), "task_complete"),
        (("wait", "--timeout", "soon"), "not a duration"),
        (("wait", "--timeout", "nan"), "not a duration"),
        (("wait", "--timeout", "inf"), "not a duration"),
        (("wait", "--timeout", "9999999999"), "not a duration"),
        (("wait", "--timeout", "-1"), "not a duration"),
        (("wait", "--timeout"), "--timeout"),
        (("stop", "--timeout", "1x"), "not a duration"),
        (("send", "--message", "a", "--file", "b"), "contradict"),
        (("send", "--message", "a", "--no-wait", "--wait-for-idle"), "contradict"),
        (("send", "--message", "a", "--no-submit", "--wait-for-idle"), "for ever"),
        (("send", "--submit-only", "--message", "a"), "--submit-only"),
        (("send", "--message", ""), "empty"),
        (("send", "--message", " \n "), "empty"),
        (("send",), "empty"),
        (("logs", "--lines", "-2"), "--lines"),
        (("pane", "--json", "--ansi"), "exclude"),
        (("history", "--limit", "0"), "--limit"),
        (("prune", "--older-than", "old"), "not a duration"),
        (("recipes", "show", "nonsense"), "there is no recipe"),
        (("recipes", "nonsense"), "nonsense"),
        (("detect",), "--cli"),
    ],
)
def test_wrong_usage_is_told_with_the_way_out(harnex: Harnex, words: tuple[str, ...], says: str) -> None:
    assert says in refused(harnex, 2, *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "which CLI"),
        (("cat", "--id", "../up"), "can't be a session id"),
        (("cat", "--id", ""), "can't be a session id"),
        (("cat", "--id", "-x"), "can't be a session id"),
        (("cat", "--id", "é"), "can't be a session id"),
        (("cat", "--id", "x" * 65), "64 characters"),
        (("cat", "--id", "a/b"), "can't be a session id"),
        (("cat", "--meta", "{"), "not JSON"),
        (("cat", "--meta", "[1]"), "must be a JSON object"),
        (("cat", "--env", "NOVALUE"), "K=V"),
        (("cat", "--env", "=x"), "K=V"),
        (("cat", "--size", "big"), "COLSxROWS"),
        (("cat", "--size", "5x2"), "COLSxROWS"),
        (("cat", "--size", "99999x40"), "COLSxROWS"),
        (("cat", "--timeout", "later"), "not a duration"),
        (("cat", "--timeout", "0"), "at once"),
        (("cat", "--permissions", "all"), "bypass"),
        (("cat", "--context", "a", "--context-file", "b"), "contradict"),
        (("cat", "--context", "  "), "empty"),
        (("cat", "--tmux", "name", "--detach"), "contradict"),
        (("cat", "--rehearse", "/nowhere.json"), "can't be"),
    ],
)
def test_wrong_usage_of_run_starts_nothing(harnex: Harnex, words: tuple[str, ...], says: str) -> None:
    words = words if "--detach" in words else (*words, "--detach")
    assert says in refused(harnex, 2, "run", *words)
    assert nothing_ran(harnex)


def nothing_ran(harnex: Harnex) -> bool:
    """Check that there is no session, no run directory, no history record and no process."""
    assert harnex.json("status", "--all", "--json") == []
    assert harnex.json("history", "--all", "--json") == []
    assert list(harnex.state.glob("runs/*")) == []
    return harnex.marked() == []


@pytest.mark.parametrize("cli", ["nosuchcli", "codexx", "claude"])
def test_an_unknown_cli(harnex: Harnex, cli: str) -> None:
    # None of the agents is on this PATH: the error names the missing agent and how to install it.
    harnex.env["PATH"] = "/usr/bin:/bin"
    if shutil.which(cli, path=harnex.env["PATH"]):
        pytest.skip(f"{cli} is installed system-wide")
    said = refused(harnex, 1, "run", cli, "--detach")
    assert f"can't run {cli}" in said
    assert ("npm install -g" if cli == "claude" else "agents that harnex knows: codex, claude") in said
    assert nothing_ran(harnex)


def test_files_that_are_no_programs(harnex: Harnex) -> None:
    plain = harnex.work / "plain.txt"
    plain.write_text("hello")
    for command, says in (
        ("./nothere", "is not there"),
        ("./plain.txt", "is not executable"),
        (str(harnex.work), "is not executable"),
    ):
        assert says in refused(harnex, 1, "run", command, "--detach")
    assert "is not there" in refused(harnex, 1, "run", "cat", "--detach", "--cwd", str(harnex.base / "nowhere"))
    assert nothing_ran(harnex)


def ends_at_boot(harnex: Harnex, session_id: str, *words: str) -> dict[str, Any]:
    """Run `run --detach` with a program that can't start. Returns the history record.

    The real error comes at once, with a history record and an `exited` event.
    """
    begun = time.monotonic()
    done = harnex.run("run", *words[:1], "--detach", "--id", session_id, "--", *words[1:])
    took = time.monotonic() - begun
    reply = json.loads(done.stdout)
    assert (done.returncode, reply["ok"]) == (1, False), done.stdout
    assert took < 3.0  # well under a second on a machine that is not swamped by tests
    rows = harnex.json("history", "--json", "--id", session_id)
    assert [r["reason"] for r in rows] == ["boot_failure"]
    events = harnex.events(session_id)
    assert [r["seq"] for r in events] == list(range(1, len(events) + 1))
    assert [r["type"] for r in events].count("exited") == 1
    assert (events[-1]["type"], events[-1]["reason"]) == ("exited", "boot_failure")
    assert events[-1]["message"] == rows[0]["message"]
    if rows[0]["message"]:
        assert rows[0]["message"] in reply["error"]
    assert harnex.json("status", "--json", "--all") == []
    row: dict[str, Any] = rows[0]
    return row


def test_a_program_that_ends_at_once_with_an_error(harnex: Harnex) -> None:
    row = ends_at_boot(harnex, "boom", "sh", "-c", "echo 'no such model: täst' >&2; exit 3")
    assert (row["code"], row["exit"], row["message"]) == (3, 1, "no such model: täst")
    assert "no such model: täst" in harnex.ok("logs", "--id", "boom")
    assert ends_at_boot(harnex, "mute", "false")["code"] == 1
    assert ends_at_boot(harnex, "shot", "sh", "-c", "kill -9 $$")["signal"] == 9


def test_a_file_that_the_kernel_can_not_execute(harnex: Harnex) -> None:
    for name, content in (("garbage", b"\x7fELF garbage"), ("lost", b"#!/nowhere/interpreter\n")):
        program = harnex.work / name
        program.write_bytes(content)
        program.chmod(0o755)
        message = ends_at_boot(harnex, name, f"./{name}")["message"]
        assert any(words in message for words in ("Exec format error", "No such file", "not found")), message


def test_a_program_that_ends_at_once_without_an_error(harnex: Harnex) -> None:
    reply = harnex.json("run", "true", "--detach", "--id", "quick")
    assert (reply["ok"], reply["state"], reply["exit"]["reason"]) == (True, "exited", "success")
    assert [r["reason"] for r in harnex.json("history", "--json")] == ["success"]
    assert harnex.events("quick")[-1]["type"] == "exited"


def test_missing_sessions(harnex: Harnex) -> None:
    for state in ("none live", "another lives"):
        if state == "another lives":
            harnex.ok("run", "cat", "--detach", "--id", "other")
        for words in (
            ("send", "--message", "x"),
            ("wait",),
            ("wait", "--until", "exited"),
            ("stop",),
            ("stop", "--force"),
            ("events",),
            ("events", "--snapshot"),
            ("logs",),
            ("logs", "--follow"),
            ("pane",),
            ("pane", "--follow"),
            ("attach",),
            ("status",),
        ):
            said = refused(harnex, 1, *words, "--id", "nobody")
            assert "no live session 'nobody'" in said
            if words[0] != "status":
                assert ("other" if state == "another lives" else "harnex history") in said
    assert json.loads(harnex.run("status", "--json", "--id", "nobody").stdout) == []


def test_a_session_that_has_ended_is_named_with_its_end(harnex: Harnex) -> None:
    harnex.ok("run", "true", "--detach", "--id", "past")
    for verb in JSON_VERBS:
        words = ("--message", "x") if verb == "send" else ()
        assert "session 'past' has ended (success" in refused(harnex, 1, verb, *words, "--id", "past")


def test_several_sessions_and_no_id(harnex: Harnex) -> None:
    for name in ("one", "two"):
        harnex.ok("run", "cat", "--detach", "--id", name)
    for words in (("send", "--message", "x"), ("wait",), ("stop",), ("events",), ("logs",), ("pane",), ("attach",)):
        said = refused(harnex, 2, *words)
        assert "one (cat in" in said
        assert "name one with --id" in said
    assert {r["id"] for r in harnex.json("status", "--json")} == {"one", "two"}, "nobody was stopped by a guess"


def test_bad_message_files(harnex: Harnex) -> None:
    harnex.agent("files", {"text": "ok"})
    empty, binary = harnex.base / "empty", harnex.base / "binary"
    empty.write_bytes(b"")
    binary.write_bytes(b"\xff\xfe\x00\x01" * 100)
    for path, says in (
        (empty, "is empty"),
        (binary, "is not UTF-8 text"),
        (harnex.base / "nowhere", "No such file"),
        (harnex.work, "Is a directory"),
    ):
        assert says in refused(harnex, 2, "send", "--id", "files", "--file", str(path))
        assert says in refused(harnex, 2, "run", "cat", "--detach", "--context-file", str(path))
    assert "is not UTF-8" in refused(harnex, 2, "send", "--id", "files", stdin=binary.open("rb"))
    assert harnex.prompts("files") == []
    assert harnex.events("files", "send") == []
    assert len(harnex.json("status", "--json")) == 1


def test_a_message_file_that_may_not_be_read(harnex: Harnex) -> None:
    secret = harnex.base / "secret"
    secret.write_text("x")
    secret.chmod(0)
    harnex.ok("run", "cat", "--detach", "--id", "reader")
    done = weak(harnex, "send", "--id", "reader", "--file", str(secret))
    assert done.returncode == 2
    assert "Permission denied" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("{", "JSON"),
        ("7", ""),
        ('{"calls": [{"txet": "typo"}]}', "txet"),
        ('{"calls": "x"}', "calls"),
        ("", "JSON"),
        ("\x00\x01", "JSON"),
    ],
)
def test_bad_rehearsal_scripts(harnex: Harnex, script: str, says: str) -> None:
    path = harnex.base / "bad.json"
    path.write_text(script)
    said = refused(harnex, 2, "run", "demo", "--detach", "--rehearse", str(path))
    assert "the rehearsal script can't be used" in said
    assert says in said
    assert nothing_ran(harnex)


def test_run_without_a_terminal(harnex: Harnex) -> None:
    said = refused(harnex, 2, "run", "cat")
    assert "--detach or --tmux" in said
    assert nothing_ran(harnex)
    harnex.ok("run", "cat", "--detach", "--id", "it")
    assert "harnex pane" in refused(harnex, 2, "attach", "--id", "it")


def test_a_directory_that_was_removed_under_us(harnex: Harnex) -> None:
    """Existing sessions are still found and ended from there; no session can be started there."""
    harnex.ok("run", "cat", "--detach", "--id", "stays")
    gone = harnex.base / "gone"
    gone.mkdir()
    start = f"cd '{gone}' && rmdir '{gone}' && exec '{HARNEX}' "

    def there(words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", start + words], env=harnex.env, capture_output=True, text=True, timeout=30, check=False
        )

    done = there("run cat --detach")
    assert (done.returncode, json.loads(done.stdout)["error"]) == (1, "the working directory is gone")
    gone.mkdir()
    done = there("stop --id stays")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)


# ---- closed and full standard files ----


def piped(harnex: Harnex, line: str, seconds: float = 20.0) -> subprocess.CompletedProcess[str]:
    """Return a shell line in which `harnex` is ours. `pipefail` makes its exit code the line's."""
    env = {**harnex.env, "PATH": os.path.dirname(HARNEX) + ":" + harnex.env["PATH"]}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env=env,
        cwd=harnex.work,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_reader_that_takes_one_line(harnex: Harnex) -> None:
    harnex.agent("heads", {"text": "\n".join(f"line {n}" for n in range(3000))})
    harnex.ok("send", "--id", "heads", "--message", "go", "--wait-for-idle", "--timeout", "30")
    for line in (
        "harnex events | head -1",
        "harnex events --snapshot | head -1",
        "harnex logs | head -1",
        "harnex logs --follow | head -1",
        "harnex logs --cast | head -1",
        "harnex logs --cast --follow | head -1",
        "harnex pane --json --follow | head -1",
        "harnex pane --follow | head -1",
        "harnex status --json | head -c1",
        "harnex history --json | head -c1",
        "harnex guide | head -1",
        "harnex --help | head -1",
        "harnex run --help | head -1",
        "harnex status --help | head -1",
    ):
        done = piped(harnex, line)
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout, line
    assert not (harnex.state / "reports").exists()


def test_closed_and_full_standard_files(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "closed")
    for line in (
        "harnex status >&-",
        "harnex status --json >&- 2>&-",
        "harnex send --id closed --message hello --no-wait >&-",
        "harnex status <&-",
        "harnex run true --detach >&- 2>&- <&-",
        "harnex --help >&-",
    ):
        done = piped(harnex, line)
        assert done.returncode == 0, (line, done.stderr)
        assert "Traceback" not in done.stderr
    assert "empty" in piped(harnex, "harnex send --id closed <&-").stdout
    for line in ("harnex status --json >/dev/full", "harnex --help >/dev/full", "harnex stop --id none >/dev/full"):
        done = piped(harnex, line)
        assert done.returncode == 1, (line, done.stderr)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
    assert not (harnex.state / "reports").exists()


# ---- Ctrl-C ----


def wait_for_peers(harnex: Harnex, process: subprocess.Popen[str]) -> None:
    """Wait until this command waits in the kernel with a connection open."""

    def waits() -> bool:
        try:
            links = [os.readlink(f"/proc/{process.pid}/fd/{n}") for n in os.listdir(f"/proc/{process.pid}/fd")]
        except OSError:
            return False
        sockets = [link for link in links if link.startswith("socket:")]
        return bool(sockets) and psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING

    harnex.until(waits, what="the command waits")


def interrupted(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert err == "harnex: interrupted\n"


def test_ctrl_c_in_what_waits(harnex: Harnex) -> None:
    harnex.agent("busy", {"text": "x", "tools": [{"bash": "sleep 20"}]}, {"text": "done"})
    harnex.ok("send", "--id", "busy", "--message", "first")
    waiter = harnex.start("wait", "--id", "busy", "--until", "task_complete")
    wait_for_peers(harnex, waiter)
    interrupted(waiter)
    follower = harnex.start("events", "--id", "busy")
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["type"] == "started"
    interrupted(follower)


def test_ctrl_c_withdraws_a_message_that_is_not_typed_yet(harnex: Harnex) -> None:
    harnex.agent("busy", {"text": "x", "tools": [{"bash": "while ! [ -e go ]; do sleep 0.05; done"}]}, {"text": "done"})
    harnex.ok("send", "--id", "busy", "--message", "first")
    sender = harnex.start("send", "--id", "busy", "--message", "a ghost")
    harnex.until(lambda: [r for r in harnex.events("busy", "send") if r["msg"] == "a ghost"], what="it is queued")
    interrupted(sender)
    harnex.until(
        lambda: [r for r in harnex.events("busy", "delivery") if r["status"] == "expired"], what="it is withdrawn"
    )
    assert harnex.json("status", "--json")[0]["pending"] == 0
    (harnex.work / "go").touch()
    harnex.ok("wait", "--id", "busy", "--timeout", "20")
    harnex.ok("stop", "--id", "busy")
    assert harnex.prompts("busy") == ["first"]


# ---- what is not a client of ours ----


def test_garbage_on_the_control_socket_costs_nothing(harnex: Harnex) -> None:
    harnex.agent("sock", {"text": "ok"})
    record = json.loads(next(harnex.state.glob("sessions/*.json")).read_text())
    assert Path(record["socket"]).stat().st_mode & 0o777 == 0o600

    def say(data: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(record["socket"])
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            out = b""
            while part := s.recv(65536):
                out += part
            return out

    for line in (
        b"garbage",
        b"[]",
        b"null",
        b'{"op": "nothing"}',
        b'{"op": ["send"]}',
        b'{"op": {}}',
        b'{"op": "send", "text": 5}',
        b'{"op": "wait", "until": {}}',
        b'{"op": "wait", "until": "never"}',
        b"\xff\xfe\x00",
        b"[" * 5000,
        b'{"op": "pane", "format": []}',
    ):
        reply = json.loads(say(line + b"\n") or b'{"ok": false}')
        assert reply["ok"] is (b"pane" in line), line
    for line in (
        b'{"op": "wait", "until": "exited", "timeout": NaN}\n',
        b'{"op": "wait", "until": "exited", "timeout": 1e308}\n',
        b'{"op": "attach", "columns": -1, "rows": "x"}\n',
        b'{"op": "attach", "columns": 80, "rows": 24}\nx\xff\xff\xff\xffgarbage',
        b"",
        b'{"op": "st',
    ):
        say(line)
    sent = harnex.json("send", "--id", "sock", "--message", "still there?", "--wait-for-idle")
    assert sent["outcome"] == "completed"


def test_a_person_without_a_home(harnex: Harnex) -> None:
    """HOME is unset, or XDG_STATE_HOME is relative, which the specification says to ignore."""
    env = {k: v for k, v in harnex.env.items() if k not in ("HARNEX_STATE_DIR", "HOME")}
    env["XDG_STATE_HOME"] = str(harnex.base / "xdg")
    assert harnex.json("status", "--json", env=env) == []
    assert (harnex.base / "xdg" / "harnex").stat().st_mode & 0o777 == 0o700
    env |= {"XDG_STATE_HOME": "relative", "HOME": str(harnex.base / "home")}
    assert harnex.json("status", "--json", env=env) == []
    assert not (harnex.work / "relative").exists()
    assert (harnex.base / "home/.local/state/harnex").is_dir()


def test_guide_and_recipes(harnex: Harnex) -> None:
    assert harnex.ok("guide").startswith("#")
    listed = harnex.ok("recipes", cwd="/")
    for line in listed.splitlines():
        name = line.split()[0]
        assert harnex.ok("recipes", "show", name).startswith("#!")
        target = harnex.base / f"{name}.sh"
        assert harnex.ok("recipes", "copy", name, str(target)).strip() == str(target)
        assert os.access(target, os.X_OK)
        assert "is there already" in refused(harnex, 1, "recipes", "copy", name, str(target))


def test_an_id_that_ended_here_is_not_somebody_elses(harnex: Harnex) -> None:
    """A second `stop`, or a late message, must not reach a session of the same
    id in another repository."""
    other = harnex.base / "other\nrepo"
    (other / ".git").mkdir(parents=True)
    harnex.agent("twin")
    harnex.ok("run", "demo", "--detach", "--id", "twin", cwd=other)
    assert "2 sessions fit" in refused(harnex, 2, "send", "--id", "twin", "--message", "x", cwd=harnex.base)
    harnex.ok("stop", "--id", "twin")
    for words in (("stop",), ("send", "--message", "late"), ("wait", "--until", "prompt"), ("approve",)):
        done = harnex.run(*words, "--id", "twin")
        assert done.returncode == 1
        assert "has ended" in done.stderr
        assert "--repo" in done.stderr
    assert harnex.json("wait", "--id", "twin", "--until", "exited")["state"] == "exited"
    assert [r["type"] for r in harnex.events("twin")][-1] == "exited"
    (left,) = harnex.json("status", "--json", "--all")
    assert left["repo"] == str(other)
    # Two lines, whatever is in the session's path.
    assert len(harnex.ok("status", "--all").splitlines()) == 2
    assert (
        harnex.json("send", "--id", "twin", "--repo", str(other), "--message", "hello", "--wait-for-idle")["turn"] == 1
    )
    assert harnex.json("stop", "--id", left["run_id"])["ok"]

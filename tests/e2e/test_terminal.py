"""Sessions as a person sees them: in the foreground, attached, in tmux, on odd terminals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest

from harnex.terminal.modes import Modes
from harnex.terminal.scanner import Scanner
from harnex.terminal.screen import make_screen

from .conftest import HARNEX, Harnex

DETACH = b"\x1cd"
# What full-screen programs switch on: alternate screen, mouse, focus, paste, cursor keys,
# key protocols, no cursor.
MANY_MODES = (
    r"\033[?1049h\033[?1000h\033[?1002h\033[?1006h\033[?1004h\033[?2004h\033[?1h\033="
    r"\033[>1u\033[>3u\033[>4;2m\033[?25l\033[?7l\033[2;5r"
)


class Person:
    """A person at a terminal who runs one harnex command, and what the person sees there."""

    def __init__(
        self,
        harnex: Harnex,
        *words: str,
        size: tuple[int, int] = (80, 24),
        program: str = HARNEX,
        **changes: str | None,
    ) -> None:
        env = {**harnex.env, **changes}
        columns, rows = size
        self.child = pexpect.spawn(
            program,
            list(words),
            env={k: v for k, v in env.items() if v is not None},
            cwd=str(harnex.work),
            dimensions=(rows, columns),
            timeout=15,
        )
        self.child.delaybeforesend = None
        self.screen = make_screen(columns or 120, rows or 40)
        self.scanner = Scanner(lambda: (0, 0), columns or 120, rows or 40, "0")
        self.bytes = b""
        self.reading = True

    def read(self, seconds: float = 0.05) -> None:
        """Take the output that is there."""
        try:
            data = self.child.read_nonblocking(1 << 16, seconds)
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            self.reading = False
            return
        self.bytes += data
        self.scanner.feed(data)
        self.screen.feed(data)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.view().lines]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def see(self, what: str | Callable[[], bool], seconds: float = 15.0) -> None:
        """Read until this is on the screen."""
        seen = (lambda: what in self.text) if isinstance(what, str) else what
        end = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < end, f"not seen: {what}\n{self.text}"
            assert self.reading, f"ended before it was seen: {what}\n{self.text}"
            self.read()

    def type(self, keys: bytes | str) -> None:
        self.child.send(keys)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(columns, rows)
        self.child.setwinsize(rows, columns)

    def leave(self, keys: bytes = DETACH) -> int:
        """Detach, or press other keys that end the command. Returns the exit code."""
        self.type(keys)
        return self.end()

    def end(self, seconds: float = 15.0) -> int:
        """Wait until the command has ended. Returns its exit code."""
        end = time.monotonic() + seconds
        while self.reading:
            assert time.monotonic() < end, f"it does not end\n{self.text}"
            self.read()
        self.child.close()
        assert self.child.exitstatus is not None, f"ended by signal {self.child.signalstatus}"
        return int(self.child.exitstatus)

    def gone(self) -> None:
        """Clear up, however the command ended: nothing of it is left."""
        self.child.close(force=True)


@pytest.fixture
def people() -> list[Person]:
    """The people who are at a terminal now."""
    return []


@pytest.fixture
def person(harnex: Harnex, people: list[Person]) -> Iterator[Callable[..., Person]]:
    def come(*words: str, **options: Any) -> Person:
        people.append(Person(harnex, *words, **options))
        return people[-1]

    yield come
    for one in people:
        one.gone()


def sh(harnex: Harnex, session_id: str, script: str, *more: str) -> dict[str, Any]:
    """Start a session of a shell script, detached."""
    return dict(harnex.json("run", "bash", "--detach", "--id", session_id, *more, "--", "--norc", "-c", script))


def no_reports(harnex: Harnex) -> bool:
    return not (harnex.state / "reports").exists()


# ---- foreground ----


def test_a_session_in_the_foreground(harnex: Harnex, person: Callable[..., Person]) -> None:
    script = harnex.script({"text": "The answer is 42."})
    log = str(harnex.base / "fg.truth")
    me = person("run", "demo", "--id", "fg", "--rehearse", script, "--", "--log", log)
    harnex.until(lambda: harnex.run("wait", "--id", "fg", "--until", "prompt", "--timeout", "10").returncode == 0)
    me.see("/exit to leave")
    me.type("what is it")
    me.see("what is it")
    me.type(b"\r")
    me.see("The answer is 42.")
    assert b"Ctrl-\\ d detaches" in me.bytes
    assert harnex.prompts("fg") == ["what is it"]
    assert harnex.json("wait", "--id", "fg", "--timeout", "10")["turn"] == 1
    record = harnex.json("status", "--json")[0]
    assert (record["mode"], record["turn"]) == ("foreground", 1)
    assert me.leave(b"\x03") == 0  # Ctrl-C on an empty box ends this agent
    assert "session 'fg' ended: success" in me.text
    assert [(r["reason"], r["exit"]) for r in harnex.json("history", "--json")] == [("success", 0)]
    assert harnex.json("status", "--json") == []


def test_detach_leaves_it_running_and_attach_shows_it_again(harnex: Harnex, person: Callable[..., Person]) -> None:
    me = person("run", "bash", "--id", "on", "--", "--norc", "-c", "echo first; read a; echo second $a; read b")
    me.see("first")
    assert me.leave() == 0
    assert "harnex attach --id on" in me.text
    assert [r["id"] for r in harnex.json("status", "--json")] == ["on"]
    again = person("attach", "--id", "on")
    again.see("first")
    again.type("täst\r")
    again.see("second täst")
    third = person("attach")
    third.see("second täst")
    assert third.lines == again.lines == pane_lines(harnex, "on", 24)
    assert third.leave() == again.leave() == 0
    assert harnex.json("status", "--json")[0]["state"] == "unknown"


def pane_lines(harnex: Harnex, session_id: str, rows: int) -> list[str]:
    lines = [line.rstrip() for line in harnex.json("pane", "--id", session_id, "--json")["lines"]]
    assert len(lines) == rows
    return lines


@pytest.mark.parametrize(
    "keys", [b"\x1cd", b"\x1cD", b"\x1b[92;5ud", b"\x1b[92;5:1u\x1b[92;5:3u\x1b[100u", b"\x1b[27;5;92~d"]
)
def test_the_detach_key_in_every_key_protocol(harnex: Harnex, person: Callable[..., Person], keys: bytes) -> None:
    """Codex and Claude Code switch kitty's protocol on: then the terminal
    sends Ctrl-\\ in another form."""
    sh(harnex, "kitty", r"printf '\033[>1u'; echo ready; exec cat")
    me = person("attach", "--id", "kitty")
    me.see("ready")
    for byte in range(len(keys)) if keys[:1] == b"\x1c" else ():
        me.type(keys[byte : byte + 1])  # one by one, as a person presses them
    assert me.leave(b"" if keys[:1] == b"\x1c" else keys) == 0
    assert harnex.json("status", "--json")[0]["id"] == "kitty"


def test_the_prefix_itself_and_other_keys_reach_the_agent(harnex: Harnex, person: Callable[..., Person]) -> None:
    sh(harnex, "keys", "stty -icanon -isig -echo -ixon -icrnl; echo ready; exec od -An -c -w1 -v")
    me = person("attach", "--id", "keys", size=(40, 20))
    me.see("ready")
    me.type(b"\x1c\x1c" + b"\x1cx" + b"\x04\x1a\x03" + "ü".encode() + b"\x1b[A" + b"z" * 40)
    me.see(lambda: me.text.count("z") >= 16)
    assert me.leave() == 0
    out = harnex.ok("logs", "--id", "keys").split()
    assert out[: out.index("z")] == ["ready", "034", "034", "x", "004", "032", "003", "303", "274", "033", "[", "A"]


def test_ctrl_c_goes_to_the_agent(harnex: Harnex, person: Callable[..., Person]) -> None:
    me = person(
        "run", "python3", "--id", "int", "--", "-c",
        "import itertools, signal, time\n"
        "n = itertools.count(1)\n"
        "signal.signal(2, lambda *_: print(f'got-{next(n)}', flush=True))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(1)",
    )  # fmt: skip
    me.see("ready")
    for n in (1, 2, 3):
        me.type(b"\x03")
        me.see(f"got-{n}")
    assert me.child.isalive()
    assert me.leave() == 0


def test_a_new_size_reaches_the_agent(harnex: Harnex, person: Callable[..., Person]) -> None:
    # The script polls its size: bash forgets a SIGWINCH that comes while the trap
    # of the previous one runs.
    watch = 'while :; do now=$(stty size); [ "$now" = "$old" ] || echo "$now"; old=$now; sleep 0.05; done'
    sh(harnex, "size", watch, "--size", "100x30")
    assert harnex.json("pane", "--id", "size", "--json")["columns"] == 100
    me = person("attach", "--id", "size", size=(90, 28))
    me.see("28 90")
    me.resize(70, 20)
    me.see("20 70")
    me.resize(132, 43)
    me.see("43 132")
    looking = person("attach", "--id", "size", "--read-only", size=(50, 10))
    looking.see("43 132")
    looking.type("x")
    assert looking.leave() == 0
    assert "10 50" not in harnex.ok("logs", "--id", "size")
    pane = harnex.json("pane", "--id", "size", "--json")
    assert (pane["columns"], pane["rows"], len(pane["lines"])) == (132, 43, 43)


def test_two_viewers_see_the_same(harnex: Harnex, person: Callable[..., Person]) -> None:
    sh(
        harnex,
        "both",
        r"printf '\033[?1049h\033[2J\033[5;5Hhello 日本\n'; while read x; do printf '\033[3;3H%s' $x; done",
    )
    one, two = person("attach", "--id", "both"), person("attach", "--id", "both")
    for each in (one, two):
        each.see("hello 日本")
    one.type("typed-by-one\r")
    for each in (one, two):
        each.see("  typed-by-one")
    two.type("typed-by-two\r")
    for each in (one, two):
        each.see("  typed-by-two")
    assert one.lines == two.lines == pane_lines(harnex, "both", 24)
    assert one.leave() == 0
    two.type("still\r")
    two.see("  still-by-two")


def test_a_viewer_that_does_not_read_holds_up_nobody(harnex: Harnex, person: Callable[..., Person]) -> None:
    sh(harnex, "flood", "echo ready; read x; seq 1 400000; echo flooded; read y")
    record = json.loads(next(harnex.state.glob("sessions/*.json")).read_text())
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(record["socket"])
        lazy.sendall(b'{"op": "attach", "columns": 80, "rows": 24}\n')
        reader = person("attach", "--id", "flood")
        reader.see("ready")
        reader.type("go\r")
        reader.see("flooded", 25)
        assert "flooded" in harnex.ok("pane", "--id", "flood")
        supervisor = psutil.Process(record["supervisor_pid"])
        assert supervisor.memory_info().rss < 150 << 20
        # Once the client reads again, it gets the screen as it is now instead of what it missed.
        lazy.settimeout(10)
        seen = b""
        while b"flooded" not in seen:
            seen += lazy.recv(1 << 20)
        assert len(seen) < 2 << 20  # of 2.7 MB
    assert reader.leave() == 0


def test_attach_ends_with_the_agent_and_its_outcome(harnex: Harnex, person: Callable[..., Person]) -> None:
    for code, said, outcome in ((0, "success", 0), (7, "failure", 1)):
        sh(harnex, f"exit{code}", f"echo ready; read x; sleep 0.8; echo last words; exit {code}")
        me = person("attach", "--id", f"exit{code}")
        me.see("ready")
        assert me.leave(b"\r") == outcome
        assert "last words" in me.text
        assert f"session 'exit{code}' ended: {said}" in me.text
    sh(harnex, "stopped", "echo ready; read x")
    me = person("attach", "--id", "stopped")
    me.see("ready")
    harnex.ok("stop", "--id", "stopped")
    assert me.end() == 0
    assert "ended: stopped" in me.text


def test_a_program_that_fails_at_once_in_the_foreground(harnex: Harnex, person: Callable[..., Person]) -> None:
    me = person("run", "bash", "--id", "boot", "--", "--norc", "-c", "echo 'what a pity'; exit 5")
    assert me.end() == 1
    assert "what a pity" in me.text
    assert "harnex logs" in me.text
    assert person("run", "true", "--id", "fine").end() == 0
    assert {r["id"]: r["reason"] for r in harnex.json("history", "--json")} == {
        "boot": "boot_failure",
        "fine": "success",
    }


def test_a_supervisor_that_is_killed_is_told(harnex: Harnex, person: Callable[..., Person]) -> None:
    sh(harnex, "lost", "echo ready; read x")
    me = person("attach", "--id", "lost")
    me.see("ready")
    psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"]).kill()
    assert me.end() == 1
    assert "supervisor of 'lost' was lost" in me.text


# ---- the terminal afterwards ----


@pytest.mark.parametrize("how", ["detach", "exit", "kill", "stop"])
def test_the_terminal_is_as_it_was(harnex: Harnex, person: Callable[..., Person], how: str) -> None:
    """Line modes, alternate screen, mouse, key protocols and cursor are restored, also after
    several redraws, which push the modes again."""
    sh(harnex, "modes", f"printf '{MANY_MODES}'; printf '\\033[3Hready'; read x; sleep 0.8")
    line = f"stty -g; echo above; '{HARNEX}' attach --id modes; stty -g; echo below"
    script = harnex.base / "line.sh"
    script.write_text(line)
    me = person(str(script), program="bash")
    me.see("ready")
    during = me.scanner.modes
    assert during.alternate
    assert during.mouse and during.bracketed_paste and during.kitty_stack[-1] and not during.cursor_visible
    for columns in (81, 82, 80):
        me.resize(columns, 24)
        pane_has = lambda: harnex.json("pane", "--id", "modes", "--json")["columns"] == columns  # noqa: B023, E731
        harnex.until(pane_has, what="the new size")
    if how == "detach":
        me.type(DETACH)
    elif how == "exit":
        me.type(b"\r")
    elif how == "stop":
        harnex.ok("stop", "--id", "modes")
    else:
        (client,) = [p for p in harnex.marked() if "attach" in p.cmdline() and p.name() != "bash"]
        client.terminate()
    me.see("below")
    me.end()
    modes, fresh = me.scanner.modes, Modes()
    assert {n: getattr(modes, n) for n in Modes.__slots__} == {n: getattr(fresh, n) for n in Modes.__slots__}
    before, after = re.findall(rb"[0-9a-f]+(?::[0-9a-f]+){30,}", me.bytes)
    assert before == after
    lines = [line for line in me.lines if line]
    assert "above" in lines  # the screen from before is back
    assert "ready" not in lines
    assert lines[-1] == "below"


def test_what_was_drawn_on_the_main_screen_is_not_written_over(harnex: Harnex, person: Callable[..., Person]) -> None:
    sh(harnex, "main", r"for n in $(seq 9); do echo line $n; done; printf '\033[3H'; read x", "--size", "80x24")
    me = person("attach", "--id", "main")
    me.see("line 9")
    assert me.leave() == 0
    lines = [line for line in me.lines if line]
    # Two lines have scrolled away.
    assert lines[: lines.index("line 9") + 1] == [f"line {n}" for n in range(3, 10)]
    assert "goes on" in me.text


def test_a_client_that_is_killed_changes_nothing(
    harnex: Harnex, person: Callable[..., Person], people: list[Person]
) -> None:
    sh(harnex, "robust", "n=0; while :; do echo tick $((n++)); sleep 0.05; done")
    for signum in (signal.SIGKILL, signal.SIGHUP, signal.SIGTERM):
        me = person("attach", "--id", "robust")
        me.see("tick")
        os.kill(me.child.pid, signum)
        end = time.monotonic() + 15
        while me.reading:
            assert time.monotonic() < end
            me.read()
    me = person("attach", "--id", "robust")  # its window is closed: the terminal itself is gone
    me.see("tick")
    pid = me.child.pid
    me.child.ptyproc.fileobj.close()
    harnex.until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, what="the client ends with its terminal")
    people.remove(me)
    record = harnex.json("status", "--json")[0]
    assert record["id"] == "robust"
    before = harnex.ok("pane", "--id", "robust")
    harnex.until(lambda: harnex.ok("pane", "--id", "robust") != before, what="it goes on")
    assert no_reports(harnex)


# ---- odd terminals ----


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        ((80, 24), {"TERM": "dumb"}),
        ((80, 24), {"TERM": None}),
        ((80, 24), {"TERM": "no-such-terminal"}),
        ((80, 24), {"LANG": None, "LC_ALL": "C"}),
        ((80, 24), {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}),
        ((0, 0), {}),
        ((20, 5), {}),
        ((2, 1), {}),
        ((300, 100), {}),
        ((80, 24), {"NO_COLOR": "1", "COLUMNS": "5", "LINES": "x"}),
    ],
)
def test_odd_terminals(
    harnex: Harnex, person: Callable[..., Person], size: tuple[int, int], changes: dict[str, str | None]
) -> None:
    script = harnex.script({"text": "fine: ü日本"})
    me = person("run", "demo", "--id", "odd", "--rehearse", script, size=size, **changes)
    harnex.until(
        lambda: [r for r in harnex.json("status", "--json") if r["state"] == "prompt"], what="its prompt is there"
    )
    me.read(0.3)
    # At this size its input box can't be seen, and nothing is typed blindly.
    if size[0] != 2:
        sent = harnex.json("send", "--id", "odd", "--message", "go", "--wait-for-idle", "--timeout", "15")
        assert sent["last_message"] == "fine: ü日本"
        me.see("fine: ü日本")
    pane = harnex.json("pane", "--id", "odd", "--json")
    expected = (size[0] or 120, size[1] or 40)
    assert (pane["columns"], pane["rows"]) == (max(expected[0], 10), max(expected[1], 3))
    for words in (("status",), ("history",), ("doctor",), ("pane", "--id", "odd"), ("logs", "--id", "odd")):
        env = {k: v for k, v in {**harnex.env, **changes}.items() if v is not None}
        done = harnex.run(*words, env=env, encoding="utf-8", errors="replace")
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (words, done.stderr)
    assert me.leave() == 0
    assert no_reports(harnex)


def test_colours_are_for_terminals_that_want_them(harnex: Harnex, person: Callable[..., Person]) -> None:
    plain = person("doctor", NO_COLOR="1")
    assert plain.end() in (0, 1)
    assert b"\x1b[3" not in plain.bytes
    coloured = person("doctor")
    assert coloured.end() in (0, 1)
    assert b"\x1b[3" in coloured.bytes


# ---- tmux ----


def windows(harnex: Harnex) -> list[str]:
    done = subprocess.run(
        ["tmux", "list-windows", "-a", "-F", "#{session_name} #{window_name}"],
        env=harnex.env,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


def captured(harnex: Harnex, pane: str) -> str:
    done = subprocess.run(
        ["tmux", "capture-pane", "-p", "-t", pane], env=harnex.env, capture_output=True, text=True, check=False
    )
    return done.stdout


@pytest.mark.parametrize("TERM", ["xterm-256color", "dumb", None])
def test_tmux_from_a_plain_shell(harnex: Harnex, TERM: str | None) -> None:
    env = {k: v for k, v in harnex.env.items() if k != "TERM"} | ({"TERM": TERM} if TERM else {})
    first = harnex.json(
        "run", "bash", "--tmux", "my window", "--id", "one", "--", "--norc", "-c", "echo 'in one'; read x", env=env
    )
    second = harnex.json("run", "bash", "--tmux", "--id", "two", "--", "--norc", "-c", "echo 'in two'; read x", env=env)
    third = harnex.json("run", "--tmux", "demo", "--id", "three", env=env)
    fourth = harnex.json("run", "--tmux=nämé; touch pwned", "cat", "--id", "four", env=env)
    assert (first["mode"], first["ok"], third["cli"], fourth["cli"]) == ("tmux", True, "demo", "cat")
    assert windows(harnex) == ["harnex my window", "harnex two", "harnex three", "harnex nämé; touch pwned"]
    places = {r["id"]: r["tmux"] for r in harnex.json("status", "--json")}
    assert places == {r["id"]: r["tmux"] for r in (first, second, third, fourth)}
    assert len(set(places.values())) == 4
    harnex.until(lambda: "in one" in captured(harnex, first["tmux"]), what="the first is shown")
    harnex.until(lambda: "in two" in captured(harnex, second["tmux"]), what="the second is shown")
    assert not list(harnex.base.rglob("pwned"))
    # Closing a window ends nothing; the end of an agent closes its window.
    subprocess.run(["tmux", "kill-window", "-t", first["tmux"]], env=harnex.env, check=True)
    assert {r["id"] for r in harnex.json("status", "--json")} == {"one", "two", "three", "four"}
    harnex.ok("stop", "--id", "two")
    harnex.until(lambda: windows(harnex) == ["harnex three", "harnex nämé; touch pwned"], what="its window closes")


def test_tmux_from_inside_of_tmux(harnex: Harnex) -> None:
    out = harnex.base / "out.json"
    inner = harnex.base / "inner.sh"
    inner.write_text(f"'{HARNEX}' run cat --tmux inner --id inside > '{out}' 2>&1; touch '{out}.done'; exec sleep 60")
    command = ["tmux", "new-session", "-d", "-s", "mine", "-x", "100", "-y", "30", f"bash '{inner}'"]
    subprocess.run(command, env=harnex.env, cwd=harnex.work, check=True)
    harnex.until(Path(f"{out}.done").exists, what="run has returned")
    reply = json.loads(out.read_text())
    assert reply["tmux"].startswith("mine:")
    assert "mine inner" in windows(harnex)
    assert harnex.json("status", "--json")[0]["tmux"] == reply["tmux"]


def test_without_tmux(harnex: Harnex) -> None:
    # Nothing is started that nobody could see.
    env = {**harnex.env, "PATH": os.path.dirname(HARNEX)}
    done = harnex.run("run", "demo", "--tmux", "--id", "never", env=env)
    reply = json.loads(done.stdout)
    assert (done.returncode, "--detach" in reply["hint"]) == (1, True)
    broken = harnex.base / "bin"
    broken.mkdir()
    (broken / "tmux").write_text("#!/bin/sh\necho 'no server today' >&2; exit 1\n")
    (broken / "tmux").chmod(0o755)
    done = harnex.run(
        "run", "cat", "--tmux", "--id", "never", env={**harnex.env, "PATH": f"{broken}:{harnex.env['PATH']}"}
    )
    assert (done.returncode, "no server today" in json.loads(done.stdout)["error"]) == (1, True)
    assert harnex.json("status", "--json") == []


# ---- looking on ----


def test_pane_in_its_forms(harnex: Harnex) -> None:
    script = r"printf '\033]0;the title\007\033[31mred\033[0m 日本\n\033[?25l'; read x; sleep 0.8"
    sh(harnex, "look", script, "--size", "60x10")
    harnex.until(lambda: "red" in harnex.ok("pane", "--id", "look"), what="it is painted")
    pane = harnex.json("pane", "--id", "look", "--json")
    assert pane["lines"][0] == "red 日本"
    wanted = {"id": "look", "columns": 60, "rows": 10, "title": "the title", "cursor_hidden": True, "cursor": [1, 0]}
    assert {k: pane[k] for k in wanted} == wanted
    assert "\x1b[0;31mred" in harnex.ok("pane", "--id", "look", "--ansi")
    assert harnex.ok("pane", "--id", "look", "--svg", "-").startswith("<svg")
    for target in (harnex.work, harnex.base / "no" / "where.svg"):
        assert harnex.run("pane", "--id", "look", "--svg", str(target)).returncode == 2
    followers = {
        words: harnex.start("pane", "--id", "look", "--follow", *words) for words in ((), ("--json",), ("--ansi",))
    }
    for follower in followers.values():
        assert follower.stdout is not None
        assert "red" in follower.stdout.readline()
    harnex.ok("send", "--id", "look", "--message", "shown later")
    for follower in followers.values():
        out, err = follower.communicate(timeout=15)
        assert (follower.returncode, err) == (0, "")
        assert "shown later" in out
    # Of the finished session: from its recording.
    after = harnex.json("pane", "--id", "look", "--json")
    assert (after["state"], after["lines"][0], after["columns"]) == ("exited", "red 日本", 60)


def test_logs_follow_to_the_end(harnex: Harnex) -> None:
    sh(harnex, "tail", "for n in $(seq 200); do echo line $n; done; read x; echo bye; sleep 0.8")
    follower = harnex.start("logs", "--id", "tail", "--follow")
    caster = harnex.start("logs", "--id", "tail", "--follow", "--cast")
    assert follower.stdout is not None
    out = ""
    while "line 100\n" not in out:
        line = follower.stdout.readline()
        assert line, "it ended before the session"
        out += line
    harnex.ok("send", "--id", "tail", "--submit-only")
    out += follower.stdout.read()
    assert (follower.wait(15), follower.stderr and follower.stderr.read()) == (0, "")
    assert [line for line in out.splitlines() if line] == [*[f"line {n}" for n in range(1, 201)], "bye"]
    cast, _ = caster.communicate(timeout=15)
    assert caster.returncode == 0
    assert cast == harnex.ok("logs", "--id", "tail", "--cast")
    assert harnex.ok("logs", "--id", "tail", "--lines", "1").strip() == "bye"
    assert harnex.ok("logs", "--id", "tail", "--lines", "0") == ""


def test_a_silent_program_gets_what_is_sent(harnex: Harnex) -> None:
    harnex.ok("run", "cat", "--detach", "--id", "mute")
    sent = harnex.json("send", "--id", "mute", "--message", "is anybody there?", "--timeout", "10")
    assert sent["status"] in ("typed", "accepted")
    harnex.until(lambda: harnex.ok("pane", "--id", "mute").count("is anybody there?") == 2, what="echo and answer")


def test_ctrl_c_while_it_starts(harnex: Harnex) -> None:
    """An interrupted `run`: exit code 130, no traceback, and no session that nobody knows of."""
    process = harnex.start("run", "cat", "--detach", "--id", "early")
    harnex.until(lambda: list(harnex.state.glob("sessions/*--early.json")) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)
    assert process.returncode in (0, 130)
    assert "Traceback" not in err
    if process.returncode == 130:
        assert out == ""

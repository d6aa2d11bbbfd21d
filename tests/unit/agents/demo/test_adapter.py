"""The bundled scripted agent, in a real terminal, and what its adapter reads: held against the agent's own log."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.common.message_text import bracketed
from harnex.agents.contract import LaunchRequest
from harnex.agents.demo.adapter import ADAPTER, PLACEHOLDER, DemoReader
from harnex.model.facts import (
    AgentSession,
    Fact,
    ModelCall,
    Observation,
    Remark,
    Retracted,
    ScreenView,
    State,
    Submitted,
    ToolUse,
    TurnEnded,
)
from harnex.rehearsal.endpoint.billing import BillingLog
from harnex.rehearsal.endpoint.script import parse
from harnex.rehearsal.endpoint.server import Rehearsal
from harnex.rehearsal.tui import screen
from harnex.terminal.screen import make_screen

pytestmark = pytest.mark.timeout(30)
OSC = re.compile(rb"\x1b\](\d+);([^\x07\x1b]*)(?:\x07|\x1b\\)")


class Driver:
    """The agent in a PTY, its screen, and its adapter's reader."""

    def __init__(
        self, tmp: Path, script: Any, *args: str, env: dict[str, str] | None = None, size: tuple[int, int] = (30, 100)
    ) -> None:
        self.log_path, self.events_path = tmp / "truth.jsonl", tmp / "evidence" / "agent.jsonl"
        self.events_path.parent.mkdir(exist_ok=True)
        own: tuple[str, ...] = ("--log", str(self.log_path))
        if script is not None:
            (tmp / "script.json").write_text(json.dumps(script))
            own += ("--script", str(tmp / "script.json"))
        request = LaunchRequest(
            command=sys.executable,
            args=(*own, *args),
            version=None,
            cwd=str(tmp),
            env={},
            permissions="ask",
            trust=False,
            evidence_dir=str(self.events_path.parent),
            new_session_id="",
            as_root=False,
            read_text=lambda _: None,
        )
        launch = ADAPTER.launch(request)
        added = {k: v for k, v in launch.env.items() if v is not None}
        child_env = {**os.environ, **added, **(env or {})}
        self.reader = ADAPTER.reader(None)
        self.follows = list(self.reader.spawned(1, child_env, str(tmp)))
        self.screen = make_screen(size[1], size[0])
        self.raw = b""
        self.told: dict[str, Fact] = {}
        self.oscs = 0
        self.child = pexpect.spawn(
            launch.argv[0],
            list(launch.argv[1:]),
            cwd=str(tmp),
            env=child_env,
            dimensions=size,
            timeout=10,  # type: ignore[arg-type]
        )
        self.child.delaybeforesend = None  # type: ignore[assignment]

    def read(self) -> bool:
        """Take what there is; False: the agent has gone."""
        try:
            data = self.child.read_nonblocking(65536, 0.02)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self.screen.feed(data)
        found = list(OSC.finditer(self.raw))
        for match in found[self.oscs :]:
            for fact in self.reader.osc(int(match[1]), match[2].decode()):
                self.told[getattr(fact, "source", "")] = fact
        self.oscs = len(found)
        return True

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        deadline = time.monotonic() + 10
        while True:
            alive = self.read()
            if value := condition():
                return value
            if not alive or time.monotonic() > deadline:
                shown = "\n".join(self.view().lines)
                raise AssertionError(f"never: {what or condition}\n{shown}\n{self.truth()}")

    def view(self) -> ScreenView:
        return self.screen.view()

    def seen(self) -> Observation:
        (fact,) = self.reader.screen(self.view())
        assert isinstance(fact, Observation)
        return fact

    def until_seen(self, state: State, dialog: str = "") -> Observation:
        return self.until(lambda: (o := self.seen()).state is state and o.dialog == dialog and o, f"{state} {dialog}")  # type: ignore[no-any-return]

    def until_outcome(self, outcome: str, reason: str = "") -> TurnEnded:
        """The screen shows this end of the turn (the agent's records come before it is painted)."""
        assert isinstance(self.reader, DemoReader)
        look = self.reader.outcome
        wanted = (outcome, reason)
        return self.until(lambda: (e := look(self.view())) and (e.outcome, e.reason) == wanted and e, f"{wanted}")  # type: ignore[no-any-return]

    def rows(self, path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def truth(self, event: str = "") -> list[dict[str, Any]]:
        return [r for r in self.rows(self.log_path) if event in ("", r["event"])]

    def state(self) -> str:
        return next((r["state"] for r in reversed(self.truth("state"))), "")

    def facts(self) -> list[Fact]:
        reader = DemoReader()
        return [f for row in self.rows(self.events_path) for f in reader.row("events", row)]

    def send(self, data: bytes) -> None:
        self.child.send(data)

    def say(self, text: str) -> None:
        """As harnex does it: clear, paste, see the echo, Enter."""
        typing = ADAPTER.typing(text, None)
        self.send(typing.clear + typing.paste)
        self.until(lambda: self.reader.draft(self.view()), "the echo")
        self.send(typing.submit)

    def exit_code(self) -> int:
        deadline = time.monotonic() + 10
        while self.read() and time.monotonic() < deadline:
            pass
        self.child.wait()
        return self.child.exitstatus if self.child.exitstatus is not None else -int(self.child.signalstatus or 0)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    running: list[Driver] = []

    def start(script: Any, *args: str, **more: Any) -> Driver:
        running.append(Driver(tmp_path, script, *args, **more))
        return running[-1]

    yield start
    for driver in running:
        driver.child.close(force=True)


def test_a_turn_from_the_prompt_to_the_prompt(agent: Callable[..., Driver], tmp_path: Path) -> None:
    a = agent(
        {
            "calls": [
                {"think": "hm", "text": "Looking.", "tools": [{"bash": "echo 'it ran' > out.txt; cat out.txt"}]},
                "It is so.",
            ]
        }
    )
    assert a.until_seen(State.PROMPT)
    assert a.reader.draft(a.view()) == ""
    a.say("please look")
    a.until(lambda: a.truth("turn_end"), "the end of the turn")
    a.until_seen(State.PROMPT)
    assert (tmp_path / "out.txt").read_text() == "it ran\n"
    assert [r["text"] for r in a.truth("accepted")] == ["please look"]
    assert [r["state"] for r in a.truth("state")] == ["starting", "prompt", "busy", "prompt"]
    facts = a.facts()
    assert facts[:2] == [AgentSession(f"demo-{a.child.pid}"), Observation("events", State.PROMPT, "it says: ready")]
    assert [f.text for f in facts if isinstance(f, Submitted)] == ["please look"]
    calls = [f for f in facts if isinstance(f, ModelCall)]
    assert [(c.agent, c.partial, c.stop_reason) for c in calls] == [
        ("main", False, "tool_use"),
        ("main", False, "end_turn"),
    ]
    assert [(t.tool, t.status) for t in facts if isinstance(t, ToolUse)] == [("Bash", "started"), ("Bash", "completed")]
    (end,) = [f for f in facts if isinstance(f, TurnEnded)]
    assert (end.outcome, end.last_message) == ("completed", "It is so.")
    assert not [f for f in facts if isinstance(f, Remark)]
    assert a.until_outcome("completed").last_message == "It is so."
    a.until(lambda: getattr(a.told.get("title"), "state", None) is State.PROMPT, "the title at rest")
    told = a.told["osc7501"]
    assert isinstance(told, Observation)
    assert (told.state, told.reason) == (State.PROMPT, "the program says: done")


def test_every_source_says_busy_while_it_works(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": [{"text": "slow words here", "pause": 30}]})
    a.until_seen(State.PROMPT)
    a.say("go")
    a.until_seen(State.BUSY)
    a.until(lambda: {getattr(f, "state", None) for f in a.told.values()} == {State.BUSY}, "title and OSC 7501 busy")
    assert a.reader.draft(a.view()) == ""
    a.send(b"half a thought")
    a.until(lambda: a.reader.draft(a.view()) == "half a thought", "typing while it works")
    assert a.seen().state is State.BUSY
    a.send(ADAPTER.typing("", None).clear + ADAPTER.interrupt(a.view(), None))
    a.until(lambda: a.truth("turn_end"), "the end")
    a.until_seen(State.PROMPT)
    assert a.truth("turn_end")[0]["outcome"] == "interrupted"
    a.until_outcome("interrupted")
    (call,) = [f for f in a.facts() if isinstance(f, ModelCall)]
    assert (call.partial, call.output_tokens, call.input_tokens) == (True, None, 1118)


@pytest.mark.parametrize("status", ["no-stream", "never"])
def test_it_can_work_without_a_status_line(agent: Callable[..., Driver], status: str) -> None:
    a = agent({"calls": [{"text": "some words and more", "pause": 30}]}, "--status", status)
    a.until_seen(State.PROMPT)
    a.say("go")
    a.until(lambda: "● some" in "\n".join(a.view().lines), "the first word")
    assert a.state() == "busy"
    assert a.seen().state is State.PROMPT  # as the real ones: the screen alone is wrong here
    assert getattr(a.told["title"], "state", None) is State.BUSY


def test_pastes_and_enters(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": []})
    a.until_seen(State.PROMPT)
    a.send(b"raw text with its enter\r")
    a.until(lambda: a.reader.draft(a.view()) == "raw text with its enter", "raw text stays in the box")
    assert a.truth("accepted") == []
    a.send(b"\x15")
    a.until(lambda: a.reader.draft(a.view()) == "", "cleared")
    a.send(b"\x1b[200~one\rtwo\x1b[201~\r")
    a.until(lambda: len(a.truth("accepted")) == 1, "a paste and its Enter in one write")
    big = "\n".join(f"line {n} 漢字" for n in range(2000))
    a.until_seen(State.PROMPT)
    a.send(bracketed(big))
    a.until(lambda: a.reader.draft(a.view()) == "[Pasted text #1 +1999 lines]", "folded")
    a.send(b"\r")
    a.until(lambda: len(a.truth("accepted")) == 2, "the big one")
    assert [r["text"] for r in a.truth("accepted")] == ["one\ntwo", big]
    a.until_seen(State.PROMPT)
    a.send(b"\x1b[200~two\nlines\x1b[201~")
    a.until(lambda: a.reader.draft(a.view()) == "two\nlines", "a small paste of two lines")


def test_messages_are_queued_while_it_works(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": [{"tools": [{"bash": "sleep 0.5"}]}, "first done", "second done"]})
    a.until_seen(State.PROMPT)
    a.say("first")
    a.until_seen(State.BUSY)
    a.say("second")
    a.until(lambda: len(a.truth("turn_end")) == 2, "both turns")
    assert [(r["text"], r["queued"]) for r in a.truth("accepted")] == [("first", False), ("second", True)]
    ends = [f for f in a.facts() if isinstance(f, TurnEnded)]
    assert [(e.last_message, e.turn_key) for e in ends] == [("first done", "turn-1"), ("second done", "turn-2")]
    assert [r["state"] for r in a.truth("state")] == ["starting", "prompt", "busy", "prompt"]


def test_the_trust_dialog(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": []}, "--trust")
    seen = a.until_seen(State.BLOCKED, "trust")
    assert seen.options == ("Yes, I trust this folder", "No, exit")
    assert a.reader.draft(a.view()) is None
    assert a.view().cursor_hidden
    told = a.told["osc7501"]
    assert isinstance(told, Observation)
    assert told.state is State.BLOCKED
    a.send(b"text and enter\r")  # answers it, as in the real ones: never type into a dialog
    a.until_seen(State.PROMPT)
    assert a.truth("answered")[0]["answer"] == 0
    assert a.truth("accepted") == []


@pytest.mark.parametrize(("keys", "code"), [(b"2", 1), (b"\x1b", 1), (b"\x1b[B\r", 1)])
def test_refusing_trust_ends_it(agent: Callable[..., Driver], keys: bytes, code: int) -> None:
    a = agent({"calls": []}, "--trust")
    a.until_seen(State.BLOCKED, "trust")
    a.send(keys)
    assert a.exit_code() == code


@pytest.mark.parametrize(
    ("keys", "ran", "outcome"),
    [
        (b"1", True, "completed"),
        (b"\r", True, "completed"),
        (b"3", False, "interrupted"),
        (b"\x1b", False, "interrupted"),
    ],
)
def test_the_permission_dialog(
    agent: Callable[..., Driver], tmp_path: Path, keys: bytes, ran: bool, outcome: str
) -> None:
    a = agent({"calls": [{"tools": [{"bash": "touch ran"}]}, "ok"]}, "--permission")
    a.until_seen(State.PROMPT)
    a.say("go")
    seen = a.until_seen(State.BLOCKED, "permission")
    assert len(seen.options) == 3
    a.until(lambda: getattr(a.told.get("osc7501"), "dialog", "") == "permission", "OSC 7501 blocked")
    assert not (tmp_path / "ran").exists()
    a.send(keys)
    a.until(lambda: a.truth("turn_end"), "the end")
    assert a.truth("turn_end")[0]["outcome"] == outcome
    assert (tmp_path / "ran").exists() is ran
    a.until_seen(State.PROMPT)


def test_the_question_dialog(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": [{"tools": [{"ask": {"question": "Which one?", "options": ["A", "B"]}}]}, "ok"]})
    a.until_seen(State.PROMPT)
    a.say("go")
    assert a.until_seen(State.BLOCKED, "question").options == ("A", "B")
    a.send(b"2")
    a.until(lambda: a.truth("turn_end"), "the end")
    assert a.truth("answered")[0]["answer"] == 1


@pytest.mark.parametrize(
    ("step", "reason", "words"),
    [
        ({"error": 401}, "auth", "API Error: 401"),
        ({"error": "credit"}, "credit", "credit balance"),
        ({"error": "context"}, "context", "prompt is too long"),
        ({"error": 529, "times": 9, "retry_after": 0}, "overloaded", "529"),
        ({"error": 429, "times": 9, "retry_after": 0}, "rate_limit", "429"),
        ({"usage_limit": {"resets_at": 2000000000}}, "usage_limit", "hit your limit"),
        ({"drop": "some words"}, "network", "Connection lost"),
    ],
)
def test_errors_end_the_turn_and_the_prompt_returns(
    agent: Callable[..., Driver], step: dict[str, Any], reason: str, words: str
) -> None:
    a = agent({"calls": [step]})
    a.until_seen(State.PROMPT)
    a.say("go")
    a.until(lambda: a.truth("turn_end"), "the end")
    a.until_seen(State.PROMPT)
    (end,) = [f for f in a.facts() if isinstance(f, TurnEnded)]
    assert (end.outcome, end.reason) == ("failed", reason)
    assert words in end.detail
    if reason == "usage_limit":
        assert end.retry_at == "2033-05-18T03:33:20Z"
    a.until_outcome("failed", reason)
    a.until(lambda: getattr(a.told.get("osc7501"), "reason", "") == "the program says: error", "OSC 7501 error")


def test_retries_are_waited_for_and_counted(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": [{"error": 529, "times": 2, "retry_after": 0.1}, "ok"]})
    a.until_seen(State.PROMPT)
    a.say("go")
    a.until(lambda: a.truth("turn_end"), "the end")
    (call,) = [f for f in a.facts() if isinstance(f, ModelCall)]
    assert call.attempts == 3


def test_the_endpoint_s_bill_is_what_the_events_say(agent: Callable[..., Driver], tmp_path: Path) -> None:
    bill = tmp_path / "bill.jsonl"
    steps = [
        {"text": "Look.", "tools": [{"bash": "true"}, {"agent": {"prompt": "ALPHA go"}}]},
        {"error": 529, "retry_after": 0},
        {"text": "Done now."},
    ]
    with Rehearsal(
        parse({"calls": steps, "agents": {"ALPHA": [{"tools": [{"bash": "true"}]}, "sub done"]}}), BillingLog(str(bill))
    ) as server:
        found = ADAPTER.rehearsal(server.base_url, "", "", None)
        assert found is not None
        a = agent(None, env={k: v for k, v in found.env.items() if v})
        a.until_seen(State.PROMPT)
        a.say("do the work")
        a.until(lambda: a.truth("turn_end"), "the end")
    rows = [json.loads(line) for line in bill.read_text().splitlines()]
    billed = {r["id"]: r for r in rows if r["event"] == "call" and r["usage"]}
    calls = {f.call_id: f for f in a.facts() if isinstance(f, ModelCall)}
    assert [r["kind"] for r in billed.values()] == ["main", "agent:ALPHA", "agent:ALPHA", "main"]
    assert calls.keys() == billed.keys()
    for key, row in billed.items():
        for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"):
            assert getattr(calls[key], name) == row[name]
    (prompt,) = {r["prompt_head"] for r in rows if r["event"] == "request" and r["kind"] == "main"}
    assert prompt == "do the work"


def test_it_asks_the_terminal_and_logs_the_answers(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": []})
    a.until_seen(State.PROMPT)
    for query in (b"\x1b[6n", b"\x1b[c", b"\x1b[?u", b"\x1b[>0q", b"\x1b]10;?", b"\x1b]11;?", b"\x1b]7501;?"):
        assert query in a.raw
    answers = [
        "\x1b[?0u",
        "\x1bP>|harnex\x1b\\",
        "\x1b]10;rgb:ff/ff/ff\x1b\\",
        "\x1b]7501;?\x1b\\",
        "\x1b[1;1R",
        "\x1b[?62;22c",
    ]
    a.send("".join(answers).encode())
    a.until(lambda: [r["reply"] for r in a.truth("reply")] == answers, "all answers, in order")
    assert a.reader.draft(a.view()) == ""


@pytest.mark.parametrize(
    ("keys", "args", "code"),
    [
        ((b"/exit", b"\r"), (), 0),
        ((b"/quit", b"\r"), ("--exit-code", "7"), 7),
        ((b"\x03",), (), 0),
        ((b"\x04",), (), 0),
    ],
)
def test_ways_out(agent: Callable[..., Driver], keys: tuple[bytes, ...], args: tuple[str, ...], code: int) -> None:
    a = agent({"calls": []}, *args)
    a.until_seen(State.PROMPT)
    for key in keys:
        a.send(key)
        if key.startswith(b"/"):
            a.until(lambda: a.reader.draft(a.view()), "the echo")
    assert a.exit_code() == code
    assert a.truth()[-1]["state"] == "exited"
    assert a.facts()[-1] == Retracted("events")
    assert a.raw.rstrip().endswith(b"\x1b[?25h")


def test_a_command_that_harnex_is_asked_to_say_is_text(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": []})
    a.until_seen(State.PROMPT)
    a.say("/exit")
    a.until(lambda: a.truth("accepted"), "taken as text")
    assert a.truth("accepted")[0]["text"].strip() == "/exit"


@pytest.mark.parametrize(("number", "args", "code"), [(signal.SIGTERM, (), 143), (signal.SIGHUP, (), 129)])
def test_signals_end_it(agent: Callable[..., Driver], number: int, args: tuple[str, ...], code: int) -> None:
    a = agent({"calls": [{"tools": [{"bash": "sleep 77"}]}]}, *args)
    a.until_seen(State.PROMPT)
    a.say("go")
    a.until(lambda: [f for f in a.facts() if isinstance(f, ToolUse)], "the tool")
    os.kill(a.child.pid, number)
    assert a.exit_code() == code


def test_what_it_can_be_told_to_ignore(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": []}, "--ignore-term", "--ignore-exit")
    a.until_seen(State.PROMPT)
    os.kill(a.child.pid, signal.SIGTERM)
    a.send(b"\x04")
    a.until(lambda: "no way out" in "\n".join(a.view().lines), "it stays")
    assert a.child.isalive()


def test_a_crash_leaves_everything_as_it_is(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": []}, "--crash-after", "0.5")
    a.until_seen(State.PROMPT)
    assert a.exit_code() == 70
    assert b"Traceback" in a.raw
    assert a.state() == "prompt"


def test_orphans_outlive_it_and_ordinary_tools_do_not(agent: Callable[..., Driver], tmp_path: Path) -> None:
    for name, args in (("kept", ("--orphan",)), ("ended", ())):
        a = agent({"calls": [{"tools": [{"bash": f"echo $$ > {name}; exec sleep 60"}]}]}, *args)
        a.until_seen(State.PROMPT)
        a.say("go")
        pid = int(a.until(lambda name=name: (tmp_path / name).exists() and (tmp_path / name).read_text()))  # type: ignore[misc]
        a.send(b"\x03")
        a.until_seen(State.PROMPT)
        os.kill(a.child.pid, signal.SIGTERM)
        a.exit_code()
        alive = Path(f"/proc/{pid}/cmdline").exists() and b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
        if alive:
            assert os.getsid(pid) == pid
            os.kill(pid, signal.SIGKILL)
        assert alive is (name == "kept")
        (tmp_path / "truth.jsonl").unlink()


def test_a_deaf_one_shows_a_prompt_and_takes_nothing(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": []}, "--deaf")
    a.until_seen(State.PROMPT)
    a.send(b"hello")
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        a.read()
    assert a.reader.draft(a.view()) == ""


def test_a_flood_comes_through(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": ["after the flood"]}, "--flood", "300000", "--signals", "none")
    a.until_seen(State.PROMPT)
    a.say("go")
    a.until(lambda: a.truth("turn_end"), "the end")
    a.until_seen(State.PROMPT)
    assert len(a.raw) > 300_000
    assert a.told == {}
    assert not a.events_path.exists()


@pytest.mark.parametrize("alt", [(), ("--alt",)])
def test_resizing_keeps_the_screen_readable(agent: Callable[..., Driver], alt: tuple[str, ...]) -> None:
    a = agent({"calls": ["a rather long answer with 漢字 in it " * 8]}, *alt)
    a.until_seen(State.PROMPT)
    assert a.view().alternate is bool(alt)
    a.say("go")
    a.until(lambda: a.truth("turn_end"), "the end")
    a.child.setwinsize(20, 60)
    a.screen.resize(60, 20)
    a.until(
        lambda: (box := [line for line in a.view().lines if line.startswith("──")]) and len(box[-1]) == 59, "redrawn"
    )
    assert a.until_seen(State.PROMPT)
    assert a.reader.draft(a.view()) == ""
    assert sum(line.startswith("› ") for line in a.view().lines) == 1


def test_start_delay_and_starting(agent: Callable[..., Driver]) -> None:
    a = agent({"calls": []}, "--start-delay", "0.4")
    a.until(lambda: a.truth("state"), "it runs")
    assert a.seen().state is State.STARTING
    a.until_seen(State.PROMPT)
    states = {r["state"]: r["t"] for r in a.truth("state")}
    assert states["prompt"] - states["starting"] >= 0.35


# ---- pure parts ----


def test_the_adapter_and_the_agent_agree_on_the_placeholder() -> None:
    assert PLACEHOLDER == screen.PLACEHOLDER


def request(*args: str, **more: Any) -> LaunchRequest:
    fields: dict[str, Any] = {"permissions": "ask", "trust": False, "evidence_dir": "/e", **more}
    return LaunchRequest(
        command="/py",
        args=args,
        version=None,
        cwd="/",
        env={},
        new_session_id="",
        as_root=False,
        read_text=lambda _: None,
        **fields,
    )


def test_launch_adds_no_permission_it_was_not_given() -> None:
    launch = ADAPTER.launch(request("--permission", "--trust"))
    assert launch.argv[0] == "/py"
    assert launch.argv[-4:] == ("--evidence", "/e/agent.jsonl", "--permission", "--trust")
    assert launch.env == {"HARNEX_DEMO_EVIDENCE": "/e/agent.jsonl"}
    assert (
        ADAPTER.launch(request("--permission", "--trust", permissions="bypass", trust=True)).argv[-1]
        == "/e/agent.jsonl"
    )


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(0, 30))
def test_any_screen_is_read_without_an_error(lines: list[str], row: int) -> None:
    reader = DemoReader()
    view = ScreenView(tuple(lines), (row, 0))
    (fact,) = reader.screen(view)
    assert isinstance(fact, Observation)
    reader.draft(view)
    reader.outcome(view)


@given(
    st.dictionaries(
        st.sampled_from(["event", "turn", "outcome", "options", "status", "retry_at", "dialog"]),
        st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
    )
)
def test_any_row_is_read_without_an_error(row: dict[str, Any]) -> None:
    list(DemoReader().row("events", row))

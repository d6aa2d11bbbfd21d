"""The pure half of Paseo's adapter: what a call is, what an answer means, what the sources say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harnex.adapters import adapter_for
from harnex.adapters._base import LaunchRequest
from harnex.adapters._paseo_cli import Cli, read
from harnex.core.activity import Activity
from harnex.core.inbox import Gate, Hand, Inbox, Message, Progress
from harnex.errors import UsageError
from harnex.model import CommandResult, Fact, Observation, Retracted, State, Submitted, TurnEnded

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "paseo" / "calls.jsonl").read_text().splitlines()]
ADAPTER = adapter_for("paseo")


def launch(*args: str, evidence: str = "/s/runs/r/evidence", **options: str) -> Any:
    request = LaunchRequest(
        command="/bin/paseo", args=args, version=None, cwd="/w", env={"HOME": "/h"}, permissions="ask", trust=False,
        evidence_dir=evidence, new_session_id="", as_root=False, read_text=lambda path: None,
        run_id="20261121T055312123-9f8e7d6c", title="fix", options={k.replace("_", "-"): v for k, v in options.items()},
        socket="/s/sock/r.d",
    )  # fmt: skip
    return ADAPTER.launch(request)


@pytest.mark.parametrize(
    "row", [r for r in ROWS if "--json" in r["argv"] and r["exit_code"] == 1], ids=lambda r: r["name"]
)
def test_every_recorded_error_is_read(row: dict[str, Any]) -> None:
    """Its own words reach a person, and only a daemon that is not there counts as lost."""
    reply = read(CommandResult("x", 1, row["stdout"], row["stderr"]))
    assert not reply.ok
    assert reply.words in row["stderr"].replace('\\"', '"') or json.dumps(reply.words)[1:-1] in row["stderr"]
    down = "DAEMON_NOT_RUNNING" in row["stderr"] or "Transport closed" in row["stderr"]
    assert reply.lost == down


def test_no_answer_is_lost_and_no_program_is_not() -> None:
    assert read(CommandResult("x", None, problem="no answer within 20 s")).lost
    assert not read(CommandResult("x", None, problem="can't run paseo: No such file")).lost


def test_a_password_in_the_host_is_in_no_argv() -> None:
    """It goes by PASEO_HOST, which only the owner can read."""
    secret = "tcp://h:1?password=hunter2"
    assert all("hunter2" not in word for word in Cli("paseo", secret).inspect("id").argv)
    found = launch(provider="claude/m", paseo_host=secret)
    assert all("hunter2" not in word for word in found.argv)
    assert found.env["PASEO_HOST"] == secret


def test_the_private_daemon_is_closed_to_others() -> None:
    found = launch(provider="claude/m")
    config = json.loads(found.files["/s/runs/r/paseo/config.json"])
    assert config["daemon"]["listen"] == "unix:///s/sock/r.d"
    assert config["daemon"]["relay"] == {"enabled": False}
    assert config["features"] == {"dictation": {"enabled": False}, "voiceMode": {"enabled": False}}
    assert found.env["PASEO_LISTEN"] is None


def test_the_persons_own_mode_and_title_stand() -> None:
    plan = json.loads(str(launch("--mode", "plan", "--title", "mine", provider="claude/m").env["HARNEX_PASEO"]))
    assert plan["run"] == ["--mode", "plan", "--title", "mine"]


@pytest.mark.parametrize(
    "options", [{}, {"provider": "claude/"}, {"adopt": "x"}, {"adopt": "x", "paseo_host": "h:1", "provider": "a/b"}]
)
def test_what_is_missing_is_an_error(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        launch(**options)


# ---- the reader, fed by hand ----


class Fed:
    """A reader with an agent whose opening is over, and the state that follows from what it says."""

    def __init__(self, provider: str = "claude/m") -> None:
        env = {k: v for k, v in launch(provider=provider).env.items() if v is not None}
        self.reader = ADAPTER.reader(None)
        self.activity = Activity(ADAPTER.sources, None, 0.0)
        self.now = 100.0
        self.facts: list[Fact] = []
        self.file = json.loads((Path(__file__).parents[1] / "paseo" / "statefile-idle.json").read_text())
        self.hear(self.reader.spawned(1, {**env, "HOME": "/h"}, "/w"))
        self.command("daemon-start", "")
        self.command("find", "[]")
        self.command("run", json.dumps({"agentId": "a-b-c-d-e", "status": "created"}))
        self.write("running", at="2026-11-20T22:53:00.000Z")
        self.row(type="user", message={"role": "user", "content": "opening"}, timestamp="2026-11-20T22:53:00.010Z")
        self.answer("ready", "2026-11-20T22:53:01.000Z")
        self.write("idle")

    def hear(self, facts: Any) -> list[Fact]:
        got = list(facts)
        self.now += 10.0
        for fact in got:
            if isinstance(fact, Observation | Retracted):
                self.activity.observe(fact, self.now)
                self.now += 0.001
        self.facts += got
        return got

    def command(self, name: str, out: str, code: int | None = 0, err: str = "", problem: str = "") -> list[Fact]:
        return self.hear(self.reader.command(CommandResult(name, code, out, err, problem)))

    def write(self, status: str, at: str | None = None, **more: Any) -> list[Fact]:
        self.file |= {"lastStatus": status, **more} | ({"lastUserMessageAt": at} if at else {})
        return self.hear(self.reader.document("state", dict(self.file)))

    def row(self, **row: Any) -> list[Fact]:
        return self.hear(self.reader.row("record", row))

    def answer(self, text: str, at: str) -> list[Fact]:
        message = {"id": at, "model": "m", "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 2}}
        return self.row(
            type="assistant", message={**message, "content": [{"type": "text", "text": text}]}, timestamp=at
        )

    def begin(self) -> None:
        self.write("running", at="2026-11-20T22:54:00.000Z")
        self.row(type="user", message={"role": "user", "content": "work"}, timestamp="2026-11-20T22:54:00.010Z")

    @property
    def state(self) -> State:
        return self.activity.decide(self.now + 10).state

    @property
    def ends(self) -> list[TurnEnded]:
        return [f for f in self.facts if isinstance(f, TurnEnded)]


def test_the_opening_is_no_turn() -> None:
    fed = Fed()
    assert fed.state is State.PROMPT
    assert not [f for f in fed.facts if isinstance(f, Submitted | TurnEnded)]


def test_idle_ends_nothing_before_the_record_says_how() -> None:
    """Trap: the file is idle before the record has the failure; naive: completed."""
    fed = Fed()
    fed.begin()
    fed.write("idle")
    assert (fed.state, fed.ends) == (State.BUSY, [])
    words = {"content": [{"type": "text", "text": "API Error: 529 overloaded"}], "model": "<synthetic>"}
    fed.row(type="assistant", isApiErrorMessage=True, apiErrorStatus=529, message=words)
    assert [(e.outcome, e.reason) for e in fed.ends] == [("failed", "overloaded")]
    assert fed.state is State.PROMPT


def test_idle_without_any_word_in_the_record_is_no_success() -> None:
    fed = Fed()
    fed.begin()
    fed.write("idle")
    fed.command("settle", "")
    assert [e.outcome for e in fed.ends] == ["failed"]


def test_the_word_on_the_turn_before_is_not_taken() -> None:
    """Trap: a new prompt is idle again before its rows are read; naive: the last answer in the record is its own."""
    fed = Fed()
    fed.write("running", at="2026-11-20T22:54:00.000Z")
    fed.write("idle")
    assert fed.ends == []
    fed.row(type="user", message={"role": "user", "content": "work"}, timestamp="2026-11-20T22:54:00.010Z")
    fed.answer("Second.", "2026-11-20T22:54:01.000Z")
    assert [(e.outcome, e.last_message) for e in fed.ends] == [("completed", "Second.")]


def test_attention_is_never_read() -> None:
    """Trap: attention fields lag or lie."""
    fed = Fed()
    fed.begin()
    fed.write("running", requiresAttention=True, attentionReason="finished")
    assert (fed.state, fed.ends) == (State.BUSY, [])


def test_a_daemon_that_does_not_answer_outvotes_the_file() -> None:
    fed = Fed()
    fed.begin()
    fed.command("inspect", "", None, problem="no answer within 20 s")
    assert fed.state is State.UNKNOWN
    fed.write("idle")
    assert (fed.state, fed.ends) == (State.UNKNOWN, [])
    fed.answer("Done.", "2026-11-20T22:54:01.000Z")
    fed.command("inspect", json.dumps({"Status": "idle", "PendingPermissions": []}))
    assert (fed.state, [e.outcome for e in fed.ends]) == (State.PROMPT, ["completed"])


def test_a_failed_send_that_was_delivered_is_delivered() -> None:
    """Trap: `SEND_FAILED … failed to start` of a message that arrived; naive: send it again."""
    fed = Fed()
    fed.hear(fed.reader.deliver("hello"))
    fed.write("running", at="2026-11-20T22:55:00.000Z")
    assert [f for f in fed.facts if isinstance(f, Submitted)] == [Submitted("statefile", "hello")]
    error = json.dumps({"error": {"code": "SEND_FAILED", "message": "Failed to send message: Agent x failed to start"}})
    assert not [f for f in fed.command("send", "", 1, error) if type(f).__name__ == "Undone"]


def test_a_handed_message_has_no_keys() -> None:
    """The inbox gives it away whole, and fails it without a proof."""
    inbox = Inbox(lambda text: ADAPTER.typing(text, None))
    gate = Gate(State.PROMPT, None, None, False, -1e9, False, False)
    inbox.put(Message("m", "text"))
    actions = inbox.step(gate, 0.0)
    assert [a for a in actions if not isinstance(a, Progress)] == [Hand("text")]
    assert inbox.step(gate, 89.0) == []
    assert inbox.step(gate, 91.0)[0].message.status == "failed"  # type: ignore[union-attr]
    inbox.put(Message("n", None))
    refused = inbox.step(gate, 92.0)
    assert isinstance(refused[0], Progress) and "no input box" in str(refused[0].message.error)

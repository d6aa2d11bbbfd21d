"""The pure half of Paseo's adapter: what a call is, what an answer means, what the sources say."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from harnex.agents.catalogue import adapter_for
from harnex.agents.contract import LaunchRequest
from harnex.agents.paseo.cli import Cli, read
from harnex.errors import UsageError
from harnex.machines.activity import Activity
from harnex.machines.inbox import Gate, Hand, Inbox, Message, Progress
from harnex.model.facts import (
    CommandResult,
    Fact,
    ModelCall,
    Observation,
    Over,
    Retracted,
    RunCommand,
    State,
    Submitted,
    TurnEnded,
    Undone,
)

ROWS = [json.loads(line) for line in (Path(__file__).parents[3] / "paseo" / "calls.jsonl").read_text().splitlines()]
ADAPTER = adapter_for("paseo")


def launch(*args: str, evidence: str = "/s/runs/r/evidence", **options: str) -> Any:
    request = LaunchRequest(
        command="/bin/paseo", args=args, version=None, cwd="/w", env={"HOME": "/h"}, permissions="ask", trust=False,
        evidence_dir=evidence, new_session_id="", as_root=False, read_text=lambda path: None,
        run_id="20261121T055312123-9f8e7d6c", title="fix", options={k.replace("_", "-"): v for k, v in options.items()},
        socket=lambda: "/s/sock/r.d",
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

    def __init__(self, provider: str = "claude/m", started: bool = True) -> None:
        env = {k: v for k, v in launch(provider=provider).env.items() if v is not None}
        self.reader = ADAPTER.reader(None)
        self.activity = Activity(ADAPTER.sources, None, 0.0)
        self.now = 100.0
        self.facts: list[Fact] = []
        self.file = json.loads((Path(__file__).parents[3] / "paseo" / "statefile-idle.json").read_text())
        self.hear(self.reader.spawned(1, {**env, "HOME": "/h"}, "/w"))
        if not started:
            return
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


def wanted(facts: list[Fact]) -> list[str]:
    return [f.name for f in facts if isinstance(f, RunCommand)]


REFUSED = json.dumps({"error": {"code": "DAEMON_NOT_RUNNING", "message": "Cannot connect to daemon at unix:///s: x"}})
CLOSED = json.dumps({"error": {"code": "AGENT_CREATE_FAILED", "message": "Failed: Transport closed (code 1006)"}})


def test_a_daemon_that_was_started_is_not_yet_one_that_answers() -> None:
    """Trap: `daemon start` exits 0 after 1.2 s, whatever became of it; naive: run at once, and fail."""
    fed = Fed(started=False)
    assert wanted(fed.command("daemon-start", "")) == ["find"]
    for _ in range(10):
        assert wanted(fed.command("find", "", 1, REFUSED)) == ["find"]
    assert wanted(fed.command("find", "[]")) == ["run"]


def test_an_agent_that_run_gave_no_word_of_is_found_by_its_label() -> None:
    """Trap: `run` says AGENT_CREATE_FAILED of an agent that it made; naive: a second one."""
    fed = Fed(started=False)
    fed.command("daemon-start", "")
    fed.command("find", "[]")
    assert wanted(fed.command("run", "", 1, CLOSED)) == ["find"]
    found = fed.command("find", json.dumps([{"id": "a-b-c-d-e", "status": "running"}]))
    assert "run" not in wanted(found) and "inspect" in wanted(found)


def test_the_file_is_idle_before_it_is_running() -> None:
    """Trap: the first write of a new agent is `idle`, 20 ms before `running`; naive: ready, or done."""
    fed = Fed(started=False)
    fed.command("daemon-start", "")
    fed.command("find", "[]")
    fed.command("run", json.dumps({"agentId": "a-b-c-d-e", "status": "created"}))
    fed.write("idle")
    assert fed.state is State.STARTING
    assert not [f for f in fed.facts if isinstance(f, Over | TurnEnded)]


def test_denied_with_an_interrupt_by_another_is_interrupted() -> None:
    """Trap: `permit deny --interrupt` ends as `error` with `[ede_diagnostic]`; naive: the provider failed."""
    fed = Fed()
    fed.begin()
    fed.write("error", lastError="[ede_diagnostic] result_type=user last_content_type=n/a stop_reason=tool_use")
    assert [e.outcome for e in fed.ends] == ["interrupted"]


def test_a_failure_that_a_restart_made_closed_of_is_a_failure() -> None:
    """Trap: after a restart a failed agent is `closed`, and whatever loads it wipes `lastError`; naive: interrupted, or
    with `wait`: idle."""
    fed = Fed()
    fed.begin()
    fed.write("closed", lastError="Claude Code process terminated by signal SIGKILL")
    fed.command("inspect", json.dumps({"Status": "closed", "PendingPermissions": []}))
    assert [(e.outcome, e.detail) for e in fed.ends] == [("failed", "Claude Code process terminated by signal SIGKILL")]


def test_an_interrupt_is_climbed_once_however_often_it_is_asked_for() -> None:
    """Trap: one `stop` leaves Claude running for ever, and Ctrl-C or a watch may ask again meanwhile."""
    fed = Fed()
    fed.begin()
    assert wanted(fed.hear(fed.reader.ask("interrupt") or ())) == ["stop"]
    assert wanted(fed.hear(fed.reader.ask("interrupt") or ())) == []
    assert wanted(fed.hear(fed.reader.osc(7719, "harnex=20261121T055312123-9f8e7d6c"))) == []
    assert wanted(fed.command("stop", '{"stoppedCount": 1}')) == ["settle"]
    assert wanted(fed.command("settle", "")) == ["stop"]
    fed.command("stop", '{"stoppedCount": 1}')
    fed.write("idle")
    fed.command("settle", "")
    assert ([e.outcome for e in fed.ends], fed.state) == (["interrupted"], State.PROMPT)


def test_a_stop_that_nobody_answers_is_given_up_in_words() -> None:
    """Trap: `stop` on a hung daemon, or after a restart, fails after 15 s, with exit code 0."""
    fed = Fed()
    fed.begin()
    fed.hear(fed.reader.ask("interrupt") or ())
    facts = fed.command("stop", "", 1, REFUSED)
    assert [f.what for f in facts if isinstance(f, Undone)] == ["stop"]
    assert (fed.state, fed.ends) == (State.UNKNOWN, [])
    for _ in range(3):
        fed.command("inspect", json.dumps({"Status": "running", "PendingPermissions": []}))
        fed.hear(fed.reader.ask("interrupt") or ())
        for _ in range(3):
            fed.command("stop", '{"stoppedCount": 0}')
            fed.command("settle", "")
        fed.command("archive", "{}")
        fed.command("settle", "")
    assert (fed.state, fed.ends) == (State.UNKNOWN, [])


def test_only_the_view_of_this_session_may_interrupt() -> None:
    """What an agent prints is shown, too."""
    fed = Fed()
    fed.begin()
    assert wanted(fed.hear(fed.reader.osc(7719, "harnex=another"))) == []
    assert wanted(fed.hear(fed.reader.osc(0, "harnex=20261121T055312123-9f8e7d6c"))) == []


def test_another_process_takes_the_same_agent_up() -> None:
    """After a crash under the watch; naive: a second agent, without the conversation."""
    fed = Fed(started=False)
    fed.reader = ADAPTER.reader(None)
    fed.reader.resumes, fed.reader.began = "a-b-c-d-e", 1763679180.0
    env = {k: v for k, v in launch(provider="claude/m").env.items() if v is not None}
    fed.hear(fed.reader.spawned(1, {**env, "HOME": "/h"}, "/w"))
    assert wanted(fed.command("daemon-start", "")) == ["adopt"]
    adopted = fed.command("adopt", json.dumps({"Id": "a-b-c-d-e", "Provider": "claude", "Status": "closed"}))
    assert "run" not in wanted(adopted)
    fed.hear(fed.reader.document("daemon", {"pid": 5, "startedAt": "2026-11-21T00:00:00.000Z"}))
    # What the killed daemon wrote last is neither a turn of this process nor true.
    fed.write("running", at="2026-11-20T22:54:00.000Z", updatedAt="2026-11-20T22:54:01.000Z")
    assert not [f for f in fed.facts if isinstance(f, Submitted | TurnEnded)]
    assert fed.state is State.UNKNOWN
    fed.write("idle", updatedAt="2026-11-21T00:00:05.000Z")
    assert fed.state is State.PROMPT


def test_a_handed_message_has_no_keys() -> None:
    """The inbox gives it away whole, and fails it without a proof."""
    inbox = Inbox(lambda text: ADAPTER.typing(text, None))
    gate = Gate(State.PROMPT, None, None, False, -1e9, False, False)
    inbox.put(Message("m", "text"))
    actions = inbox.step(gate, 0.0)
    assert [a for a in actions if not isinstance(a, Progress)] == [Hand("text")]
    assert inbox.step(gate, 99.0) == []
    assert inbox.step(gate, 101.0)[0].message.status == "failed"  # type: ignore[union-attr]
    inbox.put(Message("n", None))
    refused = inbox.step(gate, 102.0)
    assert isinstance(refused[0], Progress) and "no input box" in str(refused[0].message.error)


def test_a_run_whose_supervisor_died_is_read_again() -> None:
    """By the rows alone: the state file tells of a present that is over."""
    fed = Fed(started=False)
    fed.row(type="user", message={"role": "user", "content": "work"}, timestamp="2026-11-21T22:54:00.010Z")
    fed.answer("Done.", "2026-11-21T22:54:01.000Z")
    fed.hear(fed.reader.ended())
    assert [f.text for f in fed.facts if isinstance(f, Submitted)] == ["work"]
    assert [(e.outcome, e.last_message) for e in fed.ends] == [("completed", "Done.")]
    assert [f.call_id for f in fed.facts if isinstance(f, ModelCall)] == ["2026-11-21T22:54:01.000Z"]


@pytest.mark.parametrize("live", [True, False])
def test_a_limit_ends_by_the_clock_of_the_agent(live: bool) -> None:
    fed = Fed("codex/m", started=False)
    fed.reader.zone = timezone(timedelta(hours=5.5))  # 6:30 PM is 13:00 UTC
    if live:
        fed.command("daemon-start", "")
        fed.command("find", "[]")
        fed.command("run", json.dumps({"agentId": "a-b-c-d-e", "status": "created"}))
    spent = {"message": "You've hit your usage limit. Try again at 6:30 PM."}
    for minute, end in ((0, {"last_agent_message": "ready"}), (1, {"last_agent_message": None, "error": spent})):
        at = f"2026-11-21T09:0{minute}:00"
        if live:
            fed.write("running", at=f"{at}.000Z")
        for payload in (
            {"type": "task_started", "turn_id": at},
            {"type": "user_message", "message": "work"},
            {"type": "task_complete", "turn_id": at, **end},
        ):
            fed.row(type="event_msg", payload=payload, timestamp=f"{at}.010Z")
        if live:
            fed.write("idle")
    assert fed.ends[-1].retry_at == "2026-11-21T13:00:00.000Z"


def test_calls_from_before_an_adoption_are_not_this_runs() -> None:
    fed = Fed()
    fed.answer("old", "2025-11-20T22:00:00.000Z")
    fed.row(type="user", message={"role": "user", "content": "x"}, timestamp="2026-11-21T22:54:00.010Z")
    fed.answer("new", "2026-11-21T22:54:01.000Z")
    fed.hear(fed.reader.ended())
    calls = [f.call_id for f in fed.facts if isinstance(f, ModelCall)]
    assert calls[-1] == "2026-11-21T22:54:01.000Z" and "2025-11-20T22:00:00.000Z" not in calls


def test_without_files_the_end_is_asked_for_again_when_the_daemon_answers() -> None:
    """A turn whose end could not be looked at is neither done nor open for ever."""
    fed = Fed(started=False)
    env = {k: v for k, v in launch(provider="claude/m", paseo_host="far:1").env.items() if v is not None}
    fed.reader = ADAPTER.reader(None)
    fed.hear(fed.reader.spawned(1, {**env, "HOME": "/h"}, "/w"))
    fed.command("find", "[]")
    fed.command("run", json.dumps({"agentId": "a-b-c-d-e", "status": "created"}))
    used = {"InputTokens": 1, "OutputTokens": 2, "CachedTokens": 0, "CostUsd": 0.1}

    def look(status: str, tokens: object) -> list[Fact]:
        return fed.command("inspect", json.dumps({"Status": status, "PendingPermissions": [], "LastUsage": tokens}))

    look("running", None)
    assert "wait" in wanted(look("idle", used))
    fed.command("wait", json.dumps({"status": "idle", "message": "Agent is idle.\nLast 5 activity items:\nready"}))
    assert fed.state is State.PROMPT
    fed.hear(fed.reader.deliver("work"))
    fed.command("send", json.dumps({"status": "sent"}))
    assert "wait" in wanted(look("idle", {**used, "CostUsd": 0.2}))
    fed.command("wait", "", 1, REFUSED)
    assert (fed.state, fed.ends) == (State.UNKNOWN, [])
    assert "wait" in wanted(look("idle", {**used, "CostUsd": 0.2}))
    items = "[User] work\nWorking on it.\n[Shell] echo\nDone.\nReally."
    fed.command("wait", json.dumps({"status": "idle", "message": f"Agent is idle.\nLast 5 activity items:\n{items}"}))
    assert [(e.outcome, e.last_message) for e in fed.ends] == [("completed", "Done.\nReally.")]

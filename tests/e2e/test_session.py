"""A session from its start to its end, through the installed command, with the
scripted TUI as the agent."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time

import psutil
import pytest

from .conftest import Harnex

TWO_TOOLS = (
    {"think": "hm", "text": "First.", "tools": [{"bash": "echo one > one.txt"}]},
    {"text": "Second.", "tools": [{"bash": "sleep 0.2; echo two"}]},
    {"text": "All is done."},
)


def test_the_main_job(harnex: Harnex) -> None:
    reply = harnex.agent("job", *TWO_TOOLS, run=("--meta", '{"issue": 12}', "--description", "a täsk"))
    assert reply["ok"]
    assert set(reply) >= {"ok", "id", "run_id", "cli", "pid", "supervisor_pid", "mode", "state", "events_path"}
    sent = harnex.json("send", "--id", "job", "--message", "please", "--wait-for-idle", "--timeout", "20")
    assert (sent["status"], sent["outcome"], sent["last_message"]) == ("accepted", "completed", "All is done.")
    waited = harnex.json("wait", "--id", "job", "--until", "task_complete", "--timeout", "5")
    assert (waited["ok"], waited["state"], waited["turn"]) == (True, "prompt", 1)
    record = harnex.json("status", "--json")[0]
    assert (record["id"], record["cli"], record["state"], record["turn"], record["calls"]) == (
        "job",
        "demo",
        "prompt",
        1,
        3,
    )
    assert record["description"] == "a täsk"
    assert 0 <= record["idle_s"] < 20
    assert (harnex.work / "one.txt").read_text() == "one\n"
    assert "All is done." in harnex.ok("pane", "--id", "job")
    assert "All is done." in harnex.ok("logs", "--id", "job", "--lines", "12")
    stopped = harnex.json("stop", "--id", "job")
    assert (stopped["ok"], stopped["reason"]) == (True, "stopped")
    rows = harnex.events("job")
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    assert (rows[0]["type"], rows[-1]["type"]) == ("started", "exited")
    assert rows[0]["meta"] == {"issue": 12}
    kinds = [r["type"] for r in rows]
    for one in ("turn_started", "task_complete", "usage", "exited", "send"):
        assert kinds.count(one) == 1, one
    assert [r["status"] for r in rows if r["type"] == "delivery"] == ["queued", "typed", "accepted"]
    row = harnex.json("history", "--json")[0]
    assert (row["id"], row["reason"], row["turns"], row["calls"], row["meta"]) == (
        "job",
        "stopped",
        1,
        3,
        {"issue": 12},
    )
    assert harnex.json("status", "--json", "--all") == []
    assert harnex.prompts("job") == ["please"]


def test_calls_equal_the_bill(harnex: Harnex) -> None:
    reply = harnex.agent("bill", *TWO_TOOLS, {"text": "Again."})
    for text in ("one", "two"):
        harnex.ok("send", "--id", "bill", "--message", text, "--wait-for-idle")
    log = harnex.state / "runs" / reply["run_id"] / "rehearsal.jsonl"
    billed = [
        row
        for row in map(json.loads, log.read_text().splitlines())
        if row.get("kind") == "main" and row.get("finished")
    ]
    counted = harnex.events("bill", "call")
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    assert [[c["call_id"], *[c[n] for n in names]] for c in counted] == [
        [b["id"], *[b[n] for n in names]] for b in billed
    ]
    assert len(counted) == 4


def test_state_is_never_prompt_while_it_works(harnex: Harnex) -> None:
    slow = {"text": "word " * 25, "pause": 0.08}
    harnex.agent(
        "slow", {"text": "x", "tools": [{"bash": "sleep 1"}], "first_byte": 0.6}, slow, tui=("--status", "never")
    )
    sender = harnex.start("send", "--id", "slow", "--message", "go", "--wait-for-idle")
    samples = []
    while sender.poll() is None:
        record = harnex.json("status", "--json")[0]
        samples.append((time.time(), record["state"]))
    truth = [(row["wall"], row["state"]) for row in harnex.truth("slow") if row.get("event") == "state"]
    wrong = []
    for at, said in samples:
        before = [s for t, s in truth if t <= at - 0.5]
        after = [s for t, s in truth if at - 0.5 < t <= at + 0.5]
        if before and not after and said != before[-1]:
            wrong.append((at, said, before[-1]))
    assert not wrong
    assert len(samples) >= 10
    assert "busy" in {s for _, s in samples}


@pytest.mark.parametrize("signals", ["osc7501", "events", "title", "none", "osc7501,title,events"])
def test_each_source_alone_ends_the_turn_rightly(harnex: Harnex, signals: str) -> None:
    harnex.agent(
        "src",
        {"text": "a", "tools": [{"bash": "sleep 0.5"}]},
        {"text": "word " * 10, "pause": 0.1},
        tui=("--signals", signals),
    )
    begun = time.time()
    sent = harnex.json("send", "--id", "src", "--message", "go", "--wait-for-idle", "--timeout", "30")
    ended = time.time()
    assert (sent["outcome"], sent["turn"]) == ("completed", 1)
    idle = [
        row["wall"]
        for row in harnex.truth("src")
        if row.get("event") == "state" and row["state"] == "prompt" and row["wall"] > begun
    ]
    assert idle[-1] <= ended, "it returned before the agent was done"
    assert [r["type"] for r in harnex.events("src") if r["type"] in ("turn_started", "task_complete")] == [
        "turn_started",
        "task_complete",
    ]


def test_an_error_is_a_failed_turn_not_a_success(harnex: Harnex) -> None:
    harnex.agent("err", {"error": 400, "type": "invalid_request_error", "message": "no", "times": 20})
    done = harnex.run("send", "--id", "err", "--message", "go", "--wait-for-idle", "--timeout", "30")
    reply = json.loads(done.stdout)
    assert (done.returncode, reply["ok"], reply["outcome"]) == (1, False, "failed")
    assert harnex.run("wait", "--id", "err").returncode == 1
    assert len(harnex.events("err", "turn_failed")) == 1
    assert harnex.events("err", "task_complete") == []


def test_wait_cannot_return_on_the_turn_before(harnex: Harnex) -> None:
    harnex.agent("twice", {"text": "one"}, {"text": "w " * 15, "pause": 0.1})
    harnex.ok("send", "--id", "twice", "--message", "first", "--wait-for-idle")
    harnex.ok("send", "--id", "twice", "--message", "second", "--no-wait")
    waited = harnex.json("wait", "--id", "twice", "--until", "task_complete", "--timeout", "20")
    assert (waited["turn"], waited["last_outcome"]["turn"]) == (2, 2)
    assert waited["waited_s"] > 1.0


def test_a_message_while_it_starts_works_or_shows_a_dialog_is_queued_and_in_order(harnex: Harnex) -> None:
    harnex.agent(
        "queue",
        {"text": "a", "tools": [{"bash": "sleep 0.3"}]},
        *[{"text": f"answer {n}"} for n in range(9)],
        tui=("--start-delay", "1.0", "--permission"),
    )
    for n in range(4):
        assert harnex.json("send", "--id", "queue", "--message", f"message {n}", "--no-wait")["status"] == "queued"
    blocked = harnex.json("wait", "--id", "queue", "--until", "blocked", "--timeout", "10")
    assert (blocked["state"], blocked["dialog"]) == ("blocked", "permission")
    refused = harnex.run("send", "--id", "queue", "--message", "into the dialog?", "--force")
    assert (refused.returncode, "dialog" in refused.stdout) == (4, True)
    assert harnex.run("wait", "--id", "queue", "--until", "task_complete").returncode == 4
    assert harnex.prompts("queue") == ["message 0"]
    record = harnex.json("status", "--json")[0]
    assert (record["dialog"], record["pending"]) == ("permission", 3)
    type_keys(harnex, "queue", b"1")
    assert harnex.json("wait", "--id", "queue", "--timeout", "20")["turn"] == 4
    assert harnex.prompts("queue") == [f"message {n}" for n in range(4)]


SENDING = [(), ("--timeout", "30"), ("--wait-for-idle",), ("--wait-for-idle", "--timeout", "30")]


@pytest.mark.parametrize("how", SENDING, ids=lambda how: " ".join(how) or "plain")
def test_a_message_to_a_session_that_is_blocked_is_turned_away_at_once(harnex: Harnex, how: tuple[str, ...]) -> None:
    harnex.agent("ask", {"text": "a", "tools": [{"bash": "true"}]}, {"text": "b"}, {"text": "c"}, tui=("--permission",))
    harnex.ok("send", "--id", "ask", "--message", "first")
    harnex.ok("wait", "--id", "ask", "--until", "blocked", "--timeout", "20")
    begun = time.monotonic()
    done = harnex.run("send", "--id", "ask", "--message", "second", *how, timeout=20)
    reply = json.loads(done.stdout)
    assert (done.returncode, reply["ok"], reply["status"]) == (4, False, "expired") and time.monotonic() < begun + 5
    assert "permission dialog" in reply["error"] and "not sent" in reply["error"]
    assert "harnex approve --id ask" in reply["hint"] and "deny" in reply["hint"]
    assert harnex.json("status", "--json")[0]["pending"] == 0
    harnex.ok("approve", "--id", "ask")
    harnex.ok("wait", "--id", "ask", "--until", "task_complete", "--timeout", "20")
    # A message that was reported as not sent does not arrive later.
    assert harnex.prompts("ask") == ["first"]


def test_a_message_may_wait_in_the_queue_for_the_end_of_a_dialog(harnex: Harnex) -> None:
    harnex.agent("ask", {"text": "a", "tools": [{"bash": "true"}]}, {"text": "b"}, {"text": "c"}, tui=("--permission",))
    harnex.ok("send", "--id", "ask", "--message", "first")
    harnex.ok("wait", "--id", "ask", "--until", "blocked", "--timeout", "20")
    reply = harnex.json("send", "--id", "ask", "--message", "second", "--no-wait")
    assert reply["status"] == "queued" and "permission dialog" in reply["note"]
    harnex.ok("approve", "--id", "ask")
    assert harnex.json("wait", "--id", "ask", "--timeout", "20")["turn"] == 2
    assert harnex.prompts("ask") == ["first", "second"]


def test_a_dialog_that_comes_up_while_a_message_waits_turns_it_away(harnex: Harnex) -> None:
    """Two senders wait for the end of a turn, and the turn's dialog comes up only then."""
    harnex.agent(
        "ask",
        {"text": "slow words " * 30, "pause": 0.1, "tools": [{"bash": "true"}]},
        {"text": "b"},
        tui=("--permission",),
    )
    harnex.ok("send", "--id", "ask", "--message", "first")
    harnex.ok("wait", "--id", "ask", "--until", "busy", "--timeout", "20")
    words = (
        ("send", "--id", "ask", "--message", f"waits {n}", *how) for n, how in enumerate(((), ("--wait-for-idle",)))
    )
    senders = [harnex.start(*given) for given in words]
    for sender in senders:
        out, _ = sender.communicate(timeout=40)
        assert (sender.returncode, json.loads(out)["status"]) == (4, "expired")
    told = [r["status"] for r in harnex.events("ask", "delivery")]
    assert told.count("queued") == 3 and told.count("expired") == 2
    harnex.ok("approve", "--id", "ask")
    harnex.ok("wait", "--id", "ask", "--until", "task_complete", "--timeout", "20")
    assert harnex.prompts("ask") == ["first"]


def type_keys(harnex: Harnex, session_id: str, keys: bytes) -> None:
    """Press keys as an attached person would."""
    import pexpect

    from .conftest import HARNEX

    child = pexpect.spawn(HARNEX, ["attach", "--id", session_id], env=harnex.env, cwd=str(harnex.work), timeout=10)
    child.expect(b"\x1b")
    child.send(keys)
    child.send(b"\x1cd")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize(
    "text",
    [
        "/help me",
        "!ls",
        "# remember",
        "@file",
        "?",
        "ends with @fil",
        "trailing \\",
        "a\nb\n\nc",
        "  indented",
        "日本 ✓ é",
        "x" * 1000,
        "two\n" * 3,
    ],
)
def test_any_text_arrives_as_text(harnex: Harnex, text: str) -> None:
    harnex.agent("text", {"text": "ok"})
    harnex.ok("send", "--id", "text", "--message", text, "--wait-for-idle", "--timeout", "20")
    assert [p.strip() for p in harnex.prompts("text")] == [text.strip()]


def test_200_kb_arrive_whole_and_once(harnex: Harnex) -> None:
    text = "\n".join(f"line {n} " + "x" * 80 for n in range(2200))
    path = harnex.base / "big täsk.md"
    path.write_text(text)
    harnex.agent("big", {"text": "ok"})
    harnex.ok("send", "--id", "big", "--file", str(path), "--wait-for-idle", "--timeout", "40")
    assert harnex.prompts("big") == [text]


def test_100_concurrent_sends_lose_and_double_nothing(harnex: Harnex) -> None:
    harnex.agent("many", {"text": "ok"})
    texts = [f"message number {n}" for n in range(100)]
    codes: list[int] = []

    def send(mine: list[str]) -> None:
        for text in mine:
            codes.append(harnex.run("send", "--id", "many", "--message", text, "--no-wait").returncode)

    threads = [threading.Thread(target=send, args=(texts[n::10],)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 100
    assert harnex.json("wait", "--id", "many", "--until", "task_complete", "--timeout", "50")["turn"] == 100
    assert sorted(harnex.prompts("many")) == sorted(texts)
    sends = [r["msg"] for r in harnex.events("many", "send")]
    assert harnex.prompts("many") == sends  # in the order in which the messages came in


def test_a_send_that_times_out_is_withdrawn(harnex: Harnex) -> None:
    harnex.agent("late", {"text": "x", "tools": [{"bash": "sleep 1.5"}]}, {"text": "done"})
    harnex.ok("send", "--id", "late", "--message", "first")
    done = harnex.run("send", "--id", "late", "--message", "too late", "--timeout", "0.3")
    assert done.returncode == 124
    assert json.loads(done.stdout)["status"] == "expired"
    harnex.ok("wait", "--id", "late", "--timeout", "20")
    assert harnex.prompts("late") == ["first"]


def test_no_submit_and_submit_only(harnex: Harnex) -> None:
    harnex.agent("draft", {"text": "ok"})
    assert harnex.json("send", "--id", "draft", "--message", "a draft", "--no-submit")["status"] == "typed"
    assert harnex.prompts("draft") == []
    assert "a draft" in harnex.ok("pane", "--id", "draft")
    harnex.ok("send", "--id", "draft", "--submit-only")
    harnex.ok("wait", "--id", "draft", "--until", "task_complete", "--timeout", "10")
    assert harnex.prompts("draft") == ["a draft"]


def test_context_is_the_first_message(harnex: Harnex) -> None:
    context = harnex.base / "context.md"
    context.write_text("/not a command\nsecond line\n")
    harnex.agent("ctx", {"text": "ok"}, run=("--context-file", str(context)), tui=("--start-delay", "0.5"))
    harnex.ok("wait", "--id", "ctx", "--timeout", "10")
    assert [p.strip() for p in harnex.prompts("ctx")] == ["/not a command\nsecond line"]


def test_a_deaf_agent_freezes_nothing(harnex: Harnex) -> None:
    big = harnex.base / "big"
    big.write_text("x" * 300_000)
    harnex.agent("deaf", {"text": "ok"}, tui=("--deaf",))
    harnex.start("send", "--id", "deaf", "--file", str(big), "--timeout", "3")
    for _ in range(5):
        begun = time.monotonic()
        assert harnex.json("status", "--json")[0]["id"] == "deaf"
        assert harnex.run("pane", "--id", "deaf").returncode == 0
        assert time.monotonic() - begun < 5
    assert harnex.json("stop", "--id", "deaf")["ok"]


def test_stop_ends_what_ignores_it_and_what_it_left_behind(harnex: Harnex) -> None:
    harnex.agent(
        "stubborn",
        {"text": "x", "tools": [{"bash": "exec sleep 300"}]},
        tui=("--ignore-term", "--ignore-exit", "--orphan"),
    )
    harnex.ok("send", "--id", "stubborn", "--message", "go")
    harnex.until(lambda: [p for p in harnex.marked() if p.name() == "sleep"], what="the tool runs")
    stopped = harnex.json("stop", "--id", "stubborn")
    assert stopped["reason"] == "stopped"
    assert [p for p in harnex.marked() if p.name() == "sleep"] == []
    failed = harnex.events("stubborn", "turn_failed")
    assert [f["outcome"] for f in failed] == ["interrupted"]


def test_stop_force_is_at_once(harnex: Harnex) -> None:
    harnex.agent("now", {"hang": 300}, tui=("--ignore-term", "--ignore-exit"))
    harnex.ok("send", "--id", "now", "--message", "go")
    begun = time.monotonic()
    harnex.ok("stop", "--id", "now", "--force")
    assert time.monotonic() - begun < 4


def test_the_agents_own_ends(harnex: Harnex) -> None:
    harnex.agent("crash", {"text": "ok"}, tui=("--crash-after", "1.2"))
    assert harnex.json("wait", "--id", "crash", "--until", "exited", "--timeout", "10")["exit"]["reason"] == "failure"
    harnex.agent("kill", {"text": "ok"})
    os.kill(harnex.json("status", "--json")[0]["pid"], signal.SIGKILL)
    assert harnex.json("wait", "--id", "kill", "--until", "exited", "--timeout", "10")["exit"]["reason"] == "killed"
    harnex.agent("good", {"text": "ok"})
    type_keys(harnex, "good", b"\x03")
    assert harnex.json("wait", "--id", "good", "--until", "exited", "--timeout", "10")["exit"]["reason"] == "success"
    reasons = {r["id"]: (r["reason"], r["exit"]) for r in harnex.json("history", "--json")}
    assert reasons == {"crash": ("failure", 1), "kill": ("killed", 1), "good": ("success", 0)}
    assert harnex.json("wait", "--id", "good", "--until", "exited")["state"] == "exited"


def test_timeout_ends_the_session(harnex: Harnex) -> None:
    harnex.agent("limit", {"hang": 100}, run=("--timeout", "1.5", "--context", "go"))
    waited = harnex.json("wait", "--id", "limit", "--until", "exited", "--timeout", "20")
    assert (waited["exit"]["reason"], waited["exit"]["exit_code"]) == ("timeout", 124)


def test_sigkill_of_the_supervisor_leaves_a_record_and_no_process(harnex: Harnex) -> None:
    harnex.agent("lost", {"text": "x", "tools": [{"bash": "exec sleep 300"}]}, tui=("--orphan", "--ignore-term"))
    harnex.ok("send", "--id", "lost", "--message", "go")
    harnex.until(lambda: [p for p in harnex.marked() if p.name() == "sleep"], what="the tool runs")
    follower = harnex.start("events", "--id", "lost")
    waiter = harnex.start("wait", "--id", "lost", "--until", "task_complete")
    harnex.until(lambda: len(psutil.Process(follower.pid).open_files()) >= 0)
    psutil.Process(harnex.json("status", "--json")[0]["supervisor_pid"]).kill()
    assert waiter.wait(20) == 1
    out, _ = follower.communicate(timeout=20)
    assert json.loads(out.splitlines()[-1])["reason"] == "supervisor_lost"
    assert harnex.json("status", "--json", "--all") == []
    assert [r["reason"] for r in harnex.json("history", "--json")] == ["supervisor_lost"]
    rows = harnex.events("lost")
    assert [r["seq"] for r in rows] == list(range(1, len(rows) + 1))
    assert [r["type"] for r in rows].count("exited") == 1
    assert [p for p in harnex.marked() if p.name() in ("sleep", "python3")] == []


def test_an_id_is_unique_here_and_usable_again(harnex: Harnex) -> None:
    first = harnex.agent("Same Id", {"text": "first life"})
    assert first["id"] == "same-id"
    again = harnex.run("run", "demo", "--detach", "--id", "same-id")
    reply = json.loads(again.stdout)
    assert (again.returncode, reply["ok"]) == (1, False)
    assert "harnex stop --id same-id" in reply["hint"]
    harnex.ok("send", "--id", "same-id", "--message", "go", "--wait-for-idle")
    harnex.ok("stop", "--id", "same-id")
    second = harnex.agent("same-id", {"text": "second life", "pause": 0.3})
    assert second["run_id"] > first["run_id"]
    harnex.ok("send", "--id", "same-id", "--message", "go", "--no-wait")
    assert harnex.json("wait", "--id", "same-id", "--timeout", "10")["last_outcome"]["message"] == "second life"
    assert harnex.events("same-id")[0]["seq"] == 1
    assert {r["run_id"] for r in harnex.events("same-id")} == {second["run_id"]}
    assert len(harnex.events(first["run_id"], "exited")) == 1


def test_two_starts_of_one_id_at_once(harnex: Harnex) -> None:
    script = harnex.script({"text": "ok"})
    starts = [harnex.start("run", "demo", "--detach", "--id", "race", "--rehearse", script) for _ in range(4)]
    codes = sorted(p.wait(30) for p in starts)
    assert codes == [0, 1, 1, 1]
    assert len(harnex.json("status", "--json")) == 1


def test_sessions_elsewhere_are_found(harnex: Harnex) -> None:
    harnex.agent("far", {"text": "ok"})
    other = harnex.base / "other repo"
    (other / ".git").mkdir(parents=True)
    assert [r["id"] for r in harnex.json("status", "--json", cwd=other)] == ["far"]
    done = harnex.run("status", cwd=other)
    assert "far" in done.stdout
    assert "elsewhere" in done.stderr
    assert harnex.json("send", "--id", "far", "--message", "x", cwd=other)["ok"]
    assert harnex.run("send", "--id", "far", "--repo", str(other), "--message", "x", cwd=other).returncode == 1
    sub = harnex.work / "deep" / "er"
    sub.mkdir(parents=True)
    harnex.agent("near", {"text": "ok"})
    assert {r["id"] for r in harnex.json("status", "--json", cwd=sub)} == {"far", "near"}


def test_nested_sessions_and_relays(harnex: Harnex) -> None:
    """An agent starts another session and sends it a message: that session is told apart from its
    own, and knows the sender."""
    inner = harnex.script({"text": "inner done"})
    log = harnex.base / "inner.truth"
    from .conftest import HARNEX

    start = f"'{HARNEX}' run demo --detach --id inner --rehearse '{inner}' -- --log '{log}'"
    tell = f"'{HARNEX}' send --id inner --message 'from the outside' --wait-for-idle"
    harnex.agent("outer", {"text": "a", "tools": [{"bash": f"{start} && {tell}"}]}, {"text": "outer done"})
    harnex.ok("send", "--id", "outer", "--message", "go", "--wait-for-idle", "--timeout", "30")
    prompt = harnex.prompts("inner")[0]
    assert re.fullmatch(r"\[harnex relay from=demo id=outer at=\d{4}-\d\d-\d\dT[\d:.]+Z\]\nfrom the outside", prompt)
    assert harnex.events("inner", "send")[0]["from"] == "outer"
    harnex.ok("stop", "--id", "outer")
    assert [r["id"] for r in harnex.json("status", "--json")] == ["inner"], "the inner session outlives the outer one"
    assert harnex.run("send", "--id", "inner", "--message", "plain", "--no-relay").returncode == 0
    harnex.ok("wait", "--id", "inner", "--timeout", "10")
    assert harnex.prompts("inner")[1] == "plain"


def test_resize_alternate_screen_and_wide_text(harnex: Harnex) -> None:
    harnex.agent("alt", {"text": "日本語 ✓ done"}, run=("--size", "90x20"), tui=("--alt",))
    harnex.ok("send", "--id", "alt", "--message", "go", "--wait-for-idle")
    pane = harnex.json("pane", "--id", "alt", "--json")
    assert (pane["columns"], pane["rows"], pane["alternate"]) == (90, 20, True)
    assert any("日本語 ✓ done" in line for line in pane["lines"])
    svg = harnex.base / "screen.svg"
    harnex.ok("pane", "--id", "alt", "--svg", str(svg))
    # Each wide character is placed by itself.
    assert all(character in svg.read_text() for character in "日本語✓")
    assert b"\x1b[" in harnex.ok("pane", "--id", "alt", "--ansi").encode()
    harnex.ok("stop", "--id", "alt")
    assert "harnex demo agent" in harnex.ok("logs", "--id", "alt") or "done" in harnex.ok("logs", "--id", "alt")


def test_the_recording_is_a_cast_that_ends_with_the_last_screen(harnex: Harnex) -> None:
    harnex.agent("rec", {"text": "\n".join(f"line {n}" for n in range(60))})
    harnex.ok("send", "--id", "rec", "--message", "go", "--wait-for-idle")
    lines = harnex.ok("logs", "--id", "rec").splitlines()
    said = [line.strip().lstrip("● ") for line in lines]
    numbers = [int(s.split()[1]) for s in said if re.fullmatch(r"line \d+", s)]
    assert numbers == list(range(60))
    cast = harnex.ok("logs", "--id", "rec", "--cast").splitlines()
    header = json.loads(cast[0])
    assert (header["version"], header["width"], header["height"]) == (2, 120, 40)
    times = [json.loads(line)[0] for line in cast[1:]]
    assert times == sorted(times)


def test_a_flood_is_counted_and_the_screen_is_right_after_it(harnex: Harnex) -> None:
    harnex.agent("flood", {"text": "after the flood"}, tui=("--flood", str(20 << 20)))
    harnex.ok("send", "--id", "flood", "--message", "go", "--wait-for-idle", "--timeout", "40")
    pane = harnex.ok("pane", "--id", "flood")
    assert "after the flood" in pane
    harnex.ok("stop", "--id", "flood")
    assert harnex.json("history", "--json")[0]["skipped_bytes"] > 1 << 20

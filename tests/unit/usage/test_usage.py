"""Calls and their sums: the parsers on rows as the CLIs write them (and as they should not), grouping, reading files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.agents.catalogue import log_of
from harnex.agents.claude.chat import ClaudeBodies
from harnex.agents.codex.calls import Calls
from harnex.agents.codex.chat import CodexBodies
from harnex.agents.common.logfile import Logged
from harnex.errors import HarnexError
from harnex.usage import logs
from harnex.usage import sums as usage

THREAD = "01a1fdfe-a761-7962-8efe-52d44533db7d"  # made 2026-11-21T12:04:46.945Z


# ---- Codex: running totals ----


def use(n: int, **more: int) -> dict[str, int]:
    return {"input_tokens": 10 * n, "output_tokens": n, "total_tokens": 11 * n, **more}


def count(total: dict[str, int] | None, last: dict[str, int] | None = None) -> dict[str, Any]:
    info = {"total_token_usage": total, "last_token_usage": last} if total or last else None
    return {"type": "token_count", "info": info}


def told(calls: Calls, *rows: dict[str, Any], past: bool = False) -> list[tuple[int | None, str]]:
    return [(c.total_tokens, c.source) for row in rows for c in calls.tokens(row, past, "main")]


def test_repeats_and_nothings_are_no_calls() -> None:
    calls = Calls()
    rows = (count(None), count(use(1), use(1)), count(use(1), use(1)), count(None), count(use(3), use(2)))
    assert told(calls, *rows, count(use(3), use(2))) == [(11, "rollout"), (22, "rollout")]
    assert calls.difference() is None


def test_a_call_that_was_never_written_is_in_the_next_total() -> None:
    calls = Calls()
    assert told(calls, count(use(1), use(1)), count(use(6), use(2))) == [
        (11, "rollout"),
        (33, "cumulative"),
        (22, "rollout"),
    ]
    assert calls.difference() is None


def test_only_totals() -> None:
    calls = Calls()
    rows = [count(use(n)) for n in (1, 1, 3, 2, 5)]  # 2: it fell, so it began anew
    assert told(calls, *rows) == [(11, "cumulative"), (22, "cumulative"), (22, "cumulative"), (33, "cumulative")]


def test_a_compaction_is_a_new_base() -> None:
    calls = Calls()
    zeros = dict.fromkeys(use(1), 0)
    assert told(calls, count(use(9), use(9)), count(use(4), zeros), count(use(6), use(2))) == [
        (99, "rollout"),
        (22, "rollout"),
    ]
    assert calls.difference() is None


def test_a_resumed_thread_counts_from_where_it_was() -> None:
    calls = Calls()
    assert told(calls, count(use(5), use(2)), past=True) == []
    assert told(calls, count(use(8), use(3))) == [(33, "rollout")]
    assert calls.difference() is None
    begun_anew = Calls()
    assert told(begun_anew, count(use(5), use(5)), past=True) == []
    assert told(begun_anew, count(use(1), use(1))) == [(11, "rollout")]


def test_a_total_that_is_not_the_sum_is_told_with_both_numbers() -> None:
    calls = Calls()
    calls.thread = "t"
    record = {"thread_id": "t", "response_id": "r1", "usage": use(1), "thread_token_usage": use(1)}
    assert [c.call_id for c in calls.record(record, False, "main")] == ["r1"]
    list(calls.record({**record, "response_id": "r2", "thread_token_usage": use(7)}, False, "main"))
    words = calls.difference()
    assert words is not None
    assert "total_tokens 77 (the calls: 22)" in words


@given(st.lists(st.tuples(st.integers(1, 5000), st.booleans(), st.booleans()), max_size=30))
def test_whatever_is_repeated_or_left_out_the_sum_is_the_total(steps: list[tuple[int, bool, bool]]) -> None:
    calls, total, got = Calls(), use(0), 0
    lost = False
    for n, repeated, left_out in steps:
        total = {k: v + use(n)[k] for k, v in total.items()}
        lost = left_out
        if left_out:
            continue
        row = count(dict(total), use(n))
        for _ in range(1 + repeated):
            got += sum(c.total_tokens or 0 for c in calls.tokens(row, False, "main"))
    if not lost and steps and any(not s[2] for s in steps):
        assert calls.difference() is None
        first = next(i for i, s in enumerate(steps) if not s[2])
        before = sum(use(n)["total_tokens"] for n, _, _ in steps[:first])  # a base: it may be an earlier run's
        assert got == total["total_tokens"] - before


# ---- the CLIs' own files ----


def read(path: Path, cli: str, full: bool = False) -> tuple[list[Logged], logs.Report]:
    report = logs.Report(str(path))
    return list(logs.read(str(path), log_of(cli, logs.agent_types([str(path)]), full), report)), report


def said(
    call_id: str, kind: str = "text", stop: str | None = "end_turn", out: int = 5, agent: str = "", **more: Any
) -> dict[str, Any]:
    block = (
        {"type": "text", "text": "words"} if kind == "text" else {"type": kind, "id": f"t-{call_id}", "name": "Bash"}
    )
    row: dict[str, Any] = {
        "parentUuid": None,
        "isSidechain": bool(agent),
        "sessionId": "s",
        "cwd": "/w",
        "version": "2.1.329",
        "timestamp": "2026-11-21T12:00:00.000Z",
        "type": "assistant",
        "message": {
            "id": call_id,
            "model": "m",
            "role": "assistant",
            "content": [block],
            "stop_reason": stop,
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": out},
        },
    }
    return {**row, **({"agentId": agent} if agent else {}), **more}


def user(content: Any, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": content}
    return {
        "isSidechain": False,
        "sessionId": "s",
        "type": "user",
        "timestamp": "2026-11-21T12:00:01.000Z",
        "message": message,
        **more,
    }


def write(path: Path, *rows: dict[str, Any] | str, compact: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    separators = (",", ":") if compact else None
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r, separators=separators)) + "\n" for r in rows))
    return path


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("compact", [True, False], ids=["as it writes", "with blanks"])
def test_one_call_of_many_rows(tmp_path: Path, full: bool, compact: bool) -> None:
    rows = [said("a", stop=None, out=1), said("a", "tool_use", "tool_use", 40), user("hi"), said("b")]
    found, report = read(write(tmp_path / "s.jsonl", *rows, compact=compact), "claude", full)
    assert [(f.call.call_id, f.call.input_tokens, f.call.output_tokens) for f in found] == [("a", 7, 40), ("b", 7, 5)]
    assert report.words() == []


def test_what_is_no_call(tmp_path: Path) -> None:
    error = said("x", isApiErrorMessage=True)
    error["message"]["model"] = "<synthetic>"
    synthetic = said("y")
    synthetic["message"]["model"] = "<synthetic>"
    quoted = user([{"type": "tool_result", "tool_use_id": "t", "content": json.dumps(said("z"))}])
    assert read(write(tmp_path / "s.jsonl", error, synthetic, quoted), "claude")[0] == []


def test_a_row_spelled_otherwise_is_read(tmp_path: Path) -> None:
    """JSON may write any letter as an escape, and any order and blanks."""
    line = json.dumps(said("a")).replace('"assistant"', '"\\u0061ssistant"').replace('"usage"', '"us\\u0061ge"')
    other = json.dumps({"message": said("b")["message"], "type": "assistant"})
    found, _ = read(write(tmp_path / "s.jsonl", user("first"), line, other), "claude")
    assert [f.call.call_id for f in found] == ["a", "b"]


@pytest.mark.parametrize("full", [False, True])
def test_interrupted_is_partial_and_its_output_unknown(tmp_path: Path, full: bool) -> None:
    interrupt = user([{"type": "text", "text": "[Request interrupted by user]"}])
    result = user([{"type": "tool_result", "tool_use_id": "t", "content": "x" * 5000}])
    path = write(tmp_path / "s.jsonl", user("go"), said("a", stop=None, out=1), result, interrupt, said("b"))
    found, _ = read(path, "claude", full)
    assert [(f.call.call_id, f.call.partial, f.call.output_tokens, f.call.input_tokens) for f in found] == [
        ("a", True, None, 7),
        ("b", False, 5, 7),
    ]


def test_side_chains_in_one_file_that_write_at_once(tmp_path: Path) -> None:
    """1.x names no sub-agent: rows of two calls may alternate."""
    rows = []
    for out, stop in ((1, None), (9, "tool_use")):
        for call_id in ("a", "b"):
            row = said(call_id, "tool_use", stop, out, version="1.0.128")
            rows.append({**row, "isSidechain": True})
    found, _ = read(write(tmp_path / "s.jsonl", user("go"), *rows), "claude")
    assert [(f.call.call_id, f.call.output_tokens, f.call.agent) for f in found] == [
        ("a", 9, "subagent"),
        ("b", 9, "subagent"),
    ]


def test_garbage_and_torn_lines_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", user("go"), "not json at all", "[1]", "\x00\x00", said("a"))
    with open(path, "a") as f:
        f.write(json.dumps(said("b"))[:200])
    found, report = read(path, "claude")
    assert [f.call.call_id for f in found] == ["a"]
    assert (report.skipped, report.torn) == (3, True)
    assert report.words() == ["3 lines skipped: not JSON"]


def test_sub_agents_are_found_with_their_parent(tmp_path: Path) -> None:
    parent = write(tmp_path / "p" / "s.jsonl", said("a"))
    own = write(tmp_path / "p" / "s" / "subagents" / "agent-a1.jsonl", said("b", agent="a1"))
    (own.parent / "agent-a1.meta.json").write_text('{"agentType":"Explore"}')
    beside = write(tmp_path / "p" / "agent-a2.jsonl", said("c", agent="a2"))
    write(tmp_path / "p" / "agent-a3.jsonl", {**said("d", agent="a3"), "sessionId": "another"})
    found = logs.find([str(parent)], "claude").files
    assert sorted(found) == sorted(map(str, (parent, own, beside)))
    assert found[0] == str(parent)
    assert read(own, "claude")[0][0].call.agent == "Explore:a1"
    assert len(logs.find([str(tmp_path), str(parent)], "claude").files) == 4  # each once
    with pytest.raises(HarnexError, match="no file or folder"):
        logs.find([str(tmp_path / "nothing")], "claude")


def rollout(*rows: tuple[str, dict[str, Any]], **meta: Any) -> list[dict[str, Any]]:
    head = ("session_meta", {"id": THREAD, "cwd": "/w", **meta})
    stamp = "2026-11-21T12:04:47.081Z"
    return [{"timestamp": stamp, "type": kind, "payload": payload} for kind, payload in (head, *rows)]


def turn(turn_id: str) -> tuple[str, dict[str, Any]]:
    return "turn_context", {"turn_id": turn_id, "model": "gpt-5"}


def test_a_fork_does_not_count_its_parents_calls(tmp_path: Path) -> None:
    old, new = "01a1fd00-a761-7962-8efe-52d44533db7d", "01a1fdff-a761-7962-8efe-52d44533db7d"
    parent = ("session_meta", {"id": "01a1fd00-0000-7962-8efe-52d44533db7d", "cwd": "/w"})
    rows = rollout(
        parent,
        turn(old),
        ("event_msg", count(use(5), use(5))),
        turn(new),
        ("event_msg", count(use(7), use(2))),
        forked_from_id=parent[1]["id"],
    )
    found, report = read(write(tmp_path / "rollout-x.jsonl", *rows), "codex")
    assert [(f.call.total_tokens, f.call.model) for f in found] == [(22, "gpt-5")]
    assert report.words() == []


def test_packed_rollouts(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    rows = rollout(turn(THREAD), ("event_msg", count(use(1), use(1))))
    path = write(tmp_path / "rollout-x.jsonl", *rows)
    packed = zstandard.compress(path.read_bytes())
    (tmp_path / "rollout-x.jsonl.zst").write_bytes(packed)
    (tmp_path / "bad.jsonl.zst").write_bytes(packed[:-20])
    assert [f.call.total_tokens for f in read(tmp_path / "rollout-x.jsonl.zst", "codex")[0]] == [11]
    assert read(tmp_path / "bad.jsonl.zst", "codex")[1].words() == ["cut off: the packed file has no end"]
    (tmp_path / "no.jsonl.zst").write_bytes(b"not packed at all")
    assert "broken" in read(tmp_path / "no.jsonl.zst", "codex")[1].problem


def test_captured_exec_json_gives_a_call_a_turn(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"type": "thread.started", "thread_id": "t"}]
    for total in (use(2), use(5)):
        given = {k: v for k, v in total.items() if k != "total_tokens"}
        rows += [{"type": "turn.started"}, {"type": "turn.completed", "usage": given}]
    found, _ = read(write(tmp_path / "exec.jsonl", *rows), "codex")
    assert [(f.call.total_tokens, f.call.source, f.turn) for f in found] == [
        (22, "cumulative", 1),
        (33, "cumulative", 2),
    ]


@given(st.binary(max_size=300), st.integers(1, 40))
def test_pieces_lose_nothing(data: bytes, size: int) -> None:
    before, logs.PIECE = logs.PIECE, size
    try:
        got = list(logs.pieces(io.BytesIO(data), logs.Report("x")))
    finally:
        logs.PIECE = before
    assert b"".join(got) == data
    assert all(piece.endswith(b"\n") for piece in got[:-1])


# ---- bodies ----


def test_each_calls_messages_begin_with_those_before_until_a_compaction() -> None:
    bodies = ClaudeBodies("main", {})
    tool = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    first = said("a", stop="tool_use", uuid="2")
    first["message"]["content"].append(tool)
    result = [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a b"}]}]
    for row in (
        user("go", uuid="1"),
        first,
        user(result, uuid="3"),
        said("b", uuid="4"),
        {"type": "system", "subtype": "compact_boundary", "uuid": "5"},
        user("what was before", isCompactSummary=True, uuid="6"),
        said("c", uuid="7"),
    ):
        bodies.row(row)
    a, b, c = (bodies.answers[i].fields() for i in "abc")
    assert a["request"] == [{"role": "user", "content": "go"}]
    assert b["request"][: len(a["request"]) + 1] == [*a["request"], a["response"]]
    assert b["request"][-1] == {"role": "tool", "content": "a b", "tool_call_id": "t1"}
    assert json.loads(a["response"]["tool_calls"][0]["function"]["arguments"]) == {"command": "ls"}
    assert (a["finish_reason"], b["finish_reason"], c["chain"]) == ("tool_calls", "stop", 2)
    assert c["request"] == [{"role": "user", "content": "what was before"}]


def test_a_prompt_put_again_forgets_what_came_after() -> None:
    bodies = ClaudeBodies("main", {})
    for row in (
        user("one", uuid="1", parentUuid=None),
        said("a", uuid="2", parentUuid="1"),
        user("two", uuid="3", parentUuid="2"),
        said("b", uuid="4", parentUuid="3"),
        user("two, better", uuid="5", parentUuid="2"),
        said("c", uuid="6", parentUuid="5"),
    ):
        bodies.row(row)
    assert [m["content"] for m in bodies.answers["c"].fields()["request"]] == ["one", "words", "two, better"]
    assert bodies.answers["c"].chain == 2


def test_codex_bodies_know_what_they_lack() -> None:
    bodies = CodexBodies()

    def item(**payload: Any) -> tuple[str, dict[str, Any]]:
        return "response_item", payload

    def words(role: str, text: str) -> tuple[str, dict[str, Any]]:
        return item(type="message", role=role, content=[{"type": "input_text", "text": text}])

    rows = rollout(
        words("user", "go"),
        turn(THREAD),
        item(type="reasoning", summary=[{"type": "summary_text", "text": "hm"}], encrypted_content="x"),
        item(type="function_call", name="shell", arguments="{}", call_id="c1"),
        ("event_msg", count(use(1), use(1))),
        item(type="function_call_output", call_id="c1", output="out"),
        words("assistant", "Done."),
        ("event_msg", count(use(3), use(2))),
        base_instructions={"text": "Be good."},
    )
    for row in rows:
        bodies.row(row)
    a, b = (bodies.answers[f"{THREAD}-{n}"].fields() for n in (1, 2))
    assert [m["role"] for m in b["request"]] == ["system", "user", "assistant", "tool"]
    assert b["request"][: len(a["request"]) + 1] == [*a["request"], a["response"]]
    assert (a["reasoning_text"], b["response_text"]) == ("hm", "Done.")
    assert "reasoning (encrypted: only its summary)" in a["missing"]


# ---- sums ----


def call(**fields: Any) -> dict[str, Any]:
    return usage.record({"ts": "2026-11-21T12:00:00.000Z", "model": "m", **fields}, cost_usd=fields.get("cost_usd"))


def test_unknown_is_null_and_a_sum_of_some_says_so() -> None:
    sums = usage.Sums()
    sums.add(call(input_tokens=10, cache_read_tokens=5, cost_usd=0.5))
    sums.add(call(input_tokens=20, partial=True))
    fields = sums.fields()
    assert (fields["input_tokens"], fields["output_tokens"], fields["cost_usd"]) == (30, None, 0.5)
    assert fields["unknown"] == {"cache_read_tokens": 1, "cost_usd": 1}
    assert (fields["calls"], fields["partial_calls"]) == (2, 1)
    assert usage.Sums().fields()["cost_usd"] is None


def test_garbage_in_a_log_is_unknown() -> None:
    assert call(input_tokens="12", output_tokens=True)["input_tokens"] is None


@pytest.mark.parametrize("by", [b for b in usage.BY if b != "call"])
def test_every_grouping_sums_to_the_total(by: str) -> None:
    groups = usage.Groups(by)
    for n in range(20):
        fields = {"input_tokens": n, "model": f"m{n % 3}", "turn": n % 4 or None, "agent": "ab"[n % 2], "id": "x"}
        groups.add(call(**fields, ts=f"2026-11-{10 + n:02d}T12:00:00.000Z" if n else None))
    rows = groups.rows()
    assert sum(r["calls"] for r in rows) == groups.total.calls == 20
    assert sum(r["input_tokens"] for r in rows) == groups.total.fields()["input_tokens"] == 190
    assert all(set(usage.KEYS[by]) <= set(r) for r in rows)


def test_costs_are_the_librarys() -> None:
    library = pytest.importorskip("genai_prices")
    from harnex.usage.prices import Prices

    prices = Prices()
    assert library.__version__ in str(prices.version)
    ts = "2026-11-21T12:00:00.000Z"
    for tokens in (1000, 199_999, 200_000, 200_001, 700_000):
        for model, cli in (("claude-sonnet-4-5", "claude"), ("gpt-5", "codex")):
            record = call(model=model, input_tokens=tokens, cache_read_tokens=tokens // 2, output_tokens=77, ts=ts)
            for _ in range(2):  # by the library, then by its rates
                got = prices.cost({**record, "cli": cli})
            units = library.Usage(input_tokens=tokens, cache_read_tokens=tokens // 2, output_tokens=77)
            want = library.calc_price(units, model, provider_id={"claude": "anthropic", "codex": "openai"}[cli])
            assert got == pytest.approx(float(want.total_price), rel=1e-9)
    assert prices.cost({**call(model="nobody's", input_tokens=1, output_tokens=1), "cli": "codex"}) is None
    assert prices.cost({**call(model="gpt-5", input_tokens=1), "cli": "codex"}) is None  # its output is not known


def test_an_hour_in_the_cache_costs_more() -> None:
    pytest.importorskip("genai_prices")
    from harnex.usage.prices import Prices

    fields = {"model": "claude-sonnet-4-5", "input_tokens": 2000, "cache_write_tokens": 1000, "output_tokens": 0}
    raw = {"cache_creation": {"ephemeral_1h_input_tokens": 1000}}
    five, hour = (Prices().cost({**call(**fields, raw=r), "cli": "claude"}) for r in (None, raw))
    assert five is not None and hour is not None
    assert (five, hour) == (pytest.approx(0.003 + 0.00375), pytest.approx(0.003 + 0.006))


def test_tables_fit_the_terminal() -> None:
    from harnex.commands import _table
    from harnex.commands._table import Column

    columns = (Column("NAME", elastic=True, keep=9), Column("A", True, 1), Column("TOTAL", True, 8))
    rows = [["日本語の長い名前" * 3, "1,234", "99"], ["short", "", "7"]]
    for width in (None, 80, 40, 20):
        out = _table.lines(columns, rows, width)
        assert all(width is None or _table.width_of(line) <= width for line in out)
        assert "99" in out[1]
    assert "A" in _table.lines(columns, rows, 80)[0]

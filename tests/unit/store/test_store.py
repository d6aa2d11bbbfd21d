"""Files: the event log, tails, the registry, history (store/), and what they make of damage."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex import jsonl, paths, process
from harnex.commands._find import live_session
from harnex.errors import HarnexError, NotFound, UsageError
from harnex.model import events
from harnex.store import history, registry
from harnex.store.eventlog import EventLog
from harnex.store.tail import DocumentTail, LineTail

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_the_light_json_is_json(value: object) -> None:
    assert json.loads(jsonl.dumps(value)) == value
    assert jsonl.loads(jsonl.dumps(value)) == value
    assert jsonl.loads(json.dumps(value, ensure_ascii=False)) == value
    assert "\n" not in jsonl.dumps(value)


@pytest.mark.parametrize("text", ["", "{", '{"a":1} x', "nul", '{"a":}', "[" * 100_000])
def test_what_is_not_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        jsonl.loads(text)
    assert jsonl.loads_dict(text) is None


def log_of(tmp_path: Path) -> EventLog:
    return EventLog(str(tmp_path / "events.jsonl"), "x", "run")


def seqs(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_bytes().splitlines()]


def test_seq_has_no_gaps_over_writers_and_torn_tails(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(3):
        log = log_of(tmp_path)
        log.append(events.Diagnostic(what="a"))
        log.append(events.Diagnostic(what="b"))
        log.close()
        with path.open("ab") as f:
            f.write(b'{"schema_version":1,"seq":9')  # a crash in the middle of a write
    log_of(tmp_path).close()
    assert seqs(path) == [1, 2, 3, 4, 5, 6]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_keeps_the_events_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(tmp_path)
    log.append(events.Diagnostic(what="before"))
    real = os.write

    def half(fd: int, data: bytes) -> int:
        return real(fd, data[: len(data) // 2])

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    for broken in (full, half):
        monkeypatch.setattr(os, "write", broken)
        log.append(events.Diagnostic(what="during"))
        assert not log.flush()
        monkeypatch.setattr(os, "write", real)
    assert len(seqs(tmp_path / "events.jsonl")) == 1
    assert log.flush()
    assert seqs(tmp_path / "events.jsonl") == [1, 2, 3]


def test_every_event_type_survives_the_round_trip(tmp_path: Path) -> None:
    samples = {
        "int": 3, "str": "é\n", "bool": True, "float": 1.5, "dict[str, Any]": {"a": [1]}, "tuple[str, ...]": ["x"],
        "dict[str, Any] | None": None, "str | None": None, "int | None": 7, "float | None": 0.5,
        "dict[str, int | None] | None": {"input_tokens": None}, "tuple[dict[str, str], ...]": [{"text": "é"}], "Any": [1, None],
        "bool | None": False,
    }  # fmt: skip
    log = log_of(tmp_path)
    made = []
    for name, kind in events.EVENT_TYPES.items():
        values = {f: samples[str(t)] for f, t in kind.__annotations__.items() if "ClassVar" not in str(t)}
        made.append(kind(**values))
        assert made[-1].type == name
        log.append(made[-1])
    log.close()
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [events.decode(row) for row in rows] == made
    for row in rows:
        assert list(row)[:6] == list(events.HEADER)
    assert events.decode({"type": "from-the-future", "x": 1}) is None


@given(st.lists(st.text(alphabet="ab\n", max_size=12), max_size=20))
def test_a_tail_gives_every_whole_line_once_however_it_was_written(pieces: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "f")
        tail, got = LineTail(path), []
        for piece in pieces:
            with open(path, "a") as f:
                f.write(piece)
            got += list(tail.lines())
        assert got == [line.encode() for line in "".join(pieces).split("\n")[:-1]]


def test_a_tail_reads_a_line_that_grows_for_long_twice_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from its beginning each time that a piece of it is added."""
    read = 0
    pread = os.pread

    def counted(fd: int, size: int, at: int) -> bytes:
        nonlocal read
        data = pread(fd, size, at)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    path = tmp_path / "f"
    tail = LineTail(str(path))
    for _ in range(200):
        with open(path, "ab") as f:
            f.write(b"x" * 10_000)
        assert list(tail.lines()) == []
    with open(path, "ab") as f:
        f.write(b"\nshort\n")
    assert list(tail.lines()) == [b"x" * 2_000_000, b"short"]
    assert read <= 2 * path.stat().st_size + 200 * 10_000


def test_a_tail_notices_truncation_and_replacement(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("one\ntwo\n")
    tail = LineTail(str(path))
    assert list(tail.lines()) == [b"one", b"two"]
    assert not tail.size_changed()
    path.write_text("new\n")
    assert list(tail.lines()) == [b"new"]
    (tmp_path / "g").write_text("other file\n")
    os.replace(tmp_path / "g", path)
    assert list(tail.lines()) == [b"other file"]


def test_a_document_tail_tells_changes_and_the_end(tmp_path: Path) -> None:
    path = tmp_path / "d"
    tail = DocumentTail(str(path))
    assert tail.changed() is None
    path.write_text("{}")
    assert tail.changed() == "{}"
    assert tail.changed() is None
    path.unlink()
    assert tail.changed() == ""
    assert tail.changed() is None


def record(**changes: object) -> dict[str, object]:
    me = os.getpid()
    base = {
        "id": "x",
        "run_id": "r",
        "cli": "codex",
        "repo": "/r",
        "supervisor_pid": me,
        "supervisor_start": process.start_time(me),
    }
    return {**base, **changes}


def test_garbage_in_the_registry_is_told_apart(tmp_path: Path) -> None:
    state = str(tmp_path)
    (tmp_path / "sessions").mkdir()
    registry.write(paths.session_file(state, "/r", "x"), record())
    (tmp_path / "sessions" / "0000--bad.json").write_text("not json")
    (tmp_path / "sessions" / "0000--torn.json").write_text('{"id": "x", "superv')
    (tmp_path / "sessions" / "0000--list.json").write_text("[1]")
    records, garbage = registry.all_records(state)
    assert [r["id"] for r in records] == ["x"]
    assert len(garbage) == 3


def test_a_pid_that_was_used_again_is_not_our_supervisor() -> None:
    assert registry.is_live(record())
    assert not registry.is_live(record(supervisor_start="1"))
    assert not registry.is_live(record(supervisor_pid=2**22 + 1))


def test_pick_prefers_this_repo_and_refuses_to_guess() -> None:
    here, there, far = record(), record(repo="/s"), record(repo="/t")
    assert registry.pick([here, there], "x", None, None, "/r") is here
    assert registry.pick([there], "x", None, None, "/r") is there
    assert registry.pick([there, far], "x", "/t", None, "/r") is far
    with pytest.raises(UsageError):
        registry.pick([there, far], "x", None, None, "/r")
    assert registry.pick([], "x", None, None, "/r") is None


@pytest.mark.parametrize("starts", [True, False])
def test_a_session_that_is_just_starting_is_waited_for(
    starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry is there a moment before its agent, its log and its socket are."""
    monkeypatch.setenv("HARNEX_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    state = paths.state_dir()
    path = paths.session_file(state, paths.here(), "x")
    os.makedirs(os.path.dirname(path), mode=0o700)
    entry = record(supervisor_pid=os.getpid(), supervisor_start=process.start_time(os.getpid()), repo=paths.here())
    registry.write(path, {**entry, "pid": None})
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            registry.write(path, {**entry, "pid": 4711}) if starts else os.unlink(path)

    monkeypatch.setattr("time.sleep", sleep)
    if starts:
        assert live_session("x", None, None)["pid"] == 4711
    else:
        with pytest.raises(NotFound, match="did not start"):
            live_session("x", None, None)
    assert len(waited) == 3


def test_history_mends_a_torn_last_line(tmp_path: Path) -> None:
    state = str(tmp_path)
    history.append(state, {"run_id": "1", "id": "a"})
    with open(paths.history_file(state), "a") as f:
        f.write('{"run_id": "2", "i')
    history.append(state, {"run_id": "3", "id": "a"})
    assert [r["run_id"] for r in history.rows(state)] == ["1", "3"]
    newest = history.newest(state, "a")
    assert newest is not None
    assert newest["run_id"] == "3"


def test_a_state_directory_that_others_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("HARNEX_STATE_DIR", str(shared))
    with pytest.raises(HarnexError, match="written by others"):
        paths.state_dir()
    shared.chmod(0o700)
    assert paths.state_dir() == str(shared)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(HarnexError, match="another user"):
        paths.state_dir()


@pytest.mark.parametrize(("given_id", "normal"), [("Fix It", "fix-it"), (" a.b_c-1 ", "a.b_c-1"), ("X" * 64, "x" * 64)])
def test_ids_are_normalised(given_id: str, normal: str) -> None:
    assert paths.normal_id(given_id) == normal


@pytest.mark.parametrize("bad", ["", "  ", "../x", "a/b", "-x", ".x", "é", "a\nb\0", "x" * 65, "a;b", "--tmux"])
def test_bad_ids_are_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        paths.normal_id(bad)


def test_a_long_state_directory_still_has_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir(mode=0o700)
    assert len(paths.socket_path(str(deep), "20261121T055312123-9f8e7d6c")) <= paths.SOCKET_PATH_MAX

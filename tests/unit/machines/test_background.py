"""machines/background.py: background work out of the process table and of what the CLIs record."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harnex.machines import background as b
from harnex.model.facts import Background


class Table:
    """A process table that the test moves; `now` in seconds."""

    def __init__(self) -> None:
        self.work = b.Backgrounds()
        self.now = 100.0
        self.processes: dict[int, b.Process] = {}
        self.said: list[b.Change] = []

    def runs(self, pid: int, command: str, parent: int = 1, detached: bool = False) -> None:
        self.processes[pid] = b.Process(pid, f"{pid}@x", parent, command, "main", 1000.0 + self.now, detached)

    def records(self, work: str, command: str, kind: str = "shell", sure: bool = False) -> None:
        fact = Background(work, "started", kind, command, sure=sure)  # type: ignore[arg-type]
        self.said += self.work.take(fact, 1000.0 + self.now)

    def look(self, seconds: float = 0.0) -> list[tuple[str, str, str]]:
        self.now += seconds
        changes = self.work.look(self.processes.values(), self.now)
        self.said += changes
        return [(c.status, c.work.command, c.how) for c in changes]

    @property
    def running(self) -> list[str]:
        return [w.command for w in self.work.running.values()]


def test_a_process_that_no_record_names_counts_when_it_lives_on() -> None:
    """A tool that was killed needs a moment to be gone."""
    t = Table()
    t.runs(10, "/bin/bash -lc make watch")
    t.runs(11, "sleep 0.1")
    t.runs(12, "node x.js", parent=10)
    assert t.look() == [] and t.work.unsure
    assert t.work.wake_at() == pytest.approx(t.now + b.PROOF_S)
    del t.processes[11]
    assert t.look(b.PROOF_S) == [("started", "make watch", "")], (
        "one work, whatever it started; named without its shell"
    )
    assert not t.work.unsure
    del t.processes[10]
    assert t.look(5) == [], "what it started is of it, and lives"
    del t.processes[12]
    assert t.look(5) == [("ended", "make watch", "gone")]


def test_a_recorded_command_is_not_told_twice() -> None:
    t = Table()
    t.records("b1", "make test && echo 'it is done'")
    t.runs(10, "/bin/bash -c -l source /x/snapshot.sh && eval 'make test && echo '\"'\"'it is done'\"'\"'' < /dev/null")
    t.runs(11, "make test", parent=10)
    assert t.look() == [] and t.look(5) == []
    assert t.running == ["make test && echo 'it is done'"]
    t.processes.clear()
    assert t.look(1) == [], "the CLI's own word on its end is waited for"
    assert t.look(b.GONE_S) == [("ended", "make test && echo 'it is done'", "gone")]


def test_a_program_that_changes_its_own_name_is_still_that_command() -> None:
    t = Table()
    t.records("b1", "npm start")
    t.runs(10, "next-server (v14)")
    assert t.look() == [] and t.look(5) == []
    t.runs(20, "tail -f log", detached=True)
    assert t.look() == [] and t.look(b.PROOF_S) == [("started", "tail -f log", "")]


def test_where_the_cli_records_ends_its_word_is_believed() -> None:
    """No process of it was ever seen (it hides, or there is none): it runs until the CLI says otherwise."""
    t = Table()
    t.records("b1", "make", sure=True)
    t.records("b2", "sh x")
    assert t.look() == [] and t.look(b.UNSEEN_S - 1) == []
    assert t.look(1) == [("ended", "sh x", "gone")], "of this one nothing would tell"
    assert t.look(10_000) == [] and t.running == ["make"]
    ended = t.work.take(Background("b1", "ended", how="completed", told=True), 0.0)
    assert [(c.how, c.told) for c in ended] == [("completed", True)]


def test_sub_agents_at_work_have_tools_of_their_own() -> None:
    t = Table()
    t.records("a1", "look around", "agent")
    t.runs(10, "grep -r x")
    assert t.look() == [] and t.look(30) == [] and t.running == ["look around"]
    t.work.take(Background("a1", "ended"), 0.0)
    assert t.look(0.1) == []
    assert t.look(b.PROOF_S) == [("started", "grep -r x", "")], "it outlived the agent"


def test_a_turn_makes_the_table_mean_nothing() -> None:
    t = Table()
    t.runs(10, "make")
    t.look()
    t.work.turn_opened()
    assert not t.work.unsure and t.work.wake_at() is None


@pytest.mark.parametrize("in_turn", [False, True])
def test_the_last_look_knows_what_was_left_running(in_turn: bool) -> None:
    """In the middle of a turn an attached process is of the tool at work; a detached one was left behind."""
    t = Table()
    t.runs(10, "pytest")
    t.runs(11, "python -m http.server", detached=True)
    begun = t.work.look_last(t.processes.values(), t.now, in_turn)
    assert [c.work.command for c in begun] == (
        ["python -m http.server"] if in_turn else ["pytest", "python -m http.server"]
    )
    killed = t.work.all_gone()
    assert [(c.status, c.how) for c in killed] == [("ended", "killed")] * len(begun)
    assert t.running == []


def test_a_shell_that_outlives_a_cli_that_called_it_killed() -> None:
    """Claude Code 2.0.77, headless: the same command, by its own words, not by what the shell was given."""
    t = Table()
    t.records("b1", "make test")
    t.work.take(Background("b1", "ended", how="killed"), 0.0)
    t.runs(10, "/bin/bash -c -l source /x/snapshot.sh && eval 'make test' \\< /dev/null", detached=True)
    (begun,) = t.work.orphaned(t.processes.values(), t.now)
    assert (begun.status, begun.work.command) == ("started", "make test")


@given(st.data())
def test_each_work_begins_and_ends_once(data: st.DataObject) -> None:
    """Whatever comes in whatever order: every end is of something that began, and nothing begins twice before it ended."""
    t = Table()
    open_: set[str] = set()

    def check(changes: Iterable[b.Change]) -> None:
        for change in changes:
            key = change.work.work_id
            assert (key in open_) is (change.status == "ended")
            (open_.remove if change.status == "ended" else open_.add)(key)

    for _ in range(data.draw(st.integers(1, 30))):
        what = data.draw(st.sampled_from(("record", "end", "process", "gone", "look", "turn", "orphaned", "last")))
        number = data.draw(st.integers(1, 4))
        if what == "record":
            kind = data.draw(st.sampled_from(("shell", "agent", "monitor", "timer", "task")))
            fact = Background(f"w{number}", "started", kind, f"command{number}", sure=number % 2 == 0)
            check(t.work.take(fact, 0.0))
        elif what == "end":
            check(t.work.take(Background(f"w{number}", "ended", how="completed"), 0.0))
        elif what == "process":
            t.runs(number, f"sh -c command{number}", parent=data.draw(st.integers(0, 4)), detached=number == 3)
        elif what == "gone":
            t.processes.pop(number, None)
        elif what == "turn":
            t.work.turn_opened()
        elif what == "orphaned":
            check(t.work.orphaned(t.processes.values(), t.now))
        elif what == "last":
            check(t.work.look_last(t.processes.values(), t.now, number % 2 == 0))
        else:
            t.now += data.draw(st.sampled_from((0.0, 0.5, 2.0, 11.0)))
            check(t.work.look(t.processes.values(), t.now))
        assert open_ == set(t.work.running)
    check(t.work.all_gone())
    assert open_ == set()

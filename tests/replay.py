"""Replays a recorded case (tests/record.py) through the product, and compares what the
product says with the truth.

The supervisor's own `Session` runs here: its `think`, its `read_child`, its wake-ups, with the
product's Terminal, Evidence, Activity and Turns. Only the ends towards the world are replaced: the
clock shows the time of the recording, the child's output and the files' rows come from the stream,
and what is written (events, registry) stays in memory.

Two things are imitated, not shared. One is the order of `run`: what is readable is read, then
`think` is called. The other is a source that is found among open files (`find`): it is found at the
product's next look after it was there.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import random
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from harnex import clock, jsonl
from harnex.agents.contract import Reader
from harnex.launch.spec import Spec
from harnex.model import events
from harnex.model.facts import Fact, FindFile, Follow, ScreenView, TurnEnded
from harnex.supervisor.agent import Agent
from harnex.supervisor.evidence import Evidence
from harnex.supervisor.feed import Terminal
from harnex.supervisor.generations import Generations
from harnex.supervisor.helpers import Helpers
from harnex.supervisor.session import Session
from tests.record import CORPUS, NoScript, read_text

EVERY_S = 0.1  # the state is checked this often, and at every label
LATE_S = 2.0  # `prompt` may be held back for so many seconds
# Seconds by which a label that was read off the recorder's screen may be too late.
EARLY_S = 0.25
# Seconds after the end of the stream, for turns that close late.
DRAIN_S = 6.5
BASE = 1000.0

SOURCES = {
    "claude": ("title", "osc7501", "session", "hooks", "transcript"),
    "codex": ("title", "osc7501", "rollout", "notify"),
}


@dataclass(frozen=True)
class Label:
    t: float
    state: str
    dialog: str
    why: str
    uncertain: float
    unknown: bool


@dataclass
class Case:
    path: Path
    about: dict[str, Any]
    items: list[dict[str, Any]]
    labels: list[Label]

    @property
    def name(self) -> str:
        return "/".join(self.path.parts[-3:])

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.about["version"].split("."))

    def sources(self) -> list[str]:
        """The sources that say anything in this case."""
        return [s for s in SOURCES[self.about["cli"]] if s in self.about["sources"]]


def load(path: Path) -> Case:
    items = [json.loads(line) for line in read_text(path / "stream.jsonl").splitlines()]
    labels = [
        Label(x["t"], x["state"], x.get("dialog", ""), x["why"], x["uncertain"], x.get("unknown", False))
        for x in items
        if x["kind"] == "label"
    ]
    return Case(path, json.loads((path / "case.json").read_text()), items, sorted(labels, key=lambda x: x.t))


# ---- the world's ends ----


class Muted(Reader):
    """The adapter's reader with one source switched off ("" for none)."""

    def __init__(self, inner: Reader, off: str) -> None:
        self._inner, self._off = inner, off
        self.reads_draft, self.may_type_unknown = inner.reads_draft, inner.may_type_unknown

    def spawned(self, pid: int, env: Any, cwd: str) -> Iterable[Fact]:
        self._inner.began = self.began
        return self._inner.spawned(pid, env, cwd)

    def osc(self, code: int, body: str) -> Iterable[Fact]:
        off = {"title": (0, 2), "osc7501": (7501,)}.get(self._off, ())
        return () if code in off else self._inner.osc(code, body)

    def _seen(self, view: ScreenView) -> ScreenView:
        return dataclasses.replace(view, title="") if self._off == "title" else view

    def screen(self, view: ScreenView) -> Iterable[Fact]:
        return self._inner.screen(self._seen(view))

    def row(self, source: str, row: dict[str, Any]) -> Iterable[Fact]:
        return () if self._muted(source) else self._inner.row(source, row)

    def document(self, source: str, document: dict[str, Any] | None) -> Iterable[Fact]:
        return () if self._muted(source) else self._inner.document(source, document)

    def _muted(self, source: str) -> bool:
        kind = source.partition(":")[0]
        return self._off == {"main": "rollout", "subagent": "transcript"}.get(kind, kind)

    def submitted(self) -> Iterable[Fact]:
        return self._inner.submitted()

    def proves_prompts(self) -> bool:
        return self._inner.proves_prompts()

    def records_prompts(self) -> bool:
        return self._inner.records_prompts()

    def outcome(self, view: ScreenView) -> TurnEnded | None:
        return self._inner.outcome(self._seen(view))

    def ended(self) -> Iterable[Fact]:
        return self._inner.ended()

    def draft(self, view: ScreenView) -> str | None:
        return self._inner.draft(view)


class _Rows:
    """A followed file, in memory: its content so far."""

    def __init__(self, waiting: list[bytes]) -> None:
        self._waiting = waiting

    def size_changed(self) -> bool:
        return bool(self._waiting)

    def lines(self) -> Iterator[bytes]:
        while self._waiting:
            yield self._waiting.pop(0)


class _Document:
    def __init__(self, states: list[str]) -> None:
        self._states = states

    def changed(self) -> str | None:
        if not self._states:
            return None
        last = self._states[-1]  # a poll sees only the newest state
        self._states.clear()
        return last


class Files(Evidence):
    """The product's Evidence over the stream's rows, by source instead of by path."""

    def __init__(self, reader: Reader, now: float) -> None:
        super().__init__(reader, lambda: (), now)
        self._lines: dict[str, list[bytes]] = {}
        self._states: dict[str, list[str]] = {}
        self._there: list[tuple[str, str]] = []

    def put(self, item: dict[str, Any]) -> None:
        source = item["source"]
        if item["kind"] == "find":
            self._there.append((source, item["pattern"]))
        elif item["kind"] == "row":
            self._lines.setdefault(source, []).append(json.dumps(item["row"]).encode())
        else:
            document = item["document"]
            self._states.setdefault(source, []).append("" if document is None else jsonl.dumps(document))

    def take(self, fact: Follow | FindFile) -> None:
        if isinstance(fact, FindFile):
            super().take(fact)
        elif fact.kind == "document":
            source = fact.source
            self._documents.setdefault(fact.path, (source, _Document(self._states.setdefault(source, []))))  # type: ignore[arg-type]
        elif fact.path not in self._rows:
            source = fact.source
            self._rows[fact.path] = (source, _Rows(self._lines.setdefault(source, [])))  # type: ignore[arg-type]

    def _find(self, now: float, force: bool) -> list[Fact]:
        facts: list[Fact] = []
        for wanted in list(self._finds):
            there = [p for s, p in self._there if s == wanted.source and (p == wanted.held or fnmatch(p, wanted.held))]
            if there or (wanted.paths and not wanted.every and self._lines.get(wanted.source)):
                del self._finds[wanted]
                path = f"/found/{wanted.source}"
                self.take(Follow(wanted.source, path))
                facts += self._reader.found(wanted.source, path)
        return facts


class _Child:
    """A child that gives what the stream says. Keys that are typed go nowhere."""

    fd, pid, started, waiting, at_eof = -1, 0, None, 0, False
    code = signal = None

    def __init__(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)
        self.data = b""

    def read(self) -> bytes:
        data, self.data = self.data, b""
        return data

    def write(self, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def resize(self, columns: int, rows: int) -> None: ...
    def reap(self) -> bool:
        return False


class _Journal:
    """A journal that writes nothing."""

    def __init__(self, spec: Spec, told: list[events.Event]) -> None:
        self.spec, self.heard = spec, told.append
        self.remarked: Callable[[str], None] = lambda what: None
        self.redactor: Any = None
        self.remarks: list[str] = []
        self.log: Any = SimpleNamespace(path="/nowhere/events.jsonl")

    def emit(self, event: events.Event) -> None:
        self.heard(event)

    def diagnose(self, what: str) -> None:
        self.remarks.append(what)
        self.remarked(what)

    def changed(self) -> None: ...
    def step(self, now: float) -> None: ...
    def agent_wrote(self, now: float) -> None: ...
    def look(self, now: float) -> bool:
        return False

    def wake_at(self) -> float | None:
        return None


class _Selector:
    def get_map(self) -> dict[int, Any]:
        return {}


class _Control:
    """A control socket that nobody asks."""

    def wake_at(self, now: float) -> None: ...
    def step(self) -> None: ...


class _Records:
    """Records without git and without files to redact."""

    def step(self, now: float) -> None: ...

    def wake_at(self, now: float) -> float | None:
        return None

    def close(self, now: float) -> bool:
        return True


class ReplayedSession(Session):
    """A Session whose world is the stream."""

    def __init__(self, case: Case, off: str) -> None:
        about = case.about
        spec = Spec(
            state="/nowhere",
            id="replay",
            run_id="replay",
            cli=about["cli"],
            adapter=about["cli"],
            argv=[],
            env={},
            cwd="/nowhere",
            repo="/nowhere",
            mode="detach",
            version=list(case.version),
            version_text=about["version"],
            columns=about["columns"],
            rows=about["rows"],
        )
        super().__init__(spec)
        self.loop.selector.close()
        self.loop.selector = _Selector()  # type: ignore[assignment]
        now = clock.monotonic()
        self.told: list[events.Event] = []
        self.journal = _Journal(spec, self.told)  # type: ignore[assignment]
        self.records = _Records()  # type: ignore[assignment]
        self.control = _Control()  # type: ignore[assignment]
        self.terminal = Terminal(about["columns"], about["rows"], NoScript(), now)  # type: ignore[arg-type]
        self.generations = Generations(spec, self.terminal, self.journal, self.learn)
        adapter, version = self.generations.adapter, self.generations.version
        reader = Muted(adapter.reader(version), off)
        self.files = Files(reader, now)
        self.agent = Agent(
            adapter=adapter,
            version=version,
            reader=reader,
            child=_Child(about["columns"], about["rows"]),  # type: ignore[arg-type]
            terminal=self.terminal,
            activity=self.generations.fresh_activity(now),
            evidence=self.files,  # type: ignore[arg-type]
            helpers=Helpers({}, "/"),
            session_id=None,
            learn=self.learn,
            diagnose=self.journal.diagnose,
        )
        self.wire()


# ---- replaying ----

Maker = Callable[[Case, str], ReplayedSession]


@dataclass
class Sample:
    t: float
    state: str
    dialog: str
    source: str
    reason: str


@dataclass
class Replay:
    samples: list[Sample] = field(default_factory=list)
    turns: list[tuple[str, str]] = field(default_factory=list)  # (outcome, reason) of each turn
    broken: str = ""  # turns that did not have exactly one start and one end
    remarks: list[str] = field(default_factory=list)
    told: list[events.Event] = field(default_factory=list)


def output_of(item: dict[str, Any]) -> bytes:
    return item["data"].encode() if "data" in item else base64.b64decode(item["b64"])


def split(items: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return the same stream with its output cut at random places: the pieces
    come some milliseconds apart."""
    chance = random.Random(seed)
    out: list[dict[str, Any]] = []
    for n, item in enumerate(items):
        if item["kind"] != "output":
            out.append(item)
            continue
        data = output_of(item)
        cuts = sorted({chance.randrange(len(data)) for _ in range(chance.randrange(4))} - {0})
        following = items[n + 1]["t"] if n + 1 < len(items) else item["t"] + 0.05
        room = min(0.06, max(0.0, following - item["t"]))
        edges = [0, *cuts, len(data)]
        for k, (a, b) in enumerate(itertools.pairwise(edges)):
            piece = base64.b64encode(data[a:b]).decode()
            out.append({"t": item["t"] + room * k / len(edges), "kind": "output", "b64": piece})
    return out


def _clock_of(held: dict[str, float]) -> Callable[[], float]:
    return lambda: held["now"]


def replay(case: Case, off: str = "", seed: int | None = None, make: Maker = ReplayedSession) -> Replay:
    """Run the case. The source `off` is left out; `seed` cuts the output at random places."""
    items = case.items if seed is None else split(case.items, seed)
    held = {"now": BASE}
    with mock.patch.object(clock, "monotonic", new=_clock_of(held)):
        return _run(make(case, off), case, items, held)


def _run(session: ReplayedSession, case: Case, items: list[dict[str, Any]], held: dict[str, float]) -> Replay:
    result = Replay()
    end = items[-1]["t"]
    moments = {x.t + x.uncertain for x in case.labels if x.uncertain}
    looks = sorted({round(n * EVERY_S, 3) for n in range(1, int(end / EVERY_S) + 1)} | moments)
    looks = [t for t in looks if t <= end]
    at = look = 0
    now = 0.0
    exited = False
    while now < end + DRAIN_S and not exited:
        wake = session.wake_at()
        times = [end + DRAIN_S, max(wake - BASE, now + 0.001) if wake is not None else 1e9]
        if at < len(items):
            times.append(items[at]["t"])
        if look < len(looks):
            times.append(looks[look])
        now = max(now, min(times))
        held["now"] = BASE + now
        while at < len(items) and items[at]["t"] <= now:
            item = items[at]
            at += 1
            kind = item["kind"]
            if kind == "output":
                while session.terminal.unread:  # the product reads no more before that
                    session.read_child(BASE + now)
                session.agent.child.data = output_of(item)  # type: ignore[union-attr]
                session.read_child(BASE + now)
                break  # one read, one `think`
            if kind == "spawn":
                _spawn(session, item)
            elif kind in ("row", "document", "find"):
                session.files.put(item)
            elif kind == "input":
                session.files.stir(BASE + now)
            elif kind == "exit":
                exited = True
        if exited:
            session.learn(session.files.poll(BASE + now, force=True), BASE + now)
            session.close_turn(BASE + now)
            break
        session.think(BASE + now)
        while look < len(looks) and looks[look] <= now:
            look += 1
            v = session.status.verdict
            result.samples.append(Sample(round(now, 3), v.state.value, v.dialog, v.source, v.reason))
    _count_turns(session, result)
    result.told = session.told
    result.remarks = session.journal.remarks  # type: ignore[attr-defined]
    return result


def _spawn(session: ReplayedSession, item: dict[str, Any]) -> None:
    session.agent.reader.began = item["wall"]
    session.learn(list(session.agent.reader.spawned(item["pid"], item["env"], item["cwd"])), clock.monotonic())


def _count_turns(session: ReplayedSession, result: Replay) -> None:
    is_open = False
    for event in session.told:
        if isinstance(event, events.TurnStarted):
            if is_open:
                result.broken = f"turn {event.turn} began in an open one"
            is_open = True
        elif isinstance(event, events.TaskComplete | events.TurnFailed):
            if not is_open:
                result.broken = f"turn {event.turn} ended twice"
            is_open = False
            if isinstance(event, events.TaskComplete):
                result.turns.append(("completed", ""))
            else:
                result.turns.append((event.outcome, event.reason if event.outcome == "failed" else ""))
    if is_open:
        result.broken = "the last turn was never ended"


# ---- judging ----


@dataclass
class Judgement:
    """The judgement of a case.

    `wrong` is what must not happen. The other fields are counts: late, unknown, other
    (with a source switched off).
    """

    wrong: list[str] = field(default_factory=list)
    late: int = 0
    unknown: int = 0
    other: int = 0
    samples: int = 0


def case_paths() -> list[Path]:
    """Return the recorded cases. The older cases beside them are single screens."""
    return sorted(p.parent for p in CORPUS.glob("*/*/run-*/case.json"))


def modes_of(about: dict[str, Any]) -> list[str]:
    """Return the modes of a case: `whole`, `split`, and `-SOURCE` for each source that
    says anything in the case."""
    return ["whole", "split", *(f"-{s}" for s in SOURCES[about["cli"]] if s in about["sources"])]


def judged(case: Case, mode: str) -> Judgement:
    off = mode[1:] if mode.startswith("-") else ""
    seed = zlib.crc32(case.name.encode()) if mode == "split" else None
    return judge(case, replay(case, off, seed), only_dangerous=bool(off))


def judge(case: Case, result: Replay, only_dangerous: bool = False) -> Judgement:
    """Judge a replay. With `only_dangerous` (a source is switched off), only `prompt` on a busy
    or blocked agent is wrong."""
    found = Judgement()
    labels = case.labels
    runs: dict[tuple[Any, ...], list[Any]] = {}
    for sample in result.samples:
        n = max((k for k, x in enumerate(labels) if x.t <= sample.t), default=-1)
        if n < 0:
            continue
        label = labels[n]
        following = labels[n + 1].t if n + 1 < len(labels) else 1e9
        age = sample.t - label.t
        if age < label.uncertain - 1e-6 or following - sample.t < EARLY_S or label.state == "exited":
            continue
        found.samples += 1
        verdict = _verdict(label, sample, age, only_dangerous)
        if verdict == "wrong":
            key = (n, sample.state, sample.dialog)
            runs.setdefault(key, [sample, sample, 0])
            runs[key][1] = sample
            runs[key][2] += 1
        elif verdict:
            setattr(found, verdict, getattr(found, verdict) + 1)
    for (n, state, dialog), (first, last, count) in runs.items():
        label = labels[n]
        said = f"{state}({dialog})" if dialog else state
        truth = f"{label.state}({label.dialog})" if label.dialog else label.state
        found.wrong.append(
            f"{said} at {first.t:.2f}..{last.t:.2f} ({count}x; {first.source}: {first.reason}), "
            f"truly {truth} since {label.t:.2f} ({label.why})"
        )
    if not only_dangerous:
        if result.broken:
            found.wrong.append(result.broken)
        wanted = case.about.get("turns")
        if wanted is not None:
            same = len(wanted) == len(result.turns) and all(
                w["outcome"] == outcome and w.get("reason") in (None, reason)
                for w, (outcome, reason) in zip(wanted, result.turns, strict=True)
            )
            if not same:
                said = [f"{o}:{r}" if r else o for o, r in result.turns]
                truth = [":".join(w.values()) for w in wanted]
                found.wrong.append(f"turns {said}, truly {truth}")
    return found


def _verdict(label: Label, sample: Sample, age: float, only_dangerous: bool) -> str:
    said, truth = sample.state, label.state
    if said == truth and (truth != "blocked" or sample.dialog == label.dialog):
        return ""
    if truth in ("busy", "blocked") and said == "prompt":
        return "wrong"
    if said == "unknown" and (label.unknown or only_dangerous):
        return "unknown"
    if only_dangerous:
        return "other"
    if truth == "prompt" and said in ("busy", "starting", "unknown") and age < LATE_S:
        return "late"
    return "wrong"


def main(argv: list[str]) -> int:
    """`python -m tests.replay [WORDS...]` replays the cases whose name holds one of the words.

    Each case is replayed in every mode.
    """
    total: dict[str, Judgement] = {}
    for path in case_paths():
        case = load(path)
        if argv and not any(word in case.name for word in argv):
            continue
        for mode in modes_of(case.about):
            found = judged(case, mode)
            sums = total.setdefault(f"{case.about['cli']} {case.about['version']} {mode}", Judgement())
            for name in ("late", "unknown", "other", "samples"):
                setattr(sums, name, getattr(sums, name) + getattr(found, name))
            sums.wrong += found.wrong
            for words in found.wrong:
                print(f"{case.name} {mode}: {words}")
    for name, sums in sorted(total.items()):
        wrong = len(sums.wrong)
        print(
            f"{name}: {sums.samples} looks, {wrong} wrong, {sums.late} late, {sums.unknown} unknown, {sums.other} other"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The golden files of the corpus: every fact, every change of the state, every
event of each recorded case.

- `corpus/<cli>/<version>/<case>.txt`: a recorded run, replayed through the product's own Session
  (`tests/replay.py`). A line is a time (seconds since the start of the case), a kind and a content.
  The kinds: `fact` (what the reader gave to the session), `event` (what the session wrote), `state`
  (the verdict after `think`, whenever it differs from the one before), `wrote` (what the session
  typed), `remark` (a `diagnostic`). Equal facts in a row are one line: `x12 until 3.4`. At the end
  stand the states and events of the same run with one source switched off, so that weaker sources
  decide.
- `corpus/<cli>/<version>/exec-*.txt`: the facts of a headless run, first what was printed, then the
  records.
- `corpus/<cli>/<version>/screens.txt`: the facts that the reader gets from single screens.
- `corpus/shapes.txt`: the fields and defaults of facts and events. The files above leave out a
  field that has its default.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args
from unittest import mock

from harnex import __version__, clock
from harnex.agents.catalogue import adapter_for, headless_for
from harnex.model import events
from harnex.model import facts as model
from harnex.model.facts import Fact, ScreenView
from tests.golden.text import fields, shape, told, utc, value
from tests.record import CORPUS, read_text
from tests.replay import BASE, Case, ReplayedSession, case_paths, load, replay

FOLDERS = ("corpus",)
# The lines that are kept of a run with one source switched off.
KINDS_OFF = ("state", "event", "remark")
HELPERS = (model.OpenView,)  # what facts hold besides plain values


class Lines:
    """The lines of one case.

    Equal facts in a row are counted, with the times of the first and the last.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self._held = ("", "")  # time, content
        self._last, self._count = "", 0

    def add(self, at: float, kind: str, content: str) -> None:
        stamp, words = f"{at:.3f}", f"{kind:<6} {content}".rstrip()
        if kind == "fact" and self._count and words == self._held[1]:
            self._last, self._count = stamp, self._count + 1
            return
        self._flush()
        self._held, self._last, self._count = (stamp, words), stamp, 1

    def _flush(self) -> None:
        if self._count:
            stamp, words = self._held
            self.done.append(f"{stamp:>7} {words}" + (f" x{self._count} until {self._last}" if self._count > 1 else ""))
        self._count = 0

    def text(self, kinds: tuple[str, ...] = ()) -> str:
        """Return all lines, or with `kinds` only those of these kinds."""
        self._flush()
        return "".join(f"{line}\n" for line in self.done if not kinds or line.split(maxsplit=2)[1] in kinds)


class NotedSession(ReplayedSession):
    """A replayed Session that notes what it is given and what it says, in the
    order in which that happens."""

    def __init__(self, case: Case, off: str) -> None:
        self.lines = Lines()
        self._said = ""
        super().__init__(case, off)
        self.agent.child.write = self._wrote  # type: ignore[method-assign,assignment]
        self.journal.heard = self._emitted  # type: ignore[attr-defined]
        self.journal.remarked = self._diagnosed  # type: ignore[attr-defined]

    def _note(self, kind: str, content: str) -> None:
        self.lines.add(clock.monotonic() - BASE, kind, content)

    def learn(self, learned: Iterable[Fact], now: float) -> None:
        super().learn(self._noted(learned), now)

    def _noted(self, learned: Iterable[Fact]) -> Iterator[Fact]:
        for fact in learned:
            self._note("fact", value(fact))
            yield fact

    def think(self, now: float) -> None:
        super().think(now)
        v = self.status.verdict
        named = {"dialog": v.dialog, "source": v.source, "reason": v.reason, "view": v.view}
        said = f"{v.state.value} " + fields({name: found for name, found in named.items() if found})
        if said != self._said:
            self._said = said
            self._note("state", said)

    def _emitted(self, event: events.Event) -> None:
        self.told.append(event)
        self._note("event", event_words(event))

    def _wrote(self, data: bytes) -> None:
        # The terminal names itself with harnex's version, which each release changes.
        if data:
            self._note("wrote", value(data.replace(f"harnex({__version__})".encode(), b"harnex(VERSION)")))

    def _diagnosed(self, what: str) -> None:
        self._note("remark", value(what))


def event_words(event: events.Event) -> str:
    """An event whose fields have the names of the log."""
    named = told(event)
    return f"{event.type} " + fields({"from" if n == event.from_field else n: found for n, found in named.items()})


# ---- recorded runs ----


def run_text(path: Path) -> str:
    """Return the golden text of one recorded run: first whole, then its states
    with one source switched off."""
    case = load(path)
    text = played(case, "").text()
    if off := switched_off(case):
        text += f"== without {off}\n" + played(case, off).text(KINDS_OFF)
    return text


def switched_off(case: Case) -> str:
    """Return one of the case's sources, "" if it has none. Different cases
    may get different sources.

    Without that source, the weaker sources decide.
    """
    sources = case.sources()
    return sources[zlib.crc32(case.name.encode()) % len(sources)] if sources else ""


def played(case: Case, off: str) -> Lines:
    """Return what was noted when the case was replayed without the source
    `off` ("": with all sources)."""
    made = list[NotedSession]()
    began = next((item["wall"] for item in case.items if item["kind"] == "spawn"), 0.0)

    def make(case: Case, off: str) -> NotedSession:
        made.append(NotedSession(case, off))
        return made[0]

    def wall() -> float:
        return float(began + clock.monotonic() - BASE)

    with utc(), mock.patch.object(clock, "wall", new=wall):
        replay(case, off, make=make)
    return made[0].lines


# ---- headless runs ----


def exec_text(path: Path) -> str:
    """Return the facts of a recorded headless run."""
    about = json.loads((path / "about.json").read_text())
    reader: Any = headless_for(about["cli"]).reader(tuple(map(int, about["version"].split("."))))
    rows = [("stream", row) for row in rows_of(path / "stream.jsonl")]
    rows += [(row["source"], row["row"]) for row in rows_of(path / "records.jsonl")]
    out = [f"spawned {value(fact)}" for fact in reader.spawned(1, {"HOME": "/home"}, "/work")]
    with utc():
        for n, (source, row) in enumerate(rows):
            out += [f"{n} {source} {value(fact)}" for fact in reader.row(source, row)]
        out += [f"ended {value(fact)}" for fact in reader.ended()]
    return "".join(f"{line}\n" for line in out)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_text(path).splitlines() if line]


# ---- single screens ----


def screens_text(folder: Path) -> str:
    """Return what is said about each single screen of a version."""
    cli, version = folder.parts[-2:]
    adapter = adapter_for(cli)
    out = []
    with utc():
        for path in sorted(p.parent for p in folder.glob("*/case.json")):
            about = json.loads((path / "case.json").read_text())
            reader = adapter.reader(tuple(map(int, version.split("."))))
            out += [f"{path.name} {value(fact)}" for fact in reader.screen(view_of(path, about))]
    return "".join(f"{line}\n" for line in out)


def view_of(path: Path, about: dict[str, Any]) -> ScreenView:
    lines = tuple(line.rstrip() for line in read_text(path / "screen.txt").split("\n"))
    cursor = about.get("cursor") or (0, 0)
    return ScreenView(
        lines[: about.get("rows", len(lines))],
        (cursor[0], cursor[1]),
        about.get("cursor_hidden", False),
        about["columns"],
        about["title"],
        about.get("alternate", False),
    )


# ---- all ----


def shapes_text() -> str:
    kinds = [*get_args(model.Fact), *HELPERS]
    out = [shape(kind) for kind in kinds]
    out += [f"event {name}: {shape(kind)}" for name, kind in sorted(events.EVENT_TYPES.items()) if name]
    return "".join(f"{line}\n" for line in out)


def versions() -> list[Path]:
    """Return the folders of the corpus, one for each version of a CLI."""
    return sorted(path for path in CORPUS.glob("*/*") if path.is_dir())


def files_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the golden files of one version: path and text. Lazy."""
    place = f"corpus/{folder.parts[-2]}/{folder.parts[-1]}"
    for path in case_paths():
        if path.parent == folder:
            yield f"{place}/{path.name}.txt", run_text(path)
    for path in sorted(folder.glob("exec-*")):
        yield f"{place}/{path.name}.txt", exec_text(path)
    yield f"{place}/screens.txt", screens_text(folder)


def files() -> Iterator[tuple[str, str]]:
    """Yield all golden files of the corpus: path and text. Lazy."""
    yield "corpus/shapes.txt", shapes_text()
    for folder in versions():
        yield from files_of(folder)

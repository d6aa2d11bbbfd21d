"""Where `harnex usage` gets its records: the events of runs, or the CLIs' own files."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from harnex import clock, jsonl, output, paths, times
from harnex.agents.catalogue import logs_for
from harnex.agents.common.logfile import Log, turn_at
from harnex.agents.roles import Readers
from harnex.errors import HarnexError
from harnex.store import history, registry
from harnex.store.registry import is_named
from harnex.usage import forks, logs
from harnex.usage import sums as usage
from harnex.usage.prices import Prices

CALL = b'"type":"call"'  # as `store.eventlog` writes it
REST = b'"type":"usage_rest"'
FORK_FROM = 24 << 20  # bytes: another process takes 10 ms to begin with
PROGRESS_FROM = 32 << 20  # bytes: less is read before one has looked


@dataclass(slots=True)
class Run:
    """One run of harnex: who it was, and its events."""

    row: dict[str, Any]
    directory: str
    missing: int = 0  # calls that its supervisor counted and its log does not hold, once `records` were read

    def records(self) -> Iterator[dict[str, Any]]:
        who = {k: self.row.get(k) for k in ("id", "run_id", "cli", "repo")}
        who["session"] = self.row.get("agent_session_id")
        n, unknown = 0, dict[str, dict[str, Any]]()
        for event in self.events((CALL, REST)):
            if event.get("type") == "call":
                n += 1
                record = usage.record(event, n=n, **who)
                if record["output_tokens"] is None:
                    unknown[str(record["call_id"])] = record
                yield record
            elif event.get("type") == "usage_rest":
                found = usage.rest(event, **who)
                yield {**found, "of": [unknown[i] for i in found["call_ids"] if i in unknown]}
        counted = self.row.get("calls")
        self.missing = max(0, counted - n) if isinstance(counted, int) else 0

    def events(self, needles: tuple[bytes, ...] = ()) -> Iterator[dict[str, Any]]:
        """Its events; with `needles` the lines that hold one of them."""
        try:
            with open(os.path.join(self.directory, "events.jsonl"), "rb") as f:
                for line in f:
                    if not needles or any(needle in line for needle in needles):
                        row = jsonl.loads_dict(line)
                        if row is not None:
                            yield row
        except FileNotFoundError:
            return
        except OSError as e:
            raise HarnexError(f"can't read the events of {self.row.get('id')}: {e.strerror}", "harnex doctor") from None


def cost(record: dict[str, Any], prices: Prices) -> float | None:
    """Of a record, be it a call or a rest (whose calls, in `of`, go)."""
    if "call_ids" not in record:
        return prices.cost(record)
    return prices.cost_of_rest(record["output_tokens"], record.pop("of"))


def runs(
    state: str, session_id: str | None, repo: str | None, cli: str | None, everywhere: bool, since: float | None
) -> tuple[list[Run], bool]:
    """The runs meant, oldest first: finished and live ones; and whether they had to be looked for elsewhere."""
    rows = {str(r["run_id"]): r for r in history.rows(state)}
    live = registry.live(state)
    rows.update((str(r["run_id"]), r) for r in live)
    living = {str(r["run_id"]) for r in live}
    found = [rows[run_id] for run_id in sorted(rows)]
    if session_id is not None:
        found = [r for r in found if is_named(r, session_id)]
    if cli is not None:
        found = [r for r in found if r.get("cli") == cli]
    if since is not None:
        found = [r for r in found if r["run_id"] in living or _ended(r) >= since]
    elsewhere = False
    if not everywhere:
        here = paths.repo_root(repo) if repo else paths.here()
        local = [r for r in found if r.get("repo") == here]
        elsewhere = not local and bool(found) and repo is None
        found = local if local or repo is not None else found
    return [Run(r, paths.run_dir(state, str(r["run_id"]))) for r in found], elsewhere


def _ended(row: dict[str, Any]) -> float:
    return times.seconds(row.get("ended_at")) or 0.0


@dataclass
class Files:
    """The CLIs' own files: `records` reads them; then `reports` says what was wrong with which."""

    cli: str
    files: list[str]
    reports: list[logs.Report] = field(default_factory=list)
    turns: dict[str, list[str]] = field(default_factory=dict)  # session -> when its turns began
    calls: int = 0
    repeated: int = 0
    _roots: dict[str, str | None] = field(default_factory=dict)  # directory -> its repository

    def _readers(self) -> Readers:
        return logs_for(self.cli).readers(self.files, logs.FILES)

    def records(self, full: bool, since: float | None = None, redact: Callable[[str], str] = str) -> Iterator[Any]:
        reader_of = self._readers()
        seen: set[str] = set()
        progress = Progress(self.files)
        try:
            for number, path in enumerate(self.files):
                report, ids = logs.Report(path), list[str]()
                self.reports.append(report)
                log = reader_of(number, full)
                for record in self._of_file(report, log, full, since, redact, seen, ids, progress):
                    if "call_ids" not in record:
                        self.calls += 1
                        progress.calls = record["n"] = self.calls
                    yield record
                seen.update(ids)
                self.repeated += report.repeated
        finally:
            progress.done()

    def _of_file(
        self,
        report: logs.Report,
        log: Log,
        full: bool,
        since: float | None,
        redact: Callable[[str], str],
        seen: set[str],
        ids: list[str],
        progress: Progress | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The calls of one file without those that are in `seen`, or twice in it; the ids of all go to `ids`."""
        more = progress.more if progress is not None and progress.wanted else None
        own: set[str] = set()
        unknown: dict[str, dict[str, Any]] = {}  # calls that do not tell their output
        for logged in logs.read(report.path, log, report, more):
            call = logged.call
            if call.call_id in own or call.call_id in seen:
                report.repeated += 1
                continue
            own.add(call.call_id)
            ids.append(call.call_id)
            report.calls += not logged.rest
            if since is not None and not _after(logged.at, since):
                continue
            if logged.cwd not in self._roots:
                self._roots[logged.cwd] = paths.repo_root(logged.cwd) if logged.cwd else None
            record: dict[str, Any] = {
                "n": None,
                "ts": logged.at or None,
                "id": None,
                "run_id": None,
                "cli": self.cli,
                "repo": self._roots[logged.cwd],
                "session": logged.session or None,
                "call_id": call.call_id,
                "turn": logged.turn,
                "agent": call.agent,
                "model": call.model,
                "input_tokens": call.input_tokens,
                "cache_read_tokens": call.cache_read_tokens,
                "cache_write_tokens": call.cache_write_tokens,
                "output_tokens": call.output_tokens,
                "reasoning_tokens": call.reasoning_tokens,
                "total_tokens": call.total_tokens,
                "cost_usd": None,
                "stop_reason": call.stop_reason,
                "duration_s": call.duration_s,
                "attempts": call.attempts,
                "source": call.source,
                "partial": call.partial,
                "text_preview": redact(call.text_preview) if full and call.text_preview else "",
                "raw": call.raw,
            }
            if logged.rest:
                found = usage.rest(record, call_ids=logged.rest)
                record = {**found, "of": [unknown[i] for i in logged.rest if i in unknown]}
            elif call.output_tokens is None:
                unknown[call.call_id] = record
            yield record
        if log.turns and log.session:
            self.turns.setdefault(log.session, list(log.turns))

    def sums(self, by: str, prices: Prices, since: float | None, repo: str | None) -> usage.Groups:
        """All calls, summed: file by file, where there is much of it in several processes. A file in which a call is
        told that another one has told already is read once more, now without those: it takes its turn in the order."""
        reader_of = self._readers()
        sizes = [_size(path) for path in self.files]
        progress = Progress(self.files)
        groups, seen = usage.Groups(by), set[str]()

        def work(n: int) -> tuple[Any, ...]:
            progress.at(sum(sizes[:n]))
            report = logs.Report(self.files[n])
            ids: list[str] = []
            part = usage.Groups(by)
            log = reader_of(n, False)
            for record in self._of_file(report, log, False, since, str, seen, ids):
                if repo is None or record["repo"] == repo:
                    record["cost_usd"] = cost(record, prices)
                    part.add(record)
            return ids, part.packed(), dataclasses.astuple(report)

        many = len(self.files) > 1 and sum(sizes) >= FORK_FROM and forks.cores() > 1
        try:
            done = forks.spread(work, len(self.files), forks.cores() if many else 1, prices.remember)
        finally:
            progress.done()
        for n, (ids, packed, report) in enumerate(done):
            if not seen.isdisjoint(ids):
                ids, packed, report = work(n)
            seen.update(ids)
            groups.merge(packed)
            self.reports.append(logs.Report(*report))
            self.repeated += self.reports[-1].repeated
        return groups

    def attribute(self, records: list[dict[str, Any]]) -> None:
        """Give calls of sub-agents the turn of their session in which they were made, by the time."""
        starts = {
            session: [s for s in map(times.seconds, stamps) if s is not None] for session, stamps in self.turns.items()
        }
        for r in records:
            if r["turn"] is None and r["session"] in starts:
                r["turn"] = turn_at(starts[r["session"]], r["ts"] or "")

    def problems(self) -> list[dict[str, Any]]:
        return [
            {k: v for k, v in dataclasses.asdict(r).items() if k != "size"} for r in self.reports if r.words() or r.torn
        ]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _after(at: str, since: float) -> bool:
    when = times.seconds(at)
    return when is None or when >= since  # a call without a time can't be left out


def own_folders(cli: str) -> list[str]:
    """Where a CLI keeps its sessions. Raises HarnexError if that is not known."""
    folders = logs_for(cli).folders(os.path.expanduser("~"), os.environ)
    if not folders:
        raise HarnexError(f"harnex does not know where {cli} keeps its files", f"harnex usage --from {cli} PATH...")
    return [folders[0], *(folder for folder in folders[1:] if os.path.isdir(folder))]


class Progress:
    """How far reading is, on a terminal's last line, for work that is long enough to wonder."""

    def __init__(self, files: list[str]) -> None:
        self.calls = 0
        self._read = 0
        self._shown = 0.0
        self._total = 0
        self.wanted = sys.stderr.isatty()
        if self.wanted:
            self._total = sum(map(_size, files))
            self.wanted = self._total >= PROGRESS_FROM

    def more(self, size: int) -> None:
        self._read += size
        now = clock.monotonic()
        if now - self._shown >= 0.2:
            self._shown = now
            words = f"{self._read / 1e6:,.0f} of {self._total / 1e6:,.0f} MB"
            words += f", {self.calls:,} calls" if self.calls else ""
            output.draw(sys.stderr, output.WIPE)
            sys.stderr.write(words)
            sys.stderr.flush()

    def at(self, size: int) -> None:
        """So much of it has been read, or is being read by somebody."""
        if self.wanted:
            self._read = size
            self.more(0)

    def done(self) -> None:
        if self._shown:
            output.draw(sys.stderr, output.WIPE)
            sys.stderr.flush()

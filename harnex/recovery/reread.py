"""Read the agent's own files once more, after everything has ended, for what
a dead supervisor missed.

The files are those that the supervisor noted as it followed them (evidence.py). A file that
the agent opened later is not found. Each file is read from where the first reading began,
so that the reader sees whole calls and turns. The caller tells apart what the log has
already (call ids, texts).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from harnex import jsonl
from harnex.agents import catalogue
from harnex.agents.contract import Reader
from harnex.errors import HarnexError
from harnex.model.facts import AgentSession, Fact, ModelCall, Rest, Submitted, TurnEnded
from harnex.store.tail import LineTail
from harnex.supervisor.evidence import FollowedFiles
from harnex.zones import zone_of

COMPARED = 500  # how many characters of two prompts are compared


@dataclass
class Seen:
    """What the agent's files hold of a run, from its start to its end."""

    calls: list[ModelCall] = field(default_factory=list)
    rests: list[Rest] = field(default_factory=list)
    # Source -> normalised text -> how often.
    prompts: dict[str, Counter[str]] = field(default_factory=dict)
    # Source -> end of its last turn, None if that turn did not end.
    ends: dict[str, TurnEnded | None] = field(default_factory=dict)
    agent_session_id: str | None = None
    files: int = 0
    # Sources that report a prompt early: the agent may never write that prompt down.
    signals: tuple[str, ...] = ()

    def submitted(self, text: str) -> int:
        """Return how often the agent recorded a prompt, by the source that has it most often."""
        return max((count[normal(text)] for count in self.prompts.values()), default=0)

    def kept(self, text: str) -> int | None:
        """Return how often the conversation that the agent keeps (and resumes) has a prompt.

        None if unknown. Hooks report a prompt before the agent keeps it: Claude Code writes its
        transcript up to 100 ms later (2.1.329).
        """
        kept = [count for source, count in self.prompts.items() if source not in self.signals]
        return max(count[normal(text)] for count in kept) if kept else None

    @property
    def end(self) -> TurnEnded | None:
        """How the last turn ended, by a source that knows the last prompt. None if unknown."""
        most = max((count.total() for count in self.prompts.values()), default=0)
        for source, count in self.prompts.items():
            end = self.ends.get(source)
            if count.total() == most and end is not None:
                return end
        return None


def normal(text: str) -> str:
    """Return a prompt's words, for comparing prompts.

    Adapters guard a text with invisible characters, and agents change blanks.
    """
    return " ".join(re.findall(r"\w+", text))[:COMPARED] or text.strip()


def was_kept(run_dir: str, adapter: str) -> bool:
    """Whether there is a conversation to go on with. Unknown files count as kept.

    Claude Code writes its transcript a moment after it reports a turn. Killed in that moment, it
    leaves an empty transcript, which it does not resume (2.0.77).
    """
    rows = FollowedFiles(run_dir).rows()
    files = [r["path"] for r in rows if r.get("source") in catalogue.kind(adapter).conversation]
    return not files or any(os.path.exists(path) and os.path.getsize(path) > 0 for path in files)


def read_again(run_dir: str, start: dict[str, Any], pid: int | None, began: float) -> Seen:
    """Read the followed files of a run once, whole.

    `start` is its start.json, `began` epoch seconds.
    """
    seen = Seen()
    try:
        adapter = catalogue.adapter_for(str(start.get("adapter")))
    except HarnexError:  # the package that added the adapter is gone, or broken
        return seen
    seen.signals = catalogue.signals(start["adapter"])
    version = start.get("version")
    env = {str(k): str(v) for k, v in (start.get("env") or {}).items()}
    zone = zone_of(env) if env else None  # of a run whose environment is not known: ours

    def reader_of(pid: int, began: float) -> Reader:
        reader = adapter.reader(tuple(version) if version else None)
        reader.began, reader.zone = began, zone
        _take(seen, reader.spawned(pid, env, start["cwd"]))
        return reader

    reader, known = reader_of(pid or 0, began), set()
    for followed in FollowedFiles(run_dir).rows():
        kind, path, source = followed.get("kind"), followed["path"], str(followed.get("source"))
        if kind == "process":
            _take(seen, reader.ended())
            reader = reader_of(int(followed.get("pid") or 0), float(followed.get("began") or began))
        # Skip documents: they describe a moment that has passed. Skip files that a later process
        # continues: they were read whole.
        if kind in ("process", "document") or path in known:
            continue
        known.add(path)
        seen.files += 1
        for line in LineTail(path, followed["offset"]).lines():
            row = jsonl.loads_dict(line)
            if row is not None:
                _take(seen, reader.row(source, row))
    _take(seen, reader.ended())
    return seen


def _take(seen: Seen, facts: Iterable[Fact]) -> None:
    for fact in facts:
        if isinstance(fact, ModelCall):
            seen.calls.append(fact)
        elif isinstance(fact, Rest):
            seen.rests.append(fact)
        elif isinstance(fact, Submitted):
            seen.prompts.setdefault(fact.source, Counter())[normal(fact.text)] += 1
            seen.ends[fact.source] = None
        elif isinstance(fact, TurnEnded) and not fact.pending:
            seen.ends[fact.source] = fact
        elif isinstance(fact, AgentSession):
            seen.agent_session_id = fact.session_id

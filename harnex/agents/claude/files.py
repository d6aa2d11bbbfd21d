"""Claude Code's own files: `~/.claude/projects/<directory>/<session>.jsonl`, and a transcript for each sub-agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from posixpath import join, split  # on texts alone

from harnex.agents.claude.chat import ClaudeBodies
from harnex.agents.claude.log import ClaudeLog
from harnex.agents.common.chat import Chat
from harnex.agents.roles import Files, Logs, Readers

PART = "agent-"  # what the transcripts of sub-agents begin with
ROWS = ".jsonl"


def agent_types(paths: Iterable[str], files: Files) -> dict[str, str]:
    """Sub-agents' types by id, from the small files that 2.1 writes beside their transcripts."""
    types = {}
    for path in paths:
        folder, name = split(path)
        if not (name.startswith(PART) and name.endswith(ROWS)):
            continue
        meta = files.document(join(folder, name.removesuffix(ROWS) + ".meta.json"))
        if meta is not None and isinstance(meta.get("agentType"), str):
            types[name.removeprefix(PART).removesuffix(ROWS)] = meta["agentType"]
    return types


class ClaudeLogs(Logs):
    def folders(self, home: str, env: Mapping[str, str]) -> Sequence[str]:
        return (join(env.get("CLAUDE_CONFIG_DIR") or join(home, ".claude"), "projects"),)

    def further(self, path: str, files: Files) -> Iterator[str]:
        """Sub-agents' transcripts: in `<session>/subagents/` (2.1), or beside it with the same `sessionId` (2.0)."""
        folder, name = split(path)
        session = name.removesuffix(ROWS)
        if self.is_part(name) or session == name:
            return
        own = join(folder, session, "subagents")
        if files.is_folder(own):
            yield own
        for other in files.names(folder):
            if other.startswith(PART) and other.endswith(ROWS):
                beside = join(folder, other)
                row = files.first_row(beside)
                if row is not None and row.get("sessionId") == session:
                    yield beside

    def is_part(self, name: str) -> bool:
        return name.startswith(PART)  # its parent names it

    def readers(self, paths: Sequence[str], files: Files) -> Readers:
        types = agent_types(paths, files)
        return lambda number, full: ClaudeLog(types, full)

    def chats(self, agent: str, paths: Sequence[str], files: Files) -> Callable[[], Chat]:
        types = agent_types(paths, files)
        kind, _, name = agent.rpartition(":")
        if kind:
            types[name] = kind
        return lambda: ClaudeBodies(agent, types)


LOGS = ClaudeLogs()

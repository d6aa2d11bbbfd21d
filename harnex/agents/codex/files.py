"""Codex's own files: `$CODEX_HOME/sessions/Y/M/D/rollout-*.jsonl`, and those that it archived."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from posixpath import join  # on texts alone

from harnex.agents.codex.chat import CodexBodies
from harnex.agents.codex.kin import Kin
from harnex.agents.codex.log import CodexLog
from harnex.agents.common.chat import Chat
from harnex.agents.roles import Files, Logs, Readers


class CodexLogs(Logs):
    def folders(self, home: str, env: Mapping[str, str]) -> Sequence[str]:
        base = env.get("CODEX_HOME") or join(home, ".codex")
        return join(base, "sessions"), join(base, "archived_sessions")

    def readers(self, paths: Sequence[str], files: Files) -> Readers:
        places = Kin(paths, files).places()
        return lambda number, full: CodexLog(full, places[number])

    def chats(self, agent: str, paths: Sequence[str], files: Files) -> Callable[[], Chat]:
        return CodexBodies


LOGS = CodexLogs()

"""Where Claude Code keeps a conversation, for a session whose hooks don't name the file. Pure.

`<configuration>/projects/<folder>/<session>.jsonl`. The folder is made of the working directory, by rules that differ:
every character but letters and digits becomes `-`; 2.1 cuts long ones off and adds a hash, takes the directory of
`--worktree`, and a name of its own from CLAUDE_CODE_PROJECT_DIR_NAME. The session's id is unique, so every folder is
looked in. The configuration is `~/.claude`, or what CLAUDE_CONFIG_DIR says: in the environment, which a wrapper may
set, or in the `env` of a settings file (2.0.77 obeys that of a project, 2.1.329 does not).

What makes records go missing (measured: 2.0.77, 2.1.197, 2.1.329):

- no hooks: `disableAllHooks` in any settings file, `--settings` or managed settings, `allowManagedHooksOnly` in managed settings;
  `--bare`, CLAUDE_CODE_SIMPLE, `--safe-mode`, CLAUDE_CODE_SAFE_MODE (2.1.329; 2.0.77 does not know them); also in mid-run.
- no transcript: `cleanupPeriodDays: 0` (2.0.77; 2.1.329 refuses it by a dialog), CLAUDE_CODE_SKIP_PROMPT_HISTORY, also in the
  `env` of settings (2.1.329; 2.0.77 does not know it), `--no-session-persistence` (with `-p` only).
- neither: `--setting-sources`, CLAUDE_CODE_CHILD_SESSION, CLAUDE_CODE_PERSONAL_HOOKS_OFF.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from glob import escape

from harnex.agents.contract import LaunchRequest
from harnex.model.facts import FindFile

CONFIG = "CLAUDE_CONFIG_DIR"
# How the launch tells the reader, by the child's environment; what an outer session set must not be taken for that.
HOOKS = "HARNEX_CLAUDE_HOOKS"  # the file that the hooks write to
BEGINS = "HARNEX_CLAUDE_SESSION"  # the conversation that begins with this process
RESUMES = "HARNEX_CLAUDE_RESUMES"  # the one that it goes on with, if its id is known
SETTINGS = "HARNEX_CLAUDE_CONFIG"  # configuration directories that settings name, with `:` between
OURS = (HOOKS, BEGINS, RESUMES, SETTINGS)
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MANAGED = "/etc/claude-code/managed-settings.json"


def named_in_settings(request: LaunchRequest, own: Mapping[str, object]) -> str:
    """For `SETTINGS`: what the settings files of this start name as configuration directory, `own` among them."""
    home = request.env.get(CONFIG) or f"{request.env.get('HOME', '').rstrip('/')}/.claude"
    project = f"{request.cwd.rstrip('/')}/.claude"
    files = (f"{home}/settings.json", f"{project}/settings.json", f"{project}/settings.local.json", MANAGED)
    found: dict[str, None] = {}
    for settings in (own, *map(_parsed, map(request.read_text, files))):
        env = settings.get("env")
        value = env.get(CONFIG) if isinstance(env, dict) else None
        if isinstance(value, str) and value.startswith("/") and ":" not in value:
            found[value] = None
    return ":".join(found)


def _parsed(text: str | None) -> Mapping[str, object]:
    try:
        settings = json.loads(text or "")
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


class Search:
    """The search for the transcripts of one process's conversations, each once."""

    def __init__(self, env: Mapping[str, str] | None = None, began: float = 0.0, resumes: str = "") -> None:
        """`began`: epoch seconds, just before its start. `resumes`: the conversation of a process before it."""
        self._env, self._began = env or {}, began
        self.begins = "" if resumes else self._env.get(BEGINS, "")
        self.known = self.begins or resumes or self._env.get(RESUMES, "")  # the conversation, as far as the start tells
        self.sought: set[str] = set()

    def seek(self, session: str) -> Iterator[FindFile]:
        """Look for the file of this conversation, else of the one that is `known`."""
        session = session or self.known
        if session and session not in self.sought:
            self.sought.add(session)
            yield FindFile("transcript", paths=tuple(self._paths(session)), since=self.since(session))

    def since(self, session: str) -> float:
        """From when on the rows of a conversation's file count: all do, if it began with this process."""
        return 0.0 if session == self.begins else self._began

    def where(self, session: str) -> str:
        """For people: where the file of a conversation would be."""
        home = self._env.get(CONFIG) or f"{self._env.get('HOME', '').rstrip('/')}/.claude"
        return f"{home}/projects/*/{session or self.known or '(unknown)'}.jsonl"

    def _paths(self, session: str) -> Iterator[str]:
        for directory in dict.fromkeys(_directories(self._env)):
            yield f"{directory}/projects/*/{escape(session)}.jsonl"


def subagents(path: str, old: bool, since: float) -> FindFile:
    """The search for the sub-agents' files of the conversation in `path`; `old`: they are beside it (2.0)."""
    folder = path.rpartition("/")[0] if old else f"{path.removesuffix('.jsonl')}/subagents"
    return FindFile("subagent", paths=(f"{escape(folder)}/agent-*.jsonl",), every=True, since=since)


def _directories(env: Mapping[str, str]) -> Iterator[str]:
    known = [env.get(CONFIG) or f"{env.get('HOME', '').rstrip('/')}/.claude", *env.get(SETTINGS, "").split(":")]
    yield from (escape(directory) for directory in known if directory)
    yield f"${CONFIG}"
    yield "$HOME/.claude"

"""The agent CLIs that harnex knows: one line each. Everything else runs under `generic`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from harnex.agents.contract import Adapter

if TYPE_CHECKING:
    from harnex.agents.common.logfile import Log, Place

NAMES = ("codex", "claude", "paseo", "demo", "generic")
AGENTS = ("codex", "claude", "paseo")  # those that a person would name; the others are means
PACKAGES = {"codex": "@openai/codex", "claude": "@anthropic-ai/claude-code", "paseo": "@getpaseo/cli"}  # of npm
# What each calls itself in the answer to `--version`: `2.1.329 (Claude Code)`, `codex-cli 0.169.0`, `0.1.65-beta.5`.
TITLES = {"codex": ("codex-cli", "codex"), "claude": ("Claude Code", "claude"), "paseo": ("paseo",)}
TAKES = {"paseo": ("provider", "paseo-host", "adopt")}  # options of `run` that only this adapter takes
REHEARSED_AS = {"paseo": ("claude", "codex")}  # it runs these, so its rehearsal is theirs


def adapter_for(name: str) -> Adapter:
    """The adapter of that name (imported only now). Raises KeyError for one that does not exist."""
    if name not in NAMES:
        raise KeyError(name)
    return cast(Adapter, import_module(f"harnex.agents.{name}.adapter").ADAPTER)


HEADLESS = {"claude": "claude.headless", "codex": "codex.headless"}  # the modules that know the CLI without a terminal


def headless_for(name: str) -> Adapter:
    """The same CLI without a terminal. Raises KeyError for one that has no such mode."""
    return cast(Adapter, import_module(f"harnex.agents.{HEADLESS[name]}").ADAPTER)


def name_for(command: str) -> str:
    """The adapter for a command as a person typed it: a known name, the path of one, or `generic`."""
    base = command.rsplit("/", 1)[-1]
    return base if base in NAMES else "generic"


def log_of(name: str, types: dict[str, str], full: bool, place: Place | None = None) -> Log:
    """A reader for one file of that CLI's own records, at this place among others. Raises KeyError for a CLI whose records
    harnex can't read."""
    if name == "claude":
        from harnex.agents.claude.log import ClaudeLog

        return ClaudeLog(types, full)
    if name == "codex":
        from harnex.agents.codex.log import CodexLog

        return CodexLog(full, place)
    raise KeyError(name)

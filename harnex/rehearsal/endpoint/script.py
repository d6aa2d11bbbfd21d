"""The rehearsal script: what the model answers, call by call. Pure: parsing, checking, choosing.

    {"calls": [STEP, ...], "agents": {"<words of a sub-agent's first prompt>": [STEP, ...]},
     "default": STEP, "monitor": "block", "seed": 1, "usage_delay": [0.1, 0.8], ...}

How answers come (`pace.PACE_KEYS`) is set at the top for all steps, and in a step for that step.

`monitor` is the reply to Claude Code's auto mode when it asks a model whether an action is safe.
The tools of a rehearsal really run, and nothing here can judge them, so the reply is "block" unless
the script's author says "allow".

`parse` takes the decoded JSON and returns a `Script`, or raises `ScriptError` with one line that
says which entry is wrong, what is wrong, and what is allowed. `Player` hands the steps out.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harnex.rehearsal.endpoint.pace import PACE_KEYS, UNSAID, Pace, parse_pace, words

DONE = "All done. The task is complete."
TOOL_KINDS = ("bash", "write", "read", "ask", "agent", "plan", "todo", "raw")
STEP_KEYS = (
    "text", "pause", "think", "tools", "error", "type", "message", "times", "retry_after", "in_stream",
    "usage_limit", "hang", "drop", "broken", "usage", "stop_reason", "note", *PACE_KEYS,
)  # fmt: skip
USAGE_KEYS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
ERROR_NAMES = ("auth", "credit", "forbidden", "context", "rate_limit", "server", "overloaded")
MONITOR = ("block", "allow")
TODO_STATUS = ("pending", "in_progress", "completed")


class ScriptError(ValueError):
    """The script can't be used. `str()` is one line for the person who wrote the script."""


@dataclass(frozen=True)
class Tool:
    """One tool call.

    `value` by kind: bash, read and plan a str; write (path, content); the others a dict or list.
    """

    kind: str
    value: Any


@dataclass(frozen=True)
class Failure:
    """An HTTP error.

    `name` is one of ERROR_NAMES, or "" for a plain status; `times` is how often it is given.
    """

    status: int
    name: str = ""
    type: str = ""
    message: str = ""
    times: int = 1
    retry_after: float | None = None
    in_stream: str | None = None  # the text before the error, in a stream that began well


@dataclass(frozen=True)
class Step:
    """One answer.

    At most one of `failure`, `usage_limit`, `hang` and `drop` is set; without them the answer is
    normal.

    `usage_limit` is when the limit resets: epoch seconds if > 1e9, otherwise seconds from now.
    `broken`: this many attempts are cut off in the middle before the answer comes.
    """

    text: str = ""
    pause: float = 0.0
    pace: Pace = UNSAID
    think: str = ""
    tools: tuple[Tool, ...] = ()
    failure: Failure | None = None
    usage_limit: float | None = None
    hang: float | None = None
    drop: str | None = None
    broken: int = 0
    usage: Mapping[str, int] = field(default_factory=dict)
    stop_reason: str | None = None

    def cut_off(self) -> Step:
        """An attempt at this answer that breaks in the middle of its first block."""
        said = words(self.text)
        half = "" if self.think else "".join(said[: (len(said) + 1) // 2])
        return replace(self, text="", tools=(), drop=half, stop_reason=None)

    @property
    def final(self) -> bool:
        """Whether this is a refusal that another try will not change."""
        if self.failure is None:
            return self.usage_limit is not None
        return self.failure.name in ("credit", "context", "forbidden") or self.failure.status in (
            400,
            402,
            403,
            404,
            413,
        )


@dataclass(frozen=True)
class Script:
    calls: tuple[Step, ...] = ()
    agents: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    default: Step = Step(text=DONE)
    monitor: str = "block"
    pace: Pace = UNSAID
    seed: int | None = None


def parse(data: Any) -> Script:
    """Check and convert a decoded script. Raises ScriptError."""
    if isinstance(data, list):
        data = {"calls": data}
    _is(data, dict, "script", 'an object {"calls": [...], "agents": {...}, "default": {...}}')
    _only(data, ("calls", "agents", "default", "monitor", "note", "seed", *PACE_KEYS), "script")
    if data.get("monitor", "block") not in MONITOR:
        raise ScriptError(f"monitor: {data['monitor']!r} is not one of {', '.join(MONITOR)}")
    agents = data.get("agents", {})
    _is(agents, dict, "agents", "an object: words of the sub-agent's prompt -> list of steps")
    if "" in agents:
        raise ScriptError('agents[""]: the words to recognise a sub-agent by must not be empty')
    return Script(
        _steps(data.get("calls", []), "calls"),
        {name: _steps(steps, f"agents[{name!r}]") for name, steps in agents.items()},
        _step(data["default"], "default") if "default" in data else Step(text=DONE),
        data.get("monitor", "block"),
        _pace(data, ""),
        _seed(data),
    )


def parse_defaults(data: Any) -> tuple[Pace, int | None]:
    """The pace of answers where a script does not set it, and the seed. Raises ScriptError."""
    _is(data, dict, "defaults", "an object")
    _only(data, ("seed", *PACE_KEYS), "defaults")
    return _pace(data, "defaults."), _seed(data)


def _pace(data: dict[str, Any], where: str) -> Pace:
    try:
        return parse_pace(data, where)
    except ValueError as error:
        raise ScriptError(str(error)) from None


def _seed(data: dict[str, Any]) -> int | None:
    seed = data.get("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ScriptError(f"seed: {seed!r} is not a whole number")
    return seed


def _steps(data: Any, where: str) -> tuple[Step, ...]:
    _is(data, list, where, "a list of steps")
    return tuple(_step(step, f"{where}[{i}]") for i, step in enumerate(data))


def _step(data: Any, where: str) -> Step:
    if isinstance(data, str):
        data = {"text": data}
    _is(data, dict, where, 'an object such as {"text": "..."}, or just a string')
    _only(data, STEP_KEYS, where)
    ends = [k for k in ("error", "usage_limit", "hang", "drop") if k in data]
    if len(ends) > 1:
        raise ScriptError(f"{where}: {' and '.join(ends)} can't be in one step")
    answers = [k for k in ("text", "think", "tools") if k in data]
    if ends and answers:
        raise ScriptError(f"{where}: {ends[0]} can't be in one step with {answers[0]}")
    if not ends and not answers:
        raise ScriptError(f"{where}: says nothing; one of text, think, tools, error, usage_limit, hang, drop is needed")
    for key in ("type", "message", "times", "retry_after", "in_stream"):
        if key in data and "error" not in data:
            raise ScriptError(f"{where}.{key}: only allowed together with error")
    if "broken" in data and ends:
        raise ScriptError(f"{where}: {ends[0]} can't be in one step with broken")
    usage = data.get("usage", {})
    _is(usage, dict, f"{where}.usage", "an object")
    _only(usage, USAGE_KEYS, f"{where}.usage")
    for key, value in usage.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ScriptError(f"{where}.usage.{key}: {value!r} is not a whole number from 0")
    return Step(
        text=_str(data, "text", where),
        pause=_num(data, "pause", where),
        pace=_pace(data, f"{where}."),
        think=_str(data, "think", where),
        tools=_tools(data.get("tools", []), f"{where}.tools"),
        failure=_failure(data, where) if "error" in data else None,
        usage_limit=_limit(data["usage_limit"], f"{where}.usage_limit") if "usage_limit" in data else None,
        hang=_num(data, "hang", where) if "hang" in data else None,
        drop=_str(data, "drop", where) if "drop" in data else None,
        broken=_count(data, "broken", where, 0),
        usage=usage,
        stop_reason=_str(data, "stop_reason", where) or None,
    )


def _failure(data: dict[str, Any], where: str) -> Failure:
    error, status, name = data["error"], 0, ""
    if isinstance(error, str) and error in ERROR_NAMES:
        name = error
    elif isinstance(error, int) and not isinstance(error, bool) and 400 <= error <= 599:
        status = error
    else:
        names = ", ".join(ERROR_NAMES)
        raise ScriptError(f"{where}.error: {error!r} is not a status from 400 to 599 or one of {names}")
    return Failure(
        status,
        name,
        type=_str(data, "type", where),
        message=_str(data, "message", where),
        times=_count(data, "times", where, 1),
        retry_after=_num(data, "retry_after", where) if "retry_after" in data else None,
        in_stream=_str(data, "in_stream", where) if "in_stream" in data else None,
    )


def _limit(data: Any, where: str) -> float:
    _is(data, dict, where, 'an object {"resets_at": seconds from now, or epoch seconds}')
    _only(data, ("resets_at",), where)
    return _num(data, "resets_at", where, 3600.0)


def _tools(data: Any, where: str) -> tuple[Tool, ...]:
    _is(data, list, where, "a list of tool calls")
    return tuple(_tool(tool, f"{where}[{i}]") for i, tool in enumerate(data))


def _tool(data: Any, where: str) -> Tool:
    _is(data, dict, where, 'an object such as {"bash": "echo hi"}')
    if len(data) != 1:
        raise ScriptError(f"{where}: must have exactly one key, one of {', '.join(TOOL_KINDS)}")
    ((kind, value),) = data.items()
    if kind not in TOOL_KINDS:
        raise ScriptError(f"{where}: unknown tool {kind!r}; allowed: {', '.join(TOOL_KINDS)}")
    where = f"{where}.{kind}"
    if kind in ("bash", "read", "plan"):
        _is(value, str, where, "a string")
    elif kind == "write":
        if not (isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)):
            raise ScriptError(f'{where}: must be ["path", "content"]')
        value = tuple(value)
    elif kind == "ask":
        _is(value, dict, where, 'an object {"question": "...", "options": ["A", "B"]}')
        _only(value, ("question", "options"), where)
        options = value.get("options")
        if not isinstance(value.get("question"), str) or not isinstance(options, list) or len(options) < 2:
            raise ScriptError(f'{where}: needs "question" (a string) and "options" (two strings or more)')
        if not all(isinstance(o, str) for o in options):
            raise ScriptError(f"{where}.options: must be strings")
    elif kind == "agent":
        _is(value, dict, where, 'an object {"prompt": "...", "description": "..."}')
        _only(value, ("prompt", "description", "type", "background"), where)
        if not isinstance(value.get("background", False), bool):
            raise ScriptError(f"{where}.background: must be true or false")
        if not _str(value, "prompt", where):
            raise ScriptError(f'{where}: needs "prompt" (a string)')
        _str(value, "description", where)
        _str(value, "type", where)
    elif kind == "todo":
        _is(value, list, where, 'a list of {"text": "...", "status": "pending"}, or strings')
        value = [_todo(item, f"{where}[{i}]") for i, item in enumerate(value)]
    elif kind == "raw":
        _is(value, dict, where, 'an object {"name": "...", "input": {...}}')
        _only(value, ("name", "input"), where)
        if not _str(value, "name", where) or not isinstance(value.get("input", {}), (dict, str)):
            raise ScriptError(f'{where}: needs "name" (a string) and "input" (an object, or a string)')
    return Tool(kind, value)


def _todo(item: Any, where: str) -> dict[str, str]:
    if isinstance(item, str):
        return {"text": item, "status": "pending"}
    _is(item, dict, where, 'an object {"text": "...", "status": "pending"}')
    _only(item, ("text", "status"), where)
    status = item.get("status", "pending")
    if status not in TODO_STATUS:
        raise ScriptError(f"{where}.status: {status!r} is not one of {', '.join(TODO_STATUS)}")
    return {"text": _str(item, "text", where), "status": status}


def _is(value: Any, kind: type, where: str, wanted: str) -> None:
    if not isinstance(value, kind):
        raise ScriptError(f"{where}: {type(value).__name__} where {wanted} is needed")


def _only(data: dict[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in data:
        if key not in allowed:
            raise ScriptError(f"{where}: unknown key {key!r}; allowed: {', '.join(allowed)}")


def _str(data: dict[str, Any], key: str, where: str) -> str:
    value = data.get(key, "")
    _is(value, str, f"{where}.{key}", "a string")
    return str(value)


def _count(data: dict[str, Any], key: str, where: str, least: int) -> int:
    value = data.get(key, least)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ScriptError(f"{where}.{key}: {value!r} is not a whole number from {least}")
    return value


def _num(data: dict[str, Any], key: str, where: str, default: float = 0.0) -> float:
    value = data.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ScriptError(f"{where}.{key}: {value!r} is not a number of seconds from 0")
    return float(value)


class Player:
    """Hands the steps out, in the order in which the calls come. Thread-safe.

    The main thread has one place in `calls`. Each sub-agent (distinguished by `instance`) has its
    own place in the list of the `agents` entry whose words are in its first prompt (the longest
    words, if several entries fit).
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self._lock = threading.Lock()
        # (list, instance) -> (index, times the step was given).
        self._places: dict[tuple[str, str], tuple[int, int]] = {}

    def skip(self, count: int) -> None:
        """Let the main thread begin after `count` steps: an earlier endpoint gave them."""
        self._places["main", ""] = (count, 0)

    def agent_named(self, prompt: str) -> str | None:
        """The entry of `agents` for a sub-agent with this first prompt; None if no entry fits."""
        return max((words for words in self.script.agents if words in prompt), key=len, default=None)

    def take(self, agent: str | None = None, instance: str = "") -> tuple[Step, int | None]:
        """The next step and its index; (default, None) when the list is used up.

        `agent` None means the main thread.
        """
        steps = self.script.calls if agent is None else self.script.agents.get(agent, ())
        key = ("main" if agent is None else f"agent:{agent}", instance)
        with self._lock:
            index, given = self._places.get(key, (0, 0))
            if index >= len(steps):
                return self.script.default, None
            step = steps[index]
            given += 1
            again = step.failure.times - 1 if step.failure is not None else step.broken
            self._places[key] = (index, given) if given <= again else (index + 1, 0)
            return (step.cut_off() if given <= step.broken else step), index

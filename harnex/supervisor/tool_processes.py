"""The processes of an agent's tools, as the system's process table shows them now.

A process belongs to a tool if the adapter says so by its environment (`Reader.whose_tool`).
Candidates are the agent's descendants and all processes with the run's marker, because a detached
process is nobody's descendant any more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

from harnex import process
from harnex.launch.spec import Spec
from harnex.machines.background import Process
from harnex.supervisor.agent import Agent
from harnex.supervisor.evidence import descendants
from harnex.supervisor.sweep import may_live

Whose = Callable[[Mapping[str, str], bool], str]

_booted: float | None = None


class ToolTable:
    """The processes of one agent's tools, except those that the person asked to keep."""

    def __init__(self, spec: Spec, agent: Callable[[], Agent]) -> None:
        self._spec, self._agent = spec, agent

    @property
    def is_known(self) -> bool:
        """Whether the agent's tools can be recognized by their environment."""
        return self._agent().reader.marks_tools

    def look(self) -> list[Process]:
        """Return the tool processes that live now."""
        agent = self._agent()
        found = tools(self._spec.run_id, agent.child.pid, agent.reader.whose_tool)
        return [p for p in found if not may_live(p.command, self._spec.keep)]


def tools(run_id: str, agent: int, whose: Whose) -> list[Process]:
    """Return the living tool processes of the agent whose process is `agent`."""
    if sys.platform != "linux":
        return _by_psutil(run_id, agent, whose)
    marker = b"HARNEX_RUN_ID=" + run_id.encode()
    own = set(descendants(agent))
    group = _group(agent)
    me, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (me, agent):
            continue
        pid = int(name)
        # Read this first: what is read next is then of this very process.
        started = process.start_time(pid)
        data = _read(f"/proc/{name}/environ")
        if started is None or not data or (pid not in own and marker not in data):
            continue
        agent_name = whose(_environment(data), _group(pid) != group)
        fields = _stat(pid)
        if not agent_name or not fields or process.start_time(pid) != started:
            continue
        words = _read(f"/proc/{name}/cmdline").rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        found.append(Process(pid, started, int(fields[1]), words, agent_name, _since(fields), pid not in own))
    return found


def _environment(data: bytes) -> dict[str, str]:
    pairs = (entry.partition(b"=") for entry in data.split(b"\0") if entry)
    return {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, _, v in pairs}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:  # the process has ended, or is another user's
        return b""


def _stat(pid: int) -> list[bytes]:
    """Return the fields of `/proc/PID/stat` after the name: state, ppid, pgrp,
    session, …, start time (19)."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _group(pid: int) -> bytes:
    fields = _stat(pid)
    return fields[2] if len(fields) > 2 else b""


def _since(fields: list[bytes]) -> float:
    """Return a process's start in epoch seconds."""
    global _booted
    if _booted is None:
        lines = _read("/proc/stat").splitlines()
        _booted = next((float(line.split()[1]) for line in lines if line.startswith(b"btime ")), 0.0)
    return _booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _by_psutil(run_id: str, agent: int, whose: Whose) -> list[Process]:
    import psutil

    try:
        root = psutil.Process(agent)
        own = {child.pid for child in root.children(recursive=True)}
        group = os.getpgid(agent)
    except (psutil.Error, OSError):
        own, group = set(), -1
    found = []
    for other in psutil.process_iter():
        if other.pid in (os.getpid(), agent):
            continue
        try:
            env = other.environ()
            if other.pid not in own and env.get("HARNEX_RUN_ID") != run_id:
                continue
            name = whose(env, os.getpgid(other.pid) != group)
            started = process.start_time(other.pid)
            if name and started:
                words = " ".join(other.cmdline())
                apart = other.pid not in own
                found.append(Process(other.pid, started, other.ppid(), words, name, other.create_time(), apart))
        except (psutil.Error, OSError):
            continue
    return found

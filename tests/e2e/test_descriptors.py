"""Few open files (`ulimit -n`) and many connections: the session goes on, or ends as it should."""

from __future__ import annotations

import json
import os
import resource
import socket
import time
from typing import Any

import psutil
import pytest

from .conftest import Harnex

LIMIT = 48


def start(harnex: Harnex, limit: int = LIMIT) -> dict[str, Any]:
    """Start a session whose supervisor may have so many open files. Returns its record."""
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))  # noqa: E731
    harnex.ok("run", "demo", "--detach", "--id", "few", preexec_fn=few)
    return dict(harnex.json("status", "--json", "--id", "few")[0])


def connected(record: dict[str, Any], request: dict[str, Any] | None = None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(record["socket"])
    if request is not None:
        sock.sendall(json.dumps(request).encode() + b"\n")
    return sock


def cpu_s(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def test_sixty_connections_that_ask_for_nothing(harnex: Harnex) -> None:
    """Idle connections leave descriptors free.

    They once took the last descriptor: the supervisor span at 98 % of a processor, answered
    nobody, and died of "a bug".
    """
    record = start(harnex)
    pid = record["supervisor_pid"]
    silent = [connected(record) for _ in range(60)]
    begun, used = time.monotonic(), cpu_s(pid)
    sent = harnex.json("send", "--id", "few", "--message", "hello", "--wait-for-idle", "--timeout", "40")
    assert sent["ok"], sent
    silent += [connected(record) for _ in range(60)]
    waited = harnex.json("wait", "--id", "few", "--until", "prompt", "--timeout", "40")
    assert waited["ok"], waited
    assert len(os.listdir(f"/proc/{pid}/fd")) < LIMIT - 8, "git and the sweep find descriptors"
    assert cpu_s(pid) - used < 0.6 * (time.monotonic() - begun) + 1.0
    harnex.ok("stop", "--id", "few")
    assert [row["reason"] for row in harnex.events("few", "exited")] == ["stopped"]
    for sock in silent:
        sock.close()


def test_connections_that_wait_leave_room_for_a_stop(harnex: Harnex) -> None:
    record = start(harnex)
    waiting = [connected(record, {"op": "wait", "until": "exited"}) for _ in range(20)]
    refused = [sock for sock in waiting if _said(sock, 1.0)]
    assert 0 < len(refused) < len(waiting)
    assert harnex.json("status", "--json", "--id", "few")[0]["state"] == "prompt"
    assert "connections" in harnex.run("send", "--id", "few", "--message", "hello").stdout
    harnex.ok("send", "--id", "few", "--message", "hello", "--no-wait")
    harnex.ok("stop", "--id", "few")
    for sock in waiting:
        assert sock in refused or json.loads(_said(sock, 20.0))["ok"], "who waited is told"
        sock.close()


def _said(sock: socket.socket, seconds: float) -> bytes:
    sock.settimeout(seconds)
    try:
        return sock.recv(1 << 16)
    except TimeoutError:
        return b""


@pytest.mark.parametrize("how", ["stop", "SIGTERM", "the agent is killed"])
def test_no_descriptor_is_left(harnex: Harnex, how: str) -> None:
    """The reserved descriptors are for the end: the record is written, and no process stays."""
    record = start(harnex, 1024)
    supervisor = record["supervisor_pid"]
    full = max(map(int, os.listdir(f"/proc/{supervisor}/fd"))) + 1
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (full, full))
    taken = [connected(record) for _ in range(20)]  # every descriptor that is free below the limit
    if how == "stop":
        stopped = harnex.json("stop", "--id", "few", "--force")
        assert stopped["reason"] == "stopped", stopped
    else:
        psutil.Process(supervisor if how == "SIGTERM" else record["pid"]).send_signal(15 if how == "SIGTERM" else 9)
    harnex.until(lambda: harnex.events("few", "exited"), 30, "it is recorded")
    last = harnex.events("few")[-1]
    assert last["type"] == "exited"
    assert last["reason"] == {"the agent is killed": "killed"}.get(how, "stopped")
    harnex.until(lambda: not psutil.pid_exists(supervisor) and not psutil.pid_exists(record["pid"]), 20, "all are gone")
    assert harnex.json("history", "--json")[0]["reason"] == last["reason"]
    for sock in taken:
        sock.close()

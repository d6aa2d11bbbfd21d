"""supervisor/control.py: how many connections a session takes."""

from __future__ import annotations

import resource

import pytest

from harnex.supervisor.control import PEERS_MAX, PEERS_MIN, RESERVED, peers_at_most


@pytest.mark.parametrize(
    ("files", "peers"),
    [
        (20, PEERS_MIN),
        (RESERVED + 100, 100),
        (1024, PEERS_MAX),
        (1 << 20, PEERS_MAX),
        (resource.RLIM_INFINITY, PEERS_MAX),
    ],
)
def test_connections_leave_descriptors_for_the_session(monkeypatch: pytest.MonkeyPatch, files: int, peers: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (files, files))
    assert peers_at_most() == peers

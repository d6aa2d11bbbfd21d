"""harnex/paths.py: the state directory, ids, sockets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harnex import paths
from harnex.errors import HarnexError, UsageError


def test_a_state_directory_that_others_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("HARNEX_STATE_DIR", str(shared))
    with pytest.raises(HarnexError, match="written by others"):
        paths.state_dir()
    shared.chmod(0o700)
    assert paths.state_dir() == str(shared)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(HarnexError, match="another user"):
        paths.state_dir()


@pytest.mark.parametrize(("given_id", "normal"), [("Fix It", "fix-it"), (" a.b_c-1 ", "a.b_c-1"), ("X" * 64, "x" * 64)])
def test_ids_are_normalised(given_id: str, normal: str) -> None:
    assert paths.normal_id(given_id) == normal


@pytest.mark.parametrize("bad", ["", "  ", "../x", "a/b", "-x", ".x", "é", "a\nb\0", "x" * 65, "a;b", "--tmux"])
def test_bad_ids_are_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        paths.normal_id(bad)


def test_a_long_state_directory_still_has_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir(mode=0o700)
    assert len(paths.socket_path(str(deep), "20261121T055312123-9f8e7d6c")) <= paths.SOCKET_PATH_MAX

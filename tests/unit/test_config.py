"""The configuration files: who wins, and what is said of a bad one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harnex import config
from harnex.errors import UsageError


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "cönfig"))
    monkeypatch.setenv("HARNEX_STATE_DIR", str(tmp_path / "state"))
    path = Path(config.user_file())
    path.parent.mkdir(parents=True)
    return path


def test_no_file_no_section(user: Path, tmp_path: Path) -> None:
    for repo in (str(tmp_path), None):
        files = config.load(repo)
        assert (files.sections("presets"), files.notes, files.trusted) == ([], [], False)


def test_the_user_first_then_the_repository(user: Path, tmp_path: Path) -> None:
    user.write_text("[presets.night]\nmax_resumes = 2\n[redact]\n")
    (tmp_path / ".harnex.toml").write_text("[presets.night]\nmax_resumes = 3\n")
    found = config.load(str(tmp_path)).sections("presets")
    assert [s.values for s in found] == [{"night": {"max_resumes": 2}}, {"night": {"max_resumes": 3}}]
    assert [s.path for s in found] == [str(user), str(tmp_path / ".harnex.toml")]
    assert [s.trusted for s in found] == [True, False], "the user's own file needs no consent"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"presets = 3\n", "'presets' is not a table"),
        (b"[presets\n", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"[presetz.a]\n", "unknown section 'presetz'"),
    ],
)
def test_a_bad_file_is_named(user: Path, text: bytes, words: str) -> None:
    user.write_bytes(text)
    with pytest.raises(UsageError) as caught:
        config.load(None).sections("presets")
    assert words in caught.value.message
    assert str(user) in caught.value.message
    assert caught.value.hint


def test_a_file_that_cannot_be_read(user: Path) -> None:
    user.mkdir()
    with pytest.raises(UsageError, match="can't read"):
        config.load(None)


def test_a_fifo_and_a_huge_file_are_refused(user: Path) -> None:
    os.mkfifo(user)
    with pytest.raises(UsageError, match="it is no file"):
        config.load(None)
    user.unlink()
    user.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        config.load(None)


def test_a_file_of_the_user_that_others_can_change_is_an_error(user: Path) -> None:
    user.write_text("[redact]\n")
    user.chmod(0o666)
    with pytest.raises(UsageError, match="can be written by everybody") as caught:
        config.load(None)
    assert str(user) in caught.value.message and "chmod" in caught.value.hint


def test_one_of_a_repository_is_left_out_and_said(user: Path, tmp_path: Path) -> None:
    path = tmp_path / ".harnex.toml"
    path.write_text("[presets.impl]\nverify = 'x'\n")
    path.chmod(0o666)
    files = config.load(str(tmp_path))
    assert files.sections("presets") == [] and not files.trusted
    assert files.notes == [f"{path} is not used: {path} can be written by everybody"]

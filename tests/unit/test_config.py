"""The configuration files: who wins, and what is said of a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harnex import config
from harnex.errors import UsageError


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "cönfig"))
    path = Path(config.user_file())
    path.parent.mkdir(parents=True)
    return path


def test_no_file_no_section(user: Path, tmp_path: Path) -> None:
    assert config.sections("presets", str(tmp_path)) == []
    assert config.sections("presets", None) == []


def test_the_user_first_then_the_repository(user: Path, tmp_path: Path) -> None:
    user.write_text("[presets.night]\nmax_resumes = 2\n[redact]\n")
    (tmp_path / ".harnex.toml").write_text("[presets.night]\nmax_resumes = 3\n")
    found = config.sections("presets", str(tmp_path))
    assert [s.values for s in found] == [{"night": {"max_resumes": 2}}, {"night": {"max_resumes": 3}}]
    assert [s.path for s in found] == [str(user), str(tmp_path / ".harnex.toml")]


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
        config.sections("presets", None)
    assert words in caught.value.message
    assert str(user) in caught.value.message
    assert caught.value.hint


def test_a_file_that_cannot_be_read(user: Path) -> None:
    user.mkdir()
    with pytest.raises(UsageError, match="can't read"):
        config.sections("redact", None)

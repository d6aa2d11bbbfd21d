"""supervisor/repository.py on odd repositories."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from harnex.supervisor.repository import Facts, GitLook, attributes, entries, look_now, numbers, short


def git(where: Path, *words: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"HOME": str(where), "LC_ALL": "C"}
    identity = (
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "protocol.file.allow=always",
    )
    return subprocess.run(
        ["git", *identity, *words], cwd=where, env=env, capture_output=True, text=True, check=True
    ).stdout.strip()


def look(repo: Path, since: str | None = None) -> Facts | None:
    state = repo.parent / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    facts = look_now(str(repo), since, str(state), 20)
    assert list(state.glob("tmp/*")) == [], "nothing is left of it"
    return facts


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "répo with space"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    return path


def commit(repo: Path, text: str, *more: str) -> str:
    (repo / "a.txt").write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "x", *more)
    return git(repo, "rev-parse", "HEAD")


def test_no_repository(tmp_path: Path) -> None:
    assert look(tmp_path, None) is None
    (tmp_path / ".git").mkdir()
    assert look(tmp_path, None) is None


def test_an_empty_repository_then_a_commit(repo: Path) -> None:
    facts = look(repo, None)
    assert facts is not None and (facts.sha, facts.branch, facts.dirty) == (None, "main", False)
    sha = commit(repo, "1\n2\n3\n")
    facts = look(repo, "")
    assert facts is not None
    assert (facts.sha, facts.commits, facts.files_changed, facts.loc_added, facts.loc_removed) == (sha, 1, 1, 3, 0)
    assert facts.rewritten is None


def test_commits_and_what_is_not_committed(repo: Path) -> None:
    first = commit(repo, "1\n2\n")
    assert look(repo, first).dump() == {  # type: ignore[union-attr]
        "sha": first, "branch": "main", "commits": 0, "files_changed": 0, "loc_added": 0, "loc_removed": 0,
        "dirty": False, "dirty_files": 0, "dirty_added": 0, "dirty_removed": 0, "rewritten": False,
    }  # fmt: skip
    commit(repo, "1\n")
    commit(repo, "1\n5\n6\n")
    (repo / "new").write_text("x")
    facts = look(repo, first)
    assert facts is not None
    assert (facts.commits, facts.loc_added, facts.loc_removed, facts.dirty_files) == (2, 2, 1, 1)


def test_a_history_that_was_rewritten(repo: Path) -> None:
    commit(repo, "1\n")
    second = commit(repo, "2\n")
    commit(repo, "3\n", "--amend")
    facts = look(repo, second)
    assert facts is not None and (facts.rewritten, facts.commits, facts.loc_added) == (True, 1, 1)
    facts = look(repo, "0" * 40)
    assert facts is not None and (facts.rewritten, facts.commits) == (True, None)


def test_a_detached_head_and_a_worktree(repo: Path, tmp_path: Path) -> None:
    first = commit(repo, "1\n")
    git(repo, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    facts = look(tmp_path / "tree", None)
    assert facts is not None and (facts.branch, facts.sha) == ("side", first)
    git(repo, "checkout", "-q", "--detach")
    facts = look(repo, None)
    assert facts is not None and (facts.branch, facts.sha) == (None, first)


def test_variables_of_another_repository_do_not_count(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(repo, "1\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    facts = look(repo, None)
    assert facts is not None and facts.sha == first


def test_a_git_that_hangs_is_ended_and_what_is_known_stays(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(repo, "1\n")
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ncase "$*" in *status*) exec sleep 60;; esac\nexec {real} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    begun = time.monotonic()
    look = GitLook(str(repo), None, str(tmp_path), begun, 2.0)
    while not look.step(time.monotonic()):
        time.sleep(0.01)
    assert look.timed_out and look.facts is not None
    assert (look.facts.sha, look.facts.dirty) == (first, None)
    assert time.monotonic() - begun < 10


def test_reading_what_git_prints() -> None:
    assert short(" 3 files changed, 10 insertions(+), 2 deletions(-)\n") == (3, 10, 2)
    assert short(" 1 file changed, 1 deletion(-)\n") == (1, 0, 1)
    assert short("") == (0, 0, 0)
    assert short(None) == (None, None, None)
    assert list(entries(" M a\0R  new\0old\0?? x y\0")) == [(" M", "a"), ("R ", "new"), ("??", "x y")]
    assert numbers("1\t2\ta\tb\n\0-\t-\tbin\x003\t4\t\0old\0new\0") == [("a\tb\n", 1, 2), ("bin", 0, 0), ("new", 3, 4)]
    assert numbers("") == [] and numbers(None) is None
    assert list(attributes("a\0filter\0lfs\0b c\0filter\0unspecified\0")) == [("a", "lfs"), ("b c", "unspecified")]

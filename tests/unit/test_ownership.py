"""Whose file it is: every folder and link on the way to it counts."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from harnex import ownership

OTHER = 54321
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "f").write_text("x")
    for path in (folder, folder.parent):
        path.chmod(0o755)
    (folder / "f").chmod(0o644)
    return folder / "f"


def test_a_file_of_ours(place: Path) -> None:
    assert ownership.problem(str(place)) == ""
    assert ownership.problem("/etc/passwd") == "", "root's is as good"
    with pytest.raises(FileNotFoundError):
        ownership.problem(str(place) + "x")


@pytest.mark.parametrize("which", ["f", "b", "a"])
@pytest.mark.parametrize(
    ("mode", "words"), [(0o777, "can be written by everybody"), (0o775, "can be written by its group")]
)
def test_what_others_can_write(place: Path, monkeypatch: pytest.MonkeyPatch, which: str, mode: int, words: str) -> None:
    monkeypatch.setattr(ownership, "alone_in", lambda gid: False)
    path = {"f": place, "b": place.parent, "a": place.parent.parent}[which]
    path.chmod(mode)
    assert ownership.problem(str(place)).startswith(f"{path} {words}")
    path.chmod(0o755)
    assert ownership.problem(str(place)) == ""


def test_sticky_folders_are_good(place: Path) -> None:
    place.parent.chmod(0o1777)
    assert ownership.problem(str(place)) == "", "nobody else can replace our file there"
    place.chmod(0o1666)
    assert "by everybody" in ownership.problem(str(place)), "a file is no folder"


@root_only
@pytest.mark.parametrize("which", ["f", "b", "a"])
def test_what_belongs_to_others(place: Path, which: str) -> None:
    path = {"f": place, "b": place.parent, "a": place.parent.parent}[which]
    os.chown(path, OTHER, OTHER)
    assert ownership.problem(str(place)) == f"{path} belongs to another user (uid {OTHER})"


@root_only
def test_links_count_with_all_that_they_lead_through(place: Path, tmp_path: Path) -> None:
    sticky = tmp_path / "tmp"
    sticky.mkdir()
    sticky.chmod(0o1777)
    (sticky / "folder").symlink_to(place.parent)
    link = tmp_path / "link"
    link.symlink_to("tmp/folder/../b/f")
    assert ownership.problem(str(link)) == ""
    os.chown(sticky / "folder", OTHER, OTHER, follow_symlinks=False)  # its owner can point it elsewhere
    assert ownership.problem(str(link)) == f"{sticky}/folder belongs to another user (uid {OTHER})"
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert ownership.problem(str(link)) == f"{link} belongs to another user (uid {OTHER})"


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("y")
    (tmp_path / "y").symlink_to("x")
    assert "too many links" in ownership.problem(str(tmp_path / "x"))


@pytest.mark.parametrize(
    ("members", "others", "alone"),
    [
        ([], [], True),  # the group of this user's name: umask 002
        (["me"], [], True),
        (["me", "you"], [], False),
        (["you"], [], False),
        ([], ["you"], False),  # it is another user's first group as well
    ],
)
def test_a_group_with_this_user_alone(
    monkeypatch: pytest.MonkeyPatch, members: list[str], others: list[str], alone: bool
) -> None:
    me = SimpleNamespace(pw_name="me", pw_uid=os.geteuid(), pw_gid=7)
    you = [SimpleNamespace(pw_name=name, pw_uid=99, pw_gid=7) for name in others]
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: me)
    monkeypatch.setattr(pwd, "getpwall", lambda: [me, *you])
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_mem=members))
    assert ownership.alone_in(7) is alone
    assert ownership.alone_in(8) is (members == ["me"] and not others), "another group: only as its one member"


def test_a_user_whom_nobody_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", none)
    assert ownership.alone_in(7) is False

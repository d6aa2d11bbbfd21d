"""Files that a person names: regular ones are replaced whole, links are followed, devices and FIFOs are written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harnex.store import named

DATA = b"x" * 200_000  # more than a pipe holds


def kind(path: Path) -> int:
    return stat.S_IFMT(os.lstat(path).st_mode)


def read_in_background(path: Path) -> tuple[threading.Thread, list[bytes]]:
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    thread.start()
    return thread, got


def test_a_regular_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        named.write(str(path), DATA)
        assert reader.read() == b"old"  # another file: nobody ever sees half of one
    assert path.read_bytes() == DATA and os.listdir(tmp_path) == ["page"]


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_links_are_followed_and_stay(tmp_path: Path, there: bool) -> None:
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "page"
    if there:
        target.write_bytes(b"old")
    (tmp_path / "second").symlink_to("folder/page")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    (tmp_path / "way").symlink_to("folder")
    named.write(str(tmp_path / "first"), b"new")
    assert (target.read_bytes(), kind(target)) == (b"new", stat.S_IFREG)
    assert kind(tmp_path / "first") == kind(tmp_path / "second") == stat.S_IFLNK
    named.write(str(tmp_path / "way" / "page"), b"newer")
    assert target.read_bytes() == b"newer" and kind(tmp_path / "way") == stat.S_IFLNK
    assert sorted(os.listdir(tmp_path / "folder")) == ["page"]


def test_a_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named.write("page", b"new")
    assert (tmp_path / "page").read_bytes() == b"new"


@pytest.mark.parametrize("by_link", [False, True])
def test_a_fifo_is_written(tmp_path: Path, by_link: bool) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    (tmp_path / "link").symlink_to(path)
    thread, got = read_in_background(path)
    named.write(str(tmp_path / "link" if by_link else path), DATA)
    thread.join(10)
    assert got == [DATA] and kind(path) == stat.S_IFIFO and kind(tmp_path / "link") == stat.S_IFLNK


def test_a_fifo_within_a_time(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(OSError, match="nobody reads") as caught:
        named.put(str(path), DATA, True, 0.0)
    assert caught.value.errno == errno.ENXIO
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="too slow"):
        named.put(str(path), DATA, True, 0.1)
    os.close(reader)
    thread, got = read_in_background(path)
    named.put(str(path), DATA, True, 10.0)
    thread.join(10)
    assert got == [DATA] and kind(path) == stat.S_IFIFO


def test_a_terminal_is_written(tmp_path: Path) -> None:
    """A device that every person has."""
    ours, theirs = os.openpty()
    (tmp_path / "link").symlink_to(os.ttyname(theirs))
    named.write(str(tmp_path / "link"), b"words")
    assert os.read(ours, 100) == b"words"
    assert kind(tmp_path / "link") == stat.S_IFLNK
    os.close(ours)
    os.close(theirs)


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "null"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.close(os.open(path, os.O_WRONLY))
    except PermissionError:
        pytest.skip("nobody but root makes devices")
    named.write(str(path), DATA)
    named.put(str(path), DATA, True, 1.0)
    assert kind(path) == stat.S_IFCHR and os.listdir(tmp_path) == ["null"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("how", ["file", "pipe"])
def test_standard_output_by_name_is_standard_output(tmp_path: Path, name: str, how: str) -> None:
    """What was redirected to a file stays that file: what is written before and after stands around it."""
    code = (
        "import os, sys; from harnex.store import named\n"
        "os.write(1, b'before '); named.write(sys.argv[1], b'page'); os.write(1, b' after')"
    )
    path = tmp_path / "out"
    with path.open("wb") as file:
        out = file if how == "file" else subprocess.PIPE
        done = subprocess.run([sys.executable, "-c", code, name], stdout=out, check=True)
    assert (path.read_bytes() if how == "file" else done.stdout) == b"before page after"


def test_what_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    for path, number in (
        (tmp_path, errno.EISDIR),
        (tmp_path / "round", errno.ELOOP),
        (tmp_path / "no" / "page", errno.ENOENT),
    ):
        with pytest.raises(OSError) as caught:
            named.write(str(path), b"new")
        assert caught.value.errno == number
    assert os.listdir(tmp_path) == ["round"]


def test_a_link_that_came_later_is_not_followed(tmp_path: Path) -> None:
    """The agent may have made it: what harnex writes at the end would go anywhere."""
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "out").symlink_to("precious")
    named.put(str(tmp_path / "out"), b"new", True, 1.0)
    assert (tmp_path / "precious").read_bytes() == b"old" and kind(tmp_path / "out") == stat.S_IFREG

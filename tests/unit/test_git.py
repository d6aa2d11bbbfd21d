"""harnex/git.py: the table of everything by which a repository, its configuration or the environment makes git run
something, or look elsewhere. Each entry is shown to work on git as it is, and not to work on harnex's calls.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from harnex import git as own
from harnex.commands.report import Repositories
from harnex.launch.manifest import git_head
from harnex.supervisor.repository import Facts, look_now

VERSION = tuple(
    map(int, re.findall(r"\d+", subprocess.run(["git", "version"], capture_output=True, text=True).stdout)[:2])
)
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {
    "LC_ALL": "C",
    "PAGER": "cat",
}
ODD = ("plain", "new\nline", b"\xff\xfe no text", "sp ace;$(x)'\"", "col:on", "[glob]*")


@dataclass
class Place:
    """A repository with one commit, and what a command of it would leave: `mark`."""

    repo: Path
    mark: Path
    env: dict[str, str]

    def git(self, *words: str, at: Path | None = None) -> str:
        done = self.run(*words, at=at)
        assert done.returncode == 0, (words, done.stderr)
        return os.fsdecode(done.stdout).strip()

    def run(self, *words: str, at: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
        return subprocess.run(
            ["git", *identity, *words], cwd=at or self.repo, env=self.env, capture_output=True, check=False
        )

    def program(self, name: str = "program", body: str = "exit 1") -> str:
        """A program that leaves the mark; its path has nothing that a shell would read."""
        path = self.mark.parent / name
        path.write_text(f"#!/bin/sh\n: > {self.mark}\n{body}\n")
        path.chmod(0o755)
        return str(path)

    def write(self, name: str, text: str) -> None:
        (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
        (self.repo / name).write_text(text)

    def commit(self, name: str = "a.txt", text: str = "1\n") -> str:
        self.write(name, text)
        self.git("add", "-A")
        self.git("commit", "-qm", name)
        return self.git("rev-parse", "HEAD")

    def touch(self, name: str = "a.txt") -> None:
        """Other times, the same content: git has to look into it."""
        os.utime(self.repo / name, (1_000_000_000, 1_000_000_000))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make(tmp_path, monkeypatch)


def make(base: Path, monkeypatch: pytest.MonkeyPatch, name: str | bytes = "repo") -> Place:
    """harnex's own calls see the same environment as the controls: HOME, PATH, and what an entry adds."""
    for key in [k for k in os.environ if k.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(base / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for folder in ("home", "state"):
        (base / folder).mkdir(mode=0o700)
    repo = Path(os.fsdecode(os.path.join(os.fsencode(base), os.fsencode(name))))
    repo.mkdir()
    found = Place(repo, base / "mark", {**CLEAN, "HOME": str(base / "home")})
    found.git("init", "-q", "-b", "main")
    found.commit()
    return found


def of_file(path: Path) -> tuple[int, int, bytes] | None:
    return (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) if path.exists() else None


def all_calls(place: Place, since: str | None = None, repo: Path | None = None) -> Facts | None:
    """Every call of git that harnex makes: at the start, at the end, for the manifest, for a report."""
    where = str(repo or place.repo)
    state = str(place.mark.parent / "state")
    head = git_head(where)
    index = place.repo / ".git" / "index"
    before = of_file(index)
    look_now(where, None, state, 30)
    facts = look_now(where, since if since is not None else (head or {}).get("sha", ""), state, 30)
    with Repositories() as repositories:
        repositories.log(where, "", "--format=%s", "--numstat")
    assert before == of_file(index), "the index is its person's"
    return facts


# ---- what runs something ----


def clean_filter(p: Place) -> None:
    p.commit(".gitattributes", "*.txt filter=it\n")
    p.git("config", "filter.it.clean", p.program())
    p.touch()


def required_filter(p: Place) -> None:
    clean_filter(p)
    p.git("config", "filter.it.required", "true")


def odd_filter_name(p: Place) -> None:
    """A name with dots, blanks, quotes and a sign of equality: no `-c` switch can say it."""
    p.commit(".gitattributes", "*.txt filter=a.b=c.clean\n")
    with (p.repo / ".git" / "config").open("a") as f:
        f.write(f'[filter "a.b=c.clean"]\n\tclean = {p.program()}\n')
    p.touch()


def process_filter(p: Place) -> None:
    p.commit(".gitattributes", "*.txt filter=it\n")
    p.git("config", "filter.it.process", p.program())
    p.touch()


def filter_of_info_attributes(p: Place) -> None:
    p.write(".git/info/attributes", "* filter=it\n")
    p.git("config", "filter.it.clean", p.program())
    p.touch()


def filter_of_core_attributes_file(p: Place) -> None:
    p.write("../attributes", "* filter=it\n")
    p.git("config", "core.attributesFile", str(p.mark.parent / "attributes"))
    p.git("config", "filter.it.clean", p.program())
    p.touch()


def filter_in_an_included_file(p: Place) -> None:
    p.commit(".gitattributes", "*.txt filter=it\n")
    p.commit("more.ini", f'[filter "it"]\n\tclean = {p.program()}\n')
    p.git("config", "include.path", "../more.ini")
    p.touch()


def filter_of_the_persons_own_configuration(p: Place) -> None:
    """The repository chooses the files, the filter is the person's; what it does, the repository may have a say in."""
    p.commit(".gitattributes", "*.txt filter=it\n")
    p.write("../home/.gitconfig", f'[filter "it"]\n\tclean = {p.program()}\n\trequired = true\n')
    p.touch()


def filter_in_the_work_trees_configuration(p: Place) -> None:
    p.commit(".gitattributes", "*.txt filter=it\n")
    p.git("config", "extensions.worktreeConfig", "true")
    p.git("config", "--worktree", "filter.it.clean", p.program())
    p.touch()


def fsmonitor(p: Place) -> None:
    p.git("config", "core.fsmonitor", p.program())


def hooks_path(p: Place) -> None:
    p.git("config", "core.hooksPath", str(p.mark.parent))
    p.program("post-index-change")
    p.touch()


def hook(p: Place) -> None:
    shutil.copy(p.program(), p.repo / ".git" / "hooks" / "post-index-change")
    p.touch()


def hook_of_the_configuration(p: Place) -> None:
    p.git("config", "hook.it.command", p.program())
    p.git("config", "hook.it.event", "post-index-change")
    p.touch()


def external_diff(p: Place) -> None:
    p.git("config", "diff.external", p.program())
    p.write("a.txt", "2\n")


def diff_driver(p: Place) -> None:
    p.commit(".gitattributes", "*.txt diff=it\n")
    p.git("config", "diff.it.command", p.program())
    p.write("a.txt", "2\n")


def text_conversion(p: Place) -> None:
    p.commit(".gitattributes", "*.txt diff=it\n")
    p.git("config", "diff.it.textconv", p.program(body='cat "$1"'))
    p.write("a.txt", "2\n")


def pager(p: Place) -> None:
    p.git("config", "core.pager", p.program())


def pager_of_one_command(p: Place) -> None:
    p.git("config", "pager.status", p.program())


def signature(p: Place) -> None:
    p.git("config", "log.showSignature", "true")
    p.git("config", "gpg.program", p.program())
    p.git("config", "gpg.ssh.program", p.program())
    sign(p, "-----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----")


def ssh_signature(p: Place) -> None:
    p.git("config", "log.showSignature", "true")
    p.git("config", "gpg.ssh.program", p.program())
    p.git("config", "gpg.ssh.allowedSignersFile", "/dev/null")
    sign(p, "-----BEGIN SSH SIGNATURE-----\n x\n -----END SSH SIGNATURE-----")


def sign(p: Place, words: str) -> None:
    text = p.git("cat-file", "commit", "HEAD")
    head, _, body = text.partition("\n\n")
    done = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"], cwd=p.repo, env=p.env, check=True, capture_output=True,
        input=f"{head}\ngpgsig {words}\n\n{body}\n".encode(),
    )  # fmt: skip
    p.git("update-ref", "HEAD", done.stdout.decode().strip())


def lazy(p: Place, url: str) -> None:
    """A partial clone that lacks the file's content of the last commit: git fetches what it misses."""
    p.commit("a.txt", "2\n")
    blob = p.git("rev-parse", "HEAD:a.txt")
    (p.repo / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for key, value in (
        ("core.repositoryFormatVersion", "1"), ("extensions.partialClone", "origin"), ("remote.origin.promisor", "true"),
        ("remote.origin.url", url), ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
    ):  # fmt: skip
        p.git("config", key, value)
    p.write("a.txt", "3\n")


def lazy_by_ssh(p: Place) -> None:
    lazy(p, "ssh://host.invalid/x")
    p.git("config", "core.sshCommand", p.program())


def lazy_by_ssh_of_the_environment(p: Place) -> None:
    lazy(p, "ssh://host.invalid/x")
    p.env["GIT_SSH_COMMAND"] = p.program()


def lazy_by_upload_pack(p: Place) -> None:
    p.git("init", "-q", "--bare", str(p.mark.parent / "other.git"))
    lazy(p, str(p.mark.parent / "other.git"))
    p.git("config", "remote.origin.uploadpack", p.program())


def lazy_by_a_command(p: Place) -> None:
    lazy(p, f"ext::{p.program()}")
    p.git("config", "protocol.ext.allow", "always")


def lazy_by_a_proxy(p: Place) -> None:
    lazy(p, "git://host.invalid/x")
    p.git("config", "core.gitProxy", p.program())


def submodule(p: Place) -> Path:
    """A submodule; its own configuration is its own repository's."""
    other = p.mark.parent / "other"
    other.mkdir()
    p.git("init", "-q", "-b", "main", at=other)
    (other / "s.txt").write_text("1\n")
    p.git("add", "-A", at=other)
    p.git("commit", "-qm", "s", at=other)
    p.git("submodule", "add", "-q", str(other), "sub")
    p.git("commit", "-qm", "sub")
    return p.repo / "sub"


def fsmonitor_of_a_submodule(p: Place) -> None:
    sub = submodule(p)
    p.git("config", "core.fsmonitor", p.program(), at=sub)
    p.git("config", "submodule.sub.ignore", "none")
    p.git("config", "diff.ignoreSubmodules", "none")


def filter_of_a_submodule(p: Place) -> None:
    sub = submodule(p)
    p.write(".git/modules/sub/info/attributes", "* filter=it\n")
    p.git("config", "filter.it.clean", p.program(), at=sub)
    os.utime(sub / "s.txt", (1_000_000_000, 1_000_000_000))
    p.git("config", "submodule.sub.ignore", "none")


def diffs_of_submodules(p: Place) -> None:
    sub = submodule(p)
    p.git("config", "diff.submodule", "diff")
    p.git("config", "status.submoduleSummary", "true")
    p.git("config", "core.fsmonitor", p.program(), at=sub)
    (sub / "s.txt").write_text("2\n")


def a_git_file_that_points_elsewhere(p: Place) -> None:
    """The repository proper is in a folder that came with the files."""
    p.git("config", "core.fsmonitor", p.program())
    (p.repo / ".git").rename(p.repo / "data")
    (p.repo / ".git").write_text("gitdir: data\n")
    p.git("config", "core.worktree", "..")


def a_bare_repository_among_the_files(p: Place) -> None:
    """`.git` is none, so git takes the folder itself for a bare repository, whose configuration came with the files."""
    for entry in (p.repo / ".git").iterdir():
        entry.rename(p.repo / entry.name)
    p.write(
        "config",
        f"[core]\n\trepositoryFormatVersion = 0\n\tbare = false\n\tworktree = {p.repo}\n\tfsmonitor = {p.program()}\n",
    )


def switches_of_the_environment(p: Place) -> None:
    p.env |= {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": p.program(),
    }


def parameters_of_the_environment(p: Place) -> None:
    p.env["GIT_CONFIG_PARAMETERS"] = f"'core.fsmonitor'='{p.program()}'"


def file_of_the_environment(p: Place) -> None:
    p.write("../evil.ini", f"[core]\n\tfsmonitor = {p.program()}\n")
    p.env["GIT_CONFIG_GLOBAL"] = str(p.mark.parent / "evil.ini")


def another_repository_by_the_environment(p: Place) -> None:
    p.git("init", "-q", str(p.mark.parent / "evil"))
    p.git("config", "core.fsmonitor", p.program(), at=p.mark.parent / "evil")
    p.env |= {"GIT_DIR": str(p.mark.parent / "evil" / ".git"), "GIT_WORK_TREE": str(p.repo)}


def external_diff_of_the_environment(p: Place) -> None:
    p.env["GIT_EXTERNAL_DIFF"] = p.program()
    p.write("a.txt", "2\n")


def trace_into_a_file(p: Place) -> None:
    p.env["GIT_TRACE"] = str(p.mark)


def second_trace_into_a_file(p: Place) -> None:
    p.env["GIT_TRACE2_EVENT"] = str(p.mark)


def trace_of_the_persons_configuration(p: Place) -> None:
    p.write("../home/.gitconfig", f"[trace2]\n\teventTarget = {p.mark}\n")


def a_git_of_the_working_directory(p: Place) -> None:
    p.write("git", f"#!/bin/sh\n: > {p.mark}\n")
    (p.repo / "git").chmod(0o755)
    p.env["PATH"] = f".:{p.env['PATH']}"


STATUS, DIFF, LOG = ("status",), ("diff",), ("log", "-1")
WORKTREE_CONFIG, SSH_SIGNATURES, CONFIG_HOOKS, ENV_SWITCHES, ENV_FILE = (2, 20), (2, 34), (2, 54), (2, 31), (2, 32)
Entry = tuple[Callable[[Place], None], tuple[str, ...], tuple[int, ...]]
TABLE: tuple[Entry, ...] = (
    (clean_filter, STATUS, ()),
    (required_filter, STATUS, ()),
    (odd_filter_name, STATUS, ()),
    (process_filter, STATUS, ()),
    (filter_of_info_attributes, STATUS, ()),
    (filter_of_core_attributes_file, STATUS, ()),
    (filter_in_an_included_file, STATUS, ()),
    (filter_of_the_persons_own_configuration, STATUS, ()),
    (filter_in_the_work_trees_configuration, STATUS, WORKTREE_CONFIG),
    (fsmonitor, STATUS, ()),
    (hooks_path, STATUS, ()),
    (hook, STATUS, ()),
    (hook_of_the_configuration, STATUS, CONFIG_HOOKS),
    (external_diff, DIFF, ()),
    (diff_driver, DIFF, ()),
    (text_conversion, DIFF, ()),
    (pager, LOG, ()),
    (pager_of_one_command, STATUS, ()),
    (signature, LOG, ()),
    (ssh_signature, LOG, SSH_SIGNATURES),
    (lazy_by_ssh, ("diff", "HEAD"), ()),
    (lazy_by_ssh_of_the_environment, ("diff", "HEAD"), ()),
    (lazy_by_upload_pack, ("diff", "HEAD"), ()),
    (lazy_by_a_command, ("diff", "HEAD"), ()),
    (lazy_by_a_proxy, ("diff", "HEAD"), ()),
    (fsmonitor_of_a_submodule, STATUS, ()),
    (filter_of_a_submodule, STATUS, ()),
    (diffs_of_submodules, DIFF, ()),
    (a_git_file_that_points_elsewhere, STATUS, ()),
    (a_bare_repository_among_the_files, STATUS, ()),
    (switches_of_the_environment, STATUS, ENV_SWITCHES),
    (parameters_of_the_environment, STATUS, ENV_SWITCHES),
    (file_of_the_environment, STATUS, ENV_FILE),
    (another_repository_by_the_environment, STATUS, ()),
    (external_diff_of_the_environment, DIFF, ()),
    (trace_into_a_file, STATUS, ()),
    (second_trace_into_a_file, STATUS, ()),
    (trace_of_the_persons_configuration, STATUS, ()),
    (a_git_of_the_working_directory, STATUS, ()),
)  # fmt: skip


@pytest.mark.parametrize(("entry", "control", "since"), TABLE, ids=lambda value: getattr(value, "__name__", ""))
def test_nothing_of_a_repository_is_run(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    entry: Callable[[Place], None],
    control: tuple[str, ...],
    since: tuple[int, ...],
) -> None:
    before = place.git("rev-parse", "HEAD")
    entry(place)
    place.mark.unlink(missing_ok=True)
    monkeypatch.chdir(place.repo)
    for key, value in place.env.items():
        monkeypatch.setenv(key, value)
    all_calls(place, before)
    assert not place.mark.exists()
    if since <= VERSION:
        # On a terminal, as a person calls it. What it changes (the index) is no matter any more.
        pexpect.run(f"git {' '.join(control)}", cwd=place.repo, env=place.env, timeout=20)  # type: ignore[arg-type]
        assert place.mark.exists(), "git as it is must run it, or this shows nothing"


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_however_the_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | bytes) -> None:
    place = make(tmp_path, monkeypatch, name)
    first = place.git("rev-parse", "HEAD")
    clean_filter(place)
    second = place.git("rev-parse", "HEAD")
    place.git("config", "core.fsmonitor", place.program(body="exit 1"))
    odd = Path(os.fsdecode(os.fsencode(place.repo) + b"/\xff\xfe\n\ttab.txt"))
    odd.write_text("1\n")
    tree = tmp_path / "tree" / os.fsdecode(name)
    tree.parent.mkdir()
    place.git("worktree", "add", "-q", str(tree), "-b", "side")
    place.mark.unlink(missing_ok=True)
    facts = all_calls(place, first)
    assert facts is not None
    assert (facts.sha, facts.branch, facts.commits, facts.dirty_files) == (second, "main", 1, 1)
    facts = all_calls(place, first, tree)
    assert facts is not None
    assert (facts.sha, facts.branch, facts.commits, facts.dirty_files) == (second, "side", 1, 0)
    assert not place.mark.exists()


def test_variables_of_another_repository_do_not_count(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = place.git("rev-parse", "HEAD")
    other = tmp_path / "other"
    place.git("init", "-q", str(other))
    place.git("commit", "-qm", "x", "--allow-empty", at=other)
    for key, value in {
        "GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": "/nowhere", "GIT_NAMESPACE": "x",
        "GIT_OBJECT_DIRECTORY": "/nowhere", "GIT_COMMON_DIR": "/nowhere", "GIT_CEILING_DIRECTORIES": str(place.repo),
        "GIT_CONFIG": "/nowhere", "GIT_CONFIG_SYSTEM": "/nowhere", "GIT_EXEC_PATH": "/nowhere", "GIT_ATTR_SOURCE": "x",
        "GIT_LITERAL_PATHSPECS": "1", "GIT_DEFAULT_HASH": "sha256", "GIT_SHALLOW_FILE": "/nowhere", "GIT_PREFIX": "x/",
    }.items():  # fmt: skip
        monkeypatch.setenv(key, value)
    facts = all_calls(place)
    assert facts is not None and (facts.sha, facts.dirty_files) == (first, 0)
    assert git_head(str(place.repo)) == {"sha": first, "branch": "main"}


def test_a_folder_that_is_no_repository_is_not_its_parents(place: Place) -> None:
    (place.repo / "inner" / ".git").mkdir(parents=True)
    assert all_calls(place, repo=place.repo / "inner") is None
    assert git_head(str(place.repo / "inner")) is None


def test_a_work_tree_elsewhere_is_not_looked_at(place: Place, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "x").write_text("x")
    place.git("config", "core.worktree", str(tmp_path / "private"))
    assert all_calls(place) is None


def test_files_that_would_hang_git_are_left_out(place: Place, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    place.git("config", "core.excludesFile", str(fifo))
    place.git("config", "core.attributesFile", str(fifo))
    (place.repo / ".git" / "info" / "exclude").unlink()
    os.mkfifo(place.repo / ".git" / "info" / "exclude")
    os.mkfifo(place.repo / ".git" / "sharedindex.x")
    (place.repo / ".git" / "info" / "attributes").symlink_to("/dev/zero")
    facts = all_calls(place)
    assert facts is not None and facts.dirty_files == 0


# ---- the facts stay right ----


def plainly(place: Place, repo: Path) -> tuple[int, int, int]:
    """What git itself says: changed files, lines added and removed."""
    told = place.run(
        "status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=dirty", at=repo
    ).stdout
    fields, count = iter(told.split(b"\0")), 0
    for field in fields:
        if field:
            count += 1
            if field[:1] in (b"R", b"C"):
                next(fields)
    told = place.run("diff", "--shortstat", "--ignore-submodules=dirty", "HEAD", at=repo).stdout
    lines = [int((re.findall(rb"(\d+) " + word, told) or [b"0"])[0]) for word in (b"insertion", b"deletion")]
    return count, lines[0], lines[1]


def many_changes(p: Place) -> Path:
    p.commit("b", "1\n2\n3\n4\n5\n6\n7\n8\n")
    p.commit("c", "1\n2\n")
    p.commit("bin", "\0\1")
    p.git("mv", "b", "renamed")
    p.write("c", "1\n3\n4\n")
    p.write("bin", "\0\2\n")
    p.write("new/x", "1\n")
    p.write("new/y", "1\n")
    p.write("staged", "1\n")
    p.git("add", "staged")
    (p.repo / "a.txt").unlink()
    return p.repo


def line_ends(p: Place) -> Path:
    p.git("config", "core.autocrlf", "true")
    p.write("a.txt", "1\r\n")
    return p.repo


def attributes_in_the_repository(p: Place) -> Path:
    p.write(".git/info/attributes", "*.txt text eol=crlf\n")
    p.write("a.txt", "1\r\n")
    return p.repo


def modes_that_do_not_count(p: Place) -> Path:
    p.git("config", "core.fileMode", "false")
    (p.repo / "a.txt").chmod(0o755)
    return p.repo


def ignored(p: Place) -> Path:
    p.write("../home/.config/git/ignore", "*.global\n")
    p.write(".git/info/exclude", "*.local\n")
    p.write(".gitignore", "*.tracked\n")
    for name in ("x.global", "x.local", "x.tracked", "x"):
        p.write(name, "1\n")
    return p.repo


def ignored_by_a_file_of_the_configuration(p: Place) -> Path:
    p.write("../home/mine", "*.home\n")
    p.write("../home/.gitconfig", "[core]\n\texcludesFile = ~/mine\n")
    p.write("x.home", "1\n")
    p.write("y", "1\n")
    return p.repo


def split_index(p: Place) -> Path:
    p.commit("b", "1\n")
    p.git("update-index", "--split-index")
    p.write("b", "2\n")
    p.git("add", "b")
    return p.repo


def sparse(p: Place) -> Path:
    p.commit("in/a", "1\n")
    p.commit("out/b", "1\n")
    words = ("--cone", "--sparse-index") if VERSION >= (2, 32) else ("--cone",)
    p.git("sparse-checkout", "init", *words)
    p.git("sparse-checkout", "set", "in")
    p.write("in/a", "2\n")
    return p.repo


def linked(p: Place) -> Path:
    tree = p.mark.parent / "tree"
    p.git("worktree", "add", "-q", str(tree), "-b", "side")
    (tree / "a.txt").write_text("2\n3\n")
    (tree / "new").write_text("2\n")
    p.write("other", "this is the main tree's\n")
    return tree


def with_a_submodule(p: Place) -> Path:
    sub = submodule(p)
    (sub / "s.txt").write_text("2\n")
    p.git("commit", "-qam", "moved", at=sub)
    return p.repo


def in_a_submodule(p: Place) -> Path:
    sub = submodule(p)
    (sub / "s.txt").write_text("2\n")
    return sub


def shallow(p: Place) -> Path:
    p.commit("a.txt", "2\n")
    p.git("clone", "-q", "--depth=1", f"file://{p.repo}", str(p.mark.parent / "clone"))
    (p.mark.parent / "clone" / "a.txt").write_text("3\n")
    return p.mark.parent / "clone"


def with_borrowed_objects(p: Place) -> Path:
    p.git("clone", "-q", "-s", str(p.repo), str(p.mark.parent / "clone"))
    (p.mark.parent / "clone" / "a.txt").write_text("3\n")
    return p.mark.parent / "clone"


def sha256(p: Place) -> Path:
    repo = p.mark.parent / "long"
    p.git("init", "-q", "--object-format=sha256", str(repo))
    (repo / "a.txt").write_text("1\n")
    p.git("add", "-A", at=repo)
    p.git("commit", "-qm", "x", at=repo)
    (repo / "a.txt").write_text("2\n")
    return repo


def conflict(p: Place) -> Path:
    p.git("checkout", "-q", "-b", "side")
    p.commit("a.txt", "2\n")
    p.git("checkout", "-q", "main")
    p.commit("a.txt", "3\n")
    assert p.run("merge", "side").returncode == 1
    return p.repo


def without_renames(p: Place) -> Path:
    p.commit("b", "1\n2\n3\n4\n5\n6\n")
    p.git("config", "diff.renames", "false")
    p.git("mv", "b", "renamed")
    return p.repo


def a_filter_that_nobody_has(p: Place) -> Path:
    """`git lfs` is not installed: git compares the content as it is, and so do we."""
    p.commit(".gitattributes", "*.txt filter=lfs\n")
    p.write("a.txt", "2\n")
    return p.repo


@pytest.mark.parametrize(
    "state",
    [
        many_changes, line_ends, attributes_in_the_repository, modes_that_do_not_count, ignored, ignored_by_a_file_of_the_configuration,
        split_index, sparse, linked, with_a_submodule, in_a_submodule, shallow, with_borrowed_objects, sha256, conflict, without_renames,
        a_filter_that_nobody_has,
    ],
    ids=lambda value: value.__name__,
)  # fmt: skip
def test_the_facts_are_those_of_git(place: Place, state: Callable[[Place], Path]) -> None:
    repo = state(place)
    facts = all_calls(place, repo=repo)
    assert facts is not None
    assert (facts.dirty_files, facts.dirty_added, facts.dirty_removed) == plainly(place, repo)
    assert facts.sha == place.git("rev-parse", "HEAD", at=repo)


def test_files_behind_a_filter(place: Place) -> None:
    """As git-lfs does it: the repository holds a pointer, the work tree the content. The filter is not run."""
    place.commit(".gitattributes", "*.big filter=it\n")
    place.git("config", "filter.it.clean", "sha1sum")
    place.git("config", "filter.it.required", "true")
    first = place.commit("x.big", "content\n" * 3)
    place.commit("y.big", "content\n" * 3)
    assert place.git("status", "--porcelain") == ""
    facts = all_calls(place, first)
    assert facts is not None
    assert (facts.dirty_files, facts.dirty_added, facts.dirty_removed) == (0, 0, 0), (
        "just committed: the times are the index's"
    )
    assert (facts.files_changed, facts.loc_added) == (1, 1), "commits hold pointers"
    place.write("x.big", "another content\n" * 5)
    place.write("a.txt", "1\n2\n")
    facts = all_calls(place, first)
    assert facts is not None
    assert (facts.dirty_files, facts.dirty_added, facts.dirty_removed) == (2, 1, 0), (
        "changed, but its lines are not known"
    )
    place.git("add", "-A")
    facts = all_calls(place, first)
    assert facts is not None and (facts.dirty_files, facts.dirty_added) == (2, 1), "staged"
    place.touch("y.big")
    facts = all_calls(place, first)
    assert facts is not None and facts.dirty_files == 3, "other times count as a change: its content can't be compared"


def test_a_switch_of_harnex_covers_the_table() -> None:
    """For `command`, which reads the repository's configuration: what has a fixed name is off by a switch as well."""
    said = " ".join(own.command("/r", "x"))
    for key in (
        "core.fsmonitor=",
        "core.hooksPath=/dev/null",
        "core.sshCommand=false",
        "credential.helper=",
        "gpg.program=false",
    ):
        assert f"-c {key}" in said
    assert {k for k in own.environment() if k.startswith("GIT_")} == {k for k in own.FIXED if k.startswith("GIT_")}

"""How harnex calls git: the one place.

Nothing is run that a repository, its configuration or the environment names.

Many keys of a repository's configuration are commands. Some have names that the repository makes up
(`filter.NAME.clean`, `diff.NAME.textconv`, `hook.NAME.command` from git 2.54 on), so no list of
`-c` switches covers them. A list that is read first can be changed before it is used. So there are
two ways to call git:

- `command` reads names: where HEAD is, what the configuration says. Only `rev-parse`,
  `symbolic-ref` and `config` are called this way. They look at no file's content and start nothing.
- `Apart` is for everything else: a git directory of harnex's own, with its own configuration, over
  the objects, the index and the files of the repository. git then reads neither the repository's
  configuration nor the user's.

Both have a fixed environment: no `GIT_*` variables from outside, no network, no locks, no
questions. git itself is looked for only in absolute folders of PATH. What git needs from the
configuration to see changes as its user does (line ends, file modes, ignored files, renames) is
passed on: `WANTED`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator

KEPT = (
    "HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH", "SUDO_UID",
)  # fmt: skip
FIXED = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # git before 2.39.4 and 2.45 does not know this variable; the next one stops those.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
    "GIT_TRACE2": "0",
    "GIT_TRACE2_EVENT": "0",
    "GIT_TRACE2_PERF": "0",
}
# Empty, not `false`: before git 2.36 `core.fsmonitor` is a command.
SWITCHES = (
    "core.fsmonitor=", "core.hooksPath=/dev/null", "core.pager=cat", "core.askPass=", "core.editor=:", "core.sshCommand=false",
    "core.gitProxy=", "credential.helper=", "diff.external=", "diff.autoRefreshIndex=false", "gpg.program=false", "gpg.openpgp.program=false",
    "gpg.x509.program=false", "gpg.ssh.program=false", "log.showSignature=false", "color.ui=false", "gc.auto=0",
    "maintenance.auto=false", "submodule.recurse=false", "safe.bareRepository=explicit",
)  # fmt: skip
# The configuration keys that decide how changes are seen. All of them are data; of the filter
# drivers only the names are used.
WANTED = (
    "core.autocrlf", "core.eol", "core.filemode", "core.ignorecase", "core.precomposeunicode", "core.symlinks", "core.trustctime",
    "core.checkstat", "core.bigfilethreshold", "core.sparsecheckout", "core.sparsecheckoutcone", "index.sparse", "diff.renames",
    "diff.renamelimit", "diff.algorithm", "status.renames", "status.renamelimit",
)  # fmt: skip
# Keys that name files, and the names of these files in ~/.config/git.
PATHS = {"core.excludesfile": "ignore", "core.attributesfile": "attributes"}
FORMAT = "extensions.objectformat"
FILTER = ("clean", "process")
LATE = 1 << 32  # seconds since the epoch: the year 2106
COPY_MAX = 4 << 20


def program() -> str:
    """The path of git, from an absolute folder of PATH: a git in the working directory is never
    used.

    Raises FileNotFoundError.
    """
    where = os.pathsep.join(p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(p))
    found = shutil.which("git", path=where) if where else None
    if found is None:
        raise FileNotFoundError("git")
    return found


def environment() -> dict[str, str]:
    """The environment for git: a few of this process's variables, and fixed ones."""
    path = os.pathsep.join(p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(p))
    return {"PATH": path, **{k: os.environ[k] for k in KEPT if k in os.environ}, **FIXED}


def command(repo: str, *words: str) -> list[str]:
    """A command line for `rev-parse`, `symbolic-ref` and `config` in a repository.

    Raises FileNotFoundError.
    """
    return [program(), "--no-pager", *_switches(SWITCHES), "-C", repo, *words]


def settings_words() -> tuple[str, ...]:
    """The words of the command whose output `Apart` needs.

    The command fails if the configuration has none of the keys.
    """
    keys = "|".join(key.replace(".", "\\.") for key in (*WANTED, *PATHS, FORMAT))
    return ("config", "-z", "--get-regexp", f"^({keys}|filter\\..*\\.({'|'.join(FILTER)}))$")


def is_top(output: str | None) -> bool:
    """Whether the output of `TOP` says that the folder is the top of a work tree.

    git looks further up if a `.git` is no git directory.
    """
    return output is not None and output.split("\n")[:2] == ["true", ""]


TOP = ("rev-parse", "--is-inside-work-tree", "--show-prefix")
COMMIT = ("rev-parse", "--verify", "-q", "HEAD^{commit}")


class Apart:
    """A git directory of harnex's own over a repository's objects, index and work tree.

    `close` removes it. `head` is the commit to compare with, None if there is none. `settings` is
    the output of `settings_words`. `scratch` is a private folder outside the repository. Raises
    OSError.
    """

    def __init__(self, repo: str, head: str | None, settings: str, scratch: str) -> None:
        self._repo = repo
        own, common = _directories(repo)
        values = dict(_pairs(settings))
        self.filters = {
            key.split(".", 1)[1].rpartition(".")[0] for key, value in values.items() if _filters(key, value)
        }
        self.directory = os.path.join(scratch, f"git-{os.getpid()}-{os.urandom(6).hex()}")
        os.mkdir(self.directory, 0o700)
        try:
            self._fill(own, common, head, values.get(FORMAT, ""))
        except BaseException:
            self.close()
            raise
        given = [f"{key}={values[key]}" for key in WANTED if key in values]
        self._given = [*given, *(f"{key}={path}" for key, path in _files(values, repo))]
        self._index = os.path.join(own, "index")
        self._env = environment() | {
            "HOME": self.directory,
            "XDG_CONFIG_HOME": self.directory,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": self.directory,
            "GIT_WORK_TREE": repo,
            "GIT_OBJECT_DIRECTORY": os.path.join(common, "objects"),
        }

    def command(self, *words: str) -> list[str]:
        """A command line that must run with `env`. Raises FileNotFoundError."""
        return [program(), "--no-pager", *_switches((*SWITCHES, *self._given)), "-C", self._repo, *words]

    def env(self, by_times: bool = False) -> dict[str, str]:
        """The environment for `command`.

        `by_times`: with an index that is newer than all files, so a file with the size and times of
        the index counts as unchanged. git would otherwise read files that were written in the
        second in which the index was written.
        """
        index = self._index
        if by_times:
            index = os.path.join(self.directory, "index")
            if _copy(self._index, index, most=None):
                os.utime(index, (LATE, LATE))
        return {**self._env, "GIT_INDEX_FILE": index}

    def close(self) -> None:
        """Remove the directory. It holds only copies of the repository's files."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _fill(self, own: str, common: str, head: str | None, object_format: str) -> None:
        sha256 = object_format == "sha256"
        config = f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tbare = false\n"
        config += "[extensions]\n\tobjectformat = sha256\n" if sha256 else ""
        for name, text in (("config", config), ("HEAD", f"{head}\n" if head else "ref: refs/heads/none\n")):
            with open(os.path.join(self.directory, name), "w", encoding="ascii") as f:
                f.write(text)
        for name in ("refs", "objects", "info"):
            os.mkdir(os.path.join(self.directory, name), 0o700)
        for folder, name in (
            (common, "info/exclude"), (common, "info/attributes"), (own, "info/sparse-checkout"), (common, "shallow"),
        ):  # fmt: skip
            _copy(os.path.join(folder, name), os.path.join(self.directory, name))
        for name in os.listdir(own):
            if name.startswith("sharedindex."):  # part of a split index
                _copy(os.path.join(own, name), os.path.join(self.directory, name), most=None)


@contextlib.contextmanager
def apart(repo: str, scratch: str, timeout: float) -> Iterator[tuple[Apart, str] | None]:
    """`Apart` and the commit at HEAD; None if `repo` is not the top of a work tree or has no
    commit.

    Waits for git. The git directory is removed at the end. `timeout` is seconds for each command.
    """
    try:
        head = ask(repo, *COMMIT, timeout=timeout) if is_top(ask(repo, *TOP, timeout=timeout)) else None
        found = (
            None
            if head is None
            else Apart(repo, head.strip(), ask(repo, *settings_words(), timeout=timeout) or "", scratch)
        )
    except OSError:
        head = found = None
    try:
        yield (found, head.strip()) if found is not None and head is not None else None
    finally:
        if found is not None:
            found.close()


def ask(repo: str, *words: str, timeout: float) -> str | None:
    """The output of `command(repo, *words)`; None if it failed or took longer than `timeout`
    seconds.

    Waits for git.
    """
    try:
        return run(command(repo, *words), environment(), timeout)
    except FileNotFoundError:
        return None


def run(argv: list[str], env: dict[str, str], timeout: float) -> str | None:
    """The output of a command line; None if it failed or took longer than `timeout` seconds.

    Waits for the command.
    """
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return text(done.stdout) if done.returncode == 0 else None


def text(output: bytes) -> str:
    """git's output as text from which every path can be made again (`os.fsencode`)."""
    return os.fsdecode(output)


def readable(text: str) -> str:
    """Such text for people and JSON: bytes that are no text become replacement signs."""
    return os.fsencode(text).decode("utf-8", "replace")


def _switches(values: tuple[str, ...]) -> list[str]:
    return [word for value in values for word in ("-c", value)]


def _pairs(settings: str) -> Iterator[tuple[str, str]]:
    """The keys and values of `config -z`; a key without a value is true. Lazy."""
    for entry in settings.split("\0"):
        key, newline, value = entry.partition("\n")
        if key:
            yield key, value if newline else "true"


def _filters(key: str, value: str) -> bool:
    return key.startswith("filter.") and key.endswith(FILTER) and bool(value)


def _files(values: dict[str, str], repo: str) -> Iterator[tuple[str, str]]:
    """The person's own lists of ignored files and attributes. Lazy.

    Lists that are not plain files are replaced by /dev/null: anything else could hang git.
    """
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    for key, name in PATHS.items():
        path = os.path.join(repo, os.path.expanduser(values.get(key) or os.path.join(base, "git", name)))
        yield key, path if os.path.isfile(path) else "/dev/null"


def _directories(repo: str) -> tuple[str, str]:
    """The git directory of a work tree, and the one that it shares with other work trees.

    Raises OSError.
    """
    own = os.path.join(repo, ".git")
    if os.path.isfile(own):  # a linked work tree, or a submodule
        own = os.path.join(repo, _line(own).removeprefix("gitdir: "))
    common = own
    if os.path.isfile(os.path.join(own, "commondir")):
        common = os.path.join(own, _line(os.path.join(own, "commondir")))
    return os.path.abspath(own), os.path.abspath(common)


def _line(path: str) -> str:
    with open(path, "rb") as f:
        return os.fsdecode(f.read(8192).rstrip(b"\r\n"))


def _copy(path: str, to: str, most: int | None = COPY_MAX) -> bool:
    """Copy a plain file of the repository, if it is there; return whether it was copied.

    A device is never copied, and never more than the file held when it was opened.
    """
    with contextlib.suppress(OSError), open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as f:
        info = os.fstat(f.fileno())
        if stat.S_ISREG(info.st_mode) and (most is None or info.st_size <= most):
            left = info.st_size
            with open(to, "wb") as copy:
                while left > 0 and (data := f.read(min(left, 1 << 20))):
                    copy.write(data)
                    left -= len(data)
            return True
    return False

"""The Python processes that harnex starts for itself, and what this process may import.

harnex's own processes (supervisor, rehearsal endpoint, bundled agent, notifier, `attach` in tmux)
run with `-I`: Python then ignores all `PYTHON*` variables and never looks into the working
directory. Without `-I`, a `psutil.py` in a folder of PYTHONPATH would run instead of the real one.
The variables themselves stay in the environment, for the agent.

The first process, the `harnex` command, is started by others. `settle` takes the same folders out
of its `sys.path` before anything but `harnex` itself is imported. Code that Python runs before
`settle` can't be kept out: a `sitecustomize`, a module of the standard library or a whole `harnex`
package in PYTHONPATH, or another PYTHONHOME.
"""

from __future__ import annotations

import os
import sys

import harnex

# Import exactly the package that the starting process runs, and let its folder shadow nothing else.
BOOT = (
    "import sys; sys.path.insert(0, {root!r}); import harnex; del sys.path[0]; "
    "sys.path += [p for p in {more!r} if p not in sys.path]; from {module} import main; sys.exit(main())"
)
MISSING = (
    "harnex's own processes ignore PYTHON* variables: install harnex, with what it needs, in one place (a venv, pipx)"
)


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs `main()` of one of harnex's modules.

    In that process `sys.argv` is `["-c", *arguments]`.
    """
    root = own_root()
    return [
        sys.executable,
        *_switches(root),
        "-c",
        BOOT.format(root=root, more=_more(root), module=module),
        *arguments,
    ]


def own_root() -> str:
    """The folder that holds the package `harnex`."""
    return os.path.dirname(os.path.dirname(os.path.abspath(harnex.__file__)))


def settle() -> None:
    """Take folders out of `sys.path` that the environment or the working directory put there.

    For the `harnex` command only, never for programs that import harnex. If `harnex` itself is in a
    folder of PYTHONPATH, its user wants PYTHONPATH: then PYTHONPATH counts, after everything that
    is installed.
    """
    given = _from_environment()
    # The folder of the script, or the working directory (`python -m`).
    first = [] if sys.flags.safe_path else sys.path[:1]
    root, rest = own_root(), sys.path[len(first) :]
    if given:
        installed = _installed()
        rest = [p for p in rest if p not in given or p in installed]
    last = given if root in given else [root] if [os.path.abspath(p) for p in first] == [root] else []
    sys.path[:] = [*rest, *(p for p in last if p not in rest)]


def _from_environment() -> list[str]:
    """The folders of PYTHONPATH, as they are in `sys.path`; [] if this process ignores it."""
    words = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    return [os.path.abspath(word) for word in words.split(os.pathsep)] if words else []


def _installed() -> set[str]:
    """The folders that every Python of this installation looks into."""
    import site

    library = os.path.dirname(os.__file__)
    packed = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    found = {library, os.path.join(library, "lib-dynload"), os.path.join(os.path.dirname(library), packed)}
    found.update(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        found.add(site.getusersitepackages())
    return found


def _switches(root: str) -> list[str]:
    """`-I`, and the settings from this process's environment that its children need, too."""
    import site

    user_site = site.getusersitepackages() if site.ENABLE_USER_SITE else None
    # `pip install --user`: harnex and its dependencies are in the user's own folder, before the
    # system's.
    words = ["-E", "-P"] if root == user_site else ["-I"]
    if sys.dont_write_bytecode:
        words.append("-B")
    # The same bytes must mean the same path to both processes (PYTHONUTF8, LC_ALL).
    return [*words, "-X", f"utf8={sys.flags.utf8_mode}"]


def _more(root: str) -> list[str]:
    """The folders that the child would not find by itself.

    They come last, so that they shadow nothing. They are harnex's folder, and those that a wrapper,
    or the PYTHONPATH that holds harnex, brought into this process.
    """
    given, installed = _from_environment(), _installed()
    first = [] if sys.flags.safe_path else sys.path[:1]
    brought = [p for p in sys.path if p and p not in first and p not in given and p not in installed]
    return list(dict.fromkeys([root, *(given if root in given else ()), *brought]))

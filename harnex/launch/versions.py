"""Find out cheaply which version a program is.

The npm package around the program says so, else its own answer to `--version`, which is remembered.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterable
from hashlib import blake2s

from harnex import paths
from harnex.agents import catalogue
from harnex.store import durable

PATIENCE_S = 10.0  # how long `--version` may take
# Format of the cache's keys. Format 1 held versions of other programs.
FORMAT = 2

_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_NUMBER = r"(?<![\w.])v?(\d+\.\d+(?:\.\d+)*(?:[-+][0-9A-Za-z][\w.+-]*)?)(?!\w)"
_FILLERS = re.compile(r"[\s()]")
_NEWS = re.compile(
    r"\b(?:available|updated?|upgraded?|newer?|latest|released?|out of date|outdated|requires?)\b|→|->", re.IGNORECASE
)


def detect(state: str, program: str, env: dict[str, str], cli: str, cwd: str | None = None) -> str | None:
    """Return the version text (`0.169.0`) of a resolved program, or None if it does not say.

    `cli` is the agent CLI that the program is. `cwd` is where it will run: version
    managers choose by the directory.
    """
    real = os.path.realpath(program)
    return _package_version(real, catalogue.kind(cli).npm) or _asked_version(state, real, program, env, cli, cwd)


def parse(text: str | None) -> tuple[int, ...] | None:
    """Return `2.1.329` or `0.169.0-beta.1` as a tuple of numbers, without the
    suffix; None for no version."""
    match = re.match(r"(\d+(?:\.\d+)*)", text or "")
    return tuple(map(int, match[1].split("."))) if match else None


def told(output: str, titles: Iterable[str]) -> str | None:
    """Return the version in the output of `--version` of a program that calls
    itself by one of `titles`.

    Other programs print there as well (version managers, wrappers, update notices).
    The candidates, best first:

    - a line of nothing but a title and a version;
    - a version beside a title, in a line that does not announce an update;
    - a line of nothing but a version.

    Returns None if the best kind has two different versions.
    """
    title = "(?:" + "|".join(re.escape(title) for title in titles) + r")(?![\w-])"
    beside = re.compile(rf"{_NUMBER}[\s(]+{title}|(?<![\w-]){title}[\s:]+(?:version\s+)?{_NUMBER}", re.IGNORECASE)
    own: set[str] = set()
    named: set[str] = set()
    bare: set[str] = set()
    for line in _SEQUENCES.sub("", output).replace("\r", "\n").split("\n"):
        found = {(first or second).rstrip(".") for first, second in beside.findall(line)}
        if not _FILLERS.sub("", beside.sub("", line)):
            own |= found
        elif not _NEWS.search(line):
            named |= found
        if (alone := re.fullmatch(_NUMBER, line.strip())) is not None:
            bare.add(alone[1])
    versions = own or named or bare
    return versions.pop() if len(versions) == 1 else None


def _package_version(real: str, name: str) -> str | None:
    """Return the version from the package.json of the npm package `name`
    around a program, or None."""
    directory = os.path.dirname(real)
    if "node_modules" not in directory:
        return None
    for _ in range(4):
        try:
            with open(os.path.join(directory, "package.json"), encoding="utf-8") as f:
                package = json.load(f)
            if package.get("version") and package.get("name") == name:
                return str(package["version"])
        except (OSError, ValueError, AttributeError):
            pass
        directory = os.path.dirname(directory)
    return None


def _asked_version(state: str, real: str, program: str, env: dict[str, str], cli: str, cwd: str | None) -> str | None:
    key = _key(real, program, cli)
    cache = os.path.join(paths.subdir(state, "cache"), "versions.json")
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError), open(cache, encoding="utf-8") as f:
        known = json.load(f)
    if key and isinstance(known, dict) and key in known:
        return known[key]
    try:
        done = subprocess.run(
            [program, "--version"],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    texts = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
    titles = catalogue.kind(cli).titles or (cli,)
    version = next((v for text in texts if (v := told(text, titles)) is not None), None)
    if version is not None and key:
        with contextlib.suppress(OSError):
            kept = {**(known if isinstance(known, dict) else {}), key: version}
            durable.replace(cache, json.dumps(kept).encode(), through=False)
    return version


def _key(real: str, program: str, cli: str) -> str:
    """Return the cache key for this program's version; "" if the program must be asked each time.

    A script, and the shim of a version manager (one binary for all tools), stay the same file
    when the version behind them changes. A binary that bears the name of the CLI, or a
    version, is the CLI itself.
    """
    name = os.path.basename(real)
    if cli not in name.lower() and not re.match(r"v?\d+\.\d+", name):
        return ""
    try:
        info = os.stat(real)
        with open(real, "rb") as f:
            if f.read(2) == b"#!":
                return ""
    except OSError:
        return ""
    words = f"{FORMAT}:{program}:{real}:{info.st_size}:{info.st_mtime_ns}"
    return blake2s(words.encode("utf-8", "surrogateescape")).hexdigest()  # a path may hold a secret

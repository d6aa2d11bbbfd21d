"""Which version a program is, cheaply: the npm package around it, else `--version`, remembered."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from hashlib import blake2s

from harnex import paths
from harnex.store import durable

PATIENCE_S = 10.0


def detect(state: str, program: str, env: dict[str, str]) -> str | None:
    """The version text of a resolved program (`0.169.0`), None if it does not tell."""
    real = os.path.realpath(program)
    return _package_version(real) or _asked_version(state, real, program, env)


def parse(text: str | None) -> tuple[int, ...] | None:
    """`2.1.329` or `0.169.0-beta.1` as numbers, the suffix left out."""
    match = re.match(r"(\d+(?:\.\d+)*)", text or "")
    return tuple(map(int, match[1].split("."))) if match else None


def _package_version(real: str) -> str | None:
    """From the nearest package.json above an npm-installed program."""
    directory = os.path.dirname(real)
    if "node_modules" not in directory:
        return None
    for _ in range(4):
        try:
            with open(os.path.join(directory, "package.json"), encoding="utf-8") as f:
                package = json.load(f)
            if package.get("version") and package.get("name"):
                return str(package["version"])
        except (OSError, ValueError, AttributeError):
            pass
        directory = os.path.dirname(directory)
    return None


def _asked_version(state: str, real: str, program: str, env: dict[str, str]) -> str | None:
    try:
        info = os.stat(real)
    except OSError:
        return None
    # A hash: a path may hold a secret.
    key = blake2s(f"{real}:{info.st_size}:{info.st_mtime_ns}".encode("utf-8", "surrogateescape")).hexdigest()
    cache = os.path.join(paths.subdir(state, "cache"), "versions.json")
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError), open(cache, encoding="utf-8") as f:
        known = json.load(f)
    if isinstance(known, dict) and key in known:
        return known[key]
    try:
        done = subprocess.run(
            [program, "--version"],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d+\.\d+(?:\.\d+)?(?:[-+][\w.]+)?", done.stdout.decode("utf-8", "replace"))
    if match is None:
        return None
    with contextlib.suppress(OSError):
        told = {**(known if isinstance(known, dict) else {}), key: match[0]}
        durable.replace(cache, json.dumps(told).encode(), through=False)
    return match[0]

"""The real agent CLIs that tests/real runs, at pinned versions, installed by npm into a cache of their own.

    python tests/real/agents.py        installs what is missing; several at once are safe
    HARNEX_TEST_VERSIONS="codex@0.128.0 claude@2.1.80" pytest tests/real        other versions than the pinned ones

The cache is `$HARNEX_TEST_CACHE`, else `$XDG_CACHE_HOME/harnex-tests`, else `~/.cache/harnex-tests`:
`<cache>/<name>-<version>/node_modules/.bin/<name>`. Nothing of it is in the repository.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = {"codex": "@openai/codex", "claude": "@anthropic-ai/claude-code"}
# The newest that was measured, and one of an older kind: Codex without OSC 7501 and title, Claude Code on node,
# without a session file.
VERSIONS = {"codex": ("0.169.0", "0.104.0"), "claude": ("2.1.329", "2.0.77")}
PINNED = tuple((name, version) for name, versions in VERSIONS.items() for version in versions)
if os.environ.get("HARNEX_TEST_VERSIONS"):
    PINNED = tuple((n, v) for n, _, v in (word.partition("@") for word in os.environ["HARNEX_TEST_VERSIONS"].split()))
NEWEST = dict(reversed(PINNED))  # the first that is named of each
STAMP = ".complete"
INSTALL_S = 900
ASK_S = 60


def cache_dir() -> Path:
    own = os.environ.get("HARNEX_TEST_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "harnex-tests"


def program(name: str, version: str) -> Path:
    """Where that CLI is, or would be."""
    return cache_dir() / f"{name}-{version}" / "node_modules" / ".bin" / name


def installed(name: str, version: str) -> bool:
    """Whether it is there as a whole: directories get their name only when they are complete."""
    return os.access(program(name, version), os.X_OK)


def answers(path: Path, version: str) -> str:
    """ "" if the program says its version, else what is wrong with it."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "HOME": home, "DISABLE_AUTOUPDATER": "1"}
        for name in ("CODEX_HOME", "CLAUDE_CONFIG_DIR"):
            env.pop(name, None)
        try:
            done = subprocess.run(
                [path, "--version"],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ASK_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            return str(e)
    if done.returncode != 0 or version not in done.stdout:
        return f"exit code {done.returncode}: {(done.stdout + done.stderr).strip()[-500:]}"
    return ""


def install(name: str, version: str) -> None:
    """Install one, unless it is there. Raises RuntimeError with npm's own words."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"{name}-{version}"
    if installed(name, version) and ((place / STAMP).exists() or not answers(program(name, version), version)):
        say(f"{name} {version}: is there")
        return
    with open(cache / f"{name}-{version}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # freed by the kernel, however we end
        if (place / STAMP).exists() and installed(name, version):
            say(f"{name} {version}: is there (somebody else was faster)")
            return
        say(f"{name} {version}: installing …")
        for old in cache.glob(f".new-{name}-{version}-*"):
            shutil.rmtree(old, ignore_errors=True)  # of one that was killed
        new = Path(tempfile.mkdtemp(prefix=f".new-{name}-{version}-", dir=cache))
        try:
            npm_install(new, f"{PACKAGES[name]}@{version}")
            problem = answers(new / "node_modules" / ".bin" / name, version)
            if problem:
                raise RuntimeError(f"{name} {version} was installed, but does not run: {problem}")
            (new / STAMP).touch()
            new.chmod(0o755)
            if place.exists():
                shutil.rmtree(place)
            new.rename(place)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    say(f"{name} {version}: installed in {place}")


def npm_install(where: Path, package: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not on the PATH: the real agent CLIs are npm packages")
    (where / "package.json").write_text('{"name": "harnex-test-agent", "version": "1.0.0", "private": true}\n')
    words = [npm, "install", "--no-audit", "--no-fund", "--no-update-notifier", "--save-exact", package]
    try:
        done = subprocess.run(
            words, cwd=where, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"npm install {package}: not done after {INSTALL_S} s") from None
    if done.returncode != 0:
        raise RuntimeError(f"npm install {package}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}")


def say(words: str) -> None:
    print(words, flush=True)


def main() -> int:
    say(f"the real agent CLIs, in {cache_dir()}")
    failed = 0
    for name, version in PINNED:
        try:
            install(name, version)
        except (RuntimeError, OSError) as e:
            print(f"{name} {version}: {e}", file=sys.stderr, flush=True)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())

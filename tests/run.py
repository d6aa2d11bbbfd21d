"""`make test`: run the tests, then check whether the run left a process,
a socket or a file behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

MARKER = "HARNEX_TEST_RUN"
ROOT = Path(__file__).parents[1]


def marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def outside() -> set[str]:
    """Where a careless test would write: the person's own state directory, the socket
    directory, the work tree."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "harnex"
    seen = {str(p) for p in state.rglob("*")} if state.is_dir() else set()
    seen |= {str(p) for p in Path(f"/tmp/harnex-{os.geteuid()}").glob("*")}
    seen |= {str(p) for p in Path("/tmp").glob("harnex-demo-*")}
    status = subprocess.run(
        ["git", "-C", str(ROOT), "status", "--porcelain", "--ignored=no"], capture_output=True, text=True, check=False
    )
    return seen | set(status.stdout.splitlines())


def main() -> int:
    mark = f"{os.getpid()}-{time.time_ns()}"
    # Keep the path short: a socket's path must fit into 107 bytes.
    place = tempfile.mkdtemp(prefix="hx-", dir="/tmp")
    env = {**os.environ, MARKER: mark, "TMPDIR": place}
    before = outside()
    # The workers mostly wait.
    workers = os.environ.get("HARNEX_TEST_WORKERS") or str(max(4, min(6, os.cpu_count() or 2)))
    pytest = [sys.executable, "-m", "pytest", "-q", *sys.argv[1:]]
    shared = ["-n", workers, "--dist", "worksteal", "--durations", "8"]
    code = subprocess.run([*pytest, *shared], env=env, cwd=ROOT, check=False).returncode
    if code == 1:
        # Dozens of agents run on a machine that others use, too: a test that failed among them
        # must pass when it runs alone.
        print("some tests failed beside others; each of them again, alone:", file=sys.stderr, flush=True)
        code = subprocess.run([*pytest, "--last-failed", "-n", "0", "-rA"], env=env, cwd=ROOT, check=False).returncode
    end = time.monotonic() + 5.0
    while marked(mark) and time.monotonic() < end:
        time.sleep(0.1)
    left = [f"process {p.pid}: {' '.join(p.cmdline())[:160]}" for p in marked(mark)]
    for process in marked(mark):
        process.kill()
    left += [f"file or change: {path}" for path in sorted(outside() - before)]
    shutil.rmtree(place, ignore_errors=True)
    for words in left:
        print(f"left behind by the tests: {words}", file=sys.stderr)
    return code or (1 if left else 0)


if __name__ == "__main__":
    sys.exit(main())

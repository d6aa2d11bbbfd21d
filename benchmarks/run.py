"""The benchmarks of README.md beside this file. Each is a function that returns printed rows."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

HARNEX = os.path.join(os.path.dirname(sys.executable), "harnex")
FLOOD_MB = 100
WATCHED = 20


class Place:
    """Yield a fresh state directory and work tree."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="harnex-bench-"))
        self.work = self.base / "work"
        self.work.mkdir()
        self.program = [HARNEX]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HARNEX_", "TMUX"))}
        self.env = {**clean, "HARNEX_STATE_DIR": str(self.base / "state"), "TMUX_TMPDIR": str(self.base)}

    def customize(self, code: str) -> None:
        """Run this code at the start of every Python process of harnex, by a virtual environment on
        top of the installed one."""
        site = self.base / "venv" / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
        site.mkdir(parents=True)
        python = self.base / "venv" / "bin" / "python"
        python.parent.mkdir()
        python.symlink_to(os.path.realpath(sys.executable))
        (self.base / "venv" / "pyvenv.cfg").write_text(
            f"home = {os.path.dirname(os.path.realpath(sys.executable))}\ninclude-system-site-packages = false\n"
        )
        (site / "installed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        (site / "sitecustomize.py").write_text(code)
        self.program = [str(python), HARNEX]

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [*self.program, *words],
            env=self.env,
            cwd=self.work,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise SystemExit(f"harnex {' '.join(words)}: {done.stderr}")
        return done.stdout

    def script(self, *calls: Any) -> str:
        path = self.base / "script.json"
        path.write_text(json.dumps({"calls": calls, "default": {"text": "ok"}}))
        return str(path)

    def close(self) -> None:
        for record in json.loads(self.run("status", "--all", "--json")):
            self.run("stop", "--force", "--id", record["id"])
        subprocess.run(["tmux", "kill-server"], env=self.env, capture_output=True, check=False)
        shutil.rmtree(self.base, ignore_errors=True)


@contextlib.contextmanager
def place() -> Iterator[Place]:
    here = Place()
    try:
        yield here
    finally:
        here.close()


def timed(command: list[str], here: Place) -> float:
    begun = time.perf_counter()
    subprocess.run(
        command, env=here.env, cwd=here.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return time.perf_counter() - begun


def spread(values: list[float], unit: str, factor: float = 1.0, digits: int = 1) -> str:
    low, mid, high = min(values) * factor, statistics.median(values) * factor, max(values) * factor
    return f"{mid:.{digits}f} {unit} ({low:.{digits}f}–{high:.{digits}f}, n={len(values)})"


def versus(name: str, command: list[str], other: list[str], here: Place, n: int) -> str:
    """Measure one command against another, in turn."""
    timed(command, here), timed(other, here)
    pairs = [(timed(command, here), timed(other, here)) for _ in range(n)]
    ratio = statistics.median(a / b for a, b in pairs)
    return f"{name}: {ratio:.2f}× — {spread([a for a, _ in pairs], 'ms', 1000)} against {spread([b for _, b in pairs], 'ms', 1000)}"


def startup(n: int) -> Iterator[str]:
    bare = [sys.executable, "-c", "pass"]
    with place() as here:
        for count in (0, 50):
            for number in range(count):
                here.run("run", "cat", "--detach", "--id", f"s{number}")
            yield versus(
                f"status --json, {count} sessions, against a bare interpreter",
                [HARNEX, "status", "--json"],
                bare,
                here,
                n,
            )
        yield versus("--help against a bare interpreter", [HARNEX, "--help"], bare, here, n)


def send(n: int) -> Iterator[str]:
    """Measure how long a key takes: the child writes the time of each byte that it reads.

    The clock is the system's monotonic one.
    """
    child = (
        "import os,sys,time,tty; tty.setraw(0); f=open(sys.argv[1],'a',buffering=1)\n"
        "while os.read(0,65536): f.write(f'{time.monotonic()}\\n')"
    )
    with place() as here:
        log = here.base / "times"
        here.run("run", sys.executable, "--detach", "--id", "b", "--", "-c", child, str(log))
        took, base = [], []
        for number in range(n + 1):
            before = len(log.read_text().splitlines()) if log.exists() else 0
            begun = time.monotonic()
            here.run("send", "--id", "b", "--message", f"message {number}", "--no-wait")
            while len(lines := log.read_text().splitlines() if log.exists() else []) <= before:
                time.sleep(0.0005)
            took.append(float(lines[before]) - begun)
            base.append(timed([HARNEX, "status", "--json"], here))
            # The previous message must be finished with: an unknown program is given its time.
            time.sleep(0.6)
        over = [a - statistics.median(base) for a in took[1:]]
        yield f"send → first byte in the child's PTY: {spread(took[1:], 'ms', 1000)}"
        yield f"the same above the start-up of a harnex command: {spread(over, 'ms', 1000)}"


def events(n: int) -> Iterator[str]:
    with place() as here:
        reply = json.loads(here.run("run", "cat", "--detach", "--id", "b"))
        path = reply["events_path"]
        reader = subprocess.Popen(
            [HARNEX, "events", "--id", "b"], env=here.env, cwd=here.work, stdout=subprocess.PIPE, text=True
        )
        assert reader.stdout is not None
        took = []
        seen = ""
        while '"started"' not in seen:
            seen = reader.stdout.readline()
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        for number in range(n):
            time.sleep(0.05 + 0.0137 * (number % 7))
            line = (
                json.dumps({"seq": 10_000 + number, "type": "diagnostic", "ts": "", "what": f"bench {number}"}) + "\n"
            )
            begun = time.perf_counter()
            os.write(fd, line.encode())
            while f"bench {number}" not in reader.stdout.readline():
                pass
            took.append(time.perf_counter() - begun)
        os.close(fd)
        reader.kill()
        reader.wait()
        yield f"event written → printed by events: {spread(took, 'ms', 1000)}"


def flood(n: int) -> Iterator[str]:
    """Measure a child that prints 100 MB of lines, under harnex, in tmux, and
    into a bare reader, in turn."""
    line = "x" * 78 + "\n"
    child = f"import sys; d={line!r}*13000; n=0\nwhile n < {FLOOD_MB} << 20: sys.stdout.write(d); n += len(d)"
    with place() as here:
        command = [sys.executable, "-c", child]
        rates: dict[str, list[float]] = {"harnex": [], "tmux": [], "bare PTY reader": []}
        peak = 0.0
        for number in range(n):
            rates["bare PTY reader"].append(FLOOD_MB / bare_reader(command))
            if shutil.which("tmux"):
                begun = time.perf_counter()
                done = here.base / f"done-{number}"
                words = " ".join(f"'{w}'" if "\n" not in w else '"$FLOOD"' for w in command)
                subprocess.run(
                    ["tmux", "new-session", "-d", "-x", "120", "-y", "40", "-e", f"FLOOD={child}", f"{words}; touch {done}"],
                    env=here.env, check=True,
                )  # fmt: skip
                while not done.exists():
                    time.sleep(0.005)
                rates["tmux"].append(FLOOD_MB / (time.perf_counter() - begun))
            begun = time.perf_counter()
            reply = json.loads(here.run("run", sys.executable, "--detach", "--id", f"f{number}", "--", "-c", child))
            with contextlib.suppress(psutil.Error):
                peak = max(peak, psutil.Process(reply["supervisor_pid"]).memory_full_info().pss / 1e6)
            subprocess.run(
                [HARNEX, "wait", "--until", "exited", "--id", f"f{number}"],
                env=here.env,
                cwd=here.work,
                capture_output=True,
                check=False,
            )
            rates["harnex"].append(FLOOD_MB / (time.perf_counter() - begun))
        for name, values in rates.items():
            if values:
                yield f"{FLOOD_MB} MB from the child, {name}: {spread(values, 'MB/s')}"
        if rates["tmux"]:
            ratio = statistics.median(a / b for a, b in zip(rates["harnex"], rates["tmux"], strict=True))
            yield f"harnex against tmux: {ratio:.2f}×; supervisor's PSS during it: {peak:.1f} MB"


WITHOUT = """
import atexit, os, sys

import harnex.redaction.redactor as it
if os.environ.get("HARNEX_BENCH_REDACT") == "no":
    it.Redactor.text = lambda self, text: text
    it.Redactor.spans = lambda self, *more: []
    it.Redactor.redact_lines = lambda self, lines, *more: list(lines)
def told():
    with open(os.environ["HARNEX_BENCH_TIMES"], "a") as f:
        f.write(f"{sum(os.times()[:2])}\\n")
if "harnex-supervisor" in sys.orig_argv:
    atexit.register(told)
"""


def redaction(n: int) -> Iterator[str]:
    """Measure the flood with and without redaction, in turn, with twelve
    secrets in the environment."""
    with place() as here:
        here.customize(WITHOUT)
        here.env |= {f"BENCH_{k}_TOKEN": f"bench{k}Secret9Value{k}abcdefghijklmnop" for k in range(12)}
        plain = "x" * 78 + "\n"
        # Every thousandth line has a word that makes the redactor look closer, as real output does.
        child = (
            f"import sys; d=({plain!r}*999 + 'token: 12 of the key=value pairs, C:\\\\x %41 sk-learn\\n')*13; n=0\n"
            f"while n < {FLOOD_MB} << 20: sys.stdout.write(d); n += len(d)"
        )
        took: dict[str, list[float]] = {"yes": [], "no": []}
        cpu: dict[str, list[float]] = {"yes": [], "no": []}
        times_file = here.base / "times"
        here.env["HARNEX_BENCH_TIMES"] = str(times_file)
        for number in range(n + 1):
            for how, times in took.items():
                here.env["HARNEX_BENCH_REDACT"] = how
                name = f"{how}{number}"
                begun = time.perf_counter()
                here.run("run", sys.executable, "--detach", "--id", name, "--", "-c", child)
                subprocess.run(
                    [HARNEX, "wait", "--until", "exited", "--id", name],
                    env=here.env, cwd=here.work, capture_output=True, check=False,
                )  # fmt: skip
                times.append(time.perf_counter() - begun)
                while not times_file.exists() or not times_file.read_text().endswith("\n"):
                    time.sleep(0.01)
                cpu[how].append(float(times_file.read_text()))
                times_file.unlink()
        ratio = statistics.median(a / b for a, b in zip(cpu["yes"][1:], cpu["no"][1:], strict=True))
        used, spared = (spread(cpu[k][1:], "s", digits=2) for k in ("yes", "no"))
        yield f"{FLOOD_MB} MB from the child, the supervisor's CPU, redacted against not: {ratio:.3f}× — {used} against {spared}"
        pairs = list(zip(took["yes"][1:], took["no"][1:], strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        with_it, without = (spread([FLOOD_MB / p[k] for p in pairs], "MB/s") for k in (0, 1))
        yield f"{FLOOD_MB} MB from the child, wall time, redacted against not: {ratio:.3f}× (best {min(p[0] for p in pairs) / min(p[1] for p in pairs):.3f}×) — {with_it} against {without}"


def bare_reader(command: list[str]) -> float:
    import pty

    begun = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    with contextlib.suppress(OSError):
        while os.read(fd, 65536):
            pass
    os.waitpid(pid, 0)
    os.close(fd)
    return time.perf_counter() - begun


def watch_process(pid: int, seconds: float) -> tuple[float, float]:
    """Return PSS in MB and CPU in percent of one core over some time."""
    process = psutil.Process(pid)
    before, begun = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return process.memory_full_info().pss / 1e6, 100 * used / (time.monotonic() - begun)


def idle(n: int) -> Iterator[str]:
    with place() as here:
        for cli in ("cat", "demo", *(c for c in ("codex", "claude") if shutil.which(c))):
            extra = [] if cli == "cat" else ["--rehearse", here.script()]
            reply = json.loads(
                here.run(
                    "run", cli, "--detach", "--id", cli, "--permissions", "ask" if cli == "cat" else "bypass", *extra
                )
            )
            if cli != "cat":
                here.run("wait", "--id", cli, "--until", "prompt", "--timeout", "20")
            time.sleep(14)  # the start is watched closely for ten seconds
            pss, cpu = watch_process(reply["supervisor_pid"], 30)
            yield f"idle {cli}: supervisor {pss:.1f} MB PSS, {cpu:.2f} % CPU over 30 s"
            here.run("stop", "--id", cli)


def busy(n: int) -> Iterator[str]:
    with place() as here:
        for cli in ("demo", *(c for c in ("codex", "claude") if shutil.which(c))):
            script = here.script({"text": "word " * 400, "pause": 0.1})
            reply = json.loads(
                here.run("run", cli, "--detach", "--id", cli, "--permissions", "bypass", "--rehearse", script)
            )
            here.run("send", "--id", cli, "--message", "go")
            time.sleep(2)
            pss, cpu = watch_process(reply["supervisor_pid"], 20)
            yield f"busy {cli}: supervisor {pss:.1f} MB PSS, {cpu:.2f} % CPU over 20 s"
            here.run("stop", "--id", cli)


def watch(n: int) -> Iterator[str]:
    """Measure 20 idle sessions with the watch on, and one follower of one of them."""
    with place() as here:
        pids = []
        script = here.script()
        for number in range(WATCHED):
            words = [
                "run",
                "demo",
                "--detach",
                "--id",
                f"w{number}",
                "--watch",
                "--preset",
                "impl",
                "--rehearse",
                script,
            ]
            pids.append(int(json.loads(here.run(*words))["supervisor_pid"]))
        for number in range(WATCHED):
            here.run("wait", "--id", f"w{number}", "--until", "prompt", "--timeout", "30")
        time.sleep(14)  # the start is watched closely for ten seconds
        follower = subprocess.Popen(
            [HARNEX, "watch", "--id", "w0"],
            env=here.env,
            cwd=here.work,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(2)
            supervisors, used = [psutil.Process(pid) for pid in pids], psutil.Process(follower.pid)
            before, began = [cpu_s(p) for p in supervisors], time.monotonic()
            before_follower = cpu_s(used)
            time.sleep(60)
            took = time.monotonic() - began
            each = [100 * (cpu_s(p) - b) / took for p, b in zip(supervisors, before, strict=True)]
            yield (
                f"{WATCHED} idle watched sessions: {sum(each):.2f} % of one core in all, over {took:.0f} s "
                f"(each {statistics.median(each):.3f} %, at most {max(each):.3f} %)"
            )
            yield f"one follower (harnex watch): {100 * (cpu_s(used) - before_follower) / took:.2f} %"
        finally:
            follower.kill()
            follower.wait()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


BENCHMARKS: dict[str, Callable[[int], Iterator[str]]] = {
    "startup": startup, "send": send, "events": events, "flood": flood, "redaction": redaction, "idle": idle, "watch": watch,
    "busy": busy,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("-n", type=int, default=10, help="runs of each (default: 10)")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in options.names or BENCHMARKS:
        for row in BENCHMARKS[name](options.n):
            print(f"{name:8} {row}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

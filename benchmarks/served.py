"""How long the control socket lets a client wait while the agent floods its terminal, for each kind of flood.

    python benchmarks/served.py [--kb 256] [--kind NAME]...

A child writes so much of one kind, as fast as it is read; meanwhile `status` is asked over the socket, again and again.
The kinds are those of `tests/unit/supervisor/test_feed_floods.py`. Milliseconds: median, 99th percentile, maximum; and the seconds until
the last line of the flood is on the screen. The first row is an idle session.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from run import Place, place  # noqa: E402

from harnex.client import connect  # noqa: E402
from tests.unit.supervisor.test_feed_floods import KINDS, times  # noqa: E402

CHILD = """
import os, sys, time, tty
tty.setraw(0)
data = memoryview(open(sys.argv[1], "rb").read())
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
while data:
    data = data[os.write(1, data):]
os.write(1, b"\\x18\\x1bc\\x1b[0mflooded\\r\\n")
time.sleep(600)
"""
IDLE = "(idle)"
PATIENCE_S = 120.0


def asked(record: dict[str, Any], op: str) -> tuple[float, dict[str, Any]]:
    """Return how long one request took, and the reply."""
    begun = time.perf_counter()
    reply = connect.request(record, {"op": op}, PATIENCE_S)
    return time.perf_counter() - begun, reply


def flood(here: Place, name: str, data: bytes) -> str:
    program, content, go = here.base / "child.py", here.base / "data", here.base / "go"
    program.write_text(CHILD)
    content.write_bytes(data)
    go.unlink(missing_ok=True)
    here.run("run", sys.executable, "--detach", "--id", "flood", "--", str(program), str(content), str(go))
    record = json.loads(here.run("status", "--json", "--id", "flood"))[0]
    while "ready" not in here.run("pane", "--id", "flood"):
        time.sleep(0.02)
    took: list[float] = []
    begun = time.perf_counter()
    if name != IDLE:
        go.touch()
    for n in range(1_000_000):
        took.append(asked(record, "status")[0])
        # A look at the screen makes the session draw the screen. Look seldom, so that this
        # does not slow down the flood.
        if n % 20 == 19 and (name == IDLE or "flooded" in str(asked(record, "pane")[1])):
            break
        time.sleep(0.002)
    seconds = time.perf_counter() - begun
    here.run("stop", "--force", "--id", "flood")
    took.sort()
    last = "" if name == IDLE else f"{seconds:6.1f} s"
    ms = [statistics.median(took) * 1000, took[int(len(took) * 0.99)] * 1000, took[-1] * 1000]
    return f"{name:36} {ms[0]:7.1f} {ms[1]:7.1f} {ms[2]:7.1f}  n={len(took):<6} {last}"


def rows(kb: int, kinds: list[str]) -> Iterator[str]:
    with place() as here:
        yield flood(here, IDLE, b"")
        for name in kinds or KINDS:
            yield flood(here, name, times(KINDS[name], kb << 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kb", type=int, default=256)
    parser.add_argument("--kind", action="append", default=[], choices=list(KINDS))
    options = parser.parse_args()
    for row in rows(options.kb, options.kind):
        print(row, flush=True)


if __name__ == "__main__":
    main()

"""What it costs that the end of a run and acknowledged messages outlive a power cut: `store/durable.py`.

    python benchmarks/durability.py [-n 50] [--in DIRECTORY]

Each step is done with its writes going through to the disk and without, in turn, on the disk of DIRECTORY (a temporary
directory by default: name the state directory's disk, a tmpfs writes nothing through). Milliseconds: median (minimum to
maximum).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harnex.model import events
from harnex.store import durable, history, undelivered
from harnex.store.eventlog import EventLog

ROW = {"id": "x", "run_id": "r", "message": "m" * 1500}


def steps(state: str) -> dict[str, Callable[[int], object]]:
    def log(n: int) -> None:
        log = EventLog(os.path.join(state, f"events-{n}.jsonl"), "x", "r")
        for _ in range(50):
            log.append(events.Diagnostic(what="d" * 200, count=1))
        log.close()

    return {
        "history row": lambda n: history.append(state, ROW),
        "log of 50 events, closed": log,
        "message kept": lambda n: undelivered.put(state, f"r{n}", {"id": "m", "text": "t" * 500, "submit": True}, str),
        "start.json": lambda n: durable.replace(os.path.join(state, "start.json"), b"s" * 3000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=50)
    parser.add_argument("--in", dest="place")
    options = parser.parse_args()
    real = durable.sync, durable.sync_names
    with tempfile.TemporaryDirectory(dir=options.place) as state:
        numbers = iter(range(10**9))
        for name, step in steps(state).items():
            took: dict[bool, list[float]] = {True: [], False: []}
            for turn in range(2 * options.n):
                through = turn % 2 == 0
                durable.sync, durable.sync_names = real if through else (lambda fd: None, lambda directory: None)
                begun = time.perf_counter()
                step(next(numbers))
                took[through].append((time.perf_counter() - begun) * 1000)
            words = [f"{statistics.median(t):6.2f} ({min(t):.2f} to {max(t):.2f})" for t in took.values()]
            print(f"{name:26} written through {words[0]:28} not {words[1]}")


if __name__ == "__main__":
    main()

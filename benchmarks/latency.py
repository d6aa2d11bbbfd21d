"""How soon a turn's end is known, and whether many turns in a row are each answered: the real CLIs, rehearsed.

    python benchmarks/latency.py codex claude          each source switched off in turn, 20 turns each
    python benchmarks/latency.py codex --cycles 200    send and wait, 200 times: nothing lost, doubled or early

The time is from the last byte of the answer leaving the scripted endpoint to the `state` event that says `prompt`: what
the CLI itself needs after the last byte is in it. Sources are switched off inside the supervisor: this file starts
supervisors whose reader is deaf for them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from run import Place, place, spread  # noqa: E402

from harnex import interpreter  # noqa: E402
from harnex.agents.catalogue import adapter_for  # noqa: E402
from harnex.agents.contract import Reader, Version  # noqa: E402
from harnex.launch import launch  # noqa: E402
from harnex.launch.options import RunOptions  # noqa: E402
from harnex.supervisor.__main__ import main as supervise  # noqa: E402
from tests.replay import SOURCES, Muted  # noqa: E402


def deaf(cli: str, off: list[str]) -> None:
    """Make the adapter's readers in this process deaf to these sources."""
    adapter = adapter_for(cli)
    whole = adapter.reader

    def reader(version: Version | None) -> Reader:
        made: Reader = whole(version)
        for source in off:
            made = Muted(made, source)
        return made

    adapter.reader = reader  # type: ignore[method-assign]


def start(here: Place, cli: str, off: list[str], script: str, name: str) -> str:
    """Start a session whose supervisor does not hear these sources. Returns its run's directory."""
    os.environ.clear()
    os.environ.update(here.env)
    interpreter.command = lambda module, *rest: (  # type: ignore[assignment]
        [sys.executable, __file__, "--supervise", ",".join([cli, *off])]
        if "supervisor" in module
        else [sys.executable, "-m", module.removesuffix(".__main__"), *rest]
    )
    os.environ["PYTHONPATH"] = str(ROOT)
    reply = launch.start(RunOptions(cli=cli, id=name, cwd=str(here.work), permissions="bypass", rehearse=script))
    return str(here.base / "state" / "runs" / reply["run_id"])


def rows(run_dir: str, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run_dir, name).read_text().splitlines()]


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def latencies(run_dir: str) -> list[float]:
    """Return the seconds from each answer's last byte to the `prompt` that follows."""
    ends = [r["t"] for r in rows(run_dir, "rehearsal.jsonl") if r["event"] == "call" and r["kind"] == "main"]
    ready = [seconds(r["ts"]) for r in rows(run_dir, "events.jsonl") if r["type"] == "state" and r["state"] == "prompt"]
    found = []
    for n, end in enumerate(ends):
        before = ends[n + 1] if n + 1 < len(ends) else float("inf")
        after = [t for t in ready if end - 0.02 <= t < before]
        if after:
            found.append(after[0] - end)
    return found


def sources_off(cli: str, turns: int) -> Iterator[str]:
    every = list(SOURCES[cli])
    for off in [[], *([s] for s in every), every]:
        with place() as here:
            # The answers are slow enough that the work can be seen on the screen, too.
            script = here.script(*({"text": f"Answer {n}, word by word.", "pause": 0.2} for n in range(turns)))
            run_dir = start(here, cli, off, script, "turns")
            here.run("wait", "--id", "turns", "--until", "prompt", "--timeout", "60")
            for n in range(turns):
                here.run("send", "--id", "turns", "--message", f"question {n}", "--wait-for-idle", "--timeout", "60")
            values = latencies(run_dir)
            what = "screen alone" if off == every else f"without {off[0]}" if off else "every source"
            told = f"{len(values)} of {turns} turns"
            yield f"{cli}: {what}: {spread(values, 'ms', 1000) if values else 'never'} ({told})"


def cycles(cli: str, turns: int) -> Iterator[str]:
    with place() as here:
        script = here.script(*({"text": f"Answer {n}."} for n in range(turns)))
        run_dir = start(here, cli, [], script, "cycles")
        here.run("wait", "--id", "cycles", "--until", "prompt", "--timeout", "60")
        wrong = []
        for n in range(turns):
            sent = ("send", "--id", "cycles", "--message", f"question {n}", "--wait-for-idle", "--timeout", "60")
            reply = json.loads(here.run(*sent))
            told = (reply["turn"], reply["outcome"], reply["last_message"].strip())
            if told != (n + 1, "completed", f"Answer {n}."):
                wrong.append((n, told))
        asked = [r for r in rows(run_dir, "rehearsal.jsonl") if r["event"] == "request" and r["kind"] == "main"]
        kinds = [r["type"] for r in rows(run_dir, "events.jsonl") if r["type"] in ("turn_started", "task_complete")]
        ordered = kinds == ["turn_started", "task_complete"] * turns
        yield (
            f"{cli}: {turns} cycles: {len(wrong)} wrong answers {wrong[:3]}, {len(asked)} requests, "
            f"one start and one end each, in order: {ordered}; to prompt {spread(latencies(run_dir), 'ms', 1000)}"
        )


def main() -> int:
    if sys.argv[1:2] == ["--supervise"]:
        cli, *off = sys.argv[2].split(",")
        deaf(cli, off)
        return supervise()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cli", nargs="+", choices=sorted(SOURCES))
    parser.add_argument("-n", type=int, default=20, help="turns for each source that is switched off (default: 20)")
    parser.add_argument("--cycles", type=int, help="only this many turns in a row, every answer checked")
    options = parser.parse_args()
    for cli in options.cli:
        if shutil.which(cli) is None:
            parser.error(f"{cli} is not on the PATH")
        for line in cycles(cli, options.cycles) if options.cycles else sources_off(cli, options.n):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())

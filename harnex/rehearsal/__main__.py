"""`python -m harnex.rehearsal SCRIPT.json`: the scripted model endpoint as a program.

The program prints one JSON line when it listens. It ends when its stdin ends, or on SIGTERM or
SIGINT, so that it never outlives the process that started it. Exit codes: 0 ended as asked, 2 the
script or the arguments are wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import sys

from harnex.rehearsal.endpoint.billing import BillingLog
from harnex.rehearsal.endpoint.pace import Pace
from harnex.rehearsal.endpoint.script import Script, ScriptError, parse, parse_defaults
from harnex.rehearsal.endpoint.server import Rehearsal

# The variable with the pace of answers, as JSON: `{"usage_delay": [0, 1], "seed": 7}`.
DEFAULTS = "HARNEX_REHEARSAL_DEFAULTS"


def load(path: str) -> Script:
    """Read and check a script file. Raises ScriptError (one line, with the file's name)."""
    try:
        with open(path, encoding="utf-8") as f:
            data = json.load(f)
    except OSError as error:
        raise ScriptError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise ScriptError(f"{path}: is not JSON: {error}") from None
    except RecursionError:
        raise ScriptError(f"{path}: is nested too deeply") from None
    try:
        return parse(data)
    except ScriptError as error:
        raise ScriptError(f"{path}: {error}") from None


def defaults() -> tuple[Pace, int | None]:
    """The pace of answers where a script does not set it (tests set this), and the seed.

    Raises ScriptError.
    """
    try:
        data = json.loads(os.environ.get(DEFAULTS) or "{}")
    except ValueError as error:
        raise ScriptError(f"{DEFAULTS}: is not JSON: {error}") from None
    try:
        return parse_defaults(data)
    except ScriptError as error:
        raise ScriptError(f"{DEFAULTS}: {error}") from None


def given(logs: list[str]) -> int:
    """How many of the script's steps the main thread was given, by earlier endpoints' logs."""
    most = 0
    for path in logs:
        with contextlib.suppress(OSError), open(path, "rb") as f:
            for line in f:
                with contextlib.suppress(ValueError, TypeError, AttributeError):
                    row = json.loads(line)
                    if row.get("event") == "call" and row.get("kind") == "main" and row.get("step") is not None:
                        most = max(most, int(row["step"]) + 1)
    return most


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harnex.rehearsal", description="A scripted model on 127.0.0.1.")
    parser.add_argument("script", metavar="SCRIPT.json")
    parser.add_argument("--check", action="store_true", help="only check the script")
    parser.add_argument("--log", metavar="FILE", help="append the billing log to this file (JSONL)")
    parser.add_argument("--after", metavar="FILE", action="append", default=[],
                        help="go on behind what this log of an earlier endpoint says was given (several times)")  # fmt: skip
    parser.add_argument("--bodies", metavar="DIR", help="keep every model call's whole request body there")
    parser.add_argument("--port", type=int, default=0, help="the port; 0: any free one")
    options = parser.parse_args(argv)
    try:
        script = load(options.script)
        pace, seed = defaults()
    except ScriptError as error:
        print(f"rehearsal: {error}", file=sys.stderr)
        return 2
    if options.check:
        print(json.dumps({"ok": True, "calls": len(script.calls), "agents": sorted(script.agents)}))
        return 0
    try:
        rehearsal = Rehearsal(script, BillingLog(options.log, options.bodies), options.port, pace, seed)
    except (OSError, OverflowError) as error:
        print(f"rehearsal: can't start: {error}", file=sys.stderr)
        return 2
    rehearsal.player.skip(given(options.after))
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(wake, b"x"))
    rehearsal.start()
    plan = any(step.usage_limit is not None for step in (*script.calls, script.default))
    print(
        json.dumps({"port": rehearsal.port, "base_url": rehearsal.base_url, "plan": plan, "seed": rehearsal.seed}),
        flush=True,
    )
    _until_end(woken)
    rehearsal.stop()
    return 0


def _until_end(woken: int) -> None:
    """Wait for a signal (a byte in `woken`) or the end of stdin."""
    watched = [woken, 0]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if woken in ready:
            return
        try:
            if not os.read(0, 65536):
                return
        except OSError:
            return


if __name__ == "__main__":
    sys.exit(main())

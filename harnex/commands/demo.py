"""`harnex demo`: the whole tour on a machine without an agent CLI.

Its directory is removed afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import click

from harnex import errors, interpreter, output
from harnex.errors import HarnexError
from harnex.report.sentences import sentence

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "rehearsal", "demo.json")
TASK = "Look around, write hello.txt, and tell me what you did."


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave the files of the tour behind, and say where.")
def command(keep: bool) -> int:
    """The whole tour in 20 seconds: a bundled agent is started, given a task, followed, read and stopped.

    The agent is a small scripted one that calls a scripted model on loopback: no account, no network, nothing billed.
    """
    place = tempfile.mkdtemp(prefix="harnex-demo-")
    begun = time.monotonic()
    tour = Tour(place)
    try:
        code = tour.run()
    finally:
        tour.close()
        if keep:
            print(f"\nthe files of this tour: {place}", file=sys.stderr)
        else:
            shutil.rmtree(place, ignore_errors=True)
    words = f"Done in {time.monotonic() - begun:.1f} s." + ("" if keep else " Nothing is left behind.")
    say(words + " Next: harnex guide, harnex doctor, harnex run codex (or claude).")
    return code


def say(words: str) -> None:
    bold = (output.BOLD, output.PLAIN) if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("", "")
    output.draw(sys.stdout, f"\n{bold[0]}{words}{bold[1]}\n")
    sys.stdout.flush()


class Tour:
    """Runs harnex's own commands as a person would, and shows what they print."""

    def __init__(self, place: str) -> None:
        self.work = os.path.join(place, "work")
        os.makedirs(self.work)
        self.state = os.path.join(place, "state")
        os.makedirs(self.state, 0o700)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HARNEX_")}
        self.env = {**clean, "HARNEX_STATE_DIR": self.state}

    def harnex(self, *words: str, quiet: bool = False) -> str:
        """Run one command. Returns its output. Raises HarnexError if the command fails."""
        if not quiet:
            shown = " ".join(f'"{w}"' if " " in w else w for w in words).replace(SCRIPT, "demo.json")
            print(f"$ harnex {shown}", flush=True)
        done = subprocess.run(
            own_command(*words), env=self.env, cwd=self.work, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise HarnexError(
                f"harnex {words[0]} failed in the demo: {done.stderr.strip() or done.stdout.strip()}",
                "harnex doctor may know why",
            )
        return done.stdout

    def run(self) -> int:
        say("1. Start an agent, detached. One JSON line comes back, for scripts.")
        print(self.harnex("run", "demo", "--detach", "--id", "tour", "--rehearse", SCRIPT), end="")
        say("2. Send it a task, follow what happens, and wait for the end of its turn.")
        follower = self._follow()
        self.harnex("wait", "--id", "tour", "--until", "prompt", "--timeout", "20", quiet=True)
        answer = json.loads(
            self.harnex("send", "--id", "tour", "--message", TASK, "--wait-for-idle", "--timeout", "30")
        )
        print(f"   → {answer['outcome']} after {answer['waited_s']} s: {answer['last_message']!r}")
        say("3. Its screen, as it is now.")
        print(self.harnex("pane", "--id", "tour"), end="")
        say("4. What is live, and what it used. Every model call is counted once.")
        print(self.harnex("status"), end="")
        wrong = self._usage()
        say("5. Stop it. What it started is ended too.")
        print(self.harnex("stop", "--id", "tour"), end="")
        follower.join(timeout=5)
        print(self.harnex("history"), end="")
        left = json.loads(self.harnex("status", "--all", "--json", quiet=True))
        if left or wrong:
            raise HarnexError("the tour found something wrong: " + (wrong or f"sessions are left: {left}"))
        return errors.DONE

    def _follow(self) -> threading.Thread:
        """Print a short line for each event while the tour goes on."""
        process = subprocess.Popen(
            own_command("events", "--id", "tour"), env=self.env, cwd=self.work, stdout=subprocess.PIPE, text=True
        )

        def show() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                event = json.loads(line)
                words = sentence(event, time.time())
                if words:
                    print(f"   {event['ts'][11:23]}  {event['type']:14} {words}", flush=True)
            process.wait()

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        return thread

    def _usage(self) -> str:
        """Print the calls as a table and compare them with what the endpoint billed.

        Returns "" if both agree, else a sentence with the difference.
        """
        rows = [
            json.loads(line)
            for line in self.harnex("events", "--id", "tour", "--snapshot", "--type", "call", quiet=True).splitlines()
        ]
        run_id = json.loads(self.harnex("status", "--json", quiet=True))[0]["run_id"]
        with open(os.path.join(self.state, "runs", run_id, "rehearsal.jsonl"), encoding="utf-8") as f:
            billed = [row for row in map(json.loads, f) if row.get("finished") and row.get("kind") != "side"]
        print(f"{'CALL':28} {'INPUT':>8} {'CACHED':>8} {'OUTPUT':>8} {'TOTAL':>8}")
        for row in rows:
            print(
                f"{row['call_id'][:28]:28} {row['input_tokens']:>8} {row['cache_read_tokens']:>8} {row['output_tokens']:>8} {row['total_tokens']:>8}"
            )
        keys = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
        counted = {k: sum(row[k] or 0 for row in rows) for k in keys}
        truth = {k: sum(row[k] or 0 for row in billed) for k in keys}
        same = counted == truth and len(rows) == len(billed)
        print(
            f"the endpoint billed {len(billed)} calls, {sum(truth[k] for k in ('input_tokens', 'output_tokens')):,} tokens: "
            + ("equal" if same else "DIFFERENT")
        )
        return "" if same else f"counted {counted}, billed {truth}"

    def close(self) -> None:
        """End the session, even if the tour failed."""
        with contextlib.suppress(HarnexError, subprocess.TimeoutExpired, OSError, ValueError):
            for record in json.loads(self.harnex("status", "--all", "--json", quiet=True)):
                self.harnex("stop", "--force", "--id", record["id"], quiet=True)


def own_command(*words: str) -> list[str]:
    """Return the argv of this harnex, wherever it is installed."""
    return interpreter.command("harnex.cli", *words)

"""`harnex exec`: give a headless agent one prompt, and follow the run to its answer."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import click

from harnex import errors, jsonl, output, paths
from harnex.commands._find import mend
from harnex.commands._starting import start_options, start_words
from harnex.commands._types import SECONDS
from harnex.commands.events import reader_is_gone
from harnex.commands.send import as_typed, read_file
from harnex.errors import HarnexError, UsageError
from harnex.report.sentences import killed_words, sentence
from harnex.store import registry
from harnex.store.tail import LineTail

if TYPE_CHECKING:
    import _socket

POLL_S = 0.02  # how often the event log is read
LOOK_EVERY_S = 1.0  # how often the registry and the reader are checked
REST = "harnex.exec.rest"


class Exec(click.Command):
    """Everything after `--` goes to the CLI, even without a PROMPT before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[REST] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])


@click.command(
    "exec",
    cls=Exec,
    options_metavar="[OPTIONS] CLI [PROMPT|-] [-- ARGS]",
    epilog="Examples:\n\n  harnex exec codex 'Which tests fail?'\n\n  harnex exec claude - --permissions auto --timeout 30m < task.md\n\n"
    "  harnex exec claude --prompt-file task.md --schema answer.json --json | jq 'select(.type == \"call\")'",
)
@click.argument("cli", metavar="")
@click.argument("prompt", required=False, metavar="")
@click.pass_context
@click.option("--prompt-file", metavar="F", help="The prompt from a file (- for standard input).")
@click.option(
    "--context-file", metavar="F", help="Put this file's text in front of the prompt; alone, it is the prompt."
)
@click.option("--system-file", metavar="F", help="Instructions beside the CLI's own, from a file.")
@click.option(
    "--schema",
    metavar="F",
    help="The answer must be JSON that is valid for this JSON Schema; else it is asked once more.",
)
@click.option("--json", "as_json", is_flag=True, help="The events of the run, as JSON lines, instead of the answer.")
@click.option("--quiet", is_flag=True, help="No words on stderr while it works.")
@click.option(
    "--raw",
    is_flag=True,
    help="On a terminal, too: the answer as it is. By default its control characters are shown there.",
)
@click.option("--model", metavar="M", help="The model, as the CLI names it.")
@click.option(
    "--background-wait",
    type=SECONDS,
    metavar="DUR",
    help="How long what the agent left running is waited for (default: 10m; 0: not at all). The answer is printed before.",
)
@start_options(
    "Nobody can be asked. ask: the CLI's own default, the rest is refused; auto: edits in its sandbox; bypass: no check at all."
)
def command(ctx: click.Context, /, **o: Any) -> int:
    """Give a headless agent one prompt (codex, claude) and print its answer.

    The prompt is PROMPT, or comes from standard input (-), or from a file; the agent gets it on its standard input.
    It is a session like any other: status, events, logs, wait and stop work. What follows -- goes to the CLI.

    Exit codes: 0 answered, 1 failed, 124 timeout, 130 stopped.
    """
    if o["raw"]:
        output.obey()
    if o["detach"] and o["as_json"]:
        raise UsageError("--detach prints one JSON line and returns", "its events: harnex events --id ID")
    prompt = read_prompt(o["prompt"], o["prompt_file"], o["context_file"])
    system = read_file(o["system_file"]) if o["system_file"] is not None else None
    schema = None
    if o["schema"] is not None:
        from harnex.launch.answer_schema import load

        schema = load(o["schema"])
    from harnex.launch.launch import start
    from harnex.launch.options import RunOptions

    options = RunOptions(
        **start_words(o),
        args=ctx.meta[REST],
        mode="exec",
        headless=True,
        prompt=prompt,
        model=o["model"],
        system=system,
        schema=schema,
        background_wait=o["background_wait"],
    )
    mend(paths.state_dir())  # write the end of a dead run whose id is used again
    stops = Stops()
    if not o["detach"]:
        stops.watch()
    try:
        reply = start(options)
    except HarnexError as e:
        if o["as_json"] and "run_id" in e.extra:
            print_events(paths.run_dir(paths.state_dir(), str(e.extra["run_id"])))
        raise
    if o["detach"]:
        for note in cast("list[str]", reply.get("notes") or []):
            print(f"harnex: {note}", file=sys.stderr)
        sys.stdout.write(jsonl.dumps(reply) + "\n")
        return errors.DONE
    return Follower(reply, o["as_json"], o["quiet"], stops).run()


def print_events(directory: str) -> None:
    """Print the events of a run that did not start."""
    for line in LineTail(os.path.join(directory, "events.jsonl")).lines():
        sys.stdout.write(line.decode("utf-8", "replace") + "\n")


def read_prompt(given: str | None, path: str | None, context: str | None) -> str:
    """Return the prompt, whichever option gives it. Raises UsageError for no prompt or several."""
    if given is not None and path is not None:
        raise UsageError("PROMPT and --prompt-file contradict each other", "--context-file puts a file before a prompt")
    if path == "-" and context == "-":
        raise UsageError("standard input can be read only once", "give one of the two as a file")
    before = read_file(context) if context is not None else ""
    if path is not None:
        text = read_file(path)
    elif given == "-" or (given is None and context is None and not os.isatty(0)):
        text = read_file("-")
    else:
        text = as_typed(given or "")
    text = "\n\n".join(part for part in (before.rstrip(), text) if part.strip())
    if not text:
        raise UsageError("there is no prompt", "harnex exec codex 'TEXT', or - for standard input, or --prompt-file F")
    return text


class Stops:
    """Ctrl-C and SIGTERM. The handler counts them; the follower acts on the count."""

    def __init__(self) -> None:
        self.count = 0

    def watch(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._more)

    def _more(self, *_: object) -> None:
        self.count += 1


class Follower:
    """Follows a run's own event log to its end, as any other reader could."""

    def __init__(self, reply: dict[str, Any], as_json: bool, quiet: bool, stops: Stops) -> None:
        self._reply, self._json, self._quiet, self._stops = reply, as_json, quiet, stops
        self._asked = 0  # how many stops were passed on to the supervisor
        self._sock: _socket.socket | None = None
        self._seq = 0  # seq of the last event that was read
        self._silent = False  # nobody reads our output any more; the run goes on
        self._answer: str | None = None  # the answer, until it is printed
        self._failed = ""
        self._exited: dict[str, Any] = {}

    def run(self) -> int:
        """Follow until the run has ended. Returns the exit code."""
        path = str(self._reply["events_path"])
        tail = LineTail(path)
        next_look = time.monotonic() + LOOK_EVERY_S
        lives = True
        while True:
            wrote = False
            for line in tail.lines():
                row = jsonl.loads_dict(line)
                if row is not None and not self._was_taken(row):
                    wrote = self._take(row, line) or wrote
            if wrote:
                self._flush()
            if self._exited or not lives:
                return self._end()
            self._stop()
            if self._is_unrecorded():
                return errors.INTERRUPTED
            time.sleep(POLL_S)
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_EVERY_S
                self._silent = self._silent or reader_is_gone()
                if self._record() is None:
                    mend(paths.state_dir())
                    lives = False  # one more round, because mend() has written the end

    def _record(self) -> dict[str, Any] | None:
        return next((r for r in registry.live(paths.state_dir()) if r["run_id"] == self._reply["run_id"]), None)

    def _stop(self) -> None:
        """The first Ctrl-C ends the run; the second kills it at once."""
        if self._stops.count <= self._asked:
            return
        self._asked = self._stops.count
        self._say("stopping (again: at once)" if self._asked == 1 else "killing")
        record = self._record()
        if record is None:
            return
        from harnex.client import connect

        try:
            sock = connect.connect(record)
            sock.sendall(jsonl.dumps({"op": "stop", "force": self._asked > 1}).encode() + b"\n")
            sock.setblocking(False)
            # Keep it open: normally the log says how the run ended, but on a full
            # disk only the reply does.
            self._sock = sock
        except (HarnexError, OSError):
            pass  # the run is ending by itself

    def _was_taken(self, row: dict[str, Any]) -> bool:
        """Whether this event was read before, or is not an event.

        A log that was removed during the run is written again, as a whole.
        """
        seq = row.get("seq")
        if not isinstance(seq, int):
            return True
        old, self._seq = seq <= self._seq, max(seq, self._seq)
        return old

    def _is_unrecorded(self) -> bool:
        """Whether the stopped run has ended and the disk is too full for its log to say so."""
        if self._sock is None:
            return False
        try:
            reply = jsonl.loads_dict(self._sock.recv(1 << 16))
        except BlockingIOError:
            return False
        except OSError:
            reply = None
        self._sock = None
        if reply is None or reply.get("recorded") is not False:
            return False  # the log says how the run ended
        self._say(str(reply.get("note")))
        return True

    def _take(self, row: dict[str, Any], line: bytes) -> bool:
        kind = row.get("type")
        if kind == "answer":
            self._answer = _as_printed(row)
        elif kind == "turn_failed":
            self._failed = str(row.get("reason") or "")
        elif kind == "task_complete":
            self._failed = ""
            # Print an answer that came before its turn ended, because the process may live on.
            self._print_answer()
        elif kind == "exited":
            self._exited = row
        if self._json:
            return self._print(line.decode("utf-8", "replace") + "\n")
        if not self._quiet and (words := _words(row)):
            self._say(words)
        return False

    def _print(self, text: str) -> bool:
        if self._silent:
            return False
        try:
            sys.stdout.write(text)
        except BrokenPipeError:
            self._lose_output()
        return not self._silent

    def _print_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not self._json:
            self._print(answer if answer.endswith("\n") else answer + "\n")
            self._flush()

    def _flush(self) -> None:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            self._lose_output()

    def _lose_output(self) -> None:
        """The reader closed our output. The run goes on, and its exit code still counts."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        self._silent = True

    def _say(self, words: str) -> None:
        try:
            print("harnex: " + words.replace("\n", "\n  "), file=sys.stderr, flush=True)
        except OSError:
            pass  # the terminal is gone; the run is not

    def _end(self) -> int:
        run_id = self._reply["run_id"]
        if not self._exited:
            self._print_answer()
            self._say(f"the run has ended, and its event log does not say how; see: harnex history --id {run_id}")
            return errors.FAILED
        reason = str(self._exited.get("reason"))
        if self._exited.get("killed"):
            self._say(f"ended with the run: {killed_words(self._exited['killed'], time.time())}")
        if reason == "success":
            self._print_answer()
            return errors.DONE
        if reason == "stopped" or self._asked:
            self._say(f"stopped; what it did: harnex logs --id {run_id}")
            return errors.INTERRUPTED
        kind = f" ({self._failed})" if self._failed not in ("", "other") and reason == "failure" else ""
        words = str(self._exited.get("message") or "").strip()
        self._say(f"{self._reply['cli']} did not succeed: {reason}{kind}{': ' if words else ''}{words}")
        if not self._quiet:
            self._say(f"the whole run: harnex logs --id {run_id}, harnex events --id {run_id}")
        return errors.TIMEOUT if reason == "timeout" else errors.BUDGET if reason == "budget" else errors.FAILED


def _as_printed(row: dict[str, Any]) -> str:
    """Return the answer for standard output: its text, or the JSON value
    that `--schema` asked for."""
    if row.get("valid"):
        return json.dumps(row.get("data"), ensure_ascii=False, separators=(",", ":"))
    return str(row.get("text") or "")


def _words(row: dict[str, Any]) -> str:
    """Return an event as words for a person at the terminal; "" if the event is not shown."""
    kind = row.get("type")
    if kind == "started":
        return "; ".join([f"session '{row.get('id')}'", *map(str, row.get("notes") or ())])
    if kind == "tool" and row.get("status") == "started":
        return " ".join(f"{row.get('tool')}: {row.get('input_preview')}".split())[:160]
    if kind == "tool" and row.get("status") == "failed":
        return f"{row.get('tool')} failed"
    if kind == "progress":
        now = next((i["text"] for i in row.get("items") or () if i.get("status") == "in_progress"), "")
        return f"{row.get('done')} of {row.get('total')} done{': ' if now else ''}{now}"
    if kind == "diagnostic":
        return str(row.get("what"))
    if kind == "background" or (kind == "watch" and row.get("phase") == "background"):
        return sentence(row, time.time())
    return ""

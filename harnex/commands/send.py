"""`harnex send`: a message to an agent, typed only where a message belongs.

A hot command: it imports neither click nor json.
"""

from __future__ import annotations

import os
import sys

from harnex import clock, errors, jsonl
from harnex.client import connect
from harnex.commands._find import live_session
from harnex.commands._hot import CLI, ID, REPO, Option
from harnex.errors import HarnexError, UsageError
from harnex.model import protocol

NAME = "send"
HELP = """Send a message to a session. One JSON line tells what became of it.

The text comes from --message, --file or standard input. It is queued, typed when the agent is at its
prompt (never into a dialog), and the command returns when the agent has taken it: `accepted` is said
on evidence only. With --timeout a message that could not be typed in time is withdrawn (`expired`,
exit code 124). While a dialog waits for a person nothing is typed: the message is withdrawn and the exit code
is 4, at once; --no-wait leaves it in the queue. A text of more than 8 MiB is refused (exit code 2).

From inside another session the text gets a header `[harnex relay from=CLI id=ID at=TIME]`."""
OPTIONS = (
    ID,
    REPO,
    CLI,
    Option("--message", "text", "The text.", metavar="TEXT"),
    Option("--file", "text", "Read the text from a file (- for standard input).", metavar="F"),
    Option("--wait-for-idle", "flag", "Return when the agent has answered it: exit code 0, or 1 for a failed turn."),
    Option("--timeout", "seconds", "Give up after this long (90, 5m).", metavar="DURATION"),
    Option("--force", "flag", "Type it now, also while the agent works. Never into a dialog."),
    Option("--submit-only", "flag", "Only press Enter, for a text that is in the input box already."),
    Option("--no-submit", "flag", "Put the text into the input box without pressing Enter."),
    Option("--no-wait", "flag", "Return as soon as it is queued."),
    Option("--relay/--no-relay", "flag", "Force the relay header, or leave it out."),
)


def run(
    id: str | None,
    repo: str | None,
    cli: str | None,
    message: str | None,
    file: str | None,
    wait_for_idle: bool,
    timeout: float | None,
    force: bool,
    submit_only: bool,
    no_submit: bool,
    no_wait: bool,
    relay: bool | None,
) -> int:
    """Send the message. Returns the exit code."""
    if submit_only and (no_submit or message is not None or file is not None or wait_for_idle):
        raise UsageError("--submit-only takes no text and no other way of sending", "see: harnex send --help")
    if no_wait and wait_for_idle:
        raise UsageError("--no-wait and --wait-for-idle contradict each other")
    if no_submit and wait_for_idle:
        raise UsageError("--no-submit starts no turn, so --wait-for-idle would wait for ever")
    if id is None and os.environ.get("HARNEX_ID"):
        raise UsageError("inside a session, --id is needed: the only other session may be this one itself")
    text = None if submit_only else read_text(message, file)
    record = live_session(id, repo, cli)
    own = os.environ.get("HARNEX_ID") if os.environ.get("HARNEX_RUN_ID") != record["run_id"] else None
    if text is not None and (relay if relay is not None else own is not None):
        name, sender_cli = own or "shell", os.environ.get("HARNEX_CLI", "shell") if own else "shell"
        text = f"[harnex relay from={sender_cli} id={name} at={clock.stamp()}]\n{text}"
    if text is not None and (why := protocol.too_long(text)):
        raise UsageError(f"session '{record['id']}': {why}", protocol.TOO_LONG_HINT)
    request = {
        "op": "send",
        "text": text,
        "submit": not no_submit,
        "force": force,
        "from": own,
        "until": "queued" if no_wait else "idle" if wait_for_idle else "done",
        "timeout": timeout,
    }
    reply = connect.request(record, request, None if timeout is None else timeout + connect.PATIENCE_S)
    code = int(reply.pop("exit_code", errors.DONE))
    sys.stdout.write(jsonl.dumps(reply) + "\n")
    if reply.get("note"):
        print(f"harnex: session '{record['id']}': {reply['note']}", file=sys.stderr)
    if not reply.get("ok"):
        print(f"harnex: session '{record['id']}': {reply.get('error')}", file=sys.stderr)
        if reply.get("hint"):
            print(f"  {reply['hint']}", file=sys.stderr)
    return code


def read_text(message: str | None, file: str | None) -> str:
    """Return the text to send.

    Raises UsageError for no text, two texts, or an empty text, and HarnexError for
    a file that can't be read.
    """
    if message is not None and file is not None:
        raise UsageError("--message and --file contradict each other")
    if message is not None:
        text = as_typed(message)
    else:
        if file is None and sys.stdin.isatty():
            raise UsageError("there is nothing to send", "give --message TEXT, --file F, or pipe the text in")
        text = read_file(file or "-")
    if not text.strip():
        raise UsageError("the message is empty")
    return text


def as_typed(argument: str) -> str:
    """Return a command-line argument as UTF-8, whatever the locale made of it.

    Raises UsageError.
    """
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the text is not UTF-8") from None


def read_file(path: str) -> str:
    """Return the text of a file (`-`: of standard input). Raises HarnexError."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as f:
                data = f.read()
    except OSError as e:
        raise HarnexError(f"can't read {path}: {e.strerror}", "check the path", errors.USAGE) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise HarnexError(f"{path} is not UTF-8 text ({e.reason} at byte {e.start})", "", errors.USAGE) from None

"""A small scripted terminal agent: `python -m harnex.rehearsal.tui`. `harnex demo` and the end-to-end tests drive it.

The agent behaves as the real agents do by measurement: the prompt box stays on the screen during a
turn; text with an Enter in one read is a paste and is not sent; text and Enter into a dialog answer
the dialog; Esc interrupts; messages that are typed during a turn are queued. The agent asks the
endpoint in HARNEX_DEMO_URL, or answers from `--script`. `--log` is the truth for tests: every
prompt that the agent took and every state that it was in, with monotonic and wall time.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import termios
import time
import tty
from typing import Any, NoReturn

from harnex.rehearsal.__main__ import load
from harnex.rehearsal.endpoint.script import Player, Script, ScriptError
from harnex.rehearsal.tui.agent import Dialog
from harnex.rehearsal.tui.app import TICK_S, App
from harnex.rehearsal.tui.model import Backend, Endpoint, Scripted

QUERIES = "\x1b[?u\x1b[>0q\x1b]10;?\x1b\\\x1b]11;?\x1b\\\x1b]7501;?\x1b\\\x1b[6n\x1b[c"
ESC_S = 0.03  # an Esc that nothing follows for this many seconds is the key
PAINT_S = 0.03


def options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harnex.rehearsal.tui", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--script", metavar="FILE", help="answer from this script (without HARNEX_DEMO_URL)")
    add("--signals", default="osc7501,title,events", help="which signals it gives (osc7501,title,events; none)")
    add("--evidence", metavar="FILE", default="", help="append what happens to this file (JSONL), if events are on")
    add("--log", metavar="FILE", default="", help="append the truth to this file (JSONL)")
    add("--session", metavar="ID", default="", help="the conversation's name; kept in HARNEX_DEMO_HOME, if that is set")
    add("--resume", metavar="ID", default="", help="go on with that conversation")
    add("--trust", action="store_true", help="ask first whether this directory is trusted")
    add("--permission", action="store_true", help="ask before each command")
    add("--status", choices=("always", "no-stream", "never"), default="always", help="when the status line is shown")
    add("--alt", action="store_true", help="use the alternate screen")
    add("--start-delay", type=float, default=0.0, metavar="S", help="show nothing for so long")
    add("--ignore-term", action="store_true", help="SIGTERM and SIGHUP don't end it")
    add("--ignore-exit", action="store_true", help="/exit, Ctrl-C and Ctrl-D don't end it")
    add("--exit-code", type=int, default=0, metavar="N", help="the code of an ordinary exit")
    add("--crash-after", type=float, metavar="S", help="die with a traceback after so long")
    add(
        "--deaf",
        nargs="?",
        const="/",
        metavar="FILE",
        help="stop reading the terminal once it is ready, if FILE is there",
    )
    add("--flood", type=int, default=0, metavar="BYTES", help="write so much in the first turn")
    add("--wake", action="store_true", help="begin a turn when a command in the background has ended")
    add("--no-record", action="store_true", help="say nothing of commands in the background")
    add("--helper", metavar="CMD", default="", help="run this beside, as an MCP server: no tool's, and no work")
    add("--orphan", action="store_true", help="commands run in their own session and outlive it")
    return parser.parse_args(argv)


class Loop(App):
    """One loop over the keyboard, the agent's thread, signals and time."""

    def run(self) -> NoReturn:
        self.saved = termios.tcgetattr(0)
        tty.setraw(0)
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)
        for number in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self.log("state", state="starting", dialog="", pid=os.getpid())
        if self.opts.helper:
            self.agent.help(self.opts.helper)
        self.state = ("starting", "")
        deadline = self.started + self.opts.start_delay
        while (left := deadline - time.monotonic()) > 0:
            self.wait(left, read=False)
        self.view.measure()
        self.view.write(("\x1b[?1049h" if self.opts.alt else "") + "\x1b[?2004h\x1b[?1004h" + QUERIES)
        self.view.print("harnex demo agent", "1;36", first="✻ ")
        self.view.print(os.getcwd(), "2", first="  ")
        self.view.print("")
        if self.opts.resume:
            said = self.agent.load()
            self.view.print(f"Resumed: {said} messages.", "2", first="  ")
        if self.opts.trust:
            choices = ("Yes, I trust this folder", "No, exit")
            self.open_dialog(Dialog("trust", "Do you trust the files in this folder?", choices, os.getcwd()))
        else:
            self.ready()
        painted = 0.0
        while True:
            now = time.monotonic()
            if self.dirty and now - painted >= PAINT_S:
                self.paint()
                painted = now
            self.wait(PAINT_S if self.dirty else TICK_S if self.state[0] == "busy" else 60.0)
            if self.state[0] == "busy":
                self.set_title()
                self.dirty = True

    def wait(self, seconds: float, read: bool = True) -> None:
        """Wait for the keyboard, the agent, a signal or the time, and deal with what came."""
        if self.opts.crash_after is not None:
            left = self.started + self.opts.crash_after - time.monotonic()
            if left <= 0:
                self.crash()
            seconds = min(seconds, left)
        if self.esc_at is not None:
            seconds = min(seconds, max(0.0, self.esc_at - time.monotonic()))
        watched = [self.woken, 0] if read and self.read_terminal else [self.woken]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self.woken in ready:
            for number in os.read(self.woken, 4096):
                if number != ord("n"):
                    self.signal(number)
        while not self.news.empty():
            kind, fields = self.news.get()
            self.tell(kind, fields)
        if 0 in ready:
            try:
                data = os.read(0, 65536)
            except OSError:
                data = b""
            if not data:
                self.exit(129)
            self.esc_at = None
            for token in self.keys.feed(data):
                self.token(token)
            if self.keys.waiting:
                self.esc_at = time.monotonic() + ESC_S
        elif self.esc_at is not None and time.monotonic() >= self.esc_at:
            self.esc_at = None
            for token in self.keys.flush():
                self.token(token)

    def tell(self, kind: str, fields: dict[str, Any]) -> None:
        """Show news from the agent's thread."""
        if kind == "end":
            self.ended(fields["end"])
        elif kind == "background":
            self.background_ended(**fields)
        elif kind == "dialog":
            self.open_dialog(fields["dialog"])
        else:
            self.shown.take(self.view, kind, fields)
        self.dirty = True

    def signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self.view.measure()
            self.view.clear()
            self.dirty = True
        elif number == signal.SIGINT:
            self.key("ctrl-c")
        elif number in (signal.SIGTERM, signal.SIGHUP) and not self.opts.ignore_term:
            self.exit(128 + number)

    def crash(self) -> NoReturn:
        """Crash as a bug would: a traceback, the terminal as it is, no last words."""
        self.agent.kill_children()
        text = 'Traceback (most recent call last):\r\n  File "demo.py", line 1, in <module>'
        self.view.write(f"\r\n{text}\r\nRuntimeError: crashed as asked\r\n")
        os._exit(self.opts.exit_code or 70)


def main(argv: list[str] | None = None) -> int:
    opts = options(argv)
    url = os.environ.get("HARNEX_DEMO_URL", "")
    try:
        script = load(opts.script) if opts.script else Script()
    except ScriptError as error:
        print(f"demo agent: {error}", file=sys.stderr)
        return 2
    if not (os.isatty(0) and os.isatty(1)):
        print("demo agent: it needs a terminal", file=sys.stderr)
        return 2
    backend: Backend = Endpoint(url, os.getcwd()) if url and not opts.script else Scripted(Player(script), os.getcwd())
    return Loop(opts, backend).run()


if __name__ == "__main__":
    sys.exit(main())

"""The terminal part of the scripted agent: its state and the report of that state, turns, dialogs,
keys.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import termios
import threading
import time
from base64 import b64encode
from contextlib import suppress
from typing import Any, NoReturn

from harnex.rehearsal.tui.agent import Agent, Dialog, Rows, TurnEnd
from harnex.rehearsal.tui.keys import Keys, Token
from harnex.rehearsal.tui.model import Backend, Cancel
from harnex.rehearsal.tui.screen import Draft, Shown, draw
from harnex.rehearsal.tui.view import View

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TICK_S = 0.1  # seconds between two frames of the spinner
COMMAND = re.compile(r"/[a-z-]+\s*$")  # at the very start: a space before a command makes it text


class App:
    """The terminal part without its loop (tui/__main__.py): keys, dialogs and the agent's news."""

    def __init__(self, opts: argparse.Namespace, backend: Backend) -> None:
        self.opts = opts
        self.signals = set(opts.signals.split(","))
        self.log = Rows(opts.log)
        self.evidence = Rows(opts.evidence if "events" in self.signals else "")
        self.view = View(1)
        self.keys = Keys()
        self.draft = Draft()
        self.queued: list[str] = []
        self.dialog: Dialog | None = None
        self.choice = 0
        self.cancel: Cancel | None = None  # the off switch of the running turn
        self.shown = Shown()
        self.turn = 0
        self.state = ("", "")
        self.declared = ""
        self.woken, self.wake = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self.woken, False)
        self.news: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self.session = opts.resume or opts.session
        home = os.environ.get("HARNEX_DEMO_HOME", "")
        kept = os.path.join(home, f"conversation-{self.session}.json") if home and self.session else ""
        self.agent = Agent(backend, self.post, self.evidence, opts.permission, opts.orphan, kept, not opts.no_record)
        self.dirty = True
        self.started = time.monotonic()
        self.read_terminal = True
        self.esc_at: float | None = None
        self.title = ""
        self.saved: list[Any] | None = None  # the terminal's modes before it was made raw

    def post(self, kind: str, **fields: Any) -> None:
        """Take something to show, from the agent's thread."""
        self.news.put((kind, fields))
        with suppress(BlockingIOError):
            os.write(self.wake, b"n")

    # ---- state, and how it is told ----

    def be(self, state: str, dialog: str = "", declare: str = "") -> None:
        if (state, dialog) != self.state:
            self.state = (state, dialog)
            self.log("state", state=state, dialog=dialog)
        self.declare(declare or {"prompt": "idle", "busy": "working", "blocked": "blocked"}.get(state, ""))
        self.dirty = True

    def declare(self, word: str) -> None:
        if word == "blocked":
            kind = self.state[1]
            told = f"kind={kind}" if kind in ("permission", "question") else f"msg={b64encode(b'dialog open').decode()}"
            word = f"blocked:{told}"
        if "osc7501" in self.signals and word and word != self.declared:
            self.view.write(f"\x1b]7501;state={word}:app=demo\x1b\\")
        self.declared = word or self.declared
        self.set_title()

    def set_title(self) -> None:
        name = f"demo {os.path.basename(os.getcwd())}"
        if self.state[0] == "busy":
            name = f"{FRAMES[int((time.monotonic() - self.started) / TICK_S) % len(FRAMES)]} {name}"
        elif self.state[0] == "blocked":
            name = f"[ ! ] Action Required | {name}"
        if "title" in self.signals and name != self.title:
            self.title = name
            self.view.write(f"\x1b]0;{name}\x07")

    def paint(self) -> None:
        self.dirty = False
        if self.dialog is None:
            self.shown.settle(self.view)
        busy = self.cancel is not None
        status = str(self.opts.status)
        frame = draw(self.view.columns, self.draft, self.dialog, self.choice, self.queued, self.shown, busy, status)
        self.view.paint(frame)

    # ---- turns ----

    def submit(self, text: str) -> None:
        busy = self.cancel is not None
        self.log("accepted", text=text, queued=busy)
        if busy:
            self.queued.append(text)
            self.evidence("queued", text=text)
        else:
            self.begin(text)
        self.dirty = True

    def begin(self, text: str) -> None:
        self.turn += 1
        self.cancel = cancel = Cancel()
        self.view.print(text, "1", indent="  ", first="> ")
        self.shown = Shown(since=time.monotonic())
        self.evidence("submitted", text=text, turn=self.turn)
        self.be("busy")
        if self.opts.flood:
            self.flood(self.opts.flood)
            self.opts.flood = 0
        threading.Thread(target=lambda: self.post("end", end=self.agent.run(text, cancel)), daemon=True).start()

    def flood(self, size: int) -> None:
        line = "flood " + "0123456789" * 7
        for _ in range(max(1, size // (len(line) + 2))):
            self.view.print(line)
            if len(self.view.pending) >= 200:
                self.paint()

    def ended(self, end: TurnEnd) -> None:
        self.shown.flush(self.view)
        self.cancel = None
        self.dialog = None
        if end.outcome == "interrupted":
            self.view.print("Interrupted · What should the agent do instead?", "31", first="  ⎿  ", indent="     ")
        elif end.outcome == "failed":
            self.view.print(end.detail, "31", first="● ", indent="  ")
        self.log("turn_end", turn=self.turn, outcome=end.outcome, reason=end.reason)
        more = bool(self.queued)
        fields = {k: v for k, v in vars(end).items() if v not in ("", None)}
        self.evidence("turn_end", turn=self.turn, queued=len(self.queued), **{"last_message": "", **fields})
        if more:
            self.begin(self.queued.pop(0))
        else:
            self.be("prompt", declare={"completed": "done", "failed": "error"}.get(end.outcome, "idle"))

    def background_ended(self, work: str, command: str, code: int) -> None:
        """Note that a command in the background has ended."""
        if not self.opts.no_record:
            how = "completed" if code == 0 else "failed"
            ended = {"work": work, "status": "ended", "command": command, "agent": "main", "how": how}
            self.evidence("background", **ended, told=bool(self.opts.wake))
        if self.opts.wake:
            self.submit(f"Background command {work} ended with exit code {code}: {command}")

    # ---- dialogs ----

    def open_dialog(self, dialog: Dialog) -> None:
        self.shown.flush(self.view)
        self.dialog, self.choice = dialog, 0
        self.evidence("dialog", dialog=dialog.kind, title=dialog.title, options=list(dialog.options))
        self.be("blocked", dialog.kind)

    def answer(self, choice: int | None) -> None:
        dialog = self.dialog
        if dialog is None:
            return
        self.dialog = None
        self.evidence("dialog_closed", dialog=dialog.kind, answer=choice)
        self.log("answered", dialog=dialog.kind, answer=choice)
        if dialog.kind == "trust":
            if choice != 0:
                self.exit(1)
            self.ready()
            return
        self.be("busy")
        dialog.answer.put(choice)

    def dialog_key(self, token: Token) -> None:
        """Handle a key in a dialog.

        A lone digit answers at once. Text waits for Enter, and Enter takes the marked option,
        whatever was typed.
        """
        dialog = self.dialog
        assert dialog is not None
        count = len(dialog.options)
        if token.kind == "text" and token.value.isdigit() and len(token.value) == 1 and 1 <= int(token.value) <= count:
            self.answer(int(token.value) - 1)
        elif token.kind == "burst" or token == Token("key", "enter"):
            self.answer(self.choice)
        elif token.kind == "key" and token.value in ("esc", "ctrl-c"):
            self.answer(None)
        elif token.kind == "key" and token.value in ("up", "down"):
            self.choice = (self.choice + (1 if token.value == "down" else -1)) % count
        self.dirty = True

    # ---- keys ----

    def token(self, token: Token) -> None:
        if token.kind == "reply":
            self.log("reply", reply=token.value)
            return
        if self.state[0] == "prompt" and self.declared in ("done", "error"):
            self.declare("idle")
        if self.dialog is not None:
            self.dialog_key(token)
            return
        if token.kind == "key":
            self.key(token.value)
        elif token.kind == "paste":
            self.draft.paste(token.value)
        else:
            self.draft.type(token.value)
        self.dirty = True

    def key(self, name: str) -> None:
        if name == "enter":
            self.enter()
        elif name == "ctrl-u":
            self.draft.clear()
        elif name == "backspace":
            self.draft.backspace()
        elif name == "ctrl-l":
            self.view.clear()
        elif name == "esc":
            self.interrupt()
        elif name == "ctrl-c":
            if self.draft.parts:
                self.draft.clear()
            elif not self.interrupt():
                self.leave()
        elif name == "ctrl-d" and not self.draft.parts:
            self.leave()

    def enter(self) -> None:
        text = self.draft.text()
        if not text.strip():
            return
        self.draft.clear()
        if text.rstrip() in ("/exit", "/quit"):
            self.leave()
        elif COMMAND.match(text):
            self.view.print(f"Unknown command: {text.strip()}", "31", first="  ⎿  ")
        else:
            self.submit(text)

    def interrupt(self) -> bool:
        if self.cancel is None or self.cancel.requested:
            return self.cancel is not None
        self.log("interrupt")
        threading.Thread(target=self.cancel, daemon=True).start()
        return True

    def leave(self) -> None:
        if self.opts.ignore_exit:
            self.view.print("There is no way out.", "31")
            return
        self.exit(self.opts.exit_code)

    def ready(self) -> None:
        self.be("prompt")
        self.evidence("ready", pid=os.getpid(), session=self.session)
        self.read_terminal = self.opts.deaf is None or not os.path.exists(self.opts.deaf)

    def exit(self, code: int) -> NoReturn:
        if self.cancel is not None:
            self.cancel()
        self.agent.kill_children()
        self.log("state", state="exited", dialog="", code=code)
        self.evidence("exit", code=code)
        with suppress(OSError):
            self.paint()
            last = "\x1b]7501;state=clear\x1b\\" if "osc7501" in self.signals else ""
            last += "\x1b]0;\x07" if "title" in self.signals else ""
            last += "\x1b[?1004l\x1b[?2004l\x1b[?25h" + ("\x1b[?1049l" if self.opts.alt else "")
            self.view.write(last + "\r\n")
        if self.saved is not None:
            with suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN if code < 128 else termios.TCSANOW, self.saved)
        os._exit(code)
